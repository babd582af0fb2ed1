"""`PredictionMixin`: the methods of `StackedMOS` that predict."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike

import numpy as np
from numpy.typing import ArrayLike

from base_models.errors import UsageError
from base_models.predictions import PredictionTable
from ensemble.estimator.input_rows import Input
from ensemble.estimator.predicting.audio_input import Given
from ensemble.estimator.prediction_inputs import Predictions
from ensemble.estimator.rows_to_predict import gaps_of_prompts, tables_and_ids
from ensemble.prediction_files.stack_scales import StackScales
from meta.assessment import INTERVAL_LEVEL
from meta.comparison.preference import preference
from meta.regressor import MetaRegressor
from meta.uncertainty.clip_range import RangeCheck

Audio = str | PathLike[str] | Sequence[str | PathLike[str]]
"""An audio file, a folder of them, or a list of such."""


class PredictionMixin:
    """What a fitted stack predicts: scores, and how far off they may be."""

    aspects_: tuple[str, ...]
    final_estimator_: MetaRegressor
    scales_: StackScales
    _flat: bool

    def predict(
        self,
        X: Input | Predictions | Audio,
        prompts: str | Sequence[str] | None = None,
        on_error: str = "raise",
    ) -> np.ndarray:
        """Scores: shape (n, aspects), or (n,) when y was one-dimensional.

        Parameters
        ----------
        X : as in `fit`. After `from_predictions`, predictions of new clips: a list of
            tables or a frame of scores. Of a stack that reads audio also an audio file,
            a folder of them, or a list of such: a row per file, in the order given, and
            of a folder in the order of their paths
        prompts : of audio files: one for all of them, or one for each
        on_error : of audio files: ``"raise"`` refuses one that cannot be used, by name;
            ``"nan"`` gives it NaN and logs a warning

        Returns
        -------
        scores : float64 array on the scale of the labels; NaN for the aspects that base
            models over encoders judge against the prompt, of a clip without one

        Raises
        ------
        ClipError
            when an audio file is missing or cannot be used.
        UsageError
            when the stack reads no audio, or as `fit` does for other X.
        """
        given = Given.of(self, X, prompts, on_error)
        tables, ids = tables_and_ids(given.stack, given.X)
        scores = self.final_estimator_.predict(tables, ids)
        scores = self.scales_.scores_to_labels(scores, self.aspects_)
        scores[gaps_of_prompts(self, given.X, len(ids))] = np.nan
        scores = given.in_order(scores)
        # As scikit-learn's regressors: the shape of predictions is that of y.
        return scores[:, 0] if self._flat else scores

    def predict_distribution(
        self,
        X: Input | Predictions | Audio,
        prompts: str | Sequence[str] | None = None,
        on_error: str = "raise",
    ) -> np.ndarray:
        """Distribution over the score bins around each prediction.

        Parameters
        ----------
        X, prompts, on_error : as in `predict`

        Returns
        -------
        distributions : float64 array of shape (n, aspects, bins), last axis sums to 1,
            or is NaN where `predict` is; the bins span the scale of the labels
        """
        given = Given.of(self, X, prompts, on_error)
        tables, ids = tables_and_ids(given.stack, given.X)
        distributions = self.final_estimator_.predict_distribution(tables, ids)
        distributions[gaps_of_prompts(self, given.X, len(ids))] = np.nan
        return given.in_order(distributions)

    def predict_interval(
        self,
        X: Input | Predictions | Audio,
        level: float = INTERVAL_LEVEL,
        system_ids: Sequence[str] | None = None,
        prompts: str | Sequence[str] | None = None,
        on_error: str = "raise",
    ) -> tuple[np.ndarray, np.ndarray]:
        """Interval around each prediction that holds a share `level` of ratings.

        Parameters
        ----------
        X : as in `predict`
        level : float in (0, 1)
        system_ids : n names; systems with enough rated clips get intervals of their
            own. None does without
        prompts, on_error : as in `predict`

        Returns
        -------
        low, high : float64 arrays of shape (n, aspects), on the scale of the labels;
            NaN where `predict` is. Their width follows the clip, and is larger where it
            is out of range, see `check_range` and `MetaRegressor.predict_interval`
        """
        given = Given.of(self, X, prompts, on_error)
        tables, ids = tables_and_ids(given.stack, given.X)
        if system_ids is not None and given.places is not None:
            system_ids = [system_ids[place] for place in given.places]
        low, high = self.final_estimator_.predict_interval(
            tables, ids, level, system_ids
        )
        gaps = gaps_of_prompts(self, given.X, len(ids))
        ends = []
        for bound in (low, high):
            on_labels = self.scales_.scores_to_labels(bound, self.aspects_)
            on_labels[gaps] = np.nan
            ends.append(given.in_order(on_labels))
        return ends[0], ends[1]

    def predict_preference(
        self,
        first: Input | Predictions | Audio,
        second: Input | Predictions | Audio,
        prompts: str | Sequence[str] | None = None,
        same_system: ArrayLike = False,
        same_prompt: ArrayLike = False,
    ) -> np.ndarray:
        """Probability that listeners prefer each row of `first` to that of `second`.

        Parameters
        ----------
        first, second : as in `predict`, of n rows each
        prompts : of audio files, as in `predict`; each is of both clips of a pair
        same_system, same_prompt : bool, or n of them: whether the two clips are by one
            system, and of one prompt, where that is known. Between such clips a
            preference is less, or more, sure, see
            `meta.uncertainty.pair_factors.PairFactors`; ``prompts`` are shared anyway

        Returns
        -------
        probabilities : float64 array of shape (n, aspects); NaN where `predict` is.
            0.5 is no preference

        Raises
        ------
        UsageError
            when there are not as many rows, or as `predict`.
        """
        of_first = self.predict_distribution(first, prompts)
        of_second = self.predict_distribution(second, prompts)
        n = len(of_first)
        if len(of_second) != n:
            raise UsageError(
                f"Pairs have two clips each; got {n} and {len(of_second)} rows."
            )
        by_system = np.broadcast_to(np.asarray(same_system, dtype=bool), n)
        by_prompt = np.broadcast_to(np.asarray(same_prompt, dtype=bool), n)
        by_prompt = by_prompt | (prompts is not None)
        columns = []
        for k, calibration in enumerate(self.final_estimator_.calibrations_):
            factors = np.ones(n)
            if calibration is not None:
                factors = calibration.pairs.of(by_system, by_prompt)
            columns.append(preference(of_first[:, k], of_second[:, k], factors))
        return np.column_stack(columns)

    def check_range(self, X: Input | Predictions) -> RangeCheck | None:
        """Whether rows lie outside of what the stack has learnt from.

        Parameters
        ----------
        X : as in `predict`

        Returns
        -------
        check : RangeCheck, or None where nothing tells, see `MetaRegressor.check_range`
            Its ``out_of_range`` marks rows, and ``sentences`` says what to make of
            them, of the whole of `X` too.
        """
        tables, ids = tables_and_ids(self, X)
        return self.final_estimator_.check_range(tables, ids)

    def predict_disagreement(self, X: Input | Predictions) -> np.ndarray:
        """Standard deviation of the single ratings that raters would give a clip.

        Parameters
        ----------
        X : as in `predict`

        Returns
        -------
        deviations : float64 array of shape (n, aspects), in points of the labels.
            Calibrated after `learn_disagreement`; before it, the plain mean of what
            base models that learn from single ratings expect

        Raises
        ------
        UsageError
            when no base model learns from single ratings.
        """
        tables, ids = tables_and_ids(self, X)
        deviations = self.final_estimator_.predict_disagreement(tables, ids)
        aspects = self.final_estimator_.aspects_
        return deviations * [self.scales_.points(aspect) for aspect in aspects]

    def prediction_tables(self, X: Input | Predictions) -> list[PredictionTable]:
        """What each fitted base model predicts for `X`, one table per model."""
        tables, _ = tables_and_ids(self, X)
        return tables
