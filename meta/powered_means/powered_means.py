"""Human-only and powered means of systems and of the corpus, and their differences."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import stdtr

from base_models.bins import ScoreBins
from base_models.errors import UsageError, one_of, some
from meta.multiple_tests import holm
from meta.powered_means.rated_sample import RatedSample
from meta.powered_means.sampling_check import sampling_warnings
from meta.powered_means.system_estimates import (
    POPULATIONS,
    Estimate,
    Slope,
    SystemEstimates,
    powered_estimates,
)

DESIGNS = ("auto", "systems", "corpus")
"""How the rated clips were drawn: at random within each system, or among all clips."""

MEAN_COLUMNS = (
    "level",
    "system",
    "clips",
    "rated_clips",
    "ratings",
    "human",
    "human_low",
    "human_high",
    "powered",
    "powered_low",
    "powered_high",
    "lambda",
    "effective_ratings",
)

_BOUNDED = [
    f"{name}{end}" for name in ("human", "powered") for end in ("", "_low", "_high")
]


@dataclass(frozen=True, eq=False)
class PoweredMeans:
    """Means from ratings alone and from ratings with predictions.

    Parameters
    ----------
    means : DataFrame with the columns `MEAN_COLUMNS`
        One row per system (``level`` is ``"system"``) and one of the corpus
        (``"corpus"``, whose ``system`` is empty). ``lambda`` is the weight of
        predictions, as in PPI++; ``effective_ratings`` is the number of ratings that
        would be as sharp without predictions. NaN where no clip is rated.
    differences : DataFrame
        One row per pair of rated systems: ``first, second``, ``human`` and ``powered``
        (the first minus the second) with ``_low`` and ``_high``, ``human_p`` and
        ``powered_p`` adjusted by Holm over all pairs.
    correlation : float
        Of mean ratings and predictions within systems; NaN where it is not known.
    helps : bool
        Whether ratings and predictions agree within systems beyond chance.
    design : str
        ``"systems"`` or ``"corpus"``.
    population : str
        One of `POPULATIONS`.
    level : float
        Coverage of the intervals; each holds by itself.
    unrated : tuple of str
        Systems without a rated clip.
    notes : tuple of str
        What a reader of the numbers must know.
    """

    means: pd.DataFrame
    differences: pd.DataFrame
    correlation: float
    helps: bool
    design: str
    population: str
    level: float
    unrated: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class _Pair:
    """The same means twice: from ratings alone, and with predictions."""

    human: SystemEstimates
    powered: SystemEstimates

    @classmethod
    def fit(cls, sample: RatedSample, population: str) -> _Pair:
        human = SystemEstimates.fit(sample, Slope(), population)
        return cls(human, powered_estimates(sample, population))

    def contrast(self, weights: np.ndarray) -> tuple[Estimate, Estimate]:
        return self.human.contrast(weights), self.powered.contrast(weights)


def powered_means(
    sample: RatedSample,
    population: str = "system",
    design: str = "auto",
    level: float = 0.95,
    compare: Sequence[str] | None = None,
    bins: ScoreBins | None = None,
) -> PoweredMeans:
    """Estimate means of systems and of the corpus, and differences of systems.

    The rated clips have to be a random sample, of the clips of each system or of all
    clips. Predictions must not have been learnt from the ratings of these clips.

    Parameters
    ----------
    sample : RatedSample
    population : str
        ``"system"``, the default: the mean that clips of the system would have in
        general, of which those predicted are a sample; what a comparison of systems is
        about, and the wider interval. ``"clips"``: the mean of exactly the clips that
        are predicted; with all of them rated, only the noise of ratings is left.
        Systems themselves are never taken for a sample.
    design : str
        One of `DESIGNS`. It decides the mean of the corpus: with ``"systems"`` it is
        that of the systems, weighted by their numbers of clips; with ``"corpus"`` the
        rated clips are one simple random sample of all, and predictions make up for
        which systems it hit. ``"auto"``: ``"systems"`` where every system has a rated
        clip.
    level : float
        Coverage of the intervals.
    compare : sequence of str, optional
        The systems whose differences are wanted; by default all.
    bins : ScoreBins, optional
        The scale of the ratings. No mean lies beyond it: what does is moved to its end,
        intervals and powered means alike. By default nothing is moved.

    Raises
    ------
    UsageError
        When nothing is rated, an option is unknown, or a system to compare is unknown
        or unrated.

    Notes
    -----
    Variances of systems are drawn towards their mean (`moderated_variances`), so that
    intervals of a few ratings hold on average over systems. Where raters are known, the
    variance between raters counts as a second source (`variance_components`).
    """
    one_of(population, POPULATIONS, "population")
    if not 0 < level < 1:
        raise UsageError(f"A level lies between 0 and 1; got {level:g}.")
    unrated = _names_of(sample, sample.rated_per_system == 0)
    design = _settled_design(sample, design, unrated)

    pair = _Pair.fit(sample, population)
    rows = _system_rows(sample, pair, level)
    rows.append(_corpus_row(sample, pair, population, design=design, level=level))
    differences = _differences(sample, pair, level, compare)
    means = pd.DataFrame(rows, columns=list(MEAN_COLUMNS))
    if bins is not None:
        means[_BOUNDED] = means[_BOUNDED].clip(bins.low, bins.high)
    warnings = sampling_warnings(sample, of_corpus=design == "corpus")
    slope = pair.powered.slope
    return PoweredMeans(
        means=means,
        differences=differences,
        correlation=slope.correlation,
        helps=_helps(pair.powered),
        design=design,
        population=population,
        level=level,
        unrated=unrated,
        notes=(*_notes(sample, pair, population), *warnings),
    )


def _settled_design(sample: RatedSample, design: str, unrated: Sequence[str]) -> str:
    """The design, with ``"auto"`` settled, after a check that it can be had."""
    one_of(design, DESIGNS, "design")
    if not sample.is_rated.any():
        raise UsageError("No clip is rated: a mean needs a few ratings (--plan).")
    if design == "auto":
        return "corpus" if unrated else "systems"
    if design == "systems" and unrated:
        raise UsageError(
            f"{len(unrated)} systems have no rated clip ({some(unrated)}): the mean of "
            "the corpus needs one of each, or clips drawn among all (--design corpus)."
        )
    return design


def _system_rows(
    sample: RatedSample, pair: _Pair, level: float
) -> list[dict[str, object]]:
    per_system = np.bincount(sample.system[sample.clip_of], minlength=sample.n_systems)
    rows = []
    for k, name in enumerate(sample.system_names):
        n_clips = int(sample.clips_per_system[k])
        n_rated = int(sample.rated_per_system[k])
        row: dict[str, object] = {
            "level": "system",
            "system": name,
            "clips": n_clips,
            "rated_clips": n_rated,
            "ratings": int(per_system[k]),
        }
        if n_rated:
            weights = np.zeros(sample.n_systems)
            weights[k] = 1.0
            human, powered = pair.contrast(weights)
            row |= _numbers(human, powered, level)
            row |= _gain(human, powered, n_ratings=int(per_system[k]))
            row["lambda"] = pair.powered.slope.value * (1 - n_rated / n_clips)
        rows.append(row)
    return rows


def _corpus_row(
    sample: RatedSample, pair: _Pair, population: str, *, design: str, level: float
) -> dict[str, object]:
    n_clips = len(sample.clip_ids)
    n_rated = int(sample.is_rated.sum())
    if design == "corpus":
        pair = _Pair.fit(sample.pooled(), population)
        weights = np.ones(1)
    else:
        weights = sample.clips_per_system / n_clips
    human, powered = pair.contrast(weights)
    return {
        "level": "corpus",
        "system": "",
        "clips": n_clips,
        "rated_clips": n_rated,
        "ratings": len(sample.ratings),
        **_numbers(human, powered, level),
        **_gain(human, powered, n_ratings=len(sample.ratings)),
        "lambda": pair.powered.slope.value * (1 - n_rated / n_clips),
    }


def _numbers(human: Estimate, powered: Estimate, level: float) -> dict[str, float]:
    numbers = {}
    for name, estimate in (("human", human), ("powered", powered)):
        low, high = estimate.interval(level)
        numbers[name] = estimate.value
        numbers[f"{name}_low"] = low
        numbers[f"{name}_high"] = high
    return numbers


def _gain(human: Estimate, powered: Estimate, n_ratings: int) -> dict[str, float]:
    """How many ratings alone would be as sharp."""
    if not powered.deviation > 0:
        return {"effective_ratings": np.nan}
    ratio = (human.deviation / powered.deviation) ** 2
    return {"effective_ratings": n_ratings * ratio}


def _differences(
    sample: RatedSample,
    pair: _Pair,
    level: float,
    compare: Sequence[str] | None,
) -> pd.DataFrame:
    """The differences of all pairs of the systems that are to be compared."""
    place_of = {name: k for k, name in enumerate(sample.system_names)}
    names = list(compare) if compare else list(sample.system_names)
    for name in names:
        one_of(name, place_of, "system")
        if compare and sample.rated_per_system[place_of[name]] == 0:
            raise UsageError(f"System '{name}' has no rated clip to compare it by.")
    if compare and len(set(names)) < 2:
        raise UsageError("Name at least two systems to compare.")

    places = sorted({place_of[name] for name in names})
    rated = [place for place in places if sample.rated_per_system[place] > 0]
    rows = []
    for first, second in itertools.combinations(rated, 2):
        weights = np.zeros(sample.n_systems)
        weights[first] = 1.0
        weights[second] = -1.0
        human, powered = pair.contrast(weights)
        rows.append(
            {
                "first": sample.system_names[first],
                "second": sample.system_names[second],
                **_numbers(human, powered, level),
                "human_p": human.p_value,
                "powered_p": powered.p_value,
            }
        )
    columns = ["first", "second"]
    for name in ("human", "powered"):
        columns += [name, f"{name}_low", f"{name}_high"]
    table = pd.DataFrame(rows, columns=[*columns, "human_p", "powered_p"])
    for name in ("human_p", "powered_p"):
        p_values = table[name].to_numpy(dtype=float)
        table[name] = np.where(np.isnan(p_values), np.nan, holm(p_values))
    return table


# ---- words


def _helps(powered: SystemEstimates) -> bool:
    """Whether the slope is above 0 beyond chance (one-sided, 2.5 %)."""
    slope = powered.slope
    if slope.value <= 0:
        return False
    deviation = powered.slope_deviation()
    if not deviation > 0:
        return False
    return bool(stdtr(powered.residual_freedom, slope.value / deviation) > 0.975)


def _notes(sample: RatedSample, pair: _Pair, population: str) -> list[str]:
    notes = _prediction_notes(sample, pair)
    notes += _interval_notes(sample, pair.human)
    if population == "clips" and pair.human.components.clip is None:
        notes.append(
            "No clip has two ratings, so that nothing tells what clips differ by from "
            "the noise of ratings: the intervals are wider than they need be for "
            "exactly these clips."
        )
    return notes + _rater_notes(sample)


def _prediction_notes(sample: RatedSample, pair: _Pair) -> list[str]:
    """What is to be said of the predictions, if anything."""
    slope = pair.powered.slope
    if slope.correlation > 1 - 1e-9:
        return [
            "The ratings follow the predictions exactly: is their column the ratings? "
            "The powered means are worth nothing then."
        ]
    if sample.is_rated.all():
        return ["Every clip is rated: there is nothing that predictions could add."]
    if np.isnan(slope.raw):
        return [
            "Too few rated clips to weigh the predictions by, or predictions that do "
            "not differ within systems: the powered means are those of the ratings."
        ]
    if not _helps(pair.powered):
        return [
            "The predictions help nothing here: within systems, ratings and "
            f"predictions correlate {slope.correlation:.2f}, which may be chance; read "
            "the means of the ratings alone."
        ]
    return []


def _interval_notes(sample: RatedSample, human: SystemEstimates) -> list[str]:
    """What is to be said of intervals that are borrowed or missing."""
    if human.residual_freedom <= 0:
        return [
            "No system has two rated clips: there is no interval of a system; rate "
            "two or more of each."
        ]
    if np.isnan(human.clip_variances).all():
        return [
            "All ratings of each system are equal: how far its clips differ is not "
            "known, and there is no interval; rate more."
        ]
    single = _names_of(sample, sample.rated_per_system == 1)
    if single and np.isnan(human.clip_variances).any():
        return [
            f"{len(single)} systems have one rated clip ({some(single)}), and there "
            "are too few others to take from how far their clips differ: they have no "
            "interval."
        ]
    if single:
        return [
            f"{len(single)} systems have one rated clip ({some(single)}): how far "
            "their clips differ is taken from the other systems."
        ]
    return []


def _names_of(sample: RatedSample, is_meant: np.ndarray) -> tuple[str, ...]:
    """The systems for which a bool array of shape (S,) is True."""
    return tuple(sample.system_names[k] for k in np.flatnonzero(is_meant))


def _rater_notes(sample: RatedSample) -> list[str]:
    if sample.rater is None:
        return [
            "Raters are not known: if some rated several clips, that they are strict "
            "or lenient is not in the intervals."
        ]
    if len(np.unique(sample.rater)) == 1:
        return [
            "One rater rated everything: that others would rate otherwise is not in "
            "the intervals."
        ]
    return []
