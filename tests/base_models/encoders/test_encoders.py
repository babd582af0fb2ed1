"""Laws of the frozen encoders, on tiny random weights of the real classes."""

from __future__ import annotations

import json
import random
import shutil
import socket
import time

import numpy as np
import pytest
import safetensors.torch
import soundfile
import torch
from builders import RATE, music
from tiny_encoders import PROMPTS, load_for_test

from base_models import encoders
from base_models.encoders import (
    ENCODERS,
    load_encoder,
    parse_encoder,
    state_digest,
    weights,
)
from base_models.errors import ClipError, DamagedArtifact, UsageError
from base_models.files import sha256


@pytest.fixture(scope="module")
def folders(tiny_encoders):
    return tiny_encoders


@pytest.fixture(scope="module", params=list(ENCODERS))
def encoder(request, folders):
    return load_for_test(request.param, folders)


@pytest.fixture(scope="module")
def items(encoder, tmp_path_factory):
    """Two prepared items of one length."""
    if encoder.kind == "audio":
        folder = tmp_path_factory.mktemp("items")
        for seed in range(2):
            soundfile.write(folder / f"{seed}.wav", music(seed=seed), RATE)
        return [encoder.prepare(str(folder / f"{seed}.wav")) for seed in range(2)]
    prompts = ["slow piano music", "fast piano drums"]
    prepared = [encoder.prepare(prompt) for prompt in prompts]
    shortest = min(map(len, prepared))
    return [item[:shortest] for item in prepared]


@pytest.fixture(scope="module")
def encoded(encoder, items):
    """What the encoder gives for both items in one batch."""
    return encoder.encode(items)


def copy_with(folders, name, tmp_path, **changes):
    """Copy a weights folder with tensors changed.

    `changes` maps a name to a function of the tensor, or to None to leave it out.
    """
    folder = shutil.copytree(folders[name], tmp_path / name)
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    for key, change in changes.items():
        tensor = tensors.pop(key)
        if change:
            tensors[key] = change(tensor).contiguous()
    safetensors.torch.save_file(tensors, folder / "model.safetensors")
    return folder


# what comes out


def test_a_batch_changes_nothing(encoder, items, encoded):
    alone = np.concatenate([encoder.encode([item]) for item in items])
    np.testing.assert_allclose(encoded, alone, atol=1e-5)


def test_output_is_deterministic_float32_of_the_stated_width(encoder, items, encoded):
    assert encoded.dtype == np.float32
    assert encoded.shape[::2] == (2, encoder.dim)
    assert encoder.encode(items).tobytes() == encoded.tobytes()


@pytest.mark.parametrize("name", ["muq", "logmel"])
def test_an_audio_encoder_gives_its_stated_frames_per_second(name, folders):
    encoder = load_encoder(name, folders.get(name))
    assert encoder.frame_rate == {"muq": 25, "logmel": 12.5}[name]
    for seconds in (1, 2.5, 4.03):
        frames = encoder.encode([music(seconds)]).shape[1]
        assert abs(frames - seconds * encoder.frame_rate) <= 1


def test_muq_agrees_with_its_own_package(folders):
    from muq import MuQ

    oracle = MuQ.from_pretrained(folders["muq"]).eval()
    oracle.model.conformer.config._attn_implementation = "eager"
    samples = torch.from_numpy(music(1.5))[None]
    with torch.inference_mode():
        mel = oracle.model.normalize(
            oracle.model.preprocessing(samples, ["melspec_2048"])
        )["melspec_2048"]
        expected = oracle.model.conformer(
            oracle.model.conv(mel)
        ).last_hidden_state.numpy()
    ours = load_encoder("muq", folders["muq"]).encode(samples.numpy())
    np.testing.assert_allclose(ours, expected, atol=1e-5)


def test_roberta_agrees_with_from_pretrained(folders):
    from transformers import RobertaModel, RobertaTokenizerFast

    tokenizer = RobertaTokenizerFast.from_pretrained(folders["roberta"])
    oracle = RobertaModel.from_pretrained(
        folders["roberta"], add_pooling_layer=False
    ).eval()
    ours = load_encoder("roberta", folders["roberta"])
    for prompt in PROMPTS:
        with torch.inference_mode():
            expected = oracle(
                **tokenizer(prompt, return_tensors="pt")
            ).last_hidden_state.numpy()
        np.testing.assert_allclose(
            ours.encode([ours.prepare(prompt)]), expected, atol=1e-5
        )


