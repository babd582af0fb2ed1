"""Which of several systems is better, and how sure is that.

The true mean of a system is that of the ratings that listeners would give to its clips
in general. The mean score of its clips misses it for three reasons, and the error of a
difference of two systems counts all of them:

- which clips and prompts there are: `mean_scores`, prompt by prompt where both systems
  were given the same ones;
- the error of the stack that all clips of a system share, which is learnt from systems
  left out of its fit (`meta.uncertainty.system_error`). It is taken to be independent
  between systems: of two versions of one system it is probably alike, and the interval
  of their difference then wider than it need be;
- of systems with rated clips, the noise of ratings instead: the means are powered ones
  (`meta.powered_means`), and the error of the stack is no part of them.

Nothing is known of how a stack errs on systems unlike those that it was fitted on.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from base_models.bins import ScoreBins
from base_models.errors import UsageError
from meta.comparison.systems.mean_scores import (
    Difference,
    MeanScores,
    Part,
    estimate_of,
)
from meta.comparison.systems.preferred import Preferences
from meta.comparison.systems.ranks import RANK_COLUMNS, ranks
from meta.comparison.systems.sample_size import clips_needed, smallest_shown
from meta.comparison.systems.sentences import sentence
from meta.comparison.systems.system_comparison import (
    DIFFERENCE_COLUMNS,
    SYSTEM_COLUMNS,
    SystemComparison,
)
from meta.multiple_tests import holm
from meta.powered_means.rated_sample import RatedSample
from meta.powered_means.system_estimates import (
    Estimate,
    SystemEstimates,
    powered_estimates,
)
from meta.uncertainty.system_error import SystemLevelError

_NO_ERROR = Part(0.0)


@dataclass(frozen=True, eq=False)
class ScoredSystems:
    """The clips of several systems with their scores for one aspect.

    Parameters
    ----------
    sample : RatedSample
        N clips with scores as predictions, and the ratings that there are.
    bins : ScoreBins
        Of the scale of the scores.
    distributions : array of shape (N, bins), or None
        Predicted, on `bins`.
    error : SystemLevelError, or None
        Of the stack that predicted, in points of the same scale; None where it is not
        known.
    """

    sample: RatedSample
    bins: ScoreBins
    distributions: np.ndarray | None = None
    error: SystemLevelError | None = None


@dataclass(frozen=True)
class _Compared:
    """A pair of systems: the difference of their means, and its parts."""

    a: int
    b: int
    estimate: Estimate
    clips: Part
    systems: Part
    scores: Difference


class _Aspect:
    """The systems of one aspect, with all that is estimated of them."""

    def __init__(self, name: str, scored: ScoredSystems) -> None:
        self.name = name
        self.scored = scored
        self.sample = scored.sample
        self.means = MeanScores(scored.sample)
        self.preferences = Preferences(
            scored.sample, self.means, scored.distributions, scored.bins
        )
        self._powered: SystemEstimates | None = None
        self.is_rated = np.zeros(self.sample.n_systems, dtype=bool)
        if self.sample.is_rated.any():
            self._powered = powered_estimates(self.sample, "system")
            for k in np.flatnonzero(self.sample.rated_per_system):
                self.is_rated[k] = self._of_ratings({int(k): 1.0}).deviation > 0
        # In the order in which the table names them.
        _, first_clip = np.unique(self.sample.system, return_index=True)
        self.order = np.argsort(first_clip).tolist()

    @property
    def system_error(self) -> Part:
        """Of the mean score of one system that is not rated."""
        error = self.scored.error
        return _NO_ERROR if error is None else Part(error.variance, error.freedom)

    def mean(self, k: int) -> Estimate:
        """The true mean of a system."""
        if self.is_rated[k]:
            return self._of_ratings({k: 1.0})
        parts = [self.means.parts[k]]
        if self.scored.error is not None:
            # What cancels in differences is part of the error of a single mean.
            bias = Part(self.scored.error.bias**2, self.system_error.freedom)
            parts += [self.system_error, bias]
        return estimate_of(float(self.means.means[k]), parts)

    def compared(self, a: int, b: int) -> _Compared:
        """The true mean of system `b` minus that of `a`."""
        scores = self.means.difference(a, b)
        n_unrated = 2 - int(self.is_rated[a]) - int(self.is_rated[b])
        error = self.system_error
        systems = Part(n_unrated * error.variance, error.freedom)
        if n_unrated == 2:
            estimate = estimate_of(scores.value, [scores.part, systems])
            return _Compared(a, b, estimate, scores.part, systems, scores)

        weights = {a: -1.0, b: 1.0}
        rated = self._of_ratings({k: w for k, w in weights.items() if self.is_rated[k]})
        parts = [Part(rated.deviation**2, rated.freedom)]
        value = rated.value
        if n_unrated == 1:
            # What is only predicted is put beside what is rated.
            (other,) = (k for k in weights if not self.is_rated[k])
            value += weights[other] * float(self.means.means[other])
            parts.append(self.means.parts[other])
        clips = estimate_of(value, parts)
        return _Compared(
            a,
            b,
            estimate=estimate_of(value, [*parts, systems]),
            clips=Part(clips.deviation**2, clips.freedom),
            systems=systems,
            scores=scores,
        )

    def is_of_ratings(self, pair: _Compared) -> bool:
        """Whether both systems of a pair are rated."""
        return bool(self.is_rated[pair.a] and self.is_rated[pair.b])

    def size(self, pair: _Compared) -> float:
        """Numbers of `unit` that each system of a pair has, their harmonic mean."""
        if self.is_of_ratings(pair):
            rated = self.sample.rated_per_system[[pair.a, pair.b]]
            return float(2 / np.sum(1 / rated))
        return pair.scores.size

    def unit(self, pair: _Compared) -> str:
        """What a difference would be surer with more of."""
        if self.is_of_ratings(pair):
            return "rated clips"
        return "prompts" if pair.scores.paired else "clips"

    def _of_ratings(self, weights: Mapping[int, float]) -> Estimate:
        assert self._powered is not None
        dense = np.zeros(self.sample.n_systems)
        for k, weight in weights.items():
            dense[k] = weight
        return self._powered.contrast(dense)


def compare_systems(
    aspects: Mapping[str, ScoredSystems],
    level: float = 0.95,
    notes: Sequence[str] = (),
) -> SystemComparison:
    """Compare the mean ratings of systems, each with each.

    Parameters
    ----------
    aspects : mapping of str to ScoredSystems
        Of each aspect, the clips that have a score of it.
    level : float
        Coverage of the intervals. A difference is shown when its p-value, adjusted over
        all pairs and aspects, is at most one minus this.
    notes : sequence of str
        What is known of the clips already, said first.

    Returns
    -------
    comparison : SystemComparison

    Raises
    ------
    UsageError
        When the level is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise UsageError(f"A level lies between 0 and 1; got {level:g}.")
    prepared = [_Aspect(name, scored) for name, scored in aspects.items()]
    compared = [
        (of, of.compared(a, b))
        for of in prepared
        for a, b in itertools.combinations(of.order, 2)
    ]
    rows = [_row(of, pair, len(compared), level=level) for of, pair in compared]
    adjusted = holm([row["p"] for row in rows])
    for row, p_holm in zip(rows, adjusted, strict=True):
        row["p_holm"] = p_holm if np.isfinite(row["p"]) else np.nan
        if row["p_holm"] <= 1 - level:
            row["clips_needed"] = 0.0
        where = f" in {row['aspect']}" if len(aspects) > 1 else ""
        row["said"] = sentence(row, level=level, many=len(rows) > 1, where=where)

    differences = pd.DataFrame(rows, columns=list(DIFFERENCE_COLUMNS))
    tables = [_systems_table(of, differences, level) for of in prepared]
    return SystemComparison(
        systems=pd.concat(tables, ignore_index=True),
        differences=differences,
        notes=(*notes, *_notes(prepared, len(rows))),
        interval_level=level,
    )


