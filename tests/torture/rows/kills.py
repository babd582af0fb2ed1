"""Work that is killed anywhere goes on from where it was, and ends equal."""

from __future__ import annotations

import functools
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
from torture.harness import Outcome, Row
from torture.killing import (
    Work,
    copied,
    ended,
    finished_files,
    have_ended,
    in_child,
    killed_after,
    killed_at,
    leftovers,
    state_of,
    store_calls,
)
from torture.small_runs import STACK, SmallRuns, stack_word

from base_models.processes import end_with_parent as watch
from base_models.processes.end_with_parent import end_with_parent
from ensemble.engine import spread

KILLS = 10
"""How many pieces of work a case kills, one after the other."""
CASES = {
    "embedding, logmel": 11,
    "embedding, tiny MuQ": 10,
    "clip table written again": 11,
    "base model and folds": 24,
    "network": 14,
    "stack over an older one": 12,
    "pointer": 8,
}
"""Kinds of work, and how many cases kill each."""
IN_A_ROW = {"base model and folds": 5, "network": 5}
"""How often work is killed before it may end, where that is not once or twice."""
WORKERS = ("a worker", "the parent", "the group")
N_WORKER_CASES = 12
WORKER_KILLS = 4
"""How many pieces of work a case of several workers kills."""
N_POOL_CASES = 3


