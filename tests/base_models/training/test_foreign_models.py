"""Laws of base models whose files a stranger wrote: no writes, no network, no bombs."""

import json
import socket

import numpy as np
import pytest
import safetensors.numpy
from builders import clip_table, noises
from sklearn.base import clone
from tiny_networks import embedded_model

from base_models.errors import DamagedArtifact, UsageError
from base_models.files import seal
from base_models.training.neural_mos import NeuralMOS

ASPECTS = ["mi", "ta"]


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    k = np.arange(12)
    sounds = noises(10 ** (0.2 * k - 2.4), 0.5)
    prompts = ("a sad violin", "slow piano and drums")
    labels = {"mi": 1.3 + 0.3 * k, "ta": 4.7 - 0.3 * k}
    folder = tmp_path_factory.mktemp("clips")
    return clip_table(folder, sounds, systems=3, prompts=prompts, **labels)


@pytest.fixture(scope="module")
def fitted(clips):
    settings = {"learning_rate": 1e-3, "batch_size": 4}
    model = embedded_model("dora", settings, store=None)
    return model.fit(clips, clips[ASPECTS])


@pytest.fixture
def foreign(fitted, tmp_path):
    """Writes a model whose config.json a stranger changed, with its manifest."""

    def write(change):
        folder = tmp_path / "foreign"
        fitted.save(folder)
        path = folder / "config.json"
        facts = json.loads(path.read_text())
        change(facts)
        path.write_text(json.dumps(facts))
        seal(folder, "base model")
        return folder

    return write


def names_muq(facts):
    facts["params"]["audio_encoder"] = "muq"
    facts["config"]["audio_encoder"] = "muq"


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    """No weights in the cache, and a list of the connections that are tried."""
    from huggingface_hub import constants

    tried = []

    def refuse(*where, **_):
        tried.append(where)
        raise OSError("no network in this test")

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr("huggingface_hub.get_hf_file_metadata", refuse)
    return tried


@pytest.mark.parametrize("name", ["checkpoint", "store", "device", "on_epoch"])
def test_a_foreign_model_names_no_place_to_write_and_none_is_written(
    name, foreign, tmp_path
):
    victim = tmp_path / "victim"
    victim.write_text("mine")
    folder = foreign(lambda facts: facts["params"].update({name: str(victim)}))
    with pytest.raises(
        DamagedArtifact, match=rf"'params' sets '{name}', which no file may choose"
    ):
        NeuralMOS.load(folder)
    assert victim.read_text() == "mine"


def test_an_encoder_that_a_file_names_is_not_fetched(foreign, clips, no_network):
    loaded = NeuralMOS.load(foreign(names_muq), store=None, device="cpu")
    with pytest.raises(UsageError, match=r"not fetched unless asked for: --audio-enc"):
        loaded.predict(clips)
    # Fitting it anew does not ask for it either.
    with pytest.raises(UsageError, match=r"not fetched unless asked for: --audio-enc"):
        clone(loaded).fit(clips, clips[ASPECTS])
    assert no_network == []


def test_an_encoder_that_the_caller_names_is_sought_on_the_network(
    foreign, clips, no_network
):
    loaded = NeuralMOS.load(
        foreign(names_muq), store=None, device="cpu", audio_encoder="muq"
    )
    with pytest.raises(UsageError, match="the hub refused or cannot be reached"):
        loaded.predict(clips)
    assert no_network


def test_the_refusal_is_one_line_that_fits_a_terminal(foreign, clips, no_network):
    loaded = NeuralMOS.load(foreign(names_muq), store=None, device="cpu")
    with pytest.raises(UsageError, match="Encoder 'muq' needs") as refused:
        loaded.encoders()
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda w: w.astype(np.int64), "is int64 of shape .* has torch.float32"),
        (lambda w: w.astype(np.float64), "is float64 of shape"),
        (lambda w: w[..., :1], "and the network has torch.float32 of shape"),
        (lambda w: w[None], "and the network has torch.float32 of shape"),
    ],
)
def test_weights_of_another_type_or_shape_are_refused(change, words, foreign):
    folder = foreign(lambda facts: None)
    path = folder / "weights.safetensors"
    arrays = safetensors.numpy.load(path.read_bytes())
    name = max(arrays, key=lambda key: arrays[key].size)
    arrays[name] = np.ascontiguousarray(change(arrays[name]))
    path.write_bytes(safetensors.numpy.save(arrays))
    seal(folder, "base model")
    with pytest.raises(DamagedArtifact, match=words):
        NeuralMOS.load(folder)


@pytest.mark.parametrize("dim", [65_536, 10**12])
def test_a_config_that_asks_for_a_huge_network_is_refused_before_it_is_built(
    dim, foreign
):
    folder = foreign(lambda facts: facts["encoders"]["audio"].update(dim=dim))
    with pytest.raises(DamagedArtifact, match=r"weights\.safetensors|'dim' of the"):
        NeuralMOS.load(folder)
    folder = foreign(lambda facts: facts["config"].update(hidden_layers=10**9))
    with pytest.raises(UsageError, match="hidden_layers must be at most 64"):
        NeuralMOS.load(folder)
    folder = foreign(lambda facts: facts["config"]["bins"].update(count=10**9))
    with pytest.raises(UsageError, match=r"at most 1,000 bins; got 1,000,000,000"):
        NeuralMOS.load(folder)


def test_a_long_header_is_refused_before_it_is_parsed(foreign):
    folder = foreign(lambda facts: None)
    path = folder / "weights.safetensors"
    path.write_bytes((90 * 10**6).to_bytes(8, "little") + b"{}" + b" " * 100)
    seal(folder, "base model")
    with pytest.raises(DamagedArtifact, match="its header claims 90,000,000 bytes"):
        NeuralMOS.load(folder)
