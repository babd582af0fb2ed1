"""How much surer or less sure a preference is for what the two clips have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

SMALLEST, LARGEST = 0.1, 5.0
"""Ends of what a factor can be."""


@dataclass(frozen=True)
class PairFactors:
    """Factors of the probit of a preference; 1 where nothing was learnt.

    Parameters
    ----------
    within_system : of two clips of one system
    within_prompt : of two clips of one prompt, by different systems

    Raises
    ------
    ValueError
        when a factor lies outside of `SMALLEST` to `LARGEST`.
    """

    within_system: float = 1.0
    within_prompt: float = 1.0

    def __post_init__(self) -> None:
        for factor in (self.within_system, self.within_prompt):
            if not SMALLEST <= factor <= LARGEST:
                raise ValueError(f"a factor of preferences is {factor}")

    def of(self, same_system: ArrayLike, same_prompt: ArrayLike) -> np.ndarray:
        """The factor of each pair.

        Parameters
        ----------
        same_system, same_prompt : bool arrays of shape (n,)
            False where it is not known. Of clips that share both the system counts:
            it makes a preference less sure.

        Returns
        -------
        factors : float64 array of shape (n,)
        """
        by_prompt = np.where(same_prompt, self.within_prompt, 1.0)
        return np.where(same_system, self.within_system, by_prompt)

    def to_json(self) -> dict[str, float]:
        """As JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, facts: Mapping[str, Any] | None) -> PairFactors:
        """Restore them; the factor 1 for stacks that were stored without."""
        if facts is None:
            return INDEPENDENT
        return cls(
            within_system=float(facts["within_system"]),
            within_prompt=float(facts["within_prompt"]),
        )


INDEPENDENT = PairFactors()
"""Of clips that have nothing in common, and of stacks that learnt no factors."""
