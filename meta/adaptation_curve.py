"""How far a stack would be adapted by 0, 3, 10 … rated clips, from those at hand.

Rated clips are drawn again and again: the stack is adapted to the first of a draw and
judged on its last, which are the same for all numbers of clips, so that these can be
compared. It answers "how many clips must I rate?" before they are rated, as far as the
rated clips stand for those to come: judged clips may be of systems that were drawn too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from base_models.bins import ScoreBins
from base_models.errors import UsageError
from base_models.metrics.evaluate import srcc
from base_models.metrics.learning_curve import CurveDraws, Forecast
from base_models.predictions import PredictionTable
from meta.adaptation import RatedFeatures, adapted_learner, check_learners
from meta.learners.base import Learner
from meta.regressor import MetaRegressor
from meta.rows import Rows

COUNTS = (0, 3, 10, 30, 100)
"""Numbers of rated clips that are tried, as far as there are so many."""
FEWEST_JUDGES = 10
"""Clips that must be left to judge on, besides those that are adapted to."""
DRAWS = 50
INTERVAL = (5, 95)
"""Percentiles of the draws that bound the intervals."""
MORE = 50
"""Number of ratings to come, for which a forecast is made."""
FOLLOWED_SHARE = 0.1
"""Counts below this share of the largest take no part in a forecast: with few clips
most adaptations are not kept, which says nothing of the slope later on."""
_METRICS = ("mse", "srcc")


@dataclass(frozen=True, eq=False)
class AdaptationDraws:
    """What was measured of one aspect.

    Parameters
    ----------
    aspect : str
    counts : tuple of int
        Numbers of clips that were adapted to, ascending.
    measures : array of shape (draws, counts, 2)
        MSE and SRCC on the clips held out; NaN where a correlation is undefined.
    kept : bool array of shape (draws, counts)
        Whether the adaptation was kept.
    rated : int
        Rated clips of the aspect.
    """

    aspect: str
    counts: tuple[int, ...]
    measures: np.ndarray
    kept: np.ndarray
    rated: int

    @property
    def judged(self) -> int:
        """Clips that are held out in each draw."""
        return self.rated - max(self.counts)

    def to_frame(self) -> pd.DataFrame:
        """The rows of `adaptation_curve`."""
        records = []
        for k, count in enumerate(self.counts):
            for column, metric in enumerate(_METRICS):
                values = self.measures[:, k, column]
                # Scores that are all equal have no rank correlation.
                known = values[np.isfinite(values)]
                bounds = [np.nan, np.nan]
                if len(known):
                    bounds = np.percentile(known, INTERVAL).tolist()
                records.append(
                    {
                        "aspect": self.aspect,
                        "clips": count,
                        "metric": metric,
                        "mean": known.mean() if len(known) else np.nan,
                        "low": bounds[0],
                        "high": bounds[1],
                        "kept": self.kept[:, k].mean(),
                        "judged": self.judged,
                        "draws": len(self.measures),
                    }
                )
        return pd.DataFrame(records)

    def forecasts(self, more: int = MORE) -> list[Forecast]:
        """What so many more rated clips would buy, by metric."""
        counts = np.array(self.counts)
        is_followed = (counts > 0) & (counts >= FOLLOWED_SHARE * counts.max())
        of_draws = np.tile(counts[is_followed], (len(self.measures), 1))
        found = []
        for column, metric in enumerate(_METRICS):
            drawn = CurveDraws(
                metric,
                of_draws,
                self.measures[:, is_followed, column],
                judged=self.judged,
                learnt=max(self.counts),
            )
            found.append(drawn.forecast(self.rated, more))
        return found


def draw_adaptations(
    regressor: MetaRegressor,
    tables: Sequence[PredictionTable],
    rows: Rows,
    counts: Sequence[int] = COUNTS,
    draws: int = DRAWS,
    seed: int = 0,
) -> list[AdaptationDraws]:
    """MSE and SRCC on clips held out, after adapting to so many of the others.

    Adaptations are kept by the rule of `meta.adaptation.adapt`.

    Parameters
    ----------
    regressor : fitted
    tables, rows : as for `meta.adaptation.adapt`
    counts : numbers of clips to adapt to. Of each aspect those are tried that leave
        `FEWEST_JUDGES` labelled clips; the clips that the largest of them leaves are
        held out for all
    draws : how often clips are drawn
    seed : of the draws

    Returns
    -------
    drawn : one for each aspect that has enough labels

    Raises
    ------
    UsageError
        when no aspect has enough labels for any number of clips above 0, or the learner
        cannot adapt.
    """
    check_learners(regressor.learners_)
    rows.check_scale(regressor.layout_.bins)
    gaps = regressor.accepts_missing
    aligned = regressor.layout_.align(tables, gaps)
    usable = rows.in_id_order().usable()

    found = []
    for k, aspect in enumerate(regressor.aspects_):
        labelled = usable.of_aspect(k)
        n_free = len(labelled) - FEWEST_JUDGES
        tried = [count for count in counts if count <= n_free]
        if max(tried, default=0) > 0:
            rated = RatedFeatures.of(aligned, labelled, gaps)
            rng = np.random.default_rng(seed)
            measures, kept = _draw_aspect(
                regressor.learners_[k],
                rated,
                regressor.layout_.bins,
                counts=tried,
                orders=[rng.permutation(len(rated)) for _ in range(draws)],
            )
            found.append(
                AdaptationDraws(
                    aspect,
                    tuple(tried),
                    measures,
                    kept=kept,
                    rated=len(rated),
                )
            )
    if not found:
        fewest = min(count for count in counts if count) + FEWEST_JUDGES
        raise UsageError(
            f"A curve needs {fewest} rated clips of an aspect, to adapt to some and "
            f"judge on the others; there are {len(usable)}."
        )
    return found


def adaptation_curve(drawn: Sequence[AdaptationDraws]) -> pd.DataFrame:
    """What was measured, as a table.

    Parameters
    ----------
    drawn : of `draw_adaptations`

    Returns
    -------
    curve : DataFrame with the columns aspect, clips, metric (``"mse"``, ``"srcc"``),
        mean, low and high (the 90 % interval of the draws), kept (share of the draws
        whose adaptation was kept), judged (clips held out), draws
    """
    return pd.concat([one.to_frame() for one in drawn], ignore_index=True)


def _draw_aspect(
    learner: Learner,
    rated: RatedFeatures,
    bins: ScoreBins,
    *,
    counts: Sequence[int],
    orders: Sequence[np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """`measures` and `kept` of one aspect, see `AdaptationDraws`."""
    largest = max(counts)
    found = [
        [
            _one_draw(learner, rated, bins, drawn=order[:count], judged=order[largest:])
            for count in counts
        ]
        for order in orders
    ]
    values = np.array(found)
    return values[:, :, :2], values[:, :, 2] > 0


def _one_draw(
    learner: Learner,
    rated: RatedFeatures,
    bins: ScoreBins,
    *,
    drawn: np.ndarray,
    judged: np.ndarray,
) -> tuple[float, float, float]:
    """MSE, SRCC, and whether the adaptation was kept, of one draw."""
    sample = rated.take(np.sort(drawn))
    kept = False
    # Labels that are all equal would be refused, so that the stack stays as it is.
    if len(set(sample.y)) > 1:
        learner, _, adaptation = adapted_learner(learner, sample, bins)
        kept = adaptation.kept

    held_out = rated.take(judged)
    scores = np.clip(learner.predict(held_out.X), bins.low, bins.high)
    mse = np.mean((scores - held_out.y) ** 2)
    return float(mse), float(srcc(held_out.y, scores)), float(kept)
