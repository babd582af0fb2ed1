"""Systems out of files and folders, with scores of their clips, to be compared.

Scores are read from a table, or were made by a stack a moment ago. What a stack knows
of its own error on systems that it was not fitted on comes from its folder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from scipy.special import ndtri

from base_models.bins import ScoreBins
from base_models.errors import UsageError, some
from base_models.scales import Scale
from ensemble.formats import Distributions, Scores
from ensemble.rate_less import RateLessData
from ensemble.rated_systems import ONE_SYSTEM
from meta.comparison.systems.compare_systems import ScoredSystems, compare_systems
from meta.comparison.systems.system_comparison import SystemComparison
from meta.regressor import MetaRegressor
from meta.score_columns import STACK, bin_columns
from meta.uncertainty.system_error import SystemLevelError


@dataclass(frozen=True, eq=False)
class StackKnowledge:
    """What a stack knows of its own errors.

    Parameters
    ----------
    bins : ScoreBins
        On which it predicts, before scores are mapped onto the scale of the labels.
    errors : dict of str to SystemLevelError or None
        Of each aspect, in points of `bins`.
    fitted_on : frozenset of str
        Ids of clips.
    """

    bins: ScoreBins
    errors: Mapping[str, SystemLevelError | None]
    fitted_on: frozenset[str]

    @classmethod
    def of(cls, regressor: MetaRegressor) -> StackKnowledge:
        """What a fitted regressor knows."""
        errors = zip(regressor.aspects_, regressor.system_errors_, strict=True)
        return cls(
            bins=regressor.layout_.bins,
            errors=dict(errors),
            fitted_on=frozenset(regressor.fitted_on_),
        )

    def error(self, aspect: str, scale: Scale) -> SystemLevelError | None:
        """The error of an aspect in points of a scale; None where it is not known."""
        known = self.errors.get(aspect)
        if known is None:
            return None
        return known.on_scale(scale.width / Scale.of(self.bins).width)

    def notes(self, data: RateLessData) -> list[str]:
        """What is not known, and which clips are no new ones."""
        notes = []
        unknown = [name for name in data.aspects if self.errors.get(name) is None]
        if unknown:
            notes.append(
                f"This stack does not know its error on unrated systems in "
                f"{some(unknown)}: it was fitted before that was kept, on clips that "
                "name no systems, or was adapted. Fit it anew on clips with systems."
            )
        known = self.fitted_on.intersection(data.clips["clip_id"])
        if known:
            notes.append(
                f"The stack was fitted on {len(known)} of these clips and has seen "
                "their ratings: it errs less on them than is counted."
            )
        return notes


NOTHING_KNOWN = StackKnowledge(bins=ScoreBins(), errors={}, fitted_on=frozenset())


@dataclass(frozen=True, eq=False)
class Outlook:
    """How far single ratings may lie from scores.

    Parameters
    ----------
    distributions : dict of str to DataFrame
        Of each aspect, what a stack predicts of clips: one row per clip, indexed by its
        id, one column per bin. Empty without a stack.
    stack_bins : ScoreBins, or None
        Of these distributions, whatever the scale of the labels.
    interval_level : float
        Coverage of the intervals beside scores, from which widths follow otherwise.
    """

    distributions: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    stack_bins: ScoreBins | None = None
    interval_level: float = 0.9

    @classmethod
    def of(cls, distributions: Distributions | None) -> Outlook:
        """That of scores which a stack has just made."""
        if distributions is None:
            return cls()
        frame = distributions.frame
        frame = frame[frame["model"] == STACK].set_index("clip_id")
        bins = distributions.bins
        found = {
            aspect: frame[bin_columns(aspect, bins.count)]
            for aspect in distributions.aspects
        }
        return cls(found, stack_bins=bins)

    def around(self, data: RateLessData, aspect: str) -> np.ndarray | None:
        """A distribution per predicted clip of an aspect, or None where none is known.

        Returns
        -------
        distributions : array of shape (n, bins)
            On bins of the scale of the data.
        """
        clips = data.predicted(aspect)
        if aspect in self.distributions:
            found = self.distributions[aspect].reindex(clips["clip_id"])
            values = found.to_numpy(dtype=float)
            return values if np.isfinite(values).all() else None

        ends = [f"pred_{aspect}_low", f"pred_{aspect}_high"]
        if not all(end in clips for end in ends):
            return None
        widths = (clips[ends[1]] - clips[ends[0]]).to_numpy(dtype=float)
        if not (widths >= 0).all():
            return None
        bins = self.bins(data, aspect)
        # A distribution over bins is no narrower than half a bin.
        quantile = float(ndtri((1 + self.interval_level) / 2))
        deviations = np.maximum(widths / 2 / quantile, bins.width / 2)
        scores = np.clip(clips["prediction"].to_numpy(dtype=float), bins.low, bins.high)
        return bins.gaussians(scores, deviations)

    def bins(self, data: RateLessData, aspect: str) -> ScoreBins:
        """The bins of `around`."""
        bins = data.bins(aspect)
        if self.stack_bins is None:
            return bins
        return replace(self.stack_bins, low=bins.low, high=bins.high)


@dataclass(frozen=True)
class Pairing:
    """Which clips are compared with each other.

    Parameters
    ----------
    systems : dict of clip id to its system
    prompts : dict of clip id to what it shares with clips of other systems, "" if none
    """

    systems: Mapping[str, str] = field(default_factory=dict)
    prompts: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, clips: pd.DataFrame) -> Pairing:
        """That of a table with ``clip_id`` and perhaps ``system_id`` and ``prompt``."""
        named = {}
        for name in ("system_id", "prompt"):
            texts = clips[name] if name in clips else [""] * len(clips)
            named[name] = dict(zip(clips["clip_id"], texts, strict=True))
        return cls(systems=named["system_id"], prompts=named["prompt"])


def scored_data(scores: Scores, pairing: Pairing) -> RateLessData:
    """The scores of a stack as `read_rate_less` would read them from its table.

    Parameters
    ----------
    scores : Scores
    pairing : Pairing
        Of all scored clips.

    Raises
    ------
    UsageError
        When no clip has a score.
    """
    frame = scores.frame
    return data_of_frame(frame, scores.aspects, scores.scales, pairing)


def data_of_frame(
    frame: pd.DataFrame,
    aspects: Sequence[str],
    scales: Mapping[str, Scale],
    pairing: Pairing,
) -> RateLessData:
    """A table of scores as `read_rate_less` would read it from a file.

    Parameters
    ----------
    frame : DataFrame of n rows
        ``clip_id`` and the columns of `meta.score_columns.score_columns`.
    aspects : names
    scales : of the scores of each aspect; 1..5 where it is not named
    pairing : of all these clips

    Raises
    ------
    UsageError
        When no clip has a score.
    """
    ids = frame["clip_id"].tolist()
    columns: dict[str, object] = {
        "clip_id": ids,
        "system_id": [pairing.systems.get(clip, "") or ONE_SYSTEM for clip in ids],
        "prompt": [pairing.prompts.get(clip, "") for clip in ids],
        "audio": frame["audio"].tolist() if "audio" in frame else [""] * len(ids),
    }
    for aspect in aspects:
        for end in ("", "_low", "_high"):
            columns[f"pred_{aspect}{end}"] = frame[f"{aspect}{end}"].to_numpy()
    table = pd.DataFrame(columns)
    has_score = table[[f"pred_{name}" for name in aspects]].notna().any(axis=1)
    if not has_score.any():
        raise UsageError("No clip could be scored: there is nothing to compare.")
    own = Scale(1, 5)
    return RateLessData(
        clips=table[has_score].reset_index(drop=True),
        ratings=pd.DataFrame({"clip_id": [], **{name: [] for name in aspects}}),
        aspects=tuple(aspects),
        scales={name: scales.get(name, own) for name in aspects},
        columns={},
        not_predicted=[],
        rated_without_prediction=[],
        learnt_from=[],
        cross_fitted=[],
        notes=(),
    )


def compare_data(
    data: RateLessData,
    outlook: Outlook,
    known: StackKnowledge = NOTHING_KNOWN,
    level: float = 0.95,
) -> SystemComparison:
    """Compare the systems of clips that have scores, and perhaps ratings.

    Parameters
    ----------
    data : RateLessData
    outlook : Outlook
    known : StackKnowledge
        Of the stack that made the scores, where it is known.
    level : float
        Coverage of the intervals.

    Raises
    ------
    UsageError
        When all clips are by one system, or the level is not between 0 and 1.
    """
    names = data.clips["system_id"].unique().tolist()
    if len(names) < 2:
        raise UsageError(
            f"All {len(data.clips)} clips are by one system, '{names[0]}': name the "
            "system of each (--by COLUMN, or --clips TABLE)."
        )
    ratings = data.ratings
    for aspect in data.aspects:
        if aspect not in ratings:
            ratings = ratings.assign(**{aspect: np.nan})
    data = replace(data, ratings=ratings)

    aspects = {}
    for aspect in data.aspects:
        if not data.clips[f"pred_{aspect}"].notna().any():
            continue
        aspects[aspect] = ScoredSystems(
            sample=data.sample(aspect),
            bins=outlook.bins(data, aspect),
            distributions=outlook.around(data, aspect),
            error=known.error(aspect, data.scales[aspect]),
        )
    notes: list[str] = []
    if known is not NOTHING_KNOWN:
        notes += known.notes(data)
    notes += _gaps(data)
    return compare_systems(aspects, level, notes=notes)


def _gaps(data: RateLessData) -> Sequence[str]:
    """Aspects of which some clips have no score."""
    notes = []
    for aspect in data.aspects:
        n_missing = int(data.clips[f"pred_{aspect}"].isna().sum())
        if n_missing:
            notes.append(
                f"{n_missing} of {len(data.clips)} clips have no score of {aspect} and "
                "do not count in it."
            )
    return notes
