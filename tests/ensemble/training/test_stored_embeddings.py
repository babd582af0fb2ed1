"""Training reads stored embeddings as it needs them, verified, wherever they are."""

import logging

import numpy as np
import pytest
from builders import listening_test, tones
from commands import plan_embedded, short_settings

from base_models.encoders.packed import encoder_entries
from base_models.encoders.packed.encoder_entries import PACKS, EncoderEntries
from base_models.encoders.packed.pack_file import Pack
from base_models.errors import DamagedEmbedding
from ensemble.training import base_model_run
from ensemble.training.rated_clips import RatedClips
from ensemble.training.train_base_models import train_base_models
from ensemble.workspace import Workspace

MODELS = [("dora", 0), ("pooled_ridge", 0)]


@pytest.fixture(scope="module", autouse=True)
def few_epochs():
    """The embedded settings with 2 epochs."""
    with short_settings(2):
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A table of 30 clips."""
    ratings = np.random.default_rng(0).uniform(1, 5, (30, 2))
    return listening_test(
        tmp_path_factory.mktemp("data"),
        tones(30, noise=0.05),
        {"train": 18, "dev": 7, "test": 5},
        labels={"mi": ratings[:, 0], "ta": ratings[:, 1]},
    )


@pytest.fixture(autouse=True)
def stores_are_opened_anew():
    base_model_run._opened_store.cache_clear()
    yield
    base_model_run._opened_store.cache_clear()


def planned(data, workspace):
    return plan_embedded(RatedClips.read(data), MODELS, workspace)


def files_of(plan):
    return {
        f"{run.name}/{path.name}": path.read_bytes()
        for run in plan.runs
        for path in sorted(run.folder.iterdir())
        if path.name != "log.jsonl"
    }


@pytest.fixture(scope="module")
def expected(data, tmp_path_factory):
    """Files of the models, whose embeddings have a file each."""
    workspace = Workspace(tmp_path_factory.mktemp("expected"))
    plan = planned(data, workspace)
    assert not train_base_models(plan, workspace).failed
    return files_of(plan)


@pytest.fixture
def packed(data, tmp_path, monkeypatch):
    """A workspace and a plan, with all embeddings in packs of 8."""
    monkeypatch.setattr(encoder_entries, "FEWEST_PACKED", 1)
    monkeypatch.setattr(encoder_entries, "MOST_ENTRIES", 8)
    workspace = Workspace(tmp_path / "artifacts")
    return workspace, planned(data, workspace)


def packs(workspace):
    return sorted(workspace.embeddings.glob(f"*/{PACKS}/*.safetensors"))


def flip(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def test_models_are_the_same_from_packs(packed, expected):
    workspace, plan = packed
    assert len(packs(workspace)) > 3
    assert not list(workspace.embeddings.glob("*/??/*.safetensors"))
    assert not train_base_models(plan, workspace).failed
    assert files_of(plan) == expected


def test_a_start_reads_no_embedding(packed, data, monkeypatch):
    workspace, plan = packed

    def refuse(self, place):
        raise AssertionError("an embedding is read")

    monkeypatch.setattr(Pack, "read", refuse)
    again = planned(data, workspace)
    assert [run.folder for run in again.runs] == [run.folder for run in plan.runs]


@pytest.mark.parametrize("place", [-1, 30])
def test_damage_that_training_finds_is_made_good(place, packed, expected, caplog):
    """In an embedding, and in the index of a pack."""
    workspace, plan = packed
    damaged = packs(workspace)
    for path in damaged:
        flip(path, place)
    with caplog.at_level(logging.WARNING):
        assert not train_base_models(plan, workspace).failed
    assert any(path.name in caplog.text for path in damaged)
    assert files_of(plan) == expected


def test_a_disk_that_damages_everything_is_not_tried_for_ever(packed, monkeypatch):
    workspace, plan = packed

    def damaged(self, key):
        raise DamagedEmbedding("all of it was changed")

    monkeypatch.setattr(EncoderEntries, "read", damaged)
    with pytest.raises(Exception, match="all of it was changed"):
        train_base_models(plan, workspace)
