"""How far off the scores of a `MetaRegressor` are, learnt aspect by aspect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from base_models.predictions import PredictionTable
from meta.columns.feature_table import feature_array
from meta.comparison.pairs.pair_calibration import fit_pair_factors
from meta.cross_fit import CrossFit
from meta.rows import Rows, equal_labels_warning
from meta.splits.meta_split import count_groups, meta_folds
from meta.uncertainty.calibration import Calibration
from meta.uncertainty.system_error import SystemLevelError


def calibrate_aspect(
    regressor: Any, tables: Sequence[PredictionTable], labelled: Rows, k: int
) -> dict[str, float] | None:
    """Calibrate one aspect by the scores that cross-validation gives each row.

    Parameters
    ----------
    regressor : MetaRegressor, fitted
    tables : predictions of the base models
    labelled : the rows that are labelled for the aspect, in the order of their ids
    k : number of the aspect

    Returns
    -------
    errors : label minus score, in score points, of each clip by a learner that was not
        fitted on it; None where all clips are of one group
    """
    aspect = regressor.aspects_[k]
    bins = regressor.layout_.bins
    if labelled.groups is None and labelled.is_one_system:
        # Of other systems nothing can be learnt, of further clips of this one all.
        regressor.warnings_.append(
            f"{aspect}: all clips are of one system ('{labelled.systems[0]}'), so "
            "intervals are for further clips of it; errors on other systems may be "
            "larger."
        )
        labelled = labelled.without_systems()
    together = labelled.together
    if together is not None and count_groups(together) < 2:
        regressor.warnings_.append(
            f"{aspect}: all labels are of one group; distributions are "
            f"{bins.soften_sigma:g} wide by convention."
        )
        return None

    labels = labelled.labels[:, 0]
    ids = labelled.ids.tolist()
    fold = meta_folds(labelled, regressor.random_state)
    cross_fit = CrossFit.fit(
        regressor.new_learner,
        feature_array(tables, aspect, ids, gaps=regressor.accepts_missing),
        labelled,
        regressor.layout_,
        fold,
    )
    unseen_scores = cross_fit.scores

    # Systems with many clips may get bounds of their own, if all are named.
    systems = labelled.systems if labelled.all_systems_named else None
    features = regressor.spread_features(tables, ids, k, unseen_scores)
    calibration = Calibration.fit(
        unseen_scores,
        labels,
        bins,
        systems,
        features=features,
        fold=fold,
    )
    calibration = _with_pairs(calibration, cross_fit, labelled, features=features)
    regressor.cross_fits_[k] = cross_fit
    regressor.calibrations_[k] = calibration
    errors = labels - np.clip(unseen_scores, bins.low, bins.high)
    if _are_left_out_whole(labelled, fold):
        regressor.system_errors_[k] = SystemLevelError.fit(
            errors, labelled.systems, width=bins.high - bins.low
        )
    rms_error = np.sqrt(np.mean(errors**2))
    # No rating is known more finely than half a bin.
    regressor.residual_sigma_[k] = max(rms_error, bins.width / 2)
    if not equal_labels_warning(aspect, labels):
        regressor.warnings_ += [
            f"{aspect}: {warning}" for warning in calibration.warnings()
        ]
    return dict(zip(ids, errors.tolist(), strict=True))


def _are_left_out_whole(labelled: Rows, fold: np.ndarray) -> bool:
    """Whether no fold learnt from a system of which another part was left out."""
    if not labelled.all_systems_named:
        return False
    parts = set(zip(labelled.systems.tolist(), fold.tolist(), strict=True))
    return len(parts) == len(set(labelled.systems))


def _with_pairs(
    calibration: Calibration, cross_fit: CrossFit, labelled: Rows, features: np.ndarray
) -> Calibration:
    """The calibration with what pairs of its rows say of preferences.

    Parameters
    ----------
    calibration, cross_fit : of the rows
    labelled : the rows
    features : of the spread of each row
    """
    distributions = calibration.distribution(
        cross_fit.scores, calibration.scales(features)
    )
    # What clips are about: their prompts, or else what the user keeps together.
    contents = labelled.prompts
    if contents is None or len(set(contents) - {""}) == 0:
        contents = labelled.groups
    pairs = fit_pair_factors(
        distributions, labelled.labels[:, 0], labelled.systems, contents
    )
    return replace(calibration, pairs=pairs)
