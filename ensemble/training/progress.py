"""Progress of training runs, read from the small files that they write: bars on a terminal, plain lines in a log.

Runs may live in other processes; a file per run is all they share, so a watcher can come and go without disturbing
them.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from base_models.errors import DamagedArtifact
from base_models.files import read_json
from ensemble.training.base_model_run import PROGRESS, BaseRun

PLAIN_SECONDS = 20.0
"""Without a terminal, at most one line per run in so many seconds."""


def _record(run: BaseRun) -> dict[str, Any] | None:
    for folder in (run.folder, *([run.fold_folder] if run.folds else [])):
        with contextlib.suppress(
            DamagedArtifact
        ):  # not there, or removed between two looks: that part has ended
            return read_json(folder / PROGRESS)
    return None


def _figures(record: dict[str, Any]) -> str:
    srcc = " ".join(
        "-" if value is None else f"{value:.3f}" for value in record["srcc"]
    )
    part = f"{record['part']} " if record["part"] else ""
    return f"{part}loss {record['loss']:.3f} SRCC {srcc} (best: epoch {record['best']})"


class _Plain:
    def __init__(self, console: Console):
        self.console, self.told, self.ended = console, {}, set()

    def show(self, runs: Sequence[BaseRun]) -> None:
        for run in runs:
            record = _record(run)
            if run.name in self.ended:
                continue
            if run.is_finished():
                self.ended.add(run.name)
                self.console.print(
                    f"{run.name}: done ({len(self.ended)} of {len(runs)})",
                    highlight=False,
                    soft_wrap=True,
                )
            elif (
                record
                and time.monotonic() - self.told.get(run.name, -PLAIN_SECONDS)
                >= PLAIN_SECONDS
            ):
                self.told[run.name] = time.monotonic()
                left = record["seconds"] * (record["max_epochs"] - record["epoch"])
                epoch = f"epoch {record['epoch']}/{record['max_epochs']}"
                self.console.print(
                    f"{run.name}: {epoch} {_figures(record)}, at most {left:.0f} s left",
                    highlight=False,
                    soft_wrap=True,
                )


class _Bars:
    def __init__(self, progress: Progress):
        self.progress, self.tasks = progress, {}

    def show(self, runs: Sequence[BaseRun]) -> None:
        for run in runs:
            record, sealed = _record(run), run.is_finished()
            if record is None and not (sealed and run.name in self.tasks):
                continue
            if run.name not in self.tasks:
                self.tasks[run.name] = self.progress.add_task(
                    run.name, total=record["max_epochs"], figures=""
                )
            task = self.tasks[run.name]
            if sealed:
                total = self.progress.tasks[task].completed
                self.progress.update(task, total=total)
            else:
                self.progress.update(
                    task,
                    completed=record["epoch"],
                    total=record["max_epochs"],
                    figures=_figures(record),
                )


@contextlib.contextmanager
def watch(runs: Sequence[BaseRun]) -> Iterator[None]:
    """Show the progress of `runs` on standard error while the body trains them."""
    console = Console(stderr=True)
    bars = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}"),
        console=console,
    )
    with bars if console.is_terminal else contextlib.nullcontext():
        view = _Bars(bars) if console.is_terminal else _Plain(console)
        over = threading.Event()

        def look() -> None:
            while not over.wait(0.5):
                view.show(runs)

        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            view.show(runs)


@contextlib.contextmanager
def encoding() -> Iterator[Any]:
    """Yield an ``on_progress(encoder, done, total)`` that shows how far each frozen encoder is, on standard error."""
    console = Console(stderr=True)
    bars = Progress(
        TextColumn("embedding with {task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
    )
    tasks: dict[str, Any] = {}
    told: dict[str, float] = {}
    started = time.monotonic()

    def on_terminal(encoder: str, done: int, total: int) -> None:
        if encoder not in tasks:
            tasks[encoder] = bars.add_task(encoder, total=total)
        bars.update(tasks[encoder], completed=done)

    def in_a_log(encoder: str, done: int, total: int) -> None:
        if (done == total and encoder not in told) or time.monotonic() - told.get(
            encoder, started
        ) >= PLAIN_SECONDS:
            told[encoder] = time.monotonic()
            console.print(
                f"embedding with {encoder}: {done} of {total}",
                highlight=False,
                soft_wrap=True,
            )

    with bars if console.is_terminal else contextlib.nullcontext():
        yield on_terminal if console.is_terminal else in_a_log
