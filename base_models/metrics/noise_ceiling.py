"""The noise ceiling: what a perfect predictor would score against labels that are means of a few raters.

Raters of each clip are halved at random, again and again. How the two half means agree, brought to the full number of
raters (Spearman 1910, Brown 1910), is the labels' reliability; its square root is how the true scores would correlate
with the labels. The floor of the MSE is the variance of a mean of raters.

The trap: a reliability is not a ceiling. Two panels of raters agree less than the truth agrees with one of them, so a
model may score above the reliability, and only a score above the ceiling is too good to be true.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from base_models.errors import UsageError, some
from base_models.metrics.bootstrap import bootstrap_weights, resample, system_means
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
    """Reliability and ceiling of every metric at both levels, with percentile intervals from resampled systems.

    Spearman's and Kendall's coefficients are turned into the correlation of two normal variables (Greiner's relation)
    before they are brought to full length, and back after it: the formula of Spearman and Brown is one of correlations.
    An interval speaks of other systems (of other clips, where none are named), rated by as many raters.

    Parameters
    ----------
    ratings : DataFrame with ``clip_id``, ``rater_id`` and one float column per aspect, a row per clip and rater; see
        `base_models.clips.read_clips.read_ratings`. Clips with a single rating of an aspect tell nothing and are left out.
    aspects : names of the rated columns
    systems : clip id to system, or None; without several systems the system level is NaN
    n_splits : int, random halvings
    n_bootstrap : int, number of resamples
    seed : int
    level : float, coverage of the intervals

    Returns
    -------
    table : DataFrame with columns aspect, level, metric, reliability, ceiling, low, high, n, raters. ``ceiling`` with
        its interval ``low, high`` is what the true scores would reach (of the MSE: not fall below); ``reliability``
        that of the labels (NaN for the MSE); ``n`` clips or systems; ``raters`` the mean number per clip

    Raises
    ------
    UsageError
        when a column is missing, a clip has no system, a rater rates a clip twice, a rating is infinite, or no two
        clips have two ratings.
    """
    missing = [
        name
        for name in ("clip_id", "rater_id", *aspects)
        if name not in ratings.columns
    ]
    if missing:
        raise UsageError(
            f"The ratings lack the columns {some(missing)}; they have {some(map(str, ratings.columns))}."
        )
    if n_splits < 1 or not 0 < level < 1:
        raise UsageError(
            f"A ceiling needs at least 1 split and a level between 0 and 1; got {n_splits} and {level}."
        )
    rows = []
    for aspect in aspects:
        panel = _Panel.of(ratings, aspect, systems)
        rows += panel.rows(aspect, n_splits, n_bootstrap, seed, level)
    return pd.DataFrame(rows)


class _Panel:
    """The ratings of one aspect, sorted by clip."""

    def __init__(self, scores, clip, system):
        self.scores, self.clip, self.system = scores, clip, system
        self.counts = np.bincount(clip)
        self.starts = np.cumsum(self.counts) - self.counts
        self.half = self.counts // 2
        self.several = system.max() > 0

    @classmethod
    def of(
        cls, ratings: pd.DataFrame, aspect: str, systems: Mapping[str, str] | None
    ) -> _Panel:
        known = ratings.loc[ratings[aspect].notna(), ["clip_id", "rater_id", aspect]]
        if np.isinf(known[aspect].to_numpy(np.float64)).any():
            raise UsageError(f"A rating of '{aspect}' is infinite.")
        twice = known[known.duplicated(["clip_id", "rater_id"])]
        if len(twice):
            raise UsageError(
                f"Clips {some(twice['clip_id'].unique())} are rated twice by one rater; keep one rating."
            )
        known = known[
            known.groupby("clip_id")["clip_id"].transform("size") > 1
        ].sort_values("clip_id", kind="stable")
        names, clip = np.unique(known["clip_id"].to_numpy(str), return_inverse=True)
        if len(names) < 2:
            raise UsageError(
                f"Fewer than 2 clips have 2 ratings of '{aspect}': the raters' noise cannot be told."
            )
        unknown = [
            name for name in names if systems is not None and not systems.get(name)
        ]
        if unknown:
            raise UsageError(
                f"Rated clips {some(unknown)} have no system; name all systems or none."
            )
        of_clip = (
            [""] * len(names)
            if systems is None
            else [str(systems[name]) for name in names]
        )
        _, system = np.unique(np.array(of_clip), return_inverse=True)
        return cls(known[aspect].to_numpy(np.float64), clip, system)

    def halves(self, rng) -> tuple[np.ndarray, np.ndarray]:
        """Mean score of each clip by two random halves of its raters, shapes (clips,)."""
        shuffled = self.scores[
            np.argsort(self.clip + rng.random(len(self.clip)), kind="stable")
        ]
        place = np.arange(len(self.clip)) - self.starts[self.clip]
        first = np.add.reduceat(shuffled * (place < self.half[self.clip]), self.starts)
        rest = np.add.reduceat(self.scores, self.starts) - first
        means = np.round(
            [first / self.half, rest / (self.counts - self.half)], 10
        )  # equal means tie
        return means[0], means[1]

    def noise(self) -> np.ndarray:
        """Variance of each clip's mean rating, shape (clips,)."""
        mean = np.add.reduceat(self.scores, self.starts) / self.counts
        squares = np.add.reduceat((self.scores - mean[self.clip]) ** 2, self.starts)
        return squares / (self.counts - 1) / self.counts

    def rows(
        self, aspect: str, n_splits: int, n_bootstrap: int, seed: int, level: float
    ) -> list[dict]:
        unit = self.system if self.several else np.arange(len(self.counts))
        n = unit.max() + 1
        weights = np.vstack([np.ones(n), bootstrap_weights(n, n_bootstrap, seed)])
        agreement, rng = {}, np.random.default_rng([seed, 1])
        for _ in range(n_splits):
            halves = self.halves(rng)
            parts = {"utterance": resample(*halves, weights, unit)}
            if self.several:
                parts["system"] = resample(
                    *(system_means(half, self.system) for half in halves), weights
                )
            for name, part in parts.items():
                for metric, values in part.items():
                    agreement.setdefault((name, metric), []).append(values)
        length = float(
            np.mean(self.counts / np.sqrt(self.half * (self.counts - self.half)))
        )
        found = {
            cell: _longer(np.mean(v, axis=0), cell[1], length)
            for cell, v in agreement.items()
            if cell[1] != "mse"
        }
        found |= {
            (name, "mse"): (np.full(len(v), np.nan), v)
            for name, v in self._floors(unit, weights).items()
        }
        return [
            self._row(aspect, name, metric, found, level)
            for name in LEVELS
            for metric in METRICS
        ]

    def _floors(self, unit, weights) -> dict[str, np.ndarray]:
        """Floor of the MSE under each row of weights, at utterance level and, with several systems, at theirs."""
        noise = self.noise()
        floors = {
            "utterance": weights
            @ np.bincount(unit, weights=noise)
            / (weights @ np.bincount(unit))
        }
        if self.several:
            of_system = (
                np.bincount(self.system, weights=noise) / np.bincount(self.system) ** 2
            )
            floors["system"] = weights @ of_system / weights.sum(axis=1)
        return floors

    def _row(
        self, aspect: str, level_name: str, metric: str, found, level: float
    ) -> dict:
        nothing = (np.full(1, np.nan), np.full(1, np.nan))
        reliability, ceiling = found.get((level_name, metric), nothing)
        drawn = ceiling[1:][np.isfinite(ceiling[1:])]
        usable = len(drawn) > 0 and 2 * len(drawn) >= len(ceiling) - 1
        low, high = (
            np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
            if usable
            else (np.nan, np.nan)
        )
        facts = {
            "aspect": aspect,
            "level": level_name,
            "metric": metric,
            "reliability": float(reliability[0]),
        }
        facts |= {"ceiling": float(ceiling[0]), "low": float(low), "high": float(high)}
        n = (
            len(self.counts)
            if level_name == "utterance"
            else int(self.system.max()) + 1
        )
        return facts | {"n": n, "raters": float(self.counts.mean())}


def _longer(agreement, metric: str, length: float) -> tuple[np.ndarray, np.ndarray]:
    """Reliability and ceiling from the agreement of half means, where all raters are `length` times a half.

    Halves that agree less than by chance tell of no reliability: 0.
    """
    to_normal, back = {
        "lcc": (lambda r: r, lambda r: r),
        "srcc": (
            lambda r: 2 * np.sin(np.pi * r / 6),
            lambda r: 6 / np.pi * np.arcsin(r / 2),
        ),
        "ktau": (lambda r: np.sin(np.pi * r / 2), lambda r: 2 / np.pi * np.arcsin(r)),
    }[metric]
    half = np.clip(to_normal(agreement), 0, 1)
    full = np.clip(length * half / (1 + (length - 1) * half), 0, 1)
    return back(full), back(np.sqrt(full))
