"""Stored embeddings of clips, read and verified when they are asked for."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from base_models.encoders.packed.encoder_entries import EncoderEntries
from base_models.networks.batches import ReadArrays

KEPT_BYTES = 2**29
"""Of embeddings that a process keeps once it has read them.

Below it nothing is read twice. Above it the others are read and verified again in
every epoch, from the system's cache where they fit in there.
"""
_BATCHES_AHEAD = 2
"""Batches that are read while a network works on one."""
_MOST_READERS = 8
"""Threads that read ahead; each sums about 1 GB in a second."""

_Coming = np.ndarray | Future[np.ndarray]
"""An array, or what a thread will return once it has read it."""


class KeptArrays:
    """The first embeddings that were read, up to a number of bytes.

    The first ones stay: of those that are read in another order in every epoch the
    last ones would be gone before they are needed again.

    Parameters
    ----------
    most_bytes : int
    """

    def __init__(self, most_bytes: int = KEPT_BYTES) -> None:
        self._left = most_bytes
        self._kept: dict[tuple[str, str], np.ndarray] = {}
        self._lock = threading.Lock()

    def found(self, entries: EncoderEntries, key: str) -> np.ndarray | None:
        """One embedding where it is kept, else None."""
        return self._kept.get((entries.signature, key))

    def read(self, entries: EncoderEntries, key: str) -> np.ndarray:
        """One embedding, which is verified where it is read."""
        kept = self.found(entries, key)
        if kept is not None:
            return kept

        array = entries.read(key)
        place = (entries.signature, key)
        with self._lock:
            if place not in self._kept and array.nbytes <= self._left:
                self._kept[place] = array
                self._left -= array.nbytes
        return array


class StoredArrays(ReadArrays):
    """Embeddings of n clips by one encoder, in a store.

    Parameters
    ----------
    entries : EncoderEntries
    keys : sequence of n str
        Of the contents; clips of equal content share one.
    kept : KeptArrays
        Shared by what is read in turn, such as frames and tokens.
    lengths : int array of shape (n,), or None
        Where they are known.
    """

    def __init__(
        self,
        entries: EncoderEntries,
        keys: Sequence[str],
        kept: KeptArrays,
        lengths: np.ndarray | None = None,
    ) -> None:
        self._entries = entries
        self._keys = tuple(keys)
        self._kept = kept
        self._lengths = entries.lengths(self._keys) if lengths is None else lengths

    @property
    def lengths(self) -> np.ndarray:
        """Number of rows of each array. Shape: (n,)"""
        return self._lengths

    @property
    def dtype(self) -> np.dtype:
        """The type that holds every array: float32 where one is beyond float16."""
        return self._entries.dtype(self._keys)

    def read(self, row: int) -> np.ndarray:
        """Read the array of a clip, and verify it. Shape: (T, D)

        Raises
        ------
        DamagedEmbedding
            When it has changed since it was written.
        """
        return self._kept.read(self._entries, self._keys[row])

    def __iter__(self) -> Iterator[np.ndarray]:
        for arrays in self.ahead([row] for row in range(len(self))):
            yield from arrays

    def take(self, rows: Sequence[int]) -> StoredArrays:
        """Return the arrays `rows`, in that order, without reading them."""
        return StoredArrays(
            self._entries,
            [self._keys[row] for row in rows],
            self._kept,
            lengths=self._lengths[list(rows)],
        )

    def ahead(self, plan: Iterable[Sequence[int]]) -> Iterator[Sequence[np.ndarray]]:
        """Yield the arrays of each item of `plan`, and read the next ones meanwhile."""
        # Reading and summing leave Python's lock to others.
        n_readers = min(os.cpu_count() or 1, _MOST_READERS)
        readers = ThreadPoolExecutor(n_readers, thread_name_prefix="read-ahead")
        waiting: deque[list[_Coming]] = deque()
        try:
            for rows in plan:
                waiting.append([self._coming(row, readers) for row in rows])
                if len(waiting) > _BATCHES_AHEAD:
                    yield [_arrived(coming) for coming in waiting.popleft()]
            while waiting:
                yield [_arrived(coming) for coming in waiting.popleft()]
        finally:
            # Whoever stops the work does not wait for what it would have read.
            readers.shutdown(wait=False, cancel_futures=True)

    def _coming(self, row: int, readers: ThreadPoolExecutor) -> _Coming:
        """The array of a clip, or what a thread will have read of it."""
        # To hand over what is in memory would cost more than the step that reads it.
        kept = self._kept.found(self._entries, self._keys[row])
        return readers.submit(self.read, row) if kept is None else kept


def _arrived(coming: _Coming) -> np.ndarray:
    return coming.result() if isinstance(coming, Future) else coming
