"""Encoders against their own libraries, and the conformance checks on each."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import soundfile
import torch
import transformers
from builders import music
from tiny_encoders import PROMPTS, WRITERS, load_for_test

from base_models.encoders import ENCODERS, load_encoder
from base_models.encoders.base import prepare_audio
from base_models.encoders.conformance import check_encoder
from base_models.encoders.joint.windows import consecutive_windows
from base_models.encoders.specs import SPECS
from base_models.errors import ClipError, DamagedArtifact, UsageError
from base_models.training.neural_mos import NeuralMOS

WEIGHTED = [name for name, spec in ENCODERS.items() if spec.repository]
PARTS = {
    "clap": "audio_model",
    "clap_slip": "audio_model",
    "clap_text": "text_model",
    "whisper": "encoder.layers",
    "whisper_padded": "encoder.layers",
}
PARTS |= {"muq_mulan": "mulan.audio.proj", "muq_mulan_text": "mulan.text.transformer"}
"""Part of the names of an encoder's own tensors, if it shares a file with others."""
AUDIO = [name for name, spec in ENCODERS.items() if spec.kind == "audio"]
TEXT = [name for name, spec in ENCODERS.items() if spec.kind == "text"]


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Clips by name, at another rate: two of one length, a shorter and a long one."""
    folder = tmp_path_factory.mktemp("clips")
    made = {"a": (1.5, 0), "b": (1.5, 1), "short": (0.8, 2), "long": (12.3, 3)}
    for name, (seconds, seed) in made.items():
        soundfile.write(folder / f"{name}.flac", music(seconds, 44_100, seed), 44_100)
    return {name: str(folder / f"{name}.flac") for name in made}


@pytest.fixture(scope="module")
def load(tiny_encoders):
    return lambda name: load_for_test(name, tiny_encoders)


def wav(tmp_path, samples, rate):
    path = tmp_path / "clip.wav"
    soundfile.write(path, samples, rate, subtype="FLOAT")
    return str(path)


def edited(tiny_encoders, name, tmp_path, file="config.json", **changes):
    """A copy of a weights folder with one JSON file changed."""
    folder = shutil.copytree(tiny_encoders[name], tmp_path / name)
    (folder / file).write_text(
        json.dumps(json.loads((folder / file).read_text()) | changes)
    )
    return folder


# every encoder


def test_there_is_a_tiny_model_of_every_encoder_on_the_hub(tiny_encoders):
    assert set(tiny_encoders) == set(WEIGHTED)


@pytest.mark.parametrize(
    "name",
    # These two have published weights alone, see test_light_encoders.
    [name for name in ENCODERS if name not in ("basic_pitch", "distillmos")],
)
def test_every_encoder_conforms(name, load, clips):
    items = (
        list(clips.values())
        if name in AUDIO
        else [*PROMPTS, "a slow piano song", "Ünïcödé ♪ 音楽"]
    )
    assert check_encoder(load(name), items).problems == []


@pytest.mark.parametrize("name", ENCODERS)
def test_every_revision_is_pinned_and_every_licence_stated(name):
    spec = ENCODERS[name]
    assert spec.licence
    if spec.wheel:
        assert spec.files == tuple(pinned.name for pinned in spec.wheel.files)
        for pinned in spec.wheel.files:
            assert re.fullmatch("[0-9a-f]{64}", pinned.sha256)
        return
    for file in spec.files:
        repository, revision, _ = spec.source(file)
        assert repository
        assert len(revision) == 40
        assert set(revision) <= set("0123456789abcdef")


def test_what_may_be_used_commercially():
    assert {spec.name for spec in SPECS if not spec.commercial} == {
        "muq",
        "muq_mulan",
        "muq_mulan_text",
        "mert",
    }


@pytest.mark.parametrize("name", TEXT)
def test_a_prompt_of_ten_thousand_words_is_cut_at_the_limit_and_that_is_said(
    name, load, caplog
):
    limit = {"clap_text": 77, "muq_mulan_text": 38}.get(
        name, 128
    )  # the tiny XLM-RoBERTa has 40 positions
    encoder = load(name)
    ids = encoder.prepare("piano drum " * 5_000)
    assert len(ids) == limit
    assert np.isfinite(encoder.encode([ids])).all()
    assert (
        f"The prompt 'piano drum piano drum piano drum pia…' has more than {limit}"
        in caplog.text
    )
    caplog.clear()
    encoder.prepare("piano drum")
    assert not caplog.text


@pytest.mark.parametrize("name", TEXT)
@pytest.mark.parametrize("prompt", ["", " \n\t"])
def test_an_empty_prompt_is_a_clip_error(name, prompt, load):
    with pytest.raises(ClipError, match="no prompt"):
        load(name).prepare(prompt)


@pytest.mark.parametrize("name", AUDIO)
def test_the_shortest_clip_there_is_can_be_encoded(name, load, tmp_path):
    encoder = load(name)
    for seconds in (0.1, 0.3):
        path = wav(tmp_path, music(seconds, encoder.sample_rate), encoder.sample_rate)
        embedding = encoder.encode([encoder.prepare(path)])
        assert embedding.shape[1] >= 1
        assert np.isfinite(embedding).all()
    with pytest.raises(
        ClipError, match=r"clip.wav': too short: 0.010 s; at least 0.1 s"
    ):
        encoder.prepare(
            wav(tmp_path, music(0.01, encoder.sample_rate), encoder.sample_rate)
        )


@pytest.mark.parametrize("name", AUDIO)
def test_silence_gives_finite_numbers(name, load, tmp_path):
    encoder = load(name)
    silence = wav(tmp_path, np.zeros(2 * encoder.sample_rate), encoder.sample_rate)
    assert np.isfinite(encoder.encode([encoder.prepare(silence)])).all()


def test_the_least_length_of_an_encoder_is_named(tmp_path):
    prepare = prepare_audio(ENCODERS["clap"], 24_000)
    with pytest.raises(
        ClipError, match=r"too short: 0.200 s, and 'clap' needs at least 0.500 s"
    ):
        prepare(wav(tmp_path, music(0.2, 48_000), 48_000))


@pytest.mark.parametrize("name", WEIGHTED)
def test_weights_that_lack_a_tensor_or_hold_nan_or_another_shape_are_refused(
    name, tiny_encoders, tmp_path
):
    folder = shutil.copytree(tiny_encoders[name], tmp_path / name)
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    part = PARTS.get(name, "")
    used = [
        key
        for key in tensors
        if part in key and key.endswith("weight") and tensors[key].dim() == 2
    ]
    key = max(used, key=lambda it: ("layer" in it, it))
    safetensors.torch.save_file(
        tensors | {key: tensors[key] * float("nan")}, folder / "model.safetensors"
    )
    with pytest.raises(
        DamagedArtifact, match=r"model.safetensors: .*hold NaN or infinity"
    ):
        load_encoder(name, folder)
    safetensors.torch.save_file(
        {k: t for k, t in tensors.items() if k != key}, folder / "model.safetensors"
    )
    with pytest.raises(
        UsageError, match=r"model.safetensors does not hold the weights.*Missing key"
    ):
        load_encoder(name, folder)
    safetensors.torch.save_file(
        tensors | {key: tensors[key][:-1].contiguous()}, folder / "model.safetensors"
    )
    with pytest.raises(
        UsageError, match=r"model.safetensors does not hold the weights.*size mismatch"
    ):
        load_encoder(name, folder)


@pytest.mark.parametrize(
    "name", ["clap", "clap_text", "mert", "wav2vec2", "whisper", "qwen3", "modernbert"]
)
def test_a_config_of_another_family_is_refused(name, tiny_encoders, tmp_path):
    with pytest.raises(
        UsageError,
        match=r"config.json does not describe a .* model \(ValueError: model_type",
    ):
        load_encoder(name, edited(tiny_encoders, name, tmp_path, model_type="bert"))


@pytest.mark.parametrize(
    "name",
    [
        "clap",
        "clap_slip",
        "clap_text",
        "mert",
        "wav2vec2",
        "muq_mulan",
        "muq_mulan_text",
    ],
)
def test_weights_that_are_only_a_pickle_are_refused_at_once_with_the_cure(
    name, tmp_path, monkeypatch
):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UsageError, match="only as a pickle") as caught:
        load_encoder(name)
    for part in (
        "pytorch_model.bin",
        f"--local-dir {name}",
        "weights_only=True",
        f"'{name}={name}'",
    ):
        assert part in str(caught.value)


# each against its own library


@pytest.mark.parametrize("clip", ["a", "long"])
def test_clap_agrees_with_its_own_class_window_by_window(clip, load, clips, tmp_path):
    oracle, encoder = WRITERS["clap"](tmp_path / "clap"), load("clap")
    extractor = transformers.ClapFeatureExtractor.from_pretrained(tmp_path / "clap")
    samples = prepare_audio(encoder, 1)(clips[clip])
    with torch.inference_mode():
        for i, window in enumerate(encoder.encode([encoder.prepare(clips[clip])])[0]):
            part = extractor(
                samples[i * 480_000 :][:480_000],
                sampling_rate=48_000,
                return_tensors="pt",
            )
            expected = oracle.get_audio_features(**part).pooler_output[0].numpy()
            np.testing.assert_allclose(window, expected, atol=1e-5)
    assert i == (0 if clip == "a" else 1)


def test_clap_hears_a_long_clip_the_same_every_time(load, clips):
    encoder = load("clap")
    first, second = (encoder.encode([encoder.prepare(clips["long"])]) for _ in range(2))
    assert first.shape == (1, 2, 12)
    assert first.tobytes() == second.tobytes()


def test_a_rest_of_less_than_half_a_second_gets_no_window_of_its_own(load, tmp_path):
    assert len(load("clap").prepare(wav(tmp_path, music(10.3, 48_000), 48_000))) == 1
    assert len(load("clap").prepare(wav(tmp_path, music(0.3, 48_000), 48_000))) == 1
    assert [
        len(window) for window in consecutive_windows(np.zeros(20), 10, least=3)
    ] == [10, 10]


def test_the_slip_of_the_official_baseline_plays_16_khz_as_48(load, tmp_path):
    """As published: the file's samples, cut at 480,000, are taken to be 48 kHz."""
    oracle, slip = WRITERS["clap"](tmp_path / "clap"), load("clap_slip")
    extractor = transformers.ClapFeatureExtractor.from_pretrained(tmp_path / "clap")
    for seconds in (4, 31):
        samples = music(seconds, 16_000)
        part = extractor(samples[:480_000], sampling_rate=48_000, return_tensors="pt")
        with torch.inference_mode():
            expected = oracle.get_audio_features(**part).pooler_output.numpy()
        ours = slip.encode([slip.prepare(wav(tmp_path, samples, 16_000))])
        assert ours.shape == (1, 1, 12)
        np.testing.assert_allclose(ours[0], expected, atol=1e-5)


