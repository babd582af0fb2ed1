"""Exports of listening tests at the commands: said in one line, trained, refused."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import call

CODEC = Path("/work/shared/data/codec-listening-test")
needs_codec = pytest.mark.skipif(not CODEC.is_dir(), reason="real data is not here")


@pytest.fixture
def ratings(tmp_path):
    """A MUSHRA test with a reference, and a rater who gives always the same grade."""
    random = np.random.default_rng(0)
    grades = {"reference": 97, "good": 75, "poor": 30}
    rows = [
        (f"i{item}__{system}", f"R{rater}", 50 if rater == 3 else grade + noise)
        for item in range(6)
        for system, grade in grades.items()
        for rater in range(4)
        for noise in [int(random.integers(-3, 4))]
    ]
    path = tmp_path / "ratings.csv"
    frame = pd.DataFrame(rows, columns=["clip_id", "rater_id", "mushra"])
    frame.to_csv(path, index=False)
    return path


def test_check_clips_says_what_was_read_and_how_raters_agree(ratings, tmp_path):
    facts = tmp_path / "facts.json"
    code, out, err = call("check_clips", str(ratings), "--json", str(facts))
    assert code == 3, "there is no audio"
    assert "read as a table with a row per rating: 4 raters, 72 ratings of 18" in err
    assert "'reference' (reference), 24 ratings (--anchors keep takes them)" in err
    out = " ".join(out.split())
    assert "12 clips, 2 systems" in out
    assert "Krippendorff's alpha" in out
    assert "mushra: the same rating throughout by 'R3'" in out
    (about,) = json.loads(facts.read_text())["facts"]["raters"]
    assert about["alpha_low"] < about["alpha"] < about["alpha_high"]
    assert [one["n"] for one in about["raters"]] == [12] * 4


def test_options_choose_conditions_and_raters(ratings):
    _, out, err = call("check_clips", str(ratings), "--anchors", "keep")
    assert "18 clips, 3 systems" in " ".join(out.split())
    assert "taken like systems: 'reference' (reference)" in err
    _, _, err = call("check_clips", str(ratings), "--screen", "bs1534")
    assert "rater 'R3' (18 ratings): rates the hidden reference below 90 in 6 of" in err
    _, _, err = call("noise_ceiling", str(ratings), "--screen", "p808", "--bootstrap=0")
    assert "rater 'R3' (18 ratings): gives all 18 clips the same rating" in err
    assert "54 ratings" not in err


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("--format", "mushra"), "Unknown format 'mushra'"),
        (("--format", "votes"), "has no votes"),
        (("--anchors", "some"), "Known: drop, keep"),
        (("--screen", "bs1116"), "Known: none, bs1534, p808"),
    ],
)
def test_a_word_that_is_none_is_refused_in_every_command(option, message, ratings):
    path = str(ratings)
    commands = {
        "check_clips": (path,),
        "noise_ceiling": (path,),
        "evaluate_mos": (path, path),
        "rate_less": (path, path),
        "fit_base": ("--data", path),
        "fit_meta": ("--predictions", path, "--labels", path),
    }
    for command, arguments in commands.items():
        code, _, err = call(command, *arguments, *option)
        assert code == 2, command
        assert message in err, command


def test_predictions_are_measured_on_the_scale_of_the_test(ratings, tmp_path):
    predictions = tmp_path / "p.csv"
    rows = [(f"i{i}__{s}", 40 + i) for i in range(6) for s in ("good", "poor")]
    pd.DataFrame(rows, columns=["clip_id", "mushra"]).to_csv(predictions, index=False)
    arguments = [str(predictions), str(ratings), "--bootstrap", "0"]
    code, out, err = call("evaluate_mos", *arguments, "--screen", "bs1534")
    assert code == 0
    assert "ceiling SRCC" in out
    assert "1 rater left out" in err
    arguments = [str(predictions), str(ratings), "--anchors", "drop"]
    code, out, err = call("rate_less", *arguments)
    assert code == 0
    assert "mushra on 0..100" in out


@needs_codec
def test_ratings_of_a_real_test_alone_train(tmp_path):
    """Long form, 0..100, audio in a folder beside it, systems in the ids."""
    folder = str(tmp_path / "artifacts")
    arguments = ["--data", str(CODEC / "ratings.csv"), "--models", "pooled_ridge"]
    arguments += ["--audio-encoder", "logmel", "--folds", "3", "--group", "content_id"]
    code, _, err = call("fit_base", *arguments, "--artifacts", folder)
    assert code == 0
    assert "112 clips, aspects mushra" in err
    assert "mushra is rated on 0..100, and learnt on 1..5" in err
    assert "1064 single ratings by 19 raters of 112 of 112 clips" in err
    code, out, _ = call("fit_meta", "--artifacts", folder)
    assert code == 0
    assert "7 systems" in out
