"""What an encoder takes for each content, read while it works on the one before."""

from __future__ import annotations

import contextlib
import functools
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from base_models.clip_status import CHANGED
from base_models.clips.audio import content_hash
from base_models.clips.audio_files.read_keys import noted_keys
from base_models.encoders import known_encoders
from base_models.errors import (
    ClipError,
    StackedMOSError,
    UsageError,
    raise_machine_fault,
)

if TYPE_CHECKING:
    from base_models.encoders.base import Encoder


def read_ahead(
    encoder: Encoder,
    items: Mapping[str, str],
    *,
    n_readers: int = 1,
) -> Iterator[tuple[str, Callable[[], np.ndarray]]]:
    """Each key, and what gives the prepared item of it, or raises why it cannot be.

    While an encoder of this package works on a clip, the next ones are read already:
    their decoding is done by other processes, so that neither waits for the other.

    Parameters
    ----------
    encoder : base_models.encoders.Encoder
    items : mapping from str to str
        Key → path or prompt.
    n_readers : int
        Files that are read at a time, and so many more are ready, so that memory stays
        bounded.
    """
    is_ours = encoder.name not in known_encoders().points
    if encoder.kind != "audio" or not is_ours:
        # Of another package it is not known whether two threads may use it.
        for key, item in items.items():
            yield key, functools.partial(prepared_item, encoder, key, item)
        return

    readers = ThreadPoolExecutor(n_readers, thread_name_prefix="read-ahead")
    try:
        waiting: deque[tuple[str, Future[np.ndarray]]] = deque()
        for key, item in items.items():
            waiting.append((key, readers.submit(prepared_item, encoder, key, item)))
            if len(waiting) > 2 * n_readers - 1:
                done, future = waiting.popleft()
                yield done, future.result
        for done, future in waiting:
            yield done, future.result
    finally:
        # Whoever stops the work does not wait for a file that hangs.
        readers.shutdown(wait=False, cancel_futures=True)


def prepared_item(encoder: Encoder, key: str, item: str) -> np.ndarray:
    """What an encoder takes for an item, whose content is that of the key.

    Raises
    ------
    ClipError
        Also when the file has been replaced since its content was looked at: under the
        key of one file would stand the embedding of another, for good.
    """
    with named_failure(encoder), noted_keys() as read:
        array = encoder.prepare(item)
    # An encoder of another package may read files in a way of its own.
    if encoder.kind == "audio" and (read or {content_hash(item)}) != {key}:
        raise ClipError(
            f"{item!r} was changed while it was read; run again when nobody writes to "
            "it",
            status=CHANGED,
        )
    return array


@contextlib.contextmanager
def named_failure(encoder: Encoder) -> Iterator[None]:
    """Name an encoder of another package that raises what it must not."""
    try:
        yield
    except StackedMOSError:
        raise
    except Exception as error:
        raise_machine_fault(error)
        if encoder.name not in known_encoders().points:
            raise
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise UsageError(
            f"Encoder '{encoder.name}' of another package fails ({reason}); "
            "check_encoder lists what is wrong with it."
        ) from error