def test_the_slip_is_never_taken_for_clap_itself(load, tiny_encoders, clips):
    clap, slip = load("clap"), load("clap_slip")
    assert clap.digest == slip.digest
    assert clap.signature != slip.signature
    a, b = (it.encode([it.prepare(clips["a"])]) for it in (clap, slip))
    assert np.abs(a - b).max() > 1e-3
    assert "three times too fast" in slip.caution
    cautioned = [spec.name for spec in SPECS if spec.caution]
    assert cautioned == ["clap_slip", "whisper_padded", "distillmos"]


def test_clap_reads_a_prompt_as_its_own_class_does(load, tmp_path):
    oracle, encoder = WRITERS["clap"](tmp_path / "clap"), load("clap_text")
    for prompt in PROMPTS:
        ids = encoder.prepare(prompt)
        with torch.inference_mode():
            expected = oracle.get_text_features(
                torch.from_numpy(ids)[None]
            ).pooler_output.numpy()
        np.testing.assert_allclose(encoder.encode([ids])[0], expected, atol=1e-5)


def test_a_clap_that_cuts_at_random_is_refused(tiny_encoders, tmp_path):
    front = "preprocessor_config.json"
    with pytest.raises(
        UsageError, match=r"preprocessor_config.json: .*'fusion'.*an unfused CLAP"
    ):
        load_encoder(
            "clap",
            edited(tiny_encoders, "clap", tmp_path / "a", front, truncation="fusion"),
        )
    config = json.loads((tiny_encoders["clap"] / "config.json").read_text())[
        "audio_config"
    ]
    fused = edited(
        tiny_encoders,
        "clap",
        tmp_path / "b",
        audio_config=config | {"enable_fusion": True},
    )
    with pytest.raises(
        UsageError, match="a fused CLAP picks parts of each clip at random"
    ):
        load_encoder("clap", fused)