def _row(
    of: _Aspect, pair: _Compared, n_comparisons: int, *, level: float
) -> dict[str, Any]:
    """A difference, but for what depends on other differences."""
    names = of.sample.system_names
    width = of.scored.bins.high - of.scored.bins.low
    # No difference is larger than the scale.
    low, high = np.clip(pair.estimate.interval(level), -width, width).tolist()
    smallest = smallest_shown(pair.estimate, n_comparisons, level)
    preferred = of.preferences.interval(
        pair.a, pair.b, pair.estimate, pair.systems, level=level
    )
    return {
        "aspect": of.name,
        "a": names[pair.a],
        "b": names[pair.b],
        "paired": pair.scores.paired,
        "n_pairs": pair.scores.n_pairs,
        "difference": pair.estimate.value,
        "low": low,
        "high": high,
        "p": pair.estimate.p_value,
        **dict(
            zip(
                ("preferred", "preferred_low", "preferred_high"), preferred, strict=True
            )
        ),
        "clips_needed": clips_needed(
            pair.estimate.value,
            pair.clips,
            pair.systems.variance,
            size=of.size(pair),
            counts=(n_comparisons, level),
        ),
        "smallest": np.inf if smallest > width else smallest,
        "error_clips": float(np.sqrt(pair.clips.variance)),
        "error_systems": float(np.sqrt(pair.systems.variance)),
        "unit": of.unit(pair),
        "why": _why_unknown(of, pair),
    }


