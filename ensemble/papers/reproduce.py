"""A table of a paper, run again: its base models trained where they are missing, its stacks fitted, each cell measured.

Runs are those of `fit_base`, found by the same signatures, so that tables share them and a table that was stopped goes
on. The trap: one row without its weights, or diverged, must not cost the others; it is reported with its reason, and
nothing is measured of it.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from base_models.clips.read_clips import SetAside
from base_models.errors import OutOfSpace, StackedMOSError, UsageError, one_of
from base_models.files import Artifact, atomic_write, locked, seal, sha256, to_json
from base_models.metrics.evaluate import evaluate_mean
from base_models.predictions import PredictionTable
from ensemble.engine import LOCAL, spread
from ensemble.papers.paper_tables import Column, PaperTable, Row
from ensemble.training.base_model_run import ROLE, BaseRun
from ensemble.training.rated_clips import RatedClips
from ensemble.training.train_base_models import (
    Compute,
    TrainingPlan,
    TrainingSetup,
    plan_training,
)
from ensemble.workspace import Workspace

TABLES_VERSION = 2
"""Raised whenever the same base models would give other numbers."""
QUICK_ENCODERS = ("logmel", "hashed_text")
SEEDS, QUICK_SEEDS = 5, 2
QUICK_SETTINGS = {"max_epochs": 4}
FAILED, MEASURED, NOT_RUN = "failed", "measured", "not run"
N_BOOTSTRAP = 1000
ROW_ERRORS = (StackedMOSError, RuntimeError)
"""What one row may fail with: our own errors, but for a full disk, and torch's, such as a GPU out of memory."""


@dataclass(frozen=True)
class Request:
    """What to reproduce, and on what.

    Parameters
    ----------
    table : of a paper
    rated : clips and labels
    seeds : repetitions of every row
    quick : embedded encoders and settings instead of the published ones
    encoders : where the weights of an encoder lie, name to ``"name=folder"``
    device, jobs : see `ensemble.training.train_base_models.Compute`
    overrides : single settings of `BaseConfig`, laid over every row
    """

    table: PaperTable
    rated: RatedClips
    seeds: int = 5
    quick: bool = False
    encoders: Mapping[str, str] = field(default_factory=dict)
    device: str = "auto"
    jobs: int = 0
    overrides: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        table,
        rated,
        seeds=None,
        quick=False,
        words=(),
        device="auto",
        jobs=0,
        overrides=None,
    ) -> Request:
        """A request as a command words it: encoders as ``NAME=FOLDER``, and what `quick` means for the rest."""
        usual, settings = (QUICK_SEEDS, QUICK_SETTINGS) if quick else (SEEDS, {})
        encoders = {word.partition("=")[0]: word for word in words}
        seeds = usual if seeds is None else seeds
        return cls(
            table,
            rated,
            seeds,
            quick,
            encoders,
            device,
            jobs,
            settings | dict(overrides or {}),
        )

    def __post_init__(self):
        if self.seeds < 1 or self.jobs < 0:
            raise UsageError(
                f"--seeds must be at least 1 and --jobs 0 or more; got {self.seeds} and {self.jobs}."
            )
        for name in self.encoders:
            one_of(name, self.table.encoders, f"encoder of {self.table.name}")
        split, missing = (
            self.table.split,
            [a for a in self.table.aspects if a not in self.rated.aspects],
        )
        if missing:
            raise UsageError(
                f"{self.rated.source} has no ratings of '{missing[0]}', which {self.table.name} needs."
            )
        if (
            not np.isfinite(
                self.rated.rows(split)[list(self.table.aspects)].to_numpy(dtype=float)
            )
            .any(axis=0)
            .all()
        ):
            raise UsageError(
                f"{self.rated.source} has no labelled clips in the split '{split}', on which {self.table.name} is "
                "measured."
            )

    def setup(self, row: Row) -> tuple[str, str, str | None]:
        """Audio encoder, text encoder and training settings of a row."""
        if self.quick:
            return (*QUICK_ENCODERS, row.quick)
        return (
            self.encoders.get(row.audio, row.audio),
            self.encoders.get(row.text, row.text),
            None,
        )

    def models(self, row: Row) -> list[list[tuple[str, int]]]:
        """Presets and seeds that each repetition of a row needs; with `quick`, rows that coincide share theirs."""
        row = self.table.twin(row) if self.quick else row
        return [row.models(k) for k in range(self.seeds)]

    @property
    def compared(self) -> bool:
        """Whether our numbers are set against the paper's: those of a trial, or of synthetic music, are not."""
        return not (self.quick or self.rated.demo)


