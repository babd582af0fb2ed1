"""Score new clips: embed them, predict with every base model, and stack.

Each encoder runs once per clip, whatever the number of base models. What it computed is
stored, so a scoring run that was stopped goes on where it was. Clips that cannot be
used are set aside; the others come back in the order in which they were given. A clip
without a prompt has no score of the aspects that are judged against it.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Sequence

import pandas as pd

from base_models.clips.labels import text_gaps
from base_models.clips.read_clips import SetAside
from base_models.devices import cpu_threads
from base_models.encoders.store import EmbeddingStore
from base_models.errors import UsageError, some
from base_models.predictions import PredictionTable
from ensemble.engine import LOCAL, spread
from ensemble.estimator.predict_base_models import judged_by_prompt
from ensemble.estimator.stacked_mos import StackedMOS
from ensemble.formats import Scores
from ensemble.scoring.prepared_stack import (
    PLACEHOLDER,
    clip_chunks,
    neural_models,
    prepared,
    usable,
)
from ensemble.scoring.stack_source import StackSource, load_stack
from meta.score_columns import score_columns, scored_table, without_scores

CLIPS_PER_CHUNK = 256
"""Clips that are embedded and scored together."""

ScoredChunk = tuple[pd.DataFrame, list[SetAside]]
"""Scores of the usable clips of a chunk, and the clips that are not usable."""


def score_clips(
    stack: StackedMOS,
    clips: pd.DataFrame,
    store: EmbeddingStore,
    level: float = 0.9,
    on_progress: Callable[[str, int, int], None] | None = None,
    engine: str = LOCAL,
    source: StackSource | None = None,
    predictions: Sequence[PredictionTable] = (),
) -> Scores:
    """Score a clip table with a fitted stack of neural base models.

    Parameters
    ----------
    stack : StackedMOS
        Fitted.
    clips : DataFrame of n rows
        With ``clip_id``, ``audio`` and, for aspects judged against it, ``prompt``. When
        no clip has a prompt those aspects are left out; when some have none, they have
        no scores of these aspects (NaN), and where there are no others, they are set
        aside.
    store : EmbeddingStore
        Where embeddings are kept.
    level : float
        Coverage of the interval, see `MetaRegressor.predict_interval`.
    on_progress : callable, optional
        Called as ``on_progress(encoder, done, total)``.
    engine : str
        Where clips are scored, see `ensemble.engine.check_engine`.
    source : StackSource, optional
        Where workers of another engine than the local one find the stack and the store.
    predictions : sequence of PredictionTable
        What the stack's models without weights of their own predict, by clip id. A clip
        that one of them lacks is set aside, unless the stack fills gaps.

    Raises
    ------
    UsageError
        When the level is not between 0 and 1, a base model is not neural, an id is
        given twice, or every aspect needs a prompt and no clip has one.
    """
    if not 0 < level < 1:
        raise UsageError(f"The interval's level must lie between 0 and 1; got {level}.")
    stack, clips = prepared(stack, clips, store)
    kept, left_out = _choose_aspects(stack, clips)
    # The text branch takes tokens even where its output is dropped.
    if left_out:
        clips = clips.assign(prompt=PLACEHOLDER)

    clips, unpredicted = _without_unpredicted(stack, clips, predictions)
    chunks = list(clip_chunks(clips, CLIPS_PER_CHUNK))
    scored: Iterable[ScoredChunk]
    if engine == LOCAL:
        scored = (
            score_chunk(
                stack,
                chunk,
                store,
                kept,
                level=level,
                predictions=predictions,
                on_progress=on_progress,
            )
            for chunk in chunks
        )
    elif source is None:
        raise UsageError(f"Workers of {engine} need a source to read the stack from.")
    else:
        folder = os.getcwd()
        pieces = [
            (source, folder, chunk, kept, level, _part_of(predictions, chunk))
            for chunk in chunks
        ]
        scored = spread(_score_in_worker, pieces, engine, shared=source.embeddings)

    frame, set_aside = _join(scored, kept)
    return Scores(frame, kept, left_out, set_aside=(*unpredicted, *set_aside))


def _without_unpredicted(
    stack: StackedMOS, clips: pd.DataFrame, predictions: Sequence[PredictionTable]
) -> tuple[pd.DataFrame, list[SetAside]]:
    """The clips that every model without weights predicts, and the others set aside.

    Raises
    ------
    UsageError
        When such a model of the stack has no predictions at all.
    """
    regressor = stack.final_estimator_
    # A stack of prediction files alone says by itself that it cannot score clips.
    if regressor.accepts_missing or not stack.estimators_:
        return clips, []
    given = {table.model: set(table.clip_ids) for table in predictions}
    own = {name for name, _ in stack.estimators_}
    others = [name for name in regressor.layout_.models if name not in own]
    absent = [name for name in others if name not in given]
    if absent:
        raise UsageError(
            f"The stack holds no weights of {some(absent)}: pass what it predicts for "
            "these clips (predict_mos FILE... --predictions FILE)."
        )

    set_aside = []
    is_predicted = []
    for clip in clips["clip_id"]:
        lacking = [name for name in others if clip not in given[name]]
        if lacking:
            set_aside.append(SetAside(clip, f"no prediction of {some(lacking)}"))
        is_predicted.append(not lacking)
    return clips[is_predicted].reset_index(drop=True), set_aside


def _part_of(
    predictions: Sequence[PredictionTable], clips: pd.DataFrame
) -> list[PredictionTable]:
    """The part of each table that is about some clips."""
    parts = []
    for table in predictions:
        predicted = set(table.clip_ids)
        parts.append(table.take([id for id in clips["clip_id"] if id in predicted]))
    return parts


def _join(
    scored: Iterable[ScoredChunk], aspects: Sequence[str]
) -> tuple[pd.DataFrame, tuple[SetAside, ...]]:
    """One table of all chunks, in their order, and all clips that were set aside."""
    frames = []
    set_aside: list[SetAside] = []
    for frame, unusable in scored:
        set_aside += unusable
        # An empty frame has none of the columns and would spoil their types.
        if len(frame):
            frames.append(frame)
    if frames:
        return pd.concat(frames, ignore_index=True), tuple(set_aside)

    # Without any usable clip the table is empty, but it has its columns.
    columns = ["clip_id", "audio", *score_columns(aspects)]
    return pd.DataFrame(columns=columns), tuple(set_aside)


def _choose_aspects(
    stack: StackedMOS, clips: pd.DataFrame
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Aspects to score, and those to leave out for want of any prompt.

    It is decided for the whole table: chunk by chunk, columns would differ.
    """
    left_out: tuple[str, ...] = ()
    if not clips["prompt"].str.strip().any():
        needs_text = judged_by_prompt(neural_models(stack), stack.aspects_)
        left_out = tuple(itertools.compress(stack.aspects_, needs_text))
    kept = tuple(aspect for aspect in stack.aspects_ if aspect not in left_out)
    if not kept:
        raise UsageError(
            f"{', '.join(left_out)} is judged against the prompt; pass --prompt, or a "
            "table with prompts."
        )
    return kept, left_out


