"""What was found of a file, kept for as long as the file is unchanged.

The windows of a long file are clips of their own, and each of them is opened. What is
true of the whole file would otherwise be found anew for each window, so that the time
would grow with the square of the length.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Generic, TypeVar

Found = TypeVar("Found")

# A file that changed as recently as this may change again without another time.
_RECENT_NANOSECONDS = 2_000_000_000
_MAX_FILES = 1_000


def state_of(handle: int) -> tuple[int, ...]:
    """What tells one state of an open file from another: its times among others."""
    return state_at(os.fstat(handle))


def state_at(status: os.stat_result) -> tuple[int, ...]:
    """The same, of what the system says of a file."""
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


def is_settled(handle: int) -> bool:
    """Whether a change of an open file from now on will show in its times."""
    return is_settled_at(os.fstat(handle))


def is_settled_at(status: os.stat_result) -> bool:
    """The same, of what the system says of a file."""
    return time.time_ns() - status.st_ctime_ns > _RECENT_NANOSECONDS


class OfUnchangedFiles(Generic[Found]):
    """Something that is found of files, once while a file is as it is.

    Whether a file has changed is told by its times, as they are in the file system.
    """

    def __init__(self) -> None:
        self._found: dict[tuple[int, ...], Found] = {}

    def of(self, handle: int, find: Callable[[], Found]) -> Found:
        """What was found of an open file; of a new or changed one, what `find` finds.

        Parameters
        ----------
        handle : int
            File descriptor.
        find : callable
            Called without arguments. What it raises is not kept.
        """
        state = state_of(handle)
        if state in self._found:
            return self._found[state]

        found = find()
        if is_settled(handle):
            if len(self._found) >= _MAX_FILES:
                self._found.clear()
            self._found[state] = found
        return found
