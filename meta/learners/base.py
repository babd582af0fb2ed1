"""Learner: what every meta-learner has in common, from the distributions of the base models to one aspect's score.

Parameters are JSON values, so a fitted learner is parameters, arrays and facts, and nothing is pickled. The trap: each
model's bins sum to 1, so features are collinear with the intercept; nothing here may standardise them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from base_models.errors import DamagedArtifact, UsageError
from meta.columns.feature_table import Layout
from meta.columns.missing_predictions import fill_missing


class Learner(BaseEstimator, ABC):
    """Base of the meta-learners.

    Attributes
    ----------
    layout_ : Layout, what the columns are
    facts_ : dict of JSON values, for a report
    warnings_ : list of str, for people
    """

    @property
    def accepts_missing(self) -> bool:
        """Whether a block of NaN may stand where a base model has no prediction: the parameter missing="pool"."""
        return getattr(self, "missing", "refuse") == "pool"

    @abstractmethod
    def fit(self, X, y, layout: Layout, sample_weight=None, groups=None) -> Learner:
        """Learn one aspect.

        Parameters
        ----------
        X : array of shape (n, models·bins), columns as `layout` says
        y : array of shape (n,), scores
        layout : the columns
        sample_weight : array of shape (n,), or None; a row of weight 0 is a row left out
        groups : n names kept together in inner folds, or None
        """

    @abstractmethod
    def predict(self, X) -> np.ndarray:
        """Scores of shape (n,), unclipped; the same for a row whatever stands beside it."""

    def describe(self) -> dict[str, Any]:
        """Facts about the fit, for a report."""
        return dict(self.facts_)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """All that was learnt, by name."""
        return {}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take back what `to_arrays` gave; DamagedArtifact when it does not fit the layout."""

    @classmethod
    def from_arrays(
        cls,
        arrays: Mapping[str, np.ndarray],
        layout: Layout,
        facts: Mapping[str, Any],
        params: Mapping[str, Any],
    ) -> Learner:
        """A fitted learner that predicts what the saved one did, bit for bit.

        Raises
        ------
        DamagedArtifact
            when arrays or parameters are not those of such a learner.
        """
        try:
            learner = cls(**params)
        except TypeError as error:
            raise DamagedArtifact(
                f"The stored learner's parameters are damaged ({error})."
            ) from error
        learner.layout_, learner.facts_, learner.warnings_ = layout, dict(facts), []
        learner.restore(arrays)
        return learner


def features(layout: Layout, X, missing: str = "refuse") -> np.ndarray:
    """Features as a contiguous float64 array without gaps (see `meta.columns.missing_predictions.fill_missing`).

    Raises
    ------
    UsageError
        when they do not fit the layout, are not finite, or hold gaps that may not be filled.
    """
    X = fill_missing(layout, _shaped(layout, X), missing)
    if not np.isfinite(X).all():
        raise UsageError("Features must be finite; found NaN or infinity.")
    return X


def _shaped(layout: Layout, X) -> np.ndarray:
    X = np.ascontiguousarray(X, dtype=np.float64)
    if X.ndim != 2 or X.shape[1] != layout.n_features:
        raise UsageError(
            f"Features have shape {X.shape}; expected (n, {layout.n_features}): {len(layout.models)} models of "
            f"{layout.bins.count} bins."
        )
    return X


def checked(
    layout: Layout, X, y, sample_weight=None, groups=None, missing: str = "refuse"
):
    """Features, scores, weights (ones for None) and groups (or None): the rows of a positive weight.

    Raises
    ------
    UsageError
        when they do not fit each other, or hold what is not finite.
    """
    X, y = _shaped(layout, X), np.asarray(y, dtype=np.float64)
    weight = (
        np.ones(len(X))
        if sample_weight is None
        else np.asarray(sample_weight, dtype=np.float64)
    )
    if y.shape != (len(X),) or weight.shape != y.shape:
        raise UsageError(
            f"{len(X)} rows of features need as many scores and weights; got {y.shape}, {weight.shape}."
        )
    if not np.isfinite(y).all():
        raise UsageError(
            "Scores to learn from must be finite; leave unlabelled rows out."
        )
    if not np.isfinite(weight).all() or (weight < 0).any() or not (weight > 0).any():
        raise UsageError("Sample weights must be finite, not negative, and not all 0.")
    if groups is not None and len(groups) != len(X):
        raise UsageError(
            f"{len(X)} rows of features need as many groups; got {len(groups)}."
        )
    kept = weight > 0
    groups = (
        None
        if groups is None
        else np.array([str(group) for group in groups], dtype=object)[kept]
    )
    return features(layout, X[kept], missing), y[kept], weight[kept], groups


def out_of_fold(
    new: Callable[[], Learner],
    X,
    y,
    layout: Layout,
    fold,
    sample_weight=None,
    groups=None,
) -> np.ndarray:
    """Scores of shape (n,), each by a learner that was fitted on the other folds.

    Parameters
    ----------
    new : makes an unfitted learner
    X, y, sample_weight, groups : see `Learner.fit`
    fold : int array of shape (n,)
    """
    scores = np.empty(len(y))
    for test in (fold == number for number in np.unique(fold)):
        inside = (
            None if part is None else part[~test] for part in (sample_weight, groups)
        )
        scores[test] = new().fit(X[~test], y[~test], layout, *inside).predict(X[test])
    return scores


def stored(
    arrays: Mapping[str, np.ndarray], name: str, shape: tuple[int, ...]
) -> np.ndarray:
    """One array of a stored learner; DamagedArtifact when it is not finite float64 of that shape."""
    array = arrays.get(name)
    if (
        array is None
        or array.shape != shape
        or array.dtype != np.float64
        or not np.isfinite(array).all()
    ):
        raise DamagedArtifact(
            f"The stored learner is damaged: '{name}' is not a finite float64 array of shape {shape}."
        )
    return array
