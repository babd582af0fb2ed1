"""Locks of folders, which save work that two processes would otherwise do twice."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

LOCK = ".lock"
"""Name of the file that is locked; it is there while somebody works in the folder."""


@contextlib.contextmanager
def locked(folder: Path | str) -> Iterator[None]:
    """Wait until no other process works in `folder`, then hold it inside the block.

    Notes
    -----
    The lock only saves work: on a file system without locks the work is done twice,
    with the same result. The operating system releases the lock of a process that is
    killed.
    """
    path = Path(folder) / LOCK
    with contextlib.ExitStack() as held:
        file = held.enter_context(_opened(path))
        # Whoever held it before may have removed the file that was waited for.
        while _lock(file, wait=True) and not _is_at(path, file):
            file = held.enter_context(_opened(path))
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def remove_stale_lock(folder: Path) -> None:
    """Remove the lock file of a process that was killed; a held one stays."""
    path = folder / LOCK
    with contextlib.suppress(OSError), path.open("rb") as file:
        if _lock(file, wait=False):
            path.unlink(missing_ok=True)


def _opened(path: Path) -> BinaryIO:
    """The lock file, made if it is not there, and so is its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("ab")


def _lock(file: BinaryIO, *, wait: bool) -> bool:
    """Lock a file; whether it is locked now."""
    # fcntl is missing on Windows, and some network file systems refuse locks.
    with contextlib.suppress(ImportError, OSError):
        import fcntl

        how = fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB
        fcntl.flock(file, how)
        return True
    return False


def _is_at(path: Path, file: BinaryIO) -> bool:
    """Whether an open file is the one that a path names."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except OSError:
        return False
