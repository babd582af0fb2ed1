"""What a row of the torture is, and how its cases are run.

A row is a kind of fault; a case is one fault of that kind, which its number and the
seed fix. Cases run in worker processes that are watched: one that dies or hangs is a
failed case, and the others go on. All workers are forked from one process that has
everything imported (`torture.imported`), as imports take longer than most cases.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import multiprocessing
import os
import signal
import tempfile
import time
import zlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import numpy as np

ROOT = Path(__file__).parents[2]
ROWS = tuple(
    sorted(path.stem for path in (Path(__file__).parent / "rows").glob("[a-z]*.py"))
)
"""Names of the rows, each a module of `torture.rows` with a class `Torture`."""
_LOOK_EVERY = 0.05
"""Seconds between two looks at the workers."""


class Outcome(NamedTuple):
    """What became of a case.

    Parameters
    ----------
    kind : what was tried, in words; cases of one kind are counted together
    failure : what went wrong, in a line; "" when all held
    tried : how many faults the case tried
    """

    kind: str
    failure: str = ""
    tried: int = 1


class Row(ABC):
    """A kind of fault, with the cases that try it.

    Parameters
    ----------
    shared : folder that `prepare` fills once, and that all workers read
    seed : of the whole run

    Attributes
    ----------
    what : what is tried, for the table
    passes_when : what must hold, for the table
    at_least : how many faults a whole run has to try
    n_cases : cases of a whole run
    n_share : cases of the share that the tests run
    seconds : after which a case counts as hanging
    """

    what: str
    passes_when: str
    at_least: int
    n_cases: int
    n_share: int
    seconds: float = 60.0

    def __init__(self, shared: Path, seed: int) -> None:
        self.shared = shared
        self.seed = seed

    def prepare(self) -> None:  # noqa: B027 - not every row has something to make
        """Make what all cases need, e.g. the artifacts that they damage."""

    @abstractmethod
    def run(self, case: int, folder: Path, rng: np.random.Generator) -> Outcome:
        """Try one fault; `folder` is empty, and removed when the case has ended."""


@dataclass
class Result:
    """What became of the cases of a row.

    Parameters
    ----------
    name : of the row
    row : its class
    tried : faults by kind
    failures : case and what went wrong
    seconds : of the whole row, preparation included
    is_whole : whether all cases were run
    """

    name: str
    row: type[Row]
    tried: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[int, str]] = field(default_factory=list)
    seconds: float = 0.0
    is_whole: bool = True

    def add(self, case: int, outcome: Outcome) -> None:
        """Count a case."""
        self.tried[outcome.kind] += outcome.tried
        if outcome.failure:
            self.failures.append((case, f"{outcome.kind}: {outcome.failure}"))


def row_class(name: str) -> type[Row]:
    """The class of a row, from the module of its name, or the one that is named."""
    module = name if "." in name else f"torture.rows.{name}"
    row: type[Row] = importlib.import_module(module).Torture
    return row


def share_of(row: type[Row]) -> list[int]:
    """The cases of the share: spread over all, so that every kind is among them."""
    n_share = min(row.n_share, row.n_cases)
    return [k * row.n_cases // n_share for k in range(n_share)]


def repeating(name: str, seed: int, case: int) -> str:
    """The command that repeats a case."""
    return f"PYTHONPATH=tests python -m torture {name} --seed {seed} --case {case}"


def run_row(name: str, seed: int, cases: list[int], n_workers: int) -> Result:
    """Run cases of a row in watched workers.

    Parameters
    ----------
    name : of the row
    seed : of the whole run
    cases : numbers of the cases
    n_workers : processes that share them
    """
    row = row_class(name)
    result = Result(name, row, is_whole=len(set(cases)) == row.n_cases)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=f"torture-{name}-") as folder:
        shared = Path(folder) / "shared"
        shared.mkdir()
        # In a process of its own: workers must not inherit threads or open files.
        preparing = _started(_prepare, name, seed, shared)
        preparing.join()
        if preparing.exitcode:
            raise RuntimeError(f"{name}: preparing it ended with {preparing.exitcode}")
        slices = [cases[k::n_workers] for k in range(n_workers)]
        workers = [
            _Worker(name, seed, part, Path(folder) / f"worker{k}", shared)
            for k, part in enumerate(slices)
            if part
        ]
        busy = True
        while busy:
            time.sleep(_LOOK_EVERY)
            # A list, as every worker has to be looked at.
            busy = any([worker.is_busy(row.seconds) for worker in workers])  # noqa: C419
        for worker in workers:
            for case, outcome in worker.outcomes:
                result.add(case, outcome)
    result.failures.sort()
    result.seconds = time.monotonic() - started
    return result


class _Worker:
    """The process that runs some cases, and is replaced when it dies or hangs."""

    def __init__(
        self, name: str, seed: int, cases: list[int], folder: Path, shared: Path
    ) -> None:
        self.outcomes: list[tuple[int, Outcome]] = []
        self._name = name
        self._seed = seed
        self._left = list(cases)
        self._folder = folder
        self._shared = shared
        self._n_read = 0
        self._since = time.monotonic()
        folder.mkdir()
        self._process = self._start()

    def is_busy(self, seconds: float) -> bool:
        """Take in what was done; whether there is more to do."""
        ended = self._process.exitcode
        for record in self._new_records():
            self.outcomes.append((self._left.pop(0), Outcome(**record)))
            self._since = time.monotonic()
        if not self._left:
            self._process.join()
            return False
        if ended is not None:
            self._give_up(f"the worker ended with {ended}")
        elif time.monotonic() - self._since > seconds:
            self._give_up(f"it hung for {seconds:g} s")
        return bool(self._left)

    def _start(self) -> BaseProcess:
        self._log = self._folder / f"log{len(self._left)}.jsonl"
        self._log.touch()
        self._n_read = 0
        self._since = time.monotonic()
        return _started(
            _work, self._name, self._seed, self._left, self._shared, self._log
        )

    def _new_records(self) -> Iterator[dict[str, object]]:
        # A line without its end is still being written.
        lines = self._log.read_bytes().split(b"\n")[:-1]
        for line in lines[self._n_read :]:
            self._n_read += 1
            yield json.loads(line)

    def _give_up(self, reason: str) -> None:
        _kill_group(self._process)
        self.outcomes.append((self._left.pop(0), Outcome("ended badly", reason)))
        if self._left:
            self._process = self._start()


def _prepare(name: str, seed: int, shared: Path) -> None:
    """Make what all cases of a row need."""
    row_class(name)(shared, seed).prepare()


def _work(name: str, seed: int, cases: list[int], shared: Path, log: Path) -> None:
    """Run cases one after the other, and log what became of each."""
    # A worker that hangs is killed with all that it has started.
    os.setsid()
    # What a worker that is killed leaves behind goes with the row's folder.
    os.environ["TMPDIR"] = str(log.parent)
    tempfile.tempdir = None
    os.chdir(log.parent)
    row = row_class(name)(shared, seed)
    for case in cases:
        outcome = run_case(row, name, case)
        with log.open("ab") as file:
            file.write(json.dumps(outcome._asdict()).encode() + b"\n")


def run_case(row: Row, name: str, case: int) -> Outcome:
    """Run one case in an empty folder of its own."""
    rng = np.random.default_rng([row.seed, zlib.crc32(name.encode()), case])
    with tempfile.TemporaryDirectory(prefix=f"torture-{name}-{case}-") as folder:
        try:
            return row.run(case, Path(folder), rng)
        # A fault that surfaces where none may is what is looked for.
        except Exception as error:
            words = " ".join(f"{type(error).__name__}: {error}".split())
            return Outcome("raised", words[:500])


def _started(target: Callable[..., None], *arguments: object) -> BaseProcess:
    """A process that calls a function, forked from the one with all imports."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torture.imported"])
    process = context.Process(target=target, args=arguments)
    # It counts for what is forked from, which the first start starts.
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    path = os.pathsep.join((str(ROOT), str(ROOT / "tests")))
    given = {**one_thread, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1"}
    with mock.patch.dict(os.environ, given):
        process.start()
    return process


def _kill_group(process: BaseProcess) -> None:
    """Kill a worker with all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.join()
