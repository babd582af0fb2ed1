"""Score new clips: embed them, predict with every base model, and stack.

Each encoder runs once per clip, whatever the number of base models. What it computed is
stored, so a scoring run that was stopped goes on where it was. Every row comes back, in
the order in which it was given; clips that cannot be used have a reason in the place of
scores. A clip without a prompt has no score of the aspects that are judged against it.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from base_models.clips.labels import text_gaps
from base_models.clips.read_clips import SetAside
from base_models.devices import cpu_threads
from base_models.encoders.embed import clip_ids
from base_models.encoders.store import EmbeddingStore
from base_models.errors import UsageError, some
from base_models.predictions import PredictionTable
from ensemble.cluster.needs import NeededEncoder, Needs
from ensemble.engine import LOCAL, spread
from ensemble.estimator.predict_base_models import judged_by_prompt
from ensemble.estimator.stacked_mos import StackedMOS
from ensemble.formats import Distributions, Scores
from ensemble.scoring.audio_flags import (
    audio_columns,
    flag_notes,
    mono_rules_of,
    needed_bandwidth,
)
from ensemble.scoring.every_row import (
    by_row,
    every_row,
    kept_columns,
    without_prediction,
    without_repeats,
)
from ensemble.scoring.prepared_stack import (
    PLACEHOLDER,
    clip_chunks,
    clip_models,
    prepared,
    stored_tables,
    usable,
    with_predictions,
)
from ensemble.scoring.stack_source import StackSource, load_stack
from ensemble.training.base_model_run import SCORING
from meta.score_columns import (
    AUDIO_COLUMNS,
    COUNT_COLUMNS,
    FLAGS,
    OUT_OF_RANGE,
    aspects_with_disagreement,
    distribution_columns,
    distribution_table,
    score_columns,
    scored_table,
    without_distributions,
    without_scores,
)
from meta.score_flags import NO_PROMPT, with_flag
from meta.uncertainty.clip_range import RangeCheck

CLIPS_PER_CHUNK = 256
"""Clips that are embedded and scored together."""


@dataclass(frozen=True)
class ScoredChunk:
    """What becomes of the clips of a chunk.

    Parameters
    ----------
    frame : DataFrame
        Scores of the clips that can be used.
    distributions : DataFrame
        Around these scores, as of `meta.score_columns.distribution_table`.
    set_aside : list of SetAside
        The clips that cannot be used.
    check : RangeCheck, or None
        How far the others lie from the clips that the stack has learnt from.
    """

    frame: pd.DataFrame
    distributions: pd.DataFrame
    set_aside: list[SetAside]
    check: RangeCheck | None = None


@dataclass(frozen=True)
class IntervalSettings:
    """Which intervals stand around scores.

    Parameters
    ----------
    level : float
        Coverage, see `MetaRegressor.predict_interval`.
    by_system : bool
        Whether systems with enough rated clips get intervals of their own; clips then
        need ``system_id``.

    Raises
    ------
    UsageError
        When the level is not between 0 and 1.
    """

    level: float = 0.9
    by_system: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.level < 1:
            raise UsageError(
                f"The interval's level must lie between 0 and 1; got {self.level}."
            )

    def with_systems(self, clips: pd.DataFrame) -> pd.DataFrame:
        """The clips with the systems that their intervals are of, "" where of all.

        Raises
        ------
        UsageError
            When intervals are to be by system, and no clip names one.
        """
        if not self.by_system:
            return clips.assign(system_id="")
        if "system_id" not in clips or not clips["system_id"].astype(bool).any():
            raise UsageError(
                "Intervals by system need clips that name their system, in the column "
                "system_id of a table."
            )
        return clips


def score_clips(
    stack: StackedMOS,
    clips: pd.DataFrame,
    store: EmbeddingStore,
    intervals: IntervalSettings | None = None,
    on_progress: Callable[[str, int, int], None] | None = None,
    engine: str = LOCAL,
    source: StackSource | None = None,
    distributions: str = "none",
) -> Scores:
    """Score a clip table with a fitted stack of base models over encoders.

    Parameters
    ----------
    stack : StackedMOS
        Fitted.
    clips : DataFrame of n rows
        With ``clip_id``, ``audio`` and, for aspects judged against it, ``prompt``. When
        no clip has a prompt those aspects are left out; when some have none, they have
        no scores of these aspects (NaN), and where there are no others, they are set
        aside. So is a row with the id of an earlier one.
    store : EmbeddingStore
        Where embeddings are kept.
    intervals : IntervalSettings, optional
        Those around the scores; by default of 90 %.
    on_progress : callable, optional
        Called as ``on_progress(encoder, done, total)`` for the clips of a chunk, and
        with `SCORING` in place of an encoder for all of them.
    engine : str
        Where clips are scored, see `ensemble.engine.check_engine`.
    source : StackSource, optional
        Where workers of another engine than the local one find the stack and the store.
    distributions : str
        Whose to add, one of `meta.score_columns.DISTRIBUTIONS`.

    Raises
    ------
    UsageError
        When a base model does not read clips, no clip names the system that intervals
        are to be of, or every aspect needs a prompt and no clip has one.
    """
    intervals = intervals or IntervalSettings()
    level = intervals.level
    clips = clips.assign(clip_id=clip_ids(clips, may_repeat=True))
    given = kept_columns(clips)
    clips, repeats = without_repeats(clips)
    stack, clips = prepared(stack, clips, store)
    clips = intervals.with_systems(clips)
    kept, left_out = _choose_aspects(stack, clips)
    # The text branch takes tokens even where its output is dropped.
    if left_out:
        clips = clips.assign(prompt=PLACEHOLDER)

    clips, unpredicted = _without_unpredicted(stack, clips)
    chunks = list(clip_chunks(clips, CLIPS_PER_CHUNK))
    scored: Iterable[ScoredChunk]
    if engine == LOCAL:
        scored = (
            score_chunk(
                stack,
                chunk,
                store,
                aspects=kept,
                level=level,
                distributions=distributions,
                on_progress=on_progress,
            )
            for chunk in chunks
        )
    elif source is None:
        raise UsageError(f"Workers of {engine} need a source to read the stack from.")
    else:
        folder = os.getcwd()
        stored = stored_tables(stack)
        pieces = [
            (source, folder, chunk, kept, level, distributions, stored)
            for chunk in chunks
        ]
        scored = spread(
            _score_in_worker,
            pieces,
            engine,
            shared=source.embeddings,
            needs=Needs(_needed_encoders(stack), audio_of=_audio_of),
        )

    done = []
    n_done = len(unpredicted)
    for chunk, result in zip(chunks, scored, strict=True):
        done.append(result)
        n_done += len(chunk)
        # An encoder tells of one chunk at a time, and on a cluster of none.
        if on_progress is not None and (len(chunks) > 1 or engine != LOCAL):
            on_progress(SCORING, n_done, len(clips) + len(unpredicted))
    set_aside = [*unpredicted, *(clip for chunk in done for clip in chunk.set_aside)]
    left_rows = by_row(given["clip_id"].tolist(), set_aside, refused=repeats)
    bins_of = None
    if distributions != "none":
        bins_of = Distributions(
            _joined(
                [chunk.distributions for chunk in done],
                distribution_columns(kept, stack.bins_.count),
            ),
            kept,
            stack.bins_,
            scales=stack.scales_.labels,
        )
    frame = _joined([chunk.frame for chunk in done], _columns(stack, kept))
    return Scores(
        every_row(given, frame, left_rows),
        kept,
        left_out,
        set_aside=tuple(left_rows.values()),
        distributions=bins_of,
        scales=stack.scales_.of_scores(stack.aspects_),
        check=RangeCheck.joined([chunk.check for chunk in done if chunk.check]),
        audio_notes=tuple(flag_notes(frame, needed_bandwidth(clip_models(stack)))),
    )


def _columns(stack: StackedMOS, aspects: Sequence[str]) -> list[str]:
    """Columns of the scores of some aspects, of which an empty table has all too."""
    regressor = stack.final_estimator_
    columns = [
        "clip_id",
        "audio",
        *score_columns(aspects, aspects_with_disagreement(regressor)),
    ]
    no_clips = regressor.layout_.empty(regressor.aspects_)
    if regressor.check_range(no_clips) is not None:
        columns.append(OUT_OF_RANGE)
    columns.append(FLAGS)
    if clip_models(stack):
        columns += AUDIO_COLUMNS
    return columns


def _without_unpredicted(
    stack: StackedMOS, clips: pd.DataFrame
) -> tuple[pd.DataFrame, list[SetAside]]:
    """The clips that every model without weights predicts, and the others set aside.

    Raises
    ------
    UsageError
        When the stack has neither weights nor predictions of a model.
    """
    regressor = stack.final_estimator_
    # A stack of prediction files alone says by itself that it cannot score clips.
    if regressor.accepts_missing or not stack.estimators_:
        return clips, []
    known = {name for name, _ in stack.estimators_}
    absent = [name for name in regressor.layout_.models if name not in known]
    if absent:
        raise UsageError(
            f"The stack holds no weights of {some(absent)}: pass what it predicts for "
            "these clips (predict_mos FILE... --predictions FILE)."
        )

    refused = without_prediction(stored_tables(stack), clips["clip_id"].tolist())
    predicted = clips.drop(index=list(refused)).reset_index(drop=True)
    return predicted, list(refused.values())


# Of columns that hold no fractions, where there is no clip to tell.
_TYPES: dict[str, str] = {
    **dict.fromkeys(("clip_id", "audio", "model", FLAGS), "object"),
    OUT_OF_RANGE: "bool",
    **dict.fromkeys(COUNT_COLUMNS, "Int64"),
}


def _joined(frames: Sequence[pd.DataFrame], columns: Sequence[str]) -> pd.DataFrame:
    """One table of all chunks; empty but whole where no clip is usable."""
    # An empty frame has none of the columns and would spoil their types.
    filled = [frame for frame in frames if len(frame)]
    if not filled:
        types = {name: _TYPES.get(name, "float64") for name in columns}
        return pd.DataFrame(columns=list(columns)).astype(types)
    return pd.concat(filled, ignore_index=True)


def _choose_aspects(
    stack: StackedMOS, clips: pd.DataFrame
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Aspects to score, and those to leave out for want of any prompt.

    It is decided for the whole table: chunk by chunk, columns would differ.
    """
    left_out: tuple[str, ...] = ()
    if not clips["prompt"].str.strip().any():
        needs_text = judged_by_prompt(clip_models(stack), stack.aspects_)
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


def _needed_encoders(stack: StackedMOS) -> tuple[NeededEncoder, ...]:
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


def _audio_of(piece: tuple[Any, ...]) -> list[object]:
    """Names of the audio of a piece of `_score_in_worker`."""
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


def _score_in_worker(
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
