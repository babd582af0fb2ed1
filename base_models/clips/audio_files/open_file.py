"""Open an audio file for reading: a regular file, or a row of a table.

Of a segment, the file that it is a part of is opened.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import time
from collections.abc import Iterator

from base_models.clip_status import CHANGED, EMPTY, MISSING, TOO_SLOW
from base_models.clips.audio_files.apart.limits import SECONDS_VARIABLE, limits
from base_models.clips.audio_files.readable import file_in_memory, write_all
from base_models.clips.audio_files.unchanged import (
    OfUnchangedFiles,
    is_settled,
    state_of,
)
from base_models.clips.parquet.embedded_audio import read_embedded, row_of_reference
from base_models.clips.segments.reference import segment_of
from base_models.errors import ClipError, machine_fault

MAX_HELD = 64 << 20
"""Bytes of a file that is copied before it is read, so that it cannot change."""

_BLOCK = 1 << 20

# What Linux takes; a message with more could not be read.
_MAX_NAME = 4_096

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


@contextlib.contextmanager
def held_file(path: str | os.PathLike[str]) -> Iterator[tuple[int, int]]:
    """The same, of bytes that stay as they are for as long as it is open.

    What is hashed is then what is decoded. A file is copied into memory. A larger one,
    and one with segments, which would be copied for each of them, is read where it
    lies, and refused at the end if it was changed meanwhile.

    Raises
    ------
    ClipError
        For the reasons of `regular_file`, and when the file was changed.
    """
    with regular_file(path) as (handle, size):
        name = os.fspath(path)
        segment = segment_of(name)
        if segment is None and row_of_reference(name) is not None:
            # It is a copy already.
            yield handle, size
        elif segment is None and size <= MAX_HELD:
            with _copy_in_memory(handle, name) as (copy, n_bytes):
                yield copy, n_bytes
        else:
            with _unchanged(handle, name):
                yield handle, size


@contextlib.contextmanager
def _copy_in_memory(handle: int, name: str) -> Iterator[tuple[int, int]]:
    copy = file_in_memory()
    try:
        n_bytes = 0
        while block := os.pread(handle, _BLOCK, n_bytes):
            write_all(copy, block)
            n_bytes += len(block)
            if n_bytes > MAX_HELD:
                raise _changed(name)
        if n_bytes == 0:
            raise _changed(name)
        yield copy, n_bytes
    finally:
        os.close(copy)


@contextlib.contextmanager
def _unchanged(handle: int, name: str) -> Iterator[None]:
    """Refuse an open file at the end if it was changed in between."""
    state = state_of(handle)
    # Of a file that was written just now, the times may not tell.
    digest = ""
    with naming(name):
        if not is_settled(handle):
            digest = digest_of(handle)
    yield
    with naming(name):
        is_other = bool(digest) and digest_of(handle) != digest
    if is_other or state_of(handle) != state:
        raise _changed(name)


def _changed(name: str) -> ClipError:
    return ClipError(
        f"{name!r} was changed while it was read; run again when nobody writes to it",
        status=CHANGED,
    )


def _open_without_waiting(name: str) -> int:
    """Open the file `name` for reading.

    Without O_NONBLOCK, opening a FIFO would block until somebody writes to it.
    """
    if not name:
        raise ClipError("it has no audio file", status=MISSING)
    if "\0" in name:
        raise ClipError(f"the file name {name[:60]!r} contains a NUL character")
    if len(name) > _MAX_NAME:
        raise ClipError(
            f"the file name {name[:60]!r}… of {len(name):,} characters is too long; at "
            f"most {_MAX_NAME} are read"
        )

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


@contextlib.contextmanager
def naming(name: str) -> Iterator[None]:
    """Put the name of the file before the reason why it cannot be used."""
    try:
        yield
    except ClipError as error:
        raise ClipError(f"{name!r}: {error}", status=error.status) from error


def digest_of(handle: int) -> str:
    """Hex SHA-256 of the bytes of an open file.

    Raises
    ------
    ClipError
        When it takes longer than a clip may take: a file of many gigabytes of nothing
        takes little room on a disk.
    """
    digest = hashlib.sha256()
    own = limits()
    started = time.monotonic()
    offset = 0
    while block := os.pread(handle, _BLOCK, offset):
        digest.update(block)
        offset += len(block)
        if own and time.monotonic() - started > own.seconds:
            raise ClipError(
                f"reading its {os.fstat(handle).st_size:,} bytes takes longer than "
                f"{own.seconds:g} s; set {SECONDS_VARIABLE} higher if it is audio",
                status=TOO_SLOW,
            )
    return digest.hexdigest()


def digest_of_source(handle: int) -> str:
    """The same of a file with many segments, which is read once while it is as is."""
    return _DIGESTS.of(handle, lambda: digest_of(handle))
