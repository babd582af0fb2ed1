"""Laws of intervals of few systems: they hold the truth, and have a width."""

import math

import numpy as np
import pytest
from benchmarks.metrics.correlated_points import LAWS, draw, truths

from base_models.metrics.bootstrap import bootstrap_weights, percentiles, resample
from base_models.metrics.expected_interval import expected_mse_interval
from base_models.metrics.intervals import (
    FEWEST_POINTS,
    Interval,
    expanded_percentiles,
    ktau_interval,
    lcc_interval,
    metric_interval,
    mse_freedom,
    mse_interval,
    srcc_interval,
)

CORRELATIONS = ("lcc", "srcc", "ktau")
N_TESTS = 120


def coverage(law, rho, n):
    """Share of tests whose interval holds the truth, by metric."""
    x, y = draw(np.random.default_rng(n), law, rho, tests=N_TESTS, n=n)
    weights = np.vstack([np.ones((1, n)), bootstrap_weights(n, 200, 1)])
    held = dict.fromkeys(CORRELATIONS, 0)
    for one, other in zip(x, y, strict=True):
        drawn = resample(one, other, weights)
        values = {metric: values[0] for metric, values in drawn.items()}
        for metric in CORRELATIONS:
            interval = metric_interval(
                metric, values, drawn[metric][1:], n_points=n, n_units=n, level=0.95
            )
            held[metric] += interval.low <= truths(law, rho)[metric] <= interval.high
    return {metric: count / N_TESTS for metric, count in held.items()}


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize(("rho", "n"), [(0.5, 8), (0.95, 5), (0.99, 8), (0.99, 15)])
def test_intervals_of_few_points_hold_the_truth(law, rho, n):
    # Of 120 tests .95 is .91 by chance at worst; percentiles hold .35 at the worst.
    assert min(coverage(law, rho, n).values()) >= 0.91


def test_percentiles_alone_hold_it_too_seldom():
    x, y = draw(np.random.default_rng(0), "normal", 0.99, tests=100, n=5)
    weights = bootstrap_weights(5, 200, 1)
    truth = truths("normal", 0.99)["srcc"]
    held = []
    for pair in zip(x, y, strict=True):
        low, high = percentiles(resample(*pair, weights)["srcc"], 0.95)
        held.append(low <= truth <= high)
    assert np.mean(held) < 0.5


@pytest.mark.parametrize("n", [5, 8, 30, 1000])
def test_points_in_perfect_order_have_an_interval_with_a_width(n):
    for interval in (
        srcc_interval(1.0, 1.0, n, level=0.95),
        ktau_interval(1.0, n, 0.95),
        lcc_interval(1.0, 1.0, n, level=0.95),
    ):
        assert -1 < interval.low < interval.high <= 1
        assert interval.low < 1


def test_opposite_correlations_have_opposite_intervals():
    for n in (5, 12, 40):
        for value in (0.3, 1.0):
            pairs = [
                (srcc_interval(s * value, s * value, n, level=0.9) for s in (1, -1)),
                (lcc_interval(s * value, s * value, n, level=0.9) for s in (1, -1)),
                (ktau_interval(s * value, n, 0.9) for s in (1, -1)),
            ]
            for one, opposite in pairs:
                assert (one.low, one.high) == pytest.approx(
                    (-opposite.high, -opposite.low)
                )


def test_more_points_and_less_coverage_give_narrower_intervals():
    def widths(function):
        return [function(n).half_width for n in (5, 8, 20, 100, 1000)]

    for function in (
        lambda n: srcc_interval(0.5, 0.35, n, level=0.95),
        lambda n: lcc_interval(0.5, 0.35, n, level=0.95),
        lambda n: ktau_interval(0.35, n, 0.95),
        lambda n: mse_interval(2.0, n, 0.95),
    ):
        assert widths(function) == sorted(widths(function), reverse=True)
    assert mse_interval(2.0, 9, 0.5).half_width < mse_interval(2.0, 9, 0.9).half_width