class Torture(Row):
    """Kill at every store call, torn or not, at random, twice in a row, and in groups.

    A case number stands for a kind of work and the calls at which it is killed; the
    last cases kill workers, their parent, and both.
    """

    what = "SIGKILL at every store call and at random; child, parent and group; twice"
    passes_when = "0 finished lost, hashes equal, 0 temporaries, 0 orphans"
    at_least = 1000
    n_cases = sum(CASES.values()) + N_WORKER_CASES + N_POOL_CASES
    n_share = 4
    seconds = 120.0

    _runs: SmallRuns | None = None

    def prepare(self) -> None:
        """Make the states that work starts from, and those that it ends with."""
        runs = SmallRuns(self.shared)
        runs.write()
        runs.warm_up()
        facts = {}
        (self.shared / "start").mkdir()
        for kind, (work, start) in runs.works.items():
            before = self.shared / "start" / start
            if start and not before.exists():
                child = in_child(
                    lambda start=start, at=before: runs.write_start(start, at)
                )
                assert ended(child) == 0
            folder = self.shared / "done" / kind
            folder.mkdir(parents=True)
            root = copied(before if start else Path("nowhere"), folder)
            began = time.monotonic()
            n_calls = store_calls(functools.partial(work, root))
            facts[kind] = {
                "calls": n_calls,
                "seconds": time.monotonic() - began,
                "state": state_of(root),
            }
        (self.shared / "facts.json").write_text(json.dumps(facts))

    def run(self, case: int, folder: Path, rng: np.random.Generator) -> Outcome:
        """Kill the work of a case, let it end, and compare."""
        if self._runs is None:
            self._runs = SmallRuns(self.shared)
            self._runs.warm_up()
            self._facts = json.loads((self.shared / "facts.json").read_text())
        for kind, n_cases in CASES.items():
            if case < n_cases:
                return self._kill_calls(kind, case, folder, rng)
            case -= n_cases
        if case < N_WORKER_CASES:
            return self._kill_workers(WORKERS[case % 3], folder, rng)
        return self._kill_pool(WORKERS[case % 3], folder)

    def _kill_calls(
        self, kind: str, case: int, folder: Path, rng: np.random.Generator
    ) -> Outcome:
        assert self._runs is not None
        work, start = self._runs.works[kind]
        n_calls = self._facts[kind]["calls"]
        n_kills = 0
        in_a_row = IN_A_ROW.get(kind, 1)
        for first in range(case * KILLS, (case + 1) * KILLS, in_a_row):
            root = copied(self.shared / "start" / (start or "nowhere"), folder)
            done = functools.partial(work, root)
            whats = []
            for number in range(first, first + in_a_row):
                was_killed, what = self._kill_once(kind, done, number, rng)
                n_kills += was_killed
                whats.append(what)
            if in_a_row == 1 and (number >= n_calls or number % 2):
                call = int(rng.integers(n_calls))
                n_kills += killed_at(done, call)
                whats.append(f"call {call}")
            wrong = self._complaint(kind, done, root)
            if wrong:
                at = ", ".join(whats)
                return Outcome(kind, f"killed at {at}: {wrong}", n_kills)
        return Outcome(kind, tried=n_kills)

    def _kill_once(
        self, kind: str, done: Work, number: int, rng: np.random.Generator
    ) -> tuple[bool, str]:
        """Kill work as a number says; whether it was not over before, and where."""
        facts = self._facts[kind]
        if number % 7 == 6:
            seconds = float(rng.uniform(0, facts["seconds"]))
            return killed_after(done, seconds), f"{seconds:.3f} s"
        # Every call in turn; once all were, again with half a file.
        turn, call = divmod(number, facts["calls"])
        is_torn = turn % 2 == 1
        what = f"call {call}{' with half a file' if is_torn else ''}"
        return killed_at(done, call, is_torn=is_torn), what

    def _complaint(self, kind: str, done: Work, root: Path) -> str:
        """What is wrong with what was left, and with how the same work ends then."""
        if kind.startswith("stack") and not (root / STACK).exists():
            return "no stack is there"
        if kind.startswith("stack") and stack_word(root) not in ("old", "new"):
            return "another stack is there"
        before = finished_files(root) if "over" not in kind else {}
        if "again" in kind:
            before = {}
        code = ended(in_child(done))
        if code:
            return f"the same work ends with {code}"
        after = finished_files(root)
        lost = [path.name for path, about in before.items() if after.get(path) != about]
        if lost:
            return f"finished and made again: {lost[0]}"
        if state_of(root) != self._facts[kind]["state"]:
            expected = self._facts[kind]["state"]
            found = state_of(root)
            differing = sorted(
                name
                for name in expected.keys() | found.keys()
                if expected.get(name) != found.get(name)
            )
            return f"it ends unequal: {differing[:3]}"
        left = leftovers(root)
        return f"left behind: {left[0]}" if left else ""

    def _kill_workers(
        self, whom: str, folder: Path, rng: np.random.Generator
    ) -> Outcome:
        """Kill among a parent and two workers that do the same work on one folder."""
        assert self._runs is not None
        kind = "base model and folds"
        work, _ = self._runs.works[kind]
        kind_of_kill = f"{whom}, of two workers"
        for number in range(WORKER_KILLS):
            root = copied(Path("nowhere"), folder)
            pids = folder / f"pids{number}"
            done = functools.partial(work, root)

            def parent(done: Work = done, pids: Path = pids) -> None:
                own = os.getpid()
                workers = [os.fork() or _be_worker(own, done) for _ in range(2)]
                pids.write_text(" ".join(map(str, workers)))
                for worker in workers:
                    os.waitpid(worker, 0)

            child = in_child(parent)
            longest = self._facts[kind]["seconds"]
            time.sleep(float(rng.uniform(0, longest)))
            wrong = _kill(whom, child, pids)
            wrong = wrong or self._complaint(kind, done, root)
            if wrong:
                return Outcome(kind_of_kill, wrong, number + 1)
        return Outcome(kind_of_kill, tried=WORKER_KILLS)

    def _kill_pool(self, whom: str, folder: Path) -> Outcome:
        """Kill among a parent and the two processes of its pool."""
        pids = folder / "workers"
        pids.mkdir()

        def parent() -> None:
            list(spread(_work_for_ever, [(pids, k) for k in range(4)], jobs=2))

        child = in_child(parent)
        while len(list(pids.iterdir())) < 2:
            time.sleep(0.05)
        numbers = folder / "pids"
        numbers.write_text(" ".join(path.name for path in pids.iterdir()))
        wrong = _kill(whom, child, numbers, is_pool=True)
        if not wrong and len(list(pids.iterdir())) > 2:
            wrong = "a worker has taken another piece"
        return Outcome(f"{whom}, of a pool", wrong)


def _be_worker(parent: int, work: Work) -> int:
    watch.LOOK_SECONDS = 0.1
    end_with_parent(parent)
    code = 1
    try:
        work()
        code = 0
    finally:
        os._exit(code)


def _work_for_ever(folder: Path, number: int) -> None:
    (folder / str(os.getpid())).touch()
    time.sleep(3600)


def _kill(whom: str, child: int, pids: Path, is_pool: bool = False) -> str:
    """Kill one of them or all, and wait for the others; what is wrong then."""
    named: list[Any] = pids.read_text().split() if pids.exists() else []
    workers = [int(pid) for pid in named]
    if whom == "the group":
        os.killpg(child, signal.SIGKILL)
    elif whom == "a worker" and workers:
        os.kill(workers[0], signal.SIGKILL)
    else:
        os.kill(child, signal.SIGKILL)
    code = ended(child)
    if not have_ended(child):
        return "workers live on"
    # The command whose worker was killed says so, and ends.
    if is_pool and whom == "a worker" and code != 1:
        return f"the parent of a killed worker ends with {code}"
    return ""
