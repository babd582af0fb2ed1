"""What the decoder is given of a file: the file itself, or a mended copy in memory."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from base_models.clip_status import UNSUPPORTED
from base_models.errors import ClipError

_BLOCK = 1 << 20

# A mended copy lies in memory; no clip that is rated comes near this.
_MAX_COPY = 1 << 31


class Patch(NamedTuple):
    """Bytes to be written at an offset of the copy."""

    offset: int
    data: bytes


@dataclass(frozen=True)
class Readable:
    """How a file becomes one that the decoder reads right.

    Parameters
    ----------
    start : int
        What comes before is left out.
    before : bytes
        What stands in its place.
    end : int or None
        What comes from here on is left out.
    foreign : str
        Kind of a file that only an optional reader decodes; "" otherwise.
    patches : tuple of Patch
        Bytes that are replaced, of a file from its start on.
    """

    start: int = 0
    before: bytes = b""
    end: int | None = None
    foreign: str = ""
    patches: tuple[Patch, ...] = ()

    @contextlib.contextmanager
    def opened(self, handle: int) -> Iterator[int]:
        """A descriptor for the decoder; that of the file where nothing is mended."""
        if self == AS_IT_IS:
            os.lseek(handle, 0, os.SEEK_SET)
            yield handle
            return
        if os.fstat(handle).st_size > _MAX_COPY:
            raise ClipError(
                f"files like this one are read up to {_MAX_COPY >> 30} GiB; save it "
                "again as a regular file",
                status=UNSUPPORTED,
            )
        copy = file_in_memory()
        try:
            write_all(copy, self.before)
            offset = self.start
            end = os.fstat(handle).st_size if self.end is None else self.end
            while block := os.pread(handle, min(_BLOCK, end - offset), offset):
                write_all(copy, block)
                offset += len(block)
            for patch in self.patches:
                os.pwrite(copy, patch.data, patch.offset)
            os.lseek(copy, 0, os.SEEK_SET)
            yield copy
        finally:
            os.close(copy)


AS_IT_IS = Readable()
"""Of a file that the decoder reads right by itself."""


def file_in_memory() -> int:
    """A descriptor of an empty file that is nowhere on disk."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("clip", os.MFD_CLOEXEC)
    # A file without a name, where the system knows no files in memory.
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def write_all(handle: int, data: bytes) -> None:
    """Write all of some bytes, which a single call may not do."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(handle, rest) :]
