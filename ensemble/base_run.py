"""One base model, from stored embeddings to a sealed folder; what a worker process is given.

A run is finished when its folder has a manifest. One that was killed leaves a checkpoint, and the same call goes on
from there.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from base_models.config import BaseConfig
from base_models.files import atomic_write, is_sealed, seal, to_json, write_json
from base_models.labels import mean_label
from base_models.predictions import PredictionTable
from base_models.splits import folds as split_folds
from ensemble.rated_clips import RatedClips

PROGRESS = "progress.json"
CHECKPOINT = "checkpoint.safetensors"


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
    threads : int, CPU threads, or 0 to leave them alone
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
    threads: int = 0
    overrides: Mapping[str, Any] = field(default_factory=dict)

    @property
    def config(self) -> BaseConfig:
        """The config that preset, settings and overrides stand for."""
        return BaseConfig.preset(self.preset, self.settings).updated(self.overrides, "--set")

    def train(self) -> str:
        """Train, predict, seal; a finished run is left as it is. Returns the run's name."""
        if is_sealed(self.folder):
            return self.name
        import torch

        if self.threads:
            torch.set_num_threads(self.threads)
        for litter in self.folder.glob(".*.tmp"):
            litter.unlink(missing_ok=True)
        rated = RatedClips.load(self.data)
        tables = {f"oof-{k}.parquet": table for k, table in enumerate(self._out_of_fold(rated))}
        model = self._model(rated, CHECKPOINT, "").fit(rated.rows("train"), rated.labels("train"))
        for split in ("dev", "test"):
            rows = rated.rows(split)
            if len(rows):
                table = model.prediction_table(self.name, rows["clip_id"].tolist(), model.embed(rows)[1])
                tables[f"predictions-{split}.parquet"] = table
        for name, table in tables.items():
            table.write(self.folder / name)
        about = {"name": self.name, "device": model.device_, "threads": torch.get_num_threads()}
        files = model.to_files() | {"run.json": to_json(about)}
        for name, data in files.items():
            atomic_write(self.folder / name, data)
        seal(self.folder, "base model", [*files, *tables])
        for rest in (self.folder / PROGRESS, *self.folder.glob(f"*{CHECKPOINT}")):
            rest.unlink(missing_ok=True)  # only now: a run that is killed before goes on from its checkpoint
        return self.name

    def _model(self, rated: RatedClips, checkpoint: str, part: str):
        from base_models.embeddings import EmbeddingStore
        from base_models.neural_mos import NeuralMOS

        return NeuralMOS(
            preset=self.config,
            audio_encoder=self.audio_encoder,
            text_encoder=self.text_encoder,
            text_aspects=[a for a, text in zip(rated.aspects, rated.needs_text, strict=True) if text],
            device=self.device,
            store=EmbeddingStore(self.embeddings, dtype=self.dtype),
            checkpoint=self.folder / checkpoint,
            random_state=self.seed,
            on_epoch=functools.partial(self._note, part),
        )

    def _note(self, part: str, record: dict[str, Any]) -> None:
        write_json(self.folder / PROGRESS, record | {"part": part, "max_epochs": self.config.max_epochs})

    def _out_of_fold(self, rated: RatedClips) -> Iterator[PredictionTable]:
        """Predictions of each training fold by a model that never saw it; each fold has a checkpoint of its own."""
        if not self.folds:
            return
        rows, labels = rated.rows("train"), rated.labels("train")
        fold_of = split_folds(rows["system_id"].tolist(), mean_label(labels.to_numpy()), self.folds, seed=0)
        for k in range(self.folds):
            inside, outside = np.flatnonzero(fold_of != k), rows[fold_of == k]
            model = self._model(rated, f"fold-{k}.{CHECKPOINT}", f"fold {k + 1}/{self.folds}")
            model.fit(rows.iloc[inside].reset_index(drop=True), labels.iloc[inside])
            yield model.prediction_table(self.name, outside["clip_id"].tolist(), model.embed(outside)[1])

    def with_threads(self, threads: int) -> BaseRun:
        """The same run on so many CPU threads."""
        return replace(self, threads=threads)
