"""What a reader of scores has to know of the stack that they are of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from jsonargparse import Namespace

from base_models.errors import some
from ensemble.cli.shared.exit_codes import say, say_more
from ensemble.cli.shared.saved_stacks.windows import say_windows
from ensemble.scoring.demo_note import DEMO_NOTE

if TYPE_CHECKING:
    import pandas as pd

    from ensemble.estimator.stacked_mos import StackedMOS
    from ensemble.formats import Scores
    from ensemble.scoring.score_windows import WindowedScores


def say_disagreement(stack: StackedMOS, scores: Scores) -> None:
    """Say what the columns ``<aspect>_sd`` are worth, where there are any."""
    regressor = stack.final_estimator_
    shown = []
    for aspect, disagreement in zip(
        regressor.aspects_, regressor.disagreements_, strict=True
    ):
        if disagreement is None or aspect not in scores.aspects:
            continue
        shown.append(aspect)
        if not disagreement.is_calibrated:
            say(
                f"note: {aspect}_sd is the plain mean of what "
                f"{some(disagreement.models)} expect; there were too few single "
                "ratings to calibrate it"
            )
    # Measured by fit_meta, on clips that were not fitted on.
    for note in getattr(stack, "disagreement_notes_", ()):
        if note.partition(":")[0] in shown:
            say(f"note: {note}")


def say_systems(stack: StackedMOS, clips: pd.DataFrame, aspects: Sequence[str]) -> None:
    """Say which systems of the clips have intervals of their own."""
    regressor = stack.final_estimator_
    systems = dict.fromkeys(clips["system_id"])
    for aspect in aspects:
        calibration = regressor.calibrations_[regressor.aspects_.index(aspect)]
        known = set() if calibration is None else calibration.own_groups
        own = [system for system in systems if system in known]
        say(
            f"note: {aspect}: {len(own)} of {len(systems)} systems have intervals of "
            f"their own ({some(own) if own else 'none had enough rated clips'})"
        )


def say_about_clips(
    options: Namespace,
    stack: StackedMOS,
    scores: Scores,
    *,
    windowed: WindowedScores | None,
) -> None:
    """Say what scores of clips are worth, and how they were made."""
    from ensemble.scoring.audio_files import length_note
    from meta.score_columns import FLAGS

    if stack.demo_:
        say(DEMO_NOTE)
    scale_note = stack.scales_.note(scores.aspects)
    if scale_note and not options.predictions:
        say(f"note: {scale_note}")
    say_disagreement(stack, scores)
    if scores.left_out:
        left_out = ", ".join(scores.left_out)
        say(f"no prompt: {left_out} left out; pass --prompt, or a table with prompts")
    names = scores.usable[["clip_id", "audio"]]
    for clip, audio in names.itertuples(index=False, name=None):
        say_more(f"{clip}: {audio}")
    if windowed is not None:
        say_windows(windowed)
    elif note := length_note(scores.usable[FLAGS].tolist()):
        say(f"note: {note}")
