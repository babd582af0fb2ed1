"""Laws of listening tests in which two models are equally good, or one is better."""

from dataclasses import dataclass

import numpy as np

from meta.comparison.exchange import Pair
from meta.comparison.sign_flip import flipped_units

MEAN_CLIPS = 12
"""Mean number of clips of a system, other than the largest."""


@dataclass(frozen=True)
class Law:
    """How the scores of two models and their truth are drawn.

    Both models share errors, per system and per clip, and have errors of their own, of
    equal size unless `gain` says otherwise.

    Parameters
    ----------
    systems : number of systems
    largest : times as many clips as others have on average in the first system
    errors : ``"normal"``, ``"heavy"`` (t with 3 degrees of freedom), or ``"ends"``: at
        both ends of the scale, where scores and labels are set back
    prompts : number of prompts that all systems share; 0 for none
    own : size of the own errors of each model per system
    own_clip : the same per clip
    own_prompt : the same per prompt
    gain : by how much the first model's own errors are smaller than the second's: 0 for
        equal models, 1 for a first model without own errors
    spread : standard deviation of the true means of systems
    """

    systems: int
    largest: float = 1
    errors: str = "normal"
    prompts: int = 0
    own: float = 0.3
    own_clip: float = 0.5
    own_prompt: float = 0.0
    gain: float = 0.0
    spread: float = 0.8

    def draw(self, rng, models=2):
        """Truth and scores of some models, the first of which is the better one.

        Returns
        -------
        truth : array of shape (n,)
        scores : array of shape (models, n)
        system, prompt : int arrays of shape (n,)
        """
        sizes = rng.integers(5, 20, self.systems)
        if self.largest > 1:
            sizes[0] = round(self.largest * MEAN_CLIPS)
        if self.prompts:
            sizes = np.full(self.systems, self.prompts)
        system = np.repeat(np.arange(self.systems), sizes)
        n = len(system)
        # Without prompts that systems share, each clip has a prompt of its own.
        prompt = np.tile(np.arange(self.prompts), self.systems)
        if not self.prompts:
            prompt = np.arange(n)

        ends = self.errors == "ends"
        middle = rng.choice([1.2, 4.8], self.systems) if ends else 3.0
        of_system = middle + self._noise(rng, self.spread, self.systems)
        truth = of_system[system] + self._noise(rng, 0.5, n)
        shared = truth + self._noise(rng, 0.3, self.systems)[system]
        shared = shared + self._noise(rng, 0.3, n)

        scores = []
        for model in range(models):
            kept = 1 - self.gain if model == 0 else 1.0
            error = self._noise(rng, self.own, self.systems)[system]
            error = error + self._noise(rng, self.own_clip, n)
            if self.own_prompt:
                of_prompt = self._noise(rng, self.own_prompt, prompt.max() + 1)
                error = error + of_prompt[prompt]
            scores.append(shared + kept * error)
        if ends:
            return np.clip(truth, 1, 5), np.clip(scores, 1, 5), system, prompt
        return truth, np.array(scores), system, prompt

    def _noise(self, rng, size, n):
        if self.errors == "heavy":
            # Of variance 1, as the normal law.
            return size * rng.standard_t(3, n) / np.sqrt(3)
        return rng.normal(0, size, n)


def pair_of(law, rng):
    """Two models on one listening test, to be exchanged."""
    truth, (first, second), system, prompt = law.draw(rng)
    units = flipped_units(system, prompt, seed=0)
    return Pair(truth, first, second, system=system, units=units, seed=0)


def compared(pair, cell):
    """One level and metric of a pair."""
    level, metric = cell
    (found,) = pair.compare(level, [metric])
    return found
