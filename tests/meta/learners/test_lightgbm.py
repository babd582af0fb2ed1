import numpy as np
import pytest
from builders import Predictor, labelled_features

from base_models.bins import ScoreBins
from meta.columns.feature_table import Layout
from meta.learners.lightgbm import MOST_TREES, LightGBM

BINS = ScoreBins()
LAYOUT = Layout(("b", "a"), (0.35, 0.35), BINS)
PREDICTORS = dict.fromkeys(LAYOUT.models, Predictor(noise=0.3))


def test_fewer_trees_are_grown_where_there_is_nothing_to_learn():
    X, y, _ = labelled_features(LAYOUT, 120, predictors=PREDICTORS)
    unrelated = np.random.default_rng(9).uniform(1, 5, 120)
    groups = np.arange(120) % 12
    learnt, noise = (
        LightGBM().fit(X, scores, LAYOUT, groups=groups).facts_
        for scores in (y, unrelated)
    )
    assert noise["trees"] < 30 < learnt["trees"] <= MOST_TREES
    assert learnt["held_out"] == 30


@pytest.mark.parametrize(("n", "groups"), [(12, None), (60, ["one"] * 60)])
def test_without_rows_to_hold_out_a_fixed_number_of_trees_is_grown(n, groups):
    X, y, _ = labelled_features(LAYOUT, n, predictors=PREDICTORS)
    facts = LightGBM().fit(X, y, LAYOUT, groups=groups).facts_
    assert (facts["trees"], facts["held_out"]) == (50, 0)


def test_splits_are_told_by_the_model_that_they_look_at():
    X, y, _ = labelled_features(LAYOUT, 120, predictors=PREDICTORS)
    X[:, :20] = X[0, :20]  # model b is constant
    splits = LightGBM().fit(X, y, LAYOUT).describe()["splits_on"]
    assert splits["b"] == 0 < splits["a"]


def test_a_row_given_twice_is_a_weight_of_two_bit_for_bit():
    X, y, _ = labelled_features(LAYOUT, 120, predictors=PREDICTORS)
    weighted = LightGBM().fit(X, y, LAYOUT, np.full(120, 2.0))
    repeated = LightGBM().fit(np.tile(X, (2, 1)), np.tile(y, 2), LAYOUT)
    np.testing.assert_array_equal(weighted.predict(X), repeated.predict(X))


def test_the_rows_that_choose_the_number_of_trees_count_by_their_weights():
    X, y, _ = labelled_features(LAYOUT, 240, predictors=PREDICTORS)
    groups = np.arange(240) % 24
    light = np.arange(240) % 48 >= 24  # half of each group
    weight = np.where(light, 1e-3, 1.0)
    reversed_labels = np.where(light, 6 - y, y)
    facts = LightGBM().fit(X, reversed_labels, LAYOUT, weight, groups).facts_
    assert facts["trees"] > 30  # were all rows to count alike, nothing could be gained
