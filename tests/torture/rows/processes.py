"""Several processes share one folder: what each finds is whole, and all end equal."""

from __future__ import annotations

import functools
import json
import time
from pathlib import Path

import numpy as np
from torture.harness import Outcome, Row
from torture.killing import copied, ended, in_child, leftovers, state_of
from torture.small_runs import STACK, SmallRuns, stack_word

from base_models.files import locks
from ensemble.training.rated_clips import RatedClips

WORKERS = (2, 4, 8)
ROUNDS = 50
"""Rounds of every number of processes, with locks and without."""
ROUNDS_IN_CASE = 5
KINDS = (
    "embedding, logmel",
    "clip table written again",
    "base model and folds",
    "stack over an older one",
    "pointer",
)
"""Work that the rounds do in turn."""
READS = 20
"""How often the writer writes, and the reader reads, in a round."""


class Torture(Row):
    """Rounds of 2, 4 and 8 processes, locks real and off; readers beside a writer.

    A case is some rounds of one number of processes and one kind of lock.
    """

    what = "2, 4, 8 processes on one folder, locks real and off; predict while fit"
    passes_when = "0 torn, hashes equal"
    at_least = 7 * ROUNDS
    n_cases = 7 * ROUNDS // ROUNDS_IN_CASE
    n_share = 2
    seconds = 120.0

    _runs: SmallRuns | None = None

    def prepare(self) -> None:
        """Make the states that work starts from, and those that it ends with."""
        runs = SmallRuns(self.shared, with_muq=False)
        runs.write()
        runs.warm_up()
        (self.shared / "start").mkdir()
        done = self.shared / "done"
        done.mkdir()
        states = {}
        for kind in KINDS:
            work, start = runs.works[kind]
            before = self.shared / "start" / (start or "nowhere")
            if start:
                child = in_child(functools.partial(runs.write_start, start, before))
                assert ended(child) == 0
            root = copied(before, done)
            assert ended(in_child(functools.partial(work, root))) == 0
            states[kind] = state_of(root)
        (self.shared / "states.json").write_text(json.dumps(states))

    def run(self, case: int, folder: Path, rng: np.random.Generator) -> Outcome:
        """Let processes work at once, in some rounds, and compare."""
        if self._runs is None:
            self._runs = SmallRuns(self.shared, with_muq=False)
            self._runs.warm_up()
            self._states = json.loads((self.shared / "states.json").read_text())
        group, number = divmod(case, ROUNDS // ROUNDS_IN_CASE)
        if group == 2 * len(WORKERS):
            return self._read_while_written(folder)
        n_workers = WORKERS[group // 2]
        has_locks = group % 2 == 0
        what = f"{n_workers} processes, locks {'real' if has_locks else 'off'}"
        for k in range(ROUNDS_IN_CASE):
            kind = KINDS[(number + k) % len(KINDS)]
            wrong = self._round(kind, n_workers, has_locks, folder)
            if wrong:
                return Outcome(what, f"{kind}: {wrong}", k + 1)
        return Outcome(what, tried=ROUNDS_IN_CASE)

    def _round(self, kind: str, n_workers: int, has_locks: bool, folder: Path) -> str:
        assert self._runs is not None
        work, start = self._runs.works[kind]
        root = copied(self.shared / "start" / (start or "nowhere"), folder)
        at_once = _Start()
        before = at_once.wait if has_locks else functools.partial(_unlocked, at_once)
        children = [
            in_child(functools.partial(work, root), before=before)
            for _ in range(n_workers)
        ]
        codes = [ended(child) for child in children]
        if any(codes):
            return f"they end with {codes}"
        if state_of(root) != self._states[kind]:
            return "they end unequal"
        left = leftovers(root)
        return f"left behind: {left[0]}" if left else ""

    def _read_while_written(self, folder: Path) -> Outcome:
        """A reader of a stack and a table, while a writer replaces them."""
        assert self._runs is not None
        runs = self._runs
        what = "readers beside a writer"
        root = folder / "root"
        runs.write_start(STACK, root)
        runs.write_moved_table(root, "elsewhere.wav")

        n_writes = READS * ROUNDS_IN_CASE

        writer = in_child(functools.partial(_write_again, runs, root, n_writes))
        reader = in_child(functools.partial(_read_again, runs, root, n_writes))
        codes = [ended(writer), ended(reader)]
        if any(codes):
            return Outcome(what, f"writer and reader end with {codes}", ROUNDS_IN_CASE)
        return Outcome(what, tried=ROUNDS_IN_CASE)


class _Start:
    """A moment that children wait for, so that they work at the same time."""

    def __init__(self) -> None:
        self._at = time.monotonic() + 0.05

    def wait(self) -> None:
        """Until the moment has come."""
        time.sleep(max(0.0, self._at - time.monotonic()))


def _unlocked(start: _Start) -> None:
    """As on a file system whose locks say yes to everybody."""
    locks._lock = lambda file, *, wait: True
    start.wait()


def _write_again(runs: SmallRuns, root: Path, n_writes: int) -> None:
    for k in range(n_writes):
        (runs.save_stack, runs.save_older_stack)[k % 2](root)
        runs.write_moved_table(root, f"{k}.wav")


def _read_again(runs: SmallRuns, root: Path, n_reads: int) -> None:
    for _ in range(n_reads):
        assert stack_word(root) in ("old", "new")
        table = RatedClips.load(root / "data" / "table")
        assert table.frame["audio"].nunique() == 1
