"""`auto`: several learners compared on held-out rows and mixed, or the plain mean.

A super learner (van der Laan, Polley and Hubbard 2007) with one rule: the mixture is
taken only when it beats the plain mean of the base models by more than one standard
error over held-out groups.

Notes
-----
Weights chosen on out-of-fold predictions look better there than they are, so each fold
is predicted with weights from the other folds' predictions. That is not wholly blind:
the candidates that made those were fitted on rows of the predicted fold among others.
What guards against the rest is the standard error that the gain must exceed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from base_models.errors import DamagedArtifact
from meta.columns.feature_table import Layout
from meta.learners.base import (
    GroupNames,
    Learner,
    check_features,
    check_fit_inputs,
    read_stored_array,
)
from meta.learners.convex_weights import least_squares_weights
from meta.learners.inner_folds import MergedRows, grouped_folds, merged_rows
from meta.learners.lightgbm import LightGBM
from meta.learners.ridge import Ridge
from meta.learners.weighted_scores import Best, Mean, Simplex

# The plain mean, which the mixture must beat, comes first.
CANDIDATES: dict[str, type[Learner]] = {
    "mean": Mean,
    "best": Best,
    "simplex": Simplex,
    "ridge": Ridge,
    "lightgbm": LightGBM,
}
# With fewer rows, trees are no candidate.
ROWS_FOR_TREES = 200
# With fewer rows or groups, the plain mean stays. With 6 systems of real listening
# tests, one standard error still let in mixtures that were worse on the other systems;
# with 8 and more, next to none.
FEWEST_ROWS = 20
FEWEST_GROUPS = 8
# A candidate of less weight is left out.
_LEAST_WEIGHT = 1e-6


class Auto(Learner):
    """Convex mixture of learners, or the plain mean when that is as good.

    The learners have their default parameters.

    Parameters
    ----------
    random_state : int, seed of the candidates that have one
    missing : one of `meta.columns.missing_predictions.MISSING`; gaps are filled once,
        for all candidates

    Attributes
    ----------
    weights_ : dict of name to weight, the candidates in use
    learners_ : dict of name to fitted learner, the same
    """

    weights_: dict[str, float]
    learners_: dict[str, Learner]

    def __init__(self, random_state: int = 0, missing: str = "refuse"):
        self.random_state = random_state
        self.missing = missing

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        layout: Layout,
        sample_weight: ArrayLike | None = None,
        groups: GroupNames | None = None,
    ) -> Auto:
        """Compare the candidates on held-out groups (5 folds), and fit on all rows.

        See `Learner.fit`.
        """
        inputs = check_fit_inputs(
            layout,
            X,
            y,
            sample_weight=sample_weight,
            groups=groups,
            missing=self.missing,
        )
        # Equal rows are merged: a row of weight 2 must not be fitted on in one fold and
        # predicted in another.
        rows = merged_rows(layout, inputs)
        grouped = groups is not None
        n_groups = len(np.unique(rows.group))

        self.layout_ = layout
        too_few_rows = len(rows) < FEWEST_ROWS
        too_few_groups = n_groups < FEWEST_GROUPS
        if too_few_rows or too_few_groups:
            weights = {"mean": 1.0}
            choice = {
                "chosen": "mean",
                "why": (
                    f"{len(rows)} clips in {n_groups} groups are too few to compare "
                    "learners on, so the plain mean stays."
                ),
            }
        else:
            weights, choice = self._choose(rows, grouped)

        # The candidates in use are fitted once more, on all rows.
        self.weights_ = weights
        self.learners_ = {}
        self.warnings_ = []
        facts_of_learner = {}
        for name in weights:
            learner = self._fit_candidate(name, rows, grouped)
            self.learners_[name] = learner
            self.warnings_ += learner.warnings_
            facts_of_learner[name] = learner.facts_

        self.facts_ = {
            "n": len(rows),
            "groups": n_groups,
            **choice,
            "fitted": facts_of_learner,
        }
        return self

    def _choose(
        self,
        rows: MergedRows,
        grouped: bool,
    ) -> tuple[dict[str, float], dict[str, Any]]:
        """Return the weights of the candidates to use, and the grounds."""
        names = list(CANDIDATES)
        if len(rows) < ROWS_FOR_TREES:
            names.remove("lightgbm")

        # Both the candidates' scores and their mixture are of held-out groups.
        fold = grouped_folds(rows)
        unseen = self._out_of_fold_scores(names, rows, fold, grouped=grouped)
        mixed = _out_of_fold_mixture(unseen, rows, fold)

        # Squared errors of the candidates (n, candidates), and of the mixture (n,).
        truth = rows.y[:, None]
        squares = (unseen - truth) ** 2
        mixed_squares = (mixed - rows.y) ** 2
        squares_of_mean = squares[:, names.index("mean")]
        gain, standard_error = paired_gain(
            squares_of_mean,
            mixed_squares,
            weight=rows.weight,
            group=rows.group,
        )
        errors = np.average(squares, axis=0, weights=rows.weight)
        grounds = {
            "mse_out_of_fold": dict(zip(names, errors.tolist(), strict=True)),
            "gain_over_mean": gain,
            "standard_error": standard_error,
        }
        comparison = (
            f"On held-out groups the mixture's MSE is {gain:.4g} below the plain "
            f"mean's, standard error {standard_error:.4g}:"
        )

        # Simplicity wins unless the gain is clear; a gain of NaN is none.
        if not gain > standard_error:
            why = f"{comparison} not more than one, so the mean stays."
            return {"mean": 1.0}, {**grounds, "chosen": "mean", "why": why}

        why = f"{comparison} more than one, so the mixture is taken."
        weights = _mixture_weights(names, unseen, rows)
        return weights, {**grounds, "chosen": "mixture", "why": why}

    def _out_of_fold_scores(
        self,
        names: list[str],
        rows: MergedRows,
        fold: np.ndarray,
        grouped: bool,
    ) -> np.ndarray:
        """Scores (n, candidates), each by a learner fitted on the other folds."""
        unseen = np.empty((len(rows), len(names)))
        for number in np.unique(fold):
            test = fold == number
            train = rows.take(~test)
            X_test = rows.X[test]
            for column, name in enumerate(names):
                learner = self._fit_candidate(name, train, grouped)
                unseen[test, column] = learner.predict(X_test)
        return unseen

    def _fit_candidate(
        self,
        name: str,
        rows: MergedRows,
        grouped: bool,
    ) -> Learner:
        # Without groups, the codes only number the rows.
        groups = rows.group if grouped else None
        return self._new_candidate(name).fit(
            rows.X,
            rows.y,
            self.layout_,
            sample_weight=rows.weight,
            groups=groups,
        )

    def _new_candidate(self, name: str) -> Learner:
        learner = CANDIDATES[name]()
        if "random_state" in learner.get_params():
            learner.set_params(random_state=self.random_state)
        return learner

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Predict scores of shape (n,), unclipped."""
        X = check_features(self.layout_, X, self.missing)
        scores = np.zeros(len(X))
        for name, weight in self.weights_.items():
            learner_scores = self.learners_[name].predict(X)
            scores = scores + weight * learner_scores
        return scores

    def describe(self) -> dict[str, Any]:
        """Return which candidates are in use and why, and a description of each."""
        descriptions = {
            name: learner.describe() for name, learner in self.learners_.items()
        }
        return {**self.facts_, "fitted": descriptions, "weights": self.weights_}

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the weight of each candidate in use, and its own arrays."""
        arrays = {}
        for name, weight in self.weights_.items():
            arrays[f"{name}.weight"] = np.array([weight])
        for name, learner in self.learners_.items():
            for key, array in learner.to_arrays().items():
                arrays[f"{name}.{key}"] = array
        return arrays

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Set the mixed learners and their weights; see `Learner.restore`."""
        fitted = self.facts_.get("fitted")
        # The names select classes, so they are checked before they are used.
        fitted = fitted if isinstance(fitted, Mapping) else {}
        if not fitted or not set(fitted) <= set(CANDIDATES):
            raise DamagedArtifact(
                "The stored learner is damaged: it does not say which learners it "
                "mixes."
            )

        self.weights_ = {}
        self.learners_ = {}
        for name, facts in fitted.items():
            prefix = f"{name}."
            own_arrays = {
                key.removeprefix(prefix): array
                for key, array in arrays.items()
                if key.startswith(prefix)
            }
            weight = read_stored_array(own_arrays, "weight", (1,))
            params = self._new_candidate(name).get_params(deep=False)
            self.weights_[name] = float(weight[0])
            self.learners_[name] = CANDIDATES[name].from_arrays(
                own_arrays,
                self.layout_,
                facts,
                params=params,
            )


