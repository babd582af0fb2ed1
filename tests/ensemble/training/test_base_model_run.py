"""One run: killed anywhere it goes on from where it was, to the same tables; finished
it is left alone.
"""

import dataclasses
import os
import shutil
import threading
import time

import numpy as np
import pytest
import torch
from builders import listening_test, tones
from commands import plan_embedded, short_settings

from base_models.errors import DamagedArtifact
from base_models.files import Artifact, is_sealed, locked, read_json
from base_models.predictions import PredictionTable
from base_models.training.neural_mos import NeuralMOS
from ensemble.training.base_model_run import (
    CHECKPOINT,
    FOLD_ROLE,
    PROGRESS,
    ROLE,
    BaseRun,
)
from ensemble.training.rated_clips import RatedClips
from ensemble.workspace import Workspace

TABLES = {"predictions-dev.parquet", "predictions-test.parquet"}
FOLDS = {"oof-0.parquet", "oof-1.parquet"}


@pytest.fixture(scope="module", autouse=True)
def few_epochs():
    """The embedded settings with 4 epochs."""
    with short_settings(4):
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on 24 clips with two folds, laid out and not yet trained."""
    folder = tmp_path_factory.mktemp("data")
    ratings = np.random.default_rng(0).uniform(1, 5, (24, 2))
    path = listening_test(
        folder,
        tones(24),
        {"train": 14, "dev": 6, "test": 4},
        labels={"mi": ratings[:, 0], "ta": ratings[:, 1]},
    )
    workspace = Workspace(folder / "artifacts")
    rated = RatedClips.read(path)
    return plan_embedded(rated, [("dora", 0)], workspace, folds=2).runs[0]


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
    files = TABLES | {"config.json", "weights.safetensors", "history.json", "run.json"}
    for folder, role, wanted in [
        (finished.folder, ROLE, files),
        (finished.fold_folder, FOLD_ROLE, FOLDS),
    ]:
        assert names(folder) == wanted | {"manifest.json", "log.jsonl"}
        artifact = Artifact(folder, role, folder.name)
        artifact.verify()
        assert set(artifact.names) == wanted
    assert read_json(finished.folder / "run.json")["name"] == "dora-s0"


def test_a_run_under_the_name_of_another_is_refused(finished, tmp_path):
    shutil.copytree(finished.folder, tmp_path / "dora-s0-0123456789")
    moved = dataclasses.replace(
        finished, folder=tmp_path / "dora-s0-0123456789", folds=0
    )
    with pytest.raises(DamagedArtifact, match="it was copied or renamed"):
        moved.is_finished()


def test_the_saved_model_predicts_the_saved_tables(finished):
    rated = RatedClips.load(finished.data)
    model = NeuralMOS.load(finished.folder, store=finished.embeddings, device="cpu")
    table = PredictionTable.read(finished.folder / "predictions-dev.parquet")
    np.testing.assert_array_equal(
        model.predict_distribution(rated.rows("dev")), table.distributions
    )
    assert table.model == "dora-s0"


def test_a_finished_run_is_left_as_it_is(finished, monkeypatch):
    monkeypatch.setattr(BaseRun, "_new_model", None)
    before = {path: path.stat().st_mtime_ns for path in finished.folder.iterdir()}
    assert finished.train() == "dora-s0"
    assert {
        path: path.stat().st_mtime_ns for path in finished.folder.iterdir()
    } == before


@pytest.mark.parametrize(
    ("part", "epoch"), [("", 1), ("", 3), ("fold 1/2", 1), ("fold 2/2", 2)]
)
def test_a_killed_run_goes_on_and_ends_with_the_same_tables(
    finished, tmp_path, monkeypatch, part, epoch
):
    run, note, epochs = (
        dataclasses.replace(finished, folder=tmp_path / finished.folder.name),
        BaseRun._write_progress,
        [],
    )
    folder, original = (
        (run.fold_folder, finished.fold_folder)
        if part
        else (run.folder, finished.folder)
    )

    def killed(self, into, of, record):
        note(self, into, of, record)
        if (of["part"], record["epoch"]) == (part, epoch):
            raise KeyboardInterrupt

    monkeypatch.setattr(BaseRun, "_write_progress", killed)
    with pytest.raises(KeyboardInterrupt):
        run.train()
    assert not is_sealed(folder)
    assert read_json(folder / PROGRESS)["epoch"] == epoch
    assert any(name.endswith(CHECKPOINT) for name in names(folder))
    left = folder / f".weights.safetensors.{'0' * 32}.tmp"
    left.write_bytes(b"half")
    os.utime(left, (0, 0))
    monkeypatch.setattr(
        BaseRun,
        "_write_progress",
        lambda self, into, of, record: epochs.append((of["part"], record["epoch"])),
    )
    run.train()
    assert epochs[0] == (part, epoch + 1)
    same = FOLDS if part else TABLES | {"weights.safetensors"}
    assert bytes_of(folder, same) == bytes_of(original, same)
    assert names(folder) == names(original)


def test_folds_are_added_to_a_finished_run_without_training_it_again(
    finished, tmp_path, monkeypatch
):
    run = dataclasses.replace(finished, folder=tmp_path / finished.folder.name)
    shutil.copytree(finished.folder, run.folder)
    assert not run.is_finished()
    monkeypatch.setattr(BaseRun, "_train_on_all", None)
    run.train()
    assert run.is_finished()


def test_two_processes_do_not_train_one_run_at_once(finished, tmp_path):
    """The second waits for the first and finds the run finished."""
    run = dataclasses.replace(finished, folder=tmp_path / finished.folder.name, folds=0)
    with locked(run.folder):
        waiting = threading.Thread(target=run.train)
        waiting.start()
        time.sleep(0.3)
        assert names(run.folder) == {".lock"}
        for name in names(finished.folder):
            shutil.copy(finished.folder / name, run.folder / name)
        before = (run.folder / "manifest.json").stat().st_mtime_ns
    waiting.join()
    assert (run.folder / "manifest.json").stat().st_mtime_ns == before


def test_the_callers_number_of_threads_comes_back(finished):
    before = torch.get_num_threads()
    dataclasses.replace(finished, threads=before + 1).train()
    assert torch.get_num_threads() == before


def test_without_folds_and_without_test_clips_there_are_only_dev_predictions(
    finished, tmp_path
):
    rated = RatedClips.load(finished.data)
    rows = np.flatnonzero(rated.frame["split"] != "test")
    rated.take(rows).save(tmp_path / "data")
    run = dataclasses.replace(
        finished, folder=tmp_path / "run", data=tmp_path / "data", folds=0
    )
    run.folder.mkdir()
    run.train()
    assert [
        name for name in sorted(names(run.folder)) if name.endswith(".parquet")
    ] == ["predictions-dev.parquet"]


def test_progress_tells_the_part_and_the_most_epochs(finished, tmp_path):
    run = dataclasses.replace(finished, folder=tmp_path)
    run._write_progress(
        tmp_path,
        {"part": "fold 1/2", "aspects": ["mi", "ta"]},
        {"epoch": 3, "loss": 2.0, "srcc": [None, 0.5], "best": 2, "seconds": 0.1},
    )
    record = read_json(tmp_path / PROGRESS)
    assert record["aspects"] == ["mi", "ta"]
    assert (record["part"], record["epoch"], record["max_epochs"]) == (
        "fold 1/2",
        3,
        run.config.max_epochs,
    )
