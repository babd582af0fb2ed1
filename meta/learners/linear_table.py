"""LinearTable: the rows that a ridge regression sees, in coordinates in which its penalty is plain ridge.

A coefficient penalty w' P w with P = (T T')^-1 is ridge on the columns times T; with more columns than rows, those are
turned into as many as the rows span, which changes no ridge solution. The trap: group means are rows of their own, and
go to the fold of their group.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from meta.columns.feature_table import Layout
from meta.ridge_algebra.gram import Gram
from meta.ridge_algebra.penalty_choice import fold_of_groups
from meta.ridge_algebra.solution_path import mean_eigenvalue

LEVEL_PENALTY = 1e-4
"""Penalty of the level beside that of a coefficient of a column of mean spread, where the level has one: nearly free
within the grid, so that errors are centred; only the limit of a large penalty is the mean of the models itself."""
SMOOTH_RIDGE = 0.01
"""Plain ridge beside squared second differences, which say nothing of a model's level and slope over its bins."""


@dataclass(frozen=True, eq=False)
class LinearTable:
    """Rows, group means among them, and the way back to the coefficients asked for.

    Parameters
    ----------
    Z : array (m, r), columns times `back`; the last rows may be means of groups
    target : array (m,), scores minus offset
    weight : array (m,)
    groups : names (m,), or None
    means : array (S, r), of the groups
    mean_offset, mean_score : arrays (S,), of the groups
    names : the S groups
    back : array (p, r); coefficients of the original columns are ``back @ u``
    n : int, rows without the means of groups
    spread : float, mean variance of the original columns; 0 when they are constant
    to_offset : bool, whether the level is penalised too, so that a large penalty leaves the offset alone
    """

    Z: np.ndarray
    target: np.ndarray
    weight: np.ndarray
    groups: np.ndarray | None
    means: np.ndarray
    mean_offset: np.ndarray
    mean_score: np.ndarray
    names: np.ndarray
    back: np.ndarray
    n: int
    spread: float
    to_offset: bool

    @classmethod
    def of(
        cls,
        columns,
        y,
        offset,
        weight,
        groups=None,
        group_weight: float = 0.0,
        scale=None,
        to_offset: bool = False,
    ) -> LinearTable:
        """A table of (n, p) columns.

        Parameters
        ----------
        columns, y, offset, weight, groups : n rows of positive weight; groups are names, or None
        group_weight : weight of each group's mean as a row; 0 for none
        scale : T of shape (p, p), or its diagonal (p,); None for the identity
        to_offset : see the class
        """
        p, mean = columns.shape[1], np.average(columns, axis=0, weights=weight)
        variance = np.average((columns - mean) ** 2, axis=0, weights=weight)
        variance = np.where(variance > 1e-24 * mean**2, variance, 0.0)
        back = (
            np.eye(p) if scale is None else np.diag(scale) if scale.ndim == 1 else scale
        )
        Z = (
            columns
            if scale is None
            else columns * scale
            if scale.ndim == 1
            else columns @ scale
        )
        if p > len(Z):
            _, spans, turn = np.linalg.svd(Z - mean @ back, full_matrices=False)
            back = back @ turn[spans > 1e-7 * spans.max(initial=0)].T
            Z = columns @ back
        names, code = np.unique(
            np.full(len(Z), "") if groups is None else groups.astype(str),
            return_inverse=True,
        )
        shares = weight / np.bincount(code, weights=weight)[code]
        means, scores, offsets = (
            _sums(shares[:, None] * a.reshape(len(Z), -1), code) for a in (Z, y, offset)
        )
        means = means, offsets[:, 0], scores[:, 0]
        target = y - offset
        if groups is not None and group_weight > 0:
            Z, target = (
                np.concatenate([Z, means[0]]),
                np.concatenate([target, means[2] - means[1]]),
            )
            weight = np.concatenate([weight, np.full(len(names), float(group_weight))])
            groups = np.concatenate([groups.astype(str), names])
        return cls(
            Z,
            target,
            weight,
            groups,
            *means,
            names,
            back,
            len(y),
            float(variance.mean()),
            to_offset,
        )

    @cached_property
    def unit(self) -> float:
        """Mean eigenvalue of the centred Gram matrix of the penalised columns: what relative penalties multiply."""
        return mean_eigenvalue(self.gram(), len(self.back))

    @cached_property
    def level_penalty(self) -> float:
        """Penalty of the level, in those of a coefficient; 0 leaves the intercept free."""
        return (
            LEVEL_PENALTY * self.weight.sum() / self.unit
            if self.to_offset and self.spread > 0
            else 0.0
        )

    def gram(self, fold=None) -> Gram:
        """One block per fold, or one in all."""
        return Gram.from_rows(self.Z, self.target, self.weight, fold)

    def folds(self, seed: int, most: int | None = None) -> np.ndarray:
        """Fold of each row; see `meta.ridge_algebra.penalty_choice.fold_of_groups`."""
        return fold_of_groups(self.groups, self.weight, self.Z.shape[1], seed, most)


def _sums(values, code) -> np.ndarray:
    """Rows (n, c) added up per code: (codes, c)."""
    total = np.zeros((code.max() + 1, values.shape[1]))
    np.add.at(total, code, values)
    return total


def penalty_scale(
    layout: Layout, width: int, smooth: bool, bands: Mapping[str, float] | None
) -> np.ndarray | None:
    """T of a penalty: None for plain ridge, a diagonal for bands, and blocks for squared second differences.

    Parameters
    ----------
    layout : the models
    width : columns per model
    smooth : whether to penalise ``sum (w[k-1] - 2 w[k] + w[k+1])^2`` within each model, and `SMOOTH_RIDGE` ||w||^2
    bands : penalty of each model beside the others', or None
    """
    if smooth:
        second = np.diff(np.eye(width), n=2, axis=0)
        values, vectors = np.linalg.eigh(
            second.T @ second + SMOOTH_RIDGE * np.eye(width)
        )
        return np.kron(np.eye(len(layout.models)), vectors / np.sqrt(values))
    if bands:
        return np.repeat([bands[model] ** -0.5 for model in layout.models], width)
    return None
