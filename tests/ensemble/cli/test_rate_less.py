"""Laws of rate_less: the library's numbers, plans that can be used, words and codes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from builders import SHARED_DATA
from commands import call, refused
from rated_systems import World

from base_models.bins import ScoreBins
from base_models.files import Artifact, seal
from base_models.predictions import PredictionTable
from ensemble.rate_less import SeenClips, read_rate_less
from meta.powered_means.powered_means import powered_means
from meta.powered_means.rated_sample import RatedSample

WORLD = World(systems=4, clips=30, rated=6, raters=8, per_clip=2, of_raters=0.3)


@pytest.fixture
def files(tmp_path):
    """Predictions of 120 clips of four systems, and two ratings of six of each."""
    sample, _, _ = WORLD.draw(np.random.default_rng(0))
    names = np.array(sample.system_names)
    clips = pd.DataFrame(
        {
            "clip_id": sample.clip_ids,
            "system": names[sample.system],
            "prompt": [f"prompt {k % 30}" for k in range(120)],
            "mos": sample.predictions,
        }
    )
    ratings = pd.DataFrame(
        {
            "clip_id": np.array(sample.clip_ids)[sample.clip_of],
            "rater_id": [f"r{k}" for k in sample.rater],
            "mos": np.clip(sample.ratings.round(1), 1, 5),
        }
    )
    clips.to_csv(tmp_path / "scores.csv", index=False)
    ratings.to_csv(tmp_path / "ratings.csv", index=False)
    return tmp_path, clips, ratings


def run(folder, *options, scores="scores.csv", ratings="ratings.csv"):
    return call("rate_less", folder / scores, folder / ratings, *options)


def plan(folder, *options):
    return call(
        "rate_less",
        folder / "scores.csv",
        "--plan",
        "--out",
        folder / "p.csv",
        *options,
    )


def test_the_numbers_are_those_of_the_library_in_every_format(files):
    folder, clips, ratings = files
    table = clips.rename(columns={"system": "system_id", "mos": "prediction"})
    sample = RatedSample.from_tables(table, ratings, "mos")
    expected = powered_means(sample, bins=ScoreBins())
    for suffix in ("csv", "jsonl", "parquet"):
        out = folder / f"means.{suffix}"
        code, _, err = run(
            folder, "--out", out, "--differences", folder / f"d.{suffix}"
        )
        assert code == 0, err
        assert str(out) in err
    found = {
        "csv": pd.read_csv(folder / "means.csv", keep_default_na=False),
        "jsonl": pd.read_json(folder / "means.jsonl", lines=True),
        "parquet": pd.read_parquet(folder / "means.parquet"),
    }
    for frame in found.values():
        assert frame.pop("aspect").unique().tolist() == ["mos"]
        pd.testing.assert_frame_equal(
            frame, expected.means, check_dtype=False, atol=1e-6
        )
    differences = pd.read_parquet(folder / "d.parquet").drop(columns="aspect")
    pd.testing.assert_frame_equal(differences, expected.differences)


def test_the_json_file_holds_all_of_it(files):
    folder, _, _ = files
    assert run(folder, "--json", folder / "m.json", "--population", "clips")[0] == 0
    report = json.loads((folder / "m.json").read_text())["aspects"]["mos"]
    assert report["population"] == "clips"
    assert report["design"] == "systems"
    assert report["predictions_help"] is True
    assert 0.3 < report["correlation_within_systems"] < 0.9
    assert len(report["means"]) == 5
    assert len(report["differences"]) == 6


def test_the_tables_fit_a_terminal_and_say_what_is_assumed(files, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = run(files[0])
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    assert re.search(r"│ *s00 *│ *s01 *│", out)
    assert "24/120" in out
    assert "valid if the rated clips were drawn at random" in err


def test_many_differences_are_counted_not_shown(files):
    folder, clips, _ = files
    more = clips.assign(system=[f"t{k % 8}" for k in range(120)])
    more.to_csv(folder / "scores.csv", index=False)
    code, out, err = run(folder)
    assert code in {0, 3}
    assert "minus" not in out
    assert "differences between systems" in err
    code, out, _ = run(folder, "--compare", "t0", "t1")
    assert re.search(r"│ *t0 *│ *t1 *│", out)


def test_systems_come_from_another_table_or_from_names(files):
    folder, clips, ratings = files
    clips[["clip_id", "mos"]].to_csv(folder / "bare.csv", index=False)
    clips[["clip_id", "system", "prompt"]].to_csv(folder / "clips.csv", index=False)
    expected = read_rate_less(str(folder / "scores.csv"), str(folder / "ratings.csv"))
    found = read_rate_less(
        str(folder / "bare.csv"),
        str(folder / "ratings.csv"),
        clips=str(folder / "clips.csv"),
    )
    names = ["clip_id", "system_id", "prompt", "pred_mos"]
    pd.testing.assert_frame_equal(found.clips[names], expected.clips[names])

    musiceval = {
        clip: f"audiomos2025-track1-S{k // 30:03d}_P{k % 30:03d}.wav"
        for k, clip in enumerate(clips["clip_id"])
    }
    for name, frame in (("bare", clips[["clip_id", "mos"]]), ("ratings", ratings)):
        frame = frame.assign(clip_id=frame["clip_id"].map(musiceval))
        frame.to_csv(folder / f"{name}.csv", index=False)
    named = read_rate_less(str(folder / "bare.csv"), str(folder / "ratings.csv"))
    assert sorted(named.clips["system_id"].unique()) == ["S000", "S001", "S002", "S003"]


def test_clips_without_systems_are_one_systems(files):
    folder, clips, _ = files
    clips[["clip_id", "mos"]].to_csv(folder / "scores.csv", index=False)
    code, out, err = run(folder)
    assert code == 0
    assert "No clip has a system" in err
    assert "all" in out


def test_the_systems_may_be_those_that_the_ratings_name(files):
    folder, clips, ratings = files
    expected = run(folder, "--out", folder / "own.csv")
    assert expected[0] == 0
    scores = folder / "bare.csv"
    own = folder / "with_systems.csv"
    clips.drop(columns="system").to_csv(scores, index=False)
    # A row per rating, and one without a rating for each of the other clips.
    system_of = clips.set_index("clip_id")["system"]
    others = clips.loc[~clips["clip_id"].isin(ratings["clip_id"]), ["clip_id"]]
    listed = pd.concat([ratings, others])
    listed = listed.assign(system=listed["clip_id"].map(system_of))
    listed["rater_id"] = listed["rater_id"].fillna("nobody")
    listed.to_csv(own, index=False)
    words = ("--out", folder / "found.csv")
    code, _, err = run(folder, *words, scores=scores.name, ratings=own.name)
    assert code == 0, err
    assert f"systems are those that {own} names" in err
    assert (folder / "found.csv").read_bytes() == (folder / "own.csv").read_bytes()


def test_systems_of_some_clips_are_not_guessed_for_the_others(files):
    folder, clips, ratings = files
    clips[["clip_id", "mos"]].to_csv(folder / "bare.csv", index=False)
    system_of = clips.set_index("clip_id")["system"]
    ratings = ratings.assign(system=ratings["clip_id"].map(system_of))
    ratings.to_csv(folder / "some.csv", index=False)
    code, _, err = run(folder, scores="bare.csv", ratings="some.csv")
    assert code == 0
    assert "names the systems of 24 of 120 predicted clips only" in err
    assert "--clips TABLE names the systems of all" in err


def test_ids_that_name_systems_name_those_of_all_clips(files):
    folder, clips, ratings = files
    system_of = clips.set_index("clip_id")["system"]
    number = clips.groupby("system").cumcount().to_numpy()
    names = [
        f"song{k}__{name}" for k, name in zip(number, clips["system"], strict=True)
    ]
    id_of = dict(zip(clips["clip_id"], names, strict=True))
    bare = clips[["clip_id", "mos"]].replace({"clip_id": id_of})
    bare.to_csv(folder / "bare.csv", index=False)
    ratings = ratings.assign(system=ratings["clip_id"].map(system_of))
    ratings.replace({"clip_id": id_of}).to_csv(folder / "some.csv", index=False)
    _, out, err = run(folder, scores="bare.csv", ratings="some.csv")
    assert "systems are those that the ids of the clips name" in err
    assert all(name in out for name in system_of.unique())
    # Ratings that say otherwise are believed, and then nobody knows of the others.
    ratings = ratings.assign(system="x")
    ratings.replace({"clip_id": id_of}).to_csv(folder / "some.csv", index=False)
    _, _, err = run(folder, scores="bare.csv", ratings="some.csv")
    assert "all are taken for one system's" in err


def test_ratings_may_be_means_without_raters(files):
    folder, _, ratings = files
    means = ratings.groupby("clip_id", as_index=False)["mos"].mean()
    means.to_csv(folder / "ratings.csv", index=False)
    code, out, err = run(folder)
    assert code == 0, err
    assert "Raters are not known" in err
    assert "6/30" in out


@pytest.mark.parametrize("with_raters", [True, False])
@pytest.mark.parametrize("scores", ["scores.csv", "scores100.csv", "scores.csv:1-5"])
def test_means_are_on_the_scale_of_the_ratings(files, with_raters, scores):
    folder, clips, ratings = files
    if not with_raters:
        ratings = ratings.groupby("clip_id", as_index=False)["mos"].mean()
    ratings.to_csv(folder / "ratings.csv", index=False)
    ratings.assign(mos=25 * (ratings["mos"] - 1)).to_csv(folder / "r100.csv")
    clips.assign(mos=25 * (clips["mos"] - 1)).to_csv(folder / "scores100.csv")
    small = powered(folder, "scores.csv", "ratings.csv")
    code, out, err = run(
        folder,
        *("--rating-scale", "0", "100", "--json", folder / "m.json"),
        scores=scores,
        ratings="r100.csv",
    )
    assert code == 0, err
    assert "mos on 0..100" in out
    written = json.loads((folder / "m.json").read_text())
    assert written["aspects"]["mos"]["scale"] == [0, 100]
    large = powered(folder, scores, "r100.csv", "--rating-scale", "0", "100")
    for name in ("human", "human_low", "human_high", "powered", "powered_high"):
        expected = 25 * (small[name] - 1)
        np.testing.assert_allclose(large[name], expected, atol=1e-4)
    np.testing.assert_allclose(
        large["effective_ratings"], small["effective_ratings"], rtol=1e-4
    )


def test_each_aspect_has_its_scale(files):
    folder, clips, ratings = files
    clips.assign(pq=2.25 * clips["mos"] - 1.25).to_csv(folder / "scores.csv")
    ratings.assign(pq=2.25 * ratings["mos"] - 1.25).to_csv(folder / "ratings.csv")
    aspects = ("--aspects", "mos", "pq", "--rating-scale", "mos=1-5", "pq=1-10")
    table = powered(folder, "scores.csv", "ratings.csv", *aspects)
    of_mos, of_pq = (table[table["aspect"] == name] for name in ("mos", "pq"))
    for name in ("human", "powered_low", "powered_high"):
        expected = 2.25 * of_mos[name] - 1.25
        np.testing.assert_allclose(of_pq[name], expected, atol=1e-4)
    refused(2, plan(folder, "--budget", "40", *aspects), "A plan is for one scale")
    wrong = run(folder, "--rating-scale", "ta=1-10")
    refused(2, wrong, "A scale is declared for 'ta'")


def powered(folder, scores, ratings, *options):
    """The table of means."""
    out = folder / "means.csv"
    code, _, err = run(folder, "--out", out, *options, scores=scores, ratings=ratings)
    assert code == 0, err
    return pd.read_csv(out)


def test_the_column_of_predictions_is_named_and_no_interval_leaves_the_scale(files):
    folder, clips, ratings = files
    clips.rename(columns={"mos": "predicted_mos"}).to_csv(folder / "scores.csv")
    ratings.assign(mos=(ratings["mos"] + 2).clip(upper=5)).to_csv(
        folder / "ratings.csv"
    )
    table = powered(folder, "scores.csv", "ratings.csv")
    assert table[["human_high", "powered_high"]].max().max() <= 5
    err = run(folder)[2]
    assert "120 predicted clips; mos from 'predicted_mos'" in err


def test_a_plan_on_another_scale_is_the_same_plan_in_its_points(files):
    folder, clips, _ = files
    clips.assign(mos=25 * (clips["mos"] - 1)).to_csv(folder / "scores100.csv")
    plans = {}
    for scores, scale in {
        "scores.csv": (1, 5),
        "scores100.csv": (0, 100),
        "scores100.csv:0-100": (1, 5),
        "scores.csv:1-5": (0, 100),
    }.items():
        words = ("--plan", "--budget", "40", "--out", folder / "p.csv")
        code, out, err = call(
            "rate_less", folder / scores, *words, "--rating-scale", *scale
        )
        assert code == 0, err
        chosen = pd.read_csv(folder / "p.csv")["clip_id"].tolist()
        widths = [float(text) for text in re.findall(r"± +([0-9.]+)", out)]
        plans[scores] = (chosen, np.array(widths) * 4 / (scale[1] - scale[0]))
    chosen, widths = plans.pop("scores.csv")
    assert len(widths) == 10
    for other, others in plans.values():
        assert other == chosen
        np.testing.assert_allclose(others, widths, atol=0.006)


def test_a_plan_without_ratings_refuses_predictions_off_their_scale(files):
    folder, clips, _ = files
    clips.assign(mos=25 * (clips["mos"] - 1)).to_csv(folder / "scores.csv")
    result = plan(folder, "--budget", "40")
    refused(2, result, "off the scale 1..5.*FILE:LOW-HIGH, such as 0-100.$")
    assert "--predictor-scales" not in result[2]


def test_a_plan_rates_a_clip_or_is_refused(files):
    folder, clips, _ = files
    ratings_file = folder / "ratings.csv"
    words = ("--budget", "2", "--ratings-per-clip", "3")
    result = call(
        *("rate_less", folder / "scores.csv", ratings_file, "--plan"),
        *("--out", folder / "p.csv", *words),
    )
    refused(2, result, "2 ratings are less than the 3 of one clip")
    assert not (folder / "p.csv").exists()

    rated = clips[["clip_id"]].assign(rater_id="r", mos=np.arange(120) % 5 + 1)
    rated.to_csv(ratings_file, index=False)
    result = call(
        *("rate_less", folder / "scores.csv", ratings_file, "--plan"),
        *("--out", folder / "p.csv", "--budget", "20"),
    )
    refused(2, result, "Every clip is rated already")


def test_ratings_that_no_clip_is_left_for_are_counted(files):
    folder, _, _ = files
    code, _, err = plan(folder, "--budget", "500", "--ratings-per-clip", "2")
    assert code == 0, err
    assert "260 of 500 ratings are left over" in err


def test_what_is_on_one_side_only_is_named_and_exits_3(files):
    folder, clips, ratings = files
    rated = ratings["clip_id"].iloc[0]
    clips[clips["clip_id"] != rated].to_csv(folder / "scores.csv", index=False)
    code, _, err = run(folder)
    assert code == 3
    assert f"rated but NOT PREDICTED, their ratings are left out: 1 ('{rated}')" in err

    clips.to_csv(folder / "clips.csv", index=False)
    code, _, err = run(folder, "--clips", folder / "clips.csv")
    assert code == 3
    assert "of the table but NOT PREDICTED" in err


def test_a_system_without_a_rated_clip_is_named_and_exits_3(files):
    folder, clips, ratings = files
    system = clips.set_index("clip_id")["system"]
    kept = ratings["clip_id"].map(system) != "s02"
    ratings[kept].to_csv(folder / "ratings.csv", index=False)
    code, out, err = run(folder)
    assert code == 3
    assert "mos: WITHOUT A RATED CLIP, no mean of 1 ('s02')" in err
    assert "-" in out


def test_an_aspect_that_some_clips_lack_leaves_them_out(files):
    folder, clips, ratings = files
    two = clips.assign(ta=clips["mos"].where(clips.index % 3 > 0))
    two.to_csv(folder / "scores.csv", index=False)
    ratings.assign(ta=ratings["mos"]).to_csv(folder / "ratings.csv", index=False)
    code, _, err = run(folder, "--aspects", "mos", "ta", "--json", folder / "m.json")
    assert code in {0, 3}, err
    report = json.loads((folder / "m.json").read_text())["aspects"]
    assert report["mos"]["means"][-1]["clips"] == 120
    assert report["ta"]["means"][-1]["clips"] == 80


def write_distributions(folder, clips, trained_on):
    table = PredictionTable.from_scores(
        "a",
        clips["clip_id"].tolist(),
        ("mos",),
        scores=np.clip(clips[["mos"]].to_numpy(), 1, 5),
        bins=ScoreBins(),
        sigma=0.35,
        trained_on=trained_on,
    )
    table.write(folder / "scores.parquet")


def test_clips_that_were_learnt_from_are_left_out_rated_or_not(files):
    folder, clips, ratings = files
    rated = ratings["clip_id"].unique()
    unrated = clips["clip_id"][~clips["clip_id"].isin(rated)]
    seen = [rated[0], unrated.iloc[0], unrated.iloc[1]]
    write_distributions(folder, clips, seen)
    options = ("--clips", folder / "scores.csv", "--out", folder / "m.csv")
    code, _, err = run(folder, *options, scores="scores.parquet")
    assert code == 3
    assert "LEARNT FROM by what predicts them" in err
    corpus = pd.read_csv(folder / "m.csv").iloc[-1]
    assert corpus["clips"] == 117
    assert corpus["rated_clips"] == 23


def test_predictions_that_saw_all_ratings_are_refused(files):
    folder, clips, ratings = files
    for seen, what in ((ratings, "every rated clip"), (clips, "every clip")):
        write_distributions(folder, clips, seen["clip_id"].unique().tolist())
        result = run(folder, "--clips", folder / "scores.csv", scores="scores.parquet")
        refused(2, result, rf"learnt from {what} .* out-of-fold predictions")


def test_the_clips_of_a_stack_are_left_out(files, monkeypatch):
    folder, _, ratings = files
    seen = [f"wav/{clip}.wav" for clip in ratings["clip_id"].unique()[:2]]
    monkeypatch.setattr(
        "ensemble.scoring.seen_clips.seen_clips",
        lambda folder: SeenClips(frozenset(seen)),
    )
    code, _, err = run(folder, "--stack", "any")
    assert code == 3
    assert "the means are not about them: 2" in err


@pytest.fixture
def stack_of_rated(files):
    """Base scores of all clips, and a stack that was fitted on the rated ones."""
    folder, clips, ratings = files
    rng = np.random.default_rng(1)
    base = clips[["clip_id", "system"]].copy()
    for name in ("a", "b", "c"):
        noise = rng.normal(0, 0.4, len(clips))
        base[name] = np.clip(clips["mos"] + noise, 1, 5).round(3)
    base.to_csv(folder / "base.csv", index=False)
    labels = ratings.groupby("clip_id", as_index=False)["mos"].mean()
    labels = labels.merge(clips[["clip_id", "system"]])
    labels.to_csv(folder / "labels.csv", index=False)
    code, out, err = call(
        "fit_meta",
        *("--predictions", folder / "base.csv", "--labels", folder / "labels.csv"),
        *("--artifacts", folder / "artifacts", "--rivals"),
    )
    assert code == 0, err
    return folder, out.splitlines()[-1]


def predict(folder, *options, name="scores.csv"):
    return call(
        "predict_mos",
        *("--predictions", folder / "base.csv", "--out", folder / name),
        *("--artifacts", folder / "artifacts"),
        *options,
    )


def test_clips_that_a_stack_was_fitted_on_stay_where_it_is_cross_fitted(
    stack_of_rated,
):
    folder, stack = stack_of_rated
    options = ("--stack", stack, "--clips", folder / "clips.csv")
    clips = pd.read_csv(folder / "base.csv")[["clip_id", "system"]]
    clips.to_csv(folder / "clips.csv", index=False)
    code, _, err = predict(folder, "--cross-fit")
    assert code == 0, err
    assert "24 clips that the stack was fitted on and 96 others of their" in err
    code, out, err = run(folder, *options)
    assert code == 0, err
    assert "the stack was fitted on 24 of the clips, which stay" in err
    assert "24/120" in out

    # Of the rated clips these are the scores in the folder of the stack.
    unseen = pd.read_csv(f"{stack}/out_of_fold.csv", index_col="clip_id")["mos"]
    scores = pd.read_csv(folder / "scores.csv", index_col="clip_id")["mos"]
    assert len(unseen) == 24
    np.testing.assert_allclose(scores[unseen.index], unseen, atol=2e-6)

    # A file that is cross-fitted but for one clip is not of one kind.
    table = pd.read_csv(folder / "scores.csv")
    is_rated = table["clip_id"] == unseen.index[0]
    table.loc[is_rated, "mos"] += 0.1
    table.to_csv(folder / "scores.csv", index=False)
    refused(2, run(folder, *options), r"every rated clip .* \(predict_mos --cross-fit")


def test_in_sample_predictions_of_a_stack_are_left_out_and_the_way_is_named(
    stack_of_rated,
):
    folder, stack = stack_of_rated
    ratings = pd.read_csv(folder / "ratings.csv")
    clips = pd.read_csv(folder / "base.csv")
    clips[["clip_id", "system"]].to_csv(folder / "clips.csv", index=False)
    # Some clips more that the stack has not seen.
    more = clips[~clips["clip_id"].isin(ratings["clip_id"])].groupby("system").head(3)
    more = more[["clip_id"]].assign(rater_id="new", mos=3.0)
    pd.concat([ratings, more]).to_csv(folder / "ratings.csv", index=False)
    assert predict(folder)[0] == 0
    options = ("--stack", stack, "--clips", folder / "clips.csv")
    code, out, err = run(folder, *options)
    assert code == 3
    assert "24 of the clips that were learnt from could stay" in err
    assert "12/96" in out

    assert predict(folder, "--cross-fit", "--systems", folder / "clips.csv")[0] == 0
    code, out, _ = run(folder, *options)
    assert code == 0
    assert "36/120" in out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--systems", "x.csv"), "--systems names the systems for --cross-fit"),
        (("--cross-fit", "--engine", "dask://a:1"), "runs on this machine alone"),
        (("--cross-fit", "--systems", "none.csv"), "There is no file"),
    ],
)
def test_options_of_cross_fitting_that_cannot_be_used_are_refused(
    stack_of_rated, options, message
):
    refused(2, predict(stack_of_rated[0], *options), message)


def test_cross_fitting_needs_the_systems_of_the_clips(stack_of_rated):
    folder, _ = stack_of_rated
    base = pd.read_csv(folder / "base.csv").drop(columns="system")
    base.to_csv(folder / "base.csv", index=False)
    refused(2, predict(folder, "--cross-fit"), "96 clips name no system .* --systems")


def test_a_stack_that_was_fitted_on_seen_clips_is_not_cross_fitted(stack_of_rated):
    folder, stack = stack_of_rated
    without = {"folds.json", "folds.safetensors", "out_of_fold.csv"}
    names = [name for name in Artifact(stack, "stack").names if name not in without]
    for name in without:
        (Path(stack) / name).unlink()
    seal(stack, "stack", names)
    refused(2, predict(folder, "--cross-fit"), "keeps no learners of its folds")


def test_a_plan_is_a_table_of_clips_to_rate_without_predictions(files):
    folder, clips, _ = files
    code, out, err = plan(folder, "--budget", "20", "--seed", "1")
    assert code == 0, err
    chosen = pd.read_csv(folder / "p.csv")
    assert list(chosen) == ["clip_id", "system_id", "prompt"]
    assert len(chosen) == 20
    assert chosen["clip_id"].isin(clips["clip_id"]).all()
    assert "±" in out
    assert "which is assumed" in err
    # In random order: not system by system.
    assert not chosen["system_id"].is_monotonic_increasing


def test_a_plan_uses_intervals_and_ratings_that_there_are(files):
    folder, clips, ratings = files
    clips.assign(mos_low=clips["mos"] - 0.5, mos_high=clips["mos"] + 0.5).to_csv(
        folder / "scores.csv", index=False
    )
    _, _, err = plan(folder, "--budget", "20")
    assert "half-widths from the intervals of the predictions" in err
    code, _, err = call(
        "rate_less",
        folder / "scores.csv",
        folder / "ratings.csv",
        *("--plan", "--budget", "20", "--out", folder / "p.csv"),
    )
    assert code == 0, err
    assert "half-widths from the scatter of the ratings" in err
    assert not pd.read_csv(folder / "p.csv")["clip_id"].isin(ratings["clip_id"]).any()


def test_a_plan_for_comparisons_takes_these_systems_and_the_same_prompts(files):
    folder, _, _ = files
    options = ("--budget", "20", "--allocate", "equal", "--compare", "s00", "s03")
    code, _, err = plan(folder, *options)
    assert code == 0, err
    assert "the same prompts for every system" in err
    chosen = pd.read_csv(folder / "p.csv")
    assert chosen["system_id"].value_counts().to_dict() == {"s00": 10, "s03": 10}
    assert (chosen["prompt"].value_counts() == 2).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--budget", "20"), "'--budget': only with --plan"),
        (("--plan", "--budget", "20"), r"--plan --budget 200 --out plan\.csv"),
        (("--population", "all"), "Unknown population 'all'"),
        (("--level", "2"), "between 0 and 1; got 2"),
        (("--out", "means.txt"), r"means\.txt: name a \.csv, \.jsonl or \.parquet"),
        (("--out", "means.xls"), r"name a csv|name a \.csv"),
        (("--compare", "s00", "s9"), "Unknown system 's9'"),
        (("--clips", "none.csv"), "There is no file or folder none.csv"),
        (("--stack", "none"), "none"),
        (("--rating-scale", "5", "1"), "The lowest rating of a scale"),
    ],
)
def test_an_option_that_cannot_be_used_is_refused(files, options, message):
    refused(2, run(files[0], *options), message)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--budget", "3"), "3 ratings are 3 clips with 1 each; 4 systems need 8"),
        (("--budget", "-1"), "The budget is a number of ratings"),
        (("--budget", "20", "--population", "clips"), "'--population': not with"),
        (("--budget", "20", "--compare", "x"), "No clip is by 'x'"),
        (("--budget", "20", "--interval-level", "90"), "between 0 and 1; got 90"),
        (("--budget", "20", "--allocate", "fair"), "Unknown allocation 'fair'"),
    ],
)
def test_a_plan_that_cannot_be_made_is_refused(files, options, message):
    refused(2, plan(files[0], *options), message)


def test_broken_files_are_refused(files):
    folder, clips, ratings = files

    def with_ratings(frame):
        frame.to_csv(folder / "bad.csv", index=False)
        return run(folder, ratings="bad.csv")

    refused(2, run(folder, ratings="none.csv"), "There is no file")
    refused(2, run(folder, scores="none.csv"), "There is no file")
    refused(3, with_ratings(ratings.assign(mos=7)), "mos is off the scale 1..5")
    refused(3, with_ratings(pd.concat([ratings, ratings])), "rates a clip twice")
    strangers = ratings.assign(clip_id="x" + ratings["clip_id"])
    refused(2, with_ratings(strangers), "is predicted: a rating is for 'x.*same ids")
    refused(2, with_ratings(ratings.assign(mos="")), "rat")

    def with_scores(frame):
        frame.to_csv(folder / "bad.csv", index=False)
        return run(folder, scores="bad.csv")

    twice = pd.concat([clips, clips.head(1)])
    refused(2, with_scores(twice), "repeat|twice|more than once")
    refused(2, with_scores(clips.assign(mos=np.nan)), "mos|score")
    half = clips.assign(system=clips["system"].where(clips.index > 3, ""))
    refused(2, with_scores(half), "4 clips have no system")


def test_neither_ratings_nor_a_plan_is_refused(files):
    folder, _, _ = files
    refused(2, call("rate_less", folder / "scores.csv"), "or --plan --budget N")


def test_single_ratings_of_a_real_test_are_held(tmp_path):
    """Three clips of each BVCC system with two ratings each."""
    source = SHARED_DATA / "bvcc-predictions"
    if not source.is_dir():
        pytest.skip("the published predictions on BVCC are not here")
    clips = pd.read_csv(source / "val_half.csv")
    ratings = pd.read_csv(source / "val_half_ratings.csv")
    sizes = clips.groupby("system")["system"].transform("size")
    clips = clips[sizes >= 5]
    scores = clips[["utterance", "system", "utmos22_fold0"]]
    scores = scores.rename(columns={"utmos22_fold0": "pred_rating"})
    scores.to_csv(tmp_path / "scores.csv", index=False)
    chosen = clips.sample(frac=1, random_state=0).groupby("system").head(3)
    kept = ratings[ratings["utterance"].isin(chosen["utterance"])]
    kept = kept.sample(frac=1, random_state=0).groupby("utterance").head(2)
    kept.to_csv(tmp_path / "ratings.csv", index=False)
    code, _, err = run(tmp_path, "--out", tmp_path / "m.csv")
    assert code == 0, err

    truth = ratings[ratings["utterance"].isin(clips["utterance"])]
    truth = truth.groupby("system")["rating"].mean()
    means = pd.read_csv(tmp_path / "m.csv").dropna(subset="system").set_index("system")
    for name in ("human", "powered"):
        is_held = (means[f"{name}_low"] <= truth) & (truth <= means[f"{name}_high"])
        assert is_held.mean() >= 0.9
