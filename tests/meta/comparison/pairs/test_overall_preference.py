"""Aspects are put together as their errors allow, and chances of the best sum to 1."""

import numpy as np
import pytest
from scipy import stats

from meta.comparison.pairs.overall_preference import (
    chances_of_best,
    error_correlations,
    overall_preference,
)

ONES = np.ones((2, 2))


def test_two_equal_aspects_with_equal_errors_say_what_one_says():
    preferences = np.array([[0.8, 0.8], [0.3, 0.3]])
    spreads = np.full((2, 2), 0.5)
    found = overall_preference(preferences, spreads, np.ones(2), ONES)
    np.testing.assert_allclose(found, [0.8, 0.3])


def test_two_equal_aspects_with_independent_errors_say_it_more_surely():
    found = overall_preference(
        np.array([[0.8, 0.8]]), np.full((1, 2), 0.5), np.ones(2), np.eye(2)
    )
    expected = stats.norm.cdf(np.sqrt(2) * stats.norm.ppf(0.8))
    assert found[0] == pytest.approx(expected)


def test_an_aspect_that_is_not_known_does_not_count():
    preferences = np.array([[0.8, np.nan], [np.nan, np.nan]])
    found = overall_preference(preferences, np.full((2, 2), 0.5), np.ones(2), ONES)
    assert found[0] == pytest.approx(0.8)
    assert np.isnan(found[1])


def test_opposite_aspects_of_equal_weight_leave_no_preference():
    found = overall_preference(
        np.array([[0.8, 0.2]]), np.full((1, 2), 0.5), np.ones(2), ONES
    )
    assert found[0] == pytest.approx(0.5)


def test_correlations_are_of_shared_clips_and_1_where_nothing_tells():
    rng = np.random.default_rng(0)
    errors = rng.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], 500)
    first = {f"c{k}": error[0] for k, error in enumerate(errors)}
    second = {f"c{k}": error[1] for k, error in enumerate(errors)}
    found = error_correlations([first, second, None])
    assert found[0, 1] == pytest.approx(0.6, abs=0.08)
    assert found[0, 2] == found[2, 1] == 1
    few = dict(list(second.items())[:5])
    assert error_correlations([first, few])[0, 1] == 1


def test_chances_of_two_are_thurstones():
    chances = chances_of_best(np.array([3.4, 3.0]), np.array([0.3, 0.5]))
    expected = stats.norm.cdf(0.4 / np.hypot(0.3, 0.5))
    np.testing.assert_allclose(chances, [expected, 1 - expected], atol=1e-3)


@pytest.mark.parametrize("factor", [1.0, 0.3])
def test_chances_are_how_often_each_is_best(factor):
    rng = np.random.default_rng(0)
    means = rng.normal(3, 0.4, 6)
    spreads = rng.uniform(0.1, 0.8, 6)
    centre = means.mean() + factor * (means - means.mean())
    drawn = rng.normal(centre, spreads, (200_000, 6))
    often = np.bincount(drawn.argmax(axis=1), minlength=6) / len(drawn)
    found = chances_of_best(means, spreads, factor)
    np.testing.assert_allclose(found, often, atol=0.005)
    assert found.sum() == pytest.approx(1)


def test_one_candidate_is_the_best_and_equal_ones_share():
    assert chances_of_best(np.array([3.0]), np.array([0.4])).tolist() == [1.0]
    equal = chances_of_best(np.full(4, 3.0), np.zeros(4))
    np.testing.assert_allclose(equal, 0.25)
