"""One base model, from stored embeddings to a sealed folder; what a worker process is given.

A run is finished when its folder has a manifest. One that was killed leaves a checkpoint, and the same call goes on
from there.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from base_models.clips.labels import mean_label
from base_models.clips.splits import folds as split_folds
from base_models.config import BaseConfig
from base_models.files import (
    Artifact,
    atomic_write,
    is_sealed,
    locked,
    seal,
    to_json,
    write_json,
)
from ensemble.training.rated_clips import RatedClips

PROGRESS = "progress.json"
CHECKPOINT = "checkpoint.safetensors"
ROLE, FOLD_ROLE = "base model", "out-of-fold predictions"


@dataclass(frozen=True)
class BaseRun:
    """What to train, on what, and where it goes.

    Parameters
    ----------
    name : str, e.g. ``"dora-s0"``
    preset, settings, seed : of the NeuralMOS
    audio_encoder, text_encoder : names or ``"name=folder"``
    device : str
    data, folder, embeddings : folders of the clip table, of this run and of the stored embeddings
    dtype : of the stored embeddings
    folds : int, how many folds of the training split are predicted out of fold; 0 for none
    threads : int, CPU threads of this run, or 0 to leave them alone; another number moves the last digits, so it is
        part of what the run is
    overrides : single settings, laid over the rest
    """

    name: str
    preset: str
    settings: str | None
    seed: int
    audio_encoder: str
    text_encoder: str
    device: str
    data: Path
    folder: Path
    embeddings: Path
    dtype: str = "float16"
    folds: int = 0
    threads: int = 1
    overrides: Mapping[str, Any] = field(default_factory=dict)

    @property
    def config(self) -> BaseConfig:
        """The config that preset, settings and overrides stand for."""
        return BaseConfig.preset(self.preset, self.settings).updated(
            self.overrides, "--set"
        )

    @property
    def fold_folder(self) -> Path:
        """Where out-of-fold predictions go."""
        return self.folder.with_name(f"{self.folder.name}-oof{self.folds}")

    def is_finished(self) -> bool:
        """Whether the model, and the out-of-fold predictions asked for, are there.

        Raises
        ------
        DamagedArtifact
            when a folder holds another run than its name says.
        """
        wanted = {self.folder: ROLE} | (
            {self.fold_folder: FOLD_ROLE} if self.folds else {}
        )
        return all(
            is_sealed(folder) and bool(Artifact(folder, role, folder.name))
            for folder, role in wanted.items()
        )

    def train(self) -> str:
        """Train, predict, seal; what is finished is left as it is. Returns the run's name."""
        from base_models.devices import cpu_threads

        with cpu_threads(self.threads):
            self._once(self.folder, ROLE, self._whole)
            if self.folds:
                self._once(self.fold_folder, FOLD_ROLE, self._out_of_fold)
        return self.name

    def _once(
        self, folder: Path, role: str, make: Callable[[RatedClips], dict[str, bytes]]
    ) -> None:
        with locked(folder):
            if is_sealed(folder):
                return
            for litter in folder.glob(".*.tmp"):
                litter.unlink(missing_ok=True)
            files = make(RatedClips.load(self.data))
            for name, data in files.items():
                atomic_write(folder / name, data)
            seal(folder, role, files, identity=folder.name)
            for rest in (folder / PROGRESS, *folder.glob(f"*{CHECKPOINT}")):
                rest.unlink(
                    missing_ok=True
                )  # only now: a run that is killed before goes on from its checkpoint

    def _whole(self, rated: RatedClips) -> dict[str, bytes]:
        """The model trained on the whole training split, and its predictions for the others."""
        model = self._model(rated, self.folder / CHECKPOINT, "")
        ratings = rated.ratings if self.config.reads_ratings else None
        model.fit(
            rated.rows("train"),
            rated.labels("train"),
            groups=rated.groups("train"),
            ratings=ratings,
        )
        about = {"name": self.name, "device": model.device_, "threads": self.threads}
        files = model.to_files() | {"run.json": to_json(about)}
        for split in ("dev", "test"):
            rows = rated.rows(split)
            if len(rows):
                table = model.prediction_table(
                    self.name, rows["clip_id"].tolist(), model.embed(rows)[1]
                )
                files[f"predictions-{split}.parquet"] = table.to_bytes()
        return files

    def _out_of_fold(self, rated: RatedClips) -> dict[str, bytes]:
        """Predictions of each training fold by a model that never saw it; each fold has a checkpoint of its own."""
        rows, labels, groups = (
            rated.rows("train"),
            rated.labels("train"),
            rated.groups("train"),
        )
        target, ratings = (
            mean_label(labels.to_numpy()),
            rated.ratings if self.config.reads_ratings else None,
        )
        fold_of = split_folds(
            rows["system_id"].tolist(), target, self.folds, seed=0, groups=groups
        )
        files = {}
        for k in range(self.folds):
            inside, outside = np.flatnonzero(fold_of != k), rows[fold_of == k]
            model = self._model(
                rated,
                self.fold_folder / f"{k}.{CHECKPOINT}",
                f"fold {k + 1}/{self.folds}",
            )
            kept = None if groups is None else [groups[row] for row in inside]
            model.fit(
                rows.iloc[inside].reset_index(drop=True),
                labels.iloc[inside],
                groups=kept,
                ratings=ratings,
            )
            table = model.prediction_table(
                self.name, outside["clip_id"].tolist(), model.embed(outside)[1]
            )
            files[f"oof-{k}.parquet"] = table.to_bytes()
        return files

    def _model(self, rated: RatedClips, checkpoint: Path, part: str):
        from base_models.encoders.store import EmbeddingStore
        from base_models.training.neural_mos import NeuralMOS

        return NeuralMOS(
            preset=self.config,
            audio_encoder=self.audio_encoder,
            text_encoder=self.text_encoder,
            text_aspects=[
                a
                for a, text in zip(rated.aspects, rated.needs_text, strict=True)
                if text
            ],
            device=self.device,
            store=EmbeddingStore(self.embeddings, dtype=self.dtype),
            checkpoint=checkpoint,
            random_state=self.seed,
            on_epoch=functools.partial(self._note, checkpoint.parent, part),
        )

    def _note(self, folder: Path, part: str, record: dict[str, Any]) -> None:
        write_json(
            folder / PROGRESS,
            record | {"part": part, "max_epochs": self.config.max_epochs},
        )
