"""How long an MPEG audio file (MP3) really is, counted by its frame headers.

The trap: without a length in its first frame (Xing or Info) a decoder guesses from the file size and the bit rate of
the start, and stops reading at the guess; a file of variable bit rate is cut there without a word. So are joined files,
whose first part declares its own length. Frames are only counted, never decoded.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

_RATES = (44_100, 48_000, 32_000)  # of version 1; halved in version 2, quartered in 2.5
_KBPS = {  # by (version 1, layer), ISO 11172-3 and 13818-3; index 0 is free format
    (True, 1): range(0, 449, 32),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_LENGTH = re.compile(rb"(?:Xing|Info)\0\0\0(.)", re.DOTALL)


@dataclass(frozen=True)
class Length:
    """What the frame headers of a file say.

    Parameters
    ----------
    samples : per channel, in the frames that were counted
    per_frame : samples per channel in one frame
    whole : whether the count reached the end of the file, or a tag there
    declared : whether the first frame declares the length
    """

    samples: int
    per_frame: int
    whole: bool
    declared: bool


def is_frame(head: bytes) -> bool:
    """Whether four bytes are an MPEG audio frame header: sync, and no reserved version, layer, bit rate or rate."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return False
    reserved_version, reserved_layer = head[1] & 0x18 == 0x08, head[1] & 0x06 == 0
    return not (
        reserved_version
        or reserved_layer
        or head[2] & 0xF0 == 0xF0
        or head[2] & 0x0C == 0x0C
    )


def _frame_size(head: bytes) -> tuple[int, int]:
    """Bytes and samples of the frame that a header begins; (0, 0) in free format, whose frames have no known size."""
    version, layer, pad = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3), head[2] >> 1 & 1
    bits = 1000 * _KBPS[version == 3, layer][head[2] >> 4]
    rate = _RATES[head[2] >> 2 & 3] >> {3: 0, 2: 1, 0: 2}[version]
    samples = 384 if layer == 1 else 576 if layer == 3 and version != 3 else 1152
    slot = 4 if layer == 1 else 1
    return (
        ((samples // 8 // slot * bits // rate + pad) * slot, samples)
        if bits
        else (0, 0)
    )


def measure(handle: int, limit: int) -> Length:
    """Count the samples of an MPEG file, up to `limit`; what is no frame and no ID3v2 tag ends the count."""
    at, samples, per_frame, same, declared = 0, 0, 0, None, False
    while samples < limit:
        head = os.pread(handle, 64, at)
        if head[:3] == b"ID3" and len(head) >= 10:
            at += 10 + sum(
                (byte & 127) << shift
                for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True)
            )
            at += 10 if head[5] & 16 else 0
            continue
        kind = (
            (head[1] & 0x1E, head[2] & 0x0C) if is_frame(head) else None
        )  # version, layer and rate stay
        size, count = _frame_size(head) if kind and kind == (same or kind) else (0, 0)
        if not size:
            return Length(
                samples, per_frame, not head or head[:3] in (b"TAG", b"APE"), declared
            )
        if same is None:
            same, per_frame, found = kind, count, _LENGTH.search(head)
            declared = found is not None and bool(found[1][0] & 1)
        samples, at = samples + count, at + size
    return Length(samples, per_frame, False, declared)
