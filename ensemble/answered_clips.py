"""The clips of compared systems in the words of a report."""

from __future__ import annotations

from dataclasses import replace

from ensemble.formats import Distributions, Scores
from ensemble.rate_less import RateLessData
from ensemble.rated_systems import ONE_SYSTEM
from ensemble.reporting.answers.answer_content import AnswerContent, Background
from ensemble.reporting.answers.words import counted
from meta.comparison.systems.system_comparison import SystemComparison
from meta.score_columns import FLAGS, OUT_OF_RANGE


def answered_clips(
    data: RateLessData,
    comparison: SystemComparison,
    *,
    scores: Scores | None = None,
    level: float = 0.9,
    background: Background | None = None,
) -> AnswerContent:
    """What the sections of a report are made from.

    Parameters
    ----------
    data : RateLessData
        The clips that were compared, with their ratings.
    comparison : SystemComparison
        Of their systems.
    scores : Scores, or None
        Of these clips, where a stack has scored them: they say what to mind.
    level : float
        Coverage of the intervals of single clips.
    background : Background, or None
        Of the stack, where it is known.
    """
    clips = data.clips
    frame = clips[["clip_id", "system_id", "prompt", "audio"]].copy()
    # A name that stands for none is not shown as one.
    frame["system_id"] = frame["system_id"].where(frame["system_id"] != ONE_SYSTEM, "")
    for aspect in data.aspects:
        for end in ("", "_low", "_high"):
            if f"pred_{aspect}{end}" in clips:
                frame[f"{aspect}{end}"] = clips[f"pred_{aspect}{end}"]
        if aspect in data.ratings and data.ratings[aspect].notna().any():
            means = data.ratings.groupby("clip_id")[aspect].mean()
            frame[f"{aspect}_true"] = frame["clip_id"].map(means)

    known_of = background or Background()
    notes = []
    if data.learnt_from:
        left_out = counted(len(data.learnt_from), "clip")
        notes.append(
            f"Anything about {left_out} that the stack has learnt from: they were left "
            "out, as it knows how people rated them."
        )
    unscored = dict.fromkeys(data.not_predicted, "no score in the table")
    distributions: Distributions | None = None
    if scores is not None:
        noted = [name for name in (OUT_OF_RANGE, FLAGS) if name in scores.frame]
        known = scores.usable.set_index("clip_id")[noted]
        frame = frame.join(known, on="clip_id")
        unscored |= {clip.clip_id: clip.reason for clip in scores.set_aside}
        distributions = scores.distributions
    return AnswerContent(
        frame=frame.reset_index(drop=True),
        aspects=data.aspects,
        unscored=unscored,
        level=level,
        scales=data.scales,
        left_out=() if scores is None else scores.left_out,
        distributions=distributions,
        comparison=comparison,
        background=replace(known_of, notes=(*known_of.notes, *notes)),
    )
