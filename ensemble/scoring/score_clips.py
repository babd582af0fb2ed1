"""Score new clips: embed them, predict with every base model, and stack.

Each encoder runs once per clip, whatever the number of base models. What it computed is
stored, so a scoring run that was stopped goes on where it was. Every row comes back, in
the order in which it was given; clips that cannot be used have a reason in the place of
scores. A clip without a prompt has no score of the aspects that are judged against it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

from base_models.clips.read_clips import SetAside
from base_models.encoders.embed import clip_ids
from base_models.encoders.store import EmbeddingStore
from base_models.errors import UsageError, some
from ensemble.estimator.predict_base_models import judged_by_prompt
from ensemble.estimator.stacked_mos import StackedMOS
from ensemble.formats import Distributions, Scores
from ensemble.scoring.audio_flags import flag_notes, needed_bandwidth
from ensemble.scoring.chunks.chunk_plan import ChunkPlan, compute_facts
from ensemble.scoring.chunks.kept_chunks import KeptChunks
from ensemble.scoring.chunks.overall_progress import OverallProgress
from ensemble.scoring.chunks.run_chunks import Workers, audio_encoders, run_chunks
from ensemble.scoring.chunks.scored_chunk import ScoredChunk
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
)
from meta.score_columns import (
    AUDIO_COLUMNS,
    COUNT_COLUMNS,
    FLAGS,
    OUT_OF_RANGE,
    aspects_with_disagreement,
    distribution_columns,
    score_columns,
)
from meta.uncertainty.clip_range import RangeCheck

CLIPS_PER_CHUNK = 256
"""Clips that are embedded and scored together."""


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
    workers: Workers | None = None,
    distributions: str = "none",
    kept: KeptChunks | None = None,
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
        Called as ``on_progress(SCORING, done, total)``, with counts of clips.
    workers : Workers, optional
        Who scores; by default this process.
    distributions : str
        Whose to add, one of `meta.score_columns.DISTRIBUTIONS`.
    kept : KeptChunks, optional
        Where scores are kept as they come. What is there is not scored again.

    Raises
    ------
    UsageError
        When a base model does not read clips, no clip names the system that intervals
        are to be of, or every aspect needs a prompt and no clip has one.
    """
    workers = workers or Workers()
    planned = PlannedClips.of(
        stack,
        clips,
        store,
        intervals=intervals,
        distributions=distributions,
        threads=workers.source.threads if workers.source else 0,
    )
    plan = planned.plan
    # Of a single chunk nothing is there until all of it is.
    if len(plan.chunks) < 2:
        kept = None
    progress = planned.progress(on_progress)
    progress.add(len(planned.unpredicted))
    done = list(
        run_chunks(
            plan,
            range(len(plan.chunks)),
            workers,
            kept=kept,
            progress=progress,
        )
    )
    return planned.scores(done)


@dataclass(frozen=True, eq=False)
class PlannedClips:
    """The clips of a table in chunks, and those of them that are not scored.

    Parameters
    ----------
    plan : ChunkPlan
    given : DataFrame of n rows
        All rows, as `ensemble.scoring.every_row.kept_columns` returns them.
    repeats : dict
        Rows of ids that earlier rows have.
    unpredicted : list of SetAside
        Clips without a prediction of a model that has no weights.
    left_out : tuple of str
        Aspects that are left out for want of any prompt.
    """

    plan: ChunkPlan
    given: pd.DataFrame
    repeats: dict[int, SetAside]
    unpredicted: list[SetAside]
    left_out: tuple[str, ...]

    @classmethod
    def of(
        cls,
        stack: StackedMOS,
        clips: pd.DataFrame,
        store: EmbeddingStore,
        *,
        intervals: IntervalSettings | None = None,
        distributions: str = "none",
        threads: int = 0,
    ) -> PlannedClips:
        """Divide a clip table; parameters are those of `score_clips`."""
        intervals = intervals or IntervalSettings()
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
        plan = ChunkPlan(
            stack,
            store,
            list(clip_chunks(clips, CLIPS_PER_CHUNK)),
            aspects=kept,
            level=intervals.level,
            distributions=distributions,
            compute=compute_facts(stack, threads),
        )
        return cls(plan, given, repeats, unpredicted, left_out)

    @property
    def clips(self) -> pd.DataFrame:
        """The clips of all chunks."""
        return pd.concat(self.plan.chunks, ignore_index=True)

    def progress(
        self,
        report: Callable[[str, int, int], None] | None,
        chunks: Sequence[pd.DataFrame] | None = None,
    ) -> OverallProgress:
        """What counts the clips that are done, of all or of those of some chunks."""
        total = self.plan.n_clips + len(self.unpredicted)
        if chunks is not None:
            total = sum(map(len, chunks))
        return OverallProgress(report, total, audio_encoders(self.plan))

    def scores(self, done: Sequence[ScoredChunk]) -> Scores:
        """The scores of all rows, from those of all chunks."""
        stack = self.plan.stack
        kept = tuple(self.plan.aspects)
        refused = [clip for chunk in done for clip in chunk.set_aside]
        set_aside = [*self.unpredicted, *refused]
        left_rows = by_row(
            self.given["clip_id"].tolist(), set_aside, refused=self.repeats
        )
        bins_of = None
        if self.plan.distributions != "none":
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
        needed = needed_bandwidth(clip_models(stack))
        return Scores(
            every_row(self.given, frame, left_rows),
            kept,
            self.left_out,
            set_aside=tuple(left_rows.values()),
            distributions=bins_of,
            scales=stack.scales_.of_scores(stack.aspects_),
            check=RangeCheck.joined([chunk.check for chunk in done if chunk.check]),
            audio_notes=tuple(flag_notes(frame, needed)),
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
