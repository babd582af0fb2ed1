import numpy as np
import pandas as pd
import pytest

from base_models.errors import UsageError
from base_models.metrics.bootstrap import system_means
from base_models.metrics.evaluate import METRICS
from base_models.metrics.noise_ceiling import _Panel, noise_ceiling


def listening_test(seed=0, systems=12, clips=15, raters=5, noise=0.8):
    """Ratings (unrounded), the true score of each clip, and its system."""
    rng = np.random.default_rng(seed)
    system = np.repeat(np.arange(systems), clips)
    truth = 3 + rng.normal(0, 0.5, systems)[system] + rng.normal(0, 0.4, len(system))
    frame = pd.DataFrame(
        {"clip_id": [f"c{i:04d}" for i in range(len(system)) for _ in range(raters)]}
    )
    frame["rater_id"] = [f"r{j}" for _ in system for j in range(raters)]
    frame["mi"] = np.repeat(truth, raters) + rng.normal(0, noise, len(frame))
    return frame, truth, {f"c{i:04d}": f"s{s}" for i, s in enumerate(system)}


def cells(table):
    return table.set_index(["level", "metric"])


def test_the_ceiling_is_what_the_true_scores_reach():
    errors = []
    for seed in range(6):
        ratings, truth, systems = listening_test(seed, systems=25)
        found = cells(
            noise_ceiling(ratings, ["mi"], systems, n_splits=10, n_bootstrap=0)
        )
        labels = ratings.groupby("clip_id")["mi"].mean().to_numpy()
        code = np.arange(len(labels)) // 15
        pairs = {
            "utterance": (labels, truth),
            "system": (system_means(labels, code), system_means(truth, code)),
        }
        errors.append(
            [
                found.loc[(level, m), "ceiling"] - METRICS[m](*pairs[level])
                for level in pairs
                for m in METRICS
            ]
        )
    np.testing.assert_allclose(np.mean(errors, axis=0), 0, atol=0.03)


def test_reliability_is_the_agreement_of_two_full_panels():
    ratings, _, systems = listening_test(1, systems=40)
    other, _, _ = listening_test(1, systems=40)
    other["mi"] = np.repeat(
        listening_test(1, systems=40)[1], 5
    ) + np.random.default_rng(9).normal(0, 0.8, len(other))
    found = cells(noise_ceiling(ratings, ["mi"], systems, n_bootstrap=0))
    first, second = (
        frame.groupby("clip_id")["mi"].mean().to_numpy() for frame in (ratings, other)
    )
    for metric in ("lcc", "srcc", "ktau"):
        assert found.loc[("utterance", metric), "reliability"] == pytest.approx(
            METRICS[metric](first, second), abs=0.04
        )
        assert (
            found.loc[("utterance", metric), "reliability"]
            < found.loc[("utterance", metric), "ceiling"]
        )


def test_halves_of_a_clip_share_its_raters_without_rest():
    ratings, _, _ = listening_test(raters=5)
    panel, rng = _Panel.of(ratings, "mi", None), np.random.default_rng(0)
    mean = ratings.groupby("clip_id")["mi"].mean().to_numpy()
    for _ in range(5):
        first, second = panel.halves(rng)
        np.testing.assert_allclose((2 * first + 3 * second) / 5, mean, atol=1e-9)
    drawn = np.array([panel.halves(rng)[0][0] for _ in range(400)])
    scores = ratings["mi"].to_numpy()[:5]
    pairs = {round((scores[i] + scores[j]) / 2, 9) for i in range(5) for j in range(i)}
    assert {
        round(value, 9) for value in drawn
    } == pairs  # every pair of raters comes up


def test_split_half_agreement_is_that_of_a_loop_over_scipy():
    ratings, _, systems = listening_test(2, systems=6, clips=6, raters=4)
    found = cells(
        noise_ceiling(ratings, ["mi"], systems, n_splits=7, n_bootstrap=0, seed=3)
    )
    panel, rng = _Panel.of(ratings, "mi", systems), np.random.default_rng([3, 1])
    r = np.mean([METRICS["lcc"](*panel.halves(rng)) for _ in range(7)])
    assert found.loc[("utterance", "lcc"), "reliability"] == pytest.approx(
        2 * r / (1 + r)
    )
    assert found.loc[("utterance", "lcc"), "ceiling"] == pytest.approx(
        np.sqrt(2 * r / (1 + r))
    )


