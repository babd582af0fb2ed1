"""How probable single ratings are under the predicted distributions.

A rating counts for the two bins that it is split between (`ScoreBins.split`), as in
training, with the logarithm of their probability. The mean over ratings is largest for
the distribution that the raters have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from base_models.clips.listening_tests.rating_histograms import count_ratings
from base_models.clips.ratings import check_ratings
from base_models.errors import UsageError, some
from base_models.metrics.bootstrap import bootstrap_weights
from base_models.metrics.intervals import Interval, expanded_percentiles
from base_models.metrics.measured_metric import too_few
from base_models.predictions import PredictionTable

FLOOR = 1e-6
"""Least probability of a bin: a rating that a model rules out costs 13.8 nats.

Without it a single such rating would cost infinitely many.
"""


def likelihood(
    table: PredictionTable,
    ratings: pd.DataFrame,
    system_ids: Sequence[str] | None = None,
    n_bootstrap: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> pd.DataFrame:
    """Mean log-probability of a single rating, in nats, with a percentile interval.

    Parameters
    ----------
    table : predictions of n clips
    ratings : DataFrame
        As `read_ratings` returns it, with a column for every aspect to be measured;
        ratings of other clips are ignored.
    system_ids : n names of systems (or of any other groups), or None
        Systems are resampled whole; with one name, or None, clips are.
    n_bootstrap, seed, level : as in `base_models.metrics.evaluate.evaluate`

    Returns
    -------
    table : DataFrame
        Columns aspect, value, low, high, ratings, clips (those with a rating) and note
        (why there is no interval, or ""); higher is better. A uniform distribution over
        20 bins has -3.00.

    Raises
    ------
    UsageError
        when an aspect has no ratings, or the model was trained or selected on a clip.
    """
    n = len(table.clip_ids)
    if system_ids is not None and len(system_ids) != n:
        raise UsageError(
            f"{len(system_ids)} system ids for {n} clips; give one per clip."
        )
    _check_held_out(table)

    rows = []
    for aspect in _rated_aspects(table, ratings):
        check_ratings(ratings, [aspect], table.bins)
        counts, sums = log_probabilities(table, ratings, aspect)
        if not counts.any():
            raise UsageError(
                f"None of the {n} clips has a single rating of '{aspect}'."
            )
        resampled = resampled_means(
            counts, sums, system_ids, n_bootstrap=n_bootstrap, seed=seed
        )
        interval = resampled.interval(level)
        rows.append(
            {
                "aspect": aspect,
                "value": sums.sum() / counts.sum(),
                "low": interval.low,
                "high": interval.high,
                "ratings": int(counts.sum()),
                "clips": int((counts > 0).sum()),
                "note": resampled.note,
            }
        )
    return pd.DataFrame(rows)


def _rated_aspects(table: PredictionTable, ratings: pd.DataFrame) -> list[str]:
    aspects = [aspect for aspect in table.aspects if aspect in ratings]
    if not aspects:
        raise UsageError(
            f"There are predictions of {some(table.aspects)}, "
            f"and ratings of {some(ratings.columns)}."
        )
    return aspects


@dataclass(frozen=True)
class ResampledMeans:
    """A mean per rating on each resample.

    Parameters
    ----------
    values : array of shape (resamples,)
    units : int, number of systems or clips that were resampled
    of_systems : bool, whether these were systems
    """

    values: np.ndarray
    units: int
    of_systems: bool

    def interval(self, level: float) -> Interval:
        """Expanded percentiles; NaN where the units are too few."""
        return expanded_percentiles(self.values, level, self.units)

    @property
    def note(self) -> str:
        """Why there is no interval, or ""."""
        return too_few(self.units, self.of_systems) if len(self.values) else ""


def resampled_means(
    counts: np.ndarray,
    sums: np.ndarray,
    system_ids: Sequence[str] | None,
    n_bootstrap: int,
    seed: int,
) -> ResampledMeans:
    """Mean per rating on each resample of systems (or clips).

    Parameters
    ----------
    counts, sums : arrays of shape (n,), number of ratings of each clip, and the sum of
        what is averaged over them, as of `log_probabilities`
    system_ids, n_bootstrap, seed : as in `likelihood`
    """
    # Ratings of one clip share their clip, and clips of one system their system, so
    # single ratings are never resampled.
    rated = counts > 0
    systems = _system_codes(system_ids, rated)
    cluster = np.arange(int(rated.sum())) if systems is None else systems
    n_clusters = int(cluster.max()) + 1
    weights = bootstrap_weights(n_clusters, n_bootstrap, seed)

    # A ratio of sums: a cluster counts in proportion to its ratings.
    cluster_sums = np.bincount(cluster, sums[rated])
    cluster_counts = np.bincount(cluster, counts[rated])
    return ResampledMeans(
        values=weights @ cluster_sums / (weights @ cluster_counts),
        units=n_clusters,
        of_systems=systems is not None,
    )


def _system_codes(
    system_ids: Sequence[str] | None, rated: np.ndarray
) -> np.ndarray | None:
    """Code of each rated clip's system; None where fewer than 2 have one."""
    if system_ids is None:
        return None
    names = np.array(list(system_ids))[rated]
    unique_names, codes = np.unique(names, return_inverse=True)
    return codes if len(unique_names) > 1 else None


def log_probabilities(
    table: PredictionTable,
    ratings: pd.DataFrame,
    aspect: str,
) -> tuple[np.ndarray, np.ndarray]:
    """Number of ratings per clip, and the sum of their log-probabilities: (n,) each."""
    counts, shares = count_ratings(ratings, table.clip_ids, aspect, bins=table.bins)
    log_probability = np.log(np.maximum(table.of(aspect), FLOOR))
    return counts, (shares * log_probability).sum(axis=-1)


def _check_held_out(table: PredictionTable) -> None:
    # Distributions of clips that the model has seen are too sure of their ratings.
    seen_clips = table.trained_on | table.selected_on
    seen = [clip for clip in table.clip_ids if clip in seen_clips]
    if seen:
        raise UsageError(
            f"Clips {some(seen)} were used to train '{table.model}', so the likelihood "
            "of their ratings is biased. Measure on clips of another split."
        )
