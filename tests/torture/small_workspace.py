"""A small artifacts folder with every kind of file in it, made without any training.

What is damaged is real in form: only weights, which nothing here runs, are a few bytes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from base_models.clips.same_audio.fingerprint_store import FingerprintStore
from base_models.encoders.store import EmbeddingStore
from base_models.files import atomic_write, guarded_json, log_line, seal, to_json
from base_models.predictions import PredictionTable
from ensemble.estimator.save_and_load import write_stack
from ensemble.estimator.stacked_mos import StackedMOS
from ensemble.stacking.stack_data import StackData
from ensemble.training.base_model_run import (
    FAILURE,
    FOLD_ROLE,
    PROGRESS,
    ROLE,
    BaseRun,
)
from ensemble.training.rated_clips import RatedClips
from ensemble.workspace import BASE_MODELS, STACK, Workspace

FOLDS = 3
MODELS = ("a", "b")
PROMPTS = {f"c{k}": f"prompt {k}" for k in range(4)}
RATE = 16_000


class LetterEncoder:
    """An encoder of prompts by their letters, which needs no library."""

    name = "letters"
    kind = "text"
    signature = "letters-0123456789"
    normalised = True
    batch_size = 2
    dim = 4

    def prepare(self, item: str) -> np.ndarray:
        """The letters as numbers, shape (1, 4)."""
        data = np.frombuffer(item.encode(), dtype=np.uint8).astype(np.float32)
        return np.array([[data.sum(), data.max(), data.min(), len(data)]]) / 1000

    def encode(self, items: list[np.ndarray]) -> np.ndarray:
        """Embeddings, shape (n, 1, 4)."""
        return np.stack(items).astype(np.float32)


def base_run(workspace: Workspace, model: str) -> BaseRun:
    """A run as ``fit_base`` plans it."""
    return BaseRun(
        name=f"{model}-s0",
        preset="dora",
        settings=None,
        seed=0,
        audio_encoder="logmel",
        text_encoder="hashed_text",
        device="cpu",
        data=workspace.data("d"),
        table="",
        folder=workspace.base_run(model, 0, "0123456789"),
        embeddings=workspace.embeddings,
        folds=FOLDS,
    )


def clip_table(folder: Path, seed: int) -> RatedClips:
    """Ninety rated clips, a third of them in each split."""
    rng = np.random.default_rng(seed)
    n = 90
    frame = pd.DataFrame(
        {
            "clip_id": [f"clip{k}" for k in range(n)],
            "system_id": [f"s{k % 5}" for k in range(n)],
            "mi": rng.uniform(1.5, 4.5, n),
            "split": np.repeat(["train", "dev", "test"], n // 3),
        }
    )
    frame.to_csv(folder / "clips.csv", index=False)
    return RatedClips.read(folder / "clips.csv")


def write_workspace(root: Path) -> Workspace:
    """Write the whole folder: two clip tables, two runs, two stacks, and the stores."""
    root.mkdir(parents=True)
    workspace = Workspace(root)
    other = clip_table(root, seed=1)
    other.save(workspace.data("e"))
    rated = clip_table(root, seed=0)
    rated.save(workspace.data("d"))
    (root / "clips.csv").unlink()

    rng = np.random.default_rng(0)
    entries = []
    for model in MODELS:
        run = base_run(workspace, model)
        _write_run(run, rated, rng)
        entries.append(
            {"name": run.name, "folder": str(run.folder.relative_to(workspace.root))}
        )
    pointer = {"data": "data/d", "table": "", "runs": entries, "folds": FOLDS}
    workspace.point(BASE_MODELS, pointer)
    for learner in ("mean", "ridge"):
        _write_stack(workspace, learner)

    store = EmbeddingStore(workspace.embeddings)
    store.fill(LetterEncoder(), PROMPTS)
    _write_fingerprints(workspace, rng)
    return workspace


def _write_stack(workspace: Workspace, learner: str) -> None:
    """Fit and write a stack as ``fit_meta`` does, with stand-ins for its report."""
    data = StackData.from_runs(workspace, cv="oof")
    rows = data.fit.rows
    clips = pd.DataFrame({"clip_id": rows.ids, "system_id": rows.systems})
    tables = [(table.model, table) for table in data.fit.tables]
    stack = StackedMOS(tables, final_estimator=learner, cv="prefit")
    stack.fit(clips, rows.label_frame)
    folder = workspace.meta_run(learner, "0123456789")
    write_stack(
        folder,
        stack.final_estimator_,
        data.bases,
        facts={"aspects": ["mi"], "flat": False, "scales": stack.scales_.to_json()},
        extra={"report.json": to_json({"learner": learner}), "report.html": b"<p>"},
        log=log_line({"command": "fit_meta"}),
        identity=folder.name,
    )
    relative = str(folder.relative_to(workspace.root))
    workspace.point(STACK, {"folder": relative, "demo": False})


def _write_run(run: BaseRun, rated: RatedClips, rng: np.random.Generator) -> None:
    scores = rated.frame.set_index("clip_id")["mi"] + rng.normal(0, 0.5, 90)
    train = rated.rows("train")["clip_id"].to_numpy()

    def table(ids: np.ndarray, known: np.ndarray) -> bytes:
        values = scores[ids].to_numpy()
        return PredictionTable.from_scores(
            run.name, ids.tolist(), ["mi"], values, trained_on=frozenset(known)
        ).to_bytes()

    files = {
        "weights.safetensors": rng.bytes(200),
        "history.json": to_json([{"epoch": 1, "loss": 0.5}]),
        "run.json": to_json({"name": run.name, "preset": "dora", "seed": 0}),
        "config.json": to_json({"encoders": {"audio": {"name": "logmel"}}}),
    }
    for split in ("dev", "test"):
        ids = rated.rows(split)["clip_id"].to_numpy()
        files[f"predictions-{split}.parquet"] = table(ids, train)
    _seal(run.folder, files, ROLE)
    folds = {
        f"oof-{k}.parquet": table(train[k::FOLDS], np.setdiff1d(train, train[k::FOLDS]))
        for k in range(FOLDS)
    }
    _seal(run.fold_folder, folds, FOLD_ROLE)


def _seal(folder: Path, files: dict[str, bytes], role: str) -> None:
    for name, data in files.items():
        atomic_write(folder / name, data)
    seal(folder, role, files, identity=folder.name)


def write_unsealed(folder: Path) -> None:
    """The files of a run that is being trained, which no manifest lists."""
    record = {"part": "", "epoch": 3, "loss": 0.5, "seconds": 1.5, "best": 2}
    atomic_write(folder / PROGRESS, guarded_json(record))
    atomic_write(folder / FAILURE, guarded_json({"reason": "the loss diverged"}))


def _write_fingerprints(workspace: Workspace, rng: np.random.Generator) -> None:
    audio = workspace.root / "audio"
    audio.mkdir()
    for name in MODELS:
        samples = rng.normal(0, 0.1, RATE).astype(np.float32)
        soundfile.write(audio / f"{name}.wav", samples, RATE)
    paths = {name: str(audio / f"{name}.wav") for name in MODELS}
    FingerprintStore(workspace.fingerprints).read(paths)
