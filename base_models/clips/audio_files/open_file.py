"""Open an audio file for reading: a regular file, or a row of a table.

Of a segment, the file that it is a part of is opened.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterator

from base_models.clip_status import EMPTY, MISSING
from base_models.clips.audio_files.readable import file_in_memory, write_all
from base_models.clips.audio_files.unchanged import OfUnchangedFiles
from base_models.clips.parquet.embedded_audio import read_embedded, row_of_reference
from base_models.clips.segments.reference import segment_of
from base_models.errors import ClipError, machine_fault

_DIGESTS: OfUnchangedFiles[str] = OfUnchangedFiles()


@contextlib.contextmanager
def regular_file(path: str | os.PathLike[str]) -> Iterator[tuple[int, int]]:
    """File descriptor and size in bytes of a regular file that is not empty."""
    name = os.fspath(path)
    segment = segment_of(name)
    if segment is not None:
        name = segment.source
    row = row_of_reference(name)
    handle = _open_without_waiting(name) if row is None else _open_row(*row)
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise ClipError(f"{name!r} is not a regular file")
        if status.st_size == 0:
            raise ClipError(f"{name!r} is empty (0 bytes)", status=EMPTY)
        yield handle, status.st_size
    except OSError as error:
        reason = error.strerror or error
        raise machine_fault(error, name) or ClipError(
            f"{name!r} cannot be read: {reason}"
        ) from error
    finally:
        os.close(handle)


def _open_without_waiting(name: str) -> int:
    """Open the file `name` for reading.

    Without O_NONBLOCK, opening a FIFO would block until somebody writes to it.
    """
    if not name:
        raise ClipError("it has no audio file", status=MISSING)
    if "\0" in name:
        raise ClipError(f"the file name {name!r} contains a NUL character")

    try:
        return os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise ClipError(f"there is no file {name!r}", status=MISSING) from None
    except (OSError, UnicodeEncodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise machine_fault(error, name) or ClipError(
            f"{name!r} cannot be opened: {reason}"
        ) from error


def _open_row(table: str, row: int) -> int:
    """A descriptor of the audio file in a row of a table, which is nowhere on disk."""
    handle = file_in_memory()
    write_all(handle, read_embedded(table, row))
    os.lseek(handle, 0, os.SEEK_SET)
    return handle


def digest_of(handle: int) -> str:
    """Hex SHA-256 of the bytes of an open file."""
    digest = hashlib.sha256()
    offset = 0
    while block := os.pread(handle, 1 << 20, offset):
        digest.update(block)
        offset += len(block)
    return digest.hexdigest()


def digest_of_source(handle: int) -> str:
    """The same of a file with many segments, which is read once while it is as is."""
    return _DIGESTS.of(handle, lambda: digest_of(handle))
