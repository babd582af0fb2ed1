"""Whether the rated clips may be a random sample, as far as that can be seen.

A mean of ratings is about clips that were not chosen for how they sound. Nothing in the
ratings can prove that, but the predictions of rated and unrated clips must not differ
by more than chance, nor may a sample of the corpus hit systems in other shares than
theirs.
"""

from __future__ import annotations

import numpy as np
from scipy.special import chdtrc, ndtr

from meta.powered_means.rated_sample import RatedSample

_SUSPICIOUS = 0.01
"""Chance that a random sample deviates as far, below which it is said."""


def sampling_warnings(sample: RatedSample, *, of_corpus: bool) -> list[str]:
    """What speaks against a random sample, in words.

    Parameters
    ----------
    sample : RatedSample
    of_corpus : bool
        Whether clips were drawn among all, not within each system.
    """
    warnings = []
    drawn_among = sample.pooled() if of_corpus else sample
    distance, chance = _prediction_distance(drawn_among)
    if chance < _SUSPICIOUS:
        direction = "higher" if distance > 0 else "lower"
        warnings.append(
            f"Rated clips have {direction} predictions than the others, by "
            f"{abs(distance):.2f} points on average (p = {chance:.2g}): were they "
            "drawn at random? If not, neither mean is valid."
        )
    if of_corpus and _chance_of_shares(sample) < _SUSPICIOUS:
        warnings.append(
            "The numbers of rated clips per system are not those of a random sample of "
            f"all clips (p = {_chance_of_shares(sample):.2g}): if they were drawn "
            "within each system, the mean of the corpus needs one of every system."
        )
    return warnings


def _prediction_distance(sample: RatedSample) -> tuple[float, float]:
    """Mean prediction of rated minus unrated clips, and the chance of such a distance.

    Within systems, in proportion to what each tells of it.
    """
    is_rated = sample.is_rated
    of_all = sample.system_means(sample.predictions, np.ones(len(is_rated)))
    of_rated = sample.system_means(sample.predictions, is_rated)
    n_clips = sample.clips_per_system
    n_rated = sample.rated_per_system
    centred = sample.predictions - of_all[sample.system]
    squares = np.bincount(sample.system, weights=centred**2, minlength=sample.n_systems)
    variances = squares / np.maximum(n_clips - 1, 1)

    # The sum over rated clips of a simple random sample, and its exact variance.
    sums = n_rated * np.nan_to_num(of_rated - of_all)
    variance = np.sum(n_rated * (1 - n_rated / n_clips) * variances)
    information = np.sum(n_rated * (1 - n_rated / n_clips))
    if variance <= 0 or information <= 0:
        return 0.0, 1.0
    statistic = sums.sum() / np.sqrt(variance)
    return float(sums.sum() / information), float(2 * ndtr(-abs(statistic)))


def _chance_of_shares(sample: RatedSample) -> float:
    """The chance of numbers of rated clips as uneven, of a simple random sample."""
    n_clips = sample.clips_per_system
    share = sample.is_rated.mean()
    if sample.n_systems < 2 or share >= 1:
        return 1.0
    expected = n_clips * share
    statistic = np.sum((sample.rated_per_system - expected) ** 2 / expected)
    return float(chdtrc(sample.n_systems - 1, statistic / (1 - share)))
