"""Shares of the clips, stored one by one, are the embeddings of one run."""

import numpy as np
import pytest
from builders import listening_test, tones
from commands import call, plan_embedded, refused

from base_models.encoders.base import Encoder
from ensemble.training.rated_clips import RatedClips
from ensemble.workspace import Workspace


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A table of 20 clips, of which the second file is damaged."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    labels = {name: rng.uniform(1, 5, 20) for name in ("mi", "ta")}
    splits = {"train": 12, "dev": 8}
    path = listening_test(folder, tones(20), splits, labels=labels)
    (folder / "c01.wav").write_bytes(b"RIFF, and no more")
    return path


def fit_base(data, art, *words):
    encoders = ["--audio-encoder", "logmel", "--text-encoder", "hashed_text"]
    asked = ["--data", data, "--artifacts", art, "--models", "dora:1", "dora_coral:2"]
    return call("fit_base", *asked, *encoders, "--device", "cpu", *words)


def stored(art):
    found = Workspace(art).embeddings.rglob("*.safetensors")
    return {path.name: path.read_bytes() for path in found}


def test_shards_store_what_one_run_does_and_nothing_is_left_to_embed(
    data, tmp_path, monkeypatch
):
    shared = tmp_path / "shared"
    for number in (3, 1, 2):
        code, out, err = fit_base(data, shared, "--shard", f"{number}/3")
        # The first third has the damaged clip.
        assert code == (3 if number == 1 else 0), err
        assert out == ""
        assert f"shard {number}/3: " in err
        assert not (shared / "base").exists()

    plan_embedded(RatedClips.read(data), [("dora", 0)], Workspace(tmp_path / "whole"))
    assert stored(shared) == stored(tmp_path / "whole")

    def refuse(*_):
        raise AssertionError("it is embedded already")

    monkeypatch.setattr(Encoder, "encode", refuse)
    plan = plan_embedded(RatedClips.read(data), [("dora", 0)], Workspace(shared))
    assert [clip.clip_id for clip in plan.set_aside] == ["c01"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--shard", "4/3"], "I from 1 to N, .* got '4/3'"),
        (["--shard", "1/3", "--engine", "dask://h:1"], "leave --engine out"),
        (["--shard", "1/3", "--json", "facts.json"], "--shard trains nothing"),
    ],
)
def test_shards_that_cannot_be_are_refused(data, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    refused(2, fit_base(data, tmp_path / "art", *words), message)
