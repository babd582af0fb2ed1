"""Run a plan of chunks: in this process, in several of this machine, or on a cluster.

Whoever scores a chunk, it comes out the same, and in its place. Chunks that are kept
are not scored again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from base_models.encoders import parse_encoder
from base_models.errors import UsageError
from ensemble.cluster.needs import Needs
from ensemble.engine import LOCAL, spread
from ensemble.scoring.chunks.chunk_plan import ChunkPlan, chunk_facts
from ensemble.scoring.chunks.kept_chunks import KeptChunks
from ensemble.scoring.chunks.overall_progress import OverallProgress
from ensemble.scoring.chunks.score_chunk import (
    audio_of,
    embed_in_worker,
    needed_encoders,
    score_chunk,
    score_in_worker,
)
from ensemble.scoring.chunks.scored_chunk import ScoredChunk
from ensemble.scoring.prepared_stack import clip_models, stored_tables
from ensemble.scoring.stack_source import StackSource

CLIPS_PER_EMBEDDING = 16
"""Clips that a process embeds at a time, where chunks are too few to share out."""
_CHUNKS_PER_JOB = 4
"""With fewer chunks for each process, some would wait for others at the end."""


@dataclass(frozen=True)
class Workers:
    """Who scores the chunks.

    Parameters
    ----------
    engine : str
        See `ensemble.engine.check_engine`.
    jobs : int
        Processes of the local engine; 1 is this one.
    source : StackSource, optional
        Where other processes find the stack and the store.
    """

    engine: str = LOCAL
    jobs: int = 1
    source: StackSource | None = None

    @property
    def are_elsewhere(self) -> bool:
        """Whether chunks are scored by other processes than this one."""
        return self.engine != LOCAL or self.jobs > 1

    @property
    def needed_source(self) -> StackSource:
        """The source, which other processes cannot do without.

        Raises
        ------
        UsageError
            When there is none.
        """
        if self.source is None:
            where = "other processes" if self.engine == LOCAL else self.engine
            raise UsageError(
                f"Workers of {where} need a source to read the stack from."
            )
        return self.source


def run_chunks(
    plan: ChunkPlan,
    numbers: Sequence[int],
    workers: Workers,
    *,
    kept: KeptChunks | None = None,
    progress: OverallProgress,
) -> Iterator[ScoredChunk]:
    """Yield some chunks of a plan scored, in their order.

    Parameters
    ----------
    plan : ChunkPlan
    numbers : sequence of int
        Of its chunks, from 0, in ascending order.
    workers : Workers
    kept : KeptChunks, optional
        Chunks that are there are read, and new ones are added.
    progress : OverallProgress
        Counts the clips of each chunk when it is done.
    """
    names = [_identity(plan, number, kept) for number in numbers]
    found = {
        number: name
        for number, name in zip(numbers, names, strict=True)
        if kept is not None and kept.has(name)
    }
    missing = [number for number in numbers if number not in found]
    # What is kept counts first: time left is about the rest.
    progress.add(sum(len(plan.chunks[number]) for number in found))
    scored = _scored(plan, missing, workers, progress=progress)

    for number, name in zip(numbers, names, strict=True):
        if number in found:
            assert kept is not None
            chunk = kept.load(name)
            if chunk is None:
                # Damaged since it was written.
                chunk = _score_here(plan, number)
                kept.save(name, chunk)
            yield chunk
            continue
        chunk = next(scored)
        if kept is not None:
            kept.save(name, chunk)
        progress.add(len(plan.chunks[number]))
        yield chunk


def _identity(plan: ChunkPlan, number: int, kept: KeptChunks | None) -> str:
    """What a chunk is kept as; "" where none is kept."""
    if kept is None:
        return ""
    return kept.identity(
        {
            "models": plan.models,
            "options": plan.options,
            "compute": plan.compute,
            "clips": chunk_facts(plan.chunks[number]),
        }
    )


def _scored(
    plan: ChunkPlan,
    numbers: Sequence[int],
    workers: Workers,
    *,
    progress: OverallProgress,
) -> Iterator[ScoredChunk]:
    """Score chunks, in their order."""
    if not workers.are_elsewhere:
        for number in numbers:
            progress.begin(len(plan.chunks[number]))
            yield _score_here(plan, number, progress.encoded)
        return

    source = workers.needed_source
    chunks = [plan.chunks[number] for number in numbers]
    if workers.engine == LOCAL and len(chunks) < _CHUNKS_PER_JOB * workers.jobs:
        _embed_first(chunks, workers, source, progress=progress)
    # Processes of this machine start in this folder, and name files as this one does.
    folder = "" if workers.engine == LOCAL else os.getcwd()
    stored = stored_tables(plan.stack)
    pieces: list[tuple[Any, ...]] = [
        (
            source,
            folder,
            chunk,
            plan.aspects,
            plan.level,
            plan.distributions,
            stored,
        )
        for chunk in chunks
    ]
    yield from _spread(score_in_worker, pieces, workers, plan=plan, source=source)


def _score_here(
    plan: ChunkPlan,
    number: int,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> ScoredChunk:
    return score_chunk(
        plan.stack,
        plan.chunks[number],
        plan.store,
        aspects=plan.aspects,
        level=plan.level,
        distributions=plan.distributions,
        on_progress=on_progress,
    )


def _embed_first(
    chunks: Sequence[pd.DataFrame],
    workers: Workers,
    source: StackSource,
    *,
    progress: OverallProgress,
) -> None:
    """Let processes embed a few clips at a time, before chunks are scored."""
    parts = [
        (source, chunk.iloc[start : start + CLIPS_PER_EMBEDDING])
        for chunk in chunks
        for start in range(0, len(chunk), CLIPS_PER_EMBEDDING)
    ]
    n_embedded = 0
    for n_clips in spread(
        embed_in_worker, parts, jobs=workers.jobs, threads=source.threads
    ):
        n_embedded += n_clips
        progress.prepared(n_embedded)


def _spread(
    work: Callable[..., Any],
    pieces: Iterable[tuple[Any, ...]],
    workers: Workers,
    *,
    plan: ChunkPlan,
    source: StackSource,
) -> Iterator[Any]:
    if workers.engine == LOCAL:
        return spread(work, pieces, jobs=workers.jobs, threads=source.threads)
    return spread(
        work,
        pieces,
        workers.engine,
        shared=source.embeddings,
        needs=Needs(needed_encoders(plan.stack), audio_of=audio_of),
    )


def audio_encoders(plan: ChunkPlan) -> list[str]:
    """Names of the encoders that read the audio of a clip, each once.

    They are not loaded for it.
    """
    words = [model.encoder_words()[0] for model in clip_models(plan.stack)]
    return list(dict.fromkeys(parse_encoder(word)[0] for word in words))
