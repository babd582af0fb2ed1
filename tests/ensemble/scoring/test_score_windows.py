"""A longer clip is scored window by window, a shorter one as it always was."""

import functools
import json
import re

import numpy as np
import pandas as pd
import pytest
import soundfile
from builders import clip_table, music
from commands import call
from sklearn.dummy import DummyRegressor

from base_models.clips.audio import USED_SECONDS
from base_models.clips.segments.windows import HOP_SECONDS, windows_of
from base_models.encoders.base import Encoder
from base_models.encoders.store import EmbeddingStore
from base_models.errors import UsageError
from base_models.pooled.pooled_mos import PooledMOS
from ensemble.estimator.stacked_mos import StackedMOS
from ensemble.formats import FORMATS
from ensemble.scoring.prepared_stack import with_predictions
from ensemble.scoring.score_clips import IntervalSettings, score_clips
from ensemble.scoring.score_windows import OVER_TIME_COLUMNS, score_windows

RATE = 8_000
NUMBERS = ["mi", "mi_low", "mi_high"]


def tune(seconds, seed=0):
    rng = np.random.default_rng(seed)
    wave = music(seconds, rate=RATE, seed=seed % 5)
    return wave + 1e-3 * rng.normal(size=len(wave))


def noise(seconds, seed=0):
    return 0.1 * np.random.default_rng(seed).normal(size=round(seconds * RATE))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return EmbeddingStore(tmp_path_factory.mktemp("embeddings"))


@pytest.fixture(scope="module")
def rated(tmp_path_factory):
    """48 clips of half a second: music rated about 4.5, noise about 1.5."""
    sounds = [tune(0.5, k) if k % 2 else noise(0.5, k) for k in range(48)]
    folder = tmp_path_factory.mktemp("rated")
    jitter = np.random.default_rng(0).uniform(-0.4, 0.4, 48)
    labels = np.where(np.arange(48) % 2, 4.5, 1.5) + jitter
    return clip_table(folder, sounds, rate=RATE, systems=6, mi=labels)


@pytest.fixture(scope="module")
def stack(rated, store):
    options = {
        "audio_encoder": "logmel",
        "text_encoder": "hashed_text",
        "store": store,
    }
    bases = [
        ("ridge", PooledMOS("pooled_ridge", **options)),
        ("svr", PooledMOS("pooled_svr", **options)),
    ]
    return StackedMOS(bases, cv=0.5).fit(rated, rated[["mi"]])


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """20 s of music; 40 s and 30 s of noise; twice 30 s with silence between them."""
    sounds = [
        tune(20, 1),
        np.concatenate([tune(40, 2), noise(30, 3)]),
        np.concatenate([tune(30, 4), np.zeros(30 * RATE), tune(30, 4)]),
    ]
    folder = tmp_path_factory.mktemp("new")
    return clip_table(folder, sounds, rate=RATE, systems=2)


def scorer(stack, store, **options):
    return functools.partial(score_clips, stack, store=store, **options)


@pytest.fixture(scope="module")
def windowed(stack, clips, store):
    score = scorer(stack, store, distributions="members")
    return score_windows(stack, clips, score)


def of_clip(windowed, clip):
    over_time = windowed.over_time
    return over_time[over_time["clip_id"] == clip].reset_index(drop=True)


# ---- clips


def test_clips_that_are_not_longer_have_exactly_the_scores_that_they_have_without(
    stack, rated, store
):
    plain = score_clips(stack, rated, store, distributions="members")
    score = scorer(stack, store, distributions="members")
    windowed = score_windows(stack, rated, score)
    pd.testing.assert_frame_equal(windowed.scores.frame, plain.frame, check_exact=True)
    pd.testing.assert_frame_equal(
        windowed.scores.distributions.frame, plain.distributions.frame, check_exact=True
    )
    np.testing.assert_array_equal(
        windowed.scores.check.distances, plain.check.distances
    )
    assert windowed.notes == ()
    assert (windowed.over_time["weight"] == 1).all()
    assert windowed.over_time["end"].tolist() == [0.5] * 48


