"""One base model, from stored embeddings to a sealed folder: a worker's piece of work.

A run is finished when its folder has a manifest. A run that was killed leaves a
checkpoint, and the same call goes on from there.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from base_models.clips.labels import mean_label
from base_models.clips.splits import folds as split_folds
from base_models.config import BaseConfig
from base_models.errors import (
    DamagedArtifact,
    DamagedEmbedding,
    StackedMOSError,
    UsageError,
    in_one_line,
    in_the_middle,
)
from base_models.files import (
    Artifact,
    append_to_log,
    atomic_write,
    from_guarded_json,
    guarded_json,
    is_sealed,
    locked,
    read_bytes,
    seal,
    sweep,
    to_json,
)
from base_models.model_presets import AnyConfig, configured
from base_models.pooled_config import PooledConfig
from base_models.precision import IN_FLOAT32
from ensemble.cluster.needs import Needs
from ensemble.engine import spread
from ensemble.training.rated_clips import RatedClips
from meta.rows import Rows

if TYPE_CHECKING:
    from base_models.clip_model import ClipModel
    from base_models.encoders.store import EmbeddingStore

RUN = "run.json"
PREDICTIONS = "predictions-"
"""Start of the names of files with predictions for a split."""
FINGERPRINTS = "fingerprints"
"""What progress reports in place of an encoder while recordings are compared."""
SCORING = "scoring"
"""The same while clips are scored, of all that are done with."""
PROGRESS = "progress.json"
FAILURE = "failure.json"
"""Why the last attempt to train a run failed; absent where none did."""
CHECKPOINT = "checkpoint.safetensors"
ROLE = "base model"
FOLD_ROLE = "out-of-fold predictions"
_EXPECTED = (StackedMOSError, ArithmeticError, ValueError)
"""What models fail with on data that they cannot learn from: our own errors, and those
of numerical libraries."""
_MOST_REPAIRS = 20
"""Embeddings found damaged one after another, after which a disk is not trusted."""
_LONGEST_REASON = 400
"""Characters of what is kept of why a model failed."""
_PANIC = "PanicException"
"""Name of the exception that libraries in Rust panic with."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BaseRun:
    """What to train, on what, and where it goes.

    Parameters
    ----------
    name : str
        For example ``"dora-s0"`` or ``"pooled_gp@logmel-s0"``.
    preset, settings, seed
        Of the model.
    audio_encoder, text_encoder : str
        Registered names, or ``"name=folder"``.
    device : str
        That trains. Its kind is part of what a neural run is, where it is not the CPU.
    data, folder, embeddings : Path
        Folders of the clip table, of this run and of the stored embeddings.
    table : str
        Fingerprint of the clip table without its single ratings: runs of one
        fingerprint predict the same clips and can share a stack.
    dtype : str
        Of the stored embeddings.
    folds : int
        How many folds of the training split are predicted out of fold; 0 for none.
    precisions : mapping of "audio" and "text" to str
        What encoders compute in that are not in float32; the signature of an encoder,
        which the name of the folder stands for, says it too.
    threads : int
        CPU threads of this run; 0 leaves them alone. Another number moves the last
        digits of the results, so it is part of what the run is.
    overrides : mapping of str to value
        Single settings, laid over preset and settings.
    trial : bool
        Whether it only shows that everything works.
    """

    name: str
    preset: str
    settings: str | None
    seed: int
    audio_encoder: str
    text_encoder: str
    device: str
    data: Path
    table: str
    folder: Path
    embeddings: Path
    dtype: str = "float16"
    folds: int = 0
    precisions: Mapping[str, str] = field(default_factory=dict)
    threads: int = 1
    overrides: Mapping[str, Any] = field(default_factory=dict)
    trial: bool = False

    @property
    def config(self) -> AnyConfig:
        """The config that preset, settings and overrides stand for."""
        return configured(self.preset, self.settings, self.overrides, source="--set")

    @property
    def fold_folder(self) -> Path:
        """Where out-of-fold predictions go."""
        return self.folder.with_name(f"{self.folder.name}-oof{self.folds}")

    def is_finished(self) -> bool:
        """Whether the model exists, with its out-of-fold predictions if there are any.

        The contents of their files are looked at by `verify`.

        Raises
        ------
        DamagedArtifact
            When a folder holds another run than its name says.
        """
        for folder, role in self._roles.items():
            if not is_sealed(folder):
                return False
            # Opening it checks that the run inside is the one that the name says.
            Artifact(folder, role, folder.name)
        return True

    def verify(self) -> None:
        """Read every file of a finished run, and check that none has changed.

        Raises
        ------
        DamagedArtifact
            Naming the file that has.
        """
        for folder, role in self._roles.items():
            Artifact(folder, role, folder.name).verify()

    def tidy(self) -> None:
        """Remove what only training needs, which a kill may have left."""
        for folder in self._roles:
            if is_sealed(folder):
                _remove_progress(folder)

    @property
    def _roles(self) -> dict[Path, str]:
        """The folders of the run, and what each is."""
        roles = {self.folder: ROLE}
        if self.folds:
            roles[self.fold_folder] = FOLD_ROLE
        return roles

    def train(self) -> str:
        """Train, predict and seal, except for what is finished already.

        Returns
        -------
        name : str
            Name of the run.
        """
        from base_models.devices import cpu_threads

        with cpu_threads(self.threads):
            self._make_once(self.folder, ROLE, self._train_on_all)
            if self.folds:
                self._make_once(self.fold_folder, FOLD_ROLE, self._predict_out_of_fold)
        return self.name

    def _make_once(
        self, folder: Path, role: str, make: Callable[[RatedClips], dict[str, bytes]]
    ) -> None:
        """Write the files that `make` returns to `folder` and seal it, if it is not."""
        with locked(folder):
            # Another process may have finished it while this one waited for the lock.
            if is_sealed(folder):
                return
            sweep(folder)
            files = _made_whole(functools.partial(make, RatedClips.load(self.data)))
            for name, content in files.items():
                atomic_write(folder / name, content)
            seal(folder, role, files, identity=folder.name)

            # Only now: a run that is killed before goes on from its checkpoint.
            _remove_progress(folder)

    def _train_on_all(self, rated: RatedClips) -> dict[str, bytes]:
        """Files of the model of the whole training split, with dev and test tables."""
        clips = rated.rows("train")
        rows = rated.label_rows(clips)
        # The part is "" where the whole split is trained on, and a fold otherwise.
        model = self._new_model(rated, self.folder / CHECKPOINT, part="")
        model.fit(
            clips,
            rows.label_frame,
            groups=_group_list(rows),
            **self._ratings_to_learn(rated),
        )

        files = model.to_files()
        files[RUN] = to_json(self._facts(model.device_))
        for split in ("dev", "test"):
            clips = rated.rows(split)
            if len(clips):
                files[f"{PREDICTIONS}{split}.parquet"] = self._table(model, clips)
        return files

    def _facts(self, device: str) -> dict[str, Any]:
        """What a list of runs shows; no hash or signature depends on it."""
        facts = {
            "name": self.name,
            "device": device,
            "threads": self.threads,
            "preset": self.preset,
            "seed": self.seed,
            "settings": self.settings,
            "overrides": dict(self.overrides),
            "data": self.data.name,
            "table": self.table,
            "trial": self.trial,
        }
        # Only where there are some, so that usual runs keep their bytes.
        if self.precisions:
            facts["precisions"] = dict(self.precisions)
        return facts

    def _predict_out_of_fold(self, rated: RatedClips) -> dict[str, bytes]:
        """Prediction tables of each training fold, by a model that has not seen it."""
        clips = rated.rows("train")
        rows = rated.label_rows(clips)
        fold_of_clip = training_folds(rows, self.folds)

        files = {}
        for k in range(self.folds):
            inside = np.flatnonzero(fold_of_clip != k)
            training = rows.take(inside)
            # Each fold has a checkpoint of its own, to go on from after a kill.
            model = self._new_model(
                rated,
                self.fold_folder / f"{k}.{CHECKPOINT}",
                part=f"fold {k + 1}/{self.folds}",
            )
            model.fit(
                clips.iloc[inside].reset_index(drop=True),
                training.label_frame,
                groups=_group_list(training),
                **self._ratings_to_learn(rated),
            )
            files[f"oof-{k}.parquet"] = self._table(model, clips[fold_of_clip == k])
        return files

    def _ratings_to_learn(self, rated: RatedClips) -> dict[str, pd.DataFrame | None]:
        """The single ratings, for a model that learns from them."""
        return {"ratings": rated.ratings} if self.config.reads_ratings else {}

    def _table(self, model: ClipModel[Any], clips: pd.DataFrame) -> bytes:
        """The file of the model's predictions for some clips."""
        _, embedded = model.embed(clips)
        ids = clips["clip_id"].tolist()
        return model.prediction_table(self.name, ids, embedded).to_bytes()

    def _new_model(self, rated: RatedClips, checkpoint: Path, part: str) -> Any:
        """An untrained model; `part` names what its progress file says is trained."""
        text_aspects = [
            aspect
            for aspect, needs_text in zip(rated.aspects, rated.needs_text, strict=True)
            if needs_text
        ]
        params: dict[str, Any] = {
            "preset": self.config,
            "audio_encoder": self.audio_encoder,
            "text_encoder": self.text_encoder,
            "text_aspects": text_aspects,
            "device": self.device,
            "precision": {**IN_FLOAT32, **self.precisions},
            "store": _opened_store(self.embeddings, self.dtype),
            "random_state": self.seed,
        }
        if isinstance(self.config, PooledConfig):
            from base_models.pooled.pooled_mos import PooledMOS

            return PooledMOS(**params)
        from base_models.training.neural_mos import NeuralMOS

        about = {"part": part, "aspects": list(rated.aspects)}
        write_progress = functools.partial(
            self._write_progress, checkpoint.parent, about
        )
        return NeuralMOS(**params, checkpoint=checkpoint, on_epoch=write_progress)

    def _write_progress(
        self, folder: Path, about: dict[str, Any], record: dict[str, Any]
    ) -> None:
        config = self.config
        # Only networks are trained in epochs.
        assert isinstance(config, BaseConfig)
        facts = {**about, "max_epochs": config.max_epochs}
        atomic_write(folder / PROGRESS, guarded_json(record | facts))
        timed = {"part": about["part"], "epoch": record["epoch"]}
        append_to_log(folder, {**timed, "seconds": record["seconds"]})


