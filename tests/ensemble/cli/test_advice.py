"""Commands say what so many rated clips can carry, and what the next 50 would buy."""

import functools
import json

import numpy as np
import pandas as pd
import pytest
from builders import listening_test, tones
from commands import call, refused

from base_models.clips.read_clips import read_clips
from base_models.clips.splits import assign_splits, reached
from ensemble.training.checks.learning_curve import CurveSetup
from ensemble.training.model_sets import SMALL_SPLIT


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """40 clips without splits, whose label hangs on their pitch."""
    labels = 2 + 0.5 * (np.arange(40) % 4)
    labels += np.random.default_rng(0).normal(0, 0.2, 40)
    path = listening_test(
        tmp_path_factory.mktemp("clips"),
        tones(40, seconds=1.1, noise=0.01),
        {"": 40},
        labels={"mos": labels},
        content=[f"k{k // 4}" for k in range(40)],
    )
    return path


def test_check_clips_says_it_in_words_and_for_programs(table, tmp_path):
    code, out, err = call("check_clips", table, "--json", tmp_path / "facts.json")
    assert code == 0, err
    said = " ".join(out.split())
    assert "34 rated training clips: below 500, fit_base --models small" in said
    assert "fit_base will make the splits: train 34 (85.0 %)" in said
    assert "4 systems to judge by: chance ranks them right once in 24 times" in said
    advice = json.loads((tmp_path / "facts.json").read_text())["facts"]["advice"]
    assert (advice["training_clips"], advice["models"]) == (34, "small")
    assert advice["judging"][0]["clips"] == 6
    assert advice["judging"][0]["system_srcc"] is None


def test_splits_by_group_are_those_of_fit_base(table):
    _, out, _ = call("check_clips", table, "--group", "content")
    frame = read_clips(table)
    made = assign_splits(frame, SMALL_SPLIT, group="content")
    said = reached(frame.assign(split=made))
    assert f"fit_base will make the splits: {said}" in " ".join(out.split())


def test_check_clips_draws_a_curve(table, tmp_path, monkeypatch):
    fewer = functools.partial(CurveSetup, draws=2)
    monkeypatch.setattr("ensemble.training.checks.learning_curve.CurveSetup", fewer)
    words = ("check_clips", table, "--curve", "--group", "content")
    code, out, err = call(*words, "--json", tmp_path / "facts.json")
    assert code == 0, err
    said = " ".join(out.split())
    assert "Learning curve of a pooled learner" in said
    assert "mos, the next 50 ratings (40 to 90 clips): MSE" in said
    (curve,) = json.loads((tmp_path / "facts.json").read_text())["facts"]["curve"]
    assert curve["aspect"] == "mos"
    assert [one["metric"] for one in curve["next_ratings"]] == ["mse", "srcc"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--audio-encoder", "logmel"], "belong to --curve"),
        (["--curve", "--audio-encoder", "lgomel"], "Did you mean 'logmel'"),
        (["--curve", "--audio-encoder", "hashed_text"], "an audio encoder is needed"),
        (["--group", "contents"], "column for --group 'contents'. Did you mean"),
    ],
)
def test_options_that_mean_nothing_are_refused(table, words, message):
    refused(2, call("check_clips", table, *words), message)


def test_a_table_without_ratings_has_no_curve_and_no_advice(table, tmp_path):
    frame = pd.read_csv(table)[["clip_id", "audio"]]
    frame["audio"] = [str(table.parent / name) for name in frame["audio"]]
    frame.to_csv(tmp_path / "clips.csv", index=False)
    code, out, _ = call("check_clips", tmp_path / "clips.csv")
    assert code == 0
    assert "can carry" not in out
    message = "--curve needs ratings, and .* has none; name a column of ratings"
    refused(2, call("check_clips", tmp_path / "clips.csv", "--curve"), message)


def test_fit_base_advises_whoever_has_not_chosen_models(table, tmp_path):
    # Refused after the advice, so that nothing is trained.
    words = ["--data", table, "--audio-encoder", "logmel", "--folds", 40]
    words += ["--artifacts", tmp_path]
    _, _, err = call("fit_base", *words)
    assert "note: 28 rated training clips: below 500, fit_base --models small" in err
    assert "note: 6 rated clips to judge by: a measured SRCC has" in err
    assert "--folds 40 needs at least 40 training clips" in err
    _, _, err = call("fit_base", *words, "--models", "dora:1")
    assert "is advised" not in err
    assert "note: 6 rated clips to judge by" in err
