"""Inner folds: rows in one canonical order, dealt to folds that keep groups whole.

A fold or a bag drawn by row number would change with the order of rows, and with a row
given twice instead of a weight of 2. Learners that draw therefore merge equal rows and
sort them first, so that both give the same fit, bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from meta.columns.feature_table import Layout
from meta.learners.base import FitInputs


@dataclass(frozen=True, eq=False)
class MergedRows:
    """Distinct rows in canonical order.

    Parameters
    ----------
    X : float64 array of shape (n, models·bins)
    y : float64 array of shape (n,), scores
    weight : float64 array of shape (n,), weights of equal rows added up
    group : int array of shape (n,), codes in order of group names; each row its own
        group where rows have none
    """

    X: np.ndarray
    y: np.ndarray
    weight: np.ndarray
    group: np.ndarray

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: np.ndarray) -> MergedRows:
        """Return some of the rows, by mask or by index."""
        return MergedRows(
            X=self.X[rows],
            y=self.y[rows],
            weight=self.weight[rows],
            group=self.group[rows],
        )


def merged_rows(layout: Layout, inputs: FitInputs) -> MergedRows:
    """Merge equal rows, and sort rows by score, group and features.

    Features are compared model by model in order of the models' names, so that the
    order of models does not matter either.

    Parameters
    ----------
    layout : the columns
    inputs : rows to fit on, from `meta.learners.base.check_fit_inputs`
    """
    by_name = np.argsort(layout.models)
    blocks = layout.blocks(inputs.X)
    return _merged(inputs, blocks[:, by_name].reshape(len(inputs.y), -1))


def merged_scores(layout: Layout, inputs: FitInputs) -> MergedRows:
    """Merge rows of equal decoded scores, which take the place of features.

    Scores that differ in their last digits are equal: a base model may predict a clip
    that is given twice otherwise the second time, by rounding.

    Parameters
    ----------
    layout, inputs : see `merged_rows`
    """
    scores = layout.scores(inputs.X)
    by_name = np.argsort(layout.models)
    rounded = np.round(scores[:, by_name], 9)
    return _merged(replace(inputs, X=scores), rounded)


def _merged(inputs: FitInputs, features: np.ndarray) -> MergedRows:
    """Rows merged and sorted by score, group and some features of theirs (n, p)."""
    n = len(inputs.y)
    code: np.ndarray = np.zeros(n)
    if inputs.groups is not None:
        _, code = np.unique(inputs.groups, return_inverse=True)

    # What makes rows equal: score, group and features (n, 2 + p).
    keys = np.ascontiguousarray(np.column_stack([inputs.y, code, features]))
    # Adding 0 turns -0 into 0: they are equal, but their bytes are not.
    keys += 0.0

    # A row as one opaque value of bytes: many times faster than np.unique(axis=0). Keys
    # are large, and np.unique would copy them three times.
    bytes_per_row = keys.strides[0]
    one_value_per_row = keys.view(f"V{bytes_per_row}").reshape(-1)
    order = np.argsort(one_value_per_row, kind="stable")
    in_order = one_value_per_row[order]
    is_new = np.append(True, in_order[1:] != in_order[:-1])[:n]
    first = order[is_new]
    merged_into = np.empty(n, dtype=np.intp)
    merged_into[order] = np.cumsum(is_new) - 1

    # Without groups, each distinct row is a group of its own.
    if inputs.groups is None:
        group = np.arange(len(first))
    else:
        group = code[first].astype(np.int64)
    return MergedRows(
        X=inputs.X[first],
        y=inputs.y[first],
        weight=np.bincount(merged_into, weights=inputs.weight),
        group=group,
    )


def grouped_folds(rows: MergedRows, n_folds: int = 5) -> np.ndarray:
    """Return the fold of each row; groups stay whole, and folds have similar scores.

    Sorted by mean score, groups are dealt to folds 0 … k - 1, then k - 1 … 0, and so
    on.

    Parameters
    ----------
    rows : n distinct rows
    n_folds : number of folds; there are fewer when there are fewer groups

    Returns
    -------
    fold : int array of shape (n,)
    """
    names, code = np.unique(rows.group, return_inverse=True)
    n_groups = len(names)
    weighted_scores = rows.weight * rows.y
    totals = np.bincount(code, weights=weighted_scores)
    weights = np.bincount(code, weights=rows.weight)
    means = totals / weights

    # Means are rounded so that how they were summed does not decide between equals.
    rounded_means = np.round(means, 9)
    order = np.argsort(rounded_means, kind="stable")

    # Of 2k places in a round, place k + i goes to the same fold as place k - 1 - i.
    n_folds = min(n_folds, n_groups)
    round_length = 2 * n_folds
    forth = np.arange(n_groups) % round_length
    back = round_length - 1 - forth

    fold_of_group = np.empty(n_groups, dtype=np.int64)
    fold_of_group[order] = np.minimum(forth, back)
    return fold_of_group[code]
