"""Laws of the alignment losses: POT is the oracle, and the padding carries no mass."""

import numpy as np
import ot
import pytest
import torch

from base_models.networks.alignment import (
    Transport,
    _average_frames,
    contrastive,
    gromov_wasserstein_cost,
    sinkhorn_cost,
)


def points(n, dim=3, seed=0, shift=0.0):
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed)) + shift


def half_squares(x, y):
    return ot.dist(x.double().numpy(), y.double().numpy()) / 2


def uniform(n):
    return np.full(n, 1 / n)


def entropic(x, y, epsilon):
    """Regularised cost by POT: transport plus epsilon times the divergence of the plan
    from independence."""
    a, b, cost = uniform(len(x)), uniform(len(y)), half_squares(x, y)
    plan = ot.sinkhorn(
        a, b, cost, epsilon, method="sinkhorn_log", numItermax=100_000, stopThr=1e-10
    )
    return (plan * cost).sum() + epsilon * (
        plan * np.log(np.maximum(plan, 1e-300) / np.outer(a, b))
    ).sum()


@pytest.mark.parametrize(
    ("n", "m", "shift"), [(6, 4, 1.0), (9, 9, 0.3), (20, 3, 3.0), (1, 5, 0.0)]
)
def test_sinkhorn_agrees_with_exact_transport_on_small_cases(n, m, shift):
    """Nearly, with geomloss' hasty default; closely, when it takes its time."""
    x, y = points(n), points(m, seed=1, shift=shift)
    exact = ot.emd2(uniform(n), uniform(m), half_squares(x, y))
    assert sinkhorn_cost()(x, y).item() == pytest.approx(exact, rel=0.07)
    assert sinkhorn_cost(scaling=0.99)(x, y).item() == pytest.approx(exact, rel=0.003)


def test_sinkhorn_agrees_with_the_debiased_divergence_of_pot():
    x, y, blur = points(6), points(5, seed=1, shift=1.0), 0.5
    epsilon = blur**2
    theirs = (
        entropic(x, y, epsilon)
        - (entropic(x, x, epsilon) + entropic(y, y, epsilon)) / 2
    )
    ours = sinkhorn_cost(blur, scaling=0.99)(x, y)
    assert ours.item() == pytest.approx(theirs, rel=1e-3)


def test_a_cloud_is_at_no_distance_from_itself():
    x = points(7)
    assert abs(sinkhorn_cost()(x, x.clone()).item()) < 1e-6
    assert abs(gromov_wasserstein_cost(x, x[torch.randperm(7)]).item()) < 1e-6


def test_gromov_wasserstein_sees_the_shape_and_neither_place_nor_turn():
    x, y = points(6, 4), points(5, 4, seed=1)
    turn = torch.linalg.qr(points(4, 4, seed=2))[0]
    moved = gromov_wasserstein_cost(x, y @ turn + 5)
    assert moved.item() == pytest.approx(gromov_wasserstein_cost(x, y).item(), rel=1e-4)
    assert gromov_wasserstein_cost(x, 3 * y).item() > moved.item()


def test_the_gradient_of_gromov_wasserstein_is_that_of_small_steps():
    x, y = points(5), points(4, seed=1).double().requires_grad_()
    gromov_wasserstein_cost(x, y).backward()
    step = torch.zeros_like(y)
    step[1, 2] = 1e-5
    rise = gromov_wasserstein_cost(x, y.detach() + step) - gromov_wasserstein_cost(
        x, y.detach() - step
    )
    assert y.grad[1, 2].item() == pytest.approx(rise.item() / 2e-5, rel=1e-3)


@pytest.mark.parametrize(
    "cost",
    [sinkhorn_cost(), gromov_wasserstein_cost],
    ids=["sinkhorn", "gromov_wasserstein"],
)
def test_transport_is_the_mean_over_clips_at_their_true_lengths(cost):
    lengths = [(5, 3), (2, 4), (1, 1)]
    pairs = [(points(n, seed=n), points(m, seed=10 + m, shift=1.0)) for n, m in lengths]
    frames, tokens = torch.full((3, 5, 3), 1e4), torch.full((3, 4, 3), -1e4)
    for row, (x, y) in enumerate(pairs):
        frames[row, : len(x)], tokens[row, : len(y)] = x, y
    n, m = torch.tensor(lengths).T
    masks = torch.arange(5) < n[:, None], torch.arange(4) < m[:, None]
    expected = sum(cost(x, y).item() for x, y in pairs) / 3
    assert Transport(cost)(frames, masks[0], tokens, masks[1]).item() == pytest.approx(
        expected, rel=1e-5
    )


def test_a_stride_averages_neighbouring_frames_and_the_rest():
    frames = torch.arange(10.0).reshape(5, 2)
    assert _average_frames(frames, 1) is frames
    assert _average_frames(frames, 2).tolist() == [[1, 2], [5, 6], [8, 9]]
    assert _average_frames(frames, 7).tolist() == [[4, 5]]


def infonce(frames, tokens):
    """For clips of one frame and one token each."""
    ones = torch.ones(len(frames), 1, dtype=torch.bool)
    return contrastive(frames[:, None], ones, tokens[:, None], ones)


def test_the_contrastive_loss_is_small_where_the_pairs_fit():
    basis = torch.eye(4)
    assert infonce(basis, basis).item() < 1e-4
    assert infonce(basis, basis.roll(1, 0)).item() > 10
    assert infonce(torch.ones(4, 4), basis).item() == pytest.approx(np.log(4), rel=1e-5)


def test_clips_of_one_prompt_are_not_each_others_negatives():
    basis = torch.eye(4)
    repeated = basis[[0, 1, 2, 0]]
    assert infonce(repeated, repeated).item() < 1e-4
    assert infonce(basis[:1], basis[:1]).item() == 0


def test_a_diverged_projection_gives_nan_and_no_error():
    ones = torch.ones(1, 2, dtype=torch.bool)
    tokens = torch.full((1, 2, 3), float("inf"))
    assert Transport(sinkhorn_cost())(torch.zeros(1, 2, 3), ones, tokens, ones).isnan()
