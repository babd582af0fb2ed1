"""The commands as tests call them, and a small corpus with a finished stack."""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, fields, replace
from pathlib import Path

import pandas as pd
import pytest

from base_models import settings
from base_models.clips.demo.corpus import write_demo
from base_models.config import BaseConfig
from ensemble.cli.shared.exit_codes import run_command
from ensemble.training.encoder_choice import EncoderChoice
from ensemble.training.train_base_models import plan_training
from ensemble.training.training_setup import Compute, TrainingSetup

EMBEDDED = ("--audio-encoder", "logmel", "--text-encoder", "hashed_text")
LAUNCH = "import sys; sys.argv[0] = {0!r}; from ensemble.cli.{0} import main; main()"
PRESET = BaseConfig.preset


def call(command, *argv):
    """Exit code, standard output and standard error of a command, in this process."""
    module = importlib.import_module(f"ensemble.cli.{command}")
    out, err, before = (
        io.TextIOWrapper(io.BytesIO(), "utf-8"),
        io.StringIO(),
        signal.getsignal(signal.SIGTERM),
    )
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = run_command(module._main, [str(word) for word in argv])
        except SystemExit as ended:
            code = ended.code
        finally:
            signal.signal(signal.SIGTERM, before)
    out.flush()
    return code, out.buffer.getvalue().decode(), err.getvalue()


def start(command, *argv, **options):
    """The command as a process of its own, in a group of its own."""
    words = [sys.executable, "-c", LAUNCH.format(command), *map(str, argv)]
    given = {
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "text": True,
        "start_new_session": True,
    }
    return subprocess.Popen(words, **(given | options))


@dataclass(frozen=True)
class Place:
    """A small corpus as tree and as table, its artifacts, and a folder to write to."""

    tree: Path
    table: pd.DataFrame
    art: Path
    tmp: Path

    def edited(self, edit):
        """A copy of the tree, its audio linked, after `edit`."""
        copy = self.tmp / "edited"
        shutil.copytree(
            self.tree,
            copy,
            copy_function=lambda a, b: (os.link if a.endswith(".wav") else shutil.copy)(
                a, b
            ),
        )
        edit(copy)
        return copy

    def csv(self, edit):
        """The table as csv, after `edit`."""
        edit(self.table.copy()).to_csv(self.tmp / "clips.csv", index=False)
        return self.tmp / "clips.csv"

    def fit_base(self, data, *more):
        return [
            "fit_base",
            "--data",
            data,
            *EMBEDDED,
            "--models",
            "dora:1",
            "--artifacts",
            self.tmp / "new",
            *more,
        ]

    def fit_meta(self, *more):
        return ["fit_meta", "--artifacts", self.art, *more]

    def predict(self, *more):
        return ["predict_mos", *more, "--artifacts", self.art]

    @property
    def wav(self):
        return min((self.tree / "wav").iterdir())

    def only(self, pattern):
        """The one file of the finished artifacts that fits."""
        (path,) = self.art.glob(pattern)
        return path


@contextlib.contextmanager
def two_epochs():
    """Base models are trained for two epochs in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            BaseConfig, "preset", lambda *names: replace(PRESET(*names), max_epochs=2)
        )
        yield


@contextlib.contextmanager
def short_settings(max_epochs):
    """The embedded settings have that many epochs in this process."""
    read = settings._read_toml

    def read_shortened(path):
        changes = {"max_epochs": max_epochs} if path.stem == "embedded" else {}
        return read(path) | changes

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings, "_read_toml", read_shortened)
        yield


def plan_embedded(rated, models, workspace, *, on_embed=None, **options):
    """A plan to train models on the embedded encoders, in this process.

    Parameters
    ----------
    options : of `Compute` and, for the rest, of `TrainingSetup`
    """
    given = {"settings": "embedded", "device": "cpu", "jobs": 1} | options
    of_compute = {field.name for field in fields(Compute)}
    compute = {name: given.pop(name) for name in of_compute & set(given)}
    setup = TrainingSetup(EncoderChoice.parse(["logmel"], ["hashed_text"]), **given)
    return plan_training(rated, models, workspace, setup, Compute(**compute), on_embed)


def wait_until(condition, process=None, seconds=100):
    """Wait until a condition holds; the process must not end before."""
    end = time.monotonic() + seconds
    while not condition():
        assert process is None or process.poll() is None, "the process has ended"
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def is_alive(process_id):
    """Whether a process runs; one that has ended and was not waited for does not."""
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{process_id}/stat")
    with contextlib.suppress(OSError):
        return status.read_text().rpartition(")")[2].split()[0] != "Z"
    return not status.parent.parent.is_dir()


@functools.cache
def _kept():
    """A folder of this process for what many corpora share; it is removed at exit."""
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    return Path(folder.name)


def small_demo(folder):
    """The demo corpus of 4 systems and 8 prompts; `folder` may be changed."""
    kept = write_demo(_kept() / "tree", n_systems=4, n_prompts=8)
    return shutil.copytree(kept, folder)


def _exchange_stores(artifacts):
    """Give new artifacts the stores of the first ones of this process, or keep these.

    It is called before they are filled and after. Entries are addressed by content, so
    that the clips of `small_demo` are embedded once.
    """
    for name in ("embeddings", "fingerprints"):
        for source, target in (
            (_kept() / name, artifacts / name),
            (artifacts / name, _kept() / name),
        ):
            if source.is_dir() and not target.is_dir():
                shutil.copytree(source, target)


def finish(root, models=("dora:1",)):
    """A place in `root` whose artifacts are finished."""
    tree = small_demo(root / "tree")
    lines = [
        (s, *line.split(","))
        for s in ("train", "dev", "test")
        for line in read(tree, s).splitlines()
    ]
    table = pd.DataFrame(lines, columns=["split", "audio", "mi", "ta"])
    table["system_id"] = table["audio"].str.extract(r"(S\d+)")
    table = table.assign(
        clip_id=table["audio"].str[:-4],
        audio=[str(tree / "wav" / name) for name in table["audio"]],
    )
    place = Place(tree, table, root / "art", root)
    _exchange_stores(place.art)
    assert (
        call(
            *place.fit_base(
                tree, "--models", *models, "--artifacts", place.art, "--jobs", 1
            )
        )[0]
        == 0
    )
    _exchange_stores(place.art)
    assert call(*place.fit_meta())[0] == 0
    return place


def read(tree, split):
    return listed(tree, split).read_text()


def listed(tree, split="train"):
    return tree / "sets" / f"{split}_mos_list.txt"


def refused(code, result, message):
    got, _, err = result
    assert got == code, err
    assert re.search(message, err, re.DOTALL), err
    assert "Traceback" not in err, err
    # Rows that cannot be used are listed below, at most 20 of them.
    lines = [line for line in err.splitlines() if not line.startswith("  ")]
    assert len(lines) <= 9, err
    assert len(err.splitlines()) <= 50, err
