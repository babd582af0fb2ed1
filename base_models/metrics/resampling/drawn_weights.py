"""How often each clip counts in each resample, made for a few resamples at a time.

A weight per resample and clip would be too many numbers to hold: 1,000 resamples of
200,000 clips are 1.6 GB.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

# Products of two such counts, and sums over many clips, stay within int32.
_LARGEST_COUNT = 2**12


class DrawnWeights(Protocol):
    """Weights of n points in each of some resamples."""

    def __len__(self) -> int:
        """The number of resamples."""

    @property
    def clusters(self) -> np.ndarray | None:
        """Codes (n,) of clusters whose points share a weight, or None."""

    def of_points(self, rows: slice) -> np.ndarray:
        """The weights of some resamples, int32 or float64, of shape (rows, n)."""

    def of_clusters(self, rows: slice) -> np.ndarray:
        """The same per cluster, (rows, clusters); per point where there are none."""


def as_counts(weights: np.ndarray) -> np.ndarray:
    """Whole numbers as int32, whose running sums are several times faster."""
    if weights.dtype == np.int32:
        return weights
    is_small = np.abs(weights).max(initial=0) < _LARGEST_COUNT
    if is_small and (weights == np.floor(weights)).all():
        return weights.astype(np.int32)
    return weights


@dataclass(frozen=True)
class EachOnce:
    """The points as they are: a single resample that has each of n points once."""

    n: int

    def __len__(self) -> int:
        return 1

    @property
    def clusters(self) -> None:
        """Every point is by itself."""
        return None

    def of_points(self, rows: slice) -> np.ndarray:
        """See `DrawnWeights`."""
        return np.ones((1, self.n), dtype=np.int32)[rows]

    def of_clusters(self, rows: slice) -> np.ndarray:
        """See `DrawnWeights`."""
        return self.of_points(rows)


@dataclass(frozen=True, eq=False)
class ClusterWeights:
    """Weights of whole clusters of points.

    Parameters
    ----------
    weights : array of shape (resamples, clusters), int32 or float64, see `as_counts`
    clusters : int array of shape (n,), codes 0..clusters - 1
    """

    weights: np.ndarray
    clusters: np.ndarray

    def __len__(self) -> int:
        return len(self.weights)

    def of_points(self, rows: slice) -> np.ndarray:
        """See `DrawnWeights`."""
        return np.take(self.weights[rows], self.clusters, axis=1)

    def of_clusters(self, rows: slice) -> np.ndarray:
        """See `DrawnWeights`."""
        return self.weights[rows]


@dataclass(frozen=True, eq=False)
class CrossedWeights:
    """A weight of the system times one of the prompt.

    Parameters
    ----------
    of_system : array of shape (resamples, systems)
    system : int array of shape (n,)
    of_prompt : array of shape (resamples, prompts)
    prompt : int array of shape (n,)
    """

    of_system: np.ndarray
    system: np.ndarray
    of_prompt: np.ndarray
    prompt: np.ndarray

    def __len__(self) -> int:
        return len(self.of_system)

    @property
    def clusters(self) -> None:
        """Nothing is shared by more than a few points."""
        return None

    def of_points(self, rows: slice) -> np.ndarray:
        """See `DrawnWeights`."""
        weights = np.take(self.of_system[rows], self.system, axis=1)
        weights *= np.take(self.of_prompt[rows], self.prompt, axis=1)
        return weights

    def of_clusters(self, rows: slice) -> np.ndarray:
        """See `DrawnWeights`."""
        return self.of_points(rows)
