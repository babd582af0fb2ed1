"""Simulated systems with predictions of all clips and ratings of some."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meta.powered_means.rated_sample import RatedSample
from meta.powered_means.system_estimates import Slope, SystemEstimates, fitted_slope


@dataclass(frozen=True)
class World:
    """What systems, predictions and raters are like.

    Parameters
    ----------
    systems, clips, rated : numbers; clips and rated clips are of each system
    correlation : of true scores and predictions within systems
    uneven : standard deviation of the logarithm of the systems' own deviations
    raters : number of raters, 0 for a new one for each rating
    of_raters, of_raters_in_system : standard deviations of what raters add
    per_clip : ratings of each rated clip
    of_prompts : standard deviation of what prompts add; the same prompts in all systems
    whole : whether ratings are whole numbers from 1 to 5
    of_corpus : whether ``systems * rated`` clips are drawn among all
    """

    systems: int = 10
    clips: int = 60
    rated: int = 5
    correlation: float = 0.66
    uneven: float = 0.0
    raters: int = 0
    of_raters: float = 0.0
    of_raters_in_system: float = 0.0
    per_clip: int = 1
    of_prompts: float = 0.0
    whole: bool = False
    of_corpus: bool = False

    def draw(self, rng):
        """A sample, the means of the systems, and those of exactly their clips."""
        shape = (self.systems, self.clips)
        means = rng.uniform(2, 4, self.systems)
        deviation = 0.6 * np.exp(self.uneven * rng.normal(size=(self.systems, 1)))
        heard = rng.normal(size=shape)
        unheard = np.sqrt(1 - self.correlation**2) * rng.normal(size=shape)
        prompts = self.of_prompts * rng.normal(size=self.clips)
        truth = means[:, None] + prompts
        truth = truth + deviation * (self.correlation * heard + unheard)
        # Predictions err by system, and on another scale.
        predictions = means[:, None] + 0.8 * deviation * heard
        predictions = predictions + 0.3 * rng.normal(size=(self.systems, 1))

        clip_of = np.repeat(self._drawn(rng), self.per_clip)
        rater = self._raters(rng, len(clip_of))
        ratings = truth.ravel()[clip_of] + 0.5 * rng.normal(size=len(clip_of))
        if self.raters:
            system = clip_of // self.clips
            own = rng.normal(size=self.raters)
            in_system = rng.normal(size=(self.raters, self.systems))
            ratings += self.of_raters * own[rater]
            ratings += self.of_raters_in_system * in_system[rater, system]
        if self.whole:
            ratings = np.clip(np.rint(ratings), 1, 5)
        sample = RatedSample(
            clip_ids=tuple(f"c{k}" for k in range(truth.size)),
            system_names=tuple(f"s{k:02d}" for k in range(self.systems)),
            system=np.repeat(np.arange(self.systems), self.clips),
            predictions=predictions.ravel(),
            clip_of=clip_of,
            ratings=ratings,
            rater=rater if self.raters else None,
            prompt=np.tile(np.arange(self.clips), self.systems)
            if self.of_prompts
            else None,
        )
        return sample, means, truth.mean(axis=1)

    def _drawn(self, rng):
        """Rows of the rated clips."""
        if self.of_corpus:
            total = self.systems * self.clips
            return np.sort(rng.permutation(total)[: self.systems * self.rated])
        order = np.argsort(rng.random((self.systems, self.clips)), axis=1)
        starts = np.arange(self.systems)[:, None] * self.clips
        return (order[:, : self.rated] + starts).ravel()

    def _raters(self, rng, n_ratings):
        """Different raters for the ratings of a clip."""
        if not self.raters:
            return np.arange(n_ratings)
        n_clips = n_ratings // self.per_clip
        order = np.argsort(rng.random((n_clips, self.raters)), axis=1)
        return order[:, : self.per_clip].ravel()


@dataclass(frozen=True)
class Measured:
    """What intervals held, and how much sharper predictions made them.

    Each is a pair: from ratings alone, and powered.

    Parameters
    ----------
    systems, differences, corpus : share of true values in their 95 % intervals
    errors, corpus_errors : mean squared errors of means of systems and of the corpus
    widths : mean widths of intervals of systems
    """

    systems: np.ndarray
    differences: np.ndarray
    corpus: np.ndarray
    errors: np.ndarray
    corpus_errors: np.ndarray
    widths: np.ndarray

    def line(self):
        """One line for a bench."""
        ratio = self.errors[1] / self.errors[0]
        corpus = self.corpus_errors[1] / self.corpus_errors[0]
        pairs = (self.systems, self.differences, self.corpus)
        held = "; ".join(f"{alone:.1%} / {with_:.1%}" for alone, with_ in pairs)
        width = self.widths[1] / self.widths[0]
        return (
            f"{held}; variance {ratio:.2f} of systems, {corpus:.2f} of the corpus; "
            f"width {width:.2f}"
        )


def measure(samples, population="system"):
    """Hold the intervals of many samples against their truths.

    Parameters
    ----------
    samples : iterable of (sample, true means of the systems)
    """
    rows = []
    for sample, truth in samples:
        rows.append(
            [
                _hold(SystemEstimates.fit(sample, slope, population), sample, truth)
                for slope in (Slope(), fitted_slope(sample))
            ]
        )
    means = np.mean(np.array(rows), axis=0).T
    return Measured(*means)


def _hold(estimates, sample, truth):
    rated = np.flatnonzero(sample.rated_per_system)
    unit = np.eye(sample.n_systems)
    held, width, error = held_by(estimates, unit[rated], truth)
    pairs = unit[rated[:-1]] - unit[rated[1:]]
    between = held
    if len(pairs):
        between, _, _ = held_by(estimates, pairs, truth)
    shares = np.where(sample.rated_per_system > 0, sample.clips_per_system, 0)
    shares = shares / shares.sum()
    corpus, _, corpus_error = held_by(estimates, shares[None], truth)
    return held, between, corpus, error, corpus_error, width


def held_by(estimates, contrasts, truth):
    """Share of true contrasts in their intervals, mean width, mean squared error."""
    contrasts = np.asarray(contrasts)
    values = contrasts @ truth
    found = [estimates.contrast(weights) for weights in contrasts]
    low, high = np.array([estimate.interval(0.95) for estimate in found]).T
    errors = np.array([estimate.value for estimate in found]) - values
    held = np.mean((low <= values) & (values <= high))
    return held, np.mean(high - low), np.mean(errors**2)


def draws(world, repeats, seed=0, population="system"):
    """Samples of a world with their true means."""
    rng = np.random.default_rng(seed)
    for _ in range(repeats):
        sample, means, of_clips = world.draw(rng)
        yield sample, means if population == "system" else of_clips
