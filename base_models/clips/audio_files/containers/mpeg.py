"""The real length of an MPEG audio file (MP3), counted by its frame headers.

Without a length in its first frame (a Xing or Info header), a decoder estimates one
from the file size and the bit rate at the start, and stops reading there: a file of
variable bit rate is cut without an error. So is a file made by joining others, whose
first part declares its own length only. Frames are counted here, never decoded.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace

from base_models.clip_status import TRUNCATED
from base_models.clips.audio_files.readable import AS_IT_IS, Readable
from base_models.clips.audio_files.unchanged import OfUnchangedFiles
from base_models.errors import ClipError

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

MAX_JUNK = 1 << 16
"""Bytes that are no frame which may stand before, between or behind frames."""

# Frames that must follow each other where other bytes are before them.
_RUN = 4

_ID3V1_BYTES = 128
_ID3V1_EXTENDED_BYTES = 227
_APE_HEADER_BYTES = 32

# Header, side information and the fields of a length are at most 48 bytes.
_LEAST_LENGTH_FRAME = 48

# An empty tag, behind which libsndfile recognises every MPEG file.
_EMPTY_TAG = b"ID3\x04\0\0\0\0\0\x0a" + bytes(10)

# A frame header and the place where a Xing or Info header can stand after it.
_HEAD_BYTES = 64

# Samples between the places of a file from which it is counted on; about 24 s.
_KEPT_EVERY = 1 << 20


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
        Whether the count reached the end of the file, but for tags and other bytes.
    declared : bool
        Whether the first frame declares the length.
    end : int
        Where the last of these frames ends.
    is_cut : bool
        Whether the file ends within its last frame.
    is_joined : bool
        Whether frames of another version, layer or sample rate follow.
    """

    samples: int
    per_frame: int
    whole: bool
    declared: bool
    end: int
    is_cut: bool = False
    is_joined: bool = False


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


def check_mpeg(handle: int, size: int) -> Readable | None:
    """What the decoder is to be given of an MPEG file; None where it is none.

    Players skip what is no frame at the start of a file, as recorders and downloads
    leave it there; libsndfile does not. Where the first frame declares no length,
    libsndfile estimates one and stops reading there; such a file is given a first frame
    that declares what was counted.

    Raises
    ------
    ClipError
        When a file without a declared length is cut off within its last frame.
    """
    first = _first_frame(handle)
    if first is None:
        return None
    is_clean = first == skip_id3(handle, 0)
    mended = AS_IT_IS if is_clean else Readable(start=first, before=_EMPTY_TAG)

    head = os.pread(handle, _HEAD_BYTES, first)
    is_layer_3 = head[1] >> 1 & 3 == 1
    if _declares_length(head) or not is_layer_3:
        return mended
    counted = measure(handle, 1 << 62)
    if counted.is_cut:
        raise ClipError("cut off: it ends within its last frame", status=TRUNCATED)
    if counted.samples == 0:
        return mended
    n_frames = counted.samples // counted.per_frame
    return Readable(
        start=first, before=_EMPTY_TAG + _length_frame(head, n_frames), end=counted.end
    )


def behind_empty_tag(handle: int) -> Readable | None:
    """An MPEG file as libsndfile recognises it always; None where it is none."""
    first = _first_frame(handle)
    return None if first is None else Readable(start=first, before=_EMPTY_TAG)


def _first_frame(handle: int) -> int | None:
    """Where the first frame is, behind tags and other bytes; None where none is."""
    offset = skip_id3(handle, 0)
    found = _next_frame(handle, offset)
    if found is None and is_frame(os.pread(handle, 4, offset)):
        # A file of a few frames has no run.
        return offset
    return found


def _length_frame(head: bytes, n_frames: int) -> bytes:
    """A silent frame like the one that begins with `head`, which declares a length."""
    header = bytearray(head[:4])
    # Without a checksum, and with the least bit rate at which the fields fit.
    header[1] |= 1
    n_bytes = 0
    for rate_index in range(1, 15):
        header[2] = rate_index << 4 | header[2] & 0x0C
        n_bytes, _ = _frame_size(bytes(header))
        if n_bytes >= _LEAST_LENGTH_FRAME:
            break
    is_version_1 = head[1] >> 3 & 3 == _VERSION_1
    is_mono = head[3] >> 6 == 3
    if is_version_1:
        n_side = 17 if is_mono else 32
    else:
        n_side = 9 if is_mono else 17
    fields = b"Info" + (1).to_bytes(4, "big") + n_frames.to_bytes(4, "big")
    return (bytes(header) + bytes(n_side) + fields).ljust(n_bytes, b"\0")


def skip_id3(handle: int, offset: int) -> int:
    """The offset behind the ID3v2 tags that begin at an offset."""
    head = os.pread(handle, 10, offset)
    while head[:3] == b"ID3" and len(head) == 10:
        offset += _id3_size(head)
        head = os.pread(handle, 10, offset)
    return offset


