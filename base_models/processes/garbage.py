"""When Python looks for garbage."""

from __future__ import annotations

import atexit
import contextlib
import gc
from collections.abc import Iterator

_NEW_OBJECTS = 50_000
"""So many are made before Python looks for garbage, in place of 700."""


def collect_seldom() -> None:
    """Let Python look for garbage seldom, and not at all when the process ends.

    Importing the libraries makes a million objects that all stay, which Python would
    look at again and again, and once more before it ends: half a second to a second of
    every command. It is for processes that are a command's own.
    """
    _, second, third = gc.get_threshold()
    gc.set_threshold(_NEW_OBJECTS, second, third)
    # Once, however often a process runs commands.
    atexit.unregister(gc.freeze)
    atexit.register(gc.freeze)


@contextlib.contextmanager
def collection_paused() -> Iterator[None]:
    """Keep Python from looking for cycles of garbage inside the block.

    It looks at all objects again and again while they become many, which is a quarter
    of the time of code that makes a few for each of a hundred thousand clips. That is
    of use where they are all kept and refer to each other in no circle.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
