"""How far a vector lies from those that were learnt from.

Vectors are clips: pooled embeddings, or what several models predict for one clip.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from sklearn.decomposition import PCA

from base_models.errors import DamagedArtifact

FEWEST = 20
"""Fewer vectors say nothing about which others are far."""
MOST = 1000
"""More vectors are thinned out evenly: the range is known well enough from these."""
MAX_AXES = 20
ROWS_PER_AXIS = 5
"""An axis is estimated from at least so many vectors."""
FOLDS = 5
OUTSIDE = 0.005
"""Share of the vectors that were left out which lie farther than a distance of 1."""
FLOOR = 0.1
"""Least spread of a dimension, as a share of the median one. What next to never varied
would otherwise decide alone."""
TINY = 1e-6
"""Variance of standardised vectors that is taken for rounding."""

_ARRAYS = ("center", "scale", "axes", "variances", "units", "held_out")


def thinned_out(n_vectors: int) -> np.ndarray:
    """Places of those of n vectors that a range is learnt from, int of shape (m,)."""
    if n_vectors <= MOST:
        return np.arange(n_vectors)
    return np.linspace(0, n_vectors - 1, MOST).round().astype(int)


@dataclass(frozen=True, eq=False)
class VectorRange:
    """Principal axes of n vectors, and how far such vectors lie from each other.

    Parameters
    ----------
    center, scale : float64 arrays of shape (D,)
        Mean and spread of each dimension.
    axes : float64 array of shape (k, D)
        Principal axes of the standardised vectors.
    variances : float64 array of shape (k,)
        Along the axes.
    units : float64 array of shape (2,)
        Of the mean squares along the axes, and off them: the medians of vectors that
        were left out, times what makes 1 the distance that `OUTSIDE` of them exceed.
    held_out : float64 array of shape (n,)
        Distances of the vectors, each from the others without its own fold.

    Notes
    -----
    The distance has two parts: Mahalanobis' along the principal axes, and what they
    leave unexplained (probabilistic principal components, Tipping and Bishop 1999, have
    the same two). With fewer vectors than dimensions both are too small for vectors
    that were fitted on, so that they are compared with those of vectors left out.
    """

    center: np.ndarray
    scale: np.ndarray
    axes: np.ndarray
    variances: np.ndarray
    units: np.ndarray
    held_out: np.ndarray

    @classmethod
    def fit(cls, vectors: np.ndarray) -> Self | None:
        """Learn from vectors; None from fewer than `FEWEST`, or where all are equal.

        Parameters
        ----------
        vectors : finite array of shape (n, D)
        """
        vectors = np.asarray(vectors, dtype=np.float64)
        vectors = vectors[thinned_out(len(vectors))]
        if len(vectors) < FEWEST or not (vectors != vectors[0]).any():
            return None

        # Neighbours share a fold: clips of one system often stand together, and would
        # be near each other as those of other systems are not.
        fold = np.arange(len(vectors)) * FOLDS // len(vectors)
        parts = np.empty((len(vectors), 2))
        for number in range(FOLDS):
            test = fold == number
            parts[test] = cls._fit_axes(vectors[~test])._parts(vectors[test])

        # Where the axes explain everything, what is left is rounding, and no unit.
        units = np.median(parts, axis=0)
        units = np.where(units > TINY, units, 1.0)
        held_out = np.sqrt((parts / units).mean(axis=1))
        # Vectors with next to no distance are all alike but for a few.
        farthest = max(farthest_of(held_out), TINY)
        fitted = replace(cls._fit_axes(vectors), units=units, held_out=held_out)
        return fitted.in_units_of(farthest)

    @classmethod
    def _fit_axes(cls, vectors: np.ndarray) -> Self:
        """Axes of some vectors, without anything left out to compare with."""
        spread = vectors.std(axis=0)
        moving = spread[spread > 0]
        typical = float(np.median(moving)) if len(moving) else 1.0
        scale = np.maximum(spread, FLOOR * typical)
        center = vectors.mean(axis=0)

        standardised = (vectors - center) / scale
        count = min(MAX_AXES, len(vectors) // ROWS_PER_AXIS, vectors.shape[1])
        # Exact for a few dimensions; of many, only the first axes are computed.
        is_small = min(vectors.shape) <= 2 * count
        pca = PCA(
            n_components=count,
            svd_solver="full" if is_small else "randomized",
            random_state=0,
        )
        pca.fit(standardised)
        # An axis without variance is part of what the axes leave unexplained.
        kept = pca.explained_variance_ > TINY
        return cls(
            center=center,
            scale=scale,
            axes=np.ascontiguousarray(pca.components_[kept]),
            variances=pca.explained_variance_[kept],
            units=np.ones(2),
            held_out=np.zeros(0),
        )

    def _parts(self, vectors: np.ndarray) -> np.ndarray:
        """Mean squares along the axes, and off them: shape (n, 2)."""
        standardised = (vectors - self.center) / self.scale
        along = standardised @ self.axes.T
        rest = standardised - along @ self.axes
        in_plane = np.zeros(len(vectors))
        if len(self.variances):
            in_plane = (along**2 / self.variances).mean(axis=1)
        return np.column_stack([in_plane, (rest**2).mean(axis=1)])

    def distances(self, vectors: np.ndarray) -> np.ndarray:
        """How far vectors lie; 1 is about the farthest of those that were left out.

        Parameters
        ----------
        vectors : array of shape (n, D)

        Returns
        -------
        distances : float64 array of shape (n,), 0 or more
        """
        vectors = np.asarray(vectors, dtype=np.float64)
        return np.sqrt((self._parts(vectors) / self.units).mean(axis=1))

    def in_units_of(self, distance: float) -> Self:
        """The same range, where what lay as far as `distance` has a distance of 1."""
        return replace(
            self, units=self.units * distance**2, held_out=self.held_out / distance
        )

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Named arrays that `from_arrays` reads back."""
        return {name: getattr(self, name) for name in _ARRAYS}

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, np.ndarray], n_dimensions: int, source: str
    ) -> Self:
        """Restore what `to_arrays` returned.

        Parameters
        ----------
        arrays : mapping of str to array
        n_dimensions : int
            Dimensions of the vectors.
        source : str
            Where the arrays were read, for the message.

        Raises
        ------
        DamagedArtifact
            when an array is missing or cannot have been learnt.
        """
        problem = _problem_of(arrays, n_dimensions)
        if problem:
            raise DamagedArtifact(
                f"{source}: the range of what was learnt from is damaged ({problem})."
            )
        return cls(**{name: arrays[name] for name in _ARRAYS})


