"""Clips unlike those that a stack learnt from are marked, whoever asks for scores."""

import io
import json

import numpy as np
import pandas as pd
import pytest
import soundfile
from builders import RATE, clip_table, noises, tunes
from commands import call

from base_models.encoders.store import EmbeddingStore
from base_models.errors import DamagedArtifact, UsageError
from base_models.files import seal, write_tensors
from base_models.pooled.pooled_mos import PooledMOS
from ensemble.estimator.stacked_mos import StackedMOS
from ensemble.scoring import score_clips as scoring
from ensemble.scoring.score_clips import score_clips

N = 120


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return EmbeddingStore(tmp_path_factory.mktemp("embeddings"))


@pytest.fixture(scope="module")
def stack(tmp_path_factory, store):
    """Two models of 60 clips, stacked on 60 others of 4 systems."""
    clips = clip_table(tmp_path_factory.mktemp("known"), tunes(N, 0.5), systems=2)
    rng = np.random.default_rng(1)
    labels = pd.DataFrame({"mi": rng.uniform(1, 5, N)})
    options = {
        "audio_encoder": "logmel",
        "text_encoder": "hashed_text",
        "store": store,
    }
    bases = [
        ("ridge-s0", PooledMOS("pooled_ridge", **options)),
        ("svr-s0", PooledMOS("pooled_svr", **options)),
    ]
    return StackedMOS(bases, cv=0.5).fit(clips, labels)


@pytest.fixture(scope="module")
def new(tmp_path_factory):
    """20 tunes, digital silence, near silence and white noise."""
    waves = [
        *tunes(20, 0.5, seed=7),
        np.zeros(RATE // 2),
        *noises([1e-4, 0.3], 0.5),
    ]
    return clip_table(tmp_path_factory.mktemp("new"), waves, systems=2)


def test_silence_and_noise_are_marked_by_the_stack_and_their_intervals_widened(
    stack, new
):
    check = stack.check_range(new)
    assert check.out_of_range[20:].all()
    assert check.out_of_range[:20].mean() <= 0.05
    low, high = stack.predict_interval(new, 0.5)
    scores = stack.predict(new)
    assert ((low <= scores) & (scores <= high)).all()
    width = (high - low)[:, 0]
    assert width[20:].min() > 1.5 * np.median(width[:20])
    with pytest.raises(UsageError, match="between 0 and 1"):
        stack.predict_interval(new, 90)


def test_scored_clips_have_the_column_however_they_are_divided(
    stack, new, store, monkeypatch
):
    scores = score_clips(stack, new, store)
    expected = stack.check_range(new)
    assert scores.frame["out_of_range"].tolist() == expected.out_of_range.tolist()
    np.testing.assert_allclose(scores.check.ranks, expected.ranks)
    monkeypatch.setattr(scoring, "CLIPS_PER_CHUNK", 7)
    again = score_clips(stack, new, store)
    pd.testing.assert_frame_equal(again.frame, scores.frame, atol=1e-6)
    none = score_clips(stack, new.assign(audio="gone.wav"), store)
    assert list(none.frame) == list(scores.frame)
    assert none.check is None


def test_a_loaded_stack_marks_the_same_clips(stack, new, store, tmp_path):
    stack.save(tmp_path / "stack")
    again = StackedMOS.load(tmp_path / "stack", store=store)
    np.testing.assert_array_equal(
        again.check_range(new).distances, stack.check_range(new).distances
    )


def test_models_from_before_there_were_ranges_have_none(stack, new, tmp_path):
    _, model = stack.estimators_[0]
    model.save(tmp_path / "model")
    (tmp_path / "model" / "range.safetensors").unlink()
    seal(tmp_path / "model", "base model")
    older = PooledMOS.load(tmp_path / "model", store=model.store)
    assert older.range_ is None
    _, embedded = older.embed(new)
    assert older.prediction_table("old", new["clip_id"], embedded).distances is None
    np.testing.assert_array_equal(older.predict(new), model.predict(new))


def test_a_damaged_range_is_refused(stack, tmp_path):
    _, model = stack.estimators_[0]
    model.save(tmp_path / "model")
    arrays = model.range_.to_arrays() | {"means.center": np.zeros(3)}
    write_tensors(tmp_path / "model" / "range.safetensors", arrays)
    seal(tmp_path / "model", "base model")
    with pytest.raises(DamagedArtifact, match=r"the range .* damaged \('center'"):
        PooledMOS.load(tmp_path / "model")


@pytest.fixture(scope="module")
def folder(stack, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stacks") / "stack"
    stack.save(folder)
    return folder


def predict_mos(folder, *argv):
    return call("predict_mos", *argv, "--stack", folder, "--artifacts", folder.parent)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_every_format_has_the_column(folder, new, tmp_path, suffix):
    table = tmp_path / "clips.csv"
    new.to_csv(table, index=False)
    out = tmp_path / f"scores{suffix}"
    code, _, err = predict_mos(folder, "--clips", table, "--out", out)
    assert code == 0, err
    if suffix == ".csv":
        marks = pd.read_csv(out)["out_of_range"].tolist()
    elif suffix == ".jsonl":
        lines = out.read_text().splitlines()
        marks = [json.loads(line)["out_of_range"] for line in lines]
    else:
        marks = pd.read_parquet(out)["out_of_range"].tolist()
    assert marks[20:] == [True] * 3
    assert sum(marks) <= 4
    assert "of 23 clips are unlike those that the stack learnt from" in err


def test_a_shifted_corpus_is_announced_before_its_scores(folder, tmp_path):
    for k, wave in enumerate(noises(np.linspace(0.01, 0.9, 12), 0.5)):
        soundfile.write(tmp_path / f"n{k:02d}.wav", wave, RATE)
    code, out, err = predict_mos(folder, tmp_path)
    assert code == 0, err
    assert err.count("warning: these 12 clips as a whole lie outside") == 1
    assert pd.read_csv(io.StringIO(out))["out_of_range"].all()


def test_intervals_by_system_need_systems_and_are_named(folder, new, tmp_path):
    table = tmp_path / "clips.csv"
    new.to_csv(table, index=False)
    code, out, err = predict_mos(folder, "--clips", table, "--by-system")
    assert code == 0, err
    assert "note: mi: 2 of 2 systems have intervals of their own ('s0', 's1')" in err
    _, plain, _ = predict_mos(folder, "--clips", table)
    assert out != plain

    new.drop(columns="system_id").to_csv(table, index=False)
    code, _, err = predict_mos(folder, "--clips", table, "--by-system")
    assert code == 2
    assert "Intervals by system need clips that name their system" in err
    code, _, err = predict_mos(folder, new["audio"][0], "--by-system")
    assert code == 2
    assert "--by-system needs --clips TABLE" in err
