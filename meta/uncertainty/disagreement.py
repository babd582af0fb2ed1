"""How far the single ratings of a clip lie apart, learnt from models that predict them.

A stack's own distribution is about the mean label, so it says nothing of this. Base
models that learn from single ratings do: the standard deviation of their distributions
is what they expect of the raters. It is calibrated on clips whose single ratings are
known, and measured on others.

Notes
-----
With few raters a clip's own standard deviation is mostly noise: of k normal ratings it
is off by about ``1 / sqrt(2 (k - 1))`` of itself, 41 % for four raters. Variances are
fitted, not standard deviations, since the variance with the divisor ``k - 1`` is right
on average however few the raters are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import nnls

from base_models.bins import ScoreBins
from base_models.errors import DamagedArtifact
from base_models.predictions import RATINGS, PredictionTable

MIN_CLIPS = 10
"""Clips with two ratings or more that a calibration needs."""


def deviation(distributions: np.ndarray, bins: ScoreBins) -> np.ndarray:
    """Standard deviation of distributions over bins: (..., bins) to (...)."""
    mean = distributions @ bins.centers
    square = distributions @ bins.centers**2
    return np.sqrt(np.maximum(square - mean**2, 0))


@dataclass(frozen=True)
class RaterSpread:
    """The single ratings of some clips, as far as they tell of disagreement.

    Parameters
    ----------
    counts : int array of shape (n,), number of ratings of each clip
    variances : float64 array of shape (n,), with the divisor ``counts - 1``; NaN where
        a clip has fewer than two ratings
    """

    counts: np.ndarray
    variances: np.ndarray

    @classmethod
    def of(
        cls, ratings: pd.DataFrame, clip_ids: Sequence[str], aspect: str
    ) -> RaterSpread:
        """The spread of the ratings of `clip_ids`.

        Parameters
        ----------
        ratings : see `base_models.clips.ratings.read_ratings`; an aspect that it does
            not have counts as not rated
        """
        if aspect not in ratings:
            n = len(clip_ids)
            return cls(np.zeros(n, dtype=np.int64), np.full(n, np.nan))
        by_clip = ratings.groupby("clip_id")[aspect]
        counts = by_clip.count().reindex(clip_ids, fill_value=0).to_numpy()
        variances = by_clip.var(ddof=1).reindex(clip_ids).to_numpy(dtype=np.float64)
        return cls(counts, variances)

    def take(self, places: np.ndarray) -> RaterSpread:
        """Some of the clips."""
        return RaterSpread(self.counts[places], self.variances[places])

    @property
    def known(self) -> np.ndarray:
        """Places of the clips with two ratings or more."""
        return np.flatnonzero(np.isfinite(self.variances))

    @property
    def pooled(self) -> float:
        """Standard deviation of a single rating, the same for all clips."""
        known = self.known
        weights = self.counts[known] - 1
        return float(np.sqrt(np.average(self.variances[known], weights=weights)))


@dataclass(frozen=True)
class Disagreement:
    """Standard deviation of single ratings, from that of some models' distributions.

    The variance is ``intercept + slope * d ** 2``, where d is the plain mean of the
    models' standard deviations.

    Parameters
    ----------
    models : names of the base models that predict single ratings
    bins : the scale
    intercept, slope : of the variance, 0 or more
    pooled : standard deviation of a single rating of the clips of the calibration, the
        same for all; None where there was none, when the intercept is 0 and the slope 1
    """

    models: tuple[str, ...]
    bins: ScoreBins
    intercept: float = 0.0
    slope: float = 1.0
    pooled: float | None = None

    @classmethod
    def of(cls, tables: Sequence[PredictionTable]) -> Disagreement | None:
        """Uncalibrated, from the models that predict single ratings; None without."""
        models = tuple(table.model for table in tables if table.predicts == RATINGS)
        return cls(models, tables[0].bins) if models else None

    @property
    def is_calibrated(self) -> bool:
        """Whether single ratings were there to learn from."""
        return self.pooled is not None

    def calibrated(
        self,
        tables: Sequence[PredictionTable],
        clip_ids: Sequence[str],
        aspect: str,
        ratings: pd.DataFrame,
    ) -> Disagreement:
        """The same, learnt from the single ratings of clips that no model has seen.

        Least squares of the variances, weighted by the number of ratings less one; a
        slope below 0 becomes 0, which predicts the same for every clip. With fewer than
        `MIN_CLIPS` rated clips it stays as it is.
        """
        spread = RaterSpread.of(ratings, clip_ids, aspect)
        predicted = self._model_deviation(tables, clip_ids, aspect)
        rows = np.intersect1d(spread.known, np.flatnonzero(np.isfinite(predicted)))
        if len(rows) < MIN_CLIPS:
            return self

        root_weight = np.sqrt(spread.counts[rows] - 1)
        features = np.column_stack([np.ones(len(rows)), predicted[rows] ** 2])
        (intercept, slope), _ = nnls(
            features * root_weight[:, None], spread.variances[rows] * root_weight
        )
        return Disagreement(
            self.models,
            self.bins,
            intercept=float(intercept),
            slope=float(slope),
            pooled=spread.pooled,
        )

    def predict(
        self,
        tables: Sequence[PredictionTable],
        clip_ids: Sequence[str],
        aspect: str,
    ) -> np.ndarray:
        """Standard deviation of the single ratings of each clip, in score points: (n,).

        NaN where none of the models has a prediction.
        """
        d = self._model_deviation(tables, clip_ids, aspect)
        # Ratings on a scale cannot be further apart than half of them at either end.
        largest = (self.bins.high - self.bins.low) / 2
        return np.minimum(np.sqrt(self.intercept + self.slope * d**2), largest)

    def _model_deviation(
        self,
        tables: Sequence[PredictionTable],
        clip_ids: Sequence[str],
        aspect: str,
    ) -> np.ndarray:
        """Mean standard deviation of the models that have the clip: (n,)."""
        columns = []
        for table in tables:
            if table.model not in self.models:
                continue
            of_clip = pd.Series(
                deviation(table.of(aspect), self.bins), index=list(table.clip_ids)
            )
            columns.append(of_clip.reindex(list(clip_ids)).to_numpy(dtype=np.float64))
        if not columns:
            return np.full(len(clip_ids), np.nan)
        return pd.DataFrame(np.column_stack(columns)).mean(axis=1).to_numpy()

    def to_json(self) -> dict[str, Any]:
        """JSON values that `from_json` reads back; the scale is that of the stack."""
        return {
            "models": list(self.models),
            "intercept": self.intercept,
            "slope": self.slope,
            "pooled": self.pooled,
        }

    @classmethod
    def from_json(cls, facts: Mapping[str, Any], bins: ScoreBins) -> Disagreement:
        """What `to_json` returned.

        Raises
        ------
        DamagedArtifact
            when a value is missing or impossible.
        """
        try:
            pooled = facts["pooled"]
            restored = cls(
                tuple(facts["models"]),
                bins,
                intercept=float(facts["intercept"]),
                slope=float(facts["slope"]),
                pooled=None if pooled is None else float(pooled),
            )
            numbers = [restored.intercept, restored.slope, restored.pooled or 0.0]
            named = all(isinstance(name, str) for name in restored.models)
            if not named or not restored.models or min(numbers) < 0:
                raise ValueError("a number is below 0, or no model is named")
        except (KeyError, TypeError, ValueError) as error:
            raise DamagedArtifact(
                f"The stored disagreement is damaged ({error!r})."
            ) from error
        return restored