@functools.lru_cache(maxsize=2)
def _opened_store(folder: Path, dtype: str) -> EmbeddingStore:
    """The store of a workspace, whose indices are read once per process.

    It remembers as well which of its entries were found damaged.
    """
    from base_models.encoders.store import EmbeddingStore

    return EmbeddingStore(folder, dtype=dtype, lazy=True)


def _made_whole(make: Callable[[], dict[str, bytes]]) -> dict[str, bytes]:
    """What `make` returns, which begins anew where an embedding was damaged.

    The next fit fills the store again, and goes on from its checkpoint.
    """
    for _ in range(_MOST_REPAIRS):
        try:
            return make()
        except DamagedEmbedding as error:
            log.warning("%s Computing it again.", error)
    return make()


def _remove_progress(folder: Path) -> None:
    """Remove what a finished run has no need of, its checkpoints above all."""
    for path in (folder / PROGRESS, folder / FAILURE, *folder.glob(f"*{CHECKPOINT}")):
        path.unlink(missing_ok=True)


Watch = Callable[[Sequence[BaseRun]], contextlib.AbstractContextManager[Any]]
"""Makes a context manager that shows the progress of runs."""


def failure_of(folder: Path) -> str:
    """Why the last attempt to train the run of this folder failed; "" if none did."""
    path = folder / FAILURE
    # It may be removed while it is read, by another attempt.
    with contextlib.suppress(DamagedArtifact):
        if path.is_file():
            said = from_guarded_json(read_bytes(path), str(path), known=("reason",))
            return str(said.get("reason", ""))
    return ""


