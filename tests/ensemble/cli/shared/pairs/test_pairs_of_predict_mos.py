"""predict_mos --pairs and --best-of: every row comes back, and words are plain."""

import io
import json

import numpy as np
import pandas as pd
import pytest
import soundfile
from builders import RATE, clip_table, tones
from commands import call, refused
from pairs import predicted_stack, scores_files
from tiny_networks import embedded_model

from base_models.encoders.store import EmbeddingStore
from ensemble.estimator.stacked_mos import StackedMOS


@pytest.fixture(scope="module")
def predicted(tmp_path_factory):
    """Folder of a stack of predictions, and a file of scores of new clips."""
    folder = tmp_path_factory.mktemp("predicted")
    stack, tables, labels = predicted_stack()
    stack.save(folder / "stack")
    return folder / "stack", scores_files(folder, tables), labels[:, 0]


@pytest.fixture(scope="module")
def heard(tmp_path_factory):
    """Folder of a stack that reads audio, and a table of 24 clips."""
    folder = tmp_path_factory.mktemp("heard")
    clips = clip_table(folder, tones(24, noise=0.01))
    labels = np.random.default_rng(1).uniform(1, 5, (24, 2))
    y = pd.DataFrame(labels, columns=["mi", "ta"])
    store = EmbeddingStore(folder / "store")
    bases = [
        (f"m{seed}", embedded_model("dora", random_state=seed, store=store))
        for seed in (0, 1)
    ]
    StackedMOS(bases, cv=0.5).fit(clips, y).save(folder / "stack")
    return folder, clips


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_pairs(rows, **columns):
    names = ["prompt", "audio_a", "audio_b"]
    frame = pd.DataFrame(rows, columns=names).assign(**columns)
    frame.to_csv("pairs.csv", index=False)


def on_predictions(predicted, *words):
    stack, scores, _ = predicted
    return call(
        "predict_mos",
        *("--stack", stack, "--pairs", "pairs.csv", "--predictions", scores),
        *words,
    )


def on_audio(heard, *words):
    folder, _ = heard
    return call("predict_mos", "--stack", folder / "stack", *words)


def test_preferences_from_predictions_agree_with_ratings(predicted, place):
    _, _, truth = predicted
    rows = [("", f"new-{k}", f"new-{k + 80}") for k in range(80)]
    write_pairs(rows)
    code, out, err = on_predictions(predicted)
    assert code == 0, err
    frame = pd.read_csv(io.StringIO(out), keep_default_na=False)
    assert frame["audio_a"].tolist() == [row[1] for row in rows]
    was = np.where(truth[:80] > truth[80:], "a", "b")
    assert (frame["preferred"] == was).mean() > 0.8
    assert "pairs show a preference at 90%" in err


def test_every_format_has_a_row_per_pair(predicted, place):
    write_pairs([("", f"new-{k}", f"new-{k + 1}") for k in range(5)])
    for name in ("out.csv", "out.jsonl", "out.parquet"):
        assert on_predictions(predicted, "-o", name)[0] == 0
    frames = [
        pd.read_csv("out.csv", keep_default_na=False),
        pd.read_json("out.jsonl", lines=True),
        pd.read_parquet("out.parquet"),
    ]
    for frame in frames:
        assert frame["preferred"].tolist() == frames[0]["preferred"].tolist()
    code, out, _ = on_predictions(predicted, "--format", "mirex", "-q")
    assert code == 0
    assert [json.loads(line)["sample_id"] for line in out.splitlines()] == list("12345")
    code, out, _ = on_predictions(
        predicted, "--format", "mirex", "--mirex-fields", "id", "best"
    )
    assert list(json.loads(out.splitlines()[0])) == ["id", "best"]
    code, out, _ = on_predictions(predicted, "--format", "rewardbench", "-q")
    assert "predicted_preference" in json.loads(out.splitlines()[0])
    code, out, _ = on_predictions(predicted, "--json", "-")
    assert len(json.loads(out)["pairs"]) == 5


def test_one_pair_is_enough(predicted, place):
    write_pairs([("", "new-1", "new-2")])
    code, out, err = on_predictions(predicted)
    assert code == 0, err
    assert len(pd.read_csv(io.StringIO(out))) == 1


def test_clips_that_nothing_is_predicted_of_are_said(predicted, place):
    write_pairs([("", "new-1", "nobody"), ("", "new-1", "new-1")])
    code, out, err = on_predictions(predicted)
    assert code == 3
    assert "1 pair has no preference:\n  1: b: nothing is predicted of" in err
    assert pd.read_csv(io.StringIO(out))["status"].tolist() == ["failed_b", "ok"]
    write_pairs([("", "x.wav", "y.wav")])
    refused(2, on_predictions(predicted), "no clip is in both")


def test_audio_is_scored_once_and_failures_keep_their_row(heard, place):
    _, clips = heard
    files = clips["audio"].tolist()
    soundfile.write("own.wav", tones(1)[0], RATE)
    rows = [
        ("slow piano", files[0], files[1]),
        ("slow piano", files[0], files[1]),
        ("slow piano", files[0], files[0]),
        ("slow piano", "own.wav", files[2]),
        ("slow piano", files[0], "nowhere.wav"),
        ("", files[0], files[1]),
    ]
    write_pairs(rows)
    code, out, err = on_audio(heard, "--pairs", "pairs.csv")
    assert code == 3, err
    frame = pd.read_csv(io.StringIO(out), keep_default_na=False)
    assert frame["status"].tolist() == [*["ok"] * 4, "failed_b", "ok"]
    assert frame["overall_p"][0] == frame["overall_p"][1]
    assert frame["preferred"][2] == "tie"
    assert frame["ta_p"][5] == ""
    assert "there is no file" in err
    assert "the same clip on both sides" in err