def _why_unknown(of: _Aspect, pair: _Compared) -> str:
    """Why the error of a difference is not known, where it is not."""
    single = [
        of.sample.system_names[k]
        for k in (pair.a, pair.b)
        if of.sample.clips_per_system[k] == 1
    ]
    if single:
        verb = "has" if len(single) == 1 else "have"
        return (
            f"{' and '.join(single)} {verb} one clip, which does not tell how clips "
            "differ"
        )
    if pair.scores.paired:
        return "the difference is the same in every prompt"
    return "all clips of a system score alike"


def _systems_table(
    of: _Aspect, differences: pd.DataFrame, level: float
) -> pd.DataFrame:
    """Means and ranks of the systems of an aspect, the best first."""
    names = of.sample.system_names
    estimates = [of.mean(k) for k in range(len(names))]
    ends = np.array([estimate.interval(level) for estimate in estimates])
    # No mean lies beyond the scale.
    ends = np.clip(ends, of.scored.bins.low, of.scored.bins.high)
    means = np.array([estimate.value for estimate in estimates])
    table = pd.DataFrame(
        {
            "aspect": of.name,
            "system_id": list(names),
            "n_clips": of.sample.clips_per_system,
            "n_rated": of.sample.rated_per_system,
            "mean": means,
            "low": ends[:, 0],
            "high": ends[:, 1],
        }
    )
    own = differences[differences["aspect"] == of.name]
    table[list(RANK_COLUMNS)] = ranks(means, names, own, level)
    # In the order of the table where means are equal.
    table = table.iloc[of.order].sort_values("mean", ascending=False, kind="stable")
    return table[list(SYSTEM_COLUMNS)].reset_index(drop=True)


# ---- words


def _notes(prepared: Sequence[_Aspect], n_comparisons: int) -> list[str]:
    """What a reader of the numbers must know."""
    notes = []
    if not n_comparisons:
        notes.append("There is one system: nothing to compare it with.")
    notes += dict.fromkeys(_note_on_errors(of, len(prepared) > 1) for of in prepared)
    if any(of.scored.distributions is None for of in prepared):
        notes.append(
            "Shares of preferred clips are those of higher scores, without how far "
            "single ratings lie from them: listeners agree less."
        )
    if n_comparisons > 1:
        notes.append(
            f"p-values are adjusted over all {n_comparisons} differences (Holm), and "
            "ranks hold for all systems at once; each other interval holds by itself."
        )
    return notes


def _note_on_errors(of: _Aspect, is_one_of_many: bool) -> str:
    """What the intervals of an aspect count."""
    where = f"In {of.name}, " if is_one_of_many else ""
    n_rated = int(of.is_rated.sum())
    if n_rated == len(of.is_rated):
        return _capital(
            f"{where}all systems have rated clips: their means are those of ratings, "
            "made surer by predictions of all clips."
        )
    rated = ""
    if n_rated:
        rated = (
            f" {n_rated} of {len(of.is_rated)} systems have rated clips, and means of "
            "ratings, made surer by predictions of all clips."
        )
    error = of.scored.error
    if error is None:
        return _capital(
            f"{where}intervals count clips and prompts alone: how far the predictor is "
            "off on systems that nobody has rated is not known, so they are too narrow "
            f"for what listeners would say.{rated}"
        )
    return _capital(
        f"{where}intervals count clips, prompts, and the stack's own error on systems "
        f"that nobody has rated: about {error.variance**0.5:.2g} points in their means "
        f"(a standard deviation), learnt from {error.n_systems} systems left out of "
        f"its fit; systems unlike these may be further off.{rated}"
    )


def _capital(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]
