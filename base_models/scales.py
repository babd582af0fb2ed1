"""Rating scales by their two ends, and the straight line from one to another.

Listening tests rate 1 to 5, 0 to 10 or 0 to 100, and tools predict on scales of their
own. Scores of two scales can be compared only after an affine map of the ends of one
onto the ends of the other. It keeps every rank and every distance; clipping to the
other scale would make one value of all that lie beyond its end.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol, TypeAlias

from base_models.errors import UsageError, some
from base_models.optional_libraries import LazyLibrary

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike
else:
    np = LazyLibrary("numpy")

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
RANGE_PATTERN = rf"({_NUMBER})\s*(?:-|\.\.)\s*({_NUMBER})"
"""A scale as it is written: two numbers with a hyphen or two dots between them."""
_RANGE = re.compile(RANGE_PATTERN)


class _HasEnds(Protocol):
    """Anything with two ends, such as `base_models.bins.ScoreBins`."""

    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...


@dataclass(frozen=True)
class Scale:
    """A rating scale.

    Parameters
    ----------
    low, high : its ends, the worst and the best rating

    Raises
    ------
    UsageError
        when the ends are not finite, or `low` is not below `high`.

    Examples
    --------
    >>> Scale(1, 10).map([1, 5.5, 10], Scale(1, 5)).tolist()
    [1.0, 3.0, 5.0]
    >>> str(Scale(0, 100)), Scale.parse("0-100") == Scale(0, 100)
    ('0..100', True)
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "low", float(self.low))
        object.__setattr__(self, "high", float(self.high))
        is_finite = math.isfinite(self.low) and math.isfinite(self.high)
        if not (is_finite and self.low < self.high):
            raise UsageError(
                "The lowest rating of a scale must be below the highest, and both "
                f"finite; got {self.low:g} {self.high:g}."
            )

    @classmethod
    def of(cls, ends: _HasEnds) -> Scale:
        """The scale with the ends of bins, or of another scale."""
        return cls(ends.low, ends.high)

    @classmethod
    def parse(cls, text: str) -> Scale:
        """The scale that is written as ``0-100`` or ``0..100``.

        Raises
        ------
        UsageError
            when it is written otherwise, or is no scale.
        """
        match = _RANGE.fullmatch(text.strip())
        if match is None:
            raise UsageError(
                f"'{text}' is no scale; write its lowest and highest rating as 0-100."
            )
        return cls(float(match[1]), float(match[2]))

    @property
    def width(self) -> float:
        """Distance of the ends, in points of this scale."""
        return self.high - self.low

    def __str__(self) -> str:
        return f"{self.low:g}..{self.high:g}"

    @property
    def option(self) -> str:
        """The scale as `parse` reads it."""
        return f"{self.low:g}-{self.high:g}"

    def to_json(self) -> list[float]:
        """The two ends as JSON values."""
        return [self.low, self.high]

    def is_off(self, values: ArrayLike) -> np.ndarray:
        """Whether each value lies beyond an end; NaN does not."""
        values = np.asarray(values, dtype=np.float64)
        return (values < self.low) | (values > self.high)

    def map(self, values: ArrayLike, onto: _HasEnds) -> np.ndarray:
        """Map values of this scale onto another, end onto end, by a straight line.

        Parameters
        ----------
        values : array of any shape; values beyond an end stay as far beyond it
        onto : the other scale

        Returns
        -------
        mapped : float64 array of the same shape; the values themselves, to the last
            bit, where the scales are equal
        """
        values = np.asarray(values, dtype=np.float64)
        if (self.low, self.high) == (onto.low, onto.high):
            return values
        share = (values - self.low) / self.width
        return onto.low + (onto.high - onto.low) * share


Ends: TypeAlias = Scale | Sequence[float]
"""A scale, or its two ends as numbers."""


