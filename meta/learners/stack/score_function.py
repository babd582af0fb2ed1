"""What a fitted part predicts: linear in the models' scores, and one bend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from base_models.errors import DamagedArtifact
from meta.learners.base import read_stored_array

_NUMBERS = ("origin", "low", "high", "slope", "level", "size")
"""What a bend is stored by, beside its direction."""


@dataclass(frozen=True, eq=False)
class Bend:
    """A parabola along one direction of the scores, without its linear part.

    It is ``size * (t^2 - slope * t - level)`` for the place t along the direction. It
    stays as it is beyond the ends of the rows of the fit, where a parabola would run
    away.

    Parameters
    ----------
    direction : array of shape (models,)
    origin : float, what is added to the scores along the direction to give t
    low, high : floats, the least and the largest t of the rows of the fit
    slope, level : floats, the line that comes nearest to t^2 on these rows
    size : float, in score points
    """

    direction: np.ndarray
    origin: float
    low: float
    high: float
    slope: float
    level: float
    size: float = 1.0

    def predict(self, scores: np.ndarray) -> np.ndarray:
        """What is added to the scores (n, models): shape (n,)."""
        # Not a matrix product, whose summation order depends on the number of rows.
        along = (scores * self.direction).sum(axis=1) + self.origin
        place = np.clip(along, self.low, self.high)
        return self.size * (place**2 - self.slope * place - self.level)


@dataclass(frozen=True, eq=False)
class ScoreFunction:
    """Score of a row from the scores of its models.

    Parameters
    ----------
    coef : array of shape (models,)
    intercept : float
    bend : what is added to the linear part, or None
    """

    coef: np.ndarray
    intercept: float
    bend: Bend | None = None

    @classmethod
    def about(cls, centre: np.ndarray, level: float, coef: np.ndarray) -> ScoreFunction:
        """The linear function that predicts `level` for the scores `centre`."""
        return cls(coef, float(level - centre @ coef))

    @cached_property
    def n_models(self) -> int:
        """Number of models whose scores it takes."""
        return len(self.coef)

    def predict(self, scores: np.ndarray) -> np.ndarray:
        """Scores of shape (n,) from those of the models, (n, models)."""
        # Not a matrix product, whose summation order depends on the number of rows.
        predicted = (scores * self.coef).sum(axis=1) + self.intercept
        if self.bend is not None:
            predicted = predicted + self.bend.predict(scores)
        return predicted

    def moved(self, coef: np.ndarray, intercept: float) -> ScoreFunction:
        """The same function with something added to its linear part."""
        return replace(
            self,
            coef=self.coef + coef,
            intercept=self.intercept + intercept,
        )

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Named arrays that `from_arrays` reads back."""
        arrays = {"coef": self.coef, "intercept": np.array([self.intercept])}
        if self.bend is not None:
            numbers = [getattr(self.bend, name) for name in _NUMBERS]
            arrays["bend_direction"] = self.bend.direction
            arrays["bend"] = np.array(numbers)
        return arrays

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, np.ndarray], n_models: int
    ) -> ScoreFunction:
        """The function that `to_arrays` was of.

        Raises
        ------
        DamagedArtifact
            when an array is missing, or has another shape or type.
        """
        bend = None
        if "bend" in arrays:
            numbers = read_stored_array(arrays, "bend", (len(_NUMBERS),)).tolist()
            direction = read_stored_array(arrays, "bend_direction", (n_models,))
            bend = Bend(direction, **dict(zip(_NUMBERS, numbers, strict=True)))
            if bend.low > bend.high:
                raise DamagedArtifact(
                    "The stored learner is damaged: its bend begins at "
                    f"{bend.low:g} and ends at {bend.high:g}."
                )
        return cls(
            coef=read_stored_array(arrays, "coef", (n_models,)),
            intercept=float(read_stored_array(arrays, "intercept", (1,))[0]),
            bend=bend,
        )


def mixture(functions: Sequence[ScoreFunction], shares: np.ndarray) -> ScoreFunction:
    """The weighted sum of some functions; one of no share leaves no trace.

    Parameters
    ----------
    functions : of the same models, of which one at most has a bend
    shares : array with one share for each
    """
    coef = np.zeros(functions[0].n_models)
    intercept = 0.0
    bend = None
    for function, share in zip(functions, shares.tolist(), strict=True):
        coef = coef + share * function.coef
        intercept = intercept + share * function.intercept
        if function.bend is not None and share > 0:
            bend = replace(function.bend, size=share * function.bend.size)
    return ScoreFunction(coef, intercept, bend)
