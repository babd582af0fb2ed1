"""Prepared items in batches of one length, as a device takes them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

MOST_WAITING = 4
"""Batches whose worth of items may wait for others of their length."""


class ItemBatch(NamedTuple):
    """Prepared items of one length.

    Parameters
    ----------
    keys : tuple of str
    arrays : tuple of arrays of shape (L, ...)
    """

    keys: tuple[str, ...]
    arrays: tuple[np.ndarray, ...]


class SameLength:
    """Gathers items until a batch of one length is whole.

    Parameters
    ----------
    size : int
        Items of a whole batch.

    Notes
    -----
    Items that have waited too long for others of their length are given as a smaller
    batch, so that memory stays bounded whatever the lengths.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        # In the order of their first items: the batch that waits longest is first.
        self._waiting: dict[tuple[int, ...], list[tuple[str, np.ndarray]]] = {}
        self._n_waiting = 0

    def add(self, key: str, array: np.ndarray) -> ItemBatch | None:
        """Add an item; the batch that is to be computed now, if there is one."""
        self._waiting.setdefault(array.shape, []).append((key, array))
        self._n_waiting += 1
        if len(self._waiting[array.shape]) == self.size:
            return self._take(array.shape)
        if self._n_waiting >= MOST_WAITING * self.size:
            return self._take(next(iter(self._waiting)))
        return None

    def rest(self) -> Iterator[ItemBatch]:
        """All that still wait, in batches that are not whole."""
        while self._waiting:
            yield self._take(next(iter(self._waiting)))

    def _take(self, shape: tuple[int, ...]) -> ItemBatch:
        items = self._waiting.pop(shape)
        self._n_waiting -= len(items)
        keys, arrays = zip(*items, strict=True)
        return ItemBatch(keys, arrays)
