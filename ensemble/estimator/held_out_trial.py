"""A trial stack whose base models, too, were fitted without the measuring rows."""

from __future__ import annotations

from collections.abc import Sequence

from base_models.predictions import PredictionTable
from ensemble.estimator.fit_base_models import BaseModelFits
from ensemble.estimator.row_splits import TrialSplits
from meta.comparison.compared_rows import ComparedRows
from meta.comparison.held_out_trial import HeldOutTrial
from meta.regressor import MetaRegressor
from meta.rows import Rows


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
    return HeldOutTrial(
        training=_compared(regressor, tables, training),
        validation=_compared(regressor, tables, held_out),
        tables=tuple(tables),
    )


def _compared(
    regressor: MetaRegressor, tables: Sequence[PredictionTable], rows: Rows
) -> ComparedRows:
    stack_scores = regressor.predict(tables, rows.ids.tolist())
    return ComparedRows.of(tables, rows, stack_scores)
