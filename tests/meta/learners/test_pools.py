import numpy as np
import pytest
from builders import feature_matrix

from base_models.bins import ScoreBins
from meta.columns.feature_table import Layout
from meta.learners import LEARNERS
from meta.learners.pools import LogPool, log_pool, log_pool_sigma
from meta.learners.weighted_scores import Mean

BINS = ScoreBins()
SIGMAS = (0.25, 0.35, 0.5)
LAYOUT = Layout(("a", "b", "c"), SIGMAS, BINS)


def spread_scores(n=200, spread=2.0, seed=0):
    """Scores of three models that differ, and the features made of them."""
    rng = np.random.default_rng(seed)
    middle = rng.uniform(1, 5, (n, 1))
    apart = rng.uniform(-spread / 2, spread / 2, (n, 3))
    scores = np.clip(middle + apart, 1, 5)
    return scores, feature_matrix(scores.T, SIGMAS)


def test_a_log_pool_of_softened_scores_is_a_softened_score():
    scores, X = spread_scores()
    weights = np.array([0.2, 0.5, 0.3])
    precision = weights / np.square(SIGMAS)
    mean, sigma = scores @ precision / precision.sum(), log_pool_sigma(SIGMAS, weights)
    np.testing.assert_allclose(
        log_pool(LAYOUT.blocks(X), weights), BINS.soften(mean, sigma), atol=1e-9
    )


def test_the_scores_of_pools_do_not_lean_inwards():
    X = feature_matrix([[1.0, 5.0]] * 3, SIGMAS)
    for pool in (Mean(), LogPool()):
        np.testing.assert_allclose(
            pool.fit(X, [1, 5], LAYOUT).predict(X), [1, 5], atol=1e-9
        )


def test_a_linear_pool_with_equal_weights_is_the_mean_under_another_name():
    assert LEARNERS["linear_pool"] is LEARNERS["mean"] is Mean
    scores, X = spread_scores()
    fitted = LEARNERS["linear_pool"]().fit(X, scores[:, 0], LAYOUT)
    stored = {"weights": np.full(3, 1 / 3)}
    again = LEARNERS["linear_pool"].from_arrays(stored, LAYOUT, {"n": 200}, {})
    np.testing.assert_array_equal(again.predict(X), fitted.predict(X))
    np.testing.assert_allclose(fitted.predict(X), scores.mean(axis=1), atol=1e-6)


def test_a_log_pool_s_score_is_the_precision_weighted_mean():
    scores, X = spread_scores()
    precision = 1 / np.square(SIGMAS)
    predicted = LogPool().fit(X, scores[:, 0], LAYOUT).predict(X)
    np.testing.assert_allclose(
        predicted, scores @ precision / precision.sum(), atol=1e-6
    )


def test_a_log_pool_keeps_what_all_models_hold_possible():
    wide, narrow = np.full(20, 0.05), np.r_[np.zeros(10), np.full(10, 0.1)]
    both = np.stack([wide, narrow])[None]
    half = np.array([0.5, 0.5])
    np.testing.assert_allclose(log_pool(both, half)[0], narrow, atol=1e-13)


def test_models_that_exclude_each_other_still_have_a_log_pool():
    pooled = log_pool(np.eye(20)[None, [3, 9]], np.array([0.5, 0.5]))
    np.testing.assert_allclose(pooled[0, [3, 9]], 0.5)


def test_a_model_of_weight_0_says_nothing():
    _, X = spread_scores(20)
    blocks = LAYOUT.blocks(X)
    np.testing.assert_allclose(
        log_pool(blocks, np.array([0, 1, 0])), blocks[:, 1], atol=1e-12
    )


def test_weights_may_differ_from_row_to_row():
    _, X = spread_scores(3)
    blocks, weights = LAYOUT.blocks(X), np.eye(3)
    np.testing.assert_allclose(
        log_pool(blocks, weights), blocks[np.arange(3), np.arange(3)], atol=1e-12
    )


def test_a_log_pool_with_an_unsoftened_model_is_decoded_by_its_plain_mean():
    assert log_pool_sigma([0.25, 0.0], [0.5, 0.5]) == 0
    assert log_pool_sigma([0.25, 0.0], [1.0, 0.0]) == pytest.approx(0.25)