def as_scale(ends: Ends) -> Scale:
    """A scale from its two ends.

    Raises
    ------
    UsageError
        when there are not two numbers, or they are no scale.
    """
    if isinstance(ends, Scale):
        return ends
    try:
        low, high = (float(end) for end in ends)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"A scale is its lowest and highest rating, as (0, 100); got {ends!r}."
        ) from error
    return Scale(low, high)


@dataclass(frozen=True)
class LabelScales:
    """The declared scales of the labels of a listening test.

    Parameters
    ----------
    default : the scale of every aspect that `by_aspect` does not name; None where it is
        not declared
    by_aspect : aspect to its scale
    known : scales that the data itself states, of aspects that have none declared
    otherwise : the scale of those that are neither declared nor known
    """

    default: Scale | None = None
    by_aspect: Mapping[str, Scale] = field(default_factory=dict)
    known: Mapping[str, Scale] = field(default_factory=dict)
    otherwise: Scale | None = None

    @classmethod
    def of_any(
        cls, scales: LabelScales | Ends | Mapping[str, Ends] | None
    ) -> LabelScales:
        """From the two ends of one scale, from a mapping of aspects, or None.

        Examples
        --------
        >>> LabelScales.of_any((0, 100)).of("mos")
        Scale(low=0.0, high=100.0)
        >>> LabelScales.of_any({"pq": (1, 10)}).of("mos") is None
        True
        """
        if scales is None:
            return cls()
        if isinstance(scales, LabelScales):
            return scales
        if isinstance(scales, Mapping):
            named = {str(name): as_scale(ends) for name, ends in scales.items()}
            return cls(by_aspect=named)
        return cls(as_scale(scales))

    @classmethod
    def parse(cls, words: Iterable[object] | None) -> LabelScales:
        """From the words of ``--scale``: two numbers, and ``ASPECT=LOW-HIGH``.

        Raises
        ------
        UsageError
            when a word is neither, or an aspect is named twice.

        Examples
        --------
        >>> LabelScales.parse(["0", "100"]).default
        Scale(low=0.0, high=100.0)
        >>> LabelScales.parse(["mos=1-5", "pq=1-10"]).by_aspect["pq"]
        Scale(low=1.0, high=10.0)
        """
        plain: list[str] = []
        by_aspect: dict[str, Scale] = {}
        # In a file of options a single word may stand without a list.
        listed = words.split() if isinstance(words, str) else words or ()
        for word in map(str, listed):
            aspect, equals, ends = word.rpartition("=")
            if not equals:
                plain.append(word)
                continue
            if aspect in by_aspect:
                raise UsageError(f"--scale names '{aspect}' twice; each aspect once.")
            by_aspect[aspect] = Scale.parse(ends)

        default = None
        # One word with both ends, as in ASPECT=0-100, is as plain as two numbers.
        if len(plain) == 1 and _RANGE.fullmatch(plain[0]):
            default = Scale.parse(plain[0])
        elif plain:
            are_numbers = all(re.fullmatch(_NUMBER, word) for word in plain)
            if len(plain) != 2 or not are_numbers:
                raise UsageError(
                    "--scale takes the lowest and the highest rating (--scale 0 100), "
                    f"or ASPECT=LOW-HIGH for single aspects; got {' '.join(plain)}."
                )
            default = Scale(float(plain[0]), float(plain[1]))
        return cls(default, by_aspect)

    def of(self, aspect: str) -> Scale | None:
        """The scale of an aspect, or None."""
        scales = (self.by_aspect.get(aspect), self.default, self.known.get(aspect))
        return next((scale for scale in scales if scale), self.otherwise)

    def check_aspects(self, aspects: Sequence[str]) -> None:
        """Refuse scales of aspects that there are not.

        Raises
        ------
        UsageError
        """
        unknown = [name for name in self.by_aspect if name not in aspects]
        if unknown:
            raise UsageError(
                f"A scale is declared for {some(unknown)}; the rated aspects are "
                f"{some(aspects)}."
            )

    def or_else(self, default: Scale | None) -> LabelScales:
        """The same, with a scale for the aspects that have none."""
        return replace(self, otherwise=default)
