"""What a stack needs beside audio: predictions of models, or learners of folds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jsonargparse import Namespace

from base_models.errors import UsageError
from ensemble.cli.shared.exit_codes import say_notes

if TYPE_CHECKING:
    import pandas as pd

    from base_models.predictions import PredictionTable
    from ensemble.estimator.stacked_mos import StackedMOS


def read_predictions(
    options: Namespace, stack: StackedMOS, clips: pd.DataFrame
) -> tuple[PredictionTable, ...]:
    """What the stack's models without weights predict for the clips."""
    if not options.predictions:
        return ()
    from ensemble.prediction_files.predictor_scales import DeclaredScales
    from ensemble.prediction_files.stack_inputs import read_new_stack_inputs

    own = {name for name, _ in stack.estimators_}
    layout = stack.final_estimator_.layout_
    others = [name for name in layout.models if name not in own]
    if not others:
        raise UsageError(
            "This stack predicts clips by itself; leave --predictions or the clips out."
        )
    new = read_new_stack_inputs(
        options.predictions,
        others,
        stack.aspects_,
        bins=layout.bins,
        clip_ids=clips["clip_id"].astype(str).tolist(),
        scales=stack.scales_,
        declared=DeclaredScales.read(options.predictor_scales),
    )
    say_notes(new.notes)
    return new.tables


def cross_fitted_stack(
    stack: StackedMOS, clips: pd.DataFrame
) -> tuple[StackedMOS, pd.DataFrame]:
    """The stack that predicts by the learners of its folds, and the clips with ids."""
    from base_models.encoders.embed import clip_ids
    from ensemble.scoring.cross_fitted_stack import cross_fitted

    named = clips.assign(clip_id=clip_ids(clips))
    if "system_id" not in named:
        named["system_id"] = ""
    crossed, notes = cross_fitted(stack, named)
    say_notes(notes)
    return crossed, named
