"""Meta-learners by name: each maps the features of one aspect to a score, and is kept as arrays and JSON facts.

A learner has ``fit(X, y, sample_weight=None)``, ``predict(X)`` (unclipped), ``to_arrays()``, ``from_arrays(...)``,
``describe()`` and ``warnings_``. It is built with the `Layout` of its columns, so that it can tell models apart. The
trap: each model's columns sum to 1, so features are collinear with the intercept; nothing here may standardise them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.linear_model import RidgeCV

from base_models.errors import DamagedArtifact, StackedMOSError, UsageError
from meta.features import Layout
from meta.trees import TreeArrays

RIDGE_GRID = np.logspace(-6, 3, 28)
"""Ridge penalties to choose from, in units of the mean eigenvalue of the centred Gram matrix."""


class Ridge:
    """Linear regression on all bins, its penalty chosen by leave-one-clip-out error (DORA-MOS, III.D, has alpha = 1).

    The candidates are ``t * trace(Xc' Xc) / p`` for t in `RIDGE_GRID` and centred features Xc (n, p), so that they
    follow the number of clips and the spread of the predictions. Since each model's bins sum to 1 and the intercept is
    free, the coefficients of each model sum to 0.

    Attributes
    ----------
    coef_ : array of shape (p,)
    intercept_ : float
    warnings_ : list of str, e.g. when the choice lies at an end of the grid
    """

    def __init__(self, layout: Layout, random_state: int = 0):
        self.layout = layout
        self.random_state = random_state

    def fit(self, X, y, sample_weight=None) -> Ridge:
        """Choose the penalty on (n, p) features and (n,) scores, and fit on all of them."""
        X, y, weight = _checked(self.layout, X, y, sample_weight)
        X, y, weight = X[weight > 0], y[weight > 0], weight[weight > 0]
        self.warnings_ = []
        centred = X - np.average(X, axis=0, weights=weight)
        unit = float((weight[:, None] * centred**2).sum()) / X.shape[1]
        if len(X) < 3 or unit < 1e-12:
            self.coef_, self.intercept_ = np.zeros(X.shape[1]), float(np.average(y, weights=weight))
            self.facts_ = {"alpha": None, "n": len(X)}
            self.warnings_.append(
                f"ridge saw {len(X)} clips whose predictions tell nothing apart; it answers their mean."
            )
            return self
        chosen = RidgeCV(alphas=RIDGE_GRID * unit).fit(X, y, sample_weight=weight)
        self.coef_, self.intercept_ = np.asarray(chosen.coef_, dtype=np.float64), float(chosen.intercept_)
        step = int(np.argmin(np.abs(RIDGE_GRID * unit - chosen.alpha_)))
        self.facts_ = {
            "alpha": float(chosen.alpha_),
            "relative_alpha": float(RIDGE_GRID[step]),
            "at_edge": step in (0, len(RIDGE_GRID) - 1),
            "loo_mse": float(-chosen.best_score_),
            "n": len(X),
        }
        if self.facts_["at_edge"]:
            end, why = ("lower", "hardly any penalty") if step == 0 else ("upper", "nearly a constant answer")
            self.warnings_.append(f"ridge chose the {end} end of its penalty grid ({why}); distrust the fit.")
        return self

    def predict(self, X) -> np.ndarray:
        """Scores of shape (n,), unclipped; the same for a row whatever stands beside it."""
        return (_features(self.layout, X) * self.coef_).sum(axis=1) + self.intercept_

    def describe(self) -> dict[str, Any]:
        """The penalty (absolute, and in units of the grid), its error, and the absolute coefficients per model."""
        blocks = np.abs(self.coef_).reshape(len(self.layout.models), -1).sum(axis=1)
        return self.facts_ | {"weight_of": dict(zip(self.layout.models, blocks.tolist(), strict=True))}

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Coefficients and intercept."""
        return {"coef": self.coef_, "intercept": np.array([self.intercept_])}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], layout: Layout, facts: dict[str, Any]) -> Ridge:
        """A fitted learner from what `to_arrays` and `facts_` hold; DamagedArtifact when the shapes are wrong."""
        learner = cls(layout)
        coef = _stored(arrays, "coef", (layout.n_features,))
        learner.coef_, learner.intercept_ = coef, float(_stored(arrays, "intercept", (1,))[0])
        learner.facts_, learner.warnings_ = dict(facts), []
        return learner


