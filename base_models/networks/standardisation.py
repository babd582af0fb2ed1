"""Standardisation: embeddings of any scale as numbers of the order of 1.

Networks learn nothing from embeddings of a small scale: steps of a size that suits
numbers around 1 move their outputs too little. What is measured here comes from the
clips that a model is trained on, and stays with the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

ROUNDING = 4 * float(np.finfo(np.float32).eps)
"""Spread of a dimension that rounding makes, as a share of its largest number."""
NEGLIGIBLE = 1e-12
"""Spread of a dimension, as a share of the largest one's, that says nothing.

Networks that encoders consist of leave such remains in dimensions that they never use.
"""
LIMIT = 10.0
"""Largest distance from the mean, in standard deviations.

A dimension that hardly varies in training may be anything in new clips, and would
otherwise drown all others.
"""


@dataclass(frozen=True, eq=False)
class Standardisation:
    """Mean and scale of every dimension of an encoder's embeddings.

    Parameters
    ----------
    mean : float32 array of shape (D,)
    factor : float32 array of shape (D,)
        One over the standard deviation; 0 for a dimension that is dead in training.
    """

    mean: np.ndarray
    factor: np.ndarray

    @classmethod
    def of(
        cls, arrays: Sequence[np.ndarray], most_rows: int | None = None
    ) -> Standardisation:
        """Measure embeddings, clip by clip: a long clip counts as much as a short one.

        Parameters
        ----------
        arrays : sequence of n arrays of shape (T, D)
            At least one, all numbers finite. Each is read twice, and none is kept.
        most_rows : int or None
            How many rows of each count, from its start; None takes all.
        """
        n_clips = len(arrays)
        total = np.zeros(arrays[0].shape[1])
        largest = np.zeros_like(total)
        for array in arrays:
            clip = _in_float64(array, most_rows)
            total += clip.mean(axis=0)
            np.maximum(largest, np.abs(clip).max(axis=0), out=largest)
        mean = total / n_clips

        squares = np.zeros_like(mean)
        for array in arrays:
            clip = _in_float64(array, most_rows)
            squares += np.square(clip - mean).mean(axis=0)
        spread = np.sqrt(squares / n_clips)

        is_live = ~is_dead(spread, largest)
        with np.errstate(divide="ignore", over="ignore"):
            factor = np.where(is_live, 1 / spread, 0).astype(np.float32)
        # The spread of numbers near the smallest of float32 has no inverse in it.
        factor[~np.isfinite(factor)] = 0
        return cls(mean.astype(np.float32), factor)

    def apply(self, array: np.ndarray) -> np.ndarray:
        """Standardise an embedding: float32, within ± `LIMIT`; 0 where it is dead."""
        # In place, as this is done again in every epoch. A number near the end of
        # float32 may leave it, and is limited or dead below.
        scaled = array.astype(np.float32)
        with np.errstate(over="ignore", invalid="ignore"):
            scaled -= self.mean
            scaled *= self.factor
        np.clip(scaled, -LIMIT, LIMIT, out=scaled)
        scaled[:, self.factor == 0] = 0
        return scaled


def _in_float64(array: np.ndarray, most_rows: int | None) -> np.ndarray:
    # Sums of float16 or float32 numbers would lose digits, or overflow.
    return np.asarray(array[:most_rows], dtype=np.float64)


def is_dead(spread: np.ndarray, largest: np.ndarray) -> np.ndarray:
    """Which dimensions are constant, but for rounding.

    Parameters
    ----------
    spread, largest : float64 arrays of shape (D,)
        Standard deviation of each dimension, and its largest absolute number.

    Returns
    -------
    dead : bool array of shape (D,)
    """
    floor = np.maximum(ROUNDING * largest, NEGLIGIBLE * spread.max(initial=0))
    dead: np.ndarray = spread <= floor
    return dead