class Cell(NamedTuple):
    """One number of the paper beside ours: mean, least and most over the seeds, interval, n clips or systems.

    ``inside`` is whether the paper's number lies in the interval; None where the two are not compared.
    """

    column: Column
    paper: float
    value: float = math.nan
    least: float = math.nan
    most: float = math.nan
    low: float = math.nan
    high: float = math.nan
    n: int = 0
    inside: bool | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of a row: `status`, the reason unless it was measured, facts about a stack, and its cells."""

    row: Row
    status: str
    reason: str
    facts: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Reproduction:
    """A table run again; ``signature`` names what it was measured of."""

    request: Request
    outcomes: tuple[Outcome, ...]
    set_aside: tuple[SetAside, ...]
    signature: str

    @property
    def failed(self) -> list[Outcome]:
        """Rows that could not be trained."""
        return [outcome for outcome in self.outcomes if outcome.status == FAILED]

    def write(self, workspace: Workspace, files: Mapping[str, bytes]) -> Path:
        """Write its files to a folder of its own, sealed; returns the folder."""
        folder = workspace.table(self.request.table.name, self.signature)
        with locked(folder):
            for name, data in files.items():
                atomic_write(folder / name, data)
            seal(folder, "table", files, identity=folder.name)
        return folder


def reproduce(
    request: Request,
    workspace: Workspace,
    watch: Callable[[Sequence[BaseRun]], Any] | None = None,
    on_embed: Callable[[str, int, int], None] | None = None,
    engine: str = LOCAL,
) -> Reproduction:
    """Train what is missing and measure every row.

    Parameters
    ----------
    watch, on_embed, engine : see `train_base_models` and `plan_training`

    Raises
    ------
    StackedMOSError
        when the engine cannot work, the disk is full or a worker was killed; what goes wrong in a single row is
        reported there.
    """
    if engine != LOCAL:  # asked once: embedding would fail row by row
        list(spread(int, [()], engine, shared=workspace.root))
    rows = [row for row in request.table.rows if not row.reason]
    bases: dict[tuple, _Bases] = {}
    for setup in dict.fromkeys(map(request.setup, rows)):
        mine = [row for row in rows if request.setup(row) == setup]
        models = dict.fromkeys(
            model for row in mine for models in request.models(row) for model in models
        )
        bases[setup] = _Bases.train(
            request, workspace, setup, list(models), watch, on_embed, engine
        )
    outcomes = tuple(
        _outcome(request, row, bases.get(request.setup(row)))
        for row in request.table.rows
    )
    aside = {
        bad.clip_id: bad
        for each in bases.values()
        if each.plan
        for bad in each.plan.set_aside
    }
    runs = sorted(
        f"{run.folder.name} {reason}"
        for each in bases.values()
        for run, reason in each.trained.values()
    )
    lacking = [each.reason for each in bases.values() if each.reason]
    decisive = [
        TABLES_VERSION,
        request.table.name,
        request.seeds,
        request.quick,
        runs,
        lacking,
    ]
    return Reproduction(
        request, outcomes, tuple(aside.values()), sha256(to_json(decisive))[:10]
    )


@dataclass(frozen=True)
class _Bases:
    """The base models that share encoders and settings, by preset and seed, each with why it failed, or ""."""

    plan: TrainingPlan | None
    trained: Mapping[tuple[str, int], tuple[BaseRun, str]]
    reason: str = ""

    @classmethod
    def train(
        cls,
        request: Request,
        workspace: Workspace,
        setup,
        models,
        watch,
        on_embed,
        engine=LOCAL,
    ) -> _Bases:
        audio, text, settings = setup
        try:
            plan = plan_training(
                request.rated,
                models,
                workspace,
                setup=TrainingSetup(
                    audio_encoder=audio,
                    text_encoder=text,
                    settings=settings,
                    overrides=request.overrides,
                ),
                compute=Compute(
                    device=request.device, jobs=request.jobs, engine=engine
                ),
                on_embed=on_embed,
            )
        except OutOfSpace:
            raise
        except ROW_ERRORS as error:
            return cls(None, {}, _line(error))
        unfinished = plan.unfinished
        pieces, threads = (
            [(run,) for run in unfinished],
            unfinished[0].threads if unfinished else 0,
        )
        with watch(unfinished) if watch and unfinished else contextlib.nullcontext():
            jobs = min(plan.jobs, len(pieces))
            attempts = list(
                spread(_attempt, pieces, engine, jobs, threads, workspace.root)
            )
        reasons = {
            run.name: reason for run, reason in zip(unfinished, attempts, strict=True)
        }
        return cls(
            plan,
            {
                m: (run, reasons.get(run.name, ""))
                for m, run in zip(models, plan.runs, strict=True)
            },
        )

    def why_not(self, models: Iterable[tuple[str, int]]) -> str:
        """Why one of these could not be trained, or ""."""
        failed = (
            [
                (run.name, reason)
                for run, reason in map(self.trained.get, models)
                if reason
            ]
            if self.plan
            else []
        )
        return self.reason or (f"{failed[0][0]}: {failed[0][1]}" if failed else "")

    def tables(
        self, models: Iterable[tuple[str, int]], split: str
    ) -> list[PredictionTable]:
        """Their predictions for one split."""
        folders, name = (
            [self.trained[model][0].folder for model in models],
            f"predictions-{split}.parquet",
        )
        return [
            PredictionTable.parse(Artifact(f, ROLE, f.name).read(name), str(f / name))
            for f in folders
        ]


def _attempt(run: BaseRun) -> str:
    """Train one run; why it could not be trained, or ""."""
    try:
        run.train()
    except OutOfSpace:
        raise
    except ROW_ERRORS as error:
        return _line(error)
    return ""


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _outcome(request: Request, row: Row, bases: _Bases | None) -> Outcome:
    columns = request.table.columns
    blank = tuple(
        Cell(column, paper) for column, paper in zip(columns, row.paper, strict=True)
    )
    if bases is None:
        return Outcome(row, NOT_RUN, row.reason, "", blank)
    wanted = request.models(row)
    reason = bases.why_not(model for models in wanted for model in models)
    if reason:
        return Outcome(row, FAILED, reason, "", blank)
    try:
        scores, facts = _scores(request, row, bases, wanted)
    except UsageError as error:  # the dev clips do not suffice for a stack
        return Outcome(row, FAILED, _line(error), "", blank)
    clips = bases.plan.rated.rows(request.table.split)
    cells = measure(
        request.table,
        row,
        clips[list(request.table.aspects)],
        scores,
        clips["system_id"],
        clips["prompt"],
    )
    if not request.compared:
        cells = tuple(cell._replace(inside=None) for cell in cells)
    return Outcome(row, MEASURED, "", facts, cells)


def _scores(
    request: Request, row: Row, bases: _Bases, wanted
) -> tuple[list[np.ndarray], str]:
    """Scores of every repetition, each of shape (n, aspects), and facts about a stack."""
    split, aspects = request.table.split, list(request.table.aspects)
    if row.stack:
        made = [
            _stack(row.learner, k, bases, models, aspects, split)
            for k, models in enumerate(wanted)
        ]
        return [scores for scores, _ in made], _fit_facts(
            aspects, [fits for _, fits in made]
        )
    ids = bases.plan.rated.rows(split)["clip_id"].tolist()
    tables = [bases.tables(models, split)[0].take(ids) for models in wanted]
    return [
        table.scores[:, [table.aspects.index(aspect) for aspect in aspects]]
        for table in tables
    ], ""


def measure(
    table: PaperTable,
    row: Row,
    truth,
    scores: Sequence[np.ndarray],
    system_ids,
    prompt_ids=None,
) -> tuple[Cell, ...]:
    """The cells of a row from its repetitions' scores, each of shape (n, aspects), as `evaluate_mean` has them.

    The paper's number is inside when the interval holds some value that would be printed like it.
    """
    found = evaluate_mean(
        truth, scores, system_ids, table.aspects, N_BOOTSTRAP, prompt_ids=prompt_ids
    )
    by = {(line.aspect, line.level, line.metric): line for line in found.itertuples()}
    half, cells = 0.5 * 10**-table.decimals, []
    for column, paper in zip(table.columns, row.paper, strict=True):
        line = by[column]
        known = math.isfinite(line.low) and math.isfinite(line.high)
        inside = bool(line.low - half <= paper <= line.high + half) if known else None
        cells.append(
            Cell(
                column,
                paper,
                line.value,
                line.least,
                line.most,
                line.low,
                line.high,
                int(line.n),
                inside,
            )
        )
    return tuple(cells)


def _stack(
    learner: str, seed: int, bases: _Bases, models, aspects: Sequence[str], split: str
):
    """Scores of one stack on `split`, and its utterance SRCC on the meta-training and meta-validation rows.

    As in DORA-MOS, section III.D: 60 % of dev to fit, 40 % to validate, a fit on all of dev.
    """
    from meta.comparison.held_out_trial import TRAINING, VALIDATION
    from meta.regressor import MetaRegressor
    from meta.rows import Rows

    rated = bases.plan.rated
    tables = bases.tables(models, "dev")
    rows = Rows.from_clips(rated.rows("dev"), aspects, rated.group)
    regressor = MetaRegressor(_learner(learner, seed), seed)
    trial = regressor.held_out_trial(tables, rows)
    regressor.fit(tables, rows.counted())
    scores = regressor.predict(
        bases.tables(models, split), rated.rows(split)["clip_id"].tolist()
    )

    fits = {}
    for name in (TRAINING, VALIDATION):
        board = trial.sides[name].board(n_bootstrap=0)
        kept = board[
            (board["model"] == "stack")
            & (board["level"] == "utterance")
            & (board["metric"] == "srcc")
        ]
        fits[name] = kept["value"].to_numpy()
    return scores, fits


def _learner(name: str, seed: int):
    """A meta-learner as the published code has it, and not as it is chosen by cross-validation elsewhere here."""
    if name == "ridge":
        from meta.learners.ridge import Ridge

        return Ridge(
            penalty="ridge",
            features="bins",
            alpha=1.0,
            group_weight=0.0,
            random_state=seed,
        )
    import lightgbm

    return lightgbm.LGBMRegressor(random_state=seed, n_jobs=1, verbosity=-1)


def _fit_facts(aspects: Sequence[str], fits: Sequence[Mapping[str, np.ndarray]]) -> str:
    """How well the stacks did on the rows that they were fitted on and validated on, for people."""
    parts = []
    for name in fits[0]:
        means = np.mean([each[name] for each in fits], axis=0)
        parts.append(
            f"{name} "
            + ", ".join(
                f"{a} {mean:.3f}" for a, mean in zip(aspects, means, strict=True)
            )
        )
    return "utterance SRCC " + "; ".join(parts)
