"""What is said of several systems, and how often it is false."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from compared_systems import BINS, NO_RATINGS, ScoredWorld, held, table_of

from base_models.bins import ScoreBins
from base_models.errors import UsageError
from meta.comparison.preference import preference
from meta.comparison.systems.compare_systems import ScoredSystems, compare_systems
from meta.comparison.systems.mean_scores import Part
from meta.comparison.systems.ranks import ranks
from meta.comparison.systems.sample_size import clips_needed, smallest_shown
from meta.comparison.systems.system_comparison import (
    DIFFERENCE_COLUMNS,
    SYSTEM_COLUMNS,
)
from meta.powered_means.powered_means import powered_means
from meta.powered_means.rated_sample import RatedSample
from meta.powered_means.system_estimates import Estimate
from meta.uncertainty.system_error import SystemLevelError

ERROR = SystemLevelError(variance=0.04, freedom=20.0, bias=0.1, n_systems=15)


def scored(clips, ratings=NO_RATINGS, **options):
    sample = RatedSample.from_tables(clips, ratings, "mos")
    return ScoredSystems(sample, options.pop("bins", ScoreBins()), **options)


def compared(clips, **options):
    return compare_systems({"mos": scored(clips, **options)})


def values(systems=3, prompts=20, gap=0.4, seed=0):
    rng = np.random.default_rng(seed)
    of_prompts = 0.3 * rng.normal(size=prompts)
    own = 0.2 * rng.normal(size=(systems, prompts))
    return 2.5 + gap * np.arange(systems)[:, None] + of_prompts + own


# ---- with known truth


@pytest.mark.parametrize("shared", [True, False])
def test_true_differences_lie_in_intervals_and_claims_are_rarely_false(shared):
    rng = np.random.default_rng(0)
    world = ScoredWorld(systems=4, shared=shared)
    inside, false, alone = [], [], []
    for _ in range(120):
        systems, truth = world.draw(rng)
        held_by, claimed, _ = held(compare_systems({"mos": systems}), truth)
        inside.append(held_by.mean())
        # All true means are equal: every claim is false.
        false.append(claimed.any())
        of_clips = compare_systems({"mos": replace(systems, error=None)})
        alone.append(held(of_clips, truth)[0].mean())
    assert np.mean(inside) > 0.9
    assert np.mean(false) < 0.1
    # What the intervals would hold that took the stack for right about systems.
    assert np.mean(alone) < 0.85


# ---- tables


def test_tables_have_their_columns_and_all_pairs():
    found = compared(table_of(values(4)))
    assert tuple(found.systems.columns) == SYSTEM_COLUMNS
    assert tuple(found.differences.columns) == DIFFERENCE_COLUMNS
    assert len(found.differences) == 6
    assert found.systems["system_id"].tolist() == ["s03", "s02", "s01", "s00"]
    assert found.systems["rank"].tolist() == [1, 2, 3, 4]
    means = table_of(values(4)).groupby("system_id")["prediction"].mean()
    expected = means[found.systems["system_id"]].to_numpy()
    np.testing.assert_allclose(found.systems["mean"], expected)


def test_pairs_are_in_the_order_in_which_systems_appear():
    clips = table_of(values(2))
    turned = pd.concat([clips[20:], clips[:20]])
    row = compared(turned).differences.iloc[0]
    other = compared(clips).differences.iloc[0]
    assert (row["a"], row["b"]) == ("s01", "s00")
    assert row["difference"] == pytest.approx(-other["difference"])
    assert row["preferred"] == pytest.approx(1 - other["preferred"])
    assert row["p"] == pytest.approx(other["p"])


def test_the_error_of_the_stack_counts_twice_in_a_difference_of_two_systems():
    clips = table_of(values(2))
    alone = compared(clips).differences.iloc[0]
    full = compared(clips, error=ERROR).differences.iloc[0]
    assert alone["error_systems"] == 0
    assert full["error_systems"] == pytest.approx(np.sqrt(2 * 0.04))
    assert full["error_clips"] == pytest.approx(alone["error_clips"])
    assert full["high"] - full["low"] > alone["high"] - alone["low"]


def test_p_values_are_adjusted_over_all_aspects():
    one = scored(table_of(values(3)))
    both = compare_systems({"mi": one, "ta": one})
    alone = compare_systems({"mi": one})
    assert len(both.differences) == 6
    p = both.differences["p"].to_numpy()
    assert both.differences["p_holm"].min() == pytest.approx(min(6 * p.min(), 1))
    assert alone.differences["p_holm"].min() == pytest.approx(min(3 * p.min(), 1))
    assert " in mi" in both.differences["said"][0]
    assert " in mi" not in alone.differences["said"][0]


def test_no_interval_leaves_the_scale():
    found = compared(table_of(np.clip(values(2, 3, gap=2.4), 1, 5)), error=ERROR)
    assert found.systems["high"].max() <= 5
    assert found.systems["low"].min() >= 1
    assert found.differences["high"].max() <= 4


# ---- preferences


def test_the_share_of_preferred_clips_is_the_mean_of_the_pair_predictions():
    bins = ScoreBins()
    scores = values(2, 7)
    clips = table_of(scores)
    around = bins.gaussians(clips["prediction"].to_numpy(), 0.5)
    row = compared(clips, distributions=around).differences.iloc[0]
    by_hand = [preference(around[7 + k], around[k]) for k in range(7)]
    assert row["preferred"] == pytest.approx(np.mean(by_hand))
    assert row["preferred_low"] < row["preferred"] < row["preferred_high"]
    assert (row["preferred_low"] > 0.5) == (row["low"] > 0)


def test_without_shared_prompts_it_is_that_of_all_pairs():
    bins = ScoreBins()
    clips = table_of(values(2, 5), shared=False)
    around = bins.gaussians(clips["prediction"].to_numpy(), 0.5)
    row = compared(clips, distributions=around).differences.iloc[0]
    by_hand = [preference(b, a) for b in around[5:] for a in around[:5]]
    assert row["preferred"] == pytest.approx(np.mean(by_hand))
    assert "of two clips, one of each" in row["said"] or "no diff" in row["said"]


def test_of_scores_alone_the_higher_is_preferred_and_equal_ones_count_half():
    scores = np.array([[2.0, 3.0, 3.0, 4.0], [3.0, 3.0, 2.0, 4.5]])
    row = compared(table_of(scores)).differences.iloc[0]
    assert row["preferred"] == pytest.approx((1 + 0.5 + 0 + 1) / 4)
    unpaired = compared(table_of(scores, shared=False)).differences.iloc[0]
    wins = np.mean([(b > a) + (b == a) / 2 for a in scores[0] for b in scores[1]])
    assert unpaired["preferred"] == pytest.approx(wins)


# ---- with ratings


def rated(clips, step=3, seed=5):
    some = clips.iloc[::step]
    noise = np.random.default_rng(seed).normal(0, 0.3, len(some))
    return pd.DataFrame({"clip_id": some["clip_id"], "mos": some["prediction"] + noise})


def test_rated_systems_have_powered_means_and_differences():
    clips = table_of(values(3, 24))
    ratings = rated(clips)
    found = compared(clips, ratings=ratings, error=ERROR)
    sample = RatedSample.from_tables(clips, ratings, "mos")
    expected = powered_means(sample)
    means = expected.means.set_index("system")["powered"]
    for row in found.systems.to_dict("records"):
        assert row["mean"] == pytest.approx(means[row["system_id"]])
        assert row["n_rated"] == 8
    first = expected.differences.iloc[0]
    row = found.differences.iloc[0]
    assert row["difference"] == pytest.approx(-first["powered"])
    assert row["error_systems"] == 0


def test_a_rated_system_and_an_unrated_one_have_one_error_of_the_stack():
    clips = table_of(values(2, 24))
    ratings = rated(clips)
    ratings = ratings[ratings["clip_id"].str.startswith("s00")]
    row = compared(clips, ratings=ratings, error=ERROR).differences.iloc[0]
    assert row["error_systems"] == pytest.approx(0.2)
    assert np.isfinite(row["low"])


# ---- few clips


def test_one_clip_each_gives_a_difference_and_no_interval():
    found = compared(table_of(values(2, 1)), error=ERROR)
    row = found.differences.iloc[0]
    assert np.isnan([row["low"], row["p"], row["p_holm"]]).all()
    assert re.search(
        r"\+0\.\d\d, without an interval: s00 and s01 have one", row["said"]
    )
    assert found.systems["rank_high"].tolist() == [2, 2]


def test_a_constant_difference_claims_nothing_without_the_error_of_the_stack():
    base = values(1, 6)
    row = compared(table_of(np.vstack([base, base + 0.2]))).differences.iloc[0]
    assert "the difference is the same in every prompt" in row["said"]


def test_equal_scores_of_all_clips_are_handled():
    found = compared(table_of(np.full((3, 4), 3.0)))
    assert found.systems["rank"].tolist() == [1, 1, 1]
    assert (found.differences["difference"] == 0).all()


def test_two_prompts_are_too_few_to_show_what_the_scale_has_room_for():
    scores = np.array([[2.0, 3.0], [2.1, 4.4]])
    row = compared(table_of(scores)).differences.iloc[0]
    assert "could show no difference that the scale has room for" in row["said"]


def test_one_system_has_a_mean_and_nothing_to_compare():
    found = compared(table_of(values(1)))
    assert len(found.differences) == 0
    assert tuple(found.differences.columns) == DIFFERENCE_COLUMNS
    assert "one system" in found.notes[0]


def test_fifty_systems_have_all_their_pairs():
    found = compared(table_of(values(50, 6, gap=0.01)), bins=BINS)
    assert len(found.differences) == 1225
    assert found.systems["rank_low"].min() == 1


def test_a_level_is_a_share():
    with pytest.raises(UsageError, match="between 0 and 1; got 95"):
        compare_systems({"mos": scored(table_of(values(2)))}, level=95)


# ---- ranks, sample size, words


def test_ranks_stay_between_those_shown_to_be_better_and_worse():
    rows = [("a", "b", 1.0, 0.01), ("a", "c", 1.2, 0.2), ("b", "c", 0.2, 0.9)]
    differences = pd.DataFrame(rows, columns=["a", "b", "difference", "p_holm"])
    found = ranks(np.array([1.0, 2.0, 2.2]), ["a", "b", "c"], differences, 0.95)
    assert found["rank"].tolist() == [3, 2, 1]
    assert found["rank_low"].tolist() == [2, 1, 1]
    assert found["rank_high"].tolist() == [3, 2, 3]


def test_the_smallest_difference_is_shown_four_times_out_of_five():
    rng = np.random.default_rng(0)
    estimate = Estimate(0.0, deviation=0.1, freedom=30.0)
    true = smallest_shown(estimate, 1, 0.95)
    shown = []
    for _ in range(4000):
        deviation = 0.1 * np.sqrt(rng.chisquare(30) / 30)
        drawn = Estimate(true + 0.1 * rng.normal(), deviation, 30.0)
        shown.append(drawn.p_value <= 0.05)
    assert np.mean(shown) == pytest.approx(0.8, abs=0.02)


def test_so_many_more_clips_would_show_the_difference_seen():
    more = clips_needed(0.2, Part(0.01, 19), 0.001, size=20, counts=(3, 0.95))
    with_them = Estimate(0.2, np.sqrt(0.01 * 20 / (20 + more) + 0.001), np.inf)
    assert smallest_shown(with_them, 3, 0.95) == pytest.approx(0.2, rel=0.01)
    assert clips_needed(0.2, Part(0.01), 0.05, size=20, counts=(3, 0.95)) == np.inf
    assert np.isnan(clips_needed(0.2, Part(np.nan), 0.0, size=1, counts=(1, 0.95)))


def test_a_sentence_names_the_better_system_first():
    clips = table_of(values(2, gap=-0.8))
    said = compared(clips).differences["said"][0]
    pattern = (
        r"s00 is better than s01 by 0\.\d\d \[0\.\d\d, \d\.\d\d\] \(p < 0\.001\); of "
        r"two clips of one prompt s00's is preferred in \d+ % \[\d+, \d+\]"
    )
    assert re.fullmatch(pattern, said)


def test_a_sentence_without_a_claim_says_what_it_would_take():
    said = compared(table_of(values(2, gap=0.02))).differences["said"][0]
    assert said.startswith("no difference shown between s00 and s01: ")
    assert re.search(r": s0[01] is ahead by 0\.\d\d \[-0\.\d\d, 0\.\d\d\] \(", said)
    assert re.search(r"a true difference of [\d.]+ would be shown four times in", said)
    assert re.search(r"takes about \d+ more prompts of each", said)
    known = compared(table_of(values(2, gap=0.02)), error=ERROR).differences["said"][0]
    assert "more prompts would not show it, as the stack itself errs" in known


def test_notes_say_what_intervals_count():
    clips = table_of(values(2))
    assert "clips and prompts alone" in " ".join(compared(clips).notes)
    known = " ".join(compared(clips, error=ERROR).notes)
    assert "about 0.2 points in their means (a standard deviation), learnt" in known
