"""compare_systems: tables of scores, two folders, and what is refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import call, refused


@pytest.fixture
def scores(tmp_path, monkeypatch):
    """Scores of two systems for 20 prompts, as predict_mos writes them."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    of_prompts = 0.3 * rng.normal(size=20)
    rows = []
    for name, level in (("v1", 2.6), ("v2", 3.4)):
        for k in range(20):
            score = level + of_prompts[k] + 0.2 * rng.normal()
            rows.append((f"{name}-{k}", name, f"prompt {k}", score))
    table = pd.DataFrame(rows, columns=["clip_id", "system_id", "prompt", "mos"])
    table = table.assign(mos_low=table["mos"] - 0.8, mos_high=table["mos"] + 0.8)
    table.to_csv("scores.csv", index=False)
    return table


def test_a_table_of_scores_is_compared_and_written(scores):
    code, out, err = call(
        "compare_systems",
        "scores.csv",
        "-o",
        "systems.csv",
        "--differences",
        "differences.csv",
        "--json",
        "all.json",
    )
    assert code == 0, err
    assert "v2 is better than v1 by 0." in out
    assert "of two clips of one prompt v2's is preferred in" in out
    assert "clips and prompts alone" in err
    systems = pd.read_csv("systems.csv")
    assert systems["system_id"].tolist() == ["v2", "v1"]
    means = scores.groupby("system_id")["mos"].mean()
    assert systems["mean"].tolist() == pytest.approx([means["v2"], means["v1"]])
    row = pd.read_csv("differences.csv").iloc[0]
    assert (row["a"], row["b"], row["paired"], row["n_pairs"]) == ("v1", "v2", True, 20)
    facts = json.loads(Path("all.json").read_text())
    assert facts["command"] == "compare_systems"
    assert facts["differences"][0]["said"] == row["said"]
    assert facts["scales"] == {"mos": [1.0, 5.0]}


def test_human_ratings_power_the_means_of_their_systems(scores):
    some = scores[::4]
    ratings = pd.DataFrame(
        {
            "clip_id": some["clip_id"],
            "rater_id": "r1",
            "mos": np.clip(np.rint(some["mos"]), 1, 5).astype(int),
        }
    )
    ratings.to_csv("ratings.csv", index=False)
    code, _, err = call(
        "compare_systems", "scores.csv", "--ratings", "ratings.csv", "-o", "s.csv"
    )
    assert code == 0, err
    assert "All systems have rated clips" in err
    assert pd.read_csv("s.csv")["n_rated"].tolist() == [5, 5]


def test_by_names_the_column_that_tells_systems_apart(scores):
    scores.rename(columns={"system_id": "build"}).to_csv("other.csv", index=False)
    code, out, err = call("compare_systems", "other.csv", "--by", "build")
    assert code == 0, err
    assert "v2 is better than v1" in out


def test_pair_by_names_the_column_of_what_clips_share(scores):
    scores.rename(columns={"prompt": "text"}).to_csv("other.csv", index=False)
    words = ["compare_systems", "other.csv", "--differences", "-"]
    _, out, _ = call(*words, "--pair-by", "text")
    assert ",True,20," in out


def test_a_system_called_na_and_scores_that_are_missing_are_handled(scores):
    scores["system_id"] = scores["system_id"].replace("v1", "NA")
    scores.loc[3, ["mos", "mos_low", "mos_high"]] = np.nan
    scores["status"] = ["ok"] * 3 + ["unreadable"] + ["ok"] * 36
    scores.to_csv("scores.csv", index=False)
    code, out, err = call("compare_systems", "scores.csv")
    assert code == 0, err
    assert "v2 is better than NA" in out
    assert "1 of 40 clips have no score of mos" in err


def test_clips_of_one_system_are_refused_with_the_cure(scores):
    scores[scores["system_id"] == "v1"].to_csv("one.csv", index=False)
    result = call("compare_systems", "one.csv")
    refused(2, result, "All 20 clips are by one system, 'v1': name the system of each")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "Name a table of scores, --clips TABLE with systems, or the folders"),
        (["--a", "v1"], "--a is one of two folders"),
        (
            ["scores.csv", "--a", "v1", "--b", "v2"],
            "leave SCORES, --clips and --by out",
        ),
        (["--a", "v1", "--b", "v2", "--pair-by", "x"], "--pair-by names a column"),
        (["scores.csv", "--names", "a", "b"], "--names is about the folders"),
        (["scores.csv", "--level", "95"], "--level lies between 0 and 1; got 95"),
        (["nowhere.csv"], "There is no file nowhere.csv"),
        (
            ["scores.csv", "--by", "x", "--columns", "system=y"],
            "--by and --columns system= both name a column",
        ),
        (["--clips", "c.csv", "--rating-scale", "0", "9"], "is about --ratings"),
        (["scores.csv", "--report", "page.txt"], "a file that a browser opens"),
    ],
)
def test_what_contradicts_itself_is_refused(scores, words, message):
    refused(2, call("compare_systems", *words), message)


def test_two_folders_and_the_last_stack_are_enough(place):
    """Also with a broken file, a page, and the error of the stack."""
    systems = sorted(place.table["system_id"].unique())[:2]
    for name, system in zip(("v1", "v2"), systems, strict=True):
        folder = place.tmp / name
        folder.mkdir()
        for k, row in enumerate(place.table.to_dict("records")):
            if row["system_id"] == system:
                prompt = row["clip_id"].rpartition("_")[2]
                shutil.copy(row["audio"], folder / f"{prompt or k}.wav")
    files = sorted((place.tmp / "v2").iterdir())
    assert len(files) > 2
    files[0].write_bytes(b"no audio")
    code, out, err = call(
        "compare_systems",
        "--a",
        place.tmp / "v1",
        "--b",
        place.tmp / "v2",
        "--artifacts",
        place.art,
        "--report",
        place.tmp / "page.html",
    )
    assert code == 3, err
    assert f"v2/{files[0].stem}" in err
    assert "mi on 1..5: means of systems" in out
    assert "'ta' left out" in err
    assert "the stack's own error on systems that nobody has rated" in err
    assert "Systems compared" in (place.tmp / "page.html").read_text()
