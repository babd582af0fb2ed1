"""A model keeps the precision of its encoders, and predicts with it."""

from __future__ import annotations

import numpy as np
import pytest
from builders import clip_table, tones
from sklearn.base import clone
from tiny_encoders import write_wav2vec2

from base_models import clip_model
from base_models.errors import DamagedArtifact, UsageError
from base_models.files import read_json, seal, write_json
from base_models.pooled.pooled_mos import PooledMOS

N = 8


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoders") / "wav2vec2"
    write_wav2vec2(folder)
    return folder


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    labels = np.linspace(1.5, 4.5, N)
    folder = tmp_path_factory.mktemp("clips")
    return clip_table(folder, tones(N, pitches=N), mi=labels)


@pytest.fixture(scope="module")
def make(weights):
    def make(precision, **params):
        return PooledMOS(
            "pooled_ridge",
            audio_encoder=f"wav2vec2={weights}",
            device="cpu",
            precision=precision,
            store=None,
            **params,
        )

    return make


@pytest.fixture(scope="module")
def lowered(make, clips):
    return make("bfloat16").fit(clips, clips[["mi"]])


def test_a_saved_model_predicts_in_the_precision_that_it_was_trained_in(
    lowered, clips, tmp_path
):
    lowered.save(tmp_path)
    loaded = PooledMOS.load(tmp_path, device="cpu", store=None)
    assert loaded.precision == "auto"
    assert loaded.encoders()[0].precision == "bfloat16"
    assert loaded.encoders_["audio"]["signature"].endswith("-bf16")
    np.testing.assert_array_equal(loaded.predict(clips), lowered.predict(clips))


def test_a_model_in_float32_says_nothing_of_precision(make, clips):
    usual = make("auto").fit(clips, clips[["mi"]])
    asked = make("float32").fit(clips, clips[["mi"]])
    assert usual.to_files() == asked.to_files()
    assert "precision" not in usual.encoders_["audio"]


@pytest.mark.parametrize("asked", ["float32", {"audio": "float32"}])
def test_a_model_of_one_precision_refuses_another(lowered, clips, tmp_path, asked):
    lowered.save(tmp_path)
    other = PooledMOS.load(tmp_path, device="cpu", store=None, precision=asked)
    with pytest.raises(
        UsageError,
        match=r"trained on audio embeddings in bfloat16.*precision='float32' out",
    ):
        other.predict(clips)


def test_a_model_can_be_trained_again_in_another_precision(lowered, clips):
    again = clone(lowered).set_params(precision="float32")
    again.fit(clips, clips[["mi"]])
    assert again.encoders()[0].precision == "float32"


def test_an_encoder_of_one_precision_takes_whatever_is_asked(clips, tmp_path):
    params = {"audio_encoder": "logmel", "device": "cpu", "store": None}
    model = PooledMOS("pooled_ridge", precision="bfloat16", **params)
    model.fit(clips, clips[["mi"]]).save(tmp_path)
    for asked in ("bfloat16", "float32", "auto"):
        loaded = PooledMOS.load(tmp_path, device="cpu", store=None, precision=asked)
        assert loaded.encoders()[0].signature == "logmel-v1"


def in_tf32(folder, model):
    """A saved model of a CUDA device, of one that was trained here."""
    model.save(folder)
    facts = read_json(folder / clip_model.CONFIG)
    facts["encoders"]["audio"]["precision"] = "tf32"
    facts["encoders"]["audio"]["signature"] += "-tf32"
    write_json(folder / clip_model.CONFIG, facts)
    seal(folder, clip_model.ROLE)
    return folder


def test_a_model_in_tf32_is_refused_without_it_unless_float32_is_asked_for(
    make, clips, tmp_path
):
    usual = make("auto").fit(clips, clips[["mi"]])
    folder = in_tf32(tmp_path, usual)
    loaded = PooledMOS.load(folder, device="cpu", store=None)
    with pytest.raises(UsageError, match=r"'cpu' has no tf32.*float32 is the nearest"):
        loaded.predict(clips)

    nearest = PooledMOS.load(folder, device="cpu", store=None, precision="float32")
    np.testing.assert_array_equal(nearest.predict(clips), usual.predict(clips))


@pytest.mark.parametrize("written", ["float8", "auto", 3, None])
def test_a_file_may_name_only_precisions_that_there_are(lowered, tmp_path, written):
    lowered.save(tmp_path)
    facts = read_json(tmp_path / clip_model.CONFIG)
    facts["encoders"]["audio"]["precision"] = written
    write_json(tmp_path / clip_model.CONFIG, facts)
    seal(tmp_path, clip_model.ROLE)
    with pytest.raises(DamagedArtifact, match="'precision' of the audio encoder"):
        PooledMOS.load(tmp_path, device="cpu", store=None)