def failure_from(error: BaseException) -> StackedMOSError | None:
    """What is reported of a model that failed with this, while the others go on.

    Parameters
    ----------
    error : BaseException
        What a model or an encoder raised.

    Returns
    -------
    failure : StackedMOSError or None
        In one line, and of a type that any worker can send back. None where all models
        have to stop: when the user interrupts, or the machine fails (`OSError`,
        `MemoryError`).
    """
    # A library in Rust panics with an exception that is no Exception.
    is_error = isinstance(error, Exception) or type(error).__name__ == _PANIC
    if not is_error or isinstance(error, OSError | MemoryError):
        return None

    # What is raised may repeat a whole array.
    reason = in_the_middle(in_one_line(error), _LONGEST_REASON)
    if isinstance(error, DamagedArtifact):
        return DamagedArtifact(reason)
    if isinstance(error, _EXPECTED):
        return UsageError(reason)
    # Whoever wrote the model needs the type of what nobody foresaw.
    name = type(error).__name__
    return StackedMOSError(reason if reason == name else f"{name}: {reason}")


def train_runs(
    runs: Sequence[BaseRun],
    *,
    jobs: int,
    watch: Watch | None,
    engine: str,
    shared: Path,
    needs: Needs | None = None,
) -> dict[str, StackedMOSError]:
    """Train runs that are not finished; returns why some of them failed, by name.

    A fault of the machine stops all of them, see `failure_from`.

    Parameters
    ----------
    runs : sequence of BaseRun
    jobs : int
        Worker processes.
    watch : callable or None
        Makes a context manager that shows the progress of runs.
    engine : str
    shared : Path
        Folder that all workers see.
    needs : Needs, optional
        What else workers of a cluster must have.
    """
    if not runs:
        return {}
    # What an earlier attempt left would be shown as this one's.
    for run in runs:
        (run.folder / FAILURE).unlink(missing_ok=True)

    with watch(runs) if watch else contextlib.nullcontext():
        found = list(
            spread(
                _train_run,
                [(run,) for run in runs],
                engine,
                jobs=min(jobs, len(runs)),
                # The same for all runs of a plan.
                threads=runs[0].threads,
                shared=shared,
                needs=needs,
            )
        )
    return {
        run.name: error
        for run, error in zip(runs, found, strict=True)
        if error is not None
    }


def _train_run(run: BaseRun) -> StackedMOSError | None:
    """Train one run; why it failed, or None."""
    try:
        run.train()
    except BaseException as error:
        failure = failure_from(error)
        if failure is None or os.environ.get("STACKEDMOS_DEBUG"):
            raise
        # A run that failed before it wrote anything has no folder.
        if run.folder.is_dir():
            atomic_write(run.folder / FAILURE, guarded_json({"reason": str(failure)}))
        return failure
    return None


def training_folds(rows: Rows, folds: int) -> np.ndarray:
    """Fold of each training clip, shape (n,), whatever the model and its seed.

    Parameters
    ----------
    rows : Rows
        The training clips.
    folds : int

    Raises
    ------
    UsageError
        When there are fewer clips (or groups) than folds.
    """
    # A seed of its own: models of any seed are compared on the same folds.
    return split_folds(
        rows.systems,
        mean_label(rows.labels),
        folds,
        seed=0,
        groups=rows.groups,
    )


def _group_list(rows: Rows) -> list[object] | None:
    """The groups of rows as base models take them."""
    return None if rows.groups is None else rows.groups.tolist()
