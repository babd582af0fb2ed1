"""Ridge regression on the distributions of all base models.

Columns and penalty are chosen by exact cross-validation, computed from Gram blocks
(`meta.ridge_algebra`). The size of a penalty means nothing by itself: candidates follow
the weighted spread of the features, and so do not depend on the number of rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from base_models.errors import DamagedArtifact, UsageError, one_of
from meta.columns.feature_table import Layout
from meta.columns.reductions import REDUCTIONS, columns_per_model, reduced_columns
from meta.learners.adapted_moves import begin_adaptation, moves_towards
from meta.learners.base import (
    FitInputs,
    GroupNames,
    Learner,
    check_features,
    check_fit_inputs,
    read_stored_array,
)
from meta.learners.ridge_problem import RidgeProblem, penalty_scale
from meta.ridge_algebra.penalty_choice import (
    FOLDS,
    RULES,
    SELECT,
    Losses,
    clearly_better,
    fold_losses,
    fold_of_groups,
    gcv_losses,
    rank_losses,
)
from meta.ridge_algebra.solution_path import GRID, RidgePath

PENALTIES = ("ridge", "to_mean", "smooth", "banded")

# The search for bands tries each model's penalty times and over this factor, in so many
# rounds over the models, and keeps a step of at least this relative gain.
BAND_STEP = 10.0
BAND_SWEEPS = 2
BAND_GAIN = 1e-3

# Differences between predictions that mean nothing, in score points. The penalty that
# noise of this size amounts to is the least that is tried: models that hardly differ
# would otherwise be weighed by how they round.
RESOLUTION = 1e-3

# With more bins of all models than this, features="auto" does not try bins: each fold
# is an eigendecomposition of as many columns.
MOST_COLUMNS = 500


class Ridge(Learner):
    """Linear regression with a penalty that is chosen along the whole path.

    DORA-MOS (section III.D) has ridge on bins; alpha = 1 is its published code's.

    With `groups`, the penalty is the best at predicting groups left out: each in turn,
    or 10 folds of them when there are many. Without groups, generalised
    cross-validation chooses, since it does not depend on how rows of weight 2 are
    written. Each group's mean counts as one more clip, in fitting and in choosing: a
    system with two clips matters as much as one with twenty, and a mean's rating is
    less noisy.

    Parameters
    ----------
    penalty : ``"ridge"``, the coefficients' squares; ``"to_mean"``, squares of what is
        added to the plain mean of the models' decoded scores, the intercept's too (1e-4
        as much), so that the limit of a large penalty is that mean; ``"smooth"``,
        squared second differences of neighbouring bins; ``"banded"``, ridge with a
        penalty of its own for each base model, found by a search over factors of 10
    features : ``"bins"``, ``"score"``, ``"moments"`` (see `meta.columns.reductions`) or
        ``"auto"``: the fewest columns that no other beats by more than a standard error
        in cross-validation; scores where there are no groups to leave out. Bins are not
        tried when there are more than `MOST_COLUMNS` of them, which
        ``facts_["left_out"]`` then reports
    select : ``"mse"``, or ``"srcc"`` or ``"ktau"`` of group means (which need groups)
    rule : ``"min"``, the best penalty; ``"1se"``, the largest that is not worse by more
        than one standard error of the difference
    alpha : float, a penalty beside the weighted sum of squares, instead of a choice;
        None chooses
    group_weight : weight of each group's mean as a row, in clips; 0 for none
    random_state : int, the order in which groups of equal weight are dealt to folds
    missing : one of `meta.columns.missing_predictions.MISSING`

    Attributes
    ----------
    coef_ : array of shape (models·columns,), of the columns that
        `meta.columns.reductions` makes
    intercept_ : float
    spread_ : float, mean variance of those columns
    warnings_ : list of str, e.g. when the choice lies at an end of the grid
    """

    coef_: np.ndarray
    intercept_: float
    spread_: float

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

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        layout: Layout,
        sample_weight: ArrayLike | None = None,
        groups: GroupNames | None = None,
    ) -> Ridge:
        """Choose columns and penalty, and fit on all rows; see `Learner.fit`.

        Raises
        ------
        UsageError
            when a parameter is none of those listed, columns other than bins are to be
            smooth, or a rank correlation of group means is to be best where there are
            no groups.
        """
        inputs = check_fit_inputs(
            layout,
            X,
            y,
            sample_weight=sample_weight,
            groups=groups,
            missing=self.missing,
        )
        # A single group cannot be left out: it is as good as none.
        n_groups = 0 if inputs.groups is None else len(set(inputs.groups))
        if n_groups < 2:
            inputs = replace(inputs, groups=None)
        self._check_parameters(has_groups=n_groups > 1)

        self.layout_ = layout
        self.warnings_ = []
        self.facts_ = {"n": len(inputs.X), "penalty": self.penalty}

        reduction = self._choose_features(inputs)
        self.facts_["features"] = reduction
        bands = None
        if self.penalty == "banded":
            bands = self._search_bands(inputs, reduction)
            self.facts_["bands"] = bands

        problem = self._problem(inputs, reduction, bands)
        self._fit_problem(problem)
        return self

    def _check_parameters(self, has_groups: bool) -> None:
        one_of(self.penalty, PENALTIES, "penalty")
        one_of(self.features, ("auto", *REDUCTIONS), "features")
        one_of(self.select, SELECT, "criterion for the penalty")
        one_of(self.rule, RULES, "rule for the penalty")

        may_be_bins = self.features in ("auto", "bins")
        if self.penalty == "smooth" and not may_be_bins:
            raise UsageError(
                "Only bins have neighbours to be smooth with; got features "
                f"'{self.features}', not 'bins'."
            )
        if self.select != "mse" and not has_groups:
            raise UsageError(
                f"'{self.select}' of group means needs at least 2 groups; pass groups, "
                "or select 'mse'."
            )
        # Comparisons with NaN are false, so that it is refused as well.
        legal_alpha = self.alpha is None or 0 <= self.alpha < np.inf
        if not legal_alpha:
            raise UsageError(
                f"alpha must be 0 or more, or None to choose it; got {self.alpha}."
            )
        if not 0 <= self.group_weight < np.inf:
            raise UsageError(
                f"group_weight must be 0 or more; got {self.group_weight}."
            )

    def _problem(
        self,
        inputs: FitInputs,
        reduction: str,
        bands: Mapping[str, float] | None = None,
    ) -> RidgeProblem:
        """The regression on these columns, with the penalty of this learner."""
        scale = penalty_scale(
            self.layout_,
            n_columns=columns_per_model(self.layout_, reduction),
            smooth=self.penalty == "smooth",
            bands=bands,
        )
        return RidgeProblem.of(
            columns=reduced_columns(self.layout_, inputs.X, reduction),
            offset=self._offset(inputs.X),
            inputs=inputs,
            group_weight=self.group_weight,
            scale=scale,
            penalises_level=self.penalty == "to_mean",
        )

    def _offset(self, X: np.ndarray) -> np.ndarray:
        """Predictions (n,) without coefficients and intercept."""
        # Regressing what is left after the plain mean makes that mean the limit of a
        # large penalty.
        if self.penalty == "to_mean":
            return self.layout_.scores(X).mean(axis=1)
        return np.zeros(len(X))

    def _choose_features(self, inputs: FitInputs) -> str:
        """Return the columns to use; what was compared goes to the facts."""
        if self.features != "auto":
            return self.features
        if self.penalty == "smooth":
            return "bins"
        if inputs.groups is None:
            return REDUCTIONS[0]

        candidates = list(REDUCTIONS)
        n_bins = self.layout_.n_features
        if n_bins > MOST_COLUMNS:
            candidates.remove("bins")
            reason = f"{n_bins} columns, more than {MOST_COLUMNS}"
            self.facts_["left_out"] = {"bins": reason}

        # Fewest columns first: more columns must be clearly better to be chosen.
        errors: dict[str, float] = {}
        chosen = candidates[0]
        chosen_losses: Losses | None = None
        for candidate in candidates:
            problem = self._problem(inputs, candidate)
            losses = self._losses(problem, "mse", most=FOLDS)
            errors[candidate] = float(losses.loss[losses.best()])
            if chosen_losses is None or clearly_better(losses, chosen_losses):
                chosen = candidate
                chosen_losses = losses
        self.facts_["compared"] = errors
        return chosen

    def _search_bands(self, inputs: FitInputs, reduction: str) -> dict[str, float]:
        """Penalty of each model beside the others', by coordinate search."""
        # Penalties relative to each other: alpha is chosen anew for each trial.
        bands = dict.fromkeys(self.layout_.models, 1.0)
        least = self._loss_of_bands(inputs, reduction, bands)
        models_in_turn = list(bands) * BAND_SWEEPS
        for model in models_in_turn:
            for factor in (BAND_STEP, 1 / BAND_STEP):
                candidate = {**bands, model: bands[model] * factor}
                loss = self._loss_of_bands(inputs, reduction, candidate)
                # A raised penalty that helps is kept, without a try at lowering it.
                good_enough = (1 - BAND_GAIN) * least
                if loss < good_enough:
                    bands = candidate
                    least = loss
                    break
        return bands

    def _loss_of_bands(
        self,
        inputs: FitInputs,
        reduction: str,
        bands: Mapping[str, float],
    ) -> float:
        """Loss of the best alpha."""
        problem = self._problem(inputs, reduction, bands)
        losses = self._losses(problem, "mse", most=FOLDS)
        return losses.loss[losses.best()]

    def _losses(
        self,
        problem: RidgeProblem,
        select: str,
        most: int | None = None,
    ) -> Losses:
        """Losses of the penalties; `most` is the largest number of folds."""
        alphas = self._alphas(problem)
        if problem.groups is None:
            return gcv_losses(problem.total, alphas, problem.level_penalty)

        # One decomposition per fold serves all penalties.

        fold = self._folds(problem.groups, problem, most)
        gram = problem.gram(fold)
        if select == "mse":
            return fold_losses(gram, alphas, problem.level_penalty)

        # All rows of a group are in one fold, so repeated keys agree.
        fold_of_group = dict(zip(problem.groups, fold, strict=True))
        return rank_losses(
            gram,
            alphas,
            problem.group_means,
            fold_of_group=fold_of_group,
            metric=select,
            jackknife=self.rule == "1se",
            intercept_penalty=problem.level_penalty,
        )

    def _folds(
        self,
        groups: np.ndarray,
        problem: RidgeProblem,
        most: int | None = None,
    ) -> np.ndarray:
        n_columns = problem.columns.shape[1]
        return fold_of_groups(
            groups,
            problem.weight,
            n_columns,
            seed=self.random_state,
            most=most,
        )

    def _alphas(self, problem: RidgeProblem) -> np.ndarray:
        """Absolute penalties that are tried, ascending."""
        if self.alpha is not None:
            return np.array([float(self.alpha)])
        least = problem.weight.sum() * RESOLUTION**2
        return np.maximum(problem.unit * GRID, least)

    def _fit_problem(self, problem: RidgeProblem) -> None:
        """Choose the penalty, and set the coefficients of the original columns."""
        self.spread_ = problem.spread
        path = RidgePath.of(problem.total, problem.level_penalty)
        is_constant = not problem.spread > 0
        if problem.n_rows < 3 or is_constant:
            self._fit_level_only(problem, level=float(path.mean_y[0]))
            return

        alphas = self._alphas(problem)
        losses = self._losses(problem, self.select)
        chosen = losses.best(self.rule)
        self._report_choice(problem, alphas, losses, chosen=chosen)
        self._warn_at_edge(alphas, chosen)

        # A path has an axis for penalties and one for targets: of one each here.
        alpha = alphas[[chosen]]
        coef = path.coef(alpha)[0, :, 0]
        intercept = path.intercept(alpha)[0, 0]
        self.coef_ = problem.back @ coef
        self.intercept_ = float(intercept)
        if self.facts_["features"] == "bins":
            # Bins sum to 1, so that a model's coefficients should sum to 0: the largest
            # sum shows how much rounding has leaked into the intercept's direction.
            n_models = len(self.layout_.models)
            coef_of_model = self.coef_.reshape(n_models, -1)
            sums = coef_of_model.sum(axis=1)
            largest = float(np.abs(sums).max())
            self.facts_["largest_sum_of_a_models_coefficients"] = largest

    def _fit_level_only(self, problem: RidgeProblem, level: float) -> None:
        """Without rows or columns that vary, there are no coefficients to learn."""
        self.coef_ = np.zeros(len(problem.back))
        self.intercept_ = level
        self.facts_["alpha"] = None

        prediction = "their mean rating"
        if self.penalty == "to_mean":
            prediction = "the models' mean, moved by its error"
        self.warnings_.append(
            f"ridge had {problem.n_rows} clips, too few or with constant predictions, "
            f"so it learnt no coefficients; it predicts {prediction}."
        )

    def _report_choice(
        self,
        problem: RidgeProblem,
        alphas: np.ndarray,
        losses: Losses,
        chosen: int,
    ) -> None:
        """Write the chosen penalty, and how it was chosen, to the facts."""
        judged_by = "generalised cross-validation"
        if problem.groups is not None:
            # The folds are dealt again; the seed makes them those of the choice.
            fold = self._folds(problem.groups, problem)
            n_folds = len(set(fold))
            judged_by = f"{n_folds} folds of groups"
            if n_folds == len(problem.group_means.names):
                judged_by = "each group left out"

        alpha = alphas[chosen]
        edge = self._edge(alphas, chosen)
        self.facts_["alpha"] = float(alpha)
        if self.alpha is not None:
            self.facts_["alpha_is_set"] = True
        self.facts_["relative_alpha"] = float(alpha / problem.unit)
        self.facts_["at_edge"] = edge is not None
        self.facts_["judged_by"] = judged_by
        self.facts_["select"] = self.select
        self.facts_["loss"] = float(losses.loss[chosen])

    def _edge(self, alphas: np.ndarray, chosen: int) -> str | None:
        """Which end of the grid was chosen, ``"lower"`` or ``"upper"``, if any."""
        if self.alpha is not None:
            return None
        # By value: the least penalties of the grid may all be raised to the same.
        if alphas[chosen] == alphas[0]:
            return "lower"
        if chosen == len(alphas) - 1:
            return "upper"
        return None

    def _warn_at_edge(self, alphas: np.ndarray, chosen: int) -> None:
        edge = self._edge(alphas, chosen)
        if edge is None:
            return

        if edge == "lower":
            meaning = "(hardly any penalty); distrust the fit"
        elif self.penalty == "to_mean":
            meaning = "(little but the plain mean of the models)"
        else:
            meaning = "(nearly a constant prediction); distrust the fit"
        self.warnings_.append(
            f"ridge chose the {edge} end of its penalty grid {meaning}."
        )

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Predict scores of shape (n,), unclipped.

        The score of a row does not depend on the other rows.
        """
        X = check_features(self.layout_, X, self.missing)
        columns = reduced_columns(self.layout_, X, self.facts_["features"])
        # Not a matrix product, whose summation order depends on the number of rows.
        products = columns * self.coef_
        slopes = products.sum(axis=1)
        return slopes + self.intercept_ + self._offset(X)

    def adapt(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
    ) -> Ridge:
        """Return a copy that has also learnt from some rated clips of another corpus.

        How far it moves: `meta.learners.adapted_moves.moves_towards`. No rows (or only
        rows of weight 0) change nothing.

        Parameters
        ----------
        X, y, sample_weight : as for `fit`, n >= 0 rows
        """
        adapted, inputs = begin_adaptation(self, X, y, sample_weight)
        if inputs is None:
            return adapted

        columns = reduced_columns(self.layout_, inputs.X, self.facts_["features"])
        coef_move, intercept_move = moves_towards(
            inputs,
            columns=columns,
            predicted=self.predict(inputs.X),
            spread=self.spread_,
        )
        adapted.coef_ = self.coef_ + coef_move
        adapted.intercept_ = self.intercept_ + intercept_move
        return adapted

    def describe(self) -> dict[str, Any]:
        """Return facts about the choice, and the absolute coefficients per model.

        The penalty is given absolutely, and in units of the grid.
        """
        n_models = len(self.layout_.models)
        coef_of_model = self.coef_.reshape(n_models, -1).copy()
        has_score_column = self.facts_["features"] != "bins"
        if self.penalty == "to_mean" and has_score_column:
            # The first column is the decoded score, which the offset has the mean of.
            coef_of_model[:, 0] += 1 / n_models
        weights = np.abs(coef_of_model).sum(axis=1)
        weight_of = dict(zip(self.layout_.models, weights.tolist(), strict=True))
        return {**self.facts_, "weight_of": weight_of}

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return coefficients, intercept and spread."""
        return {
            "coef": self.coef_,
            "intercept": np.array([self.intercept_]),
            "spread": np.array([self.spread_]),
        }

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Set coefficients, intercept and spread; see `Learner.restore`."""
        # Both select how columns are made, so they are checked before they are used.
        reduction = self.facts_.get("features")
        if reduction not in REDUCTIONS or self.penalty not in PENALTIES:
            raise DamagedArtifact(
                f"The stored ridge has features '{reduction}' and penalty "
                f"'{self.penalty}'."
            )
        n_models = len(self.layout_.models)
        n_columns = n_models * columns_per_model(self.layout_, reduction)
        self.coef_ = read_stored_array(arrays, "coef", (n_columns,))
        intercept = read_stored_array(arrays, "intercept", (1,))
        spread = read_stored_array(arrays, "spread", (1,))
        self.intercept_ = float(intercept[0])
        self.spread_ = float(spread[0])


class PaperRidge(Ridge):
    """The ridge of DORA-MOS (section III.D): alpha = 1 on all bins of all models.

    It predicts what ``sklearn.linear_model.Ridge(alpha=1.0)`` does that was fitted on
    the same table of features: nothing is chosen, no means of groups count as rows, and
    coefficients are shrunk towards 0.

    Parameters
    ----------
    missing : one of `meta.columns.missing_predictions.MISSING`
    """

    # Fixed, and so no parameters: a ridge with others is not the paper's.
    penalty = "ridge"
    features = "bins"
    select = "mse"
    rule = "min"
    alpha = 1.0
    group_weight = 0.0
    random_state = 0

    def __init__(self, missing: str = "refuse"):
        self.missing = missing
