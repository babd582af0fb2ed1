"""Run a table of a paper again: train what is missing, fit stacks, measure every cell.

A row whose weights are missing, or whose training diverges, does not cost the others:
it is reported with its reason, and nothing is measured of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from base_models.clips.read_clips import SetAside
from base_models.files import atomic_write, locked, seal, sha256, to_json
from ensemble.engine import LOCAL, spread
from ensemble.papers.measure_rows import FAILED, Outcome, measure_row
from ensemble.papers.paper_tables import Row
from ensemble.papers.request import Request, RowSetup
from ensemble.papers.train_rows import (
    FoldModels,
    TrainedModels,
    Training,
    cross_validate,
    train_models,
)
from ensemble.training.train_base_models import OnEmbed, Watch
from ensemble.workspace import Workspace

TABLES_VERSION = 2
"""Raised whenever the same base models would give other numbers."""


@dataclass(frozen=True)
class Reproduction:
    """A table run again.

    Parameters
    ----------
    request : what was reproduced
    outcomes : what became of each row, in the order of the table
    set_aside : clips that could not be used
    signature : names everything that the numbers were measured from
    """

    request: Request
    outcomes: tuple[Outcome, ...]
    set_aside: tuple[SetAside, ...]
    signature: str

    @property
    def failed(self) -> list[Outcome]:
        """Rows that could not be trained."""
        return [outcome for outcome in self.outcomes if outcome.status == FAILED]

    def write(self, workspace: Workspace, files: Mapping[str, bytes]) -> Path:
        """Write files to a sealed folder of this table; returns the folder."""
        folder = workspace.table(self.request.table.name, self.signature)
        with locked(folder):
            for name, content in files.items():
                atomic_write(folder / name, content)
            # Last, so that a folder with a manifest is whole.
            seal(folder, "table", files, identity=folder.name)
        return folder


def reproduce(
    request: Request,
    workspace: Workspace,
    watch: Watch | None = None,
    on_embed: OnEmbed | None = None,
    engine: str = LOCAL,
) -> Reproduction:
    """Train what is missing and measure every row.

    Parameters
    ----------
    request : what to reproduce
    workspace : where runs are written
    watch : context manager factory that shows the progress of runs, or None
    on_embed : called with encoder name, contents done, contents in all; or None
    engine : see `ensemble.engine.check_engine`

    Raises
    ------
    StackedMOSError
        when the engine cannot work, the disk is full or a worker was killed. What goes
        wrong in a single row is reported there.
    """
    training = Training(workspace, engine, watch=watch, on_embed=on_embed)
    _check_engine_works(training)

    # Rows that share encoders and settings share embeddings and most base models.
    rows_of_setup: dict[RowSetup, list[Row]] = {}
    for row in request.table.rows:
        # A row with a reason cannot be run here, such as another team's system.
        if not row.reason:
            rows_of_setup.setdefault(request.setup(row), []).append(row)
    trained = {
        setup: _train_rows(request, setup, rows, training)
        for setup, rows in rows_of_setup.items()
    }

    outcomes = tuple(
        measure_row(request, row, trained.get(request.setup(row)))
        for row in request.table.rows
    )
    return Reproduction(
        request=request,
        outcomes=outcomes,
        set_aside=_set_aside(trained.values()),
        signature=_signature(request, trained.values()),
    )


def _check_engine_works(training: Training) -> None:
    # Asked once, or embedding would fail again for every row.
    if training.engine != LOCAL:
        list(spread(int, [()], training.engine, shared=training.workspace.root))


def _train_rows(
    request: Request, setup: RowSetup, rows: Iterable[Row], training: Training
) -> TrainedModels | FoldModels:
    """Train the base models of all rows that share encoders and settings."""
    models = [
        model
        for row in rows
        for repetition in request.models(row)
        for model in repetition
    ]
    distinct_models = list(dict.fromkeys(models))
    if request.table.folds:
        return cross_validate(request, setup, distinct_models, training)
    return train_models(request, setup, distinct_models, training)


def _set_aside(trained: Iterable[TrainedModels | FoldModels]) -> tuple[SetAside, ...]:
    """Every clip that some encoder could not use, once."""
    by_id = {clip.clip_id: clip for each in trained for clip in each.set_aside}
    return tuple(by_id.values())


def _signature(request: Request, trained: Iterable[TrainedModels | FoldModels]) -> str:
    """Ten hex digits of everything that decides the numbers of a table."""
    # Failures count too: once a row can be trained, the table is another one.
    runs = [word for each in trained for word in each.fingerprints]
    truth = None
    if request.system_truth is not None:
        truth = request.system_truth.scores.to_csv()
    decided_by = [
        TABLES_VERSION,
        request.table.name,
        request.table.split,
        request.seeds,
        request.quick,
        sorted(runs),
        truth,
    ]
    return sha256(to_json(decided_by))[:10]
