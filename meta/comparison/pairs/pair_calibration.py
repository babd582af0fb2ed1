"""Learns from pairs of rated clips how sure a preference is between such clips.

Scores that are right on average, and distributions that are as wide as the errors, say
how sure a preference is between two clips of unlike kind. Between clips of one system
scores differ more than ratings do, and errors of clips of one prompt are alike. What
that does to a preference is one number each, learnt from clips that are rated: the
factor of the probit under which the outcomes of their pairs are most likely (Platt's
scaling, in Advances in Large Margin Classifiers, 1999, without an intercept, since
neither side of a pair is special), drawn towards 1 by a prior.

Measured with systems, or contents, held out (``tests/benchmarks/bench_pairs.py``): the
factor of two clips of one system is below 1 in every test; that of two clips of one
content is above 1 where contents differ in difficulty; that of other pairs is 1 and is
not learnt.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import optimize, special

from meta.comparison.preference import preference
from meta.uncertainty.pair_factors import LARGEST, SMALLEST, PairFactors

FEWEST_PAIRS = 50
"""A factor is not learnt from fewer pairs."""
FEWEST_CLUSTERS = 5
"""Nor from fewer systems, or prompts."""
MOST_PAIRS = 200
"""Pairs of one system, or prompt, that are looked at; drawn where there are more."""
PRIOR = 0.3
"""Standard deviation of the logarithm of a factor, before any pair is seen."""

# Up to so many pairs of a cluster are listed where some are left out; of more, so many
# are drawn first.
_MOST_LISTED = 200_000
_DRAWN_TO_FILTER = 20_000
# A probability of 0 has no probit.
_CERTAIN = 1e-9


def fit_pair_factors(
    distributions: np.ndarray,
    truth: np.ndarray,
    systems: Sequence[str] | np.ndarray | None,
    prompts: Sequence[str] | np.ndarray | None,
) -> PairFactors:
    """Learn the factors of a stack; 1 where there is too little to learn from.

    Parameters
    ----------
    distributions : array of shape (n, bins)
        Of clips on which the learner was not fitted.
    truth : array of shape (n,), their ratings
    systems, prompts : n names, "" where there is none; or None
    """
    n = len(truth)
    system = _names(systems, n)
    prompt = _names(prompts, n)
    within_system = _factor(distributions, truth, cluster=system, other_than=None)
    # Pairs of one system and one prompt are of the first kind.
    within_prompt = _factor(distributions, truth, cluster=prompt, other_than=system)
    return PairFactors(within_system=within_system, within_prompt=within_prompt)


def _names(names: Sequence[str] | np.ndarray | None, n: int) -> np.ndarray:
    """Names as an object array (n,), "" where there is none."""
    if names is None:
        return np.array([""] * n, dtype=object)
    return np.array([str(name) for name in names], dtype=object)


def _factor(
    distributions: np.ndarray,
    truth: np.ndarray,
    cluster: np.ndarray,
    other_than: np.ndarray | None,
) -> float:
    """The most probable factor of pairs within clusters.

    Parameters
    ----------
    distributions, truth : see `fit_pair_factors`
    cluster : object array of shape (n,); "" is none
    other_than : names that the clips of a pair do not share, or None

    Notes
    -----
    Pairs of few clips repeat what these say, so that all pairs together count as many
    observations as there are clips in them.
    """
    first, second = _pairs_within(cluster, other_than)
    if len(first) < FEWEST_PAIRS or len(set(cluster[first])) < FEWEST_CLUSTERS:
        return 1.0

    likely = preference(distributions[first], distributions[second])
    probits = special.ndtri(np.clip(likely, _CERTAIN, 1 - _CERTAIN))
    sides = np.sign(truth[first] - truth[second])
    n_clips = len(np.union1d(first, second))

    def loss(logarithm: float) -> float:
        of_pairs = _losses(probits, sides, float(np.exp(logarithm))).mean()
        return float(n_clips * of_pairs + 0.5 * (logarithm / PRIOR) ** 2)

    ends = (np.log(SMALLEST), np.log(LARGEST))
    found = optimize.minimize_scalar(loss, bounds=ends, method="bounded")
    return float(np.clip(np.exp(found.x), SMALLEST, LARGEST))


def _pairs_within(
    cluster: np.ndarray, other_than: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Places of the two clips of each pair, at most `MOST_PAIRS` of a cluster."""
    rng = np.random.default_rng(0)
    firsts = [np.empty(0, dtype=int)]
    seconds = [np.empty(0, dtype=int)]
    codes, names = pd.factorize(cluster, sort=True)
    order = np.argsort(codes, kind="stable")
    ends = np.cumsum(np.bincount(codes))
    for name, members in zip(names, np.split(order, ends[:-1]), strict=True):
        if name == "":
            continue
        first, second = _some_pairs(len(members), other_than is not None, rng)
        first = members[first]
        second = members[second]
        if other_than is not None:
            shared = other_than[first] == other_than[second]
            is_wanted = ~(shared & (other_than[first] != ""))
            first = first[is_wanted]
            second = second[is_wanted]
        if len(first) > MOST_PAIRS:
            drawn = rng.choice(len(first), MOST_PAIRS, replace=False)
            first = first[drawn]
            second = second[drawn]
        firsts.append(first)
        seconds.append(second)
    return np.concatenate(firsts), np.concatenate(seconds)


def _some_pairs(
    n: int, is_filtered: bool, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of n members: all of them, or of very many as many as are needed.

    Parameters
    ----------
    n : number of members
    is_filtered : whether some of the pairs will be left out
    rng : draws pairs
    """
    total = n * (n - 1) // 2
    needed = _DRAWN_TO_FILTER if is_filtered else MOST_PAIRS
    if total <= (_MOST_LISTED if is_filtered else MOST_PAIRS):
        first, second = np.triu_indices(n, 1)
        return first, second

    # Numbered as `np.triu_indices` lists them, without a list of all.
    number = rng.choice(total, needed, replace=False)
    begins = np.concatenate([[0], np.cumsum(np.arange(n - 1, 0, -1))])
    first = np.searchsorted(begins, number, side="right") - 1
    return first, number - begins[first] + first + 1


def _losses(probits: np.ndarray, sides: np.ndarray, factor: float) -> np.ndarray:
    """Minus the log likelihood of each outcome; of a tie the mean of both.

    Parameters
    ----------
    probits : array of shape (m,), of the preference for the first clip
    sides : array of shape (m,): 1 where the first was rated higher, -1, or 0
    factor : of the probits
    """
    scaled = probits * factor
    share_of_first = (1 + sides) / 2
    of_first = special.log_ndtr(scaled)
    of_second = special.log_ndtr(-scaled)
    losses = share_of_first * of_first + (1 - share_of_first) * of_second
    return np.asarray(-losses)
