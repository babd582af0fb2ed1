"""How far a stack would be adapted by 0, 3, 10 … rated clips, from those at hand.

Rated clips are drawn again and again: the stack is adapted to the first of a draw and
judged on its last, which are the same for all numbers of clips, so that these can be
compared. It answers "how many clips must I rate?" before they are rated, as far as the
rated clips stand for those to come: judged clips may be of systems that were drawn too.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from base_models.bins import ScoreBins
from base_models.errors import UsageError
from base_models.metrics.evaluate import srcc
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


def adaptation_curve(
    regressor: MetaRegressor,
    tables: Sequence[PredictionTable],
    rows: Rows,
    counts: Sequence[int] = COUNTS,
    draws: int = DRAWS,
    seed: int = 0,
) -> pd.DataFrame:
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
    curve : DataFrame with the columns aspect, clips, metric (``"mse"``, ``"srcc"``),
        mean, low and high (the 90 % interval of the draws), kept (share of the draws
        whose adaptation was kept), judged (clips held out), draws

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

    parts = []
    for k, aspect in enumerate(regressor.aspects_):
        labelled = usable.of_aspect(k)
        n_free = len(labelled) - FEWEST_JUDGES
        tried = [count for count in counts if count <= n_free]
        if max(tried, default=0) > 0:
            rated = RatedFeatures.of(aligned, labelled, gaps)
            rng = np.random.default_rng(seed)
            part = _curve_of_aspect(
                regressor.learners_[k],
                rated,
                regressor.layout_.bins,
                counts=tried,
                orders=[rng.permutation(len(rated)) for _ in range(draws)],
            )
            part.insert(0, "aspect", aspect)
            parts.append(part)
    if not parts:
        fewest = min(count for count in counts if count) + FEWEST_JUDGES
        raise UsageError(
            f"A curve needs {fewest} rated clips of an aspect, to adapt to some and "
            f"judge on the others; there are {len(usable)}."
        )
    return pd.concat(parts, ignore_index=True)


def _curve_of_aspect(
    learner: Learner,
    rated: RatedFeatures,
    bins: ScoreBins,
    *,
    counts: Sequence[int],
    orders: Sequence[np.ndarray],
) -> pd.DataFrame:
    """The rows of one aspect, over the draws."""
    largest = max(counts)
    records = []
    for count in counts:
        found = [
            _one_draw(learner, rated, bins, drawn=order[:count], judged=order[largest:])
            for order in orders
        ]
        measures = np.array(found)
        for column, metric in enumerate(("mse", "srcc")):
            values = measures[:, column]
            # Scores that are all equal have no rank correlation.
            known = values[np.isfinite(values)]
            bounds = np.percentile(known, INTERVAL) if len(known) else [np.nan, np.nan]
            records.append(
                {
                    "clips": count,
                    "metric": metric,
                    "mean": known.mean() if len(known) else np.nan,
                    "low": bounds[0],
                    "high": bounds[1],
                    "kept": measures[:, 2].mean(),
                    "judged": len(rated) - largest,
                    "draws": len(orders),
                }
            )
    return pd.DataFrame(records)


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
