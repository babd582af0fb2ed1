"""What learners need for decisions of their own: rows in one canonical order, and folds that keep groups whole.

The trap: a fold or a bag drawn by row number changes with the order of rows, and with a row given twice instead of a
weight of 2. Here equal rows are merged and all rows sorted first, so that both give the same fit, bit for bit.
"""

from __future__ import annotations

import numpy as np

from meta.columns.feature_table import Layout


def merged_rows(
    layout: Layout, X, y, weight, groups
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Distinct rows, in the order of their bytes: score, group, and features model by model in order of names.

    Parameters
    ----------
    layout, X, y, weight, groups : as `meta.learners.base.checked` gives them

    Returns
    -------
    X, y, weight : the distinct rows, weights of equal ones added up
    group : int array, codes in order of group names; each distinct row its own when `groups` is None
    """
    by_name = np.argsort(layout.models)
    code = (
        np.zeros(len(y))
        if groups is None
        else np.unique(groups, return_inverse=True)[1]
    )
    keys = (
        np.column_stack([y, code, layout.blocks(X)[:, by_name].reshape(len(X), -1)])
        + 0.0
    )  # -0 becomes 0
    whole = keys.view(f"V{keys.strides[0]}").reshape(
        -1
    )  # many times faster than np.unique(keys, axis=0)
    _, first, row = np.unique(whole, return_index=True, return_inverse=True)
    group = np.arange(len(first)) if groups is None else code[first].astype(np.int64)
    return X[first], y[first], np.bincount(row, weights=weight), group


def grouped_folds(y, weight, group, k: int = 5) -> np.ndarray:
    """Fold of each row, groups whole: sorted by mean score, groups are dealt 0 … k - 1, k - 1 … 0, and so on.

    Parameters
    ----------
    y, weight, group : arrays of shape (n,), from `merged_rows`
    k : int, number of folds; fewer when there are fewer groups

    Returns
    -------
    fold : int array of shape (n,)
    """
    codes, code = np.unique(group, return_inverse=True)
    means = np.bincount(code, weights=weight * y) / np.bincount(code, weights=weight)
    k = min(k, len(codes))
    turn = np.arange(len(codes)) % (2 * k)
    dealt = np.empty(len(codes), dtype=np.int64)
    dealt[np.argsort(np.round(means, 9), kind="stable")] = np.minimum(
        turn, 2 * k - 1 - turn
    )
    return dealt[code]
