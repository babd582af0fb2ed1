"""Score one chunk of clips; and the same in a worker, which reads the stack itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from base_models.clips.labels import text_gaps
from base_models.devices import cpu_threads
from base_models.encoders.store import EmbeddingStore
from base_models.predictions import PredictionTable
from ensemble.cluster.needs import NeededEncoder
from ensemble.estimator.predict_base_models import judged_by_prompt
from ensemble.estimator.stacked_mos import StackedMOS
from ensemble.scoring.audio_flags import (
    audio_columns,
    mono_rules_of,
    needed_bandwidth,
)
from ensemble.scoring.chunks.scored_chunk import ScoredChunk
from ensemble.scoring.prepared_stack import clip_models, usable, with_predictions
from ensemble.scoring.stack_source import StackSource, load_stack
from meta.score_columns import (
    FLAGS,
    OUT_OF_RANGE,
    distribution_table,
    scored_table,
    without_distributions,
    without_scores,
)
from meta.score_flags import NO_PROMPT, with_flag


def score_chunk(
    stack: StackedMOS,
    chunk: pd.DataFrame,
    store: EmbeddingStore,
    aspects: Sequence[str],
    *,
    level: float,
    distributions: str = "none",
    on_progress: Callable[[str, int, int], None] | None = None,
) -> ScoredChunk:
    """Score the usable clips of a prepared table, all at once.

    Scores of aspects that are judged against the prompt are NaN where there is none.
    """
    models = clip_models(stack)
    rows, set_aside = usable(models, chunk, store, on_progress=on_progress)
    if not rows:
        return ScoredChunk(pd.DataFrame(), pd.DataFrame(), set_aside)
    clips = chunk.iloc[rows].reset_index(drop=True)
    tables = stack.prediction_tables(clips)
    frame = scored_table(
        stack.final_estimator_,
        tables,
        clips[["clip_id", "audio"]],
        aspects=aspects,
        level=level,
        systems=clips["system_id"].tolist(),
    )
    # Written on the scale of the labels, which may be another than the stack's own.
    frame = stack.scales_.scored_table(frame, aspects)
    gaps = text_gaps(clips, judged_by_prompt(models, aspects))
    about = pd.DataFrame({FLAGS: [""] * len(clips)})
    if models:
        about = audio_columns(
            clips["audio"].tolist(), needed_bandwidth(models), mono_rules_of(models)
        )
    has_gap = [bool(of_clip.any()) for of_clip in gaps]
    about[FLAGS] = with_flag(about[FLAGS], NO_PROMPT, has_gap)
    if OUT_OF_RANGE in frame:
        is_marked = frame[OUT_OF_RANGE].tolist()
        about[FLAGS] = with_flag(about[FLAGS], OUT_OF_RANGE, is_marked)
    frame = pd.concat([frame, about], axis=1)
    bins_of = distribution_table(
        stack.final_estimator_,
        tables,
        clips["clip_id"].tolist(),
        aspects=aspects,
        wanted=distributions,
    )
    bins_of = stack.scales_.scored_table(bins_of, aspects)
    return ScoredChunk(
        frame=without_scores(frame, aspects, gaps),
        distributions=without_distributions(
            bins_of, clips["clip_id"], aspects, gaps=gaps
        ),
        set_aside=set_aside,
        check=stack.final_estimator_.check_range(tables, clips["clip_id"].tolist()),
    )


def needed_encoders(stack: StackedMOS) -> tuple[NeededEncoder, ...]:
    """The encoders that the models of a stack were trained with.

    They are not loaded here, where nothing is encoded.
    """
    needed: dict[NeededEncoder, None] = {}
    for model in clip_models(stack):
        words = dict(zip(("audio", "text"), model.encoder_words(), strict=True))
        for kind in model.encoders_:
            encoder = NeededEncoder(
                words[kind],
                model.device,
                mono=model.config_.mono,
                signature=model.needed_signature(kind),
                precision=model.precision_of(kind),
            )
            needed[encoder] = None
    return tuple(needed)


def audio_of(piece: tuple[Any, ...]) -> list[object]:
    """Names of the audio of a piece of `score_in_worker`."""
    _, folder, chunk, *_ = piece
    return _absolute_paths(chunk, folder)


def _absolute_paths(chunk: pd.DataFrame, folder: str) -> list[object]:
    """Paths of clips that mean the same in every folder.

    The folder of a worker may be another one. A missing path stays missing, to be set
    aside.
    """
    return [
        os.path.join(folder, path) if isinstance(path, str) and path else path
        for path in chunk["audio"]
    ]


def score_in_worker(
    source: StackSource,
    folder: str,
    chunk: pd.DataFrame,
    aspects: Sequence[str],
    level: float,
    distributions: str,
    tables: Sequence[PredictionTable],
) -> ScoredChunk:
    """Score a chunk in a worker process; `folder` is what paths are relative to."""
    absolute_paths = _absolute_paths(chunk, folder)
    with cpu_threads(source.threads):
        stack = with_predictions(load_stack(source), tables)
        return score_chunk(
            stack,
            chunk.assign(audio=absolute_paths),
            source.store_of(stack),
            aspects=aspects,
            level=level,
            distributions=distributions,
        )


def embed_in_worker(source: StackSource, chunk: pd.DataFrame) -> int:
    """Embed the clips of a chunk in a process of this machine; how many it has."""
    with cpu_threads(source.threads):
        stack = load_stack(source)
        usable(clip_models(stack), chunk, source.store_of(stack))
    return len(chunk)
