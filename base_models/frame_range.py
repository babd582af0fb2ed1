"""How far clips lie from those that a model was trained on, by their frames."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from base_models.errors import DamagedArtifact
from base_models.vector_range import VectorRange, farthest_of, thinned_out

_BLOCK = 1_024
"""Clips whose vectors are in memory at a time."""


@dataclass(frozen=True, eq=False)
class FrameRange:
    """The ranges of two pictures of clips; a clip is as far as it is in either.

    Means alone hardly tell digital silence from quiet music, where an encoder centres
    its frames; with twice as many dimensions some speech is lost among music.

    Parameters
    ----------
    means : VectorRange
        Of the mean frames of the training clips.
    moving : VectorRange
        Of mean and standard deviation over time, side by side.
    """

    means: VectorRange
    moving: VectorRange

    @classmethod
    def fit(cls, frames: Sequence[np.ndarray]) -> Self | None:
        """Learn from the training clips; None from too few or equal ones.

        Parameters
        ----------
        frames : sequence of n arrays of shape (T, D)
        """
        # Frames may have to be read: only those that count are, one after the other.
        rows = thinned_out(len(frames)).tolist()
        vectors = _vectors(frames[row] for row in rows)
        means = VectorRange.fit(vectors[:, : vectors.shape[1] // 2])
        moving = VectorRange.fit(vectors)
        if means is None or moving is None:
            return None
        # Of two distances the larger one is beyond 1 more often than either.
        farthest = farthest_of(np.maximum(means.held_out, moving.held_out))
        return cls(means.in_units_of(farthest), moving.in_units_of(farthest))

    def distances(self, frames: Sequence[np.ndarray]) -> np.ndarray:
        """How far n clips lie; 1 is about the farthest of training clips left out.

        Parameters
        ----------
        frames : sequence of n arrays of shape (T, D)

        Returns
        -------
        distances : float64 array of shape (n,), 0 or more
        """
        if not len(frames):
            return np.zeros(0)
        distances = []
        # The vectors of all clips could be larger than memory.
        for start in range(0, len(frames), _BLOCK):
            vectors = _vectors(frames[start : start + _BLOCK])
            of_means = self.means.distances(vectors[:, : vectors.shape[1] // 2])
            distances.append(np.maximum(of_means, self.moving.distances(vectors)))
        return np.concatenate(distances)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Named arrays that `from_arrays` reads back."""
        arrays = {}
        for part in ("means", "moving"):
            for name, array in getattr(self, part).to_arrays().items():
                arrays[f"{part}.{name}"] = array
        return arrays

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, np.ndarray], dim: int, source: str
    ) -> Self:
        """Restore what `to_arrays` returned.

        Parameters
        ----------
        arrays : mapping of str to array
        dim : int
            Width of the encoder's frames.
        source : str
            Where the arrays were read, for the message.

        Raises
        ------
        DamagedArtifact
            when an array is missing or cannot have been learnt.
        """
        parts: dict[str, dict[str, np.ndarray]] = {"means": {}, "moving": {}}
        for name, array in arrays.items():
            part, _, own = name.partition(".")
            if part not in parts:
                raise DamagedArtifact(f"{source}: '{name}' is no array of a range.")
            parts[part][own] = array
        return cls(
            means=VectorRange.from_arrays(parts["means"], dim, source),
            moving=VectorRange.from_arrays(parts["moving"], 2 * dim, source),
        )


def _vectors(frames: Iterable[np.ndarray]) -> np.ndarray:
    """Mean and standard deviation over time of n arrays (T, D): shape (n, 2 D)."""
    rows = []
    for array in frames:
        # Sums of float16 numbers would overflow.
        mean = array.mean(axis=0, dtype=np.float64)
        rows.append(np.concatenate([mean, array.std(axis=0, dtype=np.float64)]))
    return np.stack(rows)
