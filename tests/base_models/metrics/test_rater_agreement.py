"""Agreement of raters: alpha as its definition has it, pair by pair."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from base_models.metrics.rater_agreement import rater_agreement


def table(ratings):
    rows = [(clip, rater, float(value)) for (clip, rater), value in ratings.items()]
    return pd.DataFrame(rows, columns=["clip_id", "rater_id", "mos"])


def slow_alpha(ratings):
    by_clip = {}
    for (clip, _), value in ratings.items():
        by_clip.setdefault(clip, []).append(value)
    units = [values for values in by_clip.values() if len(values) > 1]
    pooled = [value for values in units for value in values]
    n = len(pooled)
    within = sum(
        (a - b) ** 2 / (len(values) - 1)
        for values in units
        for a, b in itertools.permutations(values, 2)
    )
    among = sum((a - b) ** 2 for a, b in itertools.permutations(pooled, 2))
    return 1 - (within / n) / (among / (n * (n - 1)))


RATINGS = st.dictionaries(
    st.tuples(st.sampled_from("abcd"), st.sampled_from("RSTU")),
    st.integers(1, 5),
    min_size=4,
)


@given(ratings=RATINGS)
def test_alpha_is_that_of_all_pairs(ratings):
    found = rater_agreement(table(ratings), "mos", (1, 5), n_bootstrap=20)
    counts = pd.Series([clip for clip, _ in ratings]).value_counts()
    paired = [v for (clip, _), v in ratings.items() if counts[clip] > 1]
    if len(set(paired)) < 2:
        assert np.isnan(found.alpha)
    else:
        assert found.alpha == pytest.approx(slow_alpha(ratings))


def test_raters_who_agree_have_alpha_one_and_chance_about_zero():
    random = np.random.default_rng(0)
    values = random.integers(1, 6, 200)
    same = {(f"c{k}", r): value for k, value in enumerate(values) for r in "RST"}
    assert rater_agreement(table(same), "mos", (1, 5)).alpha == pytest.approx(1)
    chance = {key: int(random.integers(1, 6)) for key in same}
    found = rater_agreement(table(chance), "mos", (1, 5))
    assert found.low < 0 < found.high
    assert found.high - found.low < 0.25


def test_a_rater_is_described_beside_the_others():
    ratings = {(f"c{k}", r): 1 + k % 4 for k in range(8) for r in "RS"}
    ratings |= {(f"c{k}", "T"): 5 for k in range(8)}
    found = rater_agreement(table(ratings), "mos", (1, 5))
    assert found.constant == ["T"]
    raters = found.raters
    assert raters.loc["T", "at_ends"] == 1
    assert raters.loc["T", "offset"] == pytest.approx(5 - 2.5)
    assert np.isnan(raters.loc["T", "correlation"])
    # The mean of S and T moves with S, whom R always agrees with.
    assert raters.loc["R", "correlation"] == pytest.approx(1)
    assert found.at_high == pytest.approx(8 / 24)
    assert found.to_json()["raters"][2]["correlation"] is None


def test_of_one_rating_a_clip_nothing_is_known():
    found = rater_agreement(table({("a", "R"): 3, ("b", "R"): 4}), "mos", (1, 5))
    assert np.isnan(found.alpha)
    assert found.to_json()["alpha"] is None


def test_raters_without_names_are_not_told_apart():
    frame = table({("a", "R"): 3, ("a", "S"): 4})
    frame["rater_id"] = ["nameless rater 1 of row 1", "nameless rater 2 of row 1"]
    found = rater_agreement(frame, "mos", (1, 5))
    assert found.raters.empty
    assert found.constant == []
