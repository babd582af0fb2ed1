"""`auto`: several learners judged on rows that they were not fitted on, and mixed, or left for the plain mean.

A super learner (van der Laan, Polley and Hubbard 2007) with one rule: the mixture is taken only when it beats the plain
mean of the base models by more than one standard error over held-out groups. The trap: weights chosen on out-of-fold
predictions look better there than they are, so each fold is judged with weights from the other folds' predictions.
That is not wholly blind: the candidates that made those were fitted on rows of the judged fold among others, and what
guards against the rest is the standard error that the gain must exceed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from base_models.errors import DamagedArtifact
from meta.columns.feature_table import Layout
from meta.learners.base import Learner, checked, features, stored
from meta.learners.convex_weights import least_squares_weights
from meta.learners.inner_folds import grouped_folds, merged_rows
from meta.learners.lightgbm import LightGBM
from meta.learners.ridge import Ridge
from meta.learners.weighted_scores import Best, Mean, Simplex

CANDIDATES: dict[str, type[Learner]] = {
    "mean": Mean,
    "best": Best,
    "simplex": Simplex,
    "ridge": Ridge,
    "lightgbm": LightGBM,
}
ROWS_FOR_TREES = 200
FEWEST_ROWS, FEWEST_GROUPS = 20, 8
"""Below, the plain mean stays: with 6 systems of real listening tests, one standard error still let in mixtures that
were worse on the other systems; with 8 and more, next to none."""
_NOTHING = 1e-6  # a candidate of less weight is left out


class Auto(Learner):
    """Convex mixture of learners with their default parameters, or the plain mean when that is as good.

    Parameters
    ----------
    random_state : int, seed of the candidates that have one
    missing : one of `meta.columns.missing_predictions.MISSING`; gaps are filled once, for all candidates

    Attributes
    ----------
    weights_ : dict of name to weight, the candidates in use
    learners_ : dict of name to fitted learner, the same
    """

    def __init__(self, random_state: int = 0, missing: str = "refuse"):
        self.random_state = random_state
        self.missing = missing

    def fit(self, X, y, layout: Layout, sample_weight=None, groups=None) -> Auto:
        """Judge the candidates on held-out groups (5 folds), choose, and fit on all rows; see `Learner.fit`."""
        rows = merged_rows(
            layout, *checked(layout, X, y, sample_weight, groups, self.missing)
        )
        self.layout_ = layout
        n, n_groups, grouped = len(rows[0]), len(np.unique(rows[3])), groups is not None
        if n < FEWEST_ROWS or n_groups < FEWEST_GROUPS:
            why = f"{n} clips in {n_groups} groups are too few to judge on; they get the plain mean."
            weights, facts = {"mean": 1.0}, {"chosen": "mean", "why": why}
        else:
            weights, facts = self._choose(*rows, grouped)
        self.weights_ = weights
        self.learners_ = {name: self._fitted(name, *rows, grouped) for name in weights}
        self.warnings_ = [
            w for learner in self.learners_.values() for w in learner.warnings_
        ]
        fitted = {name: learner.facts_ for name, learner in self.learners_.items()}
        self.facts_ = {"n": n, "groups": n_groups} | facts | {"fitted": fitted}
        return self

    def _choose(
        self, X, y, weight, group, grouped: bool
    ) -> tuple[dict[str, float], dict[str, Any]]:
        """Weights of the candidates to use, and the grounds."""
        fold = grouped_folds(y, weight, group)
        names = [
            name
            for name in CANDIDATES
            if name != "lightgbm" or len(y) >= ROWS_FOR_TREES
        ]
        unseen, mixed = np.empty((len(y), len(names))), np.empty(len(y))
        for test in (fold == number for number in np.unique(fold)):
            seen = X[~test], y[~test], weight[~test], group[~test], grouped
            unseen[test] = np.column_stack(
                [self._fitted(name, *seen).predict(X[test]) for name in names]
            )
        for test in (fold == number for number in np.unique(fold)):
            shares, _ = least_squares_weights(unseen[~test], y[~test], weight[~test])
            mixed[test] = (unseen[test] * shares).sum(axis=1)
        squares = (unseen - y[:, None]) ** 2
        gain, error = paired_gain(squares[:, 0], (mixed - y) ** 2, weight, group)
        facts = {
            "mse_out_of_fold": dict(
                zip(
                    names,
                    np.average(squares, axis=0, weights=weight).tolist(),
                    strict=True,
                )
            ),
            "gain_over_mean": gain,
            "standard_error": error,
        }
        taken = gain > error
        said = f"On held-out groups the mixture's MSE is {gain:.4g} below the plain mean's, standard error {error:.4g}:"
        if not taken:
            return {"mean": 1.0}, facts | {
                "chosen": "mean",
                "why": f"{said} not more than one, so the mean stays.",
            }
        shares, _ = least_squares_weights(unseen, y, weight)
        used = np.where(shares > _NOTHING, shares, 0) / shares[shares > _NOTHING].sum()
        weights = {
            name: float(share) for name, share in zip(names, used, strict=True) if share
        }
        return weights, facts | {
            "chosen": "mixture",
            "why": f"{said} more than one, so the mixture is taken.",
        }

    def _fitted(self, name: str, X, y, weight, group, grouped: bool) -> Learner:
        return self._new(name).fit(
            X, y, self.layout_, weight, group if grouped else None
        )

    def _new(self, name: str) -> Learner:
        learner = CANDIDATES[name]()
        return (
            learner.set_params(random_state=self.random_state)
            if "random_state" in learner.get_params()
            else learner
        )

    def predict(self, X) -> np.ndarray:
        """Scores of shape (n,), unclipped."""
        X = features(self.layout_, X, self.missing)
        return sum(
            weight * self.learners_[name].predict(X)
            for name, weight in self.weights_.items()
        )

    def describe(self) -> dict[str, Any]:
        """Which candidates are in use and why, and what each says of itself."""
        about = {name: learner.describe() for name, learner in self.learners_.items()}
        return self.facts_ | {"weights": self.weights_, "fitted": about}

    def to_arrays(self) -> dict[str, np.ndarray]:
        """The weight of each candidate in use, and its own arrays."""
        arrays = {
            f"{name}.weight": np.array([weight])
            for name, weight in self.weights_.items()
        }
        for name, learner in self.learners_.items():
            arrays |= {
                f"{name}.{key}": array for key, array in learner.to_arrays().items()
            }
        return arrays

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        fitted = self.facts_.get("fitted")
        if (
            not isinstance(fitted, Mapping)
            or not fitted
            or not set(fitted) <= set(CANDIDATES)
        ):
            raise DamagedArtifact(
                "The stored learner is damaged: it does not say which learners it mixes."
            )
        self.weights_, self.learners_ = {}, {}
        for name, facts in fitted.items():
            own = {
                key.removeprefix(f"{name}."): array
                for key, array in arrays.items()
                if key.startswith(f"{name}.")
            }
            self.weights_[name] = float(stored(own, "weight", (1,))[0])
            params = self._new(name).get_params(deep=False)
            self.learners_[name] = CANDIDATES[name].from_arrays(
                own, self.layout_, facts, params
            )


def paired_gain(first, second, weight, group) -> tuple[float, float]:
    """By how much the mean of `first` exceeds that of `second`, and its standard error over groups.

    The mean difference is the ratio of group sums ``sum(d_g) / sum(w_g)``, and its standard error that of a ratio:
    ``sqrt(G / (G - 1) * sum((d_g - mean w_g)^2)) / sum(w_g)`` (Cochran 1977, section 6.3).

    Parameters
    ----------
    first, second : losses of shape (n,), of the same rows
    weight, group : arrays of shape (n,); at least 2 groups

    Returns
    -------
    gain, standard_error : floats
    """
    _, code = np.unique(group, return_inverse=True)
    total, losses = (
        np.bincount(code, weights=weight),
        np.bincount(code, weights=weight * (first - second)),
    )
    gain, groups = losses.sum() / total.sum(), len(total)
    spread = groups / (groups - 1) * ((losses - gain * total) ** 2).sum()
    return float(gain), float(np.sqrt(spread) / total.sum())
