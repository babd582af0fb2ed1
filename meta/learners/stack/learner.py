"""`stack`: the mean of a few unlike learners, with shares that are hardly learnt.

A penalised regression, weights by skill and the plain mean make different errors, and
their mean errs less than the best of them on most tables (see the benchmark
``bench_default_learner``). Shares that are chosen on held-out rows follow the noise of
those rows; here they are set beforehand, by the number of clips, and only given up
where others are clearly better.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from base_models.errors import DamagedArtifact
from meta.columns.feature_table import Layout
from meta.learners.adapted_moves import begin_adaptation, moves_towards
from meta.learners.base import (
    GroupNames,
    Learner,
    check_features,
    check_fit_inputs,
    read_stored_array,
)
from meta.learners.inner_folds import merged_scores
from meta.learners.stack.parts import FEWEST_CLIPS, PARTS, ScoreRows
from meta.learners.stack.score_function import ScoreFunction, mixture
from meta.learners.stack.shares import choose_shares, level_of


class Stack(Learner):
    """Mean of ridges, of weights by skill and of the plain mean of the models' scores.

    See `meta.learners.stack.parts` for the parts. Below `FEWEST_CLIPS` distinct clips
    it is the plain mean of the models, and says so; with `HALF_CLIPS` half of it still
    is. The shares of the parts are set beforehand, unless others are clearly better on
    held-out groups.

    Only decoded scores are looked at: what a distribution says beyond its score is for
    `meta.learners.ridge.Ridge` with ``features="auto"``.

    Parameters
    ----------
    missing : one of `meta.columns.missing_predictions.MISSING`

    Attributes
    ----------
    function_ : ScoreFunction, what all parts predict together
    spread_ : float, mean variance of the models' scores on the rows of the fit
    """

    function_: ScoreFunction
    spread_: float

    def __init__(self, missing: str = "refuse"):
        self.missing = missing

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        layout: Layout,
        sample_weight: ArrayLike | None = None,
        groups: GroupNames | None = None,
    ) -> Stack:
        """Fit the parts, and choose their shares; see `Learner.fit`."""
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
        rows = ScoreRows.of(merged_scores(layout, inputs))

        level = level_of(rows)
        shares = choose_shares(rows)
        functions = [fit(rows, level) for fit in PARTS.values()]

        self.layout_ = layout
        self.function_ = mixture(functions, shares.values)
        squares = (rows.deviations**2).mean(axis=1)
        self.spread_ = float(np.average(squares, weights=rows.weight))
        self.facts_ = {
            "n": len(rows),
            "groups": len(np.unique(rows.group)),
            "shares": dict(zip(PARTS, shares.values.tolist(), strict=True)),
            "shares_are_learnt": shares.learnt,
            "gain_of_learnt_shares": shares.gain,
            "standard_error": shares.standard_error,
            "level": level,
            "why": shares.why,
        }
        self.warnings_ = []
        if len(rows) < FEWEST_CLIPS:
            self.warnings_.append(shares.why)
        return self

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Predict scores of shape (n,), unclipped."""
        X = check_features(self.layout_, X, self.missing)
        return self.function_.predict(self.layout_.scores(X))

    def adapt(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
    ) -> Stack:
        """Return a copy that has also learnt from some rated clips of another corpus.

        The coefficients and the level move as `meta.learners.ridge.Ridge.adapt` moves
        them; the bend stays. No rows (or only rows of weight 0) change nothing.

        Parameters
        ----------
        X, y, sample_weight : as for `fit`, n >= 0 rows
        """
        adapted, inputs = begin_adaptation(self, X, y, sample_weight)
        if inputs is None:
            return adapted

        coef_move, intercept_move = moves_towards(
            inputs,
            columns=self.layout_.scores(inputs.X),
            predicted=self.predict(inputs.X),
            spread=self.spread_,
        )
        adapted.function_ = self.function_.moved(coef_move, intercept_move)
        return adapted

    def describe(self) -> dict[str, Any]:
        """Return facts about the fit, and the absolute coefficient of each model."""
        weights = np.abs(self.function_.coef).tolist()
        weight_of = dict(zip(self.layout_.models, weights, strict=True))
        return {**self.facts_, "weight_of": weight_of}

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays of the mixed function, and the spread."""
        return {**self.function_.to_arrays(), "spread": np.array([self.spread_])}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Set function and spread; see `Learner.restore`."""
        self.function_ = ScoreFunction.from_arrays(arrays, len(self.layout_.models))
        spread = float(read_stored_array(arrays, "spread", (1,))[0])
        if spread < 0:
            raise DamagedArtifact(
                f"The stored learner is damaged: its spread is {spread:g}, which must "
                "not be negative."
            )
        self.spread_ = spread
