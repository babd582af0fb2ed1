"""How far each block of features moves a score: exact Shapley values of few blocks."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


@dataclass(frozen=True)
class BlockContributions:
    """What a score of one clip consists of, in score points.

    Parameters
    ----------
    aspect : str
    start : float
        Score of the mean training clip.
    contributions : dict of str to float
        By block; with `start` they add up to the score.
    """

    aspect: str
    start: float
    contributions: dict[str, float]


class ShapleyValues(NamedTuple):
    """`BlockContributions` of n clips, as arrays of shape (n,)."""

    start: np.ndarray
    contributions: dict[str, np.ndarray]


def shapley_values(
    blocks: Mapping[str, np.ndarray], predict: Callable[[np.ndarray], np.ndarray]
) -> ShapleyValues:
    """Share predictions out between blocks of columns.

    Parameters
    ----------
    blocks : mapping of str to float array of shape (n, columns)
        A column of zeros stands for the mean clip.
    predict : callable
        Maps all columns (n, all columns) to scores (n,).

    Returns
    -------
    values : ShapleyValues

    References
    ----------
    Shapley, 1953. A value for n-person games. The players are the blocks, of which
    there are so few that all coalitions are asked.
    """
    names = list(blocks)

    def score_of(coalition: frozenset[str]) -> np.ndarray:
        columns = [
            values if name in coalition else np.zeros_like(values)
            for name, values in blocks.items()
        ]
        return np.asarray(predict(np.concatenate(columns, axis=1)), dtype=np.float64)

    scores = {}
    for size in range(len(names) + 1):
        for members in itertools.combinations(names, size):
            coalition = frozenset(members)
            scores[coalition] = score_of(coalition)

    contributions = {}
    for name in names:
        total = np.zeros_like(scores[frozenset()])
        for coalition, without in scores.items():
            if name in coalition:
                continue
            # The share of the orders in which exactly these come before `name`.
            before = len(coalition)
            after = len(names) - before - 1
            orders = math.factorial(before) * math.factorial(after)
            share = orders / math.factorial(len(names))
            total += share * (scores[coalition | {name}] - without)
        contributions[name] = total
    return ShapleyValues(scores[frozenset()], contributions)
