"""Which contents were really read, told to whoever looks for the content of a file.

A store names what it keeps by the content of the file. Between its look at the content
and the decoding, which opens the file again, the file may be replaced: what is decoded
is of another content then. So whoever decodes notes the content of the very bytes.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator

_NOTED: contextvars.ContextVar[set[str] | None] = contextvars.ContextVar(
    "_NOTED", default=None
)


@contextlib.contextmanager
def noted_keys() -> Iterator[set[str]]:
    """The content keys of all audio that is decoded meanwhile, in this thread."""
    keys: set[str] = set()
    token = _NOTED.set(keys)
    try:
        yield keys
    finally:
        _NOTED.reset(token)


def is_noting() -> bool:
    """Whether somebody asks, so that the content has to be known."""
    return _NOTED.get() is not None


def note_key(key: str) -> None:
    """Note the content of bytes that were decoded; "" where nobody asked."""
    keys = _NOTED.get()
    if keys is not None and key:
        keys.add(key)
