"""The noise ceiling: what a perfect predictor would score against noisy labels.

Labels are means of a few raters. The raters of each clip are halved at random, many
times. How well the two half means agree, brought to the full number of raters (Spearman
1910, Brown 1910), is the labels' reliability; its square root is how the true scores
would correlate with the labels. The floor of the MSE is the variance of a mean of
raters.

Notes
-----
A reliability is not a ceiling. Two panels of raters agree less than the truth agrees
with one of them, so a model may score above the reliability; only a score above the
ceiling is too good to be true.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from base_models.errors import UsageError, some
from base_models.metrics.bootstrap import (
    bootstrap_weights,
    percentiles,
    resample,
    system_means,
)
from base_models.metrics.evaluate import LEVELS, METRICS


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
    many raters.

    Parameters
    ----------
    ratings : DataFrame
        ``clip_id``, ``rater_id`` and one float column per aspect, a row per clip and
        rater; see `base_models.clips.ratings.read_ratings`. Clips with a single
        rating of an aspect are left out, since they cannot be halved.
    aspects : names of the rated columns
    systems : clip id to system, or None
        Without several systems the system level is NaN.
    n_splits : int, random halvings
    n_bootstrap : int, number of resamples
    seed : int
    level : float, coverage of the percentile intervals

    Returns
    -------
    table : DataFrame
        Columns aspect, level, metric, reliability, ceiling, low, high, n, raters.
        ``ceiling`` with its interval ``low, high`` is what the true scores would reach
        (for the MSE: not fall below); ``reliability`` is that of the labels (NaN for
        the MSE); ``n`` counts clips or systems; ``raters`` is the mean number per clip.

    Raises
    ------
    UsageError
        when a column is missing, a clip has no system, a rater rates a clip twice, a
        rating is infinite, or no two clips have two ratings.
    """
    _check_columns(ratings, aspects)
    is_share = 0 < level < 1
    if n_splits < 1 or not is_share:
        raise UsageError(
            "A ceiling needs at least 1 split and a level between 0 and 1; "
            f"got {n_splits} and {level}."
        )

    rows: list[dict[str, Any]] = []
    for aspect in aspects:
        panel = _Panel.of(ratings, aspect, systems)
        ceilings = panel.ceilings(n_splits, n_bootstrap, seed)
        rows.extend(_ceiling_rows(aspect, panel, ceilings, level=level))
    return pd.DataFrame(rows)


def _ceiling_rows(
    aspect: str,
    panel: _Panel,
    ceilings: Mapping[tuple[str, str], _Ceiling],
    level: float,
) -> Iterator[dict[str, Any]]:
    """Rows of the table for one aspect: every metric at both levels."""
    for level_name, metric in itertools.product(LEVELS, METRICS):
        # Without systems the system level has no ceiling, but a row all the same.
        ceiling = ceilings.get((level_name, metric), _Ceiling.undefined())
        row: dict[str, Any] = {
            "aspect": aspect,
            "level": level_name,
            "metric": metric,
        }
        row.update(ceiling.describe(level))
        row["n"] = panel.n_points(level_name)
        row["raters"] = float(panel.counts.mean())
        yield row


def _check_columns(ratings: pd.DataFrame, aspects: Sequence[str]) -> None:
    required = ("clip_id", "rater_id", *aspects)
    missing = [name for name in required if name not in ratings.columns]
    if missing:
        raise UsageError(
            f"The ratings lack the columns {some(missing)}; "
            f"they have {some(map(str, ratings.columns))}."
        )


@dataclass(frozen=True)
class _Ceiling:
    """Reliability and ceiling of one metric, of all clips and then of each resample.

    Parameters
    ----------
    reliability, ceiling : float64 arrays of shape (1 + resamples,)
    """

    reliability: np.ndarray
    ceiling: np.ndarray

    @classmethod
    def undefined(cls) -> _Ceiling:
        nothing = np.full(1, np.nan)
        return cls(reliability=nothing, ceiling=nothing)

    def describe(self, level: float) -> dict[str, float]:
        """Point estimates and the interval of the ceiling, as cells of the table."""
        # The first entry is of all clips, unresampled.
        resampled = self.ceiling[1:]
        low, high = percentiles(resampled, level)
        return {
            "reliability": float(self.reliability[0]),
            "ceiling": float(self.ceiling[0]),
            "low": low,
            "high": high,
        }


