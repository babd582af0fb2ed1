"""A score of what cannot be heard, or is not whole, is marked beside it."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
import soundfile
import soxr
from builders import RATE, clip_table, tunes
from commands import call

from base_models.clips.audio import content_hash
from base_models.config import BaseConfig
from base_models.encoders import load_encoder
from base_models.encoders.store import EmbeddingStore
from base_models.errors import UsageError
from base_models.pooled.pooled_mos import PooledMOS
from base_models.pooled_config import PooledConfig
from ensemble.estimator.stacked_mos import StackedMOS
from ensemble.scoring.score_clips import score_clips
from meta.score_columns import AUDIO_COLUMNS

N = 60
SECONDS = 1.0


def fit(folder, mono="mix"):
    clips = clip_table(folder / "known", tunes(N, SECONDS), systems=2)
    labels = pd.DataFrame({"mi": np.random.default_rng(1).uniform(1, 5, N)})
    model = PooledMOS(
        "pooled_ridge",
        settings={"mono": mono},
        audio_encoder="logmel",
        text_encoder="hashed_text",
        store=EmbeddingStore(folder / "embeddings"),
    )
    return StackedMOS([("ridge-s0", model)], cv=0.5).fit(clips, labels)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("flags")
    (folder / "known").mkdir()
    fit(folder).save(folder / "stack")
    return folder


def odd_clips():
    tune = tunes(1, SECONDS, seed=5)[0].astype(np.float32)
    gap = tune.copy()
    gap[: round(0.6 * len(gap))] = 0
    low = soxr.resample(soxr.resample(tune, RATE, 6_000), 6_000, RATE)
    return {
        "plain": (tune, ""),
        "zeros": (np.zeros_like(tune), "silent"),
        "faint": (tune * 1e-5, "silent"),
        "gap": (gap, "partly_silent"),
        "loud": (np.clip(tune * 50, -1, 1), "clipped"),
        "turned": (np.stack([tune, -0.9 * tune], 1), "cancelling"),
        "low": (low, "narrow_band"),
    }


@pytest.fixture(scope="module")
def written(folder):
    place = folder / "odd"
    place.mkdir()
    for name, (wave, _) in odd_clips().items():
        soundfile.write(place / f"{name}.wav", wave, RATE, subtype="FLOAT")
    return place


def predict_mos(folder, *argv):
    return call(
        "predict_mos", *argv, "--stack", folder / "stack", "--artifacts", folder
    )


def test_flags_stand_last_and_are_said(folder, written):
    code, out, err = predict_mos(folder, written)
    assert code == 0, err
    table = pd.read_csv(io.StringIO(out), keep_default_na=False).set_index("clip_id")
    assert tuple(table.columns[-6:]) == ("flags", *AUDIO_COLUMNS, "reason")
    assert (table["seconds"] == SECONDS).all()
    assert set(table["channels"]) == {1, 2}
    for name, (_, flag) in odd_clips().items():
        # A tune of pure tones may itself have few of the frequencies.
        flags = table.loc[name, "flags"].split()
        others = {"narrow_band", "out_of_range", ""}
        assert set(flags) - others == {flag} - others, name
        assert ("out_of_range" in flags) == table.loc[name, "out_of_range"]
        assert "narrow_band" in flags or flag != "narrow_band"
    assert (table["source_hz"] == RATE).all()
    assert "warning: 2 of 7 clips are silent (below -60 dBFS)" in err
    assert "'faint' and 'zeros'" in err or "'faint', 'zeros'" in err
    assert "1 of 7 clips is recorded with channels that cancel" in err


def test_one_clip_is_spoken_of_as_one(folder, written):
    _, _, err = predict_mos(folder, written / "zeros.wav")
    assert "warning: the clip is silent (below -60 dBFS); its scores are of" in err


def test_a_clip_of_reversed_polarity_scores_as_its_louder_channel(folder, written):
    stack = StackedMOS.load(folder / "stack", store=EmbeddingStore())
    tune, _ = odd_clips()["plain"]
    soundfile.write(written.parent / "mono.wav", tune, RATE, subtype="FLOAT")
    paths = [str(written / "turned.wav"), str(written.parent / "mono.wav")]
    clips = pd.DataFrame({"clip_id": ["turned", "mono"], "audio": paths, "prompt": ""})
    scores = score_clips(stack, clips, EmbeddingStore()).frame["mi"]
    assert scores[0] == pytest.approx(scores[1], abs=1e-6)


def test_what_was_embedded_and_is_refused_now_is_marked(folder, written):
    stack = StackedMOS.load(folder / "stack", store=EmbeddingStore())
    store = EmbeddingStore()
    path = written.parent / "joined.wav"
    path.write_bytes((written / "plain.wav").read_bytes() * 2)
    # As a version embedded it that read the first part alone.
    encoder = load_encoder("logmel")
    samples = encoder.prepare(str(written / "plain.wav"))
    store._memory[encoder.signature, content_hash(path)] = encoder.encode([samples])[0]
    clips = pd.DataFrame({"clip_id": ["a"], "audio": [str(path)], "prompt": ""})
    scores = score_clips(stack, clips, store)
    assert scores.frame["flags"].tolist() == ["unreadable"]
    assert pd.isna(scores.frame["source_hz"][0])
    assert "the audio of the clip is refused" in scores.audio_notes[0]


def test_the_rule_for_channels_is_kept_with_the_stack(tmp_path):
    (tmp_path / "known").mkdir()
    stack = fit(tmp_path, mono="right")
    stack.save(tmp_path / "stack")
    left, right = (tune.astype(np.float32) for tune in tunes(2, SECONDS, seed=9))
    soundfile.write(tmp_path / "both.wav", np.stack([left, right], 1), RATE)
    soundfile.write(tmp_path / "right.wav", right, RATE)
    code, out, err = predict_mos(
        tmp_path, tmp_path / "both.wav", tmp_path / "right.wav"
    )
    assert code == 0, err
    scores = pd.read_csv(io.StringIO(out))["mi"]
    assert scores[0] == pytest.approx(scores[1], abs=1e-4)
    stored = [path.name for path in (tmp_path / "embeddings").glob("logmel*")]
    assert stored == ["logmel-v1-right.float16"]


@pytest.mark.parametrize("silence", [0.0, 0.25])
def test_a_channel_that_is_read_and_silent_is_marked(tmp_path, silence):
    (tmp_path / "known").mkdir()
    stack = fit(tmp_path, mono="right")
    tune = tunes(1, SECONDS, seed=9)[0].astype(np.float32)
    nothing = np.full_like(tune, silence)
    for name, channels in {"l": (tune, nothing), "r": (nothing, tune)}.items():
        soundfile.write(tmp_path / f"{name}.wav", np.stack(channels, 1), RATE)
    soundfile.write(tmp_path / "m.wav", tune, RATE)
    paths = [str(tmp_path / f"{name}.wav") for name in "lrm"]
    clips = pd.DataFrame({"clip_id": list("lrm"), "audio": paths, "prompt": ""})
    scores = score_clips(stack, clips, EmbeddingStore())
    is_marked = scores.frame["flags"].str.contains("silent_channel")
    assert is_marked.tolist() == [True, False, False]
    assert "1 of 3 clips is silent in the channel that" in scores.audio_notes[0]


def test_another_rule_has_embeddings_of_its_own():
    signatures = {
        rule: load_encoder("logmel", mono=rule).signature
        for rule in ("mix", "left", "right", "loudest")
    }
    assert len(set(signatures.values())) == 4
    # What was stored before there were rules is of the mean.
    assert signatures["mix"] == load_encoder("logmel").signature == "logmel-v1"
    text = load_encoder("hashed_text", mono="left")
    assert text.signature == load_encoder("hashed_text").signature


def test_an_unknown_rule_is_refused():
    with pytest.raises(UsageError, match="Unknown mono 'both'"):
        load_encoder("logmel", mono="both")
    with pytest.raises(UsageError, match="Unknown mono 'both'"):
        BaseConfig().updated({"mono": "both"}, "here")
    with pytest.raises(UsageError, match="Unknown mono 'both'"):
        PooledConfig().updated({"mono": "both"}, "here")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--mono", "both"), "Unknown --mono 'both'"),
        (
            ("--mono", "left", "--set", "mono=right"),
            "--mono left and --set mono=right disagree",
        ),
    ],
)
def test_rules_of_the_command_are_checked_before_anything_is_read(
    tmp_path, monkeypatch, words, reason
):
    monkeypatch.chdir(tmp_path)
    code, _, err = call("fit_base", "--data", "none.csv", *words)
    assert code == 2
    assert reason in err
