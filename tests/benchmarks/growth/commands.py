"""The commands that are measured, in the order of a user's work, each as a process."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.growth.corpus import Corpus

_ROOT = Path(__file__).parents[3]
_LAUNCH = "import sys; sys.argv[0] = {0!r}; from ensemble.cli.{0} import main; main()"
ENCODERS = ("--audio-encoder", "logmel", "--text-encoder", "hashed_text")
# Rows without ratings of an aspect and the like are no failure of a measurement.
_FINE = (0, 3)


@dataclass(frozen=True)
class Measured:
    """What a command took on so many clips.

    Parameters
    ----------
    step : str
    n_clips : int
    seconds : float
        Of CPU, of all processes of the command.
    megabytes : float
        That its largest process held at most.
    """

    step: str
    n_clips: int
    seconds: float
    megabytes: float


def one_epoch(clips: str) -> tuple[str, ...]:
    """Words that train models on a table of clips for one epoch."""
    return ("fit_base", "--data", clips, *ENCODERS, "--set", "max_epochs=1")


def measure_all(corpus: Corpus, n_clips: int, folder: Path) -> Iterator[Measured]:
    """Run the commands on a corpus one after the other, and measure each."""
    artifacts = ("--artifacts", str(folder / "artifacts"))
    stacked = ("--artifacts", str(folder / "stacked"))
    clips = str(corpus.clips)
    scores = str(folder / "scores.csv")
    train = (*one_epoch(clips), "--jobs", "1", *artifacts)
    steps = {
        "check_clips": ("check_clips", clips),
        "fill and fit_base": (*train, "--models", "dora:1"),
        # The store is full by now: what is left is one epoch of another model.
        "fit_base, one epoch": (*train, "--models", "dora_mean:1"),
        "fit_meta, 9 predictors": (
            "fit_meta",
            "--predictions",
            *map(str, corpus.predictions),
            "--labels",
            clips,
            *stacked,
        ),
        "fit_meta, networks": ("fit_meta", *artifacts),
        "predict_mos": ("predict_mos", "--clips", clips, "-o", scores, *artifacts),
        "evaluate_mos": ("evaluate_mos", scores, clips),
    }
    for step, words in steps.items():
        yield _measured(step, n_clips, words)


def run_command_line(*words: str) -> resource.struct_rusage:
    """Run a command as a process of its own; what it and its children used.

    Raises
    ------
    SystemExit
        If the command fails, with the last line that it said.
    """
    command, *arguments = words
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(_ROOT),
    }
    with subprocess.Popen(
        [sys.executable, "-c", _LAUNCH.format(command), *arguments],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        said = process.stderr.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in _FINE:
        last = " ".join(said.strip().splitlines()[-1:])
        raise SystemExit(f"{command} ended with {process.returncode}: {last}")
    return used


def _measured(step: str, n_clips: int, words: tuple[str, ...]) -> Measured:
    used = run_command_line(*words)
    seconds = used.ru_utime + used.ru_stime
    return Measured(step, n_clips, seconds, used.ru_maxrss / 1024)