@pytest.fixture
def mulan(tmp_path):
    """The package's own MuQMuLan, without its MuQ, which fails in transformers 5."""
    model = WRITERS["muq_mulan"](tmp_path / "muq_mulan")
    inner = model.mulan.audio.model.model
    inner.conformer.config._attn_implementation = "eager"

    def hidden_states(samples):
        mel = inner.normalize(inner.preprocessing(samples, ["melspec_2048"]))[
            "melspec_2048"
        ]
        return [inner.conformer(inner.conv(mel)).last_hidden_state]

    model.mulan.audio._forward_pretrained_model = hidden_states
    return model


@pytest.mark.parametrize("seconds", [7, 20, 23.5])
def test_muq_mulan_agrees_with_its_own_package(seconds, load, mulan, tmp_path):
    encoder = load("muq_mulan")
    prepared = encoder.prepare(wav(tmp_path, music(seconds, 24_000), 24_000))
    with torch.inference_mode():
        windows = mulan._get_all_clips(torch.from_numpy(music(seconds, 24_000)))
        np.testing.assert_array_equal(prepared, windows)
        expected = mulan(wavs=torch.from_numpy(music(seconds, 24_000))[None]).numpy()
    mean = encoder.encode([prepared]).mean(1)
    np.testing.assert_allclose(mean, expected, atol=1e-5)
    assert np.abs(mean).max() > 0.1


