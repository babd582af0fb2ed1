"""Bytes of regular files, whose kind and size are checked before anything is read."""

from __future__ import annotations

import os
import stat
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

    try:
        with os.fdopen(os.open(place, _FLAGS), "rb") as file:
            # Asked of the open file: a name may lead elsewhere a moment later.
            status = os.fstat(file.fileno())
            # A pipe or a device, which a stranger's folder may hold, never ends.
            if not stat.S_ISREG(status.st_mode):
                raise DamagedArtifact(f"{path} is not a regular file.")
            if status.st_size > max_bytes:
                raise DamagedArtifact(
                    f"{path} has {status.st_size:,} bytes; at most {max_bytes:,} are "
                    "read of such a file."
                )

            # One byte more than there should be shows a file that grows.
            data = file.read(status.st_size + 1)
    except IsADirectoryError as error:
        raise DamagedArtifact(f"{path} is not a regular file.") from error
    except OSError as error:
        raise machine_fault(error, path) or DamagedArtifact(
            f"{path} cannot be read: {error.strerror}."
        ) from error
    except ValueError as error:
        raise DamagedArtifact(f"{str(path)!r} names no file ({error}).") from error
    if len(data) != status.st_size:
        raise DamagedArtifact(f"{path} changed while it was read; try again.")
    return data


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