def _next_frame(handle: int, offset: int) -> int | None:
    """Offset of the next frame that begins a run, within `MAX_JUNK` bytes.

    That bytes look like one header happens by chance, so `_RUN` frames are asked for.
    """
    window = os.pread(handle, MAX_JUNK, offset)
    at = window.find(b"\xff")
    while at >= 0:
        if is_frame(window[at : at + 4]) and _begins_run(handle, offset + at):
            return offset + at
        at = window.find(b"\xff", at + 1)
    return None


def _begins_run(handle: int, offset: int) -> bool:
    """Whether `_RUN` frames of one format follow each other from an offset."""
    first = _frame_format(os.pread(handle, 4, offset))
    for _ in range(_RUN):
        head = os.pread(handle, 4, offset)
        if first is None or _frame_format(head) != first:
            return False
        n_bytes, _ = _frame_size(head)
        if n_bytes == 0:
            return False
        offset += n_bytes
    return True


@dataclass
class _Place:
    """Where a count of frames has come to; see `Length` for what it has told."""

    offset: int
    samples: int = 0
    per_frame: int = 0
    declared: bool = False
    end: int = 0
    stream_format: tuple[int, int] | None = None

    def pass_frame(self, head: bytes, n_bytes: int, n_samples: int) -> None:
        """Go on behind the frame that begins with `head`."""
        if self.stream_format is None:
            self.stream_format = _frame_format(head)
            self.per_frame = n_samples
            self.declared = _declares_length(head)
        self.samples += n_samples
        self.offset += n_bytes
        self.end = self.offset

    def length(
        self, *, whole: bool, is_cut: bool = False, is_joined: bool = False
    ) -> Length:
        """What is known when the count ends here."""
        return Length(
            self.samples,
            self.per_frame,
            whole=whole,
            declared=self.declared,
            end=self.end,
            is_cut=is_cut,
            is_joined=is_joined,
        )


_PLACES: OfUnchangedFiles[list[_Place]] = OfUnchangedFiles()


def measure(handle: int, limit: int) -> Length:
    """Count the samples of an MPEG file, up to `limit` per channel.

    A file that is as it was is counted on from a place near the limit.

    Parameters
    ----------
    handle : int
        File descriptor; its position is left alone.
    limit : int
        The count stops once it has reached this many samples per channel.

    Returns
    -------
    length : Length
        Of all frames of one version, layer and sample rate. Tags, and other bytes of up
        to `MAX_JUNK` at a time, may stand before, between and behind them.
    """
    size = os.fstat(handle).st_size
    places = _PLACES.of(handle, lambda: [_Place(_first_frame(handle) or 0)])
    # What a count from the first frame would pass on its way to the limit.
    passed = [place for place in places if place.samples < limit]
    here = replace(max(passed, key=_samples_of, default=places[0]))
    next_kept = places[-1].samples + _KEPT_EVERY

    while here.samples < limit:
        head = os.pread(handle, _HEAD_BYTES, here.offset)
        if tag_bytes := _tag_bytes(head):
            here.offset += tag_bytes
            continue

        # Bit rate and padding may differ between frames; a frame of another version,
        # layer or rate does not belong to the stream.
        frame_format = _frame_format(head)
        is_same_format = here.stream_format in (None, frame_format)
        frame_bytes = 0
        frame_samples = 0
        if frame_format is not None and is_same_format:
            frame_bytes, frame_samples = _frame_size(head)

        if frame_bytes == 0:
            found = _next_frame(handle, here.offset) if head else None
            if found is not None and found > here.offset:
                here.offset = found
                continue
            # A run of frames of another format, where no other bytes are between.
            is_joined = found is not None
            at_end = size - here.offset <= MAX_JUNK and not is_joined
            return here.length(whole=at_end, is_joined=is_joined)

        here.pass_frame(head, frame_bytes, frame_samples)
        if here.offset > size:
            return here.length(whole=True, is_cut=True)
        if here.samples >= next_kept:
            next_kept = here.samples + _KEPT_EVERY
            places.append(replace(here))

    return here.length(whole=False)


def _samples_of(place: _Place) -> int:
    return place.samples


def _tag_bytes(head: bytes) -> int:
    """Bytes of the tag that begins with `head`; 0 where none does."""
    if head[:3] == b"ID3" and len(head) >= 10:
        return _id3_size(head)
    if head[:4] == b"TAG+":
        return _ID3V1_EXTENDED_BYTES
    if head[:3] == b"TAG":
        return _ID3V1_BYTES
    if head[:8] == b"APETAGEX" and len(head) >= _APE_HEADER_BYTES:
        # The size counts the footer, which is like the header.
        is_header = bool(head[23] & 0x20)
        size = int.from_bytes(head[12:16], "little")
        return size + _APE_HEADER_BYTES if is_header else _APE_HEADER_BYTES
    return 0


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