class _Panel:
    """The ratings of one aspect, sorted by clip.

    Parameters
    ----------
    scores : array of shape (ratings,)
    clip : (ratings,) codes 0..clips - 1, ascending
    system : (clips,) codes 0..systems - 1
    """

    def __init__(
        self,
        scores: np.ndarray,
        clip: np.ndarray,
        system: np.ndarray,
    ) -> None:
        self.scores = scores
        self.clip = clip
        self.system = system
        self.counts = np.bincount(clip)
        self.starts = np.cumsum(self.counts) - self.counts
        self.half = self.counts // 2

    @classmethod
    def of(
        cls,
        ratings: pd.DataFrame,
        aspect: str,
        systems: Mapping[str, str] | None,
    ) -> _Panel:
        """The panel of one aspect, without clips that have a single rating of it."""
        columns = ["clip_id", "rater_id", aspect]
        has_rating = ratings[aspect].notna()
        rated = ratings.loc[has_rating, columns]
        scores = rated[aspect].to_numpy(np.float64)
        if np.isinf(scores).any():
            raise UsageError(f"A rating of '{aspect}' is infinite.")
        is_repeated = rated.duplicated(["clip_id", "rater_id"])
        repeated = rated.loc[is_repeated, "clip_id"].unique()
        if len(repeated):
            raise UsageError(
                f"Clips {some(repeated)} are rated twice by one rater; keep one rating."
            )

        # A clip with one rating cannot be halved. The sort is stable, so that a seed
        # draws the same halves from the same table.
        ratings_of_clip = rated.groupby("clip_id")["clip_id"].transform("size")
        rated = rated[ratings_of_clip > 1]
        rated = rated.sort_values("clip_id", kind="stable")
        clip_ids = rated["clip_id"].to_numpy(str)
        names, clip = np.unique(clip_ids, return_inverse=True)
        if len(names) < 2:
            raise UsageError(
                f"Fewer than 2 clips have 2 ratings of '{aspect}': the raters' noise "
                "cannot be estimated."
            )
        return cls(
            scores=rated[aspect].to_numpy(np.float64),
            clip=clip,
            system=_system_codes(names, systems),
        )

    @cached_property
    def n_systems(self) -> int:
        return int(self.system.max()) + 1

    def n_points(self, level_name: str) -> int:
        """How many clips or systems the metrics of a level compare."""
        return len(self.counts) if level_name == "utterance" else self.n_systems

    def ceilings(
        self,
        n_splits: int,
        n_bootstrap: int,
        seed: int,
    ) -> dict[tuple[str, str], _Ceiling]:
        """Reliability and ceiling of every level and metric that is defined."""
        # Clips of one system are not independent: systems are resampled where there
        # are several.
        cluster = np.arange(len(self.counts))
        if self.n_systems > 1:
            cluster = self.system
        n_clusters = int(cluster.max()) + 1

        # The first row weighs all clips alike: its metrics are the point estimates.
        everything = np.ones(n_clusters)
        resamples = bootstrap_weights(n_clusters, n_bootstrap, seed)
        weights = np.vstack([everything, resamples])

        ceilings = {}
        agreements = self._agreement(
            cluster,
            weights,
            n_splits=n_splits,
            seed=seed,
        )
        for (level_name, metric), agreement in agreements.items():
            if metric == "mse":
                continue
            # Averaged over the halvings first: the formula is not linear.
            mean_agreement = np.mean(agreement, axis=0)
            ceilings[level_name, metric] = _full_length(
                mean_agreement,
                metric=metric,
                length=self._length,
            )

        # The MSE needs no halves: its floor follows from the variances.
        for level_name, floor in self._mse_floors(cluster, weights).items():
            ceilings[level_name, "mse"] = _Ceiling(
                reliability=np.full(len(floor), np.nan),
                ceiling=floor,
            )
        return ceilings

    def _agreement(
        self,
        cluster: np.ndarray,
        weights: np.ndarray,
        n_splits: int,
        seed: int,
    ) -> dict[tuple[str, str], list[np.ndarray]]:
        """Metrics between the two half means, by level and metric, of each halving."""
        # Apart from the generator of the resamples, so that their number does not
        # change the halves.
        rng = np.random.default_rng([seed, 1])
        agreement: dict[tuple[str, str], list[np.ndarray]] = {}
        for _ in range(n_splits):
            first, second = self.halves(rng)
            levels = {"utterance": resample(first, second, weights, cluster=cluster)}
            if self.n_systems > 1:
                first_means = system_means(first, self.system)
                second_means = system_means(second, self.system)
                levels["system"] = resample(first_means, second_means, weights)

            for level_name, metrics in levels.items():
                for metric, values in metrics.items():
                    of_halvings = agreement.setdefault((level_name, metric), [])
                    of_halvings.append(values)
        return agreement

    def halves(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Mean score of each clip by two random halves of its raters: (clips,) each."""
        # Random fractions shuffle the ratings within each clip, never between clips.
        n_ratings = len(self.clip)
        fractions = rng.random(n_ratings)
        order = np.argsort(self.clip + fractions, kind="stable")
        shuffled = self.scores[order]

        # Place of each rating among those of its clip, from 0.
        first_row = self.starts[self.clip]
        place_in_clip = np.arange(n_ratings) - first_row
        in_first_half = place_in_clip < self.half[self.clip]

        # With an odd number of ratings, the second half has one more.
        total = np.add.reduceat(self.scores, self.starts)
        first_sum = np.add.reduceat(shuffled * in_first_half, self.starts)
        second_sum = total - first_sum
        first_mean = first_sum / self.half
        second_mean = second_sum / (self.counts - self.half)

        # Rounded so that equal means tie, whatever the order of their sums.
        first, second = np.round([first_mean, second_mean], 10)
        return first, second

    @cached_property
    def _length(self) -> float:
        """How many times the raters of a half all raters are."""
        # Halves of an odd number differ by a rater: their geometric mean stands for
        # both.
        other_half = self.counts - self.half
        geometric_mean = np.sqrt(self.half * other_half)
        return float(np.mean(self.counts / geometric_mean))

    def noise(self) -> np.ndarray:
        """Variance of each clip's mean rating, shape (clips,)."""
        # The unbiased variance of one rating, divided by the number of raters.
        total = np.add.reduceat(self.scores, self.starts)
        mean = total / self.counts
        deviation = self.scores - mean[self.clip]
        squares = np.add.reduceat(deviation**2, self.starts)
        variance = squares / (self.counts - 1)
        return variance / self.counts

    def _mse_floors(
        self,
        cluster: np.ndarray,
        weights: np.ndarray,
    ) -> dict[str, np.ndarray]:
        """Floor of the MSE under each row of weights, by level."""
        # Mean variance over the clips that each row counts.
        noise = self.noise()
        cluster_noise = np.bincount(cluster, weights=noise)
        cluster_size = np.bincount(cluster)
        n_drawn = weights @ cluster_size
        floors = {"utterance": weights @ cluster_noise / n_drawn}

        if self.n_systems > 1:
            # The variance of a mean over m clips is their summed variance over m².
            n_clips = np.bincount(self.system)
            summed_noise = np.bincount(self.system, weights=noise)
            system_noise = summed_noise / n_clips**2
            floors["system"] = weights @ system_noise / weights.sum(axis=1)
        return floors


def _system_codes(
    clip_ids: np.ndarray,
    systems: Mapping[str, str] | None,
) -> np.ndarray:
    """Code of each clip's system, shape (clips,); one code where none are named."""
    if systems is None:
        return np.zeros(len(clip_ids), dtype=np.intp)

    unknown = [clip for clip in clip_ids if not systems.get(clip)]
    if unknown:
        raise UsageError(
            f"Rated clips {some(unknown)} have no system; name all systems or none."
        )
    names = np.array([str(systems[clip]) for clip in clip_ids])
    _, codes = np.unique(names, return_inverse=True)
    return codes


def _full_length(
    half_agreement: np.ndarray,
    metric: str,
    length: float,
) -> _Ceiling:
    """Bring the agreement of half means to all raters (Spearman and Brown).

    Parameters
    ----------
    half_agreement : array of any shape, coefficients between two half means
    metric : ``"lcc"``, ``"srcc"`` or ``"ktau"``
    length : float, how many times the raters of a half all raters are

    Notes
    -----
    ``r_full = k r / (1 + (k - 1) r)`` for k times the raters (Spearman 1910, Brown
    1910). The formula holds for linear correlations. Spearman's and Kendall's
    coefficients are therefore turned into the correlation of two normal variables
    before it, and back after it.
    """
    # Halves that agree less than by chance show no reliability: 0.
    half = np.clip(_to_correlation(half_agreement, metric), 0, 1)
    denominator = 1 + (length - 1) * half
    full = np.clip(length * half / denominator, 0, 1)

    # The truth correlates with the labels as the root of their reliability.
    root = np.sqrt(full)
    return _Ceiling(
        reliability=_from_correlation(full, metric),
        ceiling=_from_correlation(root, metric),
    )


def _to_correlation(coefficient: np.ndarray, metric: str) -> np.ndarray:
    """Correlation of normal variables with a rank correlation (Greiner's relation)."""
    if metric == "srcc":
        return 2 * np.sin(np.pi * coefficient / 6)
    if metric == "ktau":
        return np.sin(np.pi * coefficient / 2)
    return coefficient


def _from_correlation(correlation: np.ndarray, metric: str) -> np.ndarray:
    """Rank correlation of normal variables; the inverse of `_to_correlation`."""
    if metric == "srcc":
        return 6 / np.pi * np.arcsin(correlation / 2)
    if metric == "ktau":
        return 2 / np.pi * np.arcsin(correlation)
    return correlation
