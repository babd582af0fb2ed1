"""When Python looks for garbage."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


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
