"""Copies of one recording are treated as one clip from fit_base to fit_meta."""

import io

import numpy as np
import pandas as pd
import pytest
import soundfile
from builders import listening_test
from commands import call

from base_models.clips.read_clips import read_clips
from ensemble.stacking.stack_data import StackData
from ensemble.training.rated_clips import CONTENT, RatedClips, SplitRule
from ensemble.workspace import Workspace

RATE = 16_000
SPLITS = {"train": 16, "dev": 10, "test": 8}
N = sum(SPLITS.values())


def sounds():
    """Clips of noise with a beat; those in which a copy stands are made from these."""
    rng = np.random.default_rng(0)
    time = np.arange(RATE) / RATE
    beats = 1 + np.sin(2 * np.pi * rng.uniform(2, 6, (N, 1)) * time)
    return list(0.1 * beats * rng.normal(size=(N, RATE)) + 1e-3)


def quieter_later_copy(samples):
    """The same recording: trimmed, at half the level, as FLAC would hold it."""
    return np.round(0.5 * samples[800:] * 2**15) / 2**15


def labels():
    rng = np.random.default_rng(1)
    return {"mi": np.round(rng.uniform(1, 5, N), 1)}


@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    """A listening test in which a train clip is a dev clip and a test clip again."""
    folder = tmp_path_factory.mktemp("copied")
    made = sounds()
    made[20] = quieter_later_copy(made[3])
    made[30] = quieter_later_copy(made[4])
    table = listening_test(folder, made, SPLITS, labels=labels(), rate=RATE)
    art = folder / "art"
    words = ("--data", table, "--audio-encoder", "logmel", "--artifacts", art)
    done = call("fit_base", *words, "--models", "pooled_ridge:1", "--jobs", 1)
    return art, done


def test_fit_base_names_copies_across_splits_before_it_trains(copied):
    _, (code, _, err) = copied
    assert code == 0, err
    warning, training = err.index("warning: the same recording"), err.index("trained 1")
    assert warning < training
    assert "'c03' (train) = 'c20' (dev) (by its sound, " in err
    assert "'c04' (train) = 'c30' (test) (by its sound, " in err
    assert "keep one of each, or put both into one split" in err


def test_fit_meta_refuses_copies_and_marks_what_it_is_allowed(copied):
    art, _ = copied
    code, _, err = call("fit_meta", "--artifacts", art, "--rivals")
    assert code == 2
    assert "'c20 (the audio of c03)' were used to train 'pooled_ridge-s0'" in err
    code, _, err = call("fit_meta", "--artifacts", art, "--rivals", "--allow-leak")
    assert code == 0, err
    assert "1 clip of meta-training was used to train" in err
    assert "1 by their audio" in err


def test_copies_have_the_content_of_the_first_of_them(copied):
    art, _ = copied
    data = StackData.from_runs(Workspace(art))
    assert data.contents["c20"] == data.contents["c03"]
    assert data.contents["c30"] == data.contents["c04"]
    assert len(set(data.contents.values())) == N - 2


def test_fingerprints_are_kept_with_the_runs(copied):
    art, _ = copied
    assert len(list(Workspace(art).fingerprints.rglob("*.safetensors"))) == N


def test_splits_that_are_made_keep_copies_together(tmp_path):
    made = sounds()
    for k in range(N // 2, N):
        made[k] = quieter_later_copy(made[k - N // 2])
    path = listening_test(tmp_path, made, {"": N}, labels=labels(), rate=RATE)
    for seed in range(3):
        rule = SplitRule(seed=seed, fingerprints=tmp_path / "prints")
        rated = RatedClips.read(path, splits=rule)
        split = rated.frame["split"].to_numpy()
        assert (split[: N // 2] == split[N // 2 :]).all()
        assert set(split) == {"train", "dev", "test"}
        assert list(rated.frame.columns) == [*read_clips(path).columns]
        apart = RatedClips.read(path, splits=SplitRule(seed=seed)).frame["split"]
        assert (apart.to_numpy()[: N // 2] != apart.to_numpy()[N // 2 :]).any()


def test_out_of_fold_rows_keep_copies_and_groups_together(tmp_path):
    path = listening_test(tmp_path, sounds(), SPLITS, labels=labels(), rate=RATE)
    rated = RatedClips.read(path)
    clips = rated.rows("train").assign(**{CONTENT: [f"k{k}" for k in range(16)]})
    assert rated.label_rows(clips).groups is None
    clips[CONTENT] = ["k0", "k0", *[f"k{k}" for k in range(14)]]
    groups = rated.label_rows(clips).groups
    assert groups[0] == groups[1] == groups[2]
    assert pd.Series(groups).nunique() == 14


def test_check_clips_names_copies_by_their_sound(tmp_path):
    made = sounds()
    made[30] = quieter_later_copy(made[4])
    path = listening_test(tmp_path, made, SPLITS, labels=labels(), rate=RATE)
    file = io.BytesIO()
    soundfile.write(file, made[0], RATE, format="FLAC")
    (tmp_path / "c01.wav").write_bytes(file.getvalue())
    code, out, _ = call("check_clips", path)
    text = " ".join(out.split())
    assert code == 3
    assert "audio_across_splits" in text
    assert "duplicate_audio" in text


def test_predictions_of_copies_are_refused_where_the_labels_name_audio(tmp_path):
    made = sounds()
    made[30] = quieter_later_copy(made[20])
    path = listening_test(tmp_path, made, SPLITS, labels=labels(), rate=RATE)
    frame = pd.read_csv(path)
    rng = np.random.default_rng(2)
    scores = pd.DataFrame({"clip_id": frame["clip_id"]})
    for name in ("a", "b"):
        scores[name] = np.clip(frame["mi"] + rng.normal(0, 0.5, N), 1, 5)
    scores.to_csv(tmp_path / "scores.csv", index=False)
    words = ("--predictions", tmp_path / "scores.csv", "--labels", path, "--rivals")
    code, _, err = call("fit_meta", *words, "--artifacts", tmp_path / "art")
    assert code == 2
    assert "'c30 (the audio of c20)' are in meta-training and in test" in err