def test_a_clip_under_five_seconds_fills_the_window_of_muq_mulan(load, clips):
    prepared = load("muq_mulan").prepare(clips["a"])
    assert prepared.shape == (1, 240_000)
    np.testing.assert_array_equal(prepared[0, :36_000], prepared[0, 36_000:72_000])


def test_muq_mulan_reads_a_prompt_as_its_own_package_does_when_alone(load, mulan):
    encoder = load("muq_mulan_text")
    for prompt in PROMPTS:
        with torch.inference_mode():
            expected = mulan(texts=[prompt]).numpy()
        np.testing.assert_allclose(
            encoder.encode([encoder.prepare(prompt)])[0], expected, atol=1e-5
        )


def test_muq_mulan_takes_the_layer_that_its_config_names(
    tiny_encoders, load, clips, tmp_path
):
    last, item = load("muq_mulan"), load("muq_mulan").prepare(clips["a"])
    about = json.loads((tiny_encoders["muq_mulan"] / "config.json").read_text())[
        "audio_model"
    ]
    same, first = (
        load_encoder(
            "muq_mulan",
            edited(
                tiny_encoders,
                "muq_mulan",
                tmp_path / str(layer),
                audio_model=about | {"use_layer_idx": layer},
            ),
        )
        for layer in (2, 0)
    )
    assert same.encode([item]).tobytes() == last.encode([item]).tobytes()
    assert len(first.module.model.conformer.layers) == 0
    assert np.abs(first.encode([item]) - last.encode([item])).max() > 1e-3


