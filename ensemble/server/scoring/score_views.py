"""What the pages show of scores: text, distributions, the difference of two clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from base_models.clip_status import OK
from base_models.scales import Scale
from ensemble.reporting.page_parts.strip_svg import strip_svg
from ensemble.reporting.section import Strip
from ensemble.scoring.pairs.compare_pairs import distributions_of, factors_of
from ensemble.server.scoring.cures import cure_of
from ensemble.server.scoring.scorer import ScoredUpload
from meta.comparison.preference import preference
from meta.regressor import MetaRegressor
from meta.score_columns import FLAGS, REASON, STATUS

_PLAYED = {
    b"RIFF": "audio/wav",
    b"fLaC": "audio/flac",
    b"OggS": "audio/ogg",
    b"ID3": "audio/mpeg",
    b"\xff\xfb": "audio/mpeg",
    b"\xff\xf3": "audio/mpeg",
    b"\xff\xf2": "audio/mpeg",
}
"""First bytes of what browsers play, and what it is called."""


_GUESS = 0.6
"""Chance below which nobody should choose by it."""


@dataclass(frozen=True)
class AspectView:
    """The score of a clip for an aspect, as a page shows it.

    Parameters
    ----------
    name : str
    strip : Strip or None
        The distribution around the score; None where there is no score.
    disagreement : float
        Standard deviation of single raters; NaN where it is not predicted.
    """

    name: str
    strip: Strip | None
    disagreement: float = float("nan")

    @property
    def picture(self) -> Markup:
        """The distribution as SVG."""
        return strip_svg(self.strip) if self.strip is not None else Markup("")

    @property
    def raters(self) -> str:
        """The disagreement of raters in words, "" where it is unknown."""
        if np.isnan(self.disagreement):
            return ""
        return f"single raters differ by ±{self.disagreement:.2f}"


@dataclass(frozen=True)
class ClipView:
    """A clip, as a page shows it.

    Parameters
    ----------
    number : int
        In the order of the upload, from 0.
    name, clip_id, prompt, system : str
    reason : str
        Why there are no scores; "" where there are.
    flags : tuple of str
        What to mind about the scores.
    facts : str
        Length, rate and channels.
    aspects : tuple of AspectView
    pictures : int
        How many pictures there are of what the scores rest on.
    is_played : bool
        Whether browsers play such files.
    """

    number: int
    name: str
    clip_id: str
    prompt: str
    system: str
    reason: str
    flags: tuple[str, ...]
    facts: str
    aspects: tuple[AspectView, ...]
    pictures: int
    is_played: bool


@dataclass(frozen=True)
class DifferenceView:
    """How two clips differ in an aspect.

    Parameters
    ----------
    name : str
    difference : float
        Score of the second minus that of the first.
    preferred : float
        Probability that listeners rate the second higher.
    """

    name: str
    difference: float
    preferred: float

    @property
    def words(self) -> str:
        """The difference as a sentence."""
        if np.isnan(self.difference):
            return "One of the two has no score, so nothing can be said."
        size = abs(self.difference)
        if f"{size:.2f}" == "0.00":
            return "The two clips have equal scores."
        better = "B" if self.difference > 0 else "A"
        share = self.preferred if better == "B" else 1 - self.preferred
        said = (
            f"{better} scores {size:.2f} higher; the chance that listeners rate it "
            f"higher is {100 * share:.0f} %"
        )
        return (
            f"{said}, little more than a coin says." if share < _GUESS else f"{said}."
        )


def clip_views(scored: ScoredUpload) -> list[ClipView]:
    """The clips of an upload, in its order."""
    distributions = _distributions(scored)
    views = []
    rows = scored.scores.frame.to_dict("records")
    for number, (row, clip) in enumerate(zip(rows, scored.request.clips, strict=True)):
        is_scored = row[STATUS] == OK
        aspects = tuple(
            _aspect_view(name, row, scored, bins=distributions[number, k])
            for k, name in enumerate(scored.scores.aspects)
        )
        views.append(
            ClipView(
                number,
                clip.name,
                clip.clip_id,
                prompt=scored.request.facts.prompts[number],
                system=scored.request.facts.systems[number],
                reason="" if is_scored else _why(row, clip.name),
                flags=tuple(
                    flag.replace("_", " ") for flag in str(row[FLAGS] or "").split()
                ),
                facts=_facts(row) if is_scored else "",
                aspects=aspects if is_scored else (),
                pictures=len(scored.pictures.get(clip.clip_id, ())),
                is_played=media_type(clip.path) != "",
            )
        )
    return views


def differences(
    scored: ScoredUpload, regressor: MetaRegressor, first: int, second: int
) -> list[DifferenceView]:
    """How the clip `second` differs from `first`, aspect by aspect.

    Parameters
    ----------
    scored : ScoredUpload
    regressor : MetaRegressor
        Of the stack; it knows how alike the errors of two clips are.
    first, second : int
        Numbers of clips.
    """
    distributions = _distributions(scored)
    facts = scored.request.facts
    same_system = np.array([_is_one(facts.systems, first, second)])
    same_prompt = np.array([_is_one(facts.prompts, first, second)])
    frame = scored.scores.frame
    views = []
    for k, name in enumerate(scored.scores.aspects):
        change = float(frame[name].iloc[second]) - float(frame[name].iloc[first])
        factors = factors_of(regressor, name, same_system, same_prompt=same_prompt)
        share = preference(
            distributions[[second], k], distributions[[first], k], factors
        )
        views.append(DifferenceView(name, change, float(share[0])))
    return views


def _is_one(names: Sequence[str], first: int, second: int) -> bool:
    """Whether two clips have a name in common; two without one have nothing."""
    return names[first] != "" and names[first] == names[second]


def media_type(path: Path) -> str:
    """What browsers call such a file; "" where they do not play it."""
    with path.open("rb") as file:
        head = file.read(16)
    return next((kind for magic, kind in _PLAYED.items() if head.startswith(magic)), "")


def _distributions(scored: ScoredUpload) -> np.ndarray:
    """Distributions (clips, aspects, bins) of the stack, NaN where there is none."""
    ids = [clip.clip_id for clip in scored.request.clips]
    return distributions_of(scored.scores, ids)


def _aspect_view(
    name: str,
    row: Mapping[str, Any],
    scored: ScoredUpload,
    bins: np.ndarray,
) -> AspectView:
    if not np.isfinite(bins).all() or pd.isna(row[name]):
        return AspectView(name, None)
    scale = scored.scores.scales.get(name, Scale(1, 5))
    strip = Strip(
        tuple(bins.tolist()),
        mean=row[name],
        low=row[f"{name}_low"],
        high=row[f"{name}_high"],
        scale_low=scale.low,
        scale_high=scale.high,
        level=scored.request.level,
    )
    return AspectView(name, strip, float(row.get(f"{name}_sd", float("nan"))))


def _why(row: Mapping[str, Any], name: str) -> str:
    """Why a clip has no scores, and what to do; its name stands above."""
    reason = str(row[REASON]).removeprefix(f"{name}: ").removeprefix(f"'{name}': ")
    return f"{sentence(reason)} {cure_of(str(row[STATUS]))}"


def _facts(row: Mapping[str, Any]) -> str:
    parts = [
        _number(row, "seconds", "{:.1f} s"),
        _number(row, "source_hz", "{:.0f} Hz"),
        _number(row, "channels", "{:.0f} channels").replace("1 channels", "mono"),
    ]
    return ", ".join(part for part in parts if part)


def _number(row: Mapping[str, Any], column: str, words: str) -> str:
    value = row.get(column)
    return "" if value is None or pd.isna(value) else words.format(value)


def sentence(note: str) -> str:
    """A note with a capital letter and a full stop."""
    stop = "" if note.endswith((".", ")", "!")) else "."
    return f"{note[:1].upper()}{note[1:]}{stop}"


def state_words(position: int, done: int, total: int) -> str:
    """Where an upload is in the queue, in words.

    >>> state_words(0, 1, 3)
    'Being scored: 1 of 3 parts of the work are done.'
    >>> state_words(1, 0, 0)
    'One upload is before yours.'
    """
    if position == 1:
        return "One upload is before yours."
    if position > 1:
        return f"{position} uploads are before yours."
    if total:
        return f"Being scored: {done} of {total} parts of the work are done."
    return "Being scored."


def two_chosen(words: Sequence[str], count: int) -> tuple[int, int] | None:
    """Two different clips by the numbers in an address, or None."""
    if len(words) != 2 or not all(
        word.isascii() and word.isdecimal() for word in words
    ):
        return None
    first, second = (int(word[:9]) for word in words)
    is_legal = first != second and first < count and second < count
    return (first, second) if is_legal else None
