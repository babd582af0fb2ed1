import numpy as np
import pandas as pd
import pytest
from builders import SHARED_DATA, scores_and_labels
from scipy import stats
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GroupKFold

from base_models.bins import ScoreBins
from base_models.errors import UsageError
from meta.uncertainty.calibration import Calibration
from meta.uncertainty.coverage import LEVELS, calibration_report, coverage_table
from meta.uncertainty.distribution_scores import crps

BINS = ScoreBins()
REAL = SHARED_DATA / "bvcc-predictions" / "val_half.csv"


def scored_systems(seed, n=600, systems=12):
    """Scores, labels and the systems that they are of."""
    rng = np.random.default_rng(seed)
    scores, labels = scores_and_labels(n, rng, span=(1.3, 4.7))
    system = np.array([f"s{k}" for k in rng.integers(systems, size=n)])
    return scores, labels, system


def test_promises_are_kept_on_new_rows_and_the_stack_beats_a_fixed_width():
    score, truth, systems = scored_systems(1, 3000)
    calibration = Calibration.fit(*scored_systems(0)[:2], BINS)
    found = calibration_report(
        calibration, score, truth, systems, {"flat": np.full((3000, 20), 0.05)}
    )
    table = found["coverage"]
    assert table["level"].tolist() == list(LEVELS)
    assert (table["share"] - table["level"]).abs().max() < 0.05
    assert (
        (table["share_low"] < table["share"]) & (table["share"] < table["share_high"])
    ).all()
    assert table["mean_width"].is_monotonic_increasing
    assert (table["worst_share"] <= table["share"]).all()
    assert (table["best_share"] >= table["share"]).all()
    assert table["below"].max() <= 4
    scores = found["scores"].set_index("model")
    assert list(scores.index) == ["stack", "gaussian 0.35", "flat"]
    assert (scores.loc["stack"] < scores.loc["gaussian 0.35"]).all()
    assert (scores.loc["gaussian 0.35"] < scores.loc["flat"]).all()
    assert (
        scores.loc["stack", "crps"]
        == crps(calibration.distribution(score), truth, BINS).mean()
    )
    assert len(found["pit"]) == 10
    assert sum(found["pit"]) == pytest.approx(3000)


def test_a_badly_predicted_system_is_named_and_gets_its_own_intervals_when_asked():
    def drawn(seed):
        score, truth, systems = scored_systems(seed, 2000)
        noise = np.random.default_rng(seed + 10).normal(0, 1, 2000)
        return (
            score,
            np.where(systems == "s7", np.clip(score + noise, 1, 5), truth),
            systems,
        )

    score, truth, systems = drawn(0)
    calibration = Calibration.fit(score, truth, BINS, systems)
    together, apart = (
        coverage_table(calibration, *drawn(1), by_group=own).set_index("level")
        for own in (False, True)
    )
    assert together.loc[0.9, "worst"] == "s7"
    assert together.loc[0.9, "below"] >= 1
    assert together.loc[0.9, "worst_share"] < 0.8 < apart.loc[0.9, "worst_share"]


def test_without_systems_nobody_is_worst():
    score, truth, _ = scored_systems(0)
    table = coverage_table(Calibration.fit(score, truth, BINS), score, truth)
    assert list(table) == [
        "level",
        "share",
        "share_low",
        "share_high",
        "mean_width",
        "n",
        "low_third",
        "middle_third",
        "high_third",
    ]
    with pytest.raises(UsageError, match="NaN or off the scale"):
        calibration_report(
            Calibration.fit(score, truth, BINS), score, np.full(600, np.nan)
        )


@pytest.mark.skipif(
    not REAL.exists(),
    reason="the table of real predictions is not beside this checkout",
)
def test_intervals_hold_real_ratings_of_new_systems():
    table = pd.read_csv(REAL)
    members, truth, systems = (
        table.iloc[:, 5:].to_numpy(),
        table["mos"].to_numpy(),
        table["system"].to_numpy(),
    )
    low, high, scores = np.empty(len(truth)), np.empty(len(truth)), np.empty(len(truth))
    rows = np.empty((len(truth), BINS.count))
    for train, test in _folds(systems):
        unseen = np.empty(len(train))
        for inner, held in _folds(systems[train]):
            unseen[held] = _ridge(members[train][inner], truth[train][inner]).predict(
                members[train][held]
            )
        calibration = Calibration.fit(unseen, truth[train], BINS)
        scores[test] = _ridge(members[train], truth[train]).predict(members[test])
        low[test], high[test] = calibration.interval(scores[test])
        rows[test] = calibration.distribution(scores[test])
    share = np.mean((low <= truth) & (truth <= high))
    assert stats.binomtest(round(share * len(truth)), len(truth), 0.9).pvalue > 0.001
    assert crps(rows, truth, BINS).mean() < 0.23


def _folds(systems):
    return GroupKFold(5, shuffle=True, random_state=0).split(systems, groups=systems)


def _ridge(members, truth):
    return RidgeCV(np.logspace(-2, 4, 25)).fit(members, truth)
