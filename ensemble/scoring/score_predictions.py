"""Score clips from files of predictions: a fitted stack, without any audio.

A clip that one base model lacks is not scored as if it had been predicted: it is set
aside, or filled from the other models where the stack was fitted to do so.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from base_models.errors import UsageError
from ensemble.estimator.stacked_mos import StackedMOS
from ensemble.formats import Distributions, Scores
from ensemble.prediction_files.predictor_scales import DeclaredScales
from ensemble.prediction_files.stack_inputs import (
    StackInputs,
    read_new_stack_inputs,
)
from ensemble.scoring.cross_fitted_stack import (
    cross_fitted,
    systems_of_predictions,
)
from ensemble.scoring.every_row import (
    every_row,
    kept_columns,
    without_prediction,
)
from meta.score_columns import (
    FLAGS,
    OUT_OF_RANGE,
    distribution_table,
    scored_table,
)
from meta.score_flags import with_flag


def read_new_predictions(
    stack: StackedMOS,
    files: Sequence[Path | str],
    declared: DeclaredScales | None = None,
) -> StackInputs:
    """What the files predict, of all clips that they are about.

    Parameters
    ----------
    stack, files, declared
        As of `score_predictions`.
    """
    layout = stack.final_estimator_.layout_
    return read_new_stack_inputs(
        files,
        layout.models,
        stack.aspects_,
        bins=layout.bins,
        scales=stack.scales_,
        declared=declared,
    )


def score_predictions(
    stack: StackedMOS,
    files: Sequence[Path | str],
    level: float = 0.9,
    distributions: str = "none",
    declared: DeclaredScales | None = None,
    *,
    cross_fit: bool = False,
    systems: str | None = None,
    new: StackInputs | None = None,
) -> tuple[Scores, tuple[str, ...]]:
    """Score every clip that the files predict, in their order.

    Parameters
    ----------
    stack : StackedMOS
        Fitted, with or without base models of its own.
    files : sequence of paths
        Predictions of its base models, see
        `ensemble.prediction_files.stack_inputs.read_new_stack_inputs`.
    level : float
        Coverage of the interval.
    distributions : str
        Whose to add, one of `meta.score_columns.DISTRIBUTIONS`.
    declared : DeclaredScales, optional
        Scales of base models, where they are not those that the stack remembers.
    cross_fit : bool
        Whether each clip is predicted by learners that had no rating of its system, see
        `meta.cross_fit`.
    systems : str, optional
        A clip table that names the systems for that; by default the first of `files`.
    new : StackInputs, optional
        What `read_new_predictions` has read of the files, where it was read already.

    Returns
    -------
    scores : Scores
        As of `ensemble.scoring.score_clips.score_clips`; ``audio`` is empty.
    notes : tuple of str
        What was left out or moved, for people.

    Raises
    ------
    UsageError
        When a base model, or its prediction for every clip, is missing and the stack
        does not fill gaps.
    """
    regressor = stack.final_estimator_
    layout = regressor.layout_
    new = new or read_new_predictions(stack, files, declared)
    tables = layout.align(new.tables, regressor.accepts_missing)
    origins = [f"reads {file.text}" for file in new.origins if file.is_choice]
    notes = (*origins, *new.notes)
    if cross_fit:
        named = systems_of_predictions(new.clips, list(map(str, files)), systems)
        stack, more = cross_fitted(stack, named)
        regressor = stack.final_estimator_
        notes = (*notes, *more)

    # Where clips have audio files, these stand here; predictions come without any.
    given = new.clips.assign(audio="")
    refused = {}
    if not regressor.accepts_missing:
        refused = without_prediction(tables, given["clip_id"].tolist())
    clips = given.drop(index=list(refused)).reset_index(drop=True)
    if clips.empty:
        raise UsageError(
            f"No clip has a prediction of every model: {refused[0].reason} for "
            f"'{refused[0].clip_id}'. Predict the same clips with all of them."
        )
    frame = scored_table(regressor, tables, clips, aspects=stack.aspects_, level=level)
    frame = stack.scales_.scored_table(frame, stack.aspects_)
    bins_of = None
    if distributions != "none":
        table = distribution_table(
            regressor,
            tables,
            clips["clip_id"].tolist(),
            aspects=stack.aspects_,
            wanted=distributions,
        )
        bins_of = Distributions(
            stack.scales_.scored_table(table, stack.aspects_),
            stack.aspects_,
            layout.bins,
            scales=stack.scales_.labels,
        )
    check = regressor.check_range(tables, clips["clip_id"].tolist())
    is_marked = np.zeros(len(frame), dtype=bool)
    if check is not None:
        is_marked = check.out_of_range
    frame[FLAGS] = with_flag([""] * len(frame), OUT_OF_RANGE, is_marked)
    scores = Scores(
        every_row(kept_columns(given), frame, refused),
        stack.aspects_,
        left_out=(),
        set_aside=tuple(refused.values()),
        distributions=bins_of,
        scales=stack.scales_.of_scores(stack.aspects_),
        check=check,
    )
    return scores, notes
