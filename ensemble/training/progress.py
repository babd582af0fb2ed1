"""Progress of training runs: bars on a terminal, plain lines in a log.

It is read from the small file that each run writes, since runs may live in other
processes. Watching can start and stop without disturbing them.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from base_models.clips.segments.windows import DIVIDING
from base_models.encoders import known_encoders
from base_models.errors import DamagedArtifact, MachineFault
from base_models.files import from_guarded_json, read_bytes
from ensemble.screen import streams
from ensemble.screen.screen import Screen
from ensemble.training.base_model_run import (
    FINGERPRINTS,
    PROGRESS,
    SCORING,
    BaseRun,
    failure_of,
)

PLAIN_SECONDS = 20.0
"""Without a terminal, seconds between two lines about the same run."""
_SPEED_SECONDS = 3600.0
"""Seconds over which the speed of a bar is measured."""
LOOK_SECONDS = 0.5
"""Seconds between two looks at the progress files."""


def _read_progress(run: BaseRun) -> dict[str, Any] | None:
    """The last record of a run, or None where it is not training."""
    folders = [run.folder]
    if run.folds:
        folders.append(run.fold_folder)
    for folder in folders:
        # The file may be missing, or be removed while it is read, when a part ends.
        with contextlib.suppress(DamagedArtifact):
            path = folder / PROGRESS
            record = from_guarded_json(read_bytes(path), str(path), known=())
            # Nothing is shown of what is no progress of a run.
            if {"epoch", "max_epochs", "seconds", "loss"} <= set(record):
                return record
    return None


def _figures(record: dict[str, Any]) -> str:
    """Loss, rank correlation per aspect and the best epoch so far.

    A run that selects no epoch has only the loss that it is trained on.
    """
    if record["loss"] is None:
        figures = f"training loss {record['train_loss']:.3f}"
        return f"{record['part']} {figures}" if record["part"] else figures

    correlations = [
        f"{aspect} -" if value is None else f"{aspect} {value:.3f}"
        for aspect, value in zip(record["aspects"], record["srcc"], strict=True)
    ]
    figures = (
        f"loss {record['loss']:.3f}, SRCC {', '.join(correlations)} "
        f"(best: epoch {record['best']})"
    )
    return f"{record['part']} {figures}" if record["part"] else figures


class _PlainLines:
    """Progress as lines: one per run every `PLAIN_SECONDS`, and one when it ends."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.shown_at: dict[str, float] = {}
        self.ended: set[str] = set()

    def show(self, runs: Sequence[BaseRun]) -> None:
        for run in runs:
            record = _read_progress(run)
            if run.name in self.ended:
                continue
            if run.is_finished():
                self.ended.add(run.name)
                self._print(f"{run.name}: done ({len(self.ended)} of {len(runs)})")
            elif failure_of(run.folder):
                self.ended.add(run.name)
                self._print(f"{run.name}: could not be trained")
            elif record and self._is_due(run.name):
                self.shown_at[run.name] = time.monotonic()
                self._print(f"{run.name}: {self._describe(record)}")

    def _is_due(self, name: str) -> bool:
        shown_at = self.shown_at.get(name, -PLAIN_SECONDS)
        return time.monotonic() - shown_at >= PLAIN_SECONDS

    def _describe(self, record: dict[str, Any]) -> str:
        epochs_left = record["max_epochs"] - record["epoch"]
        seconds_left = record["seconds"] * epochs_left
        return (
            f"epoch {record['epoch']}/{record['max_epochs']} {_figures(record)}, "
            f"at most {seconds_left:.0f} s left"
        )

    def _print(self, line: str) -> None:
        self.console.print(line, highlight=False, soft_wrap=True)


