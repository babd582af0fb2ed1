"""The scale of an encoder's embeddings does not decide whether base models learn."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from builders import clip_table, noises
from plugins import importable, write_affine

from base_models.config import BaseConfig
from base_models.errors import DamagedArtifact, UsageError
from base_models.files import seal, write_tensors
from base_models.metrics.evaluate import srcc
from base_models.pooled.pooled_mos import PooledMOS
from base_models.training.neural_mos import NeuralMOS

SETTINGS = {"learning_rate": 2e-3, "batch_size": 4, "max_epochs": 12, "patience": 12}
ASPECTS = ["mi", "ta"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("affine")
    write_affine(folder)
    with importable(folder, "affine"):
        yield folder


@pytest.fixture(scope="module")
def clips(folder):
    """16 clips of noise; ``mi`` follows their loudness, ``ta`` runs the other way."""
    k = np.arange(16)
    sounds = noises(10 ** (0.15 * k - 2.4), 0.5 + 0.04 * (5 * k % 12))
    prompts = ("a sad violin", "slow piano and drums", "a choir", "rain")
    labels = {"mi": 1.3 + 0.2 * k, "ta": 4.7 - 0.2 * k}
    return clip_table(folder, sounds, systems=4, prompts=prompts, **labels)


@pytest.fixture(scope="module")
def fit(folder, clips):
    """Function that fits a model on an encoder of this module, each only once."""

    @functools.cache
    def fitted(encoder, preset="dora", text="hashed_text", **changes):
        common = {
            "audio_encoder": encoder,
            "text_encoder": text,
            "device": "cpu",
            "store": folder / "store",
        }
        if preset.startswith("pooled"):
            model = PooledMOS(preset, settings=changes, **common)
        else:
            config = BaseConfig.preset(preset, "embedded")
            model = NeuralMOS(config.updated(SETTINGS | changes, "test"), **common)
        return model.fit(clips, clips[ASPECTS])

    return fitted


@pytest.fixture(scope="module")
def plain(fit):
    """A model of embeddings around 1."""
    return fit("plain", text="words")


@pytest.mark.parametrize("encoder", ["tiny", "loud", "large", "mixed"])
def test_a_network_learns_alike_from_embeddings_of_any_scale(
    encoder, fit, clips, plain
):
    expected = plain.predict(clips)
    assert srcc(clips["mi"], expected[:, 0]) > 0.9
    scores = fit(encoder, text="words").predict(clips)
    # Rounding beside a large offset moves training a little.
    np.testing.assert_allclose(scores, expected, atol=0.05)


def test_a_network_learns_nothing_of_tiny_embeddings_as_they_are(fit, clips):
    """Which is why they are standardised."""
    for encoder, changes in [("tiny", {"standardise": "never"}), ("declared", {})]:
        model = fit(encoder, audio_only=True, **changes)
        assert model.scales_ == {}
        assert np.ptp(model.predict(clips)[:, 0]) < 0.1


@pytest.mark.parametrize("preset", ["pooled_ridge", "pooled_svr", "pooled_forest"])
def test_a_pooled_model_learns_alike_from_embeddings_of_any_scale(preset, fit, clips):
    expected = fit("plain", preset, text="words").predict(clips)
    assert srcc(clips["mi"], expected[:, 0]) > 0.9
    for encoder in ("tiny", "mixed"):
        scores = fit(encoder, preset, text="words").predict(clips)
        np.testing.assert_allclose(scores, expected, atol=0.02)


def test_what_is_measured_are_the_rows_that_are_trained_on(fit, clips, plain):
    _, embedded = plain.embed(clips)
    ids = list(clips["clip_id"])
    rows = [ids.index(clip) for clip in plain.trained_on_]
    assert 0 < len(plain.selected_on_) == len(ids) - len(rows)
    of_rows = np.mean([embedded.frames[row].mean(axis=0) for row in rows], axis=0)
    np.testing.assert_allclose(plain.scales_["audio"].mean, of_rows, rtol=1e-4)


def test_scales_are_kept_with_the_model(fit, clips, tmp_path):
    model = fit("mixed", text="words")
    assert set(model.scales_) == {"audio", "text"}
    model.save(tmp_path / "model")
    assert (tmp_path / "model" / "scales.safetensors").is_file()
    loaded = type(model).load(tmp_path / "model", store=model.store)
    np.testing.assert_array_equal(loaded.predict(clips), model.predict(clips))


def test_a_scale_of_another_width_is_refused(fit, tmp_path):
    fit("tiny", max_epochs=1).save(tmp_path / "model")
    (tmp_path / "model" / "manifest.json").unlink()
    arrays = {"audio.mean": np.zeros(3), "audio.factor": np.zeros(3)}
    write_tensors(tmp_path / "model" / "scales.safetensors", arrays)
    seal(tmp_path / "model", "base model")
    with pytest.raises(DamagedArtifact, match="another width than the audio encoder"):
        NeuralMOS.load(tmp_path / "model")


def test_a_model_that_lacks_its_scales_is_refused(fit, tmp_path):
    fit("tiny", max_epochs=1).save(tmp_path / "model")
    (tmp_path / "model" / "manifest.json").unlink()
    (tmp_path / "model" / "scales.safetensors").unlink()
    seal(tmp_path / "model", "base model")
    with pytest.raises(DamagedArtifact, match=r"scales\.safetensors"):
        NeuralMOS.load(tmp_path / "model")


def test_built_in_encoders_are_used_as_they_are(fit, tmp_path):
    model = fit("logmel", max_epochs=1)
    assert model.scales_ == {}
    assert "scales.safetensors" not in model.to_files()
    assert "standardised" not in model.encoders_["audio"]
    always = fit("logmel", max_epochs=1, standardise="always")
    assert set(always.scales_) == {"audio", "text"}


def test_explanations_read_what_the_network_was_trained_on(fit, clips, plain):
    scaled = fit("tiny", text="words")
    expected = plain.explain_embedded(plain.embed(clips)[1])
    explained = scaled.explain_embedded(scaled.embed(clips)[1])
    for of_clip, of_plain in zip(explained, expected, strict=True):
        for attention, other in zip(of_clip, of_plain, strict=True):
            assert attention.maps.keys() == other.maps.keys()
            for name, weights in attention.maps.items():
                np.testing.assert_allclose(weights, other.maps[name], atol=1e-2)


def test_the_key_has_three_values():
    assert [
        BaseConfig(standardise=word).standardises(normalised)
        for word in ("auto", "always", "never")
        for normalised in (False, True)
    ] == [True, False, True, True, False, False]
    with pytest.raises(UsageError, match="standardise 'yes'"):
        BaseConfig(standardise="yes")


def test_the_key_alone_does_not_change_a_signature():
    """The runs over an encoder are the same where it is standardised in both."""
    assert BaseConfig(standardise="never").signature() == BaseConfig().signature()
