"""What the base models of a fitted stack predict for a table of rated clips."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from base_models.clips.read_clips import SetAside
from base_models.encoders.store import EmbeddingStore
from base_models.errors import UsageError, some
from base_models.predictions import PredictionTable
from ensemble.estimator.stacked_mos import StackedMOS
from ensemble.scoring.prepared_stack import (
    clip_models,
    prepared,
    usable,
    with_placeholder,
)


@dataclass(frozen=True, eq=False)
class BasePredictions:
    """Clips with the predictions of each base model.

    Parameters
    ----------
    clips : the clips that can be used, in the order in which they were given; labels of
        aspects that are judged against a prompt are NaN where there is none
    tables : one per base model, in the stack's order, over these clips
    set_aside : the other clips
    without_prompt : per aspect that is left out for clips without a prompt: their ids
    """

    clips: pd.DataFrame
    tables: tuple[PredictionTable, ...]
    set_aside: tuple[SetAside, ...]
    without_prompt: Mapping[str, tuple[str, ...]]


def predict_bases(
    stack: StackedMOS,
    clips: pd.DataFrame,
    store: EmbeddingStore,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> BasePredictions:
    """Embed clips and predict them with every base model.

    Parameters
    ----------
    stack : fitted, of base models over encoders
    clips : table with ``clip_id``, ``audio``, any aspects of the stack and, for those
        that are judged against it, ``prompt``
    store : where embeddings are kept
    on_progress : called as ``on_progress(encoder, done, total)``

    Raises
    ------
    UsageError
        when a base model does not read clips or kept no files, or no clip can be used.
    """
    if not stack.estimators_:
        raise UsageError(
            "This stack was fitted on predictions alone and has no base models to "
            "score clips with; give what they predict with --predictions."
        )
    stack, clips = prepared(stack, clips, store)
    own = {name for name, _ in stack.estimators_}
    absent = [name for name in stack.final_estimator_.layout_.models if name not in own]
    if absent:
        raise UsageError(
            f"The stack holds no weights of {some(absent)}, so that it cannot be "
            "adapted to clips by this command; StackedMOS.adapt takes tables of what "
            "all its models predict."
        )
    has_prompt = clips["prompt"].str.strip() != ""
    without_prompt = {}
    for aspect in sorted(_judged_by_text(stack) & set(clips.columns)):
        is_left_out = clips[aspect].notna() & ~has_prompt
        if is_left_out.any():
            without_prompt[aspect] = tuple(clips["clip_id"][is_left_out])
        clips[aspect] = clips[aspect].where(has_prompt, np.nan)

    # The text branch takes tokens even where its output is not used.
    clips = with_placeholder(clips)
    rows, set_aside = usable(clip_models(stack), clips, store, on_progress)
    if not rows:
        raise UsageError(
            f"None of the {len(clips)} clips can be used; the first: "
            f"{set_aside[0].clip_id}: {set_aside[0].reason}."
        )
    kept = clips.iloc[rows].reset_index(drop=True)
    tables = stack.prediction_tables(kept)
    return BasePredictions(
        kept,
        tables=tuple(tables),
        set_aside=tuple(set_aside),
        without_prompt=without_prompt,
    )


def _judged_by_text(stack: StackedMOS) -> set[str]:
    return {
        aspect
        for model in clip_models(stack)
        for aspect, needs_text in zip(model.aspects_, model.needs_text_, strict=True)
        if needs_text
    }
