"""How good a stack is on rows that no fit has seen, and what it learns of raters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from base_models.clips.ratings import check_ratings
from base_models.errors import UsageError
from base_models.predictions import PredictionTable
from ensemble.estimator.fit_base_models import BaseModelFits
from ensemble.estimator.leaks.base_models import unchecked_sentence
from ensemble.estimator.row_splits import TrialSplits, is_prefit
from ensemble.estimator.rows_to_predict import rows_to_judge
from meta.assessment import assess, audit_rows
from meta.comparison.compared_rows import ComparedRows
from meta.comparison.held_out_trial import HeldOutTrial
from meta.predicted_rows import PredictedRows
from meta.regressor import MetaRegressor
from meta.rows import Rows

if TYPE_CHECKING:
    from ensemble.reporting.report import Report


def trial_with_base_models(
    fits: BaseModelFits,
    regressor: MetaRegressor,
    splits: TrialSplits,
    meta_rows: Rows,
) -> HeldOutTrial:
    """Fit a whole stack on one side of a split and compare it on both.

    Parameters
    ----------
    fits : the usable rows, and how base models are fitted on them
    regressor : the meta level, not fitted; it is fitted here
    splits : places within `meta_rows`
    meta_rows : the rows of `fits` as the meta level sees them: without weights, where
        those are not for it

    Raises
    ------
    UsageError
        when the rows do not suffice to fit.
    """
    # The last "fold" predicts the held-out rows by models fitted on all others.
    last = (splits.training, splits.validation)
    _, tables = fits.unseen_predictions([*splits.folds, last], keep_first=True)

    # A splitter may leave some training rows unpredicted; the meta level skips them.
    training = meta_rows.take(splits.predicted)
    held_out = meta_rows.take(splits.validation)
    regressor.fit(tables, training)
    constant = training.mean_labels
    return HeldOutTrial(
        regressor=regressor,
        training=_compared(regressor, tables, training, constant),
        validation=_compared(regressor, tables, held_out, constant),
        tables=tuple(tables),
    )


def _compared(
    regressor: MetaRegressor,
    tables: Sequence[PredictionTable],
    rows: Rows,
    constant: np.ndarray,
) -> ComparedRows:
    stack_scores = regressor.predict(tables, rows.ids.tolist())
    return ComparedRows.of(tables, rows, stack_scores, constant=constant)


def report_of(
    stack: BaseEstimator,
    judges: Mapping[str, Any],
    *,
    ratings: pd.DataFrame | None,
    contents: Mapping[str, str] | None,
    level: float,
    rivals: Sequence[str],
) -> Report:
    """Measure a stack; parameters and errors are those of `StackedMOS.assess`.

    Parameters
    ----------
    stack : StackedMOS, fitted
    """
    # Imported here: reports draw figures, which no fit or prediction needs.
    from ensemble.reporting.report import Report

    if stack.trial_ is None:
        raise UsageError(
            "assess needs a stack that was fitted in this process with a validation "
            "share; fit it again with one."
        )
    judge_rows = {}
    for name, given in judges.items():
        if isinstance(given, PredictedRows):
            judge_rows[name] = given
        else:
            judge_rows[name] = rows_to_judge(stack, name, *given)

    regressor = stack.final_estimator_
    warnings = tuple(regressor.warnings_)
    # What a report cannot know of its base models stands beside its numbers.
    if is_prefit(stack.cv):
        warnings += tuple(filter(None, [unchecked_sentence(stack.estimators_)]))
    measured = assess(
        regressor,
        stack.trial_,
        stack.meta_rows_,
        judge_rows,
        ratings=ratings,
        level=level,
        rivals=rivals,
    )
    # What is written clip by clip is on the scale of the labels.
    predictions = stack.scales_.scored_table(measured.predictions, stack.aspects_)
    measured = replace(measured, predictions=predictions)
    return Report(
        learner=str(regressor.learner),
        facts=regressor.describe(),
        warnings=warnings,
        measured=measured,
        audit=audit_rows(stack.meta_rows_, judge_rows, contents, stack.trial_),
        aspects=stack.aspects_,
    )


def learn_disagreement(stack: BaseEstimator, ratings: pd.DataFrame) -> None:
    """Calibrate the predicted disagreement of raters by single ratings.

    Parameters and errors are those of `StackedMOS.learn_disagreement`.
    """
    if not hasattr(stack, "meta_rows_"):
        raise UsageError(
            "learn_disagreement needs the rows of the fit, which are not saved; call "
            "it before the stack is saved."
        )
    rated = [aspect for aspect in stack.aspects_ if aspect in ratings]
    check_ratings(ratings, rated, stack.bins_)
    stack.final_estimator_.learn_disagreement(
        stack.meta_rows_.tables, stack.meta_rows_.rows, ratings
    )
