"""Sums over pairs of resampled points, against the loop over all pairs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from base_models.metrics.bootstrap import bootstrap_counts, resample
from base_models.metrics.evaluate import evaluate, evaluate_models, ktau
from base_models.metrics.resampling import mean_sums, pair_sums
from base_models.metrics.resampling.drawn_weights import (
    ClusterWeights,
    CrossedWeights,
    as_counts,
)
from base_models.metrics.resampling.rank_sums import SortedValues


def points(n, decimals=8, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    y = x + rng.normal(size=n)
    return np.round(x, decimals), np.round(y, decimals)


def looped(x, y, weights):
    """The sum over all ordered pairs of points with weights (resamples, n)."""
    signs = np.sign(x[:, None] - x) * np.sign(y[:, None] - y)
    return np.einsum("ri,ij,rj->r", weights, signs, weights)


@pytest.mark.parametrize("decimals", [0, 1, 8])
def test_signs_per_pair_of_clusters_add_up_to_those_of_all_pairs(decimals, monkeypatch):
    x, y = points(400, decimals)
    clusters = np.random.default_rng(1).integers(0, 7, 400)
    signs = np.sign(x[:, None] - x) * np.sign(y[:, None] - y)
    member = np.eye(7)[clusters]
    # A few points are compared directly, many by strips of a grid.
    for direct in (400, 10):
        monkeypatch.setattr(pair_sums, "DIRECT_POINTS", direct)
        found = pair_sums.cluster_matrix(
            SortedValues.of(x), SortedValues.of(y), clusters
        )
        np.testing.assert_array_equal(found, member.T @ signs @ member)


@pytest.mark.parametrize("decimals", [1, 8])
def test_weights_of_clusters_and_of_points_give_the_loop_over_pairs(decimals):
    x, y = points(150, decimals)
    rng = np.random.default_rng(2)
    system = np.concatenate([np.arange(6), rng.integers(0, 6, 144)])
    prompt = np.concatenate([np.arange(9), rng.integers(0, 9, 141)])
    of_system = bootstrap_counts(6, 20, 0)
    of_prompt = bootstrap_counts(9, 20, 1)
    for drawn in (
        ClusterWeights(of_system, system),
        ClusterWeights(of_system * 0.37, system),
        ClusterWeights(bootstrap_counts(150, 20, 0), np.arange(150)),
        CrossedWeights(of_system, system, of_prompt, prompt),
    ):
        found = pair_sums.pair_sums(SortedValues.of(x), SortedValues.of(y), drawn)
        expected = looped(x, y, drawn.of_points(slice(None)).astype(float))
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-9)


def test_a_grid_with_a_cell_for_every_value_is_exact(monkeypatch):
    x, y = points(300, 1)
    weights = bootstrap_counts(300, 20, 0)
    drawn = ClusterWeights(weights, np.arange(300))
    monkeypatch.setattr(pair_sums, "DIRECT_POINTS", 10)
    found = pair_sums.pair_sums(SortedValues.of(x), SortedValues.of(y), drawn)
    np.testing.assert_allclose(found, looped(x, y, weights.astype(float)), rtol=1e-12)


@pytest.mark.parametrize("crossed", [False, True])
def test_a_coarse_grid_is_off_by_little_of_how_resamples_spread(crossed, monkeypatch):
    x, y = points(1500)
    drawn = ClusterWeights(bootstrap_counts(1500, 200, 0), np.arange(1500))
    if crossed:
        system = np.arange(1500) // 50
        drawn = CrossedWeights(
            bootstrap_counts(30, 200, 0),
            system,
            bootstrap_counts(50, 200, 1),
            np.arange(1500) % 50,
        )
    of_x = SortedValues.of(x)
    of_y = SortedValues.of(y)
    exact = pair_sums.pair_sums(of_x, of_y, drawn)
    monkeypatch.setattr(pair_sums, "DIRECT_POINTS", 10)
    found = pair_sums.pair_sums(of_x, of_y, drawn)
    squares = drawn.of_points(slice(None)).sum(axis=1).astype(float) ** 2
    error = (found - exact) / squares
    assert error.std() < 0.03 * (exact / squares).std()
    assert abs(error.mean()) < 0.02 * (exact / squares).std()


def test_resamples_of_equal_weights_are_the_metric_itself(monkeypatch):
    monkeypatch.setattr(pair_sums, "DIRECT_POINTS", 10)
    x, y = points(900)
    found = resample(x, y, np.ones((1, 900)))
    assert found["ktau"][0] == pytest.approx(ktau(x, y), abs=1e-12)


def test_small_whole_weights_are_counts_and_others_stay():
    assert as_counts(np.array([[0.0, 3.0]])).dtype == np.int32
    for weights in ([[0.5, 1.0]], [[1e9, 1.0]]):
        assert as_counts(np.array(weights)).dtype == np.float64


def test_means_of_few_and_of_many_systems_are_resampled_alike(monkeypatch):
    x, y = points(240, 1)
    system = np.arange(240) // 12
    prompt = np.arange(240) % 12
    arguments = (x[:, None], y[:, None], system.astype(str), ["mi"], 40)
    few = evaluate(*arguments, prompt_ids=prompt.astype(str))
    monkeypatch.setattr(mean_sums, "FEW_POINTS", 0)
    many = evaluate(*arguments, prompt_ids=prompt.astype(str))
    pd.testing.assert_frame_equal(few, many, rtol=1e-12)


def test_several_models_at_once_are_measured_as_each_alone():
    rng = np.random.default_rng(3)
    truth = np.round(rng.uniform(1, 5, (60, 2)), 1)
    truth[:5, 1] = np.nan
    predictions = [truth * 0 + rng.uniform(1, 5, (60, 2)) for _ in range(3)]
    predictions = [np.nan_to_num(one, nan=2.0) for one in predictions]
    systems = [f"s{row % 7}" for row in range(60)]
    together = evaluate_models(truth, predictions, systems, ["mi", "ta"], 50)
    for table, prediction in zip(together, predictions, strict=True):
        alone = evaluate(truth, prediction, systems, ["mi", "ta"], 50)
        pd.testing.assert_frame_equal(table, alone, rtol=1e-12)
    assert evaluate_models(truth, [], systems, ["mi", "ta"], 50) == []
