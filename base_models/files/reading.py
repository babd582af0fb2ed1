"""Bytes of regular files, whose kind and size are checked before anything is read."""

from __future__ import annotations

import contextlib
import io
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from base_models.errors import DamagedArtifact, machine_fault
from base_models.files.json_values import from_json

MAX_BYTES = 2**32
"""Size of the largest file that is read, in bytes."""
MAX_JSON_BYTES = 2**28
"""Size of the largest file of JSON that is read, in bytes."""

# Each is missing on some system. Without O_NONBLOCK, opening a pipe waits for ever.
_FLAGS = os.O_RDONLY
for _flag in ("O_NONBLOCK", "O_CLOEXEC", "O_BINARY", "O_NOCTTY"):
    _FLAGS |= getattr(os, _flag, 0)


def read_bytes(
    path: Path | str, max_bytes: int = MAX_BYTES, within: Path | str | None = None
) -> bytes:
    """Read all bytes of a regular file, which is opened once.

    Parameters
    ----------
    path : of the file
    max_bytes : size of the largest file that is read
    within : folder that the file must lie in, once all links are followed; None allows
        any place

    Raises
    ------
    DamagedArtifact
        naming the file, when it is missing, cannot be read, is no regular file, is too
        large, changes while it is read, or lies outside of `within`.
    MachineFault
        when too many files are open, the disk fails, or the like.
    """
    path = Path(path)
    place = os.fspath(path)
    if within is not None:
        place = _place_within(path, Path(within))

    with _opened(path, place) as (handle, size):
        if size > max_bytes:
            raise DamagedArtifact(
                f"{path} has {size:,} bytes; at most {max_bytes:,} are read of such a "
                "file."
            )
        with os.fdopen(handle, "rb", closefd=False) as file:
            # One byte more than there should be shows a file that grows.
            data = file.read(size + 1)
    if len(data) != size:
        raise DamagedArtifact(f"{path} changed while it was read; try again.")
    return data


def read_part(
    path: Path | str,
    start: int,
    n_bytes: int,
) -> bytes:
    """Read some bytes of a regular file.

    Parameters
    ----------
    path : of the file
    start : place of the first byte
    n_bytes : how many; fewer are an error

    Raises
    ------
    DamagedArtifact
        naming the file, when it is missing, cannot be read, is no regular file, or ends
        before.
    MachineFault
        when too many files are open, the disk fails, or the like.
    """
    path = Path(path)
    with _opened(path, os.fspath(path)) as (handle, size):
        # Asked before, as memory is taken for all that is asked for.
        data = b""
        if n_bytes >= 0 and 0 <= start <= size - n_bytes:
            with os.fdopen(handle, "rb", buffering=0, closefd=False) as file:
                file.seek(start)
                data = _exactly(file, n_bytes)
    if len(data) != n_bytes:
        raise DamagedArtifact(f"{path} ends before it should.")
    return data


def _exactly(file: io.FileIO, n_bytes: int) -> bytes:
    """The next bytes of a file, or all that are left: one call may give fewer."""
    data = file.read(n_bytes) or b""
    while len(data) < n_bytes:
        more = file.read(n_bytes - len(data))
        if not more:
            break
        data += more
    return data


@contextlib.contextmanager
def _opened(path: Path, place: str) -> Iterator[tuple[int, int]]:
    """Descriptor and size of a regular file.

    Parameters
    ----------
    path : as messages name it
    place : where it lies
    """
    try:
        handle = os.open(place, _FLAGS)
        try:
            # Asked of the open file: a name may lead elsewhere a moment later.
            status = os.fstat(handle)
            # A pipe or a device, which a stranger's folder may hold, never ends.
            if not stat.S_ISREG(status.st_mode):
                raise DamagedArtifact(f"{path} is not a regular file.")
            yield handle, status.st_size
        finally:
            os.close(handle)
    except IsADirectoryError as error:
        raise DamagedArtifact(f"{path} is not a regular file.") from error
    except OSError as error:
        raise machine_fault(error, path) or DamagedArtifact(
            f"{path} cannot be read: {error.strerror}."
        ) from error
    except ValueError as error:
        raise DamagedArtifact(f"{str(path)!r} names no file ({error}).") from error


def _place_within(path: Path, folder: Path) -> str:
    """The place that a path stands for, which must lie in `folder`."""
    place = os.path.realpath(path)
    roots = [os.path.realpath(folder)]
    # The cache of a hub keeps the files of all commits in one folder, to which those
    # of a commit are links.
    if folder.parent.name == "snapshots":
        roots.append(os.path.join(os.path.realpath(folder.parent.parent), "blobs"))

    if not any(Path(place).is_relative_to(root) for root in roots):
        raise DamagedArtifact(
            f"{path} is a link that leads out of {folder}; nothing was read. Put the "
            "file itself there."
        )
    return place


def read_json(path: Path | str, within: Path | str | None = None) -> Any:
    """Read strict JSON from a file.

    Parameters
    ----------
    path, within : as in `read_bytes`

    Raises
    ------
    DamagedArtifact
        when the file cannot be read or parsed.
    """
    return from_json(read_bytes(path, MAX_JSON_BYTES, within), str(path))
