import numpy as np
import pytest
from builders import feature_matrix

from base_models.bins import ScoreBins
from meta.columns.feature_table import Layout
from meta.columns.missing_predictions import (
    fill_missing,
    present_models,
    present_weights,
)

BINS = ScoreBins()
LAYOUT = Layout(("a", "b", "c"), (0.35, 0.35, 0.35), BINS)


def random_features(n=6):
    scores = np.random.default_rng(0).uniform(1, 5, (3, n))
    return feature_matrix(scores, LAYOUT.sigmas)


def test_a_missing_model_is_filled_with_the_mean_of_the_others():
    X = random_features()
    gaps = X.copy()
    gaps[2, 20:40] = np.nan
    given = gaps.copy()
    filled = LAYOUT.blocks(fill_missing(LAYOUT, gaps, "pool"))
    np.testing.assert_allclose(filled[2, 1], (X[2, :20] + X[2, 40:]) / 2)
    np.testing.assert_allclose(filled.sum(axis=2), 1, atol=1e-12)
    np.testing.assert_array_equal(
        np.delete(filled, 2, axis=0), np.delete(LAYOUT.blocks(X), 2, axis=0)
    )
    np.testing.assert_array_equal(gaps, given)  # the caller's array stays


@pytest.mark.parametrize("missing", ["refuse", "pool"])
def test_features_without_gaps_are_left_alone(missing):
    X = random_features()
    assert fill_missing(LAYOUT, X, missing) is X


def test_a_block_is_missing_when_all_of_it_is_nan():
    X = random_features()
    X[1, 40:], X[3, 5] = np.nan, np.nan
    np.testing.assert_array_equal(np.argwhere(~present_models(LAYOUT, X)), [[1, 2]])


def test_weights_are_shared_out_among_the_models_that_are_there():
    present = np.array([[1, 1, 1], [1, 0, 1], [0, 0, 1]], dtype=bool)
    expected = [
        [0.5, 0.5, 0],
        [1, 0, 0],
        [0, 0, 1],
    ]  # the last has no weight of its own
    np.testing.assert_allclose(
        present_weights(np.array([0.5, 0.5, 0]), present), expected
    )
