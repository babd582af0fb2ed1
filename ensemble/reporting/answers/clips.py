"""Which clips are best and worst, to be heard, and which are to be looked at."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator, Sequence

import numpy as np
import pandas as pd

from ensemble.reporting.answers.answer_content import AnswerContent
from ensemble.reporting.answers.words import counted, figure
from ensemble.reporting.section import (
    DECIDE,
    Cell,
    Paragraph,
    Player,
    Section,
    Strip,
    TextTable,
)
from meta.score_columns import OUT_OF_RANGE, STACK, bin_columns

MOST_CLIPS = 5
"""Clips in each list of the best and the worst."""
MOST_FLAGGED = 50
"""Clips that are to be looked at; more are counted."""
REMARKS = {
    "silent": "silent: its score is about nothing that is heard",
    "silent_channel": "silent in the channel that is read: its score is about nothing",
    "partly_silent": "silent for half of its length or more",
    "clipped": "clipped: distorted by too high a level",
    "cancelling": "left and right cancel each other when mixed",
    "unreadable": "its audio cannot be read any more",
    "narrow_band": "dull: high frequencies are missing",
    "cut": "longer than what is scored of it",
    "no_prompt": "no prompt: not scored for how well it fits one",
    OUT_OF_RANGE: "unlike the clips that the stack learnt from (out of range)",
}
"""Flags in words for anyone; an unknown flag stands for itself."""
COMMON = 0.5
"""What more than this share of the clips have is said of all, not of each."""
UNHEARD = ("silent", "silent_channel", "unreadable")
"""Flags of clips that are neither good nor bad: nothing is heard."""


def clips_sections(content: AnswerContent) -> Iterator[Section]:
    """Best and worst clips per aspect, largest errors, and clips to look at."""
    for aspect in content.aspects:
        yield from _extremes(content, aspect)
        yield from _errors(content, aspect)
    yield from _to_look_at(content)


def _extremes(content: AnswerContent, aspect: str) -> Iterator[Section]:
    heard = [set(flags).isdisjoint(UNHEARD) for flags in content.flags]
    scores = content.frame[aspect].to_numpy(dtype=float)
    rows = np.flatnonzero(np.isfinite(scores) & np.array(heard, dtype=bool))
    if not len(rows):
        return
    ranked = rows[np.argsort(-scores[rows], kind="stable")]
    text = (
        "The distribution shows how the stack expects ratings to fall; the mark is the "
        "score."
    )
    if content.distributions is None:
        text = "The best first."
    if len(ranked) <= 2 * MOST_CLIPS:
        table = _clip_table(content, aspect, ranked)
        yield Section(
            title=f"Clips by {aspect}",
            paragraphs=(Paragraph(text),),
            tables=(table,),
            reader=DECIDE,
        )
        return
    best = _clip_table(content, aspect, ranked[:MOST_CLIPS])
    worst = _clip_table(content, aspect, ranked[::-1][:MOST_CLIPS])
    n = counted(len(ranked), "clip")
    yield Section(
        title=f"Best clips by {aspect}",
        paragraphs=(Paragraph(f"The {MOST_CLIPS} highest scores of {n}. {text}"),),
        tables=(best,),
        reader=DECIDE,
    )
    yield Section(
        title=f"Worst clips by {aspect}",
        paragraphs=(Paragraph(f"The {MOST_CLIPS} lowest scores of {n}."),),
        tables=(worst,),
        reader=DECIDE,
    )


def _errors(content: AnswerContent, aspect: str) -> Iterator[Section]:
    """The clips whose prediction was farthest from what people rated."""
    if f"{aspect}_true" not in content.frame or content.background.is_rated:
        return
    scores = content.frame[aspect].to_numpy(dtype=float)
    errors = np.abs(scores - content.frame[f"{aspect}_true"].to_numpy(dtype=float))
    known = np.flatnonzero(np.isfinite(errors))
    if len(known) <= MOST_CLIPS:
        return
    largest = known[np.argsort(-errors[known], kind="stable")][:MOST_CLIPS]
    typical = float(np.median(errors[known]))
    text = (
        f"Where the stack was farthest from people: half of all {len(known):,} "
        f"predictions are within {typical:.2f} points of the rating."
    )
    yield Section(
        title=f"Largest errors: {aspect}",
        paragraphs=(Paragraph(text),),
        tables=(_clip_table(content, aspect, largest),),
        reader=DECIDE,
    )


def _clip_table(
    content: AnswerContent, aspect: str, rows: Sequence[int] | np.ndarray
) -> TextTable:
    """Some clips with their scores, their audio and what is said of them."""
    shown = content.frame.iloc[list(rows)]
    strips = _strips(content, aspect, shown)
    has_ratings = f"{aspect}_true" in shown and not content.background.is_rated
    has_audio = "audio" in shown and shown["audio"].fillna("").astype(bool).any()
    has_system = len(content.systems) > 0
    has_prompt = len(content.prompts) > 1
    common = _common(content)
    remarks = [_remarks(content, row, common) for row in rows]

    titles = ["clip"]
    titles += ["system"] if has_system else []
    titles += [_score_title(content, aspect)]
    titles += ["people's rating"] if has_ratings else []
    titles += ["distribution"] if strips else []
    titles += ["listen"] if has_audio else []
    titles += ["prompt"] if has_prompt else []
    titles += ["remark"] if any(remarks) else []

    cells_of_rows = []
    for clip, remark in zip(shown.to_dict("records"), remarks, strict=True):
        name = str(clip["clip_id"])
        cells: list[Cell] = [name]
        cells += [_text(clip, "system_id")] if has_system else []
        cells += [_score(clip, aspect)]
        cells += [figure(clip[f"{aspect}_true"])] if has_ratings else []
        cells += [strips.get(name, "-")] if strips else []
        audio = _text(clip, "audio")
        cells += [Player(name, audio) if audio else "-"] if has_audio else []
        cells += [_text(clip, "prompt")] if has_prompt else []
        cells += [remark] if any(remarks) else []
        cells_of_rows.append(cells)
    return TextTable.plain(titles, cells_of_rows)


def _score_title(content: AnswerContent, aspect: str) -> str:
    if content.background.is_rated:
        return "rating"
    if f"{aspect}_low" not in content.frame:
        return "predicted"
    return f"predicted [{100 * content.level:g} %]"


def _score(clip: dict[str, float], aspect: str) -> str:
    low = clip.get(f"{aspect}_low", math.nan)
    high = clip.get(f"{aspect}_high", math.nan)
    return figure(clip[aspect], low, high)


def _text(clip: dict[str, object], column: str) -> str:
    value = clip.get(column, "")
    # What is missing in a table is a NaN, a None or a NA.
    return "" if pd.isna(value) else str(value)


def _strips(
    content: AnswerContent, aspect: str, shown: pd.DataFrame
) -> dict[str, Strip]:
    """Clip id to the distribution of its predicted ratings, where it is known."""
    distributions = content.distributions
    if distributions is None or f"{aspect}_low" not in shown:
        return {}
    frame = distributions.frame
    is_wanted = frame["clip_id"].isin(shown["clip_id"]) & (frame["model"] == STACK)
    bins = bin_columns(aspect, distributions.bins.count)
    scale = content.scale(aspect)
    of_clip = frame[is_wanted].set_index("clip_id")
    strips = {}
    for clip in shown.to_dict("records"):
        name = str(clip["clip_id"])
        if name not in of_clip.index or pd.isna(clip[aspect]):
            continue
        strips[name] = Strip(
            probabilities=tuple(of_clip.loc[name, bins].to_numpy(dtype=float)),
            mean=clip[aspect],
            low=clip[f"{aspect}_low"],
            high=clip[f"{aspect}_high"],
            scale_low=scale.low,
            scale_high=scale.high,
            level=content.level,
        )
    return strips


# ---- clips to look at


def _remarks(content: AnswerContent, row: int, common: Collection[str]) -> str:
    """What must be known of a clip before its score is believed; "" for nothing.

    Flags in `common` are left out.
    """
    flags = list(content.flags[row])
    if content.out_of_range[row] and OUT_OF_RANGE not in flags:
        flags.append(OUT_OF_RANGE)
    return "; ".join(REMARKS.get(flag, flag) for flag in flags if flag not in common)


def _common(content: AnswerContent) -> list[str]:
    """Flags that so many clips have that they tell none of them apart."""
    if len(content) < 2 * MOST_CLIPS:
        return []
    counts = Counter(flag for flags in content.flags for flag in flags)
    return [flag for flag, n in counts.items() if n > COMMON * len(content)]


def _to_look_at(content: AnswerContent) -> Iterator[Section]:
    """Clips without a score, silent ones and others that are marked, with reasons."""
    named = content.frame["clip_id"].astype(str).tolist()
    audio = [_text(clip, "audio") for clip in content.frame.to_dict("records")]
    reasons = [(clip, f"no score: {why}", "") for clip, why in content.unscored.items()]
    common_flags = _common(content)
    for row, name in enumerate(named):
        remark = _remarks(content, row, common_flags)
        if remark:
            reasons.append((name, remark, audio[row]))
    common = [REMARKS.get(flag, flag) for flag in common_flags]
    if not reasons and not common:
        return
    has_audio = any(path for _, _, path in reasons[:MOST_FLAGGED])
    rows = []
    for name, why, path in reasons[:MOST_FLAGGED]:
        cells: list[Cell] = [name, why]
        cells += [Player(name, path) if path else "-"] if has_audio else []
        rows.append(cells)
    text = (
        "Listen to these before you believe their scores, or find out why they have "
        "none."
    )
    n_more = len(reasons) - len(rows)
    if n_more:
        text += f" {counted(n_more, 'more clip')} are in the table of scores."
    titles = ["clip", "why", "listen"] if has_audio else ["clip", "why"]
    of_most = [
        Paragraph(f"⚠ Most of these clips: {words}.", kind="warning")
        for words in common
    ]
    of_some = [Paragraph(text)] if reasons else []
    yield Section(
        title=f"Clips to look at: {len(reasons):,}" if reasons else "About most clips",
        paragraphs=(*of_most, *of_some),
        tables=(TextTable.plain(titles, rows),) if reasons else (),
        reader=DECIDE,
    )
