"""The real length of an MPEG audio file (MP3), counted by its frame headers.

Without a length in its first frame (a Xing or Info header), a decoder estimates one
from the file size and the bit rate at the start, and stops reading there: a file of
variable bit rate is cut without an error. So is a file made by joining others, whose
first part declares its own length only. Frames are counted here, never decoded.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

# Sample rates of version 1, by index; version 2 halves them, version 2.5 quarters them.
_RATES = (44_100, 48_000, 32_000)

# Values of the two version bits in a header; 1 is reserved.
_VERSION_1 = 3
_RATE_SHIFT = {3: 0, 2: 1, 0: 2}

# Bit rates in kbit/s by (is version 1, layer) and index, from ISO 11172-3 and 13818-3.
# Index 0 is free format, whose bit rate the header does not say.
_KBPS = {
    (True, 1): range(0, 449, 32),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}

# The last byte holds flags, of which bit 0 says that a number of frames follows.
_LENGTH_HEADER = re.compile(rb"(?:Xing|Info)\0\0\0(.)", re.DOTALL)

# A frame header and the place where a Xing or Info header can stand after it.
_HEAD_BYTES = 64


@dataclass(frozen=True)
class Length:
    """Length of an MPEG file according to its frame headers.

    Parameters
    ----------
    samples : int
        Samples per channel in the frames that were counted.
    per_frame : int
        Samples per channel in one frame.
    whole : bool
        Whether the count reached the end of the file, or a tag at its end.
    declared : bool
        Whether the first frame declares the length.
    """

    samples: int
    per_frame: int
    whole: bool
    declared: bool


def is_frame(head: bytes) -> bool:
    """Whether the first four bytes are a valid MPEG audio frame header.

    They are when they begin with the sync bits and use no reserved version, layer,
    bit rate or sample rate.
    """
    if len(head) < 4:
        return False

    has_sync = head[0] == 0xFF and head[1] & 0xE0 == 0xE0
    reserved_version = head[1] & 0x18 == 0x08
    reserved_layer = head[1] & 0x06 == 0
    reserved_bit_rate = head[2] & 0xF0 == 0xF0
    reserved_rate = head[2] & 0x0C == 0x0C

    is_reserved = (
        reserved_version or reserved_layer or reserved_bit_rate or reserved_rate
    )
    return has_sync and not is_reserved


def measure(handle: int, limit: int) -> Length:
    """Count the samples of an MPEG file, up to `limit` per channel.

    Parameters
    ----------
    handle : int
        File descriptor; its position is left alone.
    limit : int
        The count stops once it has reached this many samples per channel.

    Returns
    -------
    length : Length
        Of the frames up to the first bytes that are neither a frame of the same
        version, layer and sample rate nor an ID3v2 tag.
    """
    offset = 0
    n_samples = 0
    per_frame = 0
    declared = False
    format_of_stream: tuple[int, int] | None = None

    while n_samples < limit:
        head = os.pread(handle, _HEAD_BYTES, offset)

        if head[:3] == b"ID3" and len(head) >= 10:
            offset += _id3_size(head)
            continue

        # Bit rate and padding may differ between frames; a frame of another version,
        # layer or rate does not belong to the stream.
        frame_format = _frame_format(head)
        is_same_format = format_of_stream in (None, frame_format)
        frame_bytes = 0
        frame_samples = 0
        if frame_format is not None and is_same_format:
            frame_bytes, frame_samples = _frame_size(head)

        if frame_bytes == 0:
            at_end = not head or head[:3] in (b"TAG", b"APE")
            return Length(n_samples, per_frame, whole=at_end, declared=declared)

        if format_of_stream is None:
            format_of_stream = frame_format
            per_frame = frame_samples
            declared = _declares_length(head)

        n_samples += frame_samples
        offset += frame_bytes

    return Length(n_samples, per_frame, whole=False, declared=declared)


def _id3_size(head: bytes) -> int:
    """Bytes of the ID3v2 tag that begins with `head`, with its header and footer."""
    size = 10

    # The size field has seven bits per byte, so that it can hold no frame sync.
    for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True):
        size += (byte & 127) << shift

    has_footer = head[5] & 16
    return size + 10 if has_footer else size


def _frame_format(head: bytes) -> tuple[int, int] | None:
    """The bits for version, layer and sample rate, or None where `head` is no frame."""
    if not is_frame(head):
        return None
    return head[1] & 0x1E, head[2] & 0x0C


def _frame_size(head: bytes) -> tuple[int, int]:
    """Bytes, and samples per channel, of the frame that begins with `head`.

    Both are 0 in free format, where the size of a frame cannot be computed.
    """
    version = head[1] >> 3 & 3
    layer = 4 - (head[1] >> 1 & 3)
    padding = head[2] >> 1 & 1

    bits_per_second = 1000 * _KBPS[version == _VERSION_1, layer][head[2] >> 4]
    if bits_per_second == 0:
        return 0, 0
    rate = _RATES[head[2] >> 2 & 3] >> _RATE_SHIFT[version]

    if layer == 1:
        n_samples = 384
    elif layer == 3 and version != _VERSION_1:
        n_samples = 576
    else:
        n_samples = 1152

    # A frame is a whole number of slots: four bytes in layer 1, else one byte.
    slot_bytes = 4 if layer == 1 else 1
    n_slots = n_samples // 8 // slot_bytes * bits_per_second // rate + padding
    return n_slots * slot_bytes, n_samples


def _declares_length(first_head: bytes) -> bool:
    match = _LENGTH_HEADER.search(first_head)
    if match is None:
        return False
    flags = match[1][0]
    return bool(flags & 1)
