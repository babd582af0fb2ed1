"""All splits of one fit of a stack, decided before anything is fitted.

A split is drawn among the usable rows, never among those of weight 0 or without a
label: such a row would otherwise move every fold. Splits that are given as row numbers
are the exception: they count all rows, and are cut down afterwards.
"""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.model_selection import (
    BaseCrossValidator,
    GroupKFold,
    KFold,
    PredefinedSplit,
    StratifiedGroupKFold,
    StratifiedKFold,
    StratifiedShuffleSplit,
    check_cv,
)

from base_models.clips.labels import mean_label
from base_models.clips.splits import SCORE_BANDS, stratified_holdout
from base_models.errors import UsageError
from ensemble.estimator.sklearn_compat import params_of_rows
from meta.rows import Rows
from meta.splits.meta_split import check_meta_rows, count_groups, meta_split

Split = tuple[np.ndarray, np.ndarray]
"""Places of the rows to fit on and of those to predict or measure."""
_GIVEN_SPLITS = type(check_cv([]))
"""What scikit-learn makes of an iterable of (train, test) rows."""


@dataclass(frozen=True, eq=False)
class TrialSplits:
    """Splits of a trial that fits base models anew, without the rows that measure it.

    Parameters
    ----------
    training, validation : places of the rows on both sides
    folds : splits of `training`, by which base models predict it
    """

    training: np.ndarray
    validation: np.ndarray
    folds: tuple[Split, ...]

    @property
    def predicted(self) -> np.ndarray:
        """Places of the training rows that a fold predicts."""
        return np.concatenate([test for _, test in self.folds])


@dataclass(frozen=True, eq=False)
class FitSplits:
    """The splits of one fit; all places are among the usable rows.

    Parameters
    ----------
    folds : by which base models predict rows that they have not seen; empty where they
        are fitted already
    meta_places : places of the rows that the meta level learns from
    keeps_first : whether the base models of the first fold stay, instead of being
        fitted on all rows
    validation : how a trial that refits the meta level alone is split: share of its
        rows, or places among `meta_places`; None where `trial` measures, or nothing
    trial : splits of a trial with base models of its own, or None
    """

    folds: tuple[Split, ...]
    meta_places: np.ndarray
    keeps_first: bool
    validation: float | Split | None
    trial: TrialSplits | None


def plan_splits(
    rows: Rows,
    cv: Any,
    validation: Any,
    metadata: Mapping[str, Mapping[str, Any]],
    random_state: int,
) -> FitSplits:
    """Decide every split of a fit.

    Parameters
    ----------
    rows : all rows of the fit
    cv, validation : see `StackedMOS`
    metadata : arguments of the splitters' ``split``, under ``"cv"`` and
        ``"validation"``, see `ensemble.estimator.metadata_routing.metadata_of`
    random_state : int

    Raises
    ------
    UsageError
        when `cv` or `validation` is none of these, a row stands on both sides of a
        split, or a row is predicted twice or none at all.
    """
    usable = rows.usable()
    if is_prefit(cv):
        folds: tuple[Split, ...] = ()
        meta_places = np.arange(len(usable))
    else:
        folds = unseen_splits(cv, rows, usable, metadata["cv"], random_state)
        meta_places = np.concatenate([test for _, test in folds])

    own_validation: float | Split | None = None
    trial = None
    if validation is not None and makes_folds(cv):
        sides = _validation_split(
            validation, rows, usable, metadata["validation"], random_state
        )
        trial = _trial_splits(cv, rows, usable, sides, metadata["cv"], random_state)
    elif validation is None or is_share(validation):
        # Only the number is passed on: `MetaRegressor.held_out_trial` draws the rows.
        own_validation = validation
    else:
        own_validation = _validation_split(
            validation,
            rows,
            usable.take(meta_places),
            metadata["validation"],
            random_state,
        )
    return FitSplits(
        folds=folds,
        meta_places=meta_places,
        keeps_first=is_share(cv),
        validation=own_validation,
        trial=trial,
    )


def check_validation(validation: Any) -> None:
    """Refuse a `validation` that is neither a share, a splitter, nor None.

    Raises
    ------
    UsageError
        when it is something else.
    """
    if validation is None or hasattr(validation, "split"):
        return
    if not is_share(validation) or not 0 < validation < 1:
        raise UsageError(
            "validation is a share between 0 and 1, a splitter, or None; got "
            f"{validation}."
        )


def is_prefit(cv: Any) -> bool:
    """Whether `cv` says that base models are fitted already."""
    return isinstance(cv, str) and cv == "prefit"


def is_share(cv: Any) -> bool:
    """Whether `cv` is a share of the rows to hold out."""
    return isinstance(cv, numbers.Real) and not isinstance(cv, numbers.Integral)


def makes_folds(cv: Any) -> bool:
    """Whether base models are fitted on rows that others of them predict.

    So it is with a number of folds, and with a splitter.
    """
    if cv is None or isinstance(cv, numbers.Integral):
        return True
    return hasattr(cv, "split") and not isinstance(cv, str)


