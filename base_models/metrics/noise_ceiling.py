"""The noise ceiling: what a perfect predictor would score against noisy labels.

Labels are means of a few raters. The raters are halved at random, many times (see
`rater_halves`). How well the two half means agree, brought to the full number of raters
(Spearman 1910, Brown 1910), is the labels' reliability; its square root is how the true
scores would correlate with the labels. The floor of the MSE is the variance of a mean
of raters about the true score, without what all labels have in common: a predictor that
is fitted to such labels learns that.

Notes
-----
A reliability is not a ceiling. Two panels of raters agree less than the truth agrees
with one of them, so a model may score above the reliability; only a score above the
ceiling is too good to be true.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from base_models.errors import UsageError, some
from base_models.metrics.bootstrap import bootstrap_weights, check_level, resample
from base_models.metrics.evaluate import LEVELS, METRICS
from base_models.metrics.intervals import FEWEST_POINTS
from base_models.metrics.levels import values_of_models
from base_models.metrics.measured_metric import MeasuredMetric
from base_models.metrics.rater_halves import Halving, RatedClips, noise_variance

NO_RATER_IDS = "unknown without rater ids"
"""Why systems have no floor of the MSE where raters have no names: one panel per system
and raters who are others on every clip look alike, and their floors differ by far."""

# Pairs of clips that all resampled halvings may have together: of many clips fewer
# halvings are resampled, as each then tells more.
_AFFORDED_PAIRS = 40_000_000
_FEWEST_RESAMPLED = 4
# With more clusters the ceiling has next to no bias.
_MOST_LEFT_OUT = 100
# Steps of the table that turns a rank correlation into a linear one.
_STEPS = 4001


def noise_ceiling(
    ratings: pd.DataFrame,
    aspects: Sequence[str],
    systems: Mapping[str, str] | None = None,
    n_splits: int = 30,
    n_bootstrap: int = 200,
    seed: int = 0,
    level: float = 0.95,
) -> pd.DataFrame:
    """Reliability and ceiling of every metric at both levels, with intervals.

    An interval covers other systems (other clips, where none are named), rated by as
    many raters. Raters may have rated all clips, those of one system, or any others: a
    rater is on the same side of a halving on every clip.

    Parameters
    ----------
    ratings : DataFrame
        ``clip_id``, ``rater_id`` and one float column per aspect, a row per clip and
        rater; see `base_models.clips.ratings.read_ratings`. Clips with a single
        rating of an aspect are left out, since they cannot be halved. Where raters have
        no names, each clip is taken to have raters of its own.
    aspects : names of the rated columns
    systems : clip id to system, or None
        Without several systems the system level is NaN.
    n_splits : int, random halvings
    n_bootstrap : int, number of resamples; 0 leaves the intervals NaN
    seed : int
    level : float, coverage of the intervals

    Returns
    -------
    table : DataFrame
        Columns aspect, level, metric, reliability, ceiling, low, high, note, n, raters.
        ``ceiling`` with its interval ``low, high`` is what the true scores would reach
        (for the MSE: not fall below); ``reliability`` is that of the labels (NaN for
        the MSE); ``note`` says why a ceiling or an interval is NaN, or is ""; ``n``
        counts clips or systems; ``raters`` is the mean number per clip.

    Raises
    ------
    UsageError
        when a column is missing, a clip has no system, a rater rates a clip twice, a
        rating is infinite, or no two clips have two ratings.
    """
    _check_columns(ratings, aspects)
    check_level(level)
    if n_splits < 1:
        raise UsageError(f"A ceiling needs at least 1 split; got {n_splits}.")

    rows: list[dict[str, Any]] = []
    for aspect in aspects:
        clips = RatedClips.of(ratings, aspect, systems)
        # Apart from the generator of the resamples, so that their number does not
        # change the halves.
        rng = np.random.default_rng([seed, 1])
        halvings = [clips.halve(rng) for _ in range(n_splits)]
        points = {"utterance": (halvings, clips.cluster)}
        if clips.n_systems > 1:
            of_systems = [clips.of_systems(halving) for halving in halvings]
            points["system"] = (of_systems, np.arange(clips.n_systems))
        for level_name in LEVELS:
            agreement = None
            if level_name in points:
                agreement = _Agreement.of(*points[level_name], n_bootstrap, seed)
            rows.extend(_rows(aspect, level_name, clips, agreement, level=level))
    return pd.DataFrame(rows)


def _check_columns(ratings: pd.DataFrame, aspects: Sequence[str]) -> None:
    required = ("clip_id", "rater_id", *aspects)
    missing = [name for name in required if name not in ratings.columns]
    if missing:
        raise UsageError(
            f"The ratings lack the columns {some(missing)}; "
            f"they have {some(map(str, ratings.columns))}."
        )


# ---- agreement of the halves


def _rows(
    aspect: str,
    level_name: str,
    clips: RatedClips,
    agreement: _Agreement | None,
    *,
    level: float,
) -> Iterator[dict[str, Any]]:
    """Rows of the table for one level; undefined without an agreement."""
    of_systems = clips.n_systems > 1
    n_clips = len(clips.counts)
    for metric in METRICS:
        cell = MeasuredMetric(
            aspect=aspect,
            level=level_name,
            metric=metric,
            values=agreement.values if agreement else dict.fromkeys(METRICS, math.nan),
            resampled=agreement.resampled[metric] if agreement else np.empty(0),
            n=agreement.n if agreement else 1,
            units=clips.n_systems if of_systems else n_clips,
            of_systems=of_systems,
        )
        row: dict[str, Any] = {"aspect": aspect, "level": level_name, "metric": metric}
        row |= _ceiling_row(cell, agreement, clips.are_named, level)
        row["n"] = cell.n
        row["raters"] = float(clips.counts.mean())
        yield row


@dataclass(frozen=True, eq=False)
class _Agreement:
    """Metrics between the halves of the raters at one level, and the floor of the MSE.

    Parameters
    ----------
    values : metric to its mean over the halvings; of ``"mse"`` the floor
    resampled : metric to array of shape (resamples,), likewise
    without_one : metric to array of shape (clusters,)
        Likewise without each cluster in turn; empty where clusters are many.
    length : how many times the raters of a half all raters are
    n : number of points, clips or systems
    """

    values: Mapping[str, float]
    resampled: Mapping[str, np.ndarray]
    without_one: Mapping[str, np.ndarray]
    length: float
    n: int

    @classmethod
    def of(
        cls,
        halvings: Sequence[Halving],
        cluster: np.ndarray,
        n_bootstrap: int,
        seed: int,
    ) -> _Agreement:
        """Compare the halves of all halvings of some points.

        Parameters
        ----------
        halvings : of n points
        cluster : (n,) codes of what is resampled
        n_bootstrap, seed : see `noise_ceiling`
        """
        n = len(cluster)
        n_clusters = int(cluster.max()) + 1
        everything = np.ones((1, n_clusters))
        measured = []
        for halving in halvings:
            (found,) = values_of_models(halving.first, [halving.second])
            floor = noise_variance(halving.noise, cluster, everything)
            measured.append({**found, "mse": floor.item()})

        jackknife = np.empty((0, n_clusters))
        if n_clusters <= _MOST_LEFT_OUT:
            jackknife = 1 - np.eye(n_clusters)
        resamples = bootstrap_weights(n_clusters, n_bootstrap, seed)
        weights = np.vstack([jackknife, resamples])
        n_resampled = max(_FEWEST_RESAMPLED, _AFFORDED_PAIRS // n**2)
        draws = []
        for halving in halvings[:n_resampled]:
            drawn = resample(halving.first, halving.second, weights, cluster=cluster)
            drawn["mse"] = noise_variance(halving.noise, cluster, weights)
            draws.append(drawn)

        # Averaged over the halvings first: what follows is not linear.
        means = {
            metric: np.mean([draw[metric] for draw in draws], axis=0)
            for metric in METRICS
        }
        return cls(
            values={
                metric: float(np.mean([one[metric] for one in measured]))
                for metric in METRICS
            },
            resampled={name: mean[len(jackknife) :] for name, mean in means.items()},
            without_one={name: mean[: len(jackknife)] for name, mean in means.items()},
            length=float(np.mean([halving.length for halving in halvings])),
            n=n,
        )

    def ceiling(self, metric: str) -> float:
        """The ceiling of a correlation, as a linear correlation.

        Notes
        -----
        The agreement of few systems is uncertain, and a concave function of what is
        uncertain is too low on average: by half its second difference over the standard
        error, which the jackknife gives (Tukey 1958, "Bias and confidence in not quite
        large samples", Annals of Mathematical Statistics 29). Half of that is added,
        since part of the uncertainty is which systems there are, and this the true
        scores share. `tests/benchmarks/metrics/bench_ceiling.py` measures what is left.
        """
        agreement = self.values[metric]
        of_parts = self.without_one[metric]
        of_parts = of_parts[~np.isnan(of_parts)]
        error = 0.0
        if len(of_parts) >= FEWEST_POINTS:
            error = math.sqrt((len(of_parts) - 1) * np.var(of_parts))
        around = np.array([agreement - error, agreement, agreement + error])
        below, found, above = _ceiling(around, metric, self.length, n=self.n)
        bias = (below + above - 2 * found) / 2
        return float(np.clip(found - bias / 2, 0, 1))


def _ceiling_row(
    cell: MeasuredMetric,
    agreement: _Agreement | None,
    are_named: bool,
    level: float,
) -> dict[str, Any]:
    """Reliability, ceiling, interval and note, as cells of the table."""
    interval = cell.interval(level)
    ends = np.array([interval.low, interval.high])
    reliability = math.nan
    ceiling = cell.value
    note = cell.note(interval)
    if agreement is None:
        pass
    elif cell.metric != "mse" and math.isfinite(cell.value):
        linear = agreement.ceiling(cell.metric)
        ceiling = _from_correlation(np.array(linear), cell.metric, cell.n).item()
        reliability = _from_correlation(np.array(linear**2), cell.metric, cell.n).item()
        linear_ends = _ceiling(ends, cell.metric, agreement.length, n=cell.n)
        ends = _from_correlation(linear_ends, cell.metric, cell.n)
        # The ends are not corrected as the ceiling is.
        ends = np.array([min(ends[0], ceiling), max(ends[1], ceiling)])
    elif cell.metric == "mse" and cell.level == "system" and not are_named:
        ceiling = math.nan
        ends = np.full(2, math.nan)
        note = NO_RATER_IDS
    return {
        "reliability": reliability,
        "ceiling": ceiling,
        "low": float(ends[0]),
        "high": float(ends[1]),
        "note": note,
    }


# ---- from agreement to ceilings


def _ceiling(
    half_agreement: float | np.ndarray, metric: str, length: float, *, n: int
) -> np.ndarray:
    """The ceiling that follows from the agreement of half means.

    Parameters
    ----------
    half_agreement : array of any shape, coefficients between two half means
    metric : ``"lcc"``, ``"srcc"`` or ``"ktau"``
    length : float, how many times the raters of a half all raters are
    n : int, number of points that were correlated

    Returns
    -------
    ceiling : array of the same shape, linear correlations

    Notes
    -----
    ``r_full = k r / (1 + (k - 1) r)`` for k times the raters (Spearman 1910, Brown
    1910). The formula holds for linear correlations. Spearman's and Kendall's
    coefficients are therefore turned into the correlation of two normal variables
    before it.
    """
    # Halves that agree less than by chance show no reliability: 0.
    half = np.clip(_to_correlation(np.asarray(half_agreement), metric, n), 0, 1)
    reliability = length * half / (1 + (length - 1) * half)
    # The truth correlates with the labels as the root of their reliability.
    return np.sqrt(np.clip(reliability, 0, 1))


def _to_correlation(coefficient: np.ndarray, metric: str, n: int) -> np.ndarray:
    """Correlation of normal variables whose n points have such a coefficient."""
    if metric == "srcc":
        # The expected coefficient rises with the correlation: read it backwards. By
        # steps of the arcsine, as it is steep at both ends.
        correlations = np.sin(np.linspace(-np.pi / 2, np.pi / 2, _STEPS))
        expected = _from_correlation(correlations, metric, n)
        return np.interp(coefficient, expected, correlations)
    if metric == "ktau":
        return np.sin(np.pi * coefficient / 2)
    return coefficient


def _from_correlation(correlation: np.ndarray, metric: str, n: int) -> np.ndarray:
    """Expected rank correlation of n points of two normal variables.

    Notes
    -----
    Spearman's coefficient of few points is lower on average than of many: Moran 1948,
    "Rank correlation and product-moment correlation", Biometrika 35. Kendall's is not
    (Greiner's relation).
    """
    if metric == "srcc":
        pairs = np.arcsin(correlation)
        triples = (n - 2) * np.arcsin(correlation / 2)
        return 6 / np.pi * (pairs + triples) / (n + 1)
    if metric == "ktau":
        return 2 / np.pi * np.arcsin(correlation)
    return correlation
