"""A stack of base models made ready to read clips: for scoring and explaining.

Base models may share their encoders. Each pair of encoders runs once over the clips,
whatever the number of models.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from base_models.clip_model import ClipModel
from base_models.encoders.embed import (
    PLACEHOLDER,
    clip_ids,
)
from base_models.encoders.store import EmbeddingStore
from base_models.errors import UsageError
from base_models.networks.batches import EmbeddedClips
from base_models.predictions import PredictionTable
from ensemble.estimator.predict_base_models import reads_clips
from ensemble.estimator.predicting.usable_clips import signatures
from ensemble.estimator.predicting.usable_clips import usable as usable
from ensemble.estimator.stacked_mos import StackedMOS


def with_predictions(
    stack: StackedMOS, tables: Sequence[PredictionTable]
) -> StackedMOS:
    """A copy of a stack with predictions of models that it holds no weights of.

    Parameters
    ----------
    stack : StackedMOS
    tables : sequence of PredictionTable
        By clip id, each of one such model.
    """
    models = dict(stack.estimators_)
    models.update((table.model, table) for table in tables)
    stack = copy.copy(stack)
    stack.estimators_ = list(models.items())
    return stack


def stored_tables(stack: StackedMOS) -> list[PredictionTable]:
    """The base models of a stack that are predictions, and have no weights."""
    models = [model for _, model in stack.estimators_]
    return [model for model in models if isinstance(model, PredictionTable)]


def prepared(
    stack: StackedMOS, clips: pd.DataFrame, store: EmbeddingStore
) -> tuple[StackedMOS, pd.DataFrame]:
    """Let a stack read from a store, and complete the table of clips.

    Returns
    -------
    stack : StackedMOS
        A copy whose base models read from `store`; the caller's own is not touched.
    clips : DataFrame
        With ids, and with prompts as text, "" where there is none.

    Raises
    ------
    UsageError
        When a base model neither reads clips nor holds predictions.
    """
    for name, model in stack.estimators_:
        if not (reads_clips(model) or isinstance(model, PredictionTable)):
            raise UsageError(
                f"Base model '{name}' does not read clips; score such a stack with its "
                "own predict."
            )
    # Shallow copies: weights are shared, and only the store is another one.
    stack = copy.copy(stack)
    stack.estimators_ = [(name, copy.copy(model)) for name, model in stack.estimators_]
    for model in clip_models(stack):
        model.store = store

    prompts: pd.Series | str = ""
    if "prompt" in clips:
        given = clips["prompt"]
        # As objects first: a column of None alone would not take text.
        prompts = given.astype(object).where(given.notna(), "").astype(str)
    return stack, clips.assign(clip_id=clip_ids(clips), prompt=prompts)


def clip_models(stack: StackedMOS) -> list[ClipModel[Any]]:
    """The base models of a prepared stack that read clips."""
    return [model for _, model in stack.estimators_ if reads_clips(model)]


def with_placeholder(clips: pd.DataFrame) -> pd.DataFrame:
    """The same clips, with `PLACEHOLDER` where the prompt is blank."""
    has_prompt = clips["prompt"].str.strip() != ""
    return clips.assign(prompt=clips["prompt"].where(has_prompt, PLACEHOLDER))


def clip_chunks(clips: pd.DataFrame, size: int) -> Iterator[pd.DataFrame]:
    """Divide a table of clips, so that memory does not grow with its length.

    Each chunk has at most `size` rows and a RangeIndex.
    """
    for start in range(0, len(clips), size):
        yield clips.iloc[start : start + size].reset_index(drop=True)


def embedded_once(
    stack: StackedMOS, clips: pd.DataFrame
) -> Iterator[tuple[str, ClipModel[Any], EmbeddedClips]]:
    """Yield every base model over encoders with the clips as its encoders embed them.

    Models with the same encoders share one reading of the store.
    """
    embedded_by: dict[tuple[str, str], EmbeddedClips] = {}
    for name, model in stack.estimators_:
        if not reads_clips(model):
            continue
        key = signatures(model.encoders())
        if key not in embedded_by:
            _, embedded_by[key] = model.embed(clips)
        yield name, model, embedded_by[key]