def score_chunk(
    stack: StackedMOS,
    chunk: pd.DataFrame,
    store: EmbeddingStore,
    aspects: Sequence[str],
    *,
    level: float,
    predictions: Sequence[PredictionTable] = (),
    on_progress: Callable[[str, int, int], None] | None = None,
) -> ScoredChunk:
    """Score the usable clips of a prepared table, all at once.

    Returns
    -------
    frame : DataFrame
        Scores of the clips that can be used, NaN for aspects that are judged against
        the prompt where there is none.
    set_aside : list of SetAside
        The clips that cannot.
    """
    models = neural_models(stack)
    rows, set_aside = usable(models, chunk, store, on_progress)
    if not rows:
        return pd.DataFrame(), set_aside
    clips = chunk.iloc[rows].reset_index(drop=True)
    tables = [*stack.prediction_tables(clips), *_part_of(predictions, clips)]
    frame = scored_table(
        stack.final_estimator_,
        tables,
        clips[["clip_id", "audio"]],
        aspects=aspects,
        level=level,
    )
    gaps = text_gaps(clips, judged_by_prompt(models, aspects))
    return without_scores(frame, aspects, gaps), set_aside


def _score_in_worker(
    source: StackSource,
    folder: str,
    chunk: pd.DataFrame,
    aspects: Sequence[str],
    level: float,
    predictions: Sequence[PredictionTable],
) -> ScoredChunk:
    """Score a chunk in a worker process; `folder` is what paths are relative to."""
    # The worker's own folder may be another one. Paths are read as absolute ones, and
    # come back as they were given. A missing path stays missing, to be set aside.
    paths_given = dict(zip(chunk["clip_id"], chunk["audio"], strict=True))
    absolute_paths = []
    for path in chunk["audio"]:
        if isinstance(path, str) and path:
            path = os.path.join(folder, path)
        absolute_paths.append(path)

    with cpu_threads(source.threads):
        frame, set_aside = score_chunk(
            load_stack(source),
            chunk.assign(audio=absolute_paths),
            source.store,
            aspects,
            level=level,
            predictions=predictions,
        )
    if len(frame):
        frame = frame.assign(audio=frame["clip_id"].map(paths_given))
    return frame, set_aside