def test_roberta_keeps_both_ends_and_at_most_128_tokens(folders):
    encoder = load_encoder("roberta", folders["roberta"])
    ids = encoder.prepare("drum " * 500)
    assert (len(ids), ids[0], ids[-1], ids.dtype) == (128, 0, 2, np.int64)
    assert encoder.encode([ids]).shape == (1, 128, 32)


def test_logmel_of_music_and_of_silence_is_of_moderate_size():
    encoder = load_encoder("logmel")
    tune, silence = (
        encoder.encode([music(3)])[0],
        encoder.encode([np.zeros(3 * RATE, np.float32)])[0],
    )
    assert (np.abs(tune) < 3).mean() > 0.95
    assert 0.2 < tune[:, :64].std() < 2
    np.testing.assert_allclose(silence[:, :64], -2.5)
    assert (silence[:, 64:] == 0).all()


def test_logmel_hears_pitch_and_a_change_of_loudness():
    encoder = load_encoder("logmel")
    t = np.arange(RATE) / RATE
    low, high = (
        0.5 * np.sin(2 * np.pi * hertz * t).astype(np.float32) for hertz in (220, 3520)
    )
    level = encoder.encode([low, high])[:, 5, :64]
    assert level[0].argmax() < level[1].argmax()
    softer = encoder.encode([low / 10])[0, 5, :64]
    np.testing.assert_allclose(
        level[0].max() - softer.max(), 1.0, atol=1e-3
    )  # 20 dB is one unit
    slope = encoder.encode([np.concatenate([low / 100, low])])[
        0, :, 64 + level[0].argmax()
    ]
    assert slope.argmax() in (11, 12, 13)


def test_hashed_words_have_unit_variance_and_relatives_are_alike():
    encoder = load_encoder("hashed_text")
    drum, drums, piano = encoder.encode([encoder.prepare("Drum drums, PIANO!")])[0]
    np.testing.assert_allclose(
        np.linalg.norm([drum, drums, piano], axis=1), np.sqrt(128), rtol=1e-5
    )
    assert drum @ drums / 128 > 0.3 > abs(drum @ piano / 128)
    assert len(encoder.prepare("la " * 500)) == 128


def test_hashed_words_are_the_same_in_every_process():
    vectors = load_encoder("hashed_text").prepare("A slow piano tune")
    assert (
        sha256(vectors.tobytes())
        == "1e6f46ab845163139aff0eba744a03cf8589daa6c89df37993f6b8f600915797"
    )


# frozen


def test_nothing_moves_even_after_somebody_calls_train(encoder, items, encoded):
    before = state_digest(encoder)
    encoder.module.train()
    again = encoder.encode(items)
    assert state_digest(encoder) == before
    assert again.tobytes() == encoded.tobytes()
    assert not any(parameter.requires_grad for parameter in encoder.module.parameters())


def test_the_state_digest_sees_a_batchnorm_that_moved(folders, tmp_path):
    # That of others is folded into their convolutions.
    encoder = load_encoder("clap", shutil.copytree(folders["clap"], tmp_path / "clap"))
    before = state_digest(encoder)
    norm = encoder.module.tower.audio_model.audio_encoder.batch_norm
    norm.running_mean += 1e-6
    assert state_digest(encoder) != before


def test_the_callers_autocast_is_ignored(encoder, items, encoded):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert encoder.encode(items).tobytes() == encoded.tobytes()


def test_loading_moves_no_random_generator(folders, tmp_path):
    torch.manual_seed(7)
    random.seed(7)
    states = torch.get_rng_state(), random.getstate()
    for name in folders:
        load_encoder(name, shutil.copytree(folders[name], tmp_path / name))
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]


def test_the_signature_is_that_of_the_weights_not_of_the_folder(folders, tmp_path):
    here = load_encoder("roberta", folders["roberta"])
    there = load_encoder(
        f"roberta={shutil.copytree(folders['roberta'], tmp_path / 'b')}"
    )
    bias = "roberta.encoder.layer.0.output.dense.bias"
    other = load_encoder(
        "roberta", copy_with(folders, "roberta", tmp_path, **{bias: lambda t: t + 1e-6})
    )
    assert here.signature == there.signature != other.signature
    assert load_encoder("roberta", folders["roberta"]) is here


# what is refused


