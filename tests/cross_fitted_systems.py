"""Systems of which some clips are rated, and stacks that are fitted on these."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from base_models.bins import ScoreBins
from meta.columns.feature_table import Layout
from meta.cross_fit import CrossFit
from meta.learners import LEARNERS
from meta.powered_means.rated_sample import RatedSample
from meta.rows import Rows
from meta.splits.meta_split import meta_folds

KINDS = ("in sample", "mixed", "cross-fitted")
"""Predictions by the learner of all rated clips; the same, but of rated clips by the
learners without their systems; all by the latter."""


@dataclass(frozen=True)
class RatedCorpus:
    """What base models, systems and ratings are like.

    Parameters
    ----------
    systems, clips, rated, models : numbers; clips and rated clips are of each system
    of_systems : standard deviation of what each model errs by in each system
    whole : number of systems of which every clip is rated
    of_corpus : whether ``systems * rated`` clips are drawn among all
    """

    systems: int = 10
    clips: int = 60
    rated: int = 20
    models: int = 10
    of_systems: float = 0.4
    whole: int = 0
    of_corpus: bool = False

    def draw(self, rng, learner="ridge"):
        """True means of the systems, and a sample for each of `KINDS`."""
        means = rng.uniform(2.3, 3.7, self.systems)
        system = np.repeat(np.arange(self.systems), self.clips)
        truth = means[system] + 0.5 * rng.normal(size=len(system))
        of_systems = self.of_systems * rng.normal(size=(self.systems, self.models))
        scores = 0.6 + 0.8 * truth[:, None] + of_systems[system]
        scores = scores + 0.4 * rng.normal(size=scores.shape)
        rated = self._drawn(rng)
        ratings = truth[rated] + 0.4 * rng.normal(size=len(rated))

        predicted = predictions_of_kinds(scores, system, rated, ratings, learner)
        names = tuple(f"s{k:02d}" for k in range(self.systems))
        samples = {}
        for kind in KINDS:
            sample = RatedSample(
                clip_ids=tuple(f"c{k}" for k in range(len(system))),
                system_names=names,
                system=system,
                predictions=predicted[kind],
                clip_of=rated,
                ratings=ratings,
            )
            samples[kind] = sample.pooled() if self.of_corpus else sample
        return np.array([truth.mean()]) if self.of_corpus else means, samples

    def _drawn(self, rng):
        """Rows of the rated clips."""
        if self.of_corpus:
            total = self.systems * self.clips
            return np.sort(rng.permutation(total)[: self.systems * self.rated])
        rows = []
        for k in range(self.systems):
            count = self.clips if k < self.whole else self.rated
            rows.append(k * self.clips + rng.permutation(self.clips)[:count])
        return np.concatenate(rows)


def predictions_of_kinds(scores, system, rated, ratings, learner="ridge"):
    """Predictions of all clips by learners that were fitted on the rated ones.

    Parameters
    ----------
    scores : array of shape (n, models), of base models
    system : int array of shape (n,)
    rated : int array, rows of the rated clips; `ratings` are theirs
    learner : a name in `LEARNERS`
    """
    bins = ScoreBins()
    models = [f"m{k}" for k in range(scores.shape[1])]
    layout = Layout(tuple(models), (0.35,) * len(models), bins)
    X = np.concatenate(
        [bins.soften(np.clip(one, 1, 5), 0.35) for one in scores.T], axis=1
    )
    names = np.array([f"s{k:02d}" for k in system], dtype=object)
    ids = np.array([f"c{k}" for k in range(len(system))], dtype=object)
    rows = Rows.of(ids[rated], ratings[:, None], ("mos",), systems=names[rated])
    crossed = CrossFit.fit(LEARNERS[learner], X[rated], rows, layout, meta_folds(rows))
    in_sample = LEARNERS[learner]().fit(X[rated], ratings, layout, groups=rows.together)
    found = {
        "in sample": in_sample.predict(X),
        "cross-fitted": crossed.predict(X, ids, names),
    }
    found["mixed"] = found["in sample"].copy()
    found["mixed"][rated] = crossed.scores
    return found


def draws_of_kinds(corpus, repeats, learner="ridge", seed=0):
    """For each of `KINDS`, samples with the true means of the systems."""
    rng = np.random.default_rng(seed)
    found = {kind: [] for kind in KINDS}
    for _ in range(repeats):
        truth, samples = corpus.draw(rng, learner)
        for kind, sample in samples.items():
            found[kind].append((sample, truth))
    return found