def test_the_score_is_the_mean_over_time_of_the_windows_scored_as_clips(
    stack, clips, store, windowed
):
    windows = windows_of(clips["audio"][1])
    table = clips.iloc[[1] * len(windows)].reset_index(drop=True)
    table = table.assign(
        clip_id=[f"w{k}" for k in range(len(windows))],
        audio=[window.audio for window in windows],
    )
    one_by_one = score_clips(stack, table, store, distributions="stack")
    weights = [window.weight for window in windows]
    row = windowed.scores.frame.iloc[1]
    assert not row["out_of_range"]
    for name in NUMBERS:
        wanted = weights @ one_by_one.frame[name].to_numpy()
        assert row[name] == pytest.approx(wanted, abs=1e-6)

    pooled = windowed.scores.distributions.frame
    assert pooled["clip_id"].tolist() == list(clips["clip_id"].repeat(3))
    assert pooled["model"].tolist() == ["stack", "ridge", "svr"] * 3
    bins = [name for name in pooled.columns if name.startswith("mi_b")]
    np.testing.assert_allclose(pooled[bins].sum(axis=1), 1)
    np.testing.assert_allclose(
        pooled[bins].to_numpy()[3],
        weights @ one_by_one.distributions.frame[bins].to_numpy(),
        atol=1e-6,
    )


def test_the_first_window_has_the_score_of_the_clip_without_windows(
    stack, clips, store, windowed
):
    plain = score_clips(stack, clips, store).frame
    for clip, wanted in zip(clips["clip_id"], plain["mi"], strict=True):
        assert of_clip(windowed, clip)["score"][0] == pytest.approx(wanted, abs=1e-6)


def test_the_score_over_time_falls_where_music_turns_into_noise(clips, windowed):
    assert tuple(windowed.over_time.columns) == OVER_TIME_COLUMNS
    found = of_clip(windowed, clips["clip_id"][1])
    assert found["start"].tolist() == [0, 15, 30, 40]
    assert found["end"].tolist() == [30, 45, 60, 70]
    assert found["weight"].sum() == pytest.approx(1)
    scores = found["score"].to_numpy()
    assert (np.diff(scores) < 0).all()
    assert scores[0] > 4 > 3 > scores[-1]
    assert (found["low"] <= scores).all()
    assert (scores <= found["high"]).all()


def test_a_silent_window_has_no_score_and_no_weight_and_that_is_said(clips, windowed):
    clip = clips["clip_id"][2]
    found = of_clip(windowed, clip)
    silent = found[found["note"] == "silent"]
    assert silent["start"].tolist() == [30]
    assert silent["weight"].tolist() == [0]
    assert silent[["score", "low", "high"]].isna().to_numpy().all()
    row = windowed.scores.frame.iloc[2]
    # A third of it, which is not the half from which on it is flagged.
    assert "silent" not in row["flags"]
    assert not any("of 10 clips" in note for note in windowed.scores.audio_notes)
    others = found[found["weight"] > 0]
    assert row["mi"] == pytest.approx(others["weight"] @ others["score"])
    longer, left_out = windowed.notes
    assert longer.startswith(
        "2 of 3 clips are longer than 30 s and scored by 9 windows of that length;"
    )
    assert left_out == (
        f"silent windows (below -60 dBFS) are left out of the score of '{clip}'"
    )


def test_more_windows_make_no_narrower_interval(stack, store, tmp_path):
    # The same 30 s once and three times over.
    part = tune(30, 2)
    clips = clip_table(tmp_path, [part, np.tile(part, 3)], rate=RATE)
    frame = score_windows(stack, clips, scorer(stack, store)).scores.frame
    widths = frame["mi_high"] - frame["mi_low"]
    assert widths[1] == pytest.approx(widths[0], rel=0.05)


def test_a_clip_is_marked_where_most_of_it_is_out_of_range(stack, store, tmp_path):
    hiss = 0.02 * noise(60)
    sounds = [
        np.concatenate([tune(60, 1), hiss[: 20 * RATE]]),
        np.concatenate([tune(20, 1), hiss]),
        hiss,
    ]
    clips = clip_table(tmp_path, sounds, rate=RATE)
    windowed = score_windows(stack, clips, scorer(stack, store))
    frame = windowed.scores.frame
    assert frame["out_of_range"].tolist() == [False, True, True]
    np.testing.assert_array_equal(
        frame["out_of_range"], windowed.scores.check.out_of_range
    )
    # As wide as the interval of what is out of range throughout.
    assert (frame["mi_low"] <= frame["mi"]).all()
    assert (frame["mi"] <= frame["mi_high"]).all()
    over = windowed.over_time
    marked = over[(over["clip_id"] == clips["clip_id"][1]) & (over["note"] != "")]
    widths = (marked["high"] - marked["low"]).to_numpy()
    assert frame["mi_high"][1] - frame["mi_low"][1] >= 0.7 * widths.min()


# ---- what is computed and what is not