class LightGBM:
    """Boosted trees, held back for a few hundred rows: 150 trees of 7 leaves, each on 30 % of the bins.

    The published system ran LightGBM's defaults, which reached 0.999 SRCC on the rows it was fitted on (DORA-MOS,
    section III.D).
    The trees are kept as `TreeArrays`; fitting fails if those do not answer as LightGBM does, bit for bit.
    """

    def __init__(self, layout: Layout, random_state: int = 0):
        self.layout = layout
        self.random_state = random_state

    def fit(self, X, y, sample_weight=None) -> LightGBM:
        """Fit on (n, p) features and (n,) scores."""
        import lightgbm

        X, y, weight = _checked(self.layout, X, y, sample_weight)
        X, y, weight = X[weight > 0], y[weight > 0], weight[weight > 0]
        smallest_leaf = int(np.clip(len(X) // 15, 2, 20))
        params = {
            "objective": "regression",
            "num_leaves": 7,
            "min_data_in_leaf": smallest_leaf,
            "min_data_in_bin": min(3, smallest_leaf),
            "learning_rate": 0.05,
            "lambda_l2": 1.0,
            "feature_fraction": 0.3,
            "bagging_fraction": 0.8,
            "bagging_freq": 1 if len(X) >= 10 else 0,  # a bag of fewer may be empty
            "seed": self.random_state,
            "deterministic": True,
            "force_row_wise": True,
            "feature_pre_filter": False,
            "num_threads": 1,
            "verbosity": -1,
        }
        booster = lightgbm.train(params, lightgbm.Dataset(X, y, weight=weight), num_boost_round=150)
        self.trees_ = TreeArrays.from_booster(booster)
        if not np.array_equal(self.trees_.predict(X), booster.predict(X)):
            raise StackedMOSError(
                "LightGBM's trees answer otherwise as arrays; this version of LightGBM cannot be kept."
            )
        self.facts_ = {"trees": len(self.trees_.roots), "min_data_in_leaf": smallest_leaf, "n": len(X)}
        self.warnings_ = []
        if (self.trees_.feature < 0).sum() == len(self.trees_.roots):
            self.warnings_.append(f"lightgbm found nothing to split in {len(X)} clips; it answers their mean.")
        return self

    def predict(self, X) -> np.ndarray:
        """Scores of shape (n,), unclipped."""
        return self.trees_.predict(_features(self.layout, X))

    def describe(self) -> dict[str, Any]:
        """Number of trees, smallest leaf, and how many splits look at each model."""
        used = self.trees_.feature[self.trees_.feature >= 0] // self.layout.bins.count
        splits = np.bincount(used, minlength=len(self.layout.models))
        return self.facts_ | {"splits_on": dict(zip(self.layout.models, splits.tolist(), strict=True))}

    def to_arrays(self) -> dict[str, np.ndarray]:
        """The trees."""
        return self.trees_.to_arrays()

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], layout: Layout, facts: dict[str, Any]) -> LightGBM:
        """A fitted learner from what `to_arrays` and `facts_` hold; DamagedArtifact when they are not such trees."""
        learner = cls(layout)
        learner.trees_ = TreeArrays.from_arrays(arrays)
        if learner.trees_.n_features != layout.n_features:
            raise DamagedArtifact(
                f"The stored trees look at {learner.trees_.n_features} features; the stack has {layout.n_features}."
            )
        learner.facts_, learner.warnings_ = dict(facts), []
        return learner


