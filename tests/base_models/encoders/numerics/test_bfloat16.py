"""Encoders in bfloat16: how near they stay, and when they are chosen."""

from __future__ import annotations

import copy
import logging

import numpy as np
import pytest
import soundfile
import torch
from builders import RATE, music
from tiny_encoders import WRITERS
from torch import nn

import base_models.encoders as encoders_module
from base_models.encoders import ENCODERS, load_encoder, state_digest
from base_models.encoders.conformance import check_encoder
from base_models.encoders.numerics import choice, parity
from base_models.encoders.numerics.lowered import lower_layers, round_layers
from base_models.encoders.numerics.parity import Parity, measure_parity
from base_models.encoders.numerics.winograd import WinogradConv2d
from base_models.errors import UsageError

LOWERED = sorted(WRITERS)
PROMPT = "a slow piano tune, sad drums and rain"
FAR = Parity(cosine=0.9, difference=0.3, gain=9.0)
NEAR = Parity(cosine=0.99999, difference=0.004, gain=2.0)
SLOW = Parity(cosine=0.99999, difference=0.004, gain=1.2)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "clip.wav"
    soundfile.write(path, music(1.5), RATE)
    return str(path)


@pytest.fixture
def load(tiny_encoders):
    def load(name, precision="float32", **options):
        return load_encoder(name, tiny_encoders[name], precision=precision, **options)

    return load


@pytest.fixture
def with_bfloat16(monkeypatch, tmp_path):
    """A processor that has it, nothing loaded yet, and a cache of its own."""
    monkeypatch.setattr(choice, "has_bfloat16", lambda device: True)
    monkeypatch.setattr(encoders_module, "_loaded", {})
    monkeypatch.setenv("STACKEDMOS_CACHE", str(tmp_path / "cache"))


def embedded(encoder, clip):
    item = clip if encoder.kind == "audio" else PROMPT
    return encoder.encode([encoder.prepare(item)])[0]


# what they compute


@pytest.mark.parametrize("name", LOWERED)
def test_bfloat16_turns_no_frame_far(name, load, clip):
    exact = embedded(load(name), clip).astype(np.float64)
    lowered = embedded(load(name, "bfloat16"), clip)
    assert lowered.dtype == np.float32
    assert lowered.tobytes() != exact.astype(np.float32).tobytes()
    difference = np.linalg.norm(lowered - exact) / np.linalg.norm(exact)
    cosines = (exact * lowered).sum(1) / np.linalg.norm(exact, axis=1)
    cosines /= np.linalg.norm(lowered, axis=1)
    # Weights of these tiny models are large and random: more than trained ones, they
    # show every rounding.
    assert difference < 0.03
    assert cosines.min() > 0.998


@pytest.mark.parametrize("name", ["muq", "qwen3"])
def test_an_encoder_in_bfloat16_keeps_every_rule_of_encoders(
    name, load, clip, tmp_path
):
    other = tmp_path / "other.wav"
    soundfile.write(other, music(1.0, seed=1), RATE)
    items = [clip, str(other)] if name == "muq" else [PROMPT, "drums"]
    # Half of a digit may tip either way in a batch, which is no problem of the rules.
    problems = check_encoder(load(name, "bfloat16"), items).problems
    assert [it for it in problems if "a batch changes" not in it] == []


def test_only_convolutions_and_linear_layers_are_lowered(load, with_bfloat16):
    module = load("muq", "bfloat16").module
    types = {
        type(part): {tensor.dtype for tensor in part.parameters(recurse=False)}
        for part in module.modules()
        if list(part.parameters(recurse=False)) and type(part) is not nn.Conv2d
    }
    assert types[nn.Linear] == types[nn.Conv1d] == {torch.bfloat16}
    assert types[nn.LayerNorm] == {torch.float32}
    assert {buffer.dtype for buffer in module.spectrogram.buffers()} == {torch.float32}


def test_a_layer_that_reads_samples_stays_in_float32(load, with_bfloat16):
    first, second = load(
        "wav2vec2", "bfloat16"
    ).module.transformer.feature_extractor.conv_layers[:2]
    assert first.conv.weight.dtype == torch.float32
    assert second.conv.weight.dtype == torch.bfloat16


@pytest.mark.parametrize("lower", [lower_layers, round_layers])
def test_layers_of_other_classes_are_left_alone(lower):
    class OwnLinear(nn.Linear):
        pass

    torch.manual_seed(0)
    network = nn.Sequential(OwnLinear(3, 3), nn.Linear(3, 3))
    before = copy.deepcopy(network)
    lower(network)
    x = torch.randn(5, 3)
    assert torch.equal(network[0](x), before[0](x))
    assert not torch.equal(network[1](x), before[1](x))


