"""A learning curve is followed a little, and its interval says how little is known."""

import numpy as np
import pytest

from base_models.metrics.learning_curve import LARGEST_REACH, CurveDraws

COUNTS = np.array([24, 48, 72, 96])


def drawn(curve, *, metric="mse", noise=0.0, draws=20, counts=COUNTS, seed=0):
    """Draws about a curve, each with an offset of its own clips."""
    rng = np.random.default_rng(seed)
    values = curve(counts.astype(float)) + rng.normal(0, noise, (draws, len(counts)))
    values += rng.normal(0, 0.1, (draws, 1))
    of_draws = np.tile(counts, (draws, 1))
    return CurveDraws(metric, of_draws, values, judged=32, learnt=96)


@pytest.mark.parametrize(
    "curve",
    [
        lambda n: 0.3 + 5 / n,
        lambda n: 0.3 + 2 / np.sqrt(n),
        lambda n: 1 - 0.1 * np.log(n),
    ],
)
def test_the_interval_holds_the_gain_of_curves_of_every_kind(curve):
    forecast = drawn(curve).forecast(128, 50)
    true = float(curve(128.0) - curve(178.0))
    assert forecast.gain.low <= true * (1 + 1e-9)
    assert forecast.gain.high >= true * (1 - 1e-9)
    assert forecast.is_shown
    assert "MSE would fall by" in forecast.sentence


def test_a_curve_of_the_usual_kind_is_followed_exactly():
    def curve(n):
        return 0.3 + 2 / np.sqrt(n)

    forecast = drawn(curve).forecast(128, 50)
    assert forecast.gain.mean == pytest.approx(curve(128) - curve(178))


def test_a_larger_correlation_is_a_gain():
    forecast = drawn(lambda n: 0.7 - 2 / np.sqrt(n), metric="srcc").forecast(128, 50)
    assert forecast.gain.mean > 0
    assert "SRCC would rise by" in forecast.sentence


def test_noise_alone_shows_no_gain():
    shown = [
        drawn(lambda n: 0.5 + 0 * n, noise=0.1, seed=seed).forecast(128, 50).is_shown
        for seed in range(40)
    ]
    assert sum(shown) <= 2
    forecast = drawn(lambda n: 0.5 + 0 * n, noise=0.1).forecast(128, 50)
    assert "no gain shown" in forecast.sentence


def test_draws_that_share_clips_count_less_than_independent_ones():
    draws = drawn(lambda n: 0.5 + 0 * n, noise=0.1)
    values = draws.values[:, -1]
    found = draws.at(3)
    independent = 2.093 * values.std(ddof=1) / np.sqrt(len(values))
    assert found.mean == pytest.approx(values.mean())
    assert found.high - found.mean > 2.5 * independent


def test_a_curve_is_not_followed_far():
    draws = drawn(lambda n: 0.3 + 5 / n)
    last = int(LARGEST_REACH * 96)
    assert draws.forecast(128, last - 128).is_shown
    too_far = draws.forecast(128, last - 128 + 1)
    assert np.isnan(too_far.gain.mean)
    assert not too_far.is_shown
    assert "cannot be said from subsets of at most 96 clips" in too_far.sentence


def test_undefined_values_are_left_out_unless_they_are_most():
    draws = drawn(lambda n: 0.7 - 2 / np.sqrt(n), metric="srcc")
    draws.values[:5, 0] = np.nan
    assert np.isfinite(draws.forecast(128, 50).gain.mean)
    draws.values[:11, 0] = np.nan
    assert np.isnan(draws.forecast(128, 50).gain.mean)
    assert np.isnan(draws.at(0).mean)


def test_subsets_of_one_size_have_no_slope():
    counts = np.array([50, 50, 50, 50])
    forecast = drawn(lambda n: 0.5 + 0 * n, noise=0.1, counts=counts).forecast(60, 50)
    assert np.isnan(forecast.gain.mean)
