"""Whether an OGG file is whole, and one stream.

A file that was cut decodes to fewer samples without an error, and of a chain of streams
(as internet radio writes them, RFC 3533 section 4) libsndfile decodes the first alone.
Pages are walked through here, never decoded.
"""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass

from base_models.clip_status import TRUNCATED, UNSUPPORTED
from base_models.errors import ClipError

_HEADER_BYTES = 27
# A page has at most 255 segment sizes.
_HEAD = _HEADER_BYTES + 255
_CHECKSUM = slice(22, 26)
_FIRST_PAGE = 2
_LAST_PAGE = 4

# Every byte with its bits in the other order.
_TURNED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))

_CUT_OFF = (
    "cut off: an OGG file ends with a page marked as the last, and this one does not"
)


@dataclass
class _Stream:
    """What the pages of one logical stream have told so far."""

    next_number: int = 0
    has_ended: bool = False


def check_ogg(handle: int, size: int) -> None:
    """Refuse an OGG file that lacks pages, or in which one stream follows another.

    Raises
    ------
    ClipError
        When a page is missing or cut off, the last page of a stream is not marked as
        such, or the file is a chain of streams.
    """
    streams: dict[bytes, _Stream] = {}
    has_data = False
    offset = 0
    while offset < size:
        head = os.pread(handle, _HEAD, offset)
        n_bytes = _page_bytes(head)
        if n_bytes == 0 or offset + n_bytes > size:
            _check_rest(handle, offset, streams)
            return

        serial = head[14:18]
        number = int.from_bytes(head[18:22], "little")
        # The decoder would leave such a page out, and what follows would move up.
        if not _is_intact(os.pread(handle, n_bytes, offset)):
            raise ClipError(f"damaged: the checksum of page {number} does not fit it")
        if head[5] & _FIRST_PAGE:
            # All streams of a file begin before the first page of data; another one
            # behind it begins a new link of a chain.
            if has_data:
                raise ClipError(
                    "it is a chain of several OGG streams, of which only the first "
                    "would be read; decode it to one file, e.g. by ffmpeg -i IN "
                    "OUT.wav",
                    status=UNSUPPORTED,
                )
            streams[serial] = _Stream(number)
        elif serial not in streams:
            raise ClipError("damaged: a page of an OGG stream without its beginning")
        stream = streams[serial]
        if number != stream.next_number:
            raise ClipError(
                f"damaged: page {stream.next_number} of an OGG stream is missing, and "
                f"page {number} follows"
            )
        stream.next_number += 1
        stream.has_ended = bool(head[5] & _LAST_PAGE)
        has_data = has_data or not head[5] & _FIRST_PAGE
        offset += n_bytes

    if not all(stream.has_ended for stream in streams.values()):
        raise ClipError(_CUT_OFF, status=TRUNCATED)


def _page_bytes(head: bytes) -> int:
    """Bytes of the page that begins with `head`; 0 where none does."""
    if len(head) < _HEADER_BYTES or head[:4] != b"OggS":
        return 0
    n_segments = head[_HEADER_BYTES - 1]
    sizes = head[_HEADER_BYTES : _HEADER_BYTES + n_segments]
    if len(sizes) < n_segments:
        return 0
    return _HEADER_BYTES + n_segments + sum(sizes)


def _is_intact(page: bytes) -> bool:
    """Whether the checksum of a page is that of its bytes.

    It is a CRC-32 of the polynomial of zlib, but over bits in the other order, and with
    0 instead of all ones before and behind (RFC 3533, section 6).
    """
    stated = int.from_bytes(page[_CHECKSUM], "little")
    blank = page[: _CHECKSUM.start] + bytes(4) + page[_CHECKSUM.stop :]
    turned = zlib.crc32(blank.translate(_TURNED), 0xFFFF_FFFF) ^ 0xFFFF_FFFF
    found = int.from_bytes(turned.to_bytes(4, "little").translate(_TURNED), "big")
    return found == stated


def _check_rest(handle: int, offset: int, streams: dict[bytes, _Stream]) -> None:
    """Accept what is no page only behind streams that have ended, as a tag is."""
    has_ended = bool(streams) and all(one.has_ended for one in streams.values())
    rest = os.pread(handle, 1 << 17, offset)
    if not has_ended:
        raise ClipError(_CUT_OFF, status=TRUNCATED)
    if b"OggS" in rest or len(rest) == 1 << 17:
        raise ClipError("damaged: what follows the last page is no page of OGG")