def _out_of_fold_mixture(
    unseen: np.ndarray,
    rows: MergedRows,
    fold: np.ndarray,
) -> np.ndarray:
    """Mixed scores (n,), each fold with the best weights for the other folds.

    Parameters
    ----------
    unseen : array of shape (n, candidates), out-of-fold scores
    rows : the n rows
    fold : int array of shape (n,)
    """
    mixed = np.empty(len(rows))
    for number in np.unique(fold):
        test = fold == number
        train = ~test
        weights, _ = least_squares_weights(
            unseen[train],
            rows.y[train],
            sample_weight=rows.weight[train],
        )
        weighted_scores = unseen[test] * weights
        mixed[test] = weighted_scores.sum(axis=1)
    return mixed


def _mixture_weights(
    names: list[str],
    unseen: np.ndarray,
    rows: MergedRows,
) -> dict[str, float]:
    """Best convex weights on all rows, without candidates of next to no weight."""
    weights, _ = least_squares_weights(unseen, rows.y, rows.weight)
    in_use = weights > _LEAST_WEIGHT
    total = weights[in_use].sum()
    return {
        name: float(weight / total)
        for name, weight in zip(names, weights, strict=True)
        if weight > _LEAST_WEIGHT
    }


def paired_gain(
    first: np.ndarray,
    second: np.ndarray,
    weight: np.ndarray,
    group: np.ndarray,
) -> tuple[float, float]:
    """By how much the mean of `first` exceeds that of `second`.

    Parameters
    ----------
    first, second : losses of shape (n,), of the same rows
    weight, group : arrays of shape (n,); at least 2 groups

    Returns
    -------
    gain : float
    standard_error : float, over groups

    Notes
    -----
    The mean difference is the ratio of group sums ``sum(d_g) / sum(w_g)``, and its
    standard error that of a ratio: ``sqrt(G / (G - 1) * sum((d_g - mean w_g)^2)) /
    sum(w_g)`` (Cochran 1977, section 6.3).
    """
    # Sums w_g and d_g of each group (groups,).
    _, code = np.unique(group, return_inverse=True)
    row_gains = weight * (first - second)
    group_weights = np.bincount(code, weights=weight)
    group_gains = np.bincount(code, weights=row_gains)
    total_weight = group_weights.sum()
    gain = group_gains.sum() / total_weight

    n_groups = len(group_weights)
    deviations = group_gains - gain * group_weights
    squares = (deviations**2).sum()
    spread = n_groups / (n_groups - 1) * squares
    standard_error = np.sqrt(spread) / total_weight
    return float(gain), float(standard_error)
