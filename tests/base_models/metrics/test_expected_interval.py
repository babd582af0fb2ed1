"""Intervals that can be said before a test is run, from its size alone."""

import numpy as np
import pytest
from scipy import stats

from base_models.errors import UsageError
from base_models.metrics.expected_interval import (
    expected_mse_interval,
    expected_srcc_interval,
)
from base_models.metrics.intervals import FEWEST_POINTS


def test_the_srcc_interval_holds_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    n = 20
    pearson = 0.7
    # Of normal scores the rank correlation follows from the other.
    truth = 6 / np.pi * np.arcsin(pearson / 2)
    x = rng.normal(size=(400, n))
    y = pearson * x + np.sqrt(1 - pearson**2) * rng.normal(size=(400, n))
    measured = [stats.spearmanr(*pair).statistic for pair in zip(x, y, strict=True)]
    intervals = [expected_srcc_interval(one, n) for one in measured]
    held = np.mean([one.low <= truth <= one.high for one in intervals])
    assert 0.93 <= held <= 0.99


def test_the_mse_interval_holds_the_truth_as_often_as_it_says():
    errors = np.random.default_rng(0).normal(size=(2000, 15))
    interval = expected_mse_interval(15)
    measured = (errors**2).mean(axis=1)
    held = (measured * interval.low <= 1) & (measured * interval.high >= 1)
    assert 0.94 <= held.mean() <= 0.96


def test_more_points_give_narrower_intervals():
    widths = [expected_srcc_interval(0.5, n).half_width for n in (5, 8, 20, 100, 1000)]
    assert widths == sorted(widths, reverse=True)
    widths = [expected_mse_interval(n).half_width for n in (5, 8, 20, 100, 1000)]
    assert widths == sorted(widths, reverse=True)


def test_below_five_points_there_is_no_interval():
    assert FEWEST_POINTS == 5
    assert expected_srcc_interval(0.8, 4) is None
    assert expected_srcc_interval(0.8, 5) is not None
    assert expected_mse_interval(4) is None


def test_a_perfect_order_has_an_interval_with_a_width():
    interval = expected_srcc_interval(1.0, 8)
    assert 0.8 < interval.low < interval.high < 1
    opposite = expected_srcc_interval(-1.0, 8)
    assert (opposite.low, opposite.high) == (-interval.high, -interval.low)


def test_what_is_no_correlation_or_no_level_is_refused():
    with pytest.raises(UsageError, match=r"lies between -1 and 1; got 1\.2"):
        expected_srcc_interval(1.2, 20)
    with pytest.raises(UsageError, match="level of an interval"):
        expected_srcc_interval(0.5, 20, level=1)
    with pytest.raises(UsageError, match="level of an interval"):
        expected_mse_interval(20, level=95)
