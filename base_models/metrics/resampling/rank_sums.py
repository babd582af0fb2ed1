"""Spearman's correlation of resamples, from running sums of weights.

Sorted once, the points of every resample are sorted: the mid-rank of a point follows
from the weight that stands before it and the weight up to the end of its ties. So a
resample costs a few passes over the points, whatever is resampled.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class WeightedRanks:
    """Twice the centred mid-ranks of some resamples.

    Parameters
    ----------
    ranks : array of shape (rows, points), in the order of the points
    squares : array of shape (rows,), weighted sum of their squares
    differing : array of shape (rows,)
        Weight of ordered pairs whose values differ; exactly 0 for a constant.
    """

    ranks: np.ndarray
    squares: np.ndarray
    differing: np.ndarray


@dataclass(frozen=True, eq=False)
class SortedValues:
    """Values of n points, sorted once for all resamples.

    Parameters
    ----------
    order : (n,) points by value
    group : (n,) the number of each point's value among the distinct ones
    edges : (values + 1,) where, in that order, each distinct value begins
    """

    order: np.ndarray
    group: np.ndarray
    edges: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray) -> SortedValues:
        """Sort values of shape (n,)."""
        order = np.argsort(values, kind="stable")
        in_order = values[order]
        begins = np.flatnonzero(np.diff(in_order) != 0) + 1
        edges = np.concatenate([[0], begins, [len(values)]])

        group = np.empty(len(values), dtype=np.intp)
        group[order] = np.repeat(np.arange(len(edges) - 1), np.diff(edges))
        return cls(order, group, edges)

    @property
    def n_values(self) -> int:
        """How many distinct values there are."""
        return len(self.edges) - 1

    def ranked(self, weights: np.ndarray) -> WeightedRanks:
        """The ranks of resamples with `weights`, of shape (rows, n)."""
        n = len(self.order)
        running = np.zeros((len(weights), n + 1), dtype=weights.dtype)
        in_order = np.take(weights, self.order, axis=1)
        np.cumsum(in_order, axis=1, out=running[:, 1:], dtype=weights.dtype)
        # Without ties every point is a value of its own, and nothing need be picked.
        if self.n_values < n:
            running = np.take(running, self.edges, axis=1)

        before = running[:, :-1]
        after = running[:, 1:]
        total = running[:, -1].astype(np.float64)
        of_values = (after - before).astype(np.float64)
        ranks = before + after
        ranks -= running[:, -1:]
        exact_ranks = ranks.astype(np.float64)
        squares = np.einsum("ij,ij->i", of_values * exact_ranks, exact_ranks)
        differing = total**2 - np.einsum("ij,ij->i", of_values, of_values)
        return WeightedRanks(
            ranks=np.take(exact_ranks, self.group, axis=1),
            squares=squares,
            differing=differing,
        )
