"""Small artifacts of every kind that is loaded, and how each is loaded.

They are made without audio and without training, in a second or two.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from builders import Predictor, prediction_tables, rows_of_tables
from pooled_clips import given_clips, read_given
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tiny_encoders import write_roberta
from tiny_networks import embedded_model

from base_models.encoders import load_encoder
from base_models.errors import UsageError
from base_models.files import Artifact, atomic_write, read_bytes, seal, to_json
from base_models.frame_range import FrameRange
from base_models.pooled.pooled_mos import PooledMOS
from base_models.predictions import PredictionTable
from base_models.sklearn_files.estimator_files import estimator_bytes, read_estimator
from base_models.training.neural_mos import NeuralMOS
from ensemble.estimator.save_and_load import write_stack
from ensemble.estimator.stacked_mos import StackedMOS
from ensemble.hub.model_card import model_card
from ensemble.hub.stack_contents import stack_contents
from ensemble.training.rated_clips import ROLE as CLIPS_ROLE
from ensemble.training.rated_clips import RatedClips
from ensemble.training.stored_runs import ROLE as RUN_ROLE
from ensemble.training.stored_runs import StoredRun
from meta.regressor import MetaRegressor

ASPECTS = ("mi", "ta")
BASES = ("network", "pooled", "table", "estimator")
DIM = 6


def network() -> NeuralMOS:
    """A network whose weights are the initial ones."""
    model = embedded_model("dora", {"attention_heads": 2}, store=None)
    model.config_ = model._resolve_config()
    model.aspects_ = ASPECTS
    model.needs_text_ = (False, True)
    facts = {"dim": DIM, "licence": "MIT"}
    model.encoders_ = {
        "audio": {
            "name": "logmel",
            "signature": "logmel-v1",
            "frame_rate": 12.5,
            **facts,
        },
        "text": {
            "name": "hashed_text",
            "signature": "hashed_text-v1",
            "frame_rate": None,
            **facts,
        },
    }
    model.trained_on_ = frozenset(f"t{k}" for k in range(20))
    model.selected_on_ = frozenset({"v0", "v1"})
    model.scales_ = {}
    model.history_ = [{"epoch": 1, "train": 0.5, "validation": 0.25}]
    rng = np.random.default_rng(0)
    model.range_ = FrameRange.fit([rng.normal(size=(5, DIM)) for _ in range(40)])
    model.model_ = model._build()
    return model


def pooled() -> PooledMOS:
    """A regressor on pooled embeddings, which are given."""
    clips = given_clips()
    with pytest.MonkeyPatch.context() as patch:
        read_given(patch)
        model = PooledMOS(
            "pooled_ridge", audio_encoder="logmel", text_encoder="hashed_text"
        )
        model.fit(clips, clips[list(ASPECTS)])
    # As of the encoders that would have embedded them.
    for facts in model.encoders_.values():
        facts["signature"] = f"{facts['name']}-v1"
    return model


def tables() -> list[PredictionTable]:
    """Predictions of four base models."""
    labels = np.random.default_rng(1).uniform(1, 5, (30, 2))
    predictors = dict.fromkeys(BASES, Predictor(noise=0.6))
    return prediction_tables(labels, predictors, aspects=ASPECTS)


def estimator() -> Any:
    """A fitted estimator of trusted types."""
    rng = np.random.default_rng(2)
    return make_pipeline(StandardScaler(), Ridge()).fit(
        rng.normal(size=(20, 3)), rng.normal(size=(20, 2))
    )


def stack_parts() -> tuple[MetaRegressor, dict[str, dict[str, bytes]]]:
    """A fitted meta level, and the files of a base model of every kind."""
    made = tables()
    labels = np.random.default_rng(1).uniform(1, 5, (30, 2))
    rows = rows_of_tables(made, labels, systems=[f"s{k % 6}" for k in range(30)])
    regressor = MetaRegressor("ridge").fit(made, rows)
    regressor.calibrate(made, rows)
    bases = {
        "network": network().to_files(),
        "pooled": pooled().to_files(),
        "table": made[2].to_files(),
        "estimator": {"estimator.skops": estimator_bytes(estimator(), "it", cure="")},
    }
    return regressor, bases


def write_all(root: Path) -> None:
    """Write one artifact of every kind to a folder of its name below `root`."""
    regressor, bases = stack_parts()
    write_stack(root / "stack", regressor, bases, {"flat": False, "demo": False})
    for name in ("network", "pooled"):
        for file, data in bases[name].items():
            atomic_write(root / name / file, data)
        seal(root / name, "base model")
    table = tables()[0]
    table.write(root / "table" / "predictions.parquet")
    atomic_write(
        root / "estimator" / "estimator.skops", bases["estimator"]["estimator.skops"]
    )
    _write_run(root / "run", bases["network"], table)
    _rated_clips().save(root / "clips")
    (root / "encoder").mkdir()
    write_roberta(root / "encoder")


def _write_run(folder: Path, files: dict[str, bytes], table: PredictionTable) -> None:
    facts = {
        "name": "dora-s0",
        "device": "cpu",
        "threads": 1,
        "preset": "dora",
        "seed": 0,
        "settings": None,
        "overrides": {},
        "data": "0123456789",
        "table": "0123456789",
        "trial": False,
    }
    own = {**files, "run.json": to_json(facts)}
    own["predictions-test.parquet"] = table.to_bytes()
    for name, data in own.items():
        atomic_write(folder / name, data)
    seal(folder, RUN_ROLE, own, identity=folder.name)


def _rated_clips() -> RatedClips:
    frame = pd.DataFrame(
        {
            "clip_id": [f"c{k}" for k in range(12)],
            "audio": [f"/nowhere/c{k}.wav" for k in range(12)],
            "prompt": "a prompt",
            "system_id": [f"s{k % 3}" for k in range(12)],
            "split": ["train"] * 8 + ["test"] * 4,
            "mi": np.linspace(1, 5, 12),
        }
    )
    return RatedClips(
        frame,
        aspects=("mi",),
        needs_text=(False,),
        source="a table",
        demo=False,
        made="given",
    )


class Loader(NamedTuple):
    """How artifacts of a kind are loaded.

    Parameters
    ----------
    kind : name of the folder that `write_all` writes
    load : takes the folder, and returns what was loaded
    role : of the manifest; "" where there is none
    identity : whether the manifest has to name the folder
    """

    kind: str
    load: Callable[[Path], Any]
    role: str = ""
    identity: bool = False


def _load_stack(folder: Path) -> Any:
    stack = StackedMOS.load(folder)
    for _, model in stack.estimators_:
        _check_foreign(model)
    return stack


def _load_network(folder: Path) -> Any:
    return _check_foreign(NeuralMOS.load(folder))


def _load_pooled(folder: Path) -> Any:
    return _check_foreign(PooledMOS.load(folder))


def _check_foreign(model: Any) -> Any:
    """Seek the encoders of a loaded model; its other parameters are the usual ones."""
    if not hasattr(model, "encoders"):
        return model
    usual = type(model)().get_params()
    given = model.get_params()
    for name in ("device", "store", "checkpoint", "on_epoch"):
        assert given.get(name) == usual.get(name), f"the file chose {name}"
    model.encoders()
    return model


def _load_run(folder: Path) -> Any:
    run = StoredRun(folder)
    known = (run.name, run.table, run.is_trial, run.preset, run.seed, run.encoders)
    return known, run.predictions("test"), run.model_files


def _inspect(folder: Path) -> Any:
    contents = stack_contents(folder)
    return contents.to_json(), model_card(contents, "it")


def _load_table(folder: Path) -> Any:
    return PredictionTable.read(folder / "predictions.parquet")


def _load_estimator(folder: Path) -> Any:
    path = folder / "estimator.skops"
    return read_estimator(read_bytes(path), str(path))


def _load_tensors(folder: Path) -> Any:
    artifact = Artifact(folder, "base model")
    return [artifact.tensors(name) for name in artifact.names if "safet" in name]


def _load_encoder(folder: Path) -> Any:
    if not folder.is_dir():
        raise UsageError("no folder")
    return load_encoder(f"roberta={folder}")


LOADERS = (
    Loader("stack", _load_stack, "stack"),
    Loader("stack", _inspect, "stack"),
    Loader("network", _load_network, "base model"),
    Loader("pooled", _load_pooled, "base model"),
    Loader("run", _load_run, RUN_ROLE, identity=True),
    Loader("clips", RatedClips.load, CLIPS_ROLE, identity=True),
    Loader("table", _load_table),
    Loader("estimator", _load_estimator),
    Loader("encoder", _load_encoder),
    Loader("network", _load_tensors, "base model"),
)
"""Whatever reads a file that a stranger may have written."""