@pytest.mark.parametrize("name", ["roberta", "hashed_text"])
@pytest.mark.parametrize("prompt", ["", "  \n"])
def test_an_empty_prompt_is_a_clip_error(name, prompt, folders):
    with pytest.raises(ClipError, match="no prompt"):
        load_encoder(name, folders.get(name)).prepare(prompt)


def test_a_prompt_without_a_word_or_that_is_no_text_is_a_clip_error(folders):
    with pytest.raises(ClipError, match="no word"):
        load_encoder("hashed_text").prepare("?!")
    with pytest.raises(ClipError, match="not valid text"):
        load_encoder("roberta", folders["roberta"]).prepare("drum \ud800")


@pytest.mark.parametrize("name", ["muq", "logmel"])
def test_a_clip_shorter_than_a_frame_is_a_clip_error(name, folders, tmp_path):
    soundfile.write(tmp_path / "short.wav", music(0.02), RATE)
    with pytest.raises(ClipError, match="short"):
        load_encoder(name, folders.get(name)).prepare(str(tmp_path / "short.wav"))


def test_a_batch_of_unequal_lengths_is_refused():
    with pytest.raises(UsageError, match="one length"):
        load_encoder("logmel").encode([music(1), music(2)])


def test_a_misspelt_name_is_answered_with_the_nearest():
    with pytest.raises(
        UsageError, match=r"Unknown encoder 'logmell'. Did you mean 'logmel'\?"
    ):
        load_encoder("logmell")
    with pytest.raises(UsageError, match="Did you mean 'muq'"):
        parse_encoder("mug=/data/muq")
    with pytest.raises(UsageError, match="names no folder"):
        parse_encoder("muq=")
    with pytest.raises(UsageError, match="needs no weights"):
        load_encoder("logmel=/data")


def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(UsageError, match="Device 'tpu' is not available here"):
        load_encoder("logmel", device="tpu")


@pytest.mark.parametrize("name", ["muq", "roberta"])
def test_weights_in_the_cache_are_found_without_a_network(
    name, folders, tmp_path, monkeypatch
):
    from huggingface_hub import constants

    spec = ENCODERS[name]
    snapshot = (
        tmp_path
        / f"models--{spec.repository.replace('/', '--')}"
        / "snapshots"
        / spec.revision
    )
    shutil.copytree(folders[name], snapshot)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(encoders, "_loaded", {})
    monkeypatch.setattr(
        socket.socket, "connect", lambda *_: pytest.fail("asked the network")
    )
    assert load_encoder(name).signature == load_encoder(name, folders[name]).signature


def test_a_revision_without_safetensors_is_refused_with_the_cure(monkeypatch, tmp_path):
    from huggingface_hub import constants
    from huggingface_hub.errors import EntryNotFoundError

    def answer(url, **_):
        if "safetensors" in url:
            raise EntryNotFoundError("404")

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.get_hf_file_metadata", answer)
    monkeypatch.setattr(
        "huggingface_hub.hf_hub_download", _download_config_only(tmp_path)
    )
    with pytest.raises(
        UsageError, match=r"no such file at that revision \(a pickle is never loaded"
    ):
        weights.WeightFiles.find(ENCODERS["muq"])


def test_a_download_that_breaks_off_is_one_readable_error(monkeypatch):
    def broken(local_files_only=False, **_):
        raise OSError("not cached" if local_files_only else "connection reset")

    monkeypatch.setattr("huggingface_hub.get_hf_file_metadata", lambda *_, **__: None)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", broken)
    with pytest.raises(
        UsageError,
        match=r"downloading config.json failed \(OSError: connection reset\)",
    ):
        weights.WeightFiles.find(ENCODERS["muq"])


def _download_config_only(folder):
    def download(filename, local_files_only=False, **_):
        if local_files_only:
            raise OSError("not cached")
        return str(folder / filename)

    return download


@pytest.mark.parametrize(("name", "way"), [("muq", "refused"), ("roberta", "silent")])
def test_without_weights_and_network_the_error_names_everything_in_time(
    name, way, tmp_path, monkeypatch
):
    from huggingface_hub import constants

    def unreachable(*args, **kwargs):
        time.sleep(0 if way == "refused" else 30)
        raise OSError("no network in tests")

    monkeypatch.setattr(socket, "getaddrinfo", unreachable)
    monkeypatch.setattr(socket.socket, "connect", unreachable)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(encoders, "_loaded", {})
    assert weights.NETWORK_SECONDS < 4
    monkeypatch.setattr(weights, "NETWORK_SECONDS", 1.0)
    start = time.perf_counter()
    with pytest.raises(UsageError) as caught:
        load_encoder(name)
    assert time.perf_counter() - start < 1 + 1
    spec = ENCODERS[name]
    embedded = {"muq": "logmel", "roberta": "hashed_text"}[name]
    names = " ".join(spec.files)
    command = f"hf download {spec.repository} {names} --revision {spec.revision}"
    for part in (
        f"'{name}'",
        spec.revision,
        str(tmp_path / "cache"),
        command,
        f"'{name}=FOLDER'",
        f"'{embedded}'",
    ):
        assert part in str(caught.value)


