"""Ratings of one aspect, and random halves of their raters.

Every rater falls into one half, on all clips alike. So whatever a rater does on every
clip (a low opinion of everything, or of one system) stays on one side, as it does when
another panel rates. Were the ratings of each clip halved by themselves, raters that
clips share would count as noise, and raters that only one system has would count as
truth.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from base_models.clips.rating_tables import are_nameless
from base_models.errors import UsageError, some
from base_models.metrics.bootstrap import system_means


@dataclass(frozen=True, eq=False)
class Halving:
    """One random halving of the raters, on n clips or systems.

    Parameters
    ----------
    first, second : arrays of shape (n,), mean score of each by either half
    noise : array of shape (n,)
        Their difference, scaled so that it varies as the mean of all raters does about
        the true score.
    length : float, how many times the raters of a half all raters are
    """

    first: np.ndarray
    second: np.ndarray
    noise: np.ndarray
    length: float


@dataclass(frozen=True, eq=False)
class RatedClips:
    """The ratings of one aspect, sorted by clip, of clips with two ratings or more.

    Parameters
    ----------
    scores : array of shape (ratings,)
    clip : (ratings,) codes 0..clips - 1, ascending
    rater : (ratings,) codes of the raters
    n_raters : int, of all aspects together
    system : (clips,) codes 0..systems - 1
    are_named : bool, whether it is known which clips a rater has rated
    """

    scores: np.ndarray
    clip: np.ndarray
    rater: np.ndarray
    n_raters: int
    system: np.ndarray
    are_named: bool

    @classmethod
    def of(
        cls,
        ratings: pd.DataFrame,
        aspect: str,
        systems: Mapping[str, str] | None,
    ) -> RatedClips:
        """The ratings of one aspect, without clips that have a single one of it.

        Parameters
        ----------
        ratings, systems : see `base_models.metrics.noise_ceiling.noise_ceiling`
        aspect : name of a column

        Raises
        ------
        UsageError
            when a rating is infinite, a rater rates a clip twice, no two clips have two
            ratings, or a clip has no system.
        """
        scores = ratings[aspect].to_numpy(np.float64)
        if np.isinf(scores).any():
            raise UsageError(f"A rating of '{aspect}' is infinite.")
        # By name, so that a seed draws the same halves from rows in any order, and for
        # every aspect.
        raters = ratings["rater_id"].to_numpy(str)
        names_of_raters, rater = np.unique(raters, return_inverse=True)
        names, clip = np.unique(ratings["clip_id"].to_numpy(str), return_inverse=True)

        has_rating = ~np.isnan(scores)
        pairs = clip[has_rating] * len(names_of_raters) + rater[has_rating]
        unique_pairs, times = np.unique(pairs, return_counts=True)
        if (times > 1).any():
            repeated = names[unique_pairs[times > 1] // len(names_of_raters)]
            raise UsageError(
                f"Clips {some(np.unique(repeated))} are rated twice by one rater; keep "
                "one rating."
            )

        # A clip with one rating cannot be halved.
        counts = np.bincount(clip[has_rating], minlength=len(names))
        if (counts > 1).sum() < 2:
            raise UsageError(
                f"Fewer than 2 clips have 2 ratings of '{aspect}': the raters' noise "
                "cannot be estimated."
            )
        kept = np.flatnonzero(has_rating & (counts[clip] > 1))
        kept = kept[np.lexsort((rater[kept], clip[kept]))]
        _, clip_codes = np.unique(clip[kept], return_inverse=True)
        return cls(
            scores=scores[kept],
            clip=clip_codes,
            rater=rater[kept],
            n_raters=len(names_of_raters),
            system=_system_codes(names[counts > 1], systems),
            are_named=not are_nameless(names_of_raters),
        )

    @cached_property
    def counts(self) -> np.ndarray:
        """Number of ratings of each clip, shape (clips,)."""
        return np.bincount(self.clip)

    @cached_property
    def starts(self) -> np.ndarray:
        """The first rating of each clip, shape (clips,)."""
        return np.cumsum(self.counts) - self.counts

    @cached_property
    def shares_raters(self) -> bool:
        """Whether some rater has rated two clips."""
        return len(np.unique(self.rater)) < len(self.rater)

    @cached_property
    def n_systems(self) -> int:
        """Number of systems; 1 where none are named."""
        return int(self.system.max()) + 1

    @cached_property
    def cluster(self) -> np.ndarray:
        """What is resampled, shape (clips,): systems where there are several."""
        # Clips of one system are not independent.
        return self.system if self.n_systems > 1 else np.arange(len(self.counts))

    def halve(self, rng: np.random.Generator) -> Halving:
        """One random halving of the raters."""
        in_first = self._in_first_half(rng)
        n_first = np.add.reduceat(in_first, self.starts, dtype=np.intp)
        n_second = self.counts - n_first
        first_sum = np.add.reduceat(self.scores * in_first, self.starts)
        total = np.add.reduceat(self.scores, self.starts)
        first = first_sum / n_first
        second = (total - first_sum) / n_second

        # Of k ratings with h in the first half, the difference has the variance
        # k / (h (k - h)) of one rating, and the mean of all has 1 / k of it.
        scale = np.sqrt(n_first * n_second) / self.counts
        # Halves differ in size: their geometric mean stands for both.
        of_first = np.mean(self.counts / n_first)
        of_second = np.mean(self.counts / n_second)
        return Halving(
            # Rounded so that equal means tie, whatever the order of their sums.
            first=np.round(first, 10),
            second=np.round(second, 10),
            noise=scale * (first - second),
            length=float(np.sqrt(of_first * of_second)),
        )

    def _in_first_half(self, rng: np.random.Generator) -> np.ndarray:
        """Whether each rating is in the first half, which no clip has none or all of.

        Returns
        -------
        in_first : bool array of shape (ratings,)
        """
        # Ratings of each clip in random order.
        fractions = rng.random(self.n_raters)[self.rater]
        order = np.lexsort((fractions, self.clip))
        in_first = np.empty(len(self.clip), dtype=bool)
        if not self.shares_raters:
            # Each clip is halved by itself.
            place = np.arange(len(self.clip)) - self.starts[self.clip]
            in_first[order] = place < self.counts[self.clip] // 2
            return in_first

        sides = self._sides(rng, order)
        in_first[:] = sides[self.rater] > 0
        # A clip whose raters are all on one side lends one of them to the other.
        n_first = np.add.reduceat(in_first, self.starts, dtype=np.intp)
        one_sided = np.flatnonzero((n_first == 0) | (n_first == self.counts))
        lent = order[self.starts[one_sided]]
        in_first[lent] = ~in_first[lent]
        return in_first

    def _sides(self, rng: np.random.Generator, order: np.ndarray) -> np.ndarray:
        """A side of each rater, +1 or -1, that halves most panels evenly.

        Panel after panel, raters without a side yet fill up the smaller one, so that
        raters who always work together are halved evenly.
        """
        sides = np.zeros(self.n_raters, dtype=np.int64)
        raters = self.rater[order]
        ties = rng.choice((-1, 1), size=len(raters))
        for clip in rng.permutation(len(self.counts)):
            first = self.starts[clip]
            panel = raters[first : first + self.counts[clip]]
            undecided = np.flatnonzero(sides[panel] == 0)
            balance = int(sides[panel].sum())
            for place in undecided:
                side = -np.sign(balance) or ties[first + place]
                sides[panel[place]] = side
                balance += side
        return sides

    def of_systems(self, halving: Halving) -> Halving:
        """A halving of clips as one of systems: means over their clips."""
        return Halving(
            first=system_means(halving.first, self.system),
            second=system_means(halving.second, self.system),
            noise=system_means(halving.noise, self.system),
            length=halving.length,
        )


def noise_variance(
    noise: np.ndarray, cluster: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Variance of noise between clusters, under each row of weights.

    Parameters
    ----------
    noise : array of shape (n,)
    cluster : (n,) codes 0..clusters - 1
    weights : array of shape (rows, clusters), how often each cluster counts

    Returns
    -------
    variance : array of shape (rows,); NaN where fewer than two clusters count

    Notes
    -----
    Half the mean squared difference of two points of different clusters. What all
    points share, as the mean bias of raters who rated everything, cancels out; what the
    points of one cluster share does not.
    """
    counts = np.bincount(cluster)
    sums = np.bincount(cluster, weights=noise)
    squares = np.bincount(cluster, weights=noise**2)

    # Sums over all pairs of points, less those within a cluster.
    squared_weights = weights**2
    total = weights @ counts
    pairs = total**2 - squared_weights @ counts**2
    products = (weights @ sums) ** 2 - squared_weights @ sums**2
    differences = (weights @ squares) * total - squared_weights @ (squares * counts)
    return (differences - products) / np.where(pairs > 0, pairs, np.nan)


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
