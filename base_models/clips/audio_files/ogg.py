"""Whether an OGG file holds all of its pages."""

from __future__ import annotations

import os

from base_models.errors import ClipError

# More than the largest page: 27 bytes of header, 255 segment sizes, and 255 segments of
# 255 bytes.
_LARGEST_OGG_PAGE = 65_536 + 282
_OGG_HEADER_BYTES = 27
_OGG_LAST_PAGE = 4


def check_last_page(handle: int, size: int) -> None:
    """Refuse an OGG file that does not end with a whole page marked as the last.

    A file that was cut decodes to fewer samples without an error.
    """
    tail = os.pread(handle, _LARGEST_OGG_PAGE, max(0, size - _LARGEST_OGG_PAGE))

    # From the end backwards, since "OggS" may also occur by chance within a page.
    start = tail.rfind(b"OggS")
    while start >= 0:
        if _is_last_page(tail[start:]):
            return
        start = tail.rfind(b"OggS", 0, start)

    raise ClipError(
        "cut off: an OGG file ends with a page marked as the last, "
        "and this one does not"
    )


def _is_last_page(page: bytes) -> bool:
    """Whether the bytes are exactly one whole OGG page, marked as the last."""
    if len(page) < _OGG_HEADER_BYTES:
        return False

    n_segments = page[_OGG_HEADER_BYTES - 1]
    body_start = _OGG_HEADER_BYTES + n_segments
    if len(page) < body_start:
        return False

    segment_sizes = page[_OGG_HEADER_BYTES:body_start]
    is_whole = len(page) == body_start + sum(segment_sizes)
    is_marked = bool(page[5] & _OGG_LAST_PAGE)
    return is_whole and is_marked
