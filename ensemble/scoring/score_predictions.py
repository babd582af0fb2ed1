"""Scores from what the base models predicted elsewhere: a fitted stack over files of predictions, without any audio.

The trap: a clip that one model left out must not be scored as if it had been there; it is an error, or filled from the
other models where the stack was fitted to do so.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ensemble.estimator.stacked_mos import StackedMOS
from ensemble.prediction_files.stack_inputs import read_new
from ensemble.scoring.score_clips import Scores, score_tables


def score_predictions(
    stack: StackedMOS, files: Sequence[Path | str], level: float = 0.9
) -> tuple[Scores, tuple[str, ...]]:
    """Score every clip that the files predict, in their order.

    Parameters
    ----------
    stack : a fitted stack, with or without base models of its own
    files : predictions of its base models, see `ensemble.prediction_files.stack_inputs.read_new`
    level : coverage of the interval

    Returns
    -------
    scores : as of `ensemble.scoring.score_clips.score_clips`; ``audio`` is empty
    notes : what was left out or moved, for people

    Raises
    ------
    UsageError
        when a base model, or its prediction for a clip, is missing and the stack does not fill gaps.
    """
    layout = stack.final_estimator_.layout_
    new = read_new(files, layout.models, stack.aspects_, layout.bins)
    tables = layout.align(new.tables, stack.final_estimator_.accepts_missing)
    frame = score_tables(
        stack, tables, new.clips.assign(audio=""), stack.aspects_, level
    )
    return Scores(frame, stack.aspects_, (), ()), new.notes
