"""How often the interval of a metric of few systems holds the truth."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.metrics.correlated_points import LAWS, draw, truths

from base_models.metrics.bootstrap import bootstrap_weights, percentiles, resample
from base_models.metrics.evaluate import METRICS, evaluate
from base_models.metrics.expected_interval import expected_srcc_interval
from base_models.metrics.intervals import metric_interval

TESTS, RESAMPLES = 500, 1000
SIZES, CORRELATIONS = (5, 8, 15, 30), (0.5, 0.8, 0.95, 0.99)
CORRELATION_METRICS = ("srcc", "lcc", "ktau")


def coverage(law, rho, n):
    """Of each metric: share held by percentiles and by ours, and both mean widths."""
    rng = np.random.default_rng([n, round(100 * rho), LAWS.index(law)])
    x, y = draw(rng, law, rho, tests=TESTS, n=n)
    weights = np.vstack([np.ones((1, n)), bootstrap_weights(n, RESAMPLES, 1)])
    ends = {metric: [] for metric in METRICS}
    for one, other in zip(x, y, strict=True):
        found = resample(one, other, weights)
        values = {metric: drawn[0] for metric, drawn in found.items()}
        for metric, drawn in found.items():
            ours = metric_interval(
                metric, values, drawn[1:], n_points=n, n_units=n, level=0.95
            )
            plain = percentiles(drawn[1:], 0.95)
            expected = (np.nan, np.nan)
            if metric == "srcc":
                interval = expected_srcc_interval(np.clip(values["srcc"], -1, 1), n)
                expected = (interval.low, interval.high)
            ends[metric].append([*plain, ours.low, ours.high, *expected])
    results = {}
    for metric, rows in ends.items():
        lows, highs = np.array(rows)[:, 0::2], np.array(rows)[:, 1::2]
        truth = truths(law, rho)[metric]
        held = ((lows <= truth) & (truth <= highs)).mean(axis=0)
        results[metric] = (held, (highs - lows).mean(axis=0))
    return results


@pytest.mark.parametrize("law", LAWS)
def bench_coverage_of_correlations_of_few_systems(law):
    print(
        f"\n{law}, {TESTS} tests, 95 % intervals; correlation "
        f"{'/'.join(map(str, CORRELATIONS))}: percentiles -> ours (mean widths)"
    )
    least = []
    for n in SIZES:
        found = [coverage(law, rho, n) for rho in CORRELATIONS]
        for metric in CORRELATION_METRICS:
            held = np.array([one[metric][0] for one in found])
            widths = np.array([one[metric][1] for one in found])
            shown = [
                "/".join(f"{x:.{digits}f}" for x in column)
                for values, digits in ((held, 3), (widths, 2))
                for column in values.T[:2]
            ]
            print(
                f"n = {n:2} {metric.upper():4}: {shown[0]} -> {shown[1]} "
                f"({shown[2]} -> {shown[3]})"
            )
            least.append(held[:, 1].min())
        expected = [one["srcc"][0][2] for one in found]
        print(
            f"n = {n:2} SRCC expected before the test: "
            f"{'/'.join(f'{x:.3f}' for x in expected)}"
        )
        of_mse = found[0]["mse"][0]
        print(f"n = {n:2} MSE : {of_mse[0]:.3f} -> {of_mse[1]:.3f}")
    print(f"least: {min(least):.3f}")
    assert min(least) >= 0.93


@pytest.mark.parametrize("systems", [5, 8, 15])
def bench_coverage_over_clips_of_few_systems(systems):
    """Ten clips per system, whose errors are half those of their system."""

    def test_of(rng, n):
        system = np.repeat(np.arange(n), 10)
        truth = rng.normal(0, 0.5, n)[system] + rng.normal(0, 0.5, len(system))
        errors = rng.normal(0, 0.3, n)[system] + rng.normal(0, 0.3, len(system))
        return truth, truth + errors, system.astype(str)

    truth, predicted, _ = test_of(np.random.default_rng(9), 40_000)
    known = {name: metric(truth, predicted) for name, metric in METRICS.items()}
    rng = np.random.default_rng(systems)
    held = {metric: [] for metric in METRICS}
    for _ in range(300):
        truth, predicted, names = test_of(rng, systems)
        table = evaluate(truth, predicted, names, ["mi"], n_bootstrap=500)
        for row in table[table["level"] == "utterance"].itertuples():
            held[row.metric].append(row.low <= known[row.metric] <= row.high)
    print(
        f"\n{systems} systems x 10 clips, utterance level: "
        + ", ".join(f"{name.upper()} {np.mean(x):.3f}" for name, x in held.items())
    )
    assert min(np.mean(x) for x in held.values()) >= 0.88
