"""Whether predicted disagreement has anything to do with that of the raters.

Measured on clips that neither a base model nor the calibration has seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from base_models.bins import ScoreBins
from base_models.metrics.evaluate import evaluate
from base_models.metrics.likelihood import log_probabilities, resampled_means
from base_models.predictions import PredictionTable
from meta.predicted_rows import PredictedRows
from meta.regressor import MetaRegressor
from meta.uncertainty.disagreement import MIN_CLIPS, Disagreement, RaterSpread

N_BOOTSTRAP = 1000
"""Resamples of systems, or of clips where these name none."""
LEVEL = 0.95
"""Coverage of the intervals."""


def disagreement_report(
    regressor: MetaRegressor, judge: PredictedRows, ratings: pd.DataFrame | None
) -> pd.DataFrame:
    """Predicted against observed standard deviation of single ratings, per aspect.

    Parameters
    ----------
    regressor : fitted, its disagreement calibrated on other rows
    judge : clips that it has not seen
    ratings : single ratings, or None

    Returns
    -------
    table : DataFrame
        One row per aspect that has predictions and `MIN_CLIPS` clips with two ratings:
        ``clips`` and ``systems``, 0 where these are not named and clips are resampled
        instead; ``raters``, mean number per clip; ``calibrated``; ``observed``, the
        pooled standard deviation of a rating; ``predicted``, the mean prediction;
        ``srcc`` of the two over clips with ``low, high`` and, where there is no such
        interval, a ``note`` that says why; ``rmse`` of the prediction, and
        ``rmse_pooled`` of one number for all clips, learnt where the calibration was;
        ``noise``, about how far a clip's own standard deviation is off because its
        raters are few; ``gain`` with ``gain_low, gain_high``: nats by which a single
        rating is more probable with the predicted than with that one standard
        deviation, around the stack's score. NaN where nothing was calibrated. Intervals
        cover other systems
    """
    if ratings is None:
        return pd.DataFrame()
    rows = []
    for k, aspect in enumerate(regressor.aspects_):
        disagreement = regressor.disagreements_[k]
        if disagreement is None:
            continue
        row = _measured(regressor, disagreement, judge, ratings, aspect)
        if row is not None:
            rows.append(row)
    return pd.DataFrame(rows)


def _measured(
    regressor: MetaRegressor,
    disagreement: Disagreement,
    judge: PredictedRows,
    ratings: pd.DataFrame,
    aspect: str,
) -> dict[str, Any] | None:
    """The row of one aspect; None where too few clips have two ratings."""
    ids = judge.rows.ids.tolist()
    spread = RaterSpread.of(ratings, ids, aspect)
    predicted = disagreement.predict(judge.tables, ids, aspect)
    places = np.intersect1d(spread.known, np.flatnonzero(np.isfinite(predicted)))
    if len(places) < MIN_CLIPS:
        return None

    systems = None
    if judge.rows.all_systems_named:
        systems = judge.rows.systems[places].tolist()
    known = spread.take(places)
    observed = np.sqrt(known.variances)
    predicted = predicted[places]
    row: dict[str, Any] = {
        "aspect": aspect,
        "clips": len(places),
        "systems": 0 if systems is None else len(set(systems)),
        "raters": float(known.counts.mean()),
        "calibrated": disagreement.is_calibrated,
        "observed": known.pooled,
        "predicted": float(predicted.mean()),
        **_correlation(observed, predicted, systems),
        "rmse": _rms(predicted - observed),
        "noise": _rms(observed / np.sqrt(2 * (known.counts - 1))),
        "rmse_pooled": np.nan,
        "gain": np.nan,
        "gain_low": np.nan,
        "gain_high": np.nan,
    }
    if disagreement.pooled is None:
        return row

    # What one number for all clips, learnt where the calibration was, would do.
    row["rmse_pooled"] = _rms(disagreement.pooled - observed)
    rated = [ids[place] for place in places]
    k = regressor.aspects_.index(aspect)
    scores = regressor.predict(judge.tables, rated)[:, k]
    log_p = {}
    for name, deviations in (
        ("predicted", predicted),
        ("pooled", np.full(len(places), disagreement.pooled)),
    ):
        table = _gaussians(scores, deviations, rated, aspect, bins=disagreement.bins)
        _, log_p[name] = log_probabilities(table, ratings, aspect)
    gains = log_p["predicted"] - log_p["pooled"]
    row["gain"] = gains.sum() / known.counts.sum()
    resampled = resampled_means(
        known.counts, gains, systems, n_bootstrap=N_BOOTSTRAP, seed=0
    )
    interval = resampled.interval(LEVEL)
    row["gain_low"] = interval.low
    row["gain_high"] = interval.high
    return row


def _correlation(
    observed: np.ndarray, predicted: np.ndarray, systems: Sequence[str] | None
) -> dict[str, Any]:
    """Rank correlation over clips, ``srcc``, with its interval and note."""
    metrics = evaluate(
        observed[:, None],
        predicted[:, None],
        systems,
        aspects=["sd"],
        n_bootstrap=N_BOOTSTRAP,
        level=LEVEL,
    )
    over_clips = metrics["level"] == "utterance"
    row = metrics[over_clips & (metrics["metric"] == "srcc")].iloc[0]
    return {
        "srcc": float(row["value"]),
        "low": float(row["low"]),
        "high": float(row["high"]),
        "note": str(row["note"]),
    }


def _gaussians(
    scores: np.ndarray,
    deviations: np.ndarray,
    clip_ids: Sequence[str],
    aspect: str,
    *,
    bins: ScoreBins,
) -> PredictionTable:
    """Distributions of single ratings: Gaussian around the scores, as wide as told."""
    # No rating is known more finely than half a bin.
    widths = np.maximum(deviations, bins.width / 2)
    distributions = [
        bins.soften(score, width) for score, width in zip(scores, widths, strict=True)
    ]
    return PredictionTable(
        "raters",
        clip_ids=tuple(clip_ids),
        aspects=(aspect,),
        distributions=np.array(distributions)[:, None],
        bins=bins,
        sigma=0.0,
    )


def _rms(errors: np.ndarray) -> float:
    return float(np.sqrt(np.mean(errors**2)))