def test_audio_is_the_same_by_paths_of_either_kind(heard, place):
    _, clips = heard
    for k in (0, 1):
        soundfile.write(f"{k}.wav", soundfile.read(clips["audio"][k])[0], RATE)
    write_pairs([("x y", "0.wav", "1.wav"), ("x y", place / "0.wav", "./1.wav")])
    code, out, err = on_audio(heard, "--pairs", "pairs.csv")
    assert code == 0, err
    frame = pd.read_csv(io.StringIO(out))
    assert frame["overall_p"][0] == frame["overall_p"][1]


def test_weights_decide_what_counts(heard, place):
    files = heard[1]["audio"].tolist()
    write_pairs([("slow piano", files[0], files[1])])
    words = ("--pairs", "pairs.csv", "--aspect-weights", "mi=1")
    _, out, _ = on_audio(heard, *words)
    frame = pd.read_csv(io.StringIO(out))
    assert frame["overall_p"][0] == pytest.approx(frame["mi_p"][0], abs=1e-6)
    result = on_audio(heard, *words, "mo=1")
    refused(2, result, "Unknown aspect 'mo'")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("x.wav", "--pairs", "pairs.csv"), "leave the audio files out"),
        (("--pairs", "pairs.csv", "--prompt", "x"), "--prompt does not go with"),
        (("--pairs", "pairs.csv", "--explain", "x"), "--explain does not go with"),
        (("--pairs", "pairs.csv", "--best-of", "1"), "--best-of does not go with"),
        (("--pairs", "pairs.csv", "--group", "x"), "--group is about --best-of"),
        (("--pairs", "pairs.csv", "--format", "answer"), "Unknown format of --pairs"),
        (("--pairs", "nowhere.csv"), "no file or folder nowhere.csv"),
        (("--pairs", "pairs.csv", "--aspect-weights", "mi"), "takes ASPECT=WEIGHT"),
        (("x.wav", "--aspect-weights", "mi=1"), "about --pairs or --best-of"),
        (("x.wav", "--mirex-fields", "a", "b"), "about --pairs or --best-of"),
        (("x.wav", "--best-of", "0"), "takes 1 or more; got 0"),
        (("x.wav", "--best-of", "1", "--explain", "y"), "once more on the best"),
        (("x.wav", "--format", "paths"), "lists the files of --best-of"),
        (("--best-of", "1"), "chooses among audio files"),
    ],
)
def test_what_does_not_go_together_is_refused(heard, place, words, message):
    write_pairs([("", "a.wav", "b.wav")])
    refused(2, on_audio(heard, *words), message)


def test_columns_that_are_no_pairs_are_refused(heard, place):
    pd.DataFrame({"prompt": ["x"], "audio": ["a.wav"]}).to_csv("pairs.csv", index=False)
    result = on_audio(heard, "--pairs", "pairs.csv")
    refused(2, result, "no two columns of clips.*--columns audio_a=COLUMN")


def test_the_best_of_each_prompt_for_a_loop_of_a_shell(heard, place):
    _, clips = heard
    clips.to_csv("clips.csv", index=False)
    words = ("--clips", "clips.csv", "--best-of", "2")
    code, out, err = on_audio(heard, *words)
    assert code == 0, err
    frame = pd.read_csv(io.StringIO(out))
    assert frame["rank"].tolist() == [1, 2, 1, 2]
    assert (frame["candidates"] == 12).all()
    code, paths, _ = on_audio(heard, *words, "--format", "paths", "-q")
    assert paths.splitlines() == frame["audio"].tolist()
    code, _, _ = on_audio(heard, *words, "--format", "paths", "-o", "best.txt")
    assert (place / "best.txt").read_text() == paths


def test_groups_of_files_are_their_folders(heard, place):
    _, clips = heard
    for k in range(6):
        folder = place / f"prompt{k % 2}"
        folder.mkdir(exist_ok=True)
        samples, rate = soundfile.read(clips["audio"][k])
        soundfile.write(folder / f"{k}.wav", samples, rate)
    words = ("prompt0", "prompt1", "--best-of", "1", "--group", "folder")
    code, out, err = on_audio(heard, *words, "--format", "paths")
    assert code == 0, err
    assert [line.split("/")[-2] for line in out.splitlines()] == ["prompt0", "prompt1"]


def test_small_and_missing_groups_are_said(heard, place):
    _, clips = heard
    songs = ["x", "x", "x", "y", *[""] * 20]
    clips.assign(song=songs).to_csv("clips.csv", index=False)
    words = ("--clips", "clips.csv", "--best-of", "2", "--group")
    code, _, err = on_audio(heard, *words, "song")
    assert code == 0
    assert "1 group has fewer than 2 candidates, all of which are kept: 'y'" in err
    assert "20 clips name no song and were left out" in err
    refused(2, on_audio(heard, *words, "nope"), "there is no such column")