def unseen_splits(
    cv: Any,
    rows: Rows,
    chosen: Rows,
    params: Mapping[str, Any],
    random_state: int,
) -> tuple[Split, ...]:
    """Rows to fit base models on and rows to predict, for each split.

    Parameters
    ----------
    cv : number of folds, share to hold out, splitter, or iterable of (train, test)
        rows, see `StackedMOS`
    rows : all rows of the fit
    chosen : those of them that are split
    params : further arguments of the splitter's ``split``, such as ``groups``
    random_state : int

    Returns
    -------
    splits : (train, test) places within `chosen`; no row is predicted twice

    Raises
    ------
    UsageError
        when `cv` is none of these, has a row on both sides, or predicts a row twice or
        none at all.
    """
    if is_share(cv):
        held_out = stratified_holdout(
            chosen.systems,
            mean_label(chosen.labels),
            float(cv),
            seed=random_state,
            groups=chosen.groups,
        )
        return ((np.flatnonzero(~held_out), np.flatnonzero(held_out)),)

    if cv is None or isinstance(cv, numbers.Integral):
        # Our own splitter gets the groups, whether or not they were requested for it.
        params = {} if rows.groups is None else {"groups": rows.groups}
    splitter = _splitter(cv, random_state, grouped=rows.groups is not None)
    splits = _draw(splitter, rows, chosen, params)

    for train, test in splits:
        both = np.intersect1d(train, test)
        if len(both):
            raise UsageError(
                f"Row {chosen.number[both[0]]} is in both sides of a split of cv; "
                "every row needs an unseen prediction."
            )
    tested = [row for _, test in splits for row in test.tolist()]
    if not tested:
        raise UsageError(
            "cv predicts no row; the meta level needs one prediction per row, as from "
            "KFold."
        )
    if len(set(tested)) != len(tested):
        raise UsageError(
            "cv predicts a row twice; the meta level needs one prediction per row, as "
            "from KFold."
        )
    return tuple(split for split in splits if len(split[1]))


def _validation_split(
    validation: Any,
    rows: Rows,
    chosen: Rows,
    params: Mapping[str, Any],
    random_state: int,
) -> Split:
    """Rows to fit a trial on and to measure it on, as places within `chosen`.

    A share, or the last split of a splitter, which is the latest where rows are in the
    order of time.

    Raises
    ------
    UsageError
        when one side is empty.
    """
    if is_share(validation):
        held_out = meta_split(chosen, float(validation), random_state)
        return np.flatnonzero(~held_out), np.flatnonzero(held_out)

    # Folds have shuffled the rows; a splitter sees them in the order of the table.
    order = np.argsort(chosen.number)
    splits = _draw(check_cv(validation), rows, chosen.take(order), params)
    last_train, last_test = splits[-1]
    if not len(last_train):
        raise UsageError(f"validation={validation} leaves no row to fit on.")
    if not len(last_test):
        raise UsageError(f"validation={validation} leaves no row to measure on.")
    return order[last_train], order[last_test]


def _trial_splits(
    cv: Any,
    rows: Rows,
    usable: Rows,
    sides: Split,
    params: Mapping[str, Any],
    random_state: int,
) -> TrialSplits:
    """Folds of the rows that validation leaves.

    The rows that measure are held out before any fold is drawn. With shared folds, the
    base models that predict the meta-training rows would have seen the labels of
    meta-validation rows, and a stack of them would look better than it is, even on
    noise.

    Raises
    ------
    UsageError
        when there are too few rows to hold any out.
    """
    check_meta_rows(usable)
    train, test = sides
    training = usable.take(train)
    try:
        folds = unseen_splits(
            _fewer_folds(cv, training), rows, training, params, random_state
        )
    except ValueError as error:
        raise UsageError(
            f"cv cannot split the {len(train)} rows that validation leaves to fit on "
            f"({error}); use fewer folds, or validation=None."
        ) from error
    return TrialSplits(
        training=train,
        validation=test,
        folds=tuple((train[inside], train[outside]) for inside, outside in folds),
    )


def _fewer_folds(cv: Any, rows: Rows) -> Any:
    """`cv` with no more folds than there are rows, or groups, to share out."""
    if not isinstance(cv, numbers.Integral):
        return cv
    units = len(rows) if rows.groups is None else count_groups(rows.groups)
    return max(2, min(cv, units))


def _splitter(cv: Any, random_state: int, grouped: bool) -> BaseCrossValidator:
    """The splitter that `cv` stands for."""
    if cv is None:
        cv = 5
    is_number = isinstance(cv, numbers.Integral)
    if isinstance(cv, bool | str) or (is_number and cv < 2):
        raise UsageError(
            "cv is a number of folds (at least 2), a share to hold out, a splitter, "
            f"splits, or 'prefit'; got {cv!r}."
        )
    if not is_number:
        return check_cv(cv)
    kind = GroupKFold if grouped else KFold
    return kind(int(cv), shuffle=True, random_state=random_state)


def _draw(
    splitter: BaseCrossValidator,
    rows: Rows,
    chosen: Rows,
    params: Mapping[str, Any],
) -> list[Split]:
    """The splits of a splitter as places within `chosen`."""
    # Splits that were given as row numbers count all rows.
    by_number = isinstance(splitter, PredefinedSplit | _GIVEN_SPLITS)
    among = rows if by_number else chosen
    if by_number:
        # They need no groups, and PredefinedSplit warns of them.
        params = {}
    else:
        params = params_of_rows(rows.labels, params, indices=chosen.number)

    target = mean_label(among.labels)
    if isinstance(
        splitter, StratifiedKFold | StratifiedGroupKFold | StratifiedShuffleSplit
    ):
        # These stratify by classes: bands of the score stand in for them.
        rank = np.argsort(np.argsort(target, kind="stable"), kind="stable")
        target = rank * SCORE_BANDS // len(target)

    places = np.arange(len(among))
    splits = [
        (places[train], places[test])
        for train, test in splitter.split(places[:, None], target, **params)
    ]
    if not by_number:
        return splits
    return [
        (_places_within(chosen, train), _places_within(chosen, test))
        for train, test in splits
    ]


def _places_within(chosen: Rows, numbers_of_rows: np.ndarray) -> np.ndarray:
    """Where numbered rows stand among the chosen; those not chosen are left out."""
    place = {number: row for row, number in enumerate(chosen.number.tolist())}
    found = [place[number] for number in numbers_of_rows.tolist() if number in place]
    return np.array(found, dtype=np.int64)