def _problem_of(arrays: Mapping[str, np.ndarray], n_dimensions: int) -> str:
    """What is wrong with the arrays of a range; "" where nothing is."""
    if set(arrays) != set(_ARRAYS):
        return "arrays are missing, or too many"
    axes = arrays["axes"]
    n_axes = len(axes) if axes.ndim == 2 else -1
    n_held_out = arrays["held_out"].size
    shapes: dict[str, Sequence[int]] = {
        "center": (n_dimensions,),
        "scale": (n_dimensions,),
        "axes": (n_axes, n_dimensions),
        "variances": (n_axes,),
        "units": (2,),
        "held_out": (n_held_out,),
    }
    for name, shape in shapes.items():
        array = arrays[name]
        if array.shape != tuple(shape) or array.dtype != np.float64:
            return f"'{name}' is {array.dtype} of shape {array.shape}"
        if not np.isfinite(array).all():
            return f"'{name}' is not finite"

    for name in ("scale", "variances", "units"):
        if not (arrays[name] > 0).all():
            return f"'{name}' is not positive"
    if n_held_out < FEWEST or (arrays["held_out"] < 0).any():
        return "'held_out' holds no distances"
    return ""


def farthest_of(distances: np.ndarray) -> float:
    """The distance that all but `OUTSIDE` of some distances do not exceed."""
    return float(np.quantile(distances, 1 - OUTSIDE))


def ranks(distances: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Share of clips at least as far as each: small where a clip is unlike them.

    Parameters
    ----------
    distances : array of shape (n,)
    reference : array of shape (m,)
        Distances of clips that were left out of what they are measured from.

    Returns
    -------
    shares : float64 array of shape (n,), in (0, 1]
        A conformal p-value: it is at most p with a probability of at most p for a clip
        that arises as those of the reference did (Vovk et al. 2005, ch. 2).
    """
    ordered = np.sort(reference)
    n_nearer = np.searchsorted(ordered, distances, side="left")
    return (1 + len(ordered) - n_nearer) / (1 + len(ordered))
