"""Calls of the system that fail while a command reads or writes.

Each case runs one command in a forked child in which one call fails. The command may
end well, where it can do without what failed; otherwise it has to stop with the code of
a failing machine. Then nothing may have changed but for what is whole.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import resource
import shutil
import traceback
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from builders import listening_test, tones
from commands import call
from torture.harness import Outcome, Row
from torture.machine_faults import (
    BYTES_OF_A_FILE,
    ERRORS,
    FILES_AT_ONCE,
    LIST,
    LOOK,
    OPEN,
    FailingSystem,
    Fault,
)

from base_models.clips.audio_files.apart.limits import SECONDS_VARIABLE
from base_models.errors import MachineFault, final_name
from base_models.files import Artifact, sha256

COMMANDS = ("check_clips", "fit_base", "fit_meta", "predict_mos")
_IN_TURN = (
    *("predict_mos", "check_clips", "fit_base"),
    *("predict_mos", "check_clips", "fit_base"),
    *("predict_mos", "check_clips", "fit_meta"),
)
"""Commands of the cases: those that take longer come less often."""
_ENCODERS = ("--audio-encoder", "logmel", "--text-encoder", "hashed_text")
_NONE = Fault("", 0, "", is_lasting=False)
_OF_PERMISSION = {"EACCES", "EROFS"}
_USAGE = 2
_LONGEST = 500
# Ends that depend on when and where a command ran, and of which nothing is promised.
_NOT_COMPARED = re.compile(
    r"/(run\.json|manifest\.json|progress\.json|report\.html)$|(log\.jsonl|\.meta\.json)$"
)


@dataclass(frozen=True)
class Ended:
    """How a command ended in a child.

    Parameters
    ----------
    code : exit code, or None where the child died
    out : standard output, without the folder that it was called in
    err : standard error, or the traceback of what got through
    counts : calls of each kind
    failed_at : paths of the calls that failed, "" where one names none
    """

    code: int | None = None
    out: str = ""
    err: str = ""
    counts: dict[str, int] = field(default_factory=dict)
    failed_at: Sequence[str] = ()


class Torture(Row):
    """One call of a command fails: the N-th of its kind, once or for ever."""

    what = "I/O faults, N-th call, once and for ever"
    passes_when = "0 last good states lost, 0 blamed on a clip, the path named"
    at_least = 500
    n_cases = 520
    n_share = 5
    # The first case of a worker imports what commands do, which takes long while others
    # do so too.
    seconds = 120.0

    def prepare(self) -> None:
        """Make clips, artifacts, and what every command does where nothing fails."""
        sounds = tones(12, 0.3, pitches=12, noise=0.01)
        splits = {"train": 6, "dev": 6}
        labels = {"mi": np.linspace(1.2, 4.8, 12)}
        (self.shared / "clips").mkdir()
        listening_test(self.shared / "clips", sounds, splits, labels=labels)
        _warm_up()
        # An older state, which a command that fails must not touch.
        for command in ("fit_base", "fit_meta"):
            ended = self._run(command, self.shared, _NONE)
            assert ended.code == 0, ended.err

        for command in COMMANDS:
            folder = self.shared / command
            folder.mkdir()
            self._copy_state(folder)
            ended = self._run(command, folder, _NONE)
            # Findings of check_clips are about the few clips that there are.
            assert ended.code == (3 if command == "check_clips" else 0), ended.err
            facts = json.dumps(asdict(ended))
            (self.shared / f"{command}.json").write_text(facts)

    def run(self, case: int, folder: Path, rng: np.random.Generator) -> Outcome:
        """Let one call of a command fail, and look at what is left."""
        _warm_up()
        command = _IN_TURN[case % len(_IN_TURN)]
        right = Ended(**json.loads((self.shared / f"{command}.json").read_text()))
        counts = right.counts
        # Files that are open at once, and sizes of the files that are written.
        counts |= {FILES_AT_ONCE: 9, BYTES_OF_A_FILE: 9_000}
        calls = [kind for kind in ERRORS if counts.get(kind)]
        kind = calls[case // len(_IN_TURN) % len(calls)]
        fault = Fault(
            kind,
            int(rng.integers(1, counts[kind] + 1)),
            str(rng.choice(ERRORS[kind])),
            is_lasting=bool(rng.integers(2)),
        )
        self._copy_state(folder)
        before = _contents(folder)
        ended = self._run(command, folder, fault)
        wrong = _complaint(ended, fault, right)
        # Nothing can be removed where no folder can be opened any more.
        may_leave = fault.is_lasting and kind in {OPEN, LIST, LOOK}
        may_leave = may_leave or kind == FILES_AT_ONCE
        if not wrong:
            wrong = self._loss(command, folder, before, may_leave)
        return Outcome(fault.error, wrong and f"{command}, {fault}: {wrong}")

    def _copy_state(self, folder: Path) -> None:
        """The artifacts as a command finds them, and a file that it will replace.

        Without what is kept of audio, so that every clip is read anew.
        """
        of_audio = shutil.ignore_patterns("embeddings", "fingerprints")
        shutil.copytree(self.shared / "art", folder / "art", ignore=of_audio)
        (folder / "scores.csv").write_text("old")

    def _words(self, command: str, folder: Path) -> list[str]:
        table = str(self.shared / "clips" / "clips.csv")
        artifacts = ["--artifacts", str(folder / "art")]
        if command == "check_clips":
            return [table]
        if command == "fit_base":
            # Another model than the one that is there.
            model = "pooled_ridge" if folder == self.shared else "pooled_svr"
            words = ["--data", table, "--models", model, *_ENCODERS, "--jobs", "1"]
            return [*words, *artifacts]
        if command == "fit_meta":
            learner = "mean" if folder == self.shared else "ridge"
            return ["--learner", learner, "--rivals", "mean", *artifacts]
        wavs = sorted(map(str, (self.shared / "clips").glob("*.wav")))
        return [*wavs[:4], "-o", str(folder / "scores.csv"), *artifacts]

    def _run(self, command: str, folder: Path, fault: Fault) -> Ended:
        """Run a command in a child in which a call fails."""
        system = FailingSystem(fault, [self.shared / "clips", folder])
        words = self._words(command, folder)
        return _in_child(lambda: _ended(system, command, words, folder))

    def _loss(
        self, command: str, folder: Path, before: dict[str, str], may_leave: bool
    ) -> str:
        """What was lost of the state before, or is neither that nor the right one."""
        right = _contents(self.shared / command)
        after = _contents(folder)
        left = [name for name in after if re.search(r"\.tmp(/|$)", name)]
        if left and not may_leave:
            return f"a temporary is left: {left[0]}"
        for name, content in before.items():
            if after.get(name) not in (content, right.get(name)):
                return f"{name} was {'changed' if name in after else 'lost'}"
        for name, content in after.items():
            is_new = name not in [*before, *left] and not _NOT_COMPARED.search(name)
            if is_new and right.get(name) != content:
                return f"{name} is another one than where nothing fails"
        for manifest in folder.rglob("manifest.json"):
            if ".tmp/" in str(manifest):
                continue
            facts = json.loads(manifest.read_text())
            Artifact(manifest.parent, facts["role"]).verify()
        return ""


def _complaint(ended: Ended, fault: Fault, right: Ended) -> str:
    """What is wrong with how a command ended; "" when nothing is.

    Parameters
    ----------
    ended : with the fault
    fault : what failed
    right : the same command where nothing failed
    """
    if ended.code is None:
        return f"the child died: {ended.err[-300:]}"
    if "Traceback" in ended.err:
        begin = ended.err.index("Traceback")
        return f"a traceback: {ended.err[begin : begin + 1000]}"
    if "set aside" in ended.err:
        return f"blamed on a clip: {ended.err[-300:]}"
    if ended.code == right.code:
        same = ended.out == right.out
        return "" if same else f"it ended well with another result: {ended.out[:300]}"
    last = ended.err.rstrip().rpartition("\n")[2]
    codes = {MachineFault.exit_code}
    if fault.error in _OF_PERMISSION:
        codes.add(_USAGE)
    if ended.code not in codes:
        return f"exit code {ended.code}: {last}"
    if not last.startswith("error: ") or len(last) > _LONGEST:
        return f"not a line of an error: {last}"
    if ".tmp" in last:
        return f"a temporary is named: {last}"
    # Of a limit it is not known where it was reached.
    is_named = any(_names(last, path) for path in ended.failed_at or [""])
    return "" if is_named else f"no path in: {last}"


def _names(message: str, path: str) -> bool:
    """Whether a message names a path, a folder that it is in, or something in it."""
    path = final_name(os.path.abspath(path)) if path else ""
    named = [word.rstrip(".,:;'") for word in re.findall(r"/[^\s:']+", message)]
    if not path:
        return bool(named)
    return any(
        os.path.commonpath([word, path]) in (word, path)
        for word in named
        if word != "/"
    )


def _contents(folder: Path) -> dict[str, str]:
    """Digest of every file of a state, by its path."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != ".lock":
            # Reports say where they lie.
            data = path.read_bytes().replace(str(folder).encode(), b"")
            found[str(path.relative_to(folder))] = sha256(data)
    return found


