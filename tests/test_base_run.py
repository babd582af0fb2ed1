"""One run: killed anywhere it goes on from where it was, to the same tables; finished it is left alone."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import soundfile

from base_models import config
from base_models.files import Artifact, is_sealed, read_json
from base_models.neural_mos import NeuralMOS
from base_models.predictions import PredictionTable
from ensemble.artifacts import Workspace
from ensemble.base_run import CHECKPOINT, PROGRESS, BaseRun
from ensemble.level0 import prepare_level0
from ensemble.rated_clips import RatedClips

RATE = 24_000
TABLES = ("oof-0", "oof-1", "predictions-dev", "predictions-test")


@pytest.fixture(scope="module", autouse=True)
def few_epochs():
    """The embedded settings with 4 epochs."""
    with pytest.MonkeyPatch.context() as patch:
        read, short = config._read_toml, {"max_epochs": 4}
        patch.setattr(config, "_read_toml", lambda p: read(p) | (short if p.stem == "embedded" else {}))
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on 24 clips with two folds, laid out and not yet trained."""
    folder, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    time, rows = np.arange(RATE // 2) / RATE, []
    for k in range(24):
        soundfile.write(folder / f"{k}.wav", 0.1 * np.sin(2 * np.pi * 220 * (1 + k % 4) * time), RATE)
        split = "train" if k < 14 else "dev" if k < 20 else "test"
        rows.append((f"c{k:02d}", f"s{k % 4}", ("piano", "drums")[k % 2], f"{k}.wav", split, *rng.uniform(1, 5, 2)))
    table = pd.DataFrame(rows, columns=["clip_id", "system_id", "prompt", "audio", "split", "mi", "ta"])
    table.to_csv(folder / "clips.csv", index=False)
    options = {"settings": "embedded", "device": "cpu", "jobs": 1, "folds": 2}
    workspace = Workspace(folder / "artifacts")
    rated = RatedClips.read(folder / "clips.csv")
    return prepare_level0(rated, [("dora", 0)], workspace, "logmel", "hashed_text", **options).runs[0]


@pytest.fixture(scope="module")
def finished(run):
    """The same run, trained without interruption."""
    run.folder.mkdir(parents=True)
    assert run.train() == "dora-s0"
    return run


def names(folder):
    return {path.name for path in folder.iterdir()}


def bytes_of(folder, files):
    return {name: (folder / name).read_bytes() for name in files}


def test_a_finished_run_holds_the_model_and_its_tables_and_no_litter(finished):
    tables = {f"{name}.parquet" for name in TABLES}
    model = {"config.json", "weights.safetensors", "history.json"}
    assert names(finished.folder) == tables | model | {"run.json", "manifest.json"}
    artifact = Artifact(finished.folder, "base model")
    artifact.verify()
    assert set(artifact.names) == tables | model | {"run.json"}
    assert read_json(finished.folder / "run.json")["name"] == "dora-s0"


def test_the_saved_model_predicts_the_saved_tables(finished):
    rated = RatedClips.load(finished.data)
    model = NeuralMOS.load(finished.folder, store=finished.embeddings, device="cpu")
    table = PredictionTable.read(finished.folder / "predictions-dev.parquet")
    np.testing.assert_array_equal(model.predict_distribution(rated.rows("dev")), table.distributions)
    assert table.model == "dora-s0"


def test_a_finished_run_is_left_as_it_is(finished, monkeypatch):
    monkeypatch.setattr(BaseRun, "_model", None)
    before = {path: path.stat().st_mtime_ns for path in finished.folder.iterdir()}
    assert finished.train() == "dora-s0"
    assert {path: path.stat().st_mtime_ns for path in finished.folder.iterdir()} == before


@pytest.mark.parametrize(("part", "epoch"), [("fold 1/2", 1), ("fold 2/2", 2), ("", 1), ("", 3)])
def test_a_killed_run_goes_on_and_ends_with_the_same_tables(finished, tmp_path, monkeypatch, part, epoch):
    run, note, epochs = dataclasses.replace(finished, folder=tmp_path), BaseRun._note, []

    def killed(self, of, record):
        note(self, of, record)
        if (of, record["epoch"]) == (part, epoch):
            raise KeyboardInterrupt

    monkeypatch.setattr(BaseRun, "_note", killed)
    with pytest.raises(KeyboardInterrupt):
        run.train()
    assert not is_sealed(tmp_path)
    assert read_json(tmp_path / PROGRESS)["epoch"] == epoch
    assert any(name.endswith(CHECKPOINT) for name in names(tmp_path))
    (tmp_path / ".weights.safetensors.0123.tmp").write_bytes(b"half")
    monkeypatch.setattr(BaseRun, "_note", lambda self, of, record: epochs.append((of, record["epoch"])))
    run.train()
    assert epochs[0] == (part, epoch + 1)
    tables = [f"{name}.parquet" for name in TABLES]
    assert bytes_of(tmp_path, tables) == bytes_of(finished.folder, tables)
    assert bytes_of(tmp_path, ["weights.safetensors"]) == bytes_of(finished.folder, ["weights.safetensors"])
    assert names(tmp_path) == names(finished.folder)


def test_a_run_killed_between_a_fold_and_its_checkpoint_leaves_no_litter(finished, tmp_path):
    run = dataclasses.replace(finished, folder=tmp_path)
    (tmp_path / "oof-0.parquet").write_bytes((finished.folder / "oof-0.parquet").read_bytes())
    (tmp_path / f"fold-0.{CHECKPOINT}").write_bytes(b"whatever")
    run.train()
    assert names(tmp_path) == names(finished.folder)


def test_without_folds_and_without_test_clips_there_are_only_dev_predictions(finished, tmp_path):
    rated = RatedClips.load(finished.data)
    rows = np.flatnonzero(rated.frame["split"] != "test")
    rated.take(rows).save(tmp_path / "data")
    run = dataclasses.replace(finished, folder=tmp_path / "run", data=tmp_path / "data", folds=0)
    run.folder.mkdir()
    run.train()
    assert [name for name in sorted(names(run.folder)) if name.endswith(".parquet")] == ["predictions-dev.parquet"]


def test_progress_tells_the_part_and_the_most_epochs(finished, tmp_path):
    run = dataclasses.replace(finished, folder=tmp_path)
    run._note("fold 1/2", {"epoch": 3, "loss": 2.0, "srcc": [None, 0.5], "best": 2, "seconds": 0.1})
    record = read_json(tmp_path / PROGRESS)
    assert (record["part"], record["epoch"], record["max_epochs"]) == ("fold 1/2", 3, run.config.max_epochs)


def test_threads_are_a_copy_with_one_change(run):
    assert run.with_threads(3) == dataclasses.replace(run, threads=3)
