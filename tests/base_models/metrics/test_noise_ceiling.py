"""Laws of the noise ceiling: what true scores reach, whoever rated what."""

import numpy as np
import pandas as pd
import pytest
from raters import DESIGNS, rated_systems

from base_models.clips.rating_tables import nameless_rater
from base_models.errors import UsageError
from base_models.metrics.bootstrap import bootstrap_weights, system_means
from base_models.metrics.evaluate import LEVELS, METRICS
from base_models.metrics.noise_ceiling import NO_RATER_IDS, noise_ceiling
from base_models.metrics.rater_halves import RatedClips, noise_variance

N_TESTS = 12


def listening_test(seed=0, systems=12, clips=15, raters=5, noise=0.8):
    """Unrounded ratings by the same raters, true scores and systems of the clips."""
    rng = np.random.default_rng(seed)
    system = np.repeat(np.arange(systems), clips)
    truth = 3 + rng.normal(0, 0.5, systems)[system] + rng.normal(0, 0.4, len(system))
    frame = pd.DataFrame(
        {"clip_id": [f"c{i:04d}" for i in range(len(system)) for _ in range(raters)]}
    )
    frame["rater_id"] = [f"r{j}" for _ in system for j in range(raters)]
    frame["mi"] = np.repeat(truth, raters) + rng.normal(0, noise, len(frame))
    return frame, truth, names_of(system)


def names_of(system):
    return {f"c{i:04d}": f"s{s}" for i, s in enumerate(system)}


def cells(table):
    return table.set_index(["level", "metric"])


def reached(ratings, truth, system):
    """What the true scores reach against the labels: metrics and floors of a test."""
    labels = ratings.groupby("clip_id")["mi"].mean().to_numpy()
    pairs = {
        "utterance": (labels, truth),
        "system": (system_means(labels, system), system_means(truth, system)),
    }
    found = {
        (level, metric): function(*pairs[level])
        for level in LEVELS
        for metric, function in METRICS.items()
    }
    for level, (label, score) in pairs.items():
        # Without what all labels have in common.
        found[level, "mse"] = np.var(label - score, ddof=1)
    return pd.Series(found)


# ---- whoever rated what


@pytest.mark.parametrize("design", DESIGNS)
def test_the_ceiling_is_what_the_true_scores_reach_in_every_design(design):
    differences = []
    for seed in range(N_TESTS):
        rng = np.random.default_rng([seed, 1])
        test = rated_systems(rng, design, clips=10)
        found = noise_ceiling(
            test[0], ["mi"], names_of(test[2]), n_splits=8, n_bootstrap=0
        )
        differences.append(cells(found)["ceiling"] - reached(*test))
    bias = pd.concat(differences, axis=1).mean(axis=1)
    # Tests as few as these are off by chance; the bench has many.
    over_panels = design == "nested"
    assert bias.loc["utterance"].abs().max() < 0.03
    assert bias.loc["system"].abs().max() < (0.09 if over_panels else 0.03)


def test_halving_clips_by_themselves_would_be_wrong_where_raters_are_shared():
    def found_and_true(design, level):
        rng = np.random.default_rng(3)
        ratings, truth, system = rated_systems(rng, design, systems=40, clips=8)
        of_clip = np.arange(len(ratings)).astype(str)
        halved = [
            noise_ceiling(frame, ["mi"], names_of(system), n_splits=4, n_bootstrap=0)
            for frame in (ratings, ratings.assign(rater_id=of_clip))
        ]
        return [
            *(cells(table).loc[(level, "srcc"), "ceiling"] for table in halved),
            reached(ratings, truth, system)[level, "srcc"],
        ]

    by_rater, by_clip, true = found_and_true("shared", "utterance")
    assert by_rater == pytest.approx(true, abs=0.02)
    assert by_clip < true - 0.06
    by_rater, by_clip, true = found_and_true("nested", "system")
    assert by_rater == pytest.approx(true, abs=0.06)
    assert by_clip > true + 0.05