class _Bars:
    """Progress as one bar per run."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.tasks: dict[str, TaskID] = {}

    def show(self, runs: Sequence[BaseRun]) -> None:
        for run in runs:
            record = _read_progress(run)
            is_finished = run.is_finished()
            if run.name not in self.tasks:
                # A run that has not begun has no bar yet.
                if record is None:
                    continue
                self.tasks[run.name] = self.progress.add_task(
                    run.name, total=record["max_epochs"], figures=""
                )

            task = self.tasks[run.name]
            if is_finished:
                # Training may stop before the last epoch, and its bar is full then.
                completed = self.progress.tasks[task].completed
                self.progress.update(task, total=completed)
            elif failure_of(run.folder):
                self.progress.update(task, figures="could not be trained")
            elif record is not None:
                self.progress.update(
                    task,
                    completed=record["epoch"],
                    total=record["max_epochs"],
                    figures=_figures(record),
                )


@contextlib.contextmanager
def watch(runs: Sequence[BaseRun]) -> Iterator[None]:
    """Show the progress of `runs` on standard error while the body trains them."""
    console = Screen(stderr=True)
    has_bars = console.is_terminal and not streams.is_quiet()
    bars = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        TextColumn("epoch"),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}", markup=False),
        console=console,
    )
    with bars if has_bars else contextlib.nullcontext():
        view = _Bars(bars) if has_bars else _PlainLines(console)
        ended = threading.Event()

        def show() -> None:
            # Whoever trains tells what fails: here it is only looked at.
            with contextlib.suppress(MachineFault):
                view.show(runs)

        def look() -> None:
            while not ended.wait(LOOK_SECONDS):
                show()

        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            # Once more, for what ended since the last look.
            show()


@contextlib.contextmanager
def encoding() -> Iterator[Callable[[str, int, int], None]]:
    """Show on standard error how far each frozen encoder is.

    Yields
    ------
    on_progress : callable
        Called as ``on_progress(encoder, done, total)``, or with `FINGERPRINTS`,
        `DIVIDING` or `SCORING` in place of an encoder.
    """
    console = Screen(stderr=True)
    has_bars = console.is_terminal and not streams.is_quiet()
    bars = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        # Of workers elsewhere nothing is heard for minutes.
        speed_estimate_period=_SPEED_SECONDS,
    )
    tasks: dict[str, TaskID] = {}
    shown_at: dict[str, float] = {}
    started = time.monotonic()
    paces: dict[str, _Pace] = {}

    def update_bar(encoder: str, done: int, total: int) -> None:
        if encoder not in tasks:
            tasks[encoder] = bars.add_task(_step(encoder, ""), total=total)
        bars.update(tasks[encoder], completed=done)

    def print_line(encoder: str, done: int, total: int) -> None:
        pace = paces.setdefault(encoder, _Pace(done))
        # Short work is reported once, when it ends.
        is_first_and_last = done == total and encoder not in shown_at
        seconds = time.monotonic() - shown_at.get(encoder, started)
        if is_first_and_last or seconds >= PLAIN_SECONDS:
            shown_at[encoder] = time.monotonic()
            line = _step(encoder, f"{done} of {total} ") + pace.time_left(done, total)
            console.print(line, highlight=False, soft_wrap=True)

    with bars if has_bars else contextlib.nullcontext():
        yield update_bar if has_bars else print_line


@dataclass
class _Pace:
    """How fast something is done, from the first count of it on.

    Parameters
    ----------
    done : int
        What was done before.
    """

    done: int
    started: float = field(default_factory=time.monotonic)

    def time_left(self, done: int, total: int) -> str:
        """Words for the time until the end; "" where it cannot be told or is here."""
        n_done = done - self.done
        if n_done <= 0 or done >= total:
            return ""
        seconds = (total - done) * (time.monotonic() - self.started) / n_done
        return f", about {duration(seconds)} left"


def duration(seconds: float) -> str:
    """A time in the unit that suits it.

    >>> duration(41.2), duration(5400), duration(500_000)
    ('41 s', '90 min', '139 h')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 3 * 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h"


def _step(encoder: str, count: str) -> str:
    """What is being done to how many clips or prompts, in words.

    >>> _step("muq", "12 of 104 ")
    'Embedding 12 of 104 clips, muq'
    """
    if encoder == FINGERPRINTS:
        return f"Looking for copies among {count}recordings"
    if encoder == DIVIDING:
        return f"Measuring {count}clips for windows"
    # Clips that are set aside are done with, too.
    if encoder == SCORING:
        return f"Processed {count}clips"
    spec = known_encoders().specs.get(encoder)
    unit = "prompts" if spec is not None and spec.kind == "text" else "clips"
    return f"Embedding {count}{unit}, {encoder}"
