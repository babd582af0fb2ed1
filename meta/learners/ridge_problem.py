"""The rows and columns of a ridge regression, in coordinates of a plain penalty.

A coefficient penalty w' P w with P = (T T')^-1 is plain ridge on the columns times T.
With more columns than rows, those are turned into as many as the rows span, which
changes no ridge solution.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from scipy import sparse

from meta.columns.feature_table import Layout
from meta.learners.base import FitInputs
from meta.ridge_algebra.gram import Gram
from meta.ridge_algebra.penalty_choice import GroupMeans
from meta.ridge_algebra.solution_path import mean_eigenvalue

# Penalty of the level relative to that of a coefficient of a column of mean spread,
# where the level has one. It leaves the level nearly free within the grid, so that
# errors are centred; only the limit of a large penalty is the mean of the models.
LEVEL_PENALTY = 1e-4

# Plain ridge beside squared second differences, which do not penalise a model's level
# and slope over its bins.
SMOOTH_RIDGE = 0.01


@dataclass(frozen=True, eq=False)
class RidgeProblem:
    """Rows to fit on, means of groups among them, in coordinates of plain ridge.

    Parameters
    ----------
    columns : array (m, r), the original columns times `back`; the last rows may be
        means of groups
    target : array (m,), scores minus offset
    weight : array (m,)
    groups : names (m,), or None
    group_means : means of the groups, in the same coordinates
    group_of_row : int array (n_rows,), places in the names of `group_means`
    back : array (p, r); coefficients of the original columns are ``back @ u``
    n_rows : int, rows without the means of groups
    spread : float, mean variance of the original columns; 0 when they are constant
    penalises_level : bool, whether the level is penalised too, so that a large penalty
        leaves nothing but the offset
    """

    columns: np.ndarray
    target: np.ndarray
    weight: np.ndarray
    groups: np.ndarray | None
    group_means: GroupMeans
    group_of_row: np.ndarray
    back: np.ndarray
    n_rows: int
    spread: float
    penalises_level: bool

    @classmethod
    def of(
        cls,
        columns: np.ndarray,
        offset: np.ndarray,
        inputs: FitInputs,
        group_weight: float = 0.0,
        scale: np.ndarray | None = None,
        penalises_level: bool = False,
    ) -> RidgeProblem:
        """Set up the problem of fitting scores minus offset.

        Parameters
        ----------
        columns : array (n, p), of the rows of `inputs`
        offset : array (n,), what predictions are without coefficients
        inputs : scores, weights and groups of the n rows
        group_weight : weight of each group's mean as a row; 0 for none
        scale : T of shape (p, p), or its diagonal (p,); None for the identity
        penalises_level : see the class
        """
        columns_in_coordinates, back = _plain_coordinates(columns, inputs.weight, scale)
        names, code = _group_codes(inputs)
        means = _group_means(
            columns_in_coordinates, offset, inputs, names=names, code=code
        )
        of_rows = cls(
            columns=columns_in_coordinates,
            # The regression learns what is left of the scores after the offset.
            target=inputs.y - offset,
            weight=inputs.weight,
            groups=inputs.groups,
            group_means=means,
            group_of_row=code,
            back=back,
            n_rows=len(inputs.y),
            spread=_mean_variance(columns, inputs.weight),
            penalises_level=penalises_level,
        )
        return of_rows.with_group_means(group_weight)

    def with_group_means(self, group_weight: float) -> RidgeProblem:
        """The rows, and the mean of each group as a row of that weight; 0 for none.

        Means go to the fold of their group. Rows without groups stay as they are.
        """
        means = self.group_means
        if self.groups is None or group_weight <= 0:
            return self
        weight_of_means = np.full(len(means.names), float(group_weight))
        return replace(
            self,
            columns=np.concatenate([self.columns, means.columns]),
            target=np.concatenate([self.target, means.score - means.offset]),
            weight=np.concatenate([self.weight, weight_of_means]),
            groups=np.concatenate([means.names[self.group_of_row], means.names]),
        )

    @cached_property
    def unit(self) -> float:
        """Unit of relative penalties.

        It is the mean eigenvalue of the centred Gram matrix of the penalised columns.
        """
        return mean_eigenvalue(self.total, columns=len(self.back))

    @cached_property
    def total(self) -> Gram:
        """The Gram block of all rows."""
        return self.gram()

    @cached_property
    def level_penalty(self) -> float:
        """Penalty of the level relative to a coefficient's; 0 is a free intercept."""
        has_spread = self.spread > 0
        if not (self.penalises_level and has_spread):
            return 0.0
        # In units of the coefficients' penalty, hence the quotient.
        return LEVEL_PENALTY * self.weight.sum() / self.unit

    def gram(self, fold: np.ndarray | None = None) -> Gram:
        """Return the Gram blocks of the rows: one per fold, or one in all."""
        return Gram.from_rows(
            self.columns,
            self.target,
            sample_weight=self.weight,
            groups=fold,
        )


