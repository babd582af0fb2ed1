import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from base_models.bins import ScoreBins
from meta.learners import convex_weights
from meta.learners.convex_weights import (
    crps_weights,
    greedy_weights,
    least_squares_weights,
    log_score_weights,
)
from meta.uncertainty.distribution_scores import crps, log_score

BINS = ScoreBins()


def models(n=80, seed=0, noise=(0.4, 0.6, 1.0, 2.0)):
    rng = np.random.default_rng(seed)
    y = rng.uniform(1, 5, n)
    return np.clip(y[:, None] + rng.normal(0, noise, (n, len(noise))), 1, 5), y


def corners_and_steps(steps=40):
    """All weights of 3 models on a grid."""
    grid = [
        (a, b, steps - a - b) for a in range(steps + 1) for b in range(steps + 1 - a)
    ]
    return np.array(grid) / steps


def pooled(p, weights):
    return np.einsum("nkb,k->nb", p, weights)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("what", ["squares", "crps", "log"])
def test_no_weights_on_a_fine_grid_are_better(what, seed):
    scores, y = models(seed=seed, noise=(0.5, 0.6, 0.8))
    p = np.stack([BINS.soften(s, 0.35) for s in scores.T], axis=1)
    loss, (weights, gap) = {
        "squares": (
            lambda w: np.mean((scores @ w - y) ** 2),
            least_squares_weights(scores, y),
        ),
        "crps": (
            lambda w: crps(pooled(p, w), y, BINS).mean(),
            crps_weights(p, BINS, y),
        ),
        "log": (
            lambda w: log_score(pooled(p, w), y, BINS).mean(),
            log_score_weights(p, BINS, y),
        ),
    }[what]
    assert 0 <= gap < 1e-8
    assert loss(weights) <= min(loss(w) for w in corners_and_steps()) + gap


@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(1, 30))
@settings(max_examples=60, deadline=None)
def test_weights_are_convex_and_their_gap_is_closed_for_any_shape(seed, count, n):
    scores, y = models(n, seed, np.random.default_rng(seed).uniform(0, 2, count))
    p = np.stack([BINS.soften(s, 0.35) for s in scores.T], axis=1)
    for weights, gap in (
        least_squares_weights(scores, y),
        crps_weights(p, BINS, y),
        log_score_weights(p, BINS, y),
    ):
        assert (weights >= 0).all()
        assert weights.sum() == pytest.approx(1, abs=1e-12)
        assert 0 <= gap < 1e-8


def test_many_clips_have_the_weights_of_all_at_once(monkeypatch):
    scores, y = models(noise=(0.5, 0.6, 0.8))
    p = np.stack([BINS.soften(s, 0.35) for s in scores.T], axis=1)
    importance = np.linspace(1, 2, len(y))
    weights, gap = crps_weights(p, BINS, y, importance)
    # The last block is smaller than the others.
    monkeypatch.setattr(convex_weights, "_CLIPS_AT_ONCE", 7)
    in_blocks, gap_in_blocks = crps_weights(p, BINS, y, importance)
    np.testing.assert_allclose(in_blocks, weights, atol=1e-12)
    assert gap_in_blocks == pytest.approx(gap, abs=1e-12)


def test_the_gap_bounds_what_other_weights_gain():
    scores, y = models(noise=(0.5, 0.6, 0.8))
    weights, gap = greedy_weights(scores, y, rounds=2)
    best, _ = least_squares_weights(scores, y)
    gained = np.mean((scores @ weights - y) ** 2) - np.mean((scores @ best - y) ** 2)
    assert 0 < gained <= gap


def test_newton_steps_end_where_em_alone_goes():
    scores, y = models(60)
    p = np.stack([BINS.soften(s, 0.35) for s in scores.T], axis=1)
    masses = np.einsum("nkb,nb->nk", p, BINS.split(y))
    slow = np.full(4, 0.25)
    for _ in range(20000):
        slow = slow * np.mean(masses / (masses @ slow)[:, None], axis=0)
    np.testing.assert_allclose(log_score_weights(p, BINS, y)[0], slow, atol=1e-3)


def test_a_truth_that_no_model_allows_favours_nobody():
    p, y = (
        np.tile(np.eye(20)[[3, 7]], (3, 1, 1)),
        np.array([BINS.centers[3], BINS.centers[7], 5.0]),
    )
    weights, _ = log_score_weights(p, BINS, y)
    np.testing.assert_allclose(weights, 0.5, atol=1e-9)


def test_equal_models_share_their_weight():
    scores, y = models()
    twice = scores[:, [0, 1, 0, 2]]
    weights, _ = least_squares_weights(twice, y)
    assert weights[0] == pytest.approx(weights[2], abs=1e-6)
    np.testing.assert_allclose(
        twice @ weights,
        scores[:, :3] @ least_squares_weights(scores[:, :3], y)[0],
        atol=1e-6,
    )


def test_greedy_selection_is_the_slow_one():
    scores, y = models(50, noise=(0.5, 0.6, 0.5, 1.0, 0.7))

    def error(chosen):
        return np.mean((scores[:, chosen].mean(axis=1) - y) ** 2)

    ranked = sorted(range(5), key=lambda k: error([k]))
    chosen = min((ranked[: k + 1] for k in range(5)), key=error)
    path = [chosen]
    for _ in range(25):
        chosen = min(([*chosen, k] for k in range(5)), key=error)
        path.append(chosen)
    best = min(path, key=error)
    weights, _ = greedy_weights(scores, y, rounds=25)
    np.testing.assert_allclose(weights, np.bincount(best, minlength=5) / len(best))


def test_greedy_selection_is_never_worse_than_the_best_model_or_their_mean():
    scores, y = models(40, noise=(0.3, 1.5, 1.5))
    weights, _ = greedy_weights(scores, y)
    errors = np.mean((scores - y[:, None]) ** 2, axis=0)
    assert np.mean((scores @ weights - y) ** 2) <= errors.min()


def test_a_perfect_model_gets_all_weight():
    scores, y = models()
    scores[:, 2] = y
    np.testing.assert_allclose(
        least_squares_weights(scores, y)[0], [0, 0, 1, 0], atol=1e-6
    )
    np.testing.assert_allclose(least_squares_weights(scores[:, [2]], y)[0], [1])
