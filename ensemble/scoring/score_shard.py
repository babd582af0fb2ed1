"""Score one of several shares of a clip table, and join what all of them made.

Each share keeps its chunks in one folder, and a record that it is done. To join them is
to score the table with all chunks there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from base_models.devices import cpu_threads
from base_models.files import sha256, to_json
from ensemble.formats import Scores
from ensemble.scoring.chunks.chunk_plan import chunk_facts
from ensemble.scoring.chunks.kept_chunks import KeptChunks
from ensemble.scoring.chunks.run_chunks import Workers, run_chunks
from ensemble.scoring.chunks.shards import CHUNKS_PER_SHARD, Shard, check_shards
from ensemble.scoring.prepared_stack import clip_models, usable
from ensemble.scoring.score_clips import PlannedClips


@dataclass(frozen=True)
class ShardDone:
    """What a shard did.

    Parameters
    ----------
    n_clips : int
        Of the shard.
    n_set_aside : int
        Of these, clips that cannot be used.
    is_scored : bool
        Whether they are scored, and not only embedded.
    """

    n_clips: int
    n_set_aside: int
    is_scored: bool


def score_shard(
    planned: PlannedClips,
    shard: Shard,
    kept: KeptChunks,
    *,
    workers: Workers | None = None,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> ShardDone:
    """Score the chunks of one shard of a table, or embed its clips; and keep a record.

    Parameters
    ----------
    planned : PlannedClips
        The whole table.
    shard : Shard
    kept : KeptChunks
        The folder that all shards share.
    workers, on_progress
        See `ensemble.scoring.score_clips.score_clips`.
    """
    plan = planned.plan
    is_scored = len(plan.chunks) >= CHUNKS_PER_SHARD * shard.count
    if is_scored:
        own = [number for number in range(len(plan.chunks)) if shard.takes(number)]
        progress = planned.progress(on_progress, [plan.chunks[k] for k in own])
        chunks = run_chunks(
            plan, own, workers or Workers(), kept=kept, progress=progress
        )
        n_set_aside = sum(len(chunk.set_aside) for chunk in chunks)
        n_clips = sum(len(plan.chunks[number]) for number in own)
    else:
        rows = planned.clips.iloc[shard.rows(plan.n_clips)].reset_index(drop=True)
        progress = planned.progress(on_progress, [rows])
        progress.begin(len(rows))
        _, set_aside = usable(
            clip_models(plan.stack), rows, plan.store, on_progress=progress.encoded
        )
        progress.add(len(rows))
        n_clips = len(rows)
        n_set_aside = len(set_aside)

    record = {
        **run_facts(planned, kept),
        "shard": str(shard),
        "compute": dict(plan.compute),
    }
    kept.save_record(shard.record, record)
    return ShardDone(n_clips, n_set_aside, is_scored)


def join_shards(
    planned: PlannedClips,
    kept: KeptChunks,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> Scores:
    """The scores of a table whose shards are all done.

    Raises
    ------
    UsageError
        When a shard is missing, doubled, of another run, or was computed otherwise.
    """
    compute = check_shards(kept.folder, run_facts(planned, kept))
    # As the shards computed, wherever they are joined.
    planned = replace(planned, plan=replace(planned.plan, compute=compute))
    progress = planned.progress(on_progress)
    progress.add(len(planned.unpredicted))
    numbers = range(len(planned.plan.chunks))
    with cpu_threads(compute["threads"]):
        chunks = run_chunks(
            planned.plan, numbers, Workers(), kept=kept, progress=progress
        )
        return planned.scores(list(chunks))


def run_facts(planned: PlannedClips, kept: KeptChunks) -> dict[str, str]:
    """What tells the run of a shard from others, as hashes by what they are of."""
    plan = planned.plan
    # Without the files, whose change is told chunk by chunk.
    clips = [row[:-1] for chunk in plan.chunks for row in chunk_facts(chunk)]
    run: dict[str, Any] = dict(kept.run)
    stack = [run.pop("stack", ""), plan.models]
    return {
        "clips": sha256(to_json(clips)),
        "stack": sha256(to_json(stack)),
        "options": sha256(to_json([plan.options, run])),
    }
