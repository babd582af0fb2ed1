"""Small pieces of work whose state before and after is known, for rows that break them.

Each goes from clips to what a command keeps: embeddings, a clip table, base models, a
stack that takes the place of an older one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import gc
import importlib
import json
import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import numpy as np
from builders import listening_test, tones
from commands import plan_embedded
from tiny_encoders import write_muq
from torture.killing import imported_by

from base_models import settings
from base_models.clips.audio_files.apart.limits import SECONDS_VARIABLE
from base_models.encoders import load_encoder
from base_models.encoders.store import EmbeddingStore
from base_models.files import Artifact, read_artifact, write_artifact
from ensemble.training.rated_clips import RatedClips
from ensemble.training.stored_runs import RunsOfData
from ensemble.training.train_base_models import train_base_models
from ensemble.workspace import BASE_MODELS, Workspace

N_CLIPS = 16
SPLITS = {"train": 10, "dev": 4, "test": 2}
RIDGE = (("pooled_ridge", 0),)
NETWORK = (("dora", 0),)
STACK = "stack"


class SmallRuns:
    """The work, on clips that are in a folder.

    Parameters
    ----------
    folder : filled by `write`
    with_muq : whether there is a tiny MuQ too, whose libraries take seconds to import

    Attributes
    ----------
    works : name to the work and the name of the state that it starts from, "" for an
        empty folder; each takes the folder that it works in
    """

    def __init__(self, folder: Path, with_muq: bool = True) -> None:
        self.folder = folder
        self.with_muq = with_muq
        # In this process: a fork would have to start its own decoding process.
        os.environ[SECONDS_VARIABLE] = "none"
        _shorten_training()
        self.works: dict[str, tuple[Callable[[Path], object], str]] = {
            "embedding, logmel": (self.embed_logmel, ""),
            "embedding, tiny MuQ": (self.embed_muq, ""),
            "clip table written again": (self.write_table, "table"),
            "base model and folds": (self.train_ridge, "embedded"),
            "network": (self.train_network, "embedded"),
            "stack over an older one": (self.save_stack, STACK),
            "pointer": (self.point, "pointer"),
        }

    def write(self) -> None:
        """Write the clips and the weights of the tiny encoder."""
        rng = np.random.default_rng(0)
        ratings = rng.uniform(1, 5, (N_CLIPS, 2))
        (self.folder / "clips").mkdir()
        listening_test(
            self.folder / "clips",
            tones(N_CLIPS, seconds=0.3, noise=0.01),
            SPLITS,
            labels={"mi": ratings[:, 0], "ta": ratings[:, 1]},
        )
        if self.with_muq:
            write_muq(self.folder / "muq")

    def write_start(self, name: str, root: Path) -> None:
        """Make the state that some work starts from."""
        root.mkdir()
        if name == "table":
            self.write_moved_table(root, "elsewhere.wav")
        elif name == "embedded":
            plan_embedded(self.rated, RIDGE, Workspace(root))
        elif name == STACK:
            write_artifact(root / STACK, STACK, _stack_files("old"))
        elif name == "pointer":
            Workspace(root).point(BASE_MODELS, {"data": "data/old", "runs": []})

    @cached_property
    def rated(self) -> RatedClips:
        """The clips."""
        return RatedClips.read(self.folder / "clips" / "clips.csv")

    @cached_property
    def muq(self) -> object:
        """The tiny encoder."""
        return load_encoder("muq", self.folder / "muq")

    def warm_up(self) -> None:
        """Read and load in this process what every child needs.

        The work itself must not be done here: its libraries would start threads, which
        no fork survives.
        """
        assert self.rated
        if self.with_muq:
            assert self.muq
        load_encoder("logmel")
        load_encoder("hashed_text")
        modules = self.folder / "modules.json"
        if not modules.exists():
            root = self.folder / "imports"
            root.mkdir()
            imported = imported_by(functools.partial(self._train_both, root))
            modules.write_text(json.dumps(imported))
        for name in json.loads(modules.read_text()):
            # Some libraries put names among the modules that are none.
            with contextlib.suppress(Exception):
                importlib.import_module(name)
        gc.freeze()

    def _train_both(self, root: Path) -> None:
        self.train(root, (*RIDGE, *NETWORK))
        RunsOfData.of_last(Workspace(root))
        if self.with_muq:
            self.embed_muq(root)

    def embed_logmel(self, root: Path) -> None:
        """Embed the clips."""
        self._embed(root, load_encoder("logmel"))

    def embed_muq(self, root: Path) -> None:
        """Embed the clips with an encoder whose last digits a batch would change."""
        self._embed(root, self.muq)

    def _embed(self, root: Path, encoder: object) -> None:
        frame = self.rated.frame
        items = dict(zip(frame["clip_id"], frame["audio"], strict=True))
        keys, aside = EmbeddingStore(root / "embeddings").fill(encoder, items)
        assert len(keys) == N_CLIPS
        assert not aside

    def write_table(self, root: Path) -> None:
        """Write a clip table whose audio has moved."""
        self.rated.save(root / "data" / "table")
        RatedClips.load(root / "data" / "table")

    def train_ridge(self, root: Path) -> None:
        """Train a quick model, with its out-of-fold predictions."""
        self.train(root, RIDGE, folds=2)

    def train_network(self, root: Path) -> None:
        """Train a network of two epochs on what is embedded."""
        self.train(root, NETWORK)

    def train(self, root: Path, models: tuple[tuple[str, int], ...], **options) -> None:
        """Plan and train, in this process."""
        workspace = Workspace(root)
        plan = plan_embedded(self.rated, models, workspace, **options)
        result = train_base_models(plan, workspace)
        assert not result.failed

    def save_stack(self, root: Path) -> None:
        """Save a stack where an older one is."""
        write_artifact(root / STACK, STACK, _stack_files("new"))

    def save_older_stack(self, root: Path) -> None:
        """Save the stack that was there before."""
        write_artifact(root / STACK, STACK, _stack_files("old"))

    def write_moved_table(self, root: Path, audio: str) -> None:
        """Write the clip table with all audio in one place."""
        frame = self.rated.frame.assign(audio=audio)
        dataclasses.replace(self.rated, frame=frame).save(root / "data" / "table")

    def point(self, root: Path) -> None:
        """Point the workspace at other base models."""
        runs = [{"name": f"model{k}", "folder": f"base/model{k}"} for k in range(50)]
        Workspace(root).point(BASE_MODELS, {"data": "data/new", "runs": runs})


def _stack_files(word: str) -> dict[str, bytes]:
    return {
        "stack.json": f'{{"name": "{word}"}}'.encode(),
        "base/weights.safetensors": word.encode() * 20_000,
        f"base/{word}.json": b"{}",
    }


def stack_word(root: Path) -> str:
    """Which of the two stacks is there; it raises for half of one, or none."""

    def word_of(artifact: Artifact) -> str:
        artifact.verify()
        word: str = artifact.json("stack.json")["name"]
        assert artifact.read("base/weights.safetensors") == word.encode() * 20_000
        return word

    return read_artifact(root / STACK, STACK, word_of)


def _shorten_training() -> None:
    read = settings._read_toml

    def read_shortened(path: Path) -> dict[str, object]:
        changes = {"max_epochs": 2} if path.stem == "embedded" else {}
        return read(path) | changes

    with contextlib.suppress(AttributeError):
        settings._read_toml = read_shortened