def test_the_floor_of_the_mse_is_the_variance_of_a_mean_of_raters():
    ratings, _, systems = listening_test(3)
    found = cells(noise_ceiling(ratings, ["mi"], systems, n_splits=1))
    sem = ratings.groupby("clip_id")["mi"].var() / 5
    assert found.loc[("utterance", "mse"), "ceiling"] == pytest.approx(sem.mean())
    assert found.loc[("system", "mse"), "ceiling"] == pytest.approx(sem.mean() / 15)
    assert np.isnan(found.loc[("utterance", "mse"), "reliability"])


def test_intervals_hold_the_ceiling_and_a_seed_repeats():
    ratings, _, systems = listening_test(4)
    table = noise_ceiling(ratings, ["mi"], systems, n_splits=5)
    assert (
        (table["low"] <= table["ceiling"]) & (table["ceiling"] <= table["high"])
    ).all()
    assert table.equals(noise_ceiling(ratings, ["mi"], systems, n_splits=5))
    assert (table["raters"] == 5).all()
    assert table["n"].tolist() == [180] * 4 + [12] * 4


def test_raters_who_agree_reach_one_and_noise_reaches_little():
    ratings, truth, systems = listening_test(5)
    exact = noise_ceiling(
        ratings.assign(mi=np.repeat(truth, 5)),
        ["mi"],
        systems,
        n_splits=2,
        n_bootstrap=0,
    )
    np.testing.assert_allclose(
        exact["ceiling"], np.where(exact["metric"] == "mse", 0, 1), atol=1e-6
    )
    ratings["mi"] = np.random.default_rng(0).normal(size=len(ratings))
    noise = cells(noise_ceiling(ratings, ["mi"], systems, n_bootstrap=0))
    assert noise.loc[("utterance", "lcc"), "reliability"] < 0.3


def test_uneven_panels_order_and_missing_ratings_are_no_matter():
    ratings, _, systems = listening_test(6, raters=4)
    ratings.loc[ratings.index[::7], "mi"] = np.nan
    table = noise_ceiling(ratings, ["mi"], systems, n_splits=3)
    assert table["ceiling"].notna().all()
    shuffled = ratings.sample(frac=1, random_state=0)
    again = noise_ceiling(shuffled, ["mi"], systems, n_splits=3)
    mse = table["metric"] == "mse"
    np.testing.assert_allclose(again["ceiling"][mse], table["ceiling"][mse])
    single = pd.concat(
        [ratings, pd.DataFrame({"clip_id": ["zz"], "rater_id": ["r0"], "mi": [5.0]})]
    )
    assert noise_ceiling(single, ["mi"], systems, n_splits=3).equals(table)


def test_without_systems_there_is_no_system_level():
    ratings, _, _ = listening_test()
    found = cells(noise_ceiling(ratings, ["mi"], n_splits=2, n_bootstrap=20))
    assert (
        found.loc["system"][["reliability", "ceiling", "low", "high"]]
        .isna()
        .all(axis=None)
    )
    assert found.loc["utterance", "low"].notna().all()


def test_what_tells_nothing_of_raters_is_refused():
    ratings, _, systems = listening_test(systems=2, clips=2)
    with pytest.raises(UsageError, match="lack the columns 'ta'"):
        noise_ceiling(ratings, ["ta"])
    with pytest.raises(UsageError, match="Fewer than 2 clips have 2 ratings of 'mi'"):
        noise_ceiling(ratings[ratings["rater_id"] == "r0"], ["mi"])
    with pytest.raises(UsageError, match="'c0000' are rated twice by one rater"):
        noise_ceiling(pd.concat([ratings, ratings[:1]]), ["mi"])
    with pytest.raises(UsageError, match="'c0003' have no system"):
        noise_ceiling(
            ratings,
            ["mi"],
            {clip: system for clip, system in systems.items() if clip != "c0003"},
        )
    with pytest.raises(UsageError, match="is infinite"):
        noise_ceiling(ratings.assign(mi=np.inf), ["mi"])
    with pytest.raises(UsageError, match="at least 1 split"):
        noise_ceiling(ratings, ["mi"], n_splits=0)
