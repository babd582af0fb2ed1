"""Predicted disagreement of raters is learnt from single ratings, and measured on
others.
"""

import json

import numpy as np
import pandas as pd
import pytest
from builders import rows_of_tables

from base_models.bins import ScoreBins
from base_models.errors import DamagedArtifact, UsageError
from base_models.predictions import RATINGS, PredictionTable
from meta.disagreement_report import disagreement_report
from meta.predicted_rows import PredictedRows
from meta.regressor import MetaRegressor
from meta.score_columns import aspects_with_disagreement, scored_table
from meta.uncertainty.disagreement import (
    MIN_CLIPS,
    Disagreement,
    RaterSpread,
    deviation,
)

BINS = ScoreBins()
N = 400
IDS = [f"c{k:03d}" for k in range(N)]
RNG = np.random.default_rng(0)
MEANS = RNG.uniform(2.5, 3.5, N)
SPREADS = RNG.uniform(0.2, 0.9, N)


def gaussians(means, spreads):
    bins = [BINS.soften(m, s) for m, s in zip(means, spreads, strict=True)]
    return np.array(bins)[:, None]


def table(name="raters", spreads=SPREADS, predicts=RATINGS, ids=IDS):
    return PredictionTable(
        name,
        ids,
        ["mi"],
        gaussians(MEANS[: len(ids)], spreads),
        sigma=0.0,
        predicts=predicts,
    )


def ratings_with(spreads, raters=6, seed=1, ids=IDS):
    rng = np.random.default_rng(seed)
    rows = [
        (clip, f"r{rater}", mean + spread * rng.normal())
        for clip, mean, spread in zip(ids, MEANS, spreads, strict=False)
        for rater in range(raters)
    ]
    frame = pd.DataFrame(rows, columns=["clip_id", "rater_id", "mi"])
    return frame.assign(mi=frame["mi"].clip(1, 5))


RATED = ratings_with(SPREADS)
MEAN = table("plain", np.full(N, 0.4), predicts="mean")


def test_the_deviation_of_a_distribution_is_that_of_its_bins():
    rng = np.random.default_rng(0)
    bins = rng.dirichlet(np.ones(20), 5)
    expected = [np.sqrt(np.cov(BINS.centers, aweights=p, ddof=0)) for p in bins]
    np.testing.assert_allclose(deviation(bins, BINS), expected)
    np.testing.assert_array_equal(deviation(np.eye(20), BINS) < 1e-6, True)


def test_the_spread_of_raters_needs_two_of_them():
    ratings = pd.DataFrame(
        [("a", "r", 2.0), ("a", "s", 4.0), ("b", "r", 3.0), ("d", "r", np.nan)],
        columns=["clip_id", "rater_id", "mi"],
    )
    spread = RaterSpread.of(ratings, ["b", "a", "c", "d"], "mi")
    assert spread.counts.tolist() == [1, 2, 0, 0]
    np.testing.assert_array_equal(spread.variances, [np.nan, 2.0, np.nan, np.nan])
    assert spread.known.tolist() == [1]
    assert spread.pooled == pytest.approx(np.sqrt(2))
    assert not len(RaterSpread.of(ratings, ["a"], "ta").known)


def test_only_models_of_single_ratings_count():
    assert Disagreement.of([MEAN]) is None
    known = Disagreement.of([MEAN, table(), table("beta")])
    assert known.models == ("raters", "beta")
    assert not known.is_calibrated
    wide = table("beta", SPREADS + 0.1)
    expected = (deviation(table().of("mi"), BINS) + deviation(wide.of("mi"), BINS)) / 2
    found = known.predict([wide, MEAN, table()], IDS[::-1], "mi")
    np.testing.assert_allclose(found, expected[::-1])


def test_a_clip_that_one_model_lacks_is_told_by_the_others_or_unknown():
    known = Disagreement(("raters", "beta"), BINS)
    few = table("beta").take(IDS[:2])
    alone = known.predict([table(), few], IDS, "mi")
    np.testing.assert_allclose(alone, deviation(table().of("mi"), BINS))
    assert np.isnan(known.predict([few], IDS, "mi")).tolist() == [False] * 2 + [
        True
    ] * (N - 2)


def test_models_that_exaggerate_are_calibrated():
    exaggerating = table(spreads=1.5 * SPREADS)
    known = Disagreement.of([exaggerating])
    learnt = known.calibrated([exaggerating], IDS, "mi", RATED)
    assert learnt.is_calibrated
    found = learnt.predict([exaggerating], IDS, "mi")
    before = known.predict([exaggerating], IDS, "mi")
    error = np.abs(found - SPREADS).mean()
    assert error < 0.08 < np.abs(before - SPREADS).mean()
    assert np.mean(found**2) == pytest.approx(np.mean(SPREADS**2), rel=0.1)


@pytest.mark.parametrize("kind", ["unrelated", "opposed"])
def test_what_has_nothing_to_do_with_the_raters_predicts_their_average(kind):
    spreads = {"unrelated": RNG.permutation(SPREADS), "opposed": 1.1 - SPREADS}[kind]
    given = table(spreads=spreads)
    learnt = Disagreement.of([given]).calibrated([given], IDS, "mi", RATED)
    found = learnt.predict([given], IDS, "mi")
    assert found.std() < 0.05
    assert found.mean() == pytest.approx(learnt.pooled, abs=0.02)


