"""Systems whose true means are known, with scores that err by system and by clip."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from base_models.bins import ScoreBins
from meta.comparison.systems.compare_systems import ScoredSystems
from meta.powered_means.rated_sample import RatedSample
from meta.uncertainty.system_error import SystemLevelError

NO_RATINGS = pd.DataFrame({"clip_id": [], "mos": []})
BINS = ScoreBins(-20, 20)


@dataclass(frozen=True)
class ScoredWorld:
    """What systems and scores are like.

    Parameters
    ----------
    systems, prompts : numbers; every system has a clip of each prompt
    of_means : standard deviation of the true means of systems
    of_systems : of the error that all clips of a system share
    of_prompts : of what a prompt adds to the scores of all systems
    of_clips : of what a clip adds
    shared : whether prompts are those of all systems, and known
    known : systems that the error is learnt from; 0 leaves it unknown
    """

    systems: int = 6
    prompts: int = 20
    of_means: float = 0.0
    of_systems: float = 0.2
    of_prompts: float = 0.5
    of_clips: float = 0.3
    shared: bool = True
    known: int = 30

    def draw(self, rng):
        """The scored systems, and their true means."""
        truth = 3 + self.of_means * rng.normal(size=self.systems)
        shape = (self.systems, self.prompts)
        prompts = rng.normal(size=self.prompts if self.shared else shape)
        scores = truth[:, None] + self.of_systems * rng.normal(size=(self.systems, 1))
        scores = scores + self.of_prompts * prompts
        scores = scores + self.of_clips * rng.normal(size=shape)
        clips = table_of(scores, shared=self.shared)
        sample = RatedSample.from_tables(clips, NO_RATINGS, "mos")
        return ScoredSystems(sample, BINS, error=self._error(rng)), truth

    def _error(self, rng):
        """The error as learnt from systems left out, 10 clips of each."""
        if not self.known:
            return None
        systems = np.repeat(np.arange(self.known), 10)
        errors = self.of_systems * rng.normal(size=self.known)[systems]
        errors = errors + 0.5 * rng.normal(size=len(systems))
        return SystemLevelError.fit(errors, systems, width=4.0)


def table_of(scores, *, shared=True):
    """A clip table of scores of shape (systems, prompts); NaN is no clip."""
    rows = [
        (f"s{k:02d}_{p}", f"s{k:02d}", f"p{p}" if shared else "", score)
        for k, of_system in enumerate(scores)
        for p, score in enumerate(of_system)
        if score == score
    ]
    columns = ["clip_id", "system_id", "prompt", "prediction"]
    return pd.DataFrame(rows, columns=columns)


def held(comparison, truth):
    """Which differences lie in their intervals; which claims are of the wrong sign."""
    number = {f"s{k:02d}": k for k in range(len(truth))}
    rows = comparison.differences
    true = truth[rows["b"].map(number)] - truth[rows["a"].map(number)]
    inside = (rows["low"] <= true) & (true <= rows["high"])
    claimed = rows["p_holm"] <= 1 - comparison.interval_level
    false = claimed & (np.sign(rows["difference"]) != np.sign(true))
    return inside.to_numpy(), claimed.to_numpy(), false.to_numpy()
