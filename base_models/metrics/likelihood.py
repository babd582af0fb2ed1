"""How probable single ratings are under predicted distributions: what a mean opinion score alone cannot be asked.

A rating counts for the two bins that it is split between (`ScoreBins.split`), as in training, with the logarithm of
their probability; the mean over ratings is largest for the distribution that raters have. The trap: ratings of one clip
share their clip, and clips of one system their system, so intervals resample whole systems (or clips), not ratings.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from base_models.clips.ratings import check_ratings, count_ratings
from base_models.errors import UsageError, some
from base_models.metrics.evaluate import bootstrap_weights, percentiles
from base_models.predictions import PredictionTable

FLOOR = 1e-6
"""Least probability of a bin: one rating where a model allows none costs 13.8 nats, not infinitely many."""


def likelihood(
    table: PredictionTable,
    ratings: pd.DataFrame,
    system_ids: Sequence[str] | None = None,
    n_bootstrap: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> pd.DataFrame:
    """Mean log-probability of a single rating, in nats, with a percentile interval from resampled systems.

    Parameters
    ----------
    table : predictions of n clips
    ratings : as `read_ratings` returns them, with a column for every aspect to be measured; those of other clips are
        not read
    system_ids : n names of systems (or of any other groups), resampled whole; with one name, or None, clips are
    n_bootstrap, seed, level : as in `metrics.evaluate`

    Returns
    -------
    table : DataFrame with columns aspect, value, low, high, ratings, clips (those with a rating); higher is better.
        A uniform distribution over 20 bins has -3.00

    Raises
    ------
    UsageError
        when an aspect has no ratings, or the model was trained or selected on a clip.
    """
    return _measured([table], ratings, system_ids, n_bootstrap, seed, level)


def likelihood_difference(
    first: PredictionTable,
    second: PredictionTable,
    ratings: pd.DataFrame,
    system_ids: Sequence[str] | None = None,
    n_bootstrap: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> pd.DataFrame:
    """Likelihood of `first` minus that of `second`, on the same ratings and the same resamples.

    Parameters and returns are those of `likelihood`; both tables are of the same clips, in the order of `first`.
    """
    return _measured(
        [first, second.take(first.clip_ids)],
        ratings,
        system_ids,
        n_bootstrap,
        seed,
        level,
    )


def _measured(
    tables, ratings, system_ids, n_bootstrap: int, seed: int, level: float
) -> pd.DataFrame:
    """The first table's likelihood, less the second's where there are two."""
    ids, rows = tables[0].clip_ids, []
    if system_ids is not None and len(system_ids) != len(ids):
        raise UsageError(
            f"{len(system_ids)} system ids for {len(ids)} clips; give one per clip."
        )
    for table in tables:
        _check_held_out(table)
    for aspect in [name for name in tables[0].aspects if name in ratings]:
        check_ratings(ratings, [aspect], tables[0].bins)
        counts, sums = zip(
            *(log_probabilities(table, ratings, aspect) for table in tables),
            strict=True,
        )
        counts, sums = counts[0], sums[0] - (sums[1] if len(sums) > 1 else 0)
        rated = counts > 0
        if not rated.any():
            raise UsageError(
                f"None of the {len(ids)} clips has a single rating of '{aspect}'."
            )
        system = (
            np.arange(len(ids))
            if system_ids is None
            else np.unique(list(system_ids), return_inverse=True)[1]
        )
        system = np.arange(len(ids)) if len(set(system[rated])) < 2 else system
        _, system = np.unique(system[rated], return_inverse=True)
        weights = bootstrap_weights(system.max() + 1, n_bootstrap, seed)
        drawn = (
            weights
            @ np.bincount(system, sums[rated])
            / (weights @ np.bincount(system, counts[rated]))
        )
        value = sums.sum() / counts.sum()
        rows.append(
            (
                aspect,
                value,
                *percentiles(drawn, level),
                int(counts.sum()),
                int(rated.sum()),
            )
        )
    if not rows:
        raise UsageError(
            f"There are predictions of {some(tables[0].aspects)}, and ratings of {some(ratings.columns)}."
        )
    return pd.DataFrame(
        rows, columns=["aspect", "value", "low", "high", "ratings", "clips"]
    )


def log_probabilities(
    table: PredictionTable, ratings: pd.DataFrame, aspect: str
) -> tuple[np.ndarray, np.ndarray]:
    """How many ratings each clip has, (n,), and the sum of their log-probabilities, (n,)."""
    counts, shares = count_ratings(ratings, table.clip_ids, aspect, table.bins)
    return counts, (shares * np.log(np.maximum(table.of(aspect), FLOOR))).sum(-1)


def _check_held_out(table: PredictionTable) -> None:
    seen = [
        clip
        for clip in table.clip_ids
        if clip in table.trained_on or clip in table.selected_on
    ]
    if seen:
        raise UsageError(
            f"Clips {some(seen)} were used to train '{table.model}'; the likelihood of their ratings says nothing. "
            "Measure on clips of another split."
        )
