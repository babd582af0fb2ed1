"""What so many rated clips can carry, said before anything is trained on them.

Which base models suit the number of clips, how wide the intervals of a test of that
size will be, and what cannot be shown with so few systems or clips per system.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from base_models.clips.labels import FEWEST_LABELLED, judged_by_text, prompt_gaps
from base_models.clips.splits import assign_splits, reached
from base_models.errors import some
from base_models.metrics.expected_interval import (
    expected_mse_interval,
    expected_srcc_interval,
)
from base_models.metrics.intervals import FEWEST_POINTS, Interval
from ensemble.training.model_sets import SMALL, SMALL_BELOW, SMALL_SPLIT
from meta.splits.meta_split import MIN_ROWS, VALIDATION_SHARE

PLAUSIBLE_SRCC = (0.5, 0.8)
"""Correlations for which an interval is given."""


@dataclass(frozen=True)
class JudgingClips:
    """The clips that will measure a stack, of aspects that have equally many.

    Parameters
    ----------
    aspects : tuple of str
    clips, systems : int
        How many are rated. Systems without a name do not count.
    """

    aspects: tuple[str, ...]
    clips: int
    systems: int

    def to_json(self) -> dict[str, Any]:
        """The counts and the intervals to expect, for programs."""
        mse = expected_mse_interval(self.clips)
        return {
            "aspects": list(self.aspects),
            "clips": self.clips,
            "systems": self.systems,
            "utterance_srcc": _srcc_records(self.clips),
            # Multiples of the measured error.
            "relative_mse": _ends(mse),
            "system_srcc": _srcc_records(self.systems),
        }

    @property
    def clip_line(self) -> str:
        """What interval to expect of metrics over clips."""
        relative = expected_mse_interval(self.clips)
        if self.clips < FEWEST_POINTS or relative is None:
            return (
                f"{_count(self.clips, 'rated clip')} to judge by: below "
                f"{FEWEST_POINTS} no interval can be given, and nothing be shown"
            )
        return (
            f"{self.clips} rated clips to judge by: {_srcc_text(self.clips)}, "
            f"an MSE {relative.low:.2f} to {relative.high:.2f} times its value; wider "
            "where clips of one system err alike"
        )

    @property
    def system_line(self) -> str:
        """What interval to expect of metrics over systems; "" without systems."""
        if self.systems == 0:
            return ""
        if self.systems == 1:
            return "one system to judge by: no ranking of systems can be measured"
        if self.systems < FEWEST_POINTS:
            orders = math.factorial(self.systems)
            return (
                f"{self.systems} systems to judge by: chance ranks them right once in "
                f"{orders} times, and below {FEWEST_POINTS} systems no interval of a "
                "system SRCC can be given"
            )
        return f"{self.systems} systems to judge by: {_srcc_text(self.systems)}"


@dataclass(frozen=True)
class Advice:
    """What the clips of a listening test can carry.

    Parameters
    ----------
    training, stacking : int
        Clips of the training split, and those that a stack is fitted on, that are
        rated, for the aspect with the fewest of them.
    judging : tuple of JudgingClips
        The clips that measure a stack.
    judged_by : str
        Which clips these are, for people; "" for the test split.
    clips_of_system : mapping of str to int
        Rated clips of each named system, in all splits.
    are_named : bool
        Whether systems are named at all.
    folds : bool
        Whether a stack is fitted on out-of-fold predictions of the training split.
    made : str
        The splits, where `fit_base` will make them.
    """

    training: int
    stacking: int
    judging: tuple[JudgingClips, ...]
    judged_by: str
    clips_of_system: Mapping[str, int]
    are_named: bool
    folds: bool
    made: str = ""

    @classmethod
    def of(
        cls,
        frame: pd.DataFrame,
        aspects: Sequence[str],
        needs_text: Sequence[bool] | None = None,
        group: str | None = None,
        folds: bool | None = None,
    ) -> Advice:
        """Count the clips of a table.

        Parameters
        ----------
        frame : DataFrame
            Clip table. Where it has no splits they are made as `fit_base` makes them
            for the models that are advised.
        aspects : sequence of str
            Its rated columns, at least one.
        needs_text : sequence of bool, optional
            Whether each is judged against the prompt, without which its labels do not
            count; by default known by its name.
        group : str, optional
            Column whose clips stay on one side of such splits.
        folds : bool, optional
            Whether a stack is fitted on out-of-fold predictions of the training split;
            by default as the models that are advised are stacked.
        """
        if needs_text is None:
            needs_text = judged_by_text(aspects)
        labels = frame[list(aspects)].mask(prompt_gaps(frame, needs_text))

        split = frame["split"]
        made = ""
        if not (split != "").any():
            split = assign_splits(frame, SMALL_SPLIT, group=group)
            if _fewest_rated(labels[split == "train"]) >= SMALL_BELOW:
                split = assign_splits(frame, group=group)
            made = reached(frame.assign(split=split))

        training = _fewest_rated(labels[split == "train"])
        if folds is None:
            folds = training < SMALL_BELOW
        fitted_on = split == ("train" if folds else "dev")
        is_judge, share, judged_by = _judges(labels, split, folds)

        systems = frame["system_id"]
        is_rated = labels.notna().any(axis=1)
        counts = systems[is_rated & (systems != "")].value_counts(sort=False)
        return cls(
            training=training,
            stacking=_fewest_rated(labels[fitted_on]),
            judging=_judging_clips(labels[is_judge], systems[is_judge], share),
            judged_by=judged_by,
            clips_of_system={str(name): int(n) for name, n in counts.items()},
            are_named=bool((systems != "").any()),
            folds=folds,
            made=made,
        )

    @property
    def models(self) -> str:
        """The set of base models that is advised; "" for those of the paper."""
        return SMALL if self.training < SMALL_BELOW else ""

    @property
    def models_line(self) -> str:
        """Which base models are advised, if any can be trained."""
        clips = _count(self.training, "rated training clip")
        if self.training < FEWEST_LABELLED:
            return f"{clips}: too few to learn from; {FEWEST_LABELLED} are the fewest"
        if self.models:
            return f"{clips}: below {SMALL_BELOW}, fit_base --models {SMALL} is advised"
        return f"{clips}: fit_base without --models trains the models of the paper"

    @property
    def stacking_line(self) -> str:
        """Whether there are too few clips to fit a stack on; "" if not."""
        if self.stacking >= MIN_ROWS:
            return ""
        clips = _count(self.stacking, "rated clip")
        line = f"{clips} to fit a stack on: it needs at least {MIN_ROWS}; add clips"
        if not self.folds:
            line += ", or fit it on predictions of the training split (--folds 5)"
        return line

    @property
    def judged_by_line(self) -> str:
        """Which clips judge a stack, where it is not the test split."""
        if not self.judged_by:
            return ""
        return f"no rated test clip: a stack is judged by {self.judged_by}"

    @property
    def judging_lines(self) -> list[str]:
        """What intervals to expect over clips and over systems."""
        lines = []
        for judging in self.judging:
            about = self._about(judging)
            for line in (judging.clip_line, judging.system_line):
                if line:
                    lines.append(f"{about}{line}")
        return lines

    @property
    def clip_lines(self) -> list[str]:
        """What intervals to expect over clips alone."""
        return [
            f"{self._about(judging)}{judging.clip_line}" for judging in self.judging
        ]

    def _about(self, judging: JudgingClips) -> str:
        """The aspects of a line, which are named only where they differ."""
        return f"{', '.join(judging.aspects)}: " if len(self.judging) > 1 else ""

    @property
    def system_lines(self) -> list[str]:
        """What cannot be shown with these systems, and these clips of each."""
        counts = self.clips_of_system
        if not self.are_named:
            return [
                "no systems are named: systems cannot be compared, and clips of one "
                "system pass for independent, which makes intervals too narrow"
            ]
        if len(counts) == 1:
            return ["one rated system: nothing can be said of any other system"]

        single = [name for name, count in counts.items() if count == 1]
        if counts and len(single) == len(counts):
            return [
                "one clip per system: a system cannot be told from its clip, and "
                "figures over systems repeat those over clips"
            ]
        if single:
            return [
                f"systems with one rated clip: {some(single)}; their scores are those "
                "of single clips"
            ]
        return []

    @property
    def lines(self) -> list[str]:
        """All of it, a sentence each."""
        lines = [
            self.models_line,
            f"fit_base will make the splits: {self.made}" if self.made else "",
            self.stacking_line,
            self.judged_by_line,
            *self.judging_lines,
            *self.system_lines,
        ]
        return [line for line in lines if line]

    def to_json(self) -> dict[str, Any]:
        """All of it, for programs."""
        return {
            "training_clips": self.training,
            "models": self.models or "paper",
            "stacking_clips": self.stacking,
            "judged_by": self.judged_by or "the test split",
            "judging": [judging.to_json() for judging in self.judging],
            "lines": self.lines,
        }


def _fewest_rated(labels: pd.DataFrame) -> int:
    """Rated clips of the aspect with the fewest of them."""
    return int(labels.notna().sum().min())


def _judges(
    labels: pd.DataFrame, split: pd.Series, folds: bool
) -> tuple[pd.Series, float, str]:
    """Which clips judge a stack, what share of them does, and what to call them."""
    is_rated = labels.notna().any(axis=1)
    if (is_rated & (split == "test")).any():
        return split == "test", 1.0, ""
    # Out of fold, no fit has seen the dev split.
    if folds and (is_rated & (split == "dev")).any():
        return split == "dev", 1.0, "the dev split"
    name = "train" if folds else "dev"
    return (
        split == name,
        VALIDATION_SHARE,
        f"{VALIDATION_SHARE:.0%} of the {name} split",
    )


def _judging_clips(
    labels: pd.DataFrame, systems: pd.Series, share: float
) -> tuple[JudgingClips, ...]:
    """Numbers of judging clips and systems; aspects with the same ones together."""
    aspects_of: dict[tuple[int, int], list[str]] = {}
    for aspect in labels:
        is_rated = labels[aspect].notna()
        n_clips = math.floor(share * is_rated.sum())
        named = systems[is_rated & (systems != "")]
        # A share of the clips cannot have more systems than clips.
        n_systems = min(int(named.nunique()), n_clips)
        aspects_of.setdefault((n_clips, n_systems), []).append(str(aspect))
    return tuple(
        JudgingClips(tuple(aspects), clips=n_clips, systems=n_systems)
        for (n_clips, n_systems), aspects in aspects_of.items()
    )


def _srcc_text(n: int) -> str:
    """Intervals of plausible correlations on n points."""
    parts = []
    for srcc in PLAUSIBLE_SRCC:
        interval = expected_srcc_interval(srcc, n)
        assert interval is not None
        parts.append(f"[{interval.low:.2f}, {interval.high:.2f}] for {srcc:.2f}")
    return f"a measured SRCC has the 95 % interval {' or '.join(parts)}"


def _srcc_records(n: int) -> list[dict[str, Any]] | None:
    """As `_srcc_text`, for programs; None where no interval can be given."""
    records = []
    for srcc in PLAUSIBLE_SRCC:
        interval = expected_srcc_interval(srcc, n)
        if interval is None:
            return None
        records.append(
            {
                "srcc": srcc,
                "interval": _ends(interval),
                "half_width": interval.half_width,
            }
        )
    return records


def _ends(interval: Interval | None) -> list[float] | None:
    return None if interval is None else [interval.low, interval.high]


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'s' * (n != 1)}"
