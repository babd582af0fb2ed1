"""What a stack is given to fit or to predict: a clip table, another frame, or a matrix.

Clips have ids and systems of their own; rows of other frames and of matrices are named
by their numbers.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, TypeAlias, TypeGuard

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils import get_tags
from sklearn.utils.validation import validate_data

from base_models.bins import ScoreBins
from ensemble.estimator.sklearn_compat import check_sample_weight
from meta.rows import Rows

log = logging.getLogger(__name__)

Input: TypeAlias = pd.DataFrame | np.ndarray
"""A clip table, another frame, or a matrix of shape (n, features)."""


def is_clips(X: Any) -> TypeGuard[pd.DataFrame]:
    """Whether X is a clip table: a DataFrame with ``audio`` or ``clip_id``."""
    if not isinstance(X, pd.DataFrame):
        return False
    return "audio" in X.columns or "clip_id" in X.columns


def validated_input(estimator: BaseEstimator, X: Input, reset: bool) -> Input:
    """X as base models take it: a clip table with ids, a frame, or an array.

    Parameters
    ----------
    estimator : the stack, which remembers the number and names of features
    X : as given to `StackedMOS`
    reset : whether this is a fit, which says what features there are
    """
    if is_clips(X):
        if reset:
            # An earlier fit may have been on a matrix.
            for name in ("n_features_in_", "feature_names_in_"):
                estimator.__dict__.pop(name, None)
        if "clip_id" not in X:
            X = X.assign(clip_id=X.index.astype(str))
        return X.reset_index(drop=True)
    if isinstance(X, pd.DataFrame):
        # It stays a frame: base models may pick columns by name.
        checked = validate_data(estimator, X, reset=reset, skip_check_array=True)
        return checked.reset_index(drop=True)
    # A prediction may be of a single row, a fit needs two.
    allow_nan = get_tags(estimator).input_tags.allow_nan
    return validate_data(
        estimator,
        X,
        reset=reset,
        ensure_all_finite="allow-nan" if allow_nan else True,
        ensure_min_samples=2 if reset else 1,
    )


def features_of(estimator: BaseEstimator) -> dict[str, Any]:
    """What a stack fitted on other rows than clips remembers of X, as JSON values."""
    facts: dict[str, Any] = {}
    if hasattr(estimator, "n_features_in_"):
        facts["n_features"] = int(estimator.n_features_in_)
    if hasattr(estimator, "feature_names_in_"):
        facts["feature_names"] = estimator.feature_names_in_.tolist()
    return facts


def restore_features(estimator: BaseEstimator, facts: Mapping[str, Any]) -> None:
    """Give a loaded stack what `features_of` said of the saved one."""
    if "n_features" in facts:
        estimator.n_features_in_ = int(facts["n_features"])
    if "feature_names" in facts:
        names = np.array(facts["feature_names"], dtype=object)
        estimator.feature_names_in_ = names


def row_ids(X: pd.DataFrame | np.ndarray) -> list[str]:
    """``clip_id`` of a clip table, else the number of each row."""
    if is_clips(X):
        return [str(clip) for clip in X["clip_id"]]
    return [str(number) for number in range(len(X))]


def rows_of(
    X: pd.DataFrame | np.ndarray,
    labels: pd.DataFrame,
    sample_weight: ArrayLike | None = None,
    groups: ArrayLike | None = None,
) -> Rows:
    """The n rows of a fit, with what X says of their systems and prompts.

    Parameters
    ----------
    X : clip table, other frame, or matrix of n rows
    labels : frame of shape (n, aspects), NaN where unlabelled
    sample_weight : array of shape (n,), or None
    groups : n values, or None

    Raises
    ------
    ValueError
        when a weight is negative or not finite, or all are 0.
    UsageError
        when there are not as many groups.
    """
    weights = checked_weights(sample_weight, labels)

    systems, prompts = systems_and_prompts(X)
    return Rows.of(
        row_ids(X),
        labels,
        tuple(labels.columns),
        systems=systems,
        groups=groups,
        prompts=prompts,
        weights=weights,
    )


def systems_and_prompts(X: Input) -> tuple[list[Any] | None, list[Any] | None]:
    """What a clip table says of each row; None for columns that it lacks.

    Rows of a matrix name no system, so that nothing is stratified by systems.
    """
    if not is_clips(X):
        return None, None
    systems = X["system_id"].tolist() if "system_id" in X else None
    prompts = X["prompt"].tolist() if "prompt" in X else None
    return systems, prompts


def checked_weights(
    sample_weight: ArrayLike | None, labels: pd.DataFrame
) -> np.ndarray | None:
    """Weights as float64 array of shape (n,), or None.

    Raises
    ------
    ValueError
        when one is negative or not finite, or all are 0.
    """
    if sample_weight is None:
        return None
    return check_sample_weight(
        sample_weight, labels, dtype=np.float64, ensure_non_negative=True
    )


def take_rows(
    X: pd.DataFrame | np.ndarray, places: np.ndarray
) -> pd.DataFrame | np.ndarray:
    """Rows of a frame, which are numbered anew, or of a matrix."""
    if isinstance(X, pd.DataFrame):
        return X.iloc[places].reset_index(drop=True)
    return X[places]


def rating_scale(labels: np.ndarray, clips: bool) -> ScoreBins:
    """The scale of ratings that nobody named: 1..5, unless anonymous rows leave it.

    Clips come from a listening test, whose scale is known: a label off it is a mistake,
    for `check_labels` to refuse. A matrix may be anything; its scale spans its labels,
    and the log says so.

    Parameters
    ----------
    labels : array of shape (n, aspects), NaN where unlabelled
    clips : whether the rows are clips
    """
    # NaN marks a clip without a label, which says nothing about the scale.
    bins = ScoreBins()
    known = labels[np.isfinite(labels)]
    if clips or not known.size:
        return bins
    low = float(known.min())
    high = float(known.max())
    if low >= bins.low and high <= bins.high:
        return bins

    if low == high:  # a scale needs a width
        low -= 0.5
        high += 0.5
    log.warning(
        "Labels lie off the scale 1..5; taking %g..%g, which they span. Pass "
        "bins=ScoreBins(low, high) for the scale of the listening test: nothing "
        "outside of it is ever predicted.",
        low,
        high,
    )
    return ScoreBins(low, high)