# ---- commands in children


def _warm_up() -> None:
    """Import what commands import, so that a child need not."""
    for command in COMMANDS:
        importlib.import_module(f"ensemble.cli.{command}")
    for name in (
        "ensemble.estimator.stacked_mos",
        "base_models.encoders",
        "skops.io",
        "torch",
        "soxr",
    ):
        importlib.import_module(name)


def _ended(
    system: FailingSystem, command: str, words: list[str], folder: Path
) -> dict[str, Any]:
    # Calls can be counted in this process alone; limits hold in all.
    if system.fault.call != FILES_AT_ONCE:
        os.environ[SECONDS_VARIABLE] = "none"
    system.install()
    code, out, err = call(command, *words)
    return {
        "code": code,
        "out": out.replace(str(folder), ""),
        "err": err,
        "counts": dict(system.counts),
        "failed_at": sorted(system.failed_at),
    }


def _in_child(work: Any) -> Ended:
    """What `work` returns in a forked child."""
    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        facts = {}
        try:
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            facts = work()
        except BaseException:
            facts = {"err": traceback.format_exc()}
        finally:
            os.write(into, json.dumps(facts).encode())
            os._exit(0)
    os.close(into)
    with open(out, "rb") as answer:
        data = answer.read()
    os.waitpid(child, 0)
    return Ended(**json.loads(data)) if data else Ended()