def _plain_coordinates(
    columns: np.ndarray,
    weight: np.ndarray,
    scale: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Columns (n, r) on which the penalty is plain ridge, and the way back (p, r)."""
    n_columns = columns.shape[1]
    if scale is None:
        back = np.eye(n_columns)
        scaled = columns
    elif scale.ndim == 1:
        back = np.diag(scale)
        scaled = columns * scale
    else:
        back = scale
        scaled = columns @ scale
    if n_columns <= len(columns):
        return scaled, back

    # More columns than rows: directions that the centred rows do not span are left out.
    mean = np.average(columns, axis=0, weights=weight)
    centred = scaled - mean @ back
    _, spans, directions = np.linalg.svd(centred, full_matrices=False)
    # Singular values of less than this are rounding.
    smallest_span = 1e-7 * spans.max(initial=0)
    spanned = spans > smallest_span
    back = back @ directions[spanned].T
    return columns @ back, back


def _mean_variance(columns: np.ndarray, weight: np.ndarray) -> float:
    """Mean of the columns' variances; those that only vary by rounding count as 0."""
    mean = np.average(columns, axis=0, weights=weight)
    squares = (columns - mean) ** 2
    variance = np.average(squares, axis=0, weights=weight)
    # The square of the rounding error of a column that is constant.
    rounding = 1e-24 * mean**2
    variance = np.where(variance > rounding, variance, 0.0)
    return float(variance.mean())


def _group_codes(inputs: FitInputs) -> tuple[np.ndarray, np.ndarray]:
    """Names of the groups in their order, and the code of each row; "" without any."""
    if inputs.groups is None:
        return np.array([""]), np.zeros(len(inputs.y), dtype=np.intp)
    code, values = pd.factorize(inputs.groups, use_na_sentinel=False)
    # Only the few distinct names are written out and sorted.
    names, place = np.unique(np.asarray(values).astype(str), return_inverse=True)
    return names, place[code]


def _group_means(
    columns: np.ndarray,
    offset: np.ndarray,
    inputs: FitInputs,
    *,
    names: np.ndarray,
    code: np.ndarray,
) -> GroupMeans:
    """Weighted means of each group's rows; without groups, all rows are one group."""
    # Weights of rows within their group, which sum to 1.
    group_weight = np.bincount(code, weights=inputs.weight)
    share = inputs.weight / group_weight[code]
    values = np.column_stack([columns, offset, inputs.y])
    means = _sums_by_code(share[:, None] * values, code)
    return GroupMeans(
        names=names,
        columns=means[:, :-2],
        offset=means[:, -2],
        score=means[:, -1],
    )


def _sums_by_code(values: np.ndarray, code: np.ndarray) -> np.ndarray:
    """Rows (n, p) added up per code: (codes, p)."""
    # A matrix with a 1 for each row adds in their order; `np.add.at` does so, slowly.
    n = len(code)
    order = np.argsort(code, kind="stable")
    ends = np.cumsum(np.bincount(code))
    member = sparse.csr_array((np.ones(n), order, np.append(0, ends)))
    return np.asarray(member @ values)


def penalty_scale(
    layout: Layout,
    n_columns: int,
    smooth: bool,
    bands: Mapping[str, float] | None,
) -> np.ndarray | None:
    """Return the scale T of a penalty.

    Parameters
    ----------
    layout : the models
    n_columns : columns per model
    smooth : whether to penalise ``sum (w[k-1] - 2 w[k] + w[k+1])^2`` within each model,
        and `SMOOTH_RIDGE` ||w||^2
    bands : penalty of each model beside the others', or None

    Returns
    -------
    scale : None for plain ridge; the diagonal (models·columns,) for bands; an array
        (models·columns, models·columns) of blocks for squared second differences
    """
    if smooth:
        # Row k of the differences is w[k] - 2 w[k+1] + w[k+2] of the coefficients w.
        identity = np.eye(n_columns)
        second_differences = np.diff(identity, n=2, axis=0)
        roughness = second_differences.T @ second_differences
        penalty = roughness + SMOOTH_RIDGE * identity

        # With P = V diag(values) V', T = V diag(values)^-1/2 has (T T')^-1 = P.
        values, vectors = np.linalg.eigh(penalty)
        scale_of_model = vectors / np.sqrt(values)
        one_block_per_model = np.eye(len(layout.models))
        return np.kron(one_block_per_model, scale_of_model)
    if bands:
        # A penalty of k times the others is a column divided by the root of k.
        scales = [bands[model] ** -0.5 for model in layout.models]
        return np.repeat(scales, n_columns)
    return None
