"""P(A > B) is a probability of an order, whatever the two distributions."""

import numpy as np
import pytest
from scipy import stats

from base_models.bins import ScoreBins
from base_models.errors import UsageError
from meta.comparison.preference import preference


def distributions(n, bins=20, seed=0):
    return np.random.default_rng(seed).dirichlet(np.full(bins, 0.4), size=n)


def by_counting(first, second):
    """The slow version: every pair of bins, ties split."""
    total = 0.0
    for i, of_first in enumerate(first):
        for j, of_second in enumerate(second):
            share = 1.0 if i > j else 0.5 if i == j else 0.0
            total += of_first * of_second * share
    return total


def test_it_is_the_sum_over_all_pairs_of_bins():
    first, second = distributions(12), distributions(12, seed=1)
    slow = [by_counting(a, b) for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(preference(first, second), slow, atol=1e-12)


@pytest.mark.parametrize("factor", [1.0, 0.6, 1.7])
def test_the_two_directions_sum_to_one(factor):
    first, second = distributions(50), distributions(50, seed=1)
    there = preference(first, second, factor)
    back = preference(second, first, factor)
    np.testing.assert_allclose(there + back, 1, atol=1e-12)


@pytest.mark.parametrize("factor", [1.0, 0.6])
def test_a_clip_is_preferred_to_itself_in_half_of_the_cases(factor):
    first = distributions(20)
    np.testing.assert_allclose(preference(first, first, factor), 0.5)


def test_a_higher_distribution_is_never_less_preferred():
    bins = ScoreBins()
    rising = bins.soften(np.linspace(1, 5, 41), 0.4)
    against_one = preference(rising, bins.soften(3.0, 0.4))
    assert (np.diff(against_one) >= 0).all()
    assert against_one[20] == pytest.approx(0.5)


def test_gaussians_are_compared_as_thurstone_did():
    bins = ScoreBins(count=400)
    found = preference(bins.soften(3.2, 0.3), bins.soften(2.9, 0.4))
    assert found == pytest.approx(stats.norm.cdf(0.3 / np.hypot(0.3, 0.4)), abs=1e-3)


def test_a_factor_multiplies_the_probit():
    bins = ScoreBins(count=400)
    found = preference(bins.soften(3.2, 0.3), bins.soften(2.9, 0.4), 0.5)
    assert found == pytest.approx(stats.norm.cdf(0.15 / np.hypot(0.3, 0.4)), abs=1e-3)


def test_one_clip_is_compared_with_many_at_once():
    others = distributions(7, seed=2)
    one = distributions(1)[0]
    slow = [preference(one, other) for other in others]
    np.testing.assert_array_equal(preference(one, others), slow)


def test_a_point_is_certain_against_another_at_any_factor():
    low, high = np.eye(5)[1], np.eye(5)[3]
    assert preference(high, low, 0.5) == 1
    assert preference(low, high, 0.5) == 0


def test_what_is_not_known_has_no_preference():
    unknown = np.full((1, 20), np.nan)
    assert np.isnan(preference(unknown, distributions(1), 0.3)).all()


def test_other_numbers_of_bins_are_refused():
    with pytest.raises(UsageError, match=r"same bins; got shapes \(2, 20\) and"):
        preference(distributions(2), distributions(2, bins=10))


@pytest.mark.parametrize("factor", [0.0, np.nan])
def test_factors_are_positive(factor):
    with pytest.raises(UsageError, match=r"positive; got (0|nan)"):
        preference(distributions(2), distributions(2), factor)