def test_too_few_rated_clips_leave_it_uncalibrated():
    known = Disagreement.of([table()])
    few = RATED[RATED["clip_id"].isin(IDS[: MIN_CLIPS - 1])]
    single = RATED[RATED["rater_id"] == "r0"]
    for ratings in (few, single, RATED.rename(columns={"mi": "ta"})):
        assert known.calibrated([table()], IDS, "mi", ratings) is known
    enough = RATED[RATED["clip_id"].isin(IDS[:MIN_CLIPS])]
    assert known.calibrated([table()], IDS, "mi", enough).is_calibrated


def test_no_deviation_exceeds_what_the_scale_allows():
    known = Disagreement(("raters",), BINS, intercept=9.0, slope=3.0, pooled=3.0)
    assert (known.predict([table()], IDS, "mi") == 2.0).all()


# ---- within a stack


def fitted(tables, ratings=None):
    rows = rows_of_tables(
        tables, MEANS[:, None], systems=[f"s{k % 20}" for k in range(N)]
    )
    regressor = MetaRegressor("mean").fit(tables, rows)
    if ratings is not None:
        regressor.learn_disagreement(tables, rows, ratings)
    return regressor, PredictedRows(rows, tuple(tables))


def test_it_is_a_column_of_the_scores_where_a_model_predicts_ratings():
    regressor, judge = fitted([MEAN, table()], RATED)
    assert aspects_with_disagreement(regressor) == ("mi",)
    clips = pd.DataFrame({"clip_id": IDS})
    scored = scored_table(regressor, judge.tables, clips, ["mi"], 0.9)
    assert list(scored) == [
        "clip_id",
        "mi",
        "mi_low",
        "mi_high",
        "mi_sd",
        "out_of_range",
    ]
    found = regressor.predict_disagreement(judge.tables)
    np.testing.assert_array_equal(scored["mi_sd"], found[:, 0])

    plain, judge = fitted([MEAN], RATED)
    assert aspects_with_disagreement(plain) == ()
    with pytest.raises(UsageError, match="learns from single ratings"):
        plain.predict_disagreement(judge.tables)
    scored = scored_table(plain, judge.tables, clips, ["mi"], 0.9)
    assert list(scored) == ["clip_id", "mi", "mi_low", "mi_high"]
    assert "disagreements" not in plain.state()[0]


@pytest.mark.parametrize("ratings", [None, RATED], ids=["plain", "calibrated"])
def test_it_is_saved_with_the_stack(ratings):
    regressor, judge = fitted([MEAN, table()], ratings)
    facts, arrays = regressor.state()
    again = MetaRegressor.from_state(json.loads(json.dumps(facts)), arrays)
    np.testing.assert_array_equal(
        again.predict_disagreement(judge.tables),
        regressor.predict_disagreement(judge.tables),
    )
    assert again.disagreements_ == regressor.disagreements_


@pytest.mark.parametrize(
    "change",
    [
        {"slope": -1.0},
        {"intercept": "wide"},
        {"models": []},
        {"models": [1]},
        {"pooled": -2.0},
        {"slope": None},
    ],
)
def test_impossible_values_are_damage(change):
    facts, arrays = fitted([table()], RATED)[0].state()
    facts["disagreements"][0] |= change
    with pytest.raises(DamagedArtifact, match="damaged"):
        MetaRegressor.from_state(facts, arrays)
    facts["disagreements"] = []
    with pytest.raises(DamagedArtifact, match="damaged"):
        MetaRegressor.from_state(facts, arrays)


# ---- measured


NEW = ratings_with(SPREADS, seed=2)


def test_the_report_finds_a_relation_that_there_is():
    regressor, judge = fitted([MEAN, table()], RATED)
    row = disagreement_report(regressor, judge, NEW).iloc[0]
    assert (row["aspect"], row["clips"], row["systems"]) == ("mi", N, 20)
    assert row["raters"] == 6
    assert row["low"] > 0.4
    assert row["observed"] == pytest.approx(np.sqrt(np.mean(SPREADS**2)), rel=0.05)
    assert row["predicted"] == pytest.approx(row["observed"], rel=0.1)
    assert row["rmse"] < row["rmse_pooled"]
    assert row["rmse"] == pytest.approx(row["noise"], rel=0.2)
    assert row["gain_low"] > 0


def test_the_report_finds_none_where_there_is_none():
    given = table(spreads=np.random.default_rng(5).permutation(SPREADS))
    regressor, judge = fitted([given], RATED)
    row = disagreement_report(regressor, judge, NEW).iloc[0]
    assert np.isnan(row["srcc"]) or row["low"] < 0 < row["high"]
    assert row["gain_low"] <= 1e-9


def test_without_calibration_there_is_nothing_to_compare_with():
    regressor, judge = fitted([table()])
    row = disagreement_report(regressor, judge, NEW).iloc[0]
    assert not row["calibrated"]
    assert np.isnan(
        row[["rmse_pooled", "gain", "gain_low", "gain_high"]].tolist()
    ).all()


def test_there_is_no_row_without_ratings_or_models_of_them():
    regressor, judge = fitted([table()], RATED)
    assert disagreement_report(regressor, judge, None).empty
    assert disagreement_report(regressor, judge, NEW[: 6 * (MIN_CLIPS - 1)]).empty
    assert disagreement_report(*fitted([MEAN], RATED), NEW).empty
