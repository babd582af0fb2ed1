"""Whether a FLAC file is one stream, and how long it is where it does not say so.

Of two joined files libFLAC decodes the first alone. A file that was written into a pipe
declares 0 samples, that is, an unknown number (RFC 9639, section 8.2): the number is
then read from the last frame, whose checksum tells whether it is whole.
"""

from __future__ import annotations

import mmap
import os

from base_models.clip_status import TRUNCATED, UNSUPPORTED
from base_models.clips.audio_files.readable import AS_IT_IS, Patch, Readable
from base_models.errors import ClipError

# A marker and the header of its first block, which always has 34 bytes.
_BEGINNING = b"fLaC\x00\x00\x00\x22"
_LAST_BEGINNING = b"fLaC\x80\x00\x00\x22"

# Bits of the total number of samples; they begin in the lower half of byte 21.
_TOTAL_AT = 21
_TOTAL_BITS = 36

# More than the largest frame that encoders write: 65,535 samples of 8 channels.
_LARGEST_FRAME = 1 << 22
_ID3V1_BYTES = 128

_BLOCK = 1 << 20

_CUT_OFF = (
    "cut off: its header declares no length, and it does not end with a whole frame"
)


def check_flac(handle: int, start: int) -> Readable:
    """What the decoder is to be given of the FLAC file that begins at `start`.

    Raises
    ------
    ClipError
        When a second file follows the first, or the file declares no length and is cut
        off.
    """
    if _has_second(handle, start + 4):
        raise ClipError(
            "a second FLAC file follows the first, and only that would be read; join "
            "their samples instead, e.g. by sox FIRST SECOND OUT.flac",
            status=UNSUPPORTED,
        )
    total = os.pread(handle, 5, start + _TOTAL_AT)
    if len(total) < 5:
        raise ClipError("cut off: its header is not whole", status=TRUNCATED)
    if int.from_bytes(total, "big") & ((1 << _TOTAL_BITS) - 1):
        return AS_IT_IS
    with mmap.mmap(handle, 0, access=mmap.ACCESS_READ) as data:
        n_samples = _samples_up_to_last_frame(data, start)

    kept = int.from_bytes(total, "big") >> _TOTAL_BITS << _TOTAL_BITS
    field = (kept | n_samples).to_bytes(5, "big")
    return Readable(patches=(Patch(start + _TOTAL_AT, field),))


def _has_second(handle: int, offset: int) -> bool:
    """Whether another file begins behind an offset."""
    # Blocks overlap, so that no beginning is divided.
    n_overlap = len(_BEGINNING) - 1
    while block := os.pread(handle, _BLOCK, offset):
        at = block.find(b"fLaC")
        while at >= 0:
            if block[at : at + len(_BEGINNING)] in (_BEGINNING, _LAST_BEGINNING):
                return True
            at = block.find(b"fLaC", at + 1)
        if len(block) < _BLOCK:
            return False
        offset += len(block) - n_overlap
    return False


def _samples_up_to_last_frame(data: mmap.mmap, start: int) -> int:
    """Samples of the stream up to the end of its last frame.

    The last frame is the one whose checksum stands at the end of the file.
    """
    end = len(data)
    if data[end - _ID3V1_BYTES : end - _ID3V1_BYTES + 3] == b"TAG":
        end -= _ID3V1_BYTES
    least_block = int.from_bytes(data[start + 8 : start + 10], "big")

    lowest = max(start, end - _LARGEST_FRAME)
    at = data.rfind(b"\xff", lowest, end)
    while at >= 0:
        # Fixed and variable block size differ in the last bit of the sync code.
        if at + 16 < end and data[at + 1] in (0xF8, 0xF9):
            length = _last_sample(data[at : at + 16], least_block)
            if length and _crc16(data[at : end - 2]) == data[end - 2 : end]:
                return length
        at = data.rfind(b"\xff", lowest, at)
    raise ClipError(_CUT_OFF, status=TRUNCATED)


def _last_sample(head: bytes, block: int) -> int:
    """Number of the sample behind a frame; 0 where `head` is no header of a frame.

    `block` is the block size of a stream in which it is fixed.
    """
    number, n_coded = _coded_number(head[4:11])
    if n_coded == 0:
        return 0
    at = 4 + n_coded
    code = head[2] >> 4
    if code == 0:
        return 0
    if code == 1:
        n_samples = 192
    elif code <= 5:
        n_samples = 576 << (code - 2)
    elif code <= 7:
        width = code - 5
        n_samples = int.from_bytes(head[at : at + width], "big") + 1
        at += width
    else:
        n_samples = 256 << (code - 8)
    # Rates 12 to 14 stand behind the block size, in one byte or two.
    at += {12: 1, 13: 2, 14: 2}.get(head[2] & 15, 0)
    if _crc8(head[:at]) != head[at]:
        return 0
    is_variable = head[1] & 1
    return (number if is_variable else number * block) + n_samples


def _coded_number(data: bytes) -> tuple[int, int]:
    """A number coded as UTF-8 codes characters, and its bytes; these are 0 if none."""
    first = data[0]
    if first < 0x80:
        return first, 1
    n_bytes = 8 - (first ^ 0xFF).bit_length()
    if not 2 <= n_bytes <= 7:
        return 0, 0
    number = first & ((1 << (7 - n_bytes)) - 1)
    for byte in data[1:n_bytes]:
        if byte & 0xC0 != 0x80:
            return 0, 0
        number = number << 6 | byte & 0x3F
    return number, n_bytes


def _table(polynomial: int, width: int) -> list[int]:
    """Checksums of every single byte."""
    top = 1 << (width - 1)
    table = []
    for byte in range(256):
        value = byte << (width - 8)
        for _ in range(8):
            value = value << 1 ^ (polynomial if value & top else 0)
        table.append(value & ((1 << width) - 1))
    return table


_CRC8 = _table(0x07, 8)
_CRC16 = _table(0x8005, 16)


def _crc8(data: bytes) -> int:
    value = 0
    for byte in data:
        value = _CRC8[value ^ byte]
    return value


def _crc16(data: bytes) -> bytes:
    value = 0
    for byte in data:
        value = (value << 8 & 0xFFFF) ^ _CRC16[value >> 8 ^ byte]
    return value.to_bytes(2, "big")