class Mean:
    """Plain mean of the models' decoded scores: nothing is fitted, and it is the bar to beat."""

    def __init__(self, layout: Layout, random_state: int = 0):
        self.layout = layout
        self.random_state = random_state

    def fit(self, X, y, sample_weight=None) -> Mean:
        """Check the rows; nothing is learnt from them."""
        X, _, _ = _checked(self.layout, X, y, sample_weight)
        self.facts_, self.warnings_ = {"n": len(X)}, []
        return self

    def predict(self, X) -> np.ndarray:
        """Scores of shape (n,)."""
        return self.layout.scores(_features(self.layout, X)).mean(axis=1)

    def describe(self) -> dict[str, Any]:
        """How many rows it was given."""
        return dict(self.facts_)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Nothing to keep."""
        return {}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], layout: Layout, facts: dict[str, Any]) -> Mean:
        """The same learner again."""
        learner = cls(layout)
        learner.facts_, learner.warnings_ = dict(facts), []
        return learner


class Wrapped:
    """A scikit-learn regressor as a learner: cloned, fitted on the bins; it lives in memory only."""

    def __init__(self, layout: Layout, estimator):
        self.layout = layout
        self.estimator = estimator

    def fit(self, X, y, sample_weight=None) -> Wrapped:
        """Fit a clone on (n, p) features and (n,) scores."""
        X, y, weight = _checked(self.layout, X, y, sample_weight)
        options = {} if sample_weight is None else {"sample_weight": weight}
        self.estimator_ = clone(self.estimator).fit(X, y, **options)
        self.facts_, self.warnings_ = {"n": len(X), "estimator": repr(self.estimator)}, []
        return self

    def predict(self, X) -> np.ndarray:
        """Scores of shape (n,), unclipped."""
        return np.asarray(self.estimator_.predict(_features(self.layout, X)), dtype=np.float64).reshape(len(X))

    def describe(self) -> dict[str, Any]:
        """The estimator's repr."""
        return dict(self.facts_)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Always refused."""
        raise UsageError(
            f"{type(self.estimator).__name__} cannot be saved: this project loads no pickle, and knows no other way "
            f"for a foreign estimator. Use one of {', '.join(LEARNERS)}."
        )


LEARNERS: dict[str, type] = {"ridge": Ridge, "lightgbm": LightGBM, "mean": Mean}


def _features(layout: Layout, X) -> np.ndarray:
    X = np.ascontiguousarray(X, dtype=np.float64)
    if X.ndim != 2 or X.shape[1] != layout.n_features:
        raise UsageError(
            f"Features have shape {X.shape}; expected (n, {layout.n_features}): {len(layout.models)} models of "
            f"{layout.bins.count} bins."
        )
    if not np.isfinite(X).all():
        raise UsageError("Features must be finite; found NaN or infinity.")
    return X


def _checked(layout: Layout, X, y, sample_weight) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    X, y = _features(layout, X), np.asarray(y, dtype=np.float64)
    weight = np.ones(len(X)) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    if y.shape != (len(X),) or weight.shape != y.shape:
        raise UsageError(f"{len(X)} rows of features need as many scores and weights; got {y.shape}, {weight.shape}.")
    if not np.isfinite(y).all():
        raise UsageError("Scores to learn from must be finite; leave unlabelled rows out.")
    if not np.isfinite(weight).all() or (weight < 0).any() or not (weight > 0).any():
        raise UsageError("Sample weights must be finite, not negative, and not all 0.")
    return X, y, weight


def _stored(arrays: Mapping[str, np.ndarray], name: str, shape: tuple[int, ...]) -> np.ndarray:
    array = arrays.get(name)
    if array is None or array.shape != shape or array.dtype != np.float64 or not np.isfinite(array).all():
        raise DamagedArtifact(
            f"The stored learner is damaged: '{name}' is not a finite float64 array of shape {shape}."
        )
    return array
