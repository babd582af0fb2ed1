"""Splits of a stack's rows: unseen predictions for the meta level, and the meta rows that only measure.

The trap: a split is drawn among the rows that count, never among those of weight 0, or adding such a row would move
every fold. Splits that are given as row numbers are the exception: they count all rows, and are cut down afterwards.
"""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    PredefinedSplit,
    StratifiedGroupKFold,
    StratifiedKFold,
    StratifiedShuffleSplit,
    check_cv,
)
from sklearn.utils.validation import _check_method_params

from base_models.clips.labels import mean_label
from base_models.clips.splits import BANDS, stratified_holdout
from base_models.errors import UsageError
from ensemble.estimator.input_rows import FitRows
from meta.splits.meta_split import count_groups, meta_split

Split = tuple[np.ndarray, np.ndarray]


def is_share(cv) -> bool:
    """Whether `cv` is a share of the rows to hold out."""
    return isinstance(cv, numbers.Real) and not isinstance(cv, numbers.Integral)


def makes_folds(cv) -> bool:
    """Whether base models are fitted on rows that others of them predict: a number of folds, or a splitter."""
    return (
        cv is None
        or isinstance(cv, numbers.Integral)
        or (hasattr(cv, "split") and not isinstance(cv, str))
    )


def unseen_splits(
    cv, rows: FitRows, used: np.ndarray, random_state: int, params: Mapping[str, Any]
) -> list[Split]:
    """Rows to fit base models on and rows to predict, for each split; every row is predicted at most once.

    Parameters
    ----------
    cv : number of folds, share to hold out, splitter, or iterable of (train, test) rows, see `StackedMOS`
    rows : all n rows of a fit
    used : numbers of those that count
    params : further arguments of the splitter's ``split``, such as ``groups``

    Returns
    -------
    splits : list of (train, test), numbers within `used`

    Raises
    ------
    UsageError
        when `cv` is none of these, has a row on both sides, or predicts a row twice or none at all.
    """
    if is_share(cv):
        among = rows.take(used)
        held = stratified_holdout(
            among.systems, _target(among), float(cv), random_state, groups=among.groups
        )
        return [(np.flatnonzero(~held), np.flatnonzero(held))]
    if cv is None or isinstance(
        cv, numbers.Integral
    ):  # a splitter of our own needs nobody's leave
        params = {} if rows.groups is None else {"groups": rows.groups}
    splits = _drawn(_splitter(cv, random_state, rows.groups), rows, used, params)
    for train, test in splits:
        both = np.intersect1d(train, test)
        if len(both):
            raise UsageError(
                f"Row {used[both[0]]} is in both sides of a split of cv; every row needs an unseen prediction."
            )
    tested = [row for _, test in splits for row in test.tolist()]
    if not tested or len(set(tested)) != len(tested):
        how = "predicts a row twice" if tested else "predicts no row"
        raise UsageError(
            f"cv {how}; the meta level needs one prediction per row, as from KFold."
        )
    return [split for split in splits if len(split[1])]


def validation_split(
    validation,
    rows: FitRows,
    params: Mapping[str, Any],
    random_state: int,
    among: np.ndarray,
) -> Split:
    """Rows to fit a trial on and to measure it on: a share, or the last split of a splitter (the latest in time).

    Parameters
    ----------
    validation : share (see `meta.splits.meta_split.meta_split`) or splitter
    rows, params : see `unseen_splits`
    among : numbers of the rows that are split

    Returns
    -------
    train, test : numbers within `among`

    Raises
    ------
    UsageError
        when one side is empty.
    """
    if is_share(validation):
        split = rows.take(among)
        held = meta_split(
            split.systems,
            split.labels.to_numpy(),
            float(validation),
            random_state,
            split.groups,
        )
        return np.flatnonzero(~held), np.flatnonzero(held)
    order = np.argsort(among)  # folds have shuffled them
    train, test = (
        order[side]
        for side in _drawn(check_cv(validation), rows, among[order], params)[-1]
    )
    if not len(train) or not len(test):
        raise UsageError(
            f"validation={validation} leaves no row to {'measure' if len(train) else 'fit'} on."
        )
    return train, test


def fewer_folds(cv, rows: FitRows):
    """`cv` with no more folds than there are rows, or groups, to share out."""
    if not isinstance(cv, numbers.Integral):
        return cv
    return max(
        2, min(cv, len(rows) if rows.groups is None else count_groups(rows.groups))
    )


def _splitter(cv, random_state, groups):
    cv = 5 if cv is None else cv
    if isinstance(cv, bool | str) or (isinstance(cv, numbers.Integral) and cv < 2):
        raise UsageError(
            f"cv is a number of folds (at least 2), a share to hold out, a splitter, splits, or 'prefit'; got {cv!r}."
        )
    if not isinstance(cv, numbers.Integral):
        return check_cv(cv)
    return (KFold if groups is None else GroupKFold)(
        int(cv), shuffle=True, random_state=random_state
    )


def _drawn(
    splitter, rows: FitRows, used: np.ndarray, params: Mapping[str, Any]
) -> list[Split]:
    """The splits of a splitter as numbers within `used`."""
    by_number = isinstance(
        splitter, PredefinedSplit | type(check_cv([]))
    )  # the latter holds splits that were given
    among = rows if by_number else rows.take(used)
    params = (
        params if by_number else _check_method_params(rows.labels, params, indices=used)
    )
    number, target = np.arange(len(among)), _target(among)
    if isinstance(
        splitter, StratifiedKFold | StratifiedGroupKFold | StratifiedShuffleSplit
    ):
        target = (
            np.argsort(np.argsort(target, kind="stable"), kind="stable")
            * BANDS
            // len(target)
        )  # score bands
    splits = [
        (number[train], number[test])
        for train, test in splitter.split(number[:, None], target, **params)
    ]
    if not by_number:
        return splits
    return [
        (_within(used, len(rows), train), _within(used, len(rows), test))
        for train, test in splits
    ]


def _within(chosen: np.ndarray, n: int, rows: np.ndarray) -> np.ndarray:
    """Where rows stand among the chosen of n; those that are not chosen are left out."""
    place = np.full(n, -1)
    place[chosen] = np.arange(len(chosen))
    return place[rows][place[rows] >= 0]


def _target(rows: FitRows) -> np.ndarray:
    return mean_label(rows.labels.to_numpy())
