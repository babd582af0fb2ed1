"""What a row of the torture is, and how its cases are run.

A row is a kind of fault; a case is one fault of that kind, which its number and the
seed fix. Cases run in worker processes that are watched: one that dies or hangs is a
failed case, and the others go on.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import zlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

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
        subprocess.run(
            _command(name, seed, ["--prepare", str(shared)]),
            check=True,
            env=_environment(),
        )
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
        ended = self._process.poll()
        for record in self._new_records():
            self.outcomes.append((self._left.pop(0), Outcome(**record)))
            self._since = time.monotonic()
        if not self._left:
            self._process.wait()
            return False
        if ended is not None:
            self._give_up(f"the worker ended with {ended}")
        elif time.monotonic() - self._since > seconds:
            self._give_up(f"it hung for {seconds:g} s")
        return bool(self._left)

    def _start(self) -> subprocess.Popen[bytes]:
        self._log = self._folder / f"log{len(self._left)}.jsonl"
        self._log.touch()
        self._n_read = 0
        self._since = time.monotonic()
        numbers = ",".join(str(case) for case in self._left)
        words = ["--worker", str(self._shared), "--cases", numbers]
        words += ["--log", str(self._log)]
        # What a worker that is killed leaves behind goes with the row's folder.
        return subprocess.Popen(
            _command(self._name, self._seed, words),
            env={**_environment(), "TMPDIR": str(self._folder)},
            cwd=self._folder,
            start_new_session=True,
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


def work(name: str, seed: int, cases: list[int], shared: Path, log: Path) -> None:
    """Run cases one after the other, and log what became of each."""
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


def _command(name: str, seed: int, words: list[str]) -> list[str]:
    return [sys.executable, "-m", "torture", name, "--seed", str(seed), *words]


def _environment() -> dict[str, str]:
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    path = os.pathsep.join((str(ROOT), str(ROOT / "tests")))
    return {**os.environ, **one_thread, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1"}


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a worker with all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
