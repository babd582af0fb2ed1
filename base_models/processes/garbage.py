"""When Python looks for garbage."""

from __future__ import annotations

import atexit
import contextlib
import gc
from collections.abc import Iterator


def skip_last_collection() -> None:
    """Let Python not look for garbage when the process ends.

    The libraries make half a million objects that all stay, among which it would look:
    half a second to a second of every command. Exit handlers run as ever.
    """
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