def test_muq_mulan_of_other_parts_is_refused(tiny_encoders, tmp_path):
    text = edited(
        tiny_encoders, "muq_mulan_text", tmp_path / "a", text_model={"name": "Qwen"}
    )
    with pytest.raises(UsageError, match="it must be a xlm-roberta of width 32"):
        load_encoder("muq_mulan_text", text)
    with pytest.raises(UsageError, match="sr and clip_secs must be"):
        load_encoder(
            "muq_mulan",
            edited(tiny_encoders, "muq_mulan", tmp_path / "b", mulan={"clip_secs": 5}),
        )


def wave_output(model, samples, rate):
    extractor = transformers.Wav2Vec2FeatureExtractor(sampling_rate=rate)
    values = extractor(samples, sampling_rate=rate, return_tensors="pt").input_values
    with torch.inference_mode():
        return model(values).last_hidden_state.numpy()


@pytest.mark.parametrize("name", ["mert", "wav2vec2"])
def test_wave_encoders_agree_with_their_own_class(name, load, clips, tmp_path):
    oracle, encoder = WRITERS[name](tmp_path / name), load(name)
    samples = prepare_audio(encoder, 1)(clips["a"])
    expected = wave_output(oracle, samples, encoder.sample_rate)
    np.testing.assert_allclose(
        encoder.encode([encoder.prepare(clips["a"])]), expected, atol=1e-5
    )
    assert expected.shape[1] == (len(samples) - 400) // 320 + 1


@pytest.mark.parametrize(
    "change",
    [{"feature_extractor_cqt": True}, {"deepnorm": True, "attention_relax": 32.0}],
)
def test_a_mert_that_is_no_hubert_is_refused(change, tiny_encoders, tmp_path):
    with pytest.raises(
        UsageError,
        match="HuBERT cannot compute it, and the hub's own code is never run",
    ):
        load_encoder("mert", edited(tiny_encoders, "mert", tmp_path, **change))


def test_a_front_end_of_another_rate_is_refused(tiny_encoders, tmp_path):
    folder = edited(
        tiny_encoders,
        "mert",
        tmp_path,
        "preprocessor_config.json",
        sampling_rate=16_000,
    )
    with pytest.raises(
        UsageError,
        match=r"preprocessor_config.json: sampling_rate is 16000; 'mert' is 24000",
    ):
        load_encoder("mert", folder)


def test_the_front_end_says_whether_a_clip_is_standardised(
    tiny_encoders, clips, tmp_path
):
    folder = edited(
        tiny_encoders, "mert", tmp_path, "preprocessor_config.json", do_normalize=False
    )
    raw = load_encoder("mert", folder).prepare(clips["a"])
    standard = load_encoder("mert", tiny_encoders["mert"]).prepare(clips["a"])
    assert raw.std() < 0.3
    np.testing.assert_allclose([standard.mean(), standard.std()], [0, 1], atol=1e-3)


