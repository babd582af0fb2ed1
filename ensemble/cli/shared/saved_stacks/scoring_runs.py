"""How clips are scored: by several processes, in shards, going on after a stop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jsonargparse import Namespace

from base_models.errors import UsageError
from base_models.files import Artifact
from ensemble.cli.shared.exit_codes import ALL_WELL, CLIPS_SET_ASIDE, say, say_problem
from ensemble.cli.shared.options import OptionGroup
from ensemble.cli.shared.output.output_files import STDOUT
from ensemble.cli.shared.saved_stacks.stacks import chosen_folder
from ensemble.engine import LOCAL
from ensemble.workspace import STACK_ROLE

if TYPE_CHECKING:
    import pandas as pd

    from base_models.encoders.filling.fill_store import Progress
    from base_models.encoders.store import EmbeddingStore
    from ensemble.estimator.stacked_mos import StackedMOS
    from ensemble.formats import Scores
    from ensemble.scoring.chunks.kept_chunks import KeptChunks
    from ensemble.scoring.chunks.run_chunks import Workers
    from ensemble.scoring.chunks.shards import Shard
    from ensemble.scoring.stack_source import StackSource


def add_run_options(group: OptionGroup) -> None:
    """Add ``--jobs``, ``--threads``, ``--shard`` and ``--join``."""
    add = group.add_argument
    add(
        "--jobs",
        type=int,
        default=1,
        help="worker processes of this machine, each with the stack and its encoders; "
        "equal scores for equal --threads",
    )
    add(
        "--threads",
        type=int,
        default=0,
        help="CPU threads of each process, which move last digits; 0 shares out the "
        "cores",
    )
    add(
        "--shard",
        type=str,
        metavar="I/N",
        help="with -o: score only the I-th of N shares of the clips, for a batch "
        "system; each keeps what it made in FILE.pieces",
    )
    add(
        "--join",
        action="store_true",
        help="in place of --shard, once all N are done: write FILE from their pieces",
    )


def check_run_options(options: Namespace) -> None:
    """Refuse what does not go with these options, before anything is read.

    Raises
    ------
    UsageError
    """
    if options.jobs < 1 or options.threads < 0:
        raise UsageError(
            "--jobs must be at least 1 and --threads 0 or more; got --jobs "
            f"{options.jobs} --threads {options.threads}."
        )
    if options.engine != LOCAL and (options.jobs > 1 or options.threads):
        raise UsageError(
            f"--jobs and --threads are of this machine; workers of {options.engine} "
            "have their own. Leave them out, or --engine."
        )
    if options.cross_fit and options.jobs > 1:
        raise UsageError("--cross-fit runs in one process; leave --jobs out.")
    if not (options.shard or options.join):
        return
    option = "--shard" if options.shard else "--join"
    if options.shard and options.join:
        raise UsageError("--shard makes a share and --join joins all; name one.")
    if options.out in (None, STDOUT):
        raise UsageError(
            f"{option} needs -o FILE, beside which all shards keep their pieces."
        )
    if options.engine != LOCAL:
        raise UsageError(f"{option} runs on this machine; leave --engine out.")
    if options.pairs or not (options.audio or options.clips):
        raise UsageError(
            f"{option} is about clips that are scored from their audio; name files, or "
            "a table with --clips."
        )
    if options.windows != "first":
        raise UsageError(
            f"{option} shares out clips, and windows are found by decoding all of "
            "them; leave --windows all out, or score segments (columns start_time and "
            "end_time of a table)."
        )
    shard_of(options)


def shard_of(options: Namespace) -> Shard | None:
    """The shard that is asked for, if one is."""
    if not options.shard:
        return None
    from ensemble.scoring.chunks.shards import Shard

    return Shard.parse(options.shard)


def workers_of(options: Namespace, source: StackSource | None) -> Workers:
    """Who scores, as the options say."""
    from ensemble.scoring.chunks.run_chunks import Workers

    return Workers(options.engine, jobs=options.jobs, source=source)


@dataclass(frozen=True)
class ScoringRun:
    """What scoring a table needs beside the stack and the clips.

    Parameters
    ----------
    store : where embeddings are kept
    source : where other processes find the stack, if there are any
    kept : where scores are kept as they come; None where no file is to be written
    distributions : whose to add, see `meta.score_columns.DISTRIBUTIONS`
    """

    store: EmbeddingStore
    source: StackSource | None
    kept: KeptChunks | None
    distributions: str

    @classmethod
    def of(
        cls,
        options: Namespace,
        store: EmbeddingStore,
        source: StackSource | None,
        *,
        distributions: str,
    ) -> ScoringRun:
        """The run that the options name."""
        return cls(store, source, _kept_chunks(options), distributions)

    def finish(self) -> None:
        """Remove what was kept: all of it is in the output now."""
        if self.kept is not None:
            self.kept.remove()


def _kept_chunks(options: Namespace) -> KeptChunks | None:
    if options.out in (None, STDOUT):
        return None
    from ensemble.scoring.chunks.kept_chunks import KeptChunks

    stack = Artifact(chosen_folder(options), STACK_ROLE).root_hash
    run = {
        "stack": stack,
        "by_system": options.by_system,
        "cross_fit": options.cross_fit,
    }
    return KeptChunks.beside(options.out, run)


def scorer(
    options: Namespace,
    stack: StackedMOS,
    run: ScoringRun,
    *,
    on_progress: Progress,
) -> Callable[[pd.DataFrame], Scores]:
    """What scores a clip table, or joins the shards of one."""
    from base_models.devices import cpu_threads
    from ensemble.scoring.score_clips import (
        IntervalSettings,
        PlannedClips,
        score_clips,
    )
    from ensemble.scoring.score_shard import join_shards

    intervals = IntervalSettings(options.level, options.by_system)

    def joined(clips: pd.DataFrame) -> Scores:
        # Shards are refused without a file to write.
        assert run.kept is not None
        planned = PlannedClips.of(
            stack,
            clips,
            run.store,
            intervals=intervals,
            distributions=run.distributions,
        )
        return join_shards(planned, run.kept, on_progress)

    def scored(clips: pd.DataFrame) -> Scores:
        # Of this process; others have those of their source.
        with cpu_threads(options.threads):
            return score_clips(
                stack,
                clips,
                run.store,
                intervals=intervals,
                on_progress=on_progress,
                workers=workers_of(options, run.source),
                distributions=run.distributions,
                kept=run.kept,
            )

    return joined if options.join else scored


def put_shard(
    options: Namespace,
    stack: StackedMOS,
    clips: pd.DataFrame,
    *,
    run: ScoringRun,
) -> int:
    """Score one shard and say so; the exit code."""
    from base_models.devices import cpu_threads
    from ensemble.scoring.chunks.shards import Shard
    from ensemble.scoring.score_clips import IntervalSettings, PlannedClips
    from ensemble.scoring.score_shard import score_shard
    from ensemble.training.progress import encoding

    shard = Shard.parse(options.shard)
    assert run.kept is not None
    with encoding() as on_progress, cpu_threads(options.threads):
        planned = PlannedClips.of(
            stack,
            clips,
            run.store,
            intervals=IntervalSettings(options.level, options.by_system),
            distributions=run.distributions,
            threads=0 if run.source is None else run.source.threads,
        )
        done = score_shard(
            planned,
            shard,
            run.kept,
            workers=workers_of(options, run.source),
            on_progress=on_progress,
        )
    what = "scored" if done.is_scored else "embedded"
    say(
        f"shard {shard}: {done.n_clips} clips {what}; once all {shard.count} are done, "
        f"the same command with --join writes {options.out}"
    )
    if not done.n_set_aside:
        return ALL_WELL
    say_problem(f"{done.n_set_aside} clips set aside; --join lists them")
    return CLIPS_SET_ASIDE