LAYERS = {
    "linear": (lambda: nn.Linear(192, 96), (2, 30, 192)),
    "along time": (lambda: nn.Conv1d(64, 32, 3), (2, 64, 50)),
    "in strides": (lambda: nn.Conv2d(16, 24, 3, stride=2), (2, 16, 20, 24)),
    "by tiles": (lambda: nn.Conv2d(128, 128, 3, padding=1), (1, 128, 18, 22)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_rounding_in_float32_gives_what_bfloat16_gives(name):
    build, shape = LAYERS[name]
    torch.manual_seed(0)
    inputs = torch.randn(shape)
    native = nn.Sequential(build())
    rounded = copy.deepcopy(native)
    lower_layers(native)
    round_layers(rounded)
    assert isinstance(rounded[0], WinogradConv2d) is (name == "by tiles")
    with torch.inference_mode():
        expected = native(inputs)
        ours = rounded(inputs)
        # Whatever way a layer is called in.
        assert torch.equal(rounded[0](input=inputs), ours)
        assert torch.equal(native[0](input=inputs), expected)
    assert {tensor.dtype for tensor in rounded.parameters()} <= {torch.float32}
    # Sums in another order, of which a few are rounded the other way: by one digit, or
    # by more where most of a sum is taken away again.
    assert ours.dtype == torch.float32
    assert (ours != expected).float().mean() < 0.01
    assert (ours - expected).abs().max() < 0.02
    assert (ours - expected).norm() < 5e-4 * expected.norm()


@pytest.mark.parametrize("name", LOWERED)
def test_a_tiny_encoder_without_bfloat16_is_nearer_to_it_than_float32_is(
    name, load, clip, with_bfloat16, monkeypatch
):
    exact = embedded(load(name), clip)
    native = embedded(load(name, "bfloat16"), clip)
    monkeypatch.setattr(choice, "has_bfloat16", lambda device: False)
    monkeypatch.setattr(encoders_module, "_loaded", {})
    encoder = load(name, "bfloat16")
    rounded = embedded(encoder, clip)
    assert encoder.signature.endswith("-bf16")
    assert np.linalg.norm(rounded - native) < 0.3 * np.linalg.norm(exact - native)


# what they are called


def test_embeddings_of_two_precisions_never_share_a_signature(load):
    exact = load("roberta")
    before = state_digest(exact)
    lowered = load("roberta", "bfloat16")
    assert lowered.signature == f"{exact.signature}-bf16"
    assert (exact.precision, lowered.precision) == ("float32", "bfloat16")
    assert state_digest(exact) == before
    assert load("roberta", "bfloat16") is lowered


def test_the_rule_for_channels_stands_before_the_precision(load):
    lowered = load("muq", "bfloat16", mono="left")
    assert lowered.signature.endswith("-left-bf16")


@pytest.mark.parametrize("name", ["logmel", "hashed_text"])
def test_encoders_without_weights_have_one_precision(name):
    assert not ENCODERS[name].mixed_precision
    for precision in ("bfloat16", "tf32", "auto"):
        assert load_encoder(name, precision=precision) is load_encoder(name)


def test_a_processor_without_bfloat16_is_named(load, caplog, monkeypatch):
    monkeypatch.setattr(choice, "has_bfloat16", lambda device: False)
    monkeypatch.setattr(encoders_module, "_loaded", {})
    with caplog.at_level(logging.WARNING):
        load("roberta", "bfloat16")
    assert "cpu has no instructions for bfloat16" in caplog.text


def test_a_precision_that_is_not_there_is_refused(load):
    with pytest.raises(UsageError, match="'cpu' has no tf32"):
        load("roberta", "tf32")
    with pytest.raises(UsageError, match=r"precision 'float16'.*float32"):
        load("roberta", "float16")


# when they are chosen


def test_auto_is_settled_by_the_device_where_it_can_be(monkeypatch):
    settled = choice.settled_precision
    monkeypatch.setattr(choice, "has_tf32", lambda device: device == "cuda:0")
    monkeypatch.setattr(choice, "has_bfloat16", lambda device: True)
    devices = ("cuda:0", "cuda:1", "mps", "cpu")
    assert [settled("auto", device) for device in devices] == [
        "tf32",
        "float32",
        "float32",
        "auto",
    ]
    assert settled("bfloat16", "cuda:0") == "bfloat16"


def test_auto_is_float32_without_instructions_for_bfloat16(load, monkeypatch):
    monkeypatch.setattr(choice, "has_bfloat16", lambda device: False)
    monkeypatch.setattr(choice, "proven_parity", None)
    assert load("roberta", "auto") is load("roberta", "float32")


@pytest.mark.parametrize(
    ("measured", "chosen"),
    [(NEAR, "bfloat16"), (FAR, "float32"), (SLOW, "float32")],
)
def test_auto_is_bfloat16_where_it_has_proved_near_and_fast(
    measured, chosen, load, with_bfloat16, monkeypatch
):
    monkeypatch.setattr(choice, "proven_parity", lambda encoder: measured)
    encoder = load("roberta", "auto")
    assert encoder.precision == chosen
    # It is not loaded a second time for whoever asks for what it turned out to be.
    assert load("roberta", chosen) is load("roberta", "auto") is encoder


def test_an_encoder_is_measured_once_on_a_machine(load, with_bfloat16, monkeypatch):
    asked = []
    monkeypatch.setattr(parity, "measure_parity", lambda it: asked.append(it) or NEAR)
    encoder = load("roberta")
    assert [parity.proven_parity(encoder) for _ in range(2)] == [NEAR, NEAR]
    assert len(asked) == 1

    monkeypatch.setattr(parity, "_machine", lambda: {"processor": "another"})
    parity.proven_parity(encoder)
    assert len(asked) == 2


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"machine": {}}'])
def test_a_damaged_record_is_measured_again(
    content, load, with_bfloat16, monkeypatch, tmp_path
):
    monkeypatch.setattr(parity, "measure_parity", lambda encoder: NEAR)
    encoder = load("roberta")
    path = tmp_path / "cache" / "precision" / f"{encoder.signature}.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    assert parity.proven_parity(encoder) == NEAR


@pytest.mark.parametrize("name", ["muq", "roberta"])
def test_parity_is_measured_on_copies(name, load, monkeypatch):
    monkeypatch.setattr(parity, "SECONDS", 1)
    encoder = load(name)
    before = state_digest(encoder)
    measured = measure_parity(encoder)
    assert 0.999 < measured.cosine <= 1
    assert 0 < measured.difference < 0.02
    assert measured.gain > 0
    assert state_digest(encoder) == before