@pytest.mark.parametrize("clip", ["a", "long"])
def test_whisper_agrees_with_its_own_class_up_to_the_clips_end(
    clip, load, clips, tmp_path
):
    oracle, encoder = WRITERS["whisper"](tmp_path / "whisper"), load("whisper")
    samples = encoder.prepare(clips[clip])
    mel = transformers.WhisperFeatureExtractor()(
        samples, sampling_rate=16_000, return_tensors="pt"
    ).input_features
    with torch.inference_mode():
        whole = oracle(mel).last_hidden_state.numpy()
    ours = encoder.encode([samples])
    assert ours.shape[1] == -(-len(samples) // 320) < whole.shape[1] == 1500
    np.testing.assert_allclose(ours, whole[:, : ours.shape[1]], atol=1e-4)


@pytest.mark.parametrize("clip", ["a", "long"])
def test_padded_whisper_keeps_all_frames_of_its_own_class(clip, load, clips, tmp_path):
    oracle = WRITERS["whisper"](tmp_path / "whisper")
    encoder, alone = load("whisper_padded"), load("whisper")
    samples = encoder.prepare(clips[clip])
    mel = transformers.WhisperFeatureExtractor()(
        samples, sampling_rate=16_000, return_tensors="pt"
    ).input_features
    with torch.inference_mode():
        whole = oracle(mel).last_hidden_state.numpy()
    ours = encoder.encode([samples])
    assert ours.shape == (1, 1500, 16)
    np.testing.assert_allclose(ours, whole, atol=1e-4)
    of_clip = alone.encode([samples])
    np.testing.assert_array_equal(ours[:, : of_clip.shape[1]], of_clip)


def test_frames_of_padded_whisper_are_never_taken_for_those_of_whisper(load):
    alone, padded = load("whisper"), load("whisper_padded")
    assert alone.digest == padded.digest
    assert alone.signature != padded.signature
    assert "filled with silence to 30 s" in padded.caution


def test_whisper_of_thirty_seconds_is_1500_frames(load):
    assert load("whisper").encode([music(30, 16_000)]).shape == (1, 1500, 16)


@pytest.mark.parametrize("name", ["qwen3", "modernbert"])
def test_text_encoders_agree_with_from_pretrained(name, load, tiny_encoders):
    oracle = {
        "qwen3": transformers.Qwen3Model,
        "modernbert": transformers.ModernBertModel,
    }[name]
    oracle = oracle.from_pretrained(
        tiny_encoders[name], dtype=torch.float32, attn_implementation="eager"
    ).eval()
    encoder = load(name)
    for prompt in [*PROMPTS, "piano " * 60]:
        ids = encoder.prepare(prompt)
        with torch.inference_mode():
            expected = oracle(torch.from_numpy(ids)[None]).last_hidden_state.numpy()
        np.testing.assert_allclose(encoder.encode([ids]), expected, atol=1e-5)


def test_right_padding_would_not_have_changed_qwen3(load, tiny_encoders):
    """What WhisQ does: pad to the right and mask; ours is the same without."""
    oracle = transformers.Qwen3Model.from_pretrained(
        tiny_encoders["qwen3"], dtype=torch.float32
    ).eval()
    encoder = load("qwen3")
    ids = encoder.prepare(PROMPTS[0])
    padded = torch.tensor([[*ids, 0, 0, 0]])
    with torch.inference_mode():
        expected = oracle(
            padded,
            attention_mask=(torch.arange(padded.shape[1])[None] < len(ids)).long(),
        )
    np.testing.assert_allclose(
        encoder.encode([ids])[0], expected.last_hidden_state[0, : len(ids)], atol=1e-5
    )


def test_an_encoder_of_the_other_kind_is_refused_before_anything_is_encoded(tmp_path):
    clips = pd.DataFrame(
        {
            "clip_id": list("abcd"),
            "audio": "none.wav",
            "prompt": "drums",
            "ta": [1.0, 2.0, 3.0, 4.0],
        }
    )
    for kind, name in (("audio", "hashed_text"), ("text", "logmel")):
        usual = {
            "audio_encoder": "logmel",
            "text_encoder": "hashed_text",
            "store": tmp_path / "store",
        }
        with pytest.raises(
            UsageError, match=rf"'{name}' encodes .*, and an? {kind} encoder is needed"
        ):
            NeuralMOS(device="cpu", **usual | {f"{kind}_encoder": name}).fit(
                clips, clips[["ta"]]
            )
    assert not (tmp_path / "store").exists()