def test_a_folder_with_only_a_pickle_is_refused_with_the_cure(folders, tmp_path):
    folder = shutil.copytree(folders["muq"], tmp_path / "muq")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(
        UsageError,
        match=r"no model.safetensors in .* \(a pickle is never loaded.*weights_only",
    ):
        load_encoder("muq", folder)
    with pytest.raises(UsageError, match="is not a folder"):
        load_encoder("muq", tmp_path / "absent")


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("muq", "model.conv.linear.weight"),
        ("roberta", "roberta.encoder.layer.1.output.dense.weight"),
    ],
)
def test_weights_that_do_not_fit_are_refused_by_file_name(
    name, tensor, folders, tmp_path
):
    missing = copy_with(folders, name, tmp_path / "a", **{tensor: None})
    with pytest.raises(
        UsageError, match=r"model.safetensors does not hold the weights.*Missing key"
    ):
        load_encoder(name, missing)
    reshaped = copy_with(folders, name, tmp_path / "b", **{tensor: lambda t: t[:-1]})
    with pytest.raises(
        UsageError, match=r"model.safetensors does not hold the weights.*size mismatch"
    ):
        load_encoder(name, reshaped)
    spoilt = copy_with(
        folders, name, tmp_path / "c", **{tensor: lambda t: t * float("nan")}
    )
    with pytest.raises(
        DamagedArtifact, match=r"model.safetensors.*hold NaN or infinity"
    ):
        load_encoder(name, spoilt)


@pytest.mark.parametrize("name", ["muq", "roberta"])
def test_unreadable_weight_files_are_refused_by_name(name, folders, tmp_path):
    folder = shutil.copytree(folders[name], tmp_path / name)
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:-9])
    with pytest.raises(DamagedArtifact, match=r"model.safetensors is not a readable"):
        load_encoder(name, folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(DamagedArtifact, match=r"config.json is not valid JSON"):
        load_encoder(name, folder)
    (folder / "config.json").write_text("[1]")
    with pytest.raises(DamagedArtifact, match=r"config.json is not a JSON object"):
        load_encoder(name, folder)


def test_a_config_of_something_else_is_refused(folders, tmp_path):
    folder = shutil.copytree(folders["muq"], tmp_path / "muq")
    config = json.loads((folder / "config.json").read_text())
    for change in (
        {"stat": {}},
        {"label_rate": 50},
        {"w2v2_config": {"hidden_act": "nothing"}},
    ):
        (folder / "config.json").write_text(json.dumps(config | change))
        with pytest.raises(
            UsageError, match=r"config.json does not describe a MuQ model"
        ):
            load_encoder("muq", folder)


def test_a_tokenizer_of_something_else_is_refused(folders, tmp_path):
    folder = shutil.copytree(folders["roberta"], tmp_path / "roberta")
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(
        json.dumps(tokenizer | {"post_processor": None})
    )
    with pytest.raises(
        UsageError, match=r"tokenizer.json does not belong to this RoBERTa"
    ):
        load_encoder("roberta", folder)
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(
        DamagedArtifact, match=r"tokenizer.json is not a readable tokenizer"
    ):
        load_encoder("roberta", folder)


def test_a_path_in_the_config_is_never_unpickled(folders, tmp_path):
    """The package's own class calls torch.load on this path."""
    folder = shutil.copytree(folders["muq"], tmp_path / "muq")
    config = json.loads((folder / "config.json").read_text())
    (tmp_path / "bomb").write_bytes(b"not even a pickle")
    changed = config | {
        "use_rvq_target": True,
        "rvq_ckpt_path": str(tmp_path / "bomb"),
        "unknown": 1,
    }
    (folder / "config.json").write_text(json.dumps(changed))
    item = [music()]
    np.testing.assert_array_equal(
        load_encoder("muq", folder).encode(item),
        load_encoder("muq", folders["muq"]).encode(item),
    )