def test_the_mse_interval_scales_with_the_error():
    one, ten = mse_interval(1.0, 12, 0.95), mse_interval(10.0, 12, 0.95)
    assert (ten.low, ten.high) == pytest.approx((10 * one.low, 10 * one.high))
    assert one.low < 1 < one.high


def test_squared_errors_of_independent_clips_have_nearly_a_degree_of_freedom_each():
    rng = np.random.default_rng(0)
    weights = bootstrap_weights(40, 400, 0)

    def freedom(between):
        errors = rng.normal(0, 1, (40, 10)) + rng.normal(0, between, 40)[:, None]
        squares = (errors**2).mean(axis=1)
        return mse_freedom(squares.mean(), weights @ squares / 40, 40)

    independent = np.mean([freedom(0) for _ in range(20)])
    alike = np.mean([freedom(20) for _ in range(20)])
    assert 300 < independent < 480
    assert 40 <= alike < 60
    assert mse_freedom(1.0, np.ones(9), 8) == 8


def test_measured_intervals_are_no_narrower_than_was_to_be_expected():
    x, y = draw(np.random.default_rng(3), "normal", 0.8, tests=20, n=12)
    weights = np.vstack([np.ones((1, 12)), bootstrap_weights(12, 200, 1)])
    for pair in zip(x, y, strict=True):
        drawn = resample(*pair, weights)
        values = {metric: found[0] for metric, found in drawn.items()}
        options = {"n_points": 12, "n_units": 12, "level": 0.95}
        ours = metric_interval("mse", values, drawn["mse"][1:], **options)
        expected = expected_mse_interval(12)
        rounding = 1e-9
        assert ours.low <= expected.low * values["mse"] + rounding
        assert ours.high >= expected.high * values["mse"] - rounding
        ours = metric_interval("srcc", values, drawn["srcc"][1:], **options)
        bonett_wright = srcc_interval(values["srcc"], values["ktau"], 12, level=0.95)
        assert ours.low <= bonett_wright.low < bonett_wright.high <= ours.high


def test_one_system_that_is_far_off_widens_no_interval_beyond_reason():
    squares = np.array([1e-6, 1e-6, 1e-6, 1e-6, 0.5])
    drawn = bootstrap_weights(5, 500, 0) @ squares / 5
    values = {"mse": squares.mean()}
    options = {"n_points": 100, "n_units": 5, "level": 0.95}
    interval = metric_interval("mse", values, drawn, **options)
    widest = mse_interval(squares.mean(), 5, 0.95)
    assert interval.high <= widest.high
    assert interval.low <= np.min(drawn) * 1.01


def test_expanded_percentiles_are_the_percentiles_of_many_units():
    values = np.random.default_rng(0).normal(size=4000)
    plain = percentiles(values, 0.9)
    many = expanded_percentiles(values, 0.9, 1_000_000)
    assert (many.low, many.high) == pytest.approx(plain, abs=1e-3)
    few = expanded_percentiles(values, 0.9, 6)
    assert few.low < many.low < many.high < few.high
    # Of normal values the half width is that of t, times the root of n / (n - 1).
    assert few.half_width == pytest.approx(2.015 * math.sqrt(6 / 5), rel=0.1)


@pytest.mark.parametrize("n", range(FEWEST_POINTS))
def test_fewer_points_than_five_have_no_interval(n):
    values = {"mse": 0.5, "lcc": 0.5, "srcc": 0.5, "ktau": 0.4}
    drawn = np.linspace(0, 1, 50)
    for metric in values:
        for points in ((n, 50), (50, n)):
            interval = metric_interval(
                metric,
                values,
                drawn,
                n_points=points[0],
                n_units=points[1],
                level=0.95,
            )
            assert math.isnan(interval.low)
            assert math.isnan(interval.high)


def test_a_hull_holds_all_and_is_undefined_where_one_is():
    hull = Interval.hull(Interval(0.2, 0.5), Interval(0.1, 0.3))
    assert (hull.low, hull.high, hull.half_width) == (0.1, 0.5, 0.2)
    assert math.isnan(Interval.hull(hull, Interval.undefined()).low)
