"""Learner: from the distributions of all base models to one aspect's score.

Parameters are JSON values, and a fitted learner is its parameters, arrays and facts,
so that nothing is pickled. Learners do not standardise features: each model's bins sum
to 1, so features are collinear with the intercept.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, clone

from base_models.errors import DamagedArtifact, UsageError, one_of
from meta.columns.feature_table import Layout
from meta.columns.missing_predictions import fill_missing

# Names of groups, one per row; inner folds keep the rows of a group together.
GroupNames = Sequence[str] | np.ndarray


class Learner(BaseEstimator, ABC):
    """Base of the meta-learners.

    Attributes
    ----------
    layout_ : Layout, what the columns are
    facts_ : dict of JSON values, for a report
    warnings_ : list of str, for the user
    """

    layout_: Layout
    facts_: dict[str, Any]
    warnings_: list[str]

    @property
    def accepts_missing(self) -> bool:
        """Whether a base model may lack predictions: the parameter missing="pool"."""
        return getattr(self, "missing", "refuse") == "pool"

    @abstractmethod
    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        layout: Layout,
        sample_weight: ArrayLike | None = None,
        groups: GroupNames | None = None,
    ) -> Learner:
        """Learn one aspect.

        Parameters
        ----------
        X : array of shape (n, models·bins), columns as `layout` says
        y : array of shape (n,), scores
        layout : the columns
        sample_weight : array of shape (n,), or None; rows of weight 0 are left out
        groups : n names of groups that inner folds keep together, or None
        """

    @abstractmethod
    def predict(self, X: ArrayLike) -> np.ndarray:
        """Predict scores of shape (n,), unclipped.

        The score of a row does not depend on the other rows.
        """

    def with_settings(self, settings: Mapping[str, Any], name: str) -> Learner:
        """Return an unfitted copy with some parameters changed.

        Parameters
        ----------
        settings : value by name of parameter, as ``--set`` gives them
        name : of the learner, for messages

        Raises
        ------
        UsageError
            when a parameter is unknown.
        """
        legal = self.get_params(deep=False)
        for setting in settings:
            one_of(setting, legal, f"parameter of {name}")
        changed: Learner = clone(self)
        return changed.set_params(**settings)

    def describe(self) -> dict[str, Any]:
        """Return facts about the fit, for a report."""
        return dict(self.facts_)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return all that was learnt, by name."""
        return {}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Set what was learnt from the arrays that `to_arrays` returned.

        Raises
        ------
        DamagedArtifact
            when the arrays do not fit the layout.
        """

    @classmethod
    def from_arrays(
        cls,
        arrays: Mapping[str, np.ndarray],
        layout: Layout,
        facts: Mapping[str, Any],
        params: Mapping[str, Any],
    ) -> Learner:
        """Build a fitted learner that predicts what the saved one did, bit for bit.

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

        # Warnings are of the fit, and are stored with the whole stack.
        learner.layout_ = layout
        learner.facts_ = dict(facts)
        learner.warnings_ = []
        learner.restore(arrays)
        return learner


@dataclass(frozen=True, eq=False)
class FitInputs:
    """The checked rows of positive weight that a learner is fitted on.

    Parameters
    ----------
    X : float64 array of shape (n, models·bins), finite
    y : float64 array of shape (n,), scores
    weight : float64 array of shape (n,), above 0
    groups : array of n names (str), or None
    """

    X: np.ndarray
    y: np.ndarray
    weight: np.ndarray
    groups: np.ndarray | None


def check_fit_inputs(
    layout: Layout,
    X: ArrayLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
    groups: GroupNames | None = None,
    missing: str = "refuse",
) -> FitInputs:
    """Check what a learner is fitted on, and keep the rows of positive weight.

    Parameters
    ----------
    layout, X, y, sample_weight, groups : see `Learner.fit`
    missing : one of `meta.columns.missing_predictions.MISSING`

    Raises
    ------
    UsageError
        when the inputs do not fit each other, or a value is not finite.
    """
    X = _check_shape(layout, X)
    y = np.asarray(y, dtype=np.float64)
    if sample_weight is None:
        weight = np.ones(len(X))
    else:
        weight = np.asarray(sample_weight, dtype=np.float64)

    if y.shape != (len(X),) or weight.shape != y.shape:
        raise UsageError(
            f"{len(X)} rows of features need as many scores and weights; got "
            f"{y.shape}, {weight.shape}."
        )
    if not np.isfinite(y).all():
        raise UsageError(
            "Scores to learn from must be finite; leave unlabelled rows out."
        )
    kept = weight > 0
    if not np.isfinite(weight).all() or (weight < 0).any() or not kept.any():
        raise UsageError("Sample weights must be finite, not negative, and not all 0.")
    if groups is not None and len(groups) != len(X):
        raise UsageError(
            f"{len(X)} rows of features need as many groups; got {len(groups)}."
        )

    # Names become text: groups may be numbers in one table and text in another.
    kept_groups = None
    if groups is not None:
        names = np.array([str(group) for group in groups], dtype=object)
        kept_groups = names[kept]

    # Features are checked last: a row of weight 0 may hold anything. They are large,
    # and copied only where rows are left out.
    features = X if kept.all() else X[kept]
    return FitInputs(
        X=check_features(layout, features, missing),
        y=y[kept],
        weight=weight[kept],
        groups=kept_groups,
    )


def check_features(
    layout: Layout,
    X: ArrayLike,
    missing: str = "refuse",
) -> np.ndarray:
    """Return features as a contiguous float64 array without gaps.

    Parameters
    ----------
    layout, X, missing : see `meta.columns.missing_predictions.fill_missing`

    Raises
    ------
    UsageError
        when the features do not fit the layout, are not finite, or have gaps that may
        not be filled.
    """
    # Gaps are filled first: what is NaN after that is damage, not a missing model.
    X = fill_missing(layout, _check_shape(layout, X), missing)
    if not np.isfinite(X).all():
        raise UsageError("Features must be finite; found NaN or infinity.")
    return X


def _check_shape(layout: Layout, X: ArrayLike) -> np.ndarray:
    X = np.ascontiguousarray(X, dtype=np.float64)
    if X.ndim != 2 or X.shape[1] != layout.n_features:
        raise UsageError(
            f"Features have shape {X.shape}; expected (n, {layout.n_features}): "
            f"{len(layout.models)} models of {layout.bins.count} bins."
        )
    return X


def read_stored_array(
    arrays: Mapping[str, np.ndarray],
    name: str,
    shape: tuple[int, ...],
) -> np.ndarray:
    """Return one array of a stored learner.

    Raises
    ------
    DamagedArtifact
        when it is missing, or is not a finite float64 array of that shape.
    """
    array = arrays.get(name)
    if (
        array is None
        or array.shape != shape
        or array.dtype != np.float64
        or not np.isfinite(array).all()
    ):
        raise DamagedArtifact(
            f"The stored learner is damaged: '{name}' is not a finite float64 array of "
            f"shape {shape}."
        )
    return array
