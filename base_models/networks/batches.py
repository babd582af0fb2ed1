"""Embedded clips and the padded batches made of them.

Embeddings keep their true lengths; only a batch is padded, and its masks say where. The trap: whatever is computed
from a batch must not depend on which clips share it, so nothing outside the masks may be read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from base_models.networks.models import Batch


@dataclass(frozen=True)
class Embedded:
    """Embeddings of n clips, in row order, at their true lengths.

    Parameters
    ----------
    frames : n arrays of shape (T, D)
    tokens : n arrays of shape (T', D'), or None when no aspect needs text
    """

    frames: Sequence[np.ndarray]
    tokens: Sequence[np.ndarray] | None = None

    def __len__(self) -> int:
        return len(self.frames)

    def batch(self, rows: Sequence[int]) -> Batch:
        """The clips `rows`, padded to the longest of them."""
        frames = _pad([self.frames[row] for row in rows])
        return Batch(
            *frames,
            *(
                _pad([self.tokens[row] for row in rows])
                if self.tokens is not None
                else (None, None)
            ),
        )

    def by_length(self, size: int) -> Iterator[list[int]]:
        """Rows in batches of `size`, longest together, so that little is padded; every row once."""
        order = sorted(range(len(self)), key=lambda row: -len(self.frames[row]))
        return (order[start : start + size] for start in range(0, len(order), size))


def _pad(arrays: Sequence[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
    lengths = torch.tensor([len(array) for array in arrays])
    padded = torch.zeros(len(arrays), int(lengths.max()), arrays[0].shape[1])
    for row, array in zip(padded, arrays, strict=True):
        row[: len(array)] = torch.tensor(
            array
        )  # a copy: stored embeddings are read-only, which from_numpy warns of
    return padded, torch.arange(padded.shape[1]) < lengths[:, None]


def shuffled(rows: Sequence[int], size: int, seed: int) -> Iterator[list[int]]:
    """`rows` in a seeded random order, in batches of `size`; the last may be smaller."""
    order = torch.randperm(
        len(rows), generator=torch.Generator().manual_seed(seed)
    ).tolist()
    return (
        [rows[i] for i in order[start : start + size]]
        for start in range(0, len(order), size)
    )