def test_a_run_that_was_stopped_goes_on_with_the_windows_that_are_left(
    stack, clips, tmp_path, monkeypatch
):
    encoded = []
    encode = Encoder.encode

    def stopping(self, batch):
        if len(encoded) >= stop_at:
            raise KeyboardInterrupt
        encoded.extend(batch)
        return encode(self, batch)

    monkeypatch.setattr(Encoder, "encode", stopping)
    stop_at = 1
    score = scorer(stack, EmbeddingStore(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        score_windows(stack, clips, score)
    done = len(encoded)
    assert 0 < done < 10
    stop_at = 1_000
    first = score_windows(stack, clips, score)
    # 1 + 4 + 5 windows, of which none is encoded twice.
    assert len(encoded) == 10
    again = score_windows(stack, clips, score)
    assert len(encoded) == 10
    pd.testing.assert_frame_equal(first.over_time, again.over_time)


def test_a_longer_clip_with_damage_anywhere_is_set_aside_by_name(
    stack, clips, store, tmp_path
):
    damaged = tune(60, 1)
    damaged[55 * RATE] = np.nan
    path = tmp_path / "damaged.wav"
    soundfile.write(path, damaged, RATE, subtype="FLOAT")
    paths = [clips["audio"][0], str(path), str(tmp_path / "gone.wav"), None]
    ids = ["good", "damaged", "gone", "none"]
    table = pd.DataFrame({"clip_id": ids, "audio": paths, "prompt": "piano"})
    windowed = score_windows(stack, table, scorer(stack, store))
    assert windowed.scores.usable["clip_id"].tolist() == ["good"]
    frame = windowed.scores.frame
    assert frame["clip_id"].tolist() == ids
    assert frame["status"].tolist() == ["ok", "unreadable", "missing", "missing"]
    reasons = {one.clip_id: one.reason for one in windowed.scores.set_aside}
    assert list(reasons) == ["damaged", "gone", "none"]
    assert "NaN or infinite samples" in reasons["damaged"]
    assert "there is no file" in reasons["gone"]
    assert "no audio file" in reasons["none"]
    # Without windows what is beyond the first seconds is not read.
    assert len(score_clips(stack, table[1:2], store).usable) == 1


def test_where_no_clip_can_be_used_the_tables_are_empty(stack, store, tmp_path):
    table = pd.DataFrame({"clip_id": ["a"], "audio": ["gone.wav"], "prompt": "piano"})
    score = scorer(stack, store, distributions="stack")
    windowed = score_windows(stack, table, score)
    assert windowed.scores.usable.empty
    assert windowed.scores.check is None
    assert windowed.scores.distributions.frame.empty
    assert tuple(windowed.over_time.columns) == OVER_TIME_COLUMNS


def test_progress_is_told_clip_by_clip(stack, clips, store):
    told = []
    score_windows(
        stack,
        clips,
        scorer(stack, store),
        on_progress=lambda *step: told.append(step),
    )
    assert told == [("windows", 1, 3), ("windows", 2, 3), ("windows", 3, 3)]


def test_intervals_by_system_are_those_of_the_system_of_the_clip(stack, clips, store):
    score = scorer(stack, store, intervals=IntervalSettings(0.5, by_system=True))
    frame = score_windows(stack, clips, score).scores.frame
    assert (frame["mi_high"] > frame["mi_low"]).all()


# ---- what is refused


@pytest.mark.parametrize("hop", [0, 0.5, 31, float("nan"), -15])
def test_a_hop_that_leaves_gaps_or_never_ends_is_refused(stack, clips, store, hop):
    with pytest.raises(UsageError, match="Windows start every 1 to 30 s"):
        score_windows(stack, clips, scorer(stack, store), hop=hop)


def test_a_stack_with_predictions_in_the_place_of_a_model_is_refused(
    stack, rated, clips, store
):
    (table, _) = stack.prediction_tables(rated)
    mixed = with_predictions(stack, [table])
    with pytest.raises(UsageError, match=r"of 'ridge' the stack has predictions alone"):
        score_windows(mixed, clips, scorer(mixed, store))


def test_models_of_other_libraries_are_refused(clips, store):
    matrix = np.random.default_rng(0).normal(size=(40, 3))
    labels = np.random.default_rng(1).uniform(1, 5, 40)
    other = StackedMOS([("dummy", DummyRegressor())], cv=0.5).fit(matrix, labels)
    with pytest.raises(UsageError, match="does not read clips"):
        score_windows(other, clips, scorer(other, store))


# ---- the command


@pytest.fixture(scope="module")
def folder(stack, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stack")
    stack.save(folder / "stack")
    return folder


def predict(folder, *words):
    return call(
        "predict_mos",
        *words,
        "--stack",
        folder / "stack",
        "--artifacts",
        folder,
    )


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_the_command_writes_scores_and_scores_over_time(
    folder, clips, windowed, tmp_path, suffix
):
    out = tmp_path / "scores.csv"
    over = tmp_path / f"over.{suffix}"
    code, _, err = predict(
        folder,
        *clips["audio"],
        "--prompt",
        "slow piano",
        "--windows",
        "all",
        *("--out", out, "--over-time", over, "--json", tmp_path / "facts.json"),
    )
    assert code == 0, err
    scores = pd.read_csv(out)
    np.testing.assert_allclose(
        scores[NUMBERS], windowed.scores.frame[NUMBERS], atol=1e-5
    )
    read = {
        "csv": pd.read_csv,
        "parquet": pd.read_parquet,
        "jsonl": functools.partial(pd.read_json, lines=True),
    }[suffix]
    found = read(over)
    assert tuple(found.columns) == OVER_TIME_COLUMNS
    np.testing.assert_allclose(
        found["score"], windowed.over_time["score"], atol=1e-5, equal_nan=True
    )
    assert "scored by 9 windows of that length" in err
    assert f"scores over time: {over}, 10 rows" in err
    facts = json.loads((tmp_path / "facts.json").read_text())
    assert len(facts["over_time"]) == 10
    assert set(facts["over_time"][0]) == set(OVER_TIME_COLUMNS)
    assert "only the first" not in err


def test_explained_clips_of_several_windows_are_drawn_over_time(
    folder, clips, tmp_path, monkeypatch
):
    titles = []
    monkeypatch.setattr(
        "matplotlib.figure.Figure.suptitle", lambda self, text, **_: titles.append(text)
    )
    why = tmp_path / "why"
    code, _, err = predict(
        folder,
        *clips["audio"],
        *("--prompt", "slow piano", "--windows", "all"),
        *("--explain", why, "--out", tmp_path / "a.csv"),
    )
    assert code == 0, err
    drawn = sorted(path.name for path in why.glob("*-over-time.png"))
    assert [name[:3] for name in drawn] == ["c01", "c02"]
    assert all(path.stat().st_size > 1_000 for path in why.glob("*.png"))
    assert [title[:16] for title in titles[-2:]] == [
        "c01, over time\nm",
        "c02, over time\nm",
    ]
    assert (
        f"scores over time of 2 longer clips are drawn; all else there is of their "
        f"first 30 s: {why}" in err
    )


def test_without_windows_the_command_says_that_there_are_windows(
    folder, clips, tmp_path
):
    _, _, err = predict(folder, *clips["audio"], "--out", tmp_path / "a.csv")
    assert (
        "note: 2 of 3 clips are longer than 30 s; only the first 30 s are scored: "
        "--windows all scores all of it" in err
    )


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["x.wav", "--windows", "some"], "--windows.*'some'.*first, all"),
        (["x.wav", "--over-time", "a.csv"], "needs --windows all"),
        (
            ["x.wav", "--windows", "all", "--over-time", "a.txt"],
            r"--over-time a.txt: name a \.csv, \.jsonl or \.parquet file",
        ),
        (
            ["--predictions", "p.csv", "--windows", "all"],
            "needs audio to divide; --predictions alone are of whole clips",
        ),
        (
            ["x.wav", "--predictions", "p.csv", "--windows", "all"],
            "scores parts of clips, and --predictions are of whole clips",
        ),
        (
            ["--clips", "x.csv", "--cross-fit", "--windows", "all"],
            "finds the learner of a clip by its id",
        ),
    ],
)
def test_what_does_not_go_with_windows_is_refused_before_anything_is_read(
    folder, words, reason
):
    code, out, err = predict(folder, *words)
    assert (code, out) == (2, "")
    assert re.search(reason, err), err


def test_the_help_states_the_length_and_the_hop_of_windows():
    _, out, _ = call("predict_mos", "--help")
    text = " ".join(out.split())
    assert (
        f"windows of {USED_SECONDS:g} s that start every {HOP_SECONDS:g} s, pooled "
        "into one score" in text
    )


def test_the_formats_of_scores_over_time_are_those_of_distributions():
    named = {name for name in FORMATS if FORMATS[name].encode_distributions}
    assert named == {"csv", "jsonl", "parquet"}