def test_the_floor_of_systems_counts_the_habits_of_a_panel_per_system():
    rng = np.random.default_rng(0)
    ratings, _, system = rated_systems(rng, "nested", systems=60, clips=10)
    found = cells(noise_ceiling(ratings, ["mi"], names_of(system), n_bootstrap=0))
    of_a_panel = (0.65**2 + 0.7**2 / 10) / 6
    assert found.loc[("system", "mse"), "ceiling"] == pytest.approx(of_a_panel, rel=0.2)


def test_several_aspects_share_their_halves_and_are_found_as_alone():
    ratings, _, systems = listening_test()
    rng = np.random.default_rng(8)
    ratings["ta"] = ratings["mi"] + rng.normal(0, 0.5, len(ratings))
    ratings.loc[ratings.index[::9], "ta"] = np.nan
    both = noise_ceiling(ratings, ["mi", "ta"], systems, n_splits=3, n_bootstrap=20)
    for aspect in ("mi", "ta"):
        alone = noise_ceiling(ratings, [aspect], systems, n_splits=3, n_bootstrap=20)
        ours = both[both["aspect"] == aspect].reset_index(drop=True)
        pd.testing.assert_frame_equal(ours, alone)


def test_raters_without_names_have_no_floor_over_systems_and_are_taken_for_others():
    ratings, _, systems = listening_test()
    names = [nameless_rater(k % 5 + 1, k // 5) for k in range(len(ratings))]
    nameless = ratings.assign(rater_id=names)
    found = cells(noise_ceiling(nameless, ["mi"], systems, n_splits=3))
    floor = found.loc[("system", "mse")]
    assert floor[["ceiling", "low", "high"]].isna().all()
    assert floor["note"] == NO_RATER_IDS
    others = ratings.assign(rater_id=[f"r{k:04d}" for k in range(len(ratings))])
    expected = cells(noise_ceiling(others, ["mi"], systems, n_splits=3))
    rows = found.index != ("system", "mse")
    assert found["ceiling"][rows].to_numpy() == pytest.approx(
        expected["ceiling"][rows].to_numpy(), abs=0.02
    )


# ---- halves


def test_a_rater_is_in_one_half_on_every_clip_and_panels_are_halved_evenly():
    rng = np.random.default_rng(0)
    for design in ("shared", "nested"):
        ratings, _, system = rated_systems(rng, design, systems=4, clips=5)
        clips = RatedClips.of(ratings, "mi", names_of(system))
        in_first = clips._in_first_half(rng)
        sides = pd.Series(in_first).groupby(clips.rater).nunique()
        assert (sides == 1).all()
        assert (np.bincount(clips.clip, weights=in_first) == 3).all()


def test_no_half_of_a_clip_is_empty_whatever_panels_share():
    rng = np.random.default_rng(1)
    ratings, _, system = rated_systems(rng, "pool", raters=2, pool=7, clips=30)
    clips = RatedClips.of(ratings, "mi", names_of(system))
    for _ in range(5):
        in_first = clips._in_first_half(rng)
        assert (np.bincount(clips.clip, weights=in_first) == 1).all()


@pytest.mark.parametrize("design", DESIGNS)
def test_halves_of_a_clip_share_its_raters_without_rest(design):
    rng = np.random.default_rng(2)
    ratings, _, _ = rated_systems(rng, design, systems=3, clips=4, raters=5)
    clips = RatedClips.of(ratings, "mi", None)
    mean = ratings.groupby("clip_id")["mi"].mean().to_numpy()
    halving = clips.halve(rng)
    shares = (mean - halving.second) / (halving.first - halving.second)
    np.testing.assert_allclose(shares * 5, np.round(shares * 5), atol=1e-6)
    assert ((shares > 0.1) & (shares < 0.9)).all()


def test_split_half_agreement_is_that_of_a_loop_over_scipy():
    ratings, _, systems = listening_test(2, systems=6, clips=6, raters=4)
    table = noise_ceiling(
        ratings, ["mi"], {}.fromkeys(systems, "one"), n_splits=7, n_bootstrap=0, seed=3
    )
    found = cells(table).loc[("utterance", "lcc")]
    rng = np.random.default_rng([3, 1])
    clips = RatedClips.of(ratings, "mi", None)
    halvings = [clips.halve(rng) for _ in range(7)]
    r = np.mean([METRICS["lcc"](one.first, one.second) for one in halvings])
    # Of 36 clips the agreement is a little uncertain, which is allowed for.
    assert found["ceiling"] == pytest.approx(np.sqrt(2 * r / (1 + r)), abs=0.01)
    assert found["reliability"] == pytest.approx(found["ceiling"] ** 2)


def test_noise_between_clusters_is_the_mean_over_all_pairs():
    rng = np.random.default_rng(0)
    cluster = np.repeat(np.arange(5), [3, 1, 4, 2, 2])
    noise = rng.normal(0, 1, 12) + rng.normal(0, 2, 5)[cluster]
    weights = bootstrap_weights(5, 6, 0)
    for row, found in zip(
        weights.astype(int), noise_variance(noise, cluster, weights), strict=True
    ):
        drawn = np.repeat(np.arange(5), row)
        points = [(k, x) for k in drawn for x in noise[cluster == k]]
        pairs = [(x - y) ** 2 / 2 for k, x in points for m, y in points if k != m]
        assert found == pytest.approx(np.mean(pairs))
    shifted = noise_variance(noise + 7, cluster, weights)
    np.testing.assert_allclose(shifted, noise_variance(noise, cluster, weights))


# ---- intervals, and what is missing


def test_intervals_hold_the_ceiling_and_a_seed_repeats():
    ratings, _, systems = listening_test(4)
    table = noise_ceiling(ratings, ["mi"], systems, n_splits=5)
    assert (
        (table["low"] <= table["ceiling"]) & (table["ceiling"] <= table["high"])
    ).all()
    assert table.equals(noise_ceiling(ratings, ["mi"], systems, n_splits=5))
    assert (table["raters"] == 5).all()
    assert (table["note"] == "").all()
    assert table["n"].tolist() == [180] * 4 + [12] * 4


def test_raters_who_agree_reach_one_and_noise_reaches_little():
    ratings, truth, systems = listening_test(5)
    agreed = ratings.assign(mi=np.repeat(truth, 5))
    exact = noise_ceiling(agreed, ["mi"], systems, n_splits=2)
    np.testing.assert_allclose(
        exact["ceiling"], np.where(exact["metric"] == "mse", 0, 1), atol=1e-6
    )
    of_order = cells(exact).loc["system"].loc[["srcc", "ktau"]]
    assert (of_order["low"] < 0.999).all()
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
    pd.testing.assert_frame_equal(again, table)
    single = pd.concat(
        [ratings, pd.DataFrame({"clip_id": ["zz"], "rater_id": ["r0"], "mi": [5.0]})]
    )
    assert noise_ceiling(single, ["mi"], systems, n_splits=3).equals(table)


@pytest.mark.parametrize("n_systems", [1, 4])
def test_few_systems_have_no_interval_and_one_no_system_level(n_systems):
    ratings, _, systems = listening_test(systems=n_systems, clips=20)
    given = systems if n_systems > 1 else None
    found = cells(noise_ceiling(ratings, ["mi"], given, n_splits=2, n_bootstrap=20))
    of_systems = found.loc["system"]
    assert (of_systems["note"] == "too few systems").all()
    assert of_systems[["low", "high"]].isna().all(axis=None)
    assert of_systems["ceiling"].notna().all() == (n_systems > 1)
    assert found.loc["utterance", "low"].notna().all() == (n_systems == 1)


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
    with pytest.raises(UsageError, match="level of an interval"):
        noise_ceiling(ratings, ["mi"], level=95)
