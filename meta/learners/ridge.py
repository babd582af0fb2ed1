"""Ridge regression on the distributions of all base models, its columns and penalty chosen by exact cross-validation.

All of it comes from Gram blocks (`meta.ridge_algebra.gram`, `meta.ridge_algebra.solution_path`). The trap: a penalty's size means nothing by itself;
candidates follow the weighted spread of the features, and so repeat nothing about how many rows there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Any

import numpy as np

from base_models.errors import DamagedArtifact, UsageError, one_of
from meta.columns.feature_table import Layout
from meta.columns.reductions import REDUCTIONS, reduce, width
from meta.learners.base import Learner, checked, features, stored
from meta.learners.linear_table import LinearTable, penalty_scale
from meta.ridge_algebra.penalty_choice import (
    FOLDS,
    RULES,
    SELECT,
    Losses,
    clearly_better,
    fold_losses,
    gcv_losses,
    rank_losses,
)
from meta.ridge_algebra.solution_path import GRID, RidgePath

PENALTIES = ("ridge", "to_mean", "smooth", "banded")
BAND_STEP, BAND_SWEEPS, BAND_GAIN = 10.0, 2, 1e-3
"""Search for bands: factor that is tried up and down, rounds over the models, relative gain that keeps a step."""
RESOLUTION = 1e-3
"""Differences between predictions that mean nothing, in score points: the penalty that noise of this size amounts to is
the least that is tried, lest models that hardly differ are told apart by how they round."""
MOST_COLUMNS = 500
"""Bins of all models from which on ``features="auto"`` leaves bins out: each fold is an eigendecomposition of them."""
ADAPT_CLIPS, LEVEL_CLIPS = 10.0, 5.0
"""Clips that fitted coefficients, and the fitted level, are worth when they are adapted."""


class Ridge(Learner):
    """Linear regression, its penalty chosen along the whole path (DORA-MOS, III.D, has ridge on bins with alpha = 1).

    With `groups`, the penalty is the best at predicting groups left out: each in turn, or 10 folds of them when there
    are many. Without, generalised cross-validation judges, since it does not depend on how rows of weight 2 are
    written. Each group's mean counts as one more clip, in fitting and in choosing: a system with two clips is as much
    of a question as one with twenty, and a mean's rating is less noisy.

    Parameters
    ----------
    penalty : ``"ridge"``, the coefficients' squares; ``"to_mean"``, squares of what is added to the plain mean of the
        models' decoded scores, the intercept's too (1e-4 as much), so that the limit of a large penalty is that mean;
        ``"smooth"``, squared second differences of neighbouring bins; ``"banded"``, ridge with a penalty of its own for
        each base model, found by a search over factors of 10
    features : ``"bins"``, ``"score"``, ``"moments"`` (see `meta.columns.reductions`) or ``"auto"``: the fewest columns that no
        other beats by more than a standard error in cross-validation; scores where there are no groups to leave out.
        Bins are no candidate when there are more than `MOST_COLUMNS` of them, which ``facts_["left_out"]`` then says
    select : ``"mse"``, or ``"srcc"`` or ``"ktau"`` of group means (which need groups)
    rule : ``"min"``, the best penalty; ``"1se"``, the largest that is not worse by more than one standard error of the
        difference
    alpha : float, a penalty beside the weighted sum of squares, instead of a choice; None chooses
    group_weight : weight of each group's mean as a row, in clips; 0 for none
    random_state : int, the order in which groups of equal weight are dealt to folds
    missing : one of `meta.columns.missing_predictions.MISSING`

    Attributes
    ----------
    coef_ : array of shape (models·width,), of the columns that `meta.columns.reductions` makes
    intercept_ : float
    spread_ : float, mean variance of those columns
    warnings_ : list of str, e.g. when the choice lies at an end of the grid
    """

    def __init__(
        self,
        penalty: str = "to_mean",
        features: str = "auto",
        select: str = "mse",
        rule: str = "min",
        alpha: float | None = None,
        group_weight: float = 1.0,
        random_state: int = 0,
        missing: str = "refuse",
    ):
        self.penalty = penalty
        self.features = features
        self.select = select
        self.rule = rule
        self.alpha = alpha
        self.group_weight = group_weight
        self.random_state = random_state
        self.missing = missing

    def fit(self, X, y, layout: Layout, sample_weight=None, groups=None) -> Ridge:
        """Choose columns and penalty on (n, models·bins) features and (n,) scores, and fit on all of them.

        Raises
        ------
        UsageError
            when a parameter is none of those listed, columns other than bins are to be smooth, or a rank correlation of
            group means is to be best where there are no groups.
        """
        X, y, weight, groups = checked(
            layout, X, y, sample_weight, groups, self.missing
        )
        groups = None if groups is None or len(set(groups)) < 2 else groups
        self._check_parameters(groups)
        self.layout_, self.warnings_ = layout, []
        self.facts_ = {"n": len(X), "penalty": self.penalty}
        rows = X, y, weight, groups
        self.facts_["features"] = reduction = self._choose_features(rows)
        if self.penalty == "banded":
            self.facts_["bands"] = self._search_bands(rows, reduction)
        self._fit_table(self._table(rows, reduction))
        return self

    def _check_parameters(self, groups) -> None:
        one_of(self.penalty, PENALTIES, "penalty")
        one_of(self.features, ("auto", *REDUCTIONS), "features")
        one_of(self.select, SELECT, "criterion for the penalty")
        one_of(self.rule, RULES, "rule for the penalty")
        if self.penalty == "smooth" and self.features not in ("auto", "bins"):
            raise UsageError(
                f"Only bins have neighbours to be smooth with; got features '{self.features}', not 'bins'."
            )
        if self.select != "mse" and groups is None:
            raise UsageError(
                f"'{self.select}' of group means needs at least 2 groups; pass groups, or select 'mse'."
            )
        if self.alpha is not None and not 0 <= self.alpha < np.inf:
            raise UsageError(
                f"alpha must be 0 or more, or None to choose it; got {self.alpha}."
            )
        if not 0 <= self.group_weight < np.inf:
            raise UsageError(
                f"group_weight must be 0 or more; got {self.group_weight}."
            )

    def _table(self, rows, reduction: str, bands=None) -> LinearTable:
        X, y, weight, groups = rows
        bands = self.facts_.get("bands") if bands is None else bands
        scale = penalty_scale(
            self.layout_,
            width(self.layout_, reduction),
            self.penalty == "smooth",
            bands,
        )
        offset = self._offset(X)
        columns = reduce(self.layout_, X, reduction)
        return LinearTable.of(
            columns,
            y,
            offset,
            weight,
            groups,
            self.group_weight,
            scale,
            self.penalty == "to_mean",
        )

    def _offset(self, X) -> np.ndarray:
        """What predictions are without coefficients and intercept, (n,)."""
        return (
            self.layout_.scores(X).mean(axis=1)
            if self.penalty == "to_mean"
            else np.zeros(len(X))
        )

    def _choose_features(self, rows) -> str:
        """The columns to use; for ``"auto"``, the error of each candidate goes to the facts."""
        if self.features != "auto" or self.penalty == "smooth":
            return "bins" if self.features == "auto" else self.features
        if rows[-1] is None:
            return REDUCTIONS[0]
        chosen, best, errors = REDUCTIONS[0], None, {}
        candidates = [
            name
            for name in REDUCTIONS
            if name != "bins" or self.layout_.n_features <= MOST_COLUMNS
        ]
        if "bins" not in candidates:
            columns = f"{self.layout_.n_features} columns, more than {MOST_COLUMNS}"
            self.facts_["left_out"] = {"bins": columns}
        for candidate in candidates:
            losses = self._losses(self._table(rows, candidate, {}), "mse", FOLDS)
            errors[candidate] = float(losses.loss[losses.best()])
            if best is None or clearly_better(losses, best):
                chosen, best = candidate, losses
        self.facts_["compared"] = errors
        return chosen

    def _search_bands(self, rows, reduction: str) -> dict[str, float]:
        """Penalty of each model beside the others', by coordinate search on the loss of the best alpha."""

        def loss(bands):
            losses = self._losses(self._table(rows, reduction, bands), "mse", FOLDS)
            return losses.loss[losses.best()]

        bands = dict.fromkeys(self.layout_.models, 1.0)
        least = loss(bands)
        for model in list(bands) * BAND_SWEEPS:
            for factor in (BAND_STEP, 1 / BAND_STEP):
                trial = bands | {model: bands[model] * factor}
                found = loss(trial)
                if found < (1 - BAND_GAIN) * least:
                    bands, least = trial, found
                    break
        return bands

    def _losses(
        self, table: LinearTable, select: str, most: int | None = None
    ) -> Losses:
        alphas = self._alphas(table)
        if table.groups is None:
            return gcv_losses(table.gram(), alphas, table.level_penalty)
        fold = table.folds(self.random_state, most)
        if select == "mse":
            return fold_losses(table.gram(fold), alphas, table.level_penalty)
        return rank_losses(table, fold, alphas, select, self.rule == "1se")

    def _alphas(self, table: LinearTable) -> np.ndarray:
        if self.alpha is not None:
            return np.array([float(self.alpha)])
        return np.maximum(table.unit * GRID, table.weight.sum() * RESOLUTION**2)

    def _fit_table(self, table: LinearTable) -> None:
        self.spread_ = table.spread
        path = RidgePath.of(table.gram(), table.level_penalty)
        if table.n < 3 or not table.spread > 0:
            self.coef_, self.intercept_ = (
                np.zeros(len(table.back)),
                float(path.mean_y[0]),
            )
            self.facts_["alpha"] = None
            self.warnings_.append(
                f"ridge saw {table.n} clips whose predictions tell nothing apart; it answers "
                + (
                    "the models' mean, moved by its error."
                    if self.penalty == "to_mean"
                    else "their mean."
                )
            )
            return
        alphas, losses = self._alphas(table), self._losses(table, self.select)
        step = losses.best(self.rule)
        self._report(table, alphas, losses, step)
        self.coef_ = table.back @ path.coef(alphas[[step]])[0, :, 0]
        self.intercept_ = float(path.intercept(alphas[[step]])[0, 0])
        if self.facts_["features"] == "bins":
            sums = self.coef_.reshape(len(self.layout_.models), -1).sum(axis=1)
            self.facts_["largest_sum_of_a_models_coefficients"] = float(
                np.abs(sums).max()
            )

    def _report(self, table: LinearTable, alphas, losses: Losses, step: int) -> None:
        low = alphas[step] == alphas[0]
        edge = self.alpha is None and bool(low or step == len(alphas) - 1)
        folds = 0 if table.groups is None else len(set(table.folds(self.random_state)))
        every = (
            "each group left out"
            if folds == len(table.names)
            else f"{folds} folds of groups"
        )
        self.facts_ |= {
            "alpha": float(alphas[step]),
            "relative_alpha": float(alphas[step] / table.unit),
            "at_edge": edge,
            "judged_by": every if folds else "generalised cross-validation",
            "select": self.select,
            "loss": float(losses.loss[step]),
        }
        if edge and low:
            self.warnings_.append(
                "ridge chose the lower end of its penalty grid (hardly any penalty); distrust the fit."
            )
        elif edge and self.penalty == "to_mean":
            self.warnings_.append(
                "ridge chose the upper end of its penalty grid: little but the plain mean of the models."
            )
        elif edge:
            self.warnings_.append(
                "ridge chose the upper end of its penalty grid (nearly a constant answer); distrust the fit."
            )

    def predict(self, X) -> np.ndarray:
        """Scores of shape (n,), unclipped; the same for a row whatever stands beside it."""
        X = features(self.layout_, X, self.missing)
        columns = reduce(self.layout_, X, self.facts_["features"])
        return (columns * self.coef_).sum(axis=1) + self.intercept_ + self._offset(X)

    def adapt(self, X, y, sample_weight=None) -> Ridge:
        """A copy that has also learnt from some rated clips of another corpus, drawn to the coefficients fitted here.

        Minimises the weighted squares on the new rows, plus squares of how far the coefficients move, worth
        `ADAPT_CLIPS` clips of all that the fitted columns vary, and of how far the prediction at the new rows' mean
        moves, worth `LEVEL_CLIPS`: a handful of clips moves the level, dozens the weights of models, hundreds make a
        fresh fit of which nothing is left of the old. No rows (or only rows of weight 0) change nothing. All that they
        vary, not the mean of a column: models that agree vary together, and of fifty of them one clip would otherwise
        outweigh the old fit.

        Parameters
        ----------
        X, y, sample_weight : as for `fit`, n >= 0 rows
        """
        adapted = copy(self)
        adapted.facts_, adapted.warnings_ = dict(self.facts_), list(self.warnings_)
        if len(X) == 0 or (sample_weight is not None and not np.any(sample_weight)):
            return adapted
        X, y, weight, _ = checked(self.layout_, X, y, sample_weight, None, self.missing)
        columns = reduce(self.layout_, X, self.facts_["features"])
        table = LinearTable.of(columns, y, self.predict(X), weight)
        alpha = np.array([ADAPT_CLIPS * self.spread_ * len(self.coef_)])
        path = RidgePath.of(
            table.gram(), LEVEL_CLIPS / alpha[0] if self.spread_ > 0 else 0.0
        )
        if self.spread_ > 0:
            adapted.coef_ = self.coef_ + table.back @ path.coef(alpha)[0, :, 0]
        adapted.intercept_ = self.intercept_ + float(path.intercept(alpha)[0, 0])
        adapted.facts_["adapted_to"] = self.facts_.get("adapted_to", 0) + len(X)
        return adapted

    def describe(self) -> dict[str, Any]:
        """The penalty (absolute, and in units of the grid), its error, and the absolute coefficients per model."""
        coef = self.coef_.reshape(len(self.layout_.models), -1).copy()
        if self.penalty == "to_mean" and self.facts_["features"] != "bins":
            coef[:, 0] += 1 / len(coef)
        weights = np.abs(coef).sum(axis=1).tolist()
        return self.facts_ | {
            "weight_of": dict(zip(self.layout_.models, weights, strict=True))
        }

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Coefficients, intercept and spread."""
        return {
            "coef": self.coef_,
            "intercept": np.array([self.intercept_]),
            "spread": np.array([self.spread_]),
        }

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        reduction = self.facts_.get("features")
        if reduction not in REDUCTIONS or self.penalty not in PENALTIES:
            raise DamagedArtifact(
                f"The stored ridge has features '{reduction}' and penalty '{self.penalty}'."
            )
        self.coef_ = stored(
            arrays, "coef", (len(self.layout_.models) * width(self.layout_, reduction),)
        )
        self.intercept_, self.spread_ = (
            float(stored(arrays, name, (1,))[0]) for name in ("intercept", "spread")
        )
