"""Laws of the alignment losses: POT is the oracle, and the padding carries no mass."""

import numpy as np
import ot
import pytest
import torch
from geomloss import SamplesLoss

from base_models.networks.alignment import (
    Transport,
    contrastive,
    gromov_wasserstein_cost,
)
from base_models.networks.sinkhorn import Sinkhorn, average_frames


def geomloss_cost(blur=0.05, scaling=0.5):
    """The divergence of one clip as geomloss computes it."""
    return SamplesLoss(
        "sinkhorn", p=2, blur=blur, scaling=scaling, backend="tensorized"
    )


def sinkhorn_cost(blur=0.05, scaling=0.5, steps=26):
    """The divergence of one clip as a batch of one computes it."""
    solve = Sinkhorn(blur, scaling, steps=steps)

    def cost(x, y):
        masks = [torch.ones(1, len(cloud), dtype=torch.bool) for cloud in (x, y)]
        return solve(x[None], masks[0], y[None], masks[1])

    return cost


def padded(pairs):
    """Clouds of clips as a batch, its padding full of numbers that nobody may read."""
    longest = [max(len(pair[side]) for pair in pairs) for side in (0, 1)]
    batch = []
    for side, filler in ((0, 1e4), (1, -1e4)):
        dim = pairs[0][side].shape[1]
        clouds = torch.full((len(pairs), longest[side], dim), filler)
        lengths = torch.tensor([len(pair[side]) for pair in pairs])
        for row, pair in enumerate(pairs):
            clouds[row, : len(pair[side])] = pair[side]
        batch += [clouds, torch.arange(longest[side]) < lengths[:, None]]
    return batch


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
    # Not in logarithms: the costs are small, and its steps are ten times as quick.
    plan = ot.sinkhorn(
        a, b, cost, epsilon, method="sinkhorn", numItermax=100_000, stopThr=1e-7
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
    assert sinkhorn_cost(scaling=0.99, steps=900)(x, y).item() == pytest.approx(
        exact, rel=0.003
    )


def test_sinkhorn_agrees_with_the_debiased_divergence_of_pot():
    x, y, blur = points(6), points(5, seed=1, shift=1.0), 0.5
    epsilon = blur**2
    theirs = (
        entropic(x, y, epsilon)
        - (entropic(x, x, epsilon) + entropic(y, y, epsilon)) / 2
    )
    ours = sinkhorn_cost(blur, scaling=0.99, steps=900)(x, y)
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


def test_transport_is_the_mean_over_clips_at_their_true_lengths():
    lengths = [(5, 3), (2, 4), (1, 1)]
    pairs = [(points(n, seed=n), points(m, seed=10 + m, shift=1.0)) for n, m in lengths]
    expected = sum(gromov_wasserstein_cost(x, y).item() for x, y in pairs) / 3
    cost = Transport(gromov_wasserstein_cost)(*padded(pairs))
    assert cost.item() == pytest.approx(expected, rel=1e-5)


BATCHES = {
    "few dimensions": ([(5, 3), (2, 4), (1, 1)], 3, 1.0),
    "near each other": ([(40, 7), (33, 12), (17, 3)], 8, 0.3),
    "as wide as embeddings": ([(60, 9), (20, 12)], 128, 4.0),
}


@pytest.mark.parametrize("case", BATCHES)
@pytest.mark.parametrize("are_known", [False, True], ids=["whole", "frames known"])
def test_a_batch_is_transported_as_geomloss_transports_each_clip(case, are_known):
    """Also where the frames' own part was computed beforehand."""
    lengths, dim, scale = BATCHES[case]
    pairs = [
        (scale * points(n, dim, seed=n), scale * points(m, dim, seed=70 + m, shift=0.5))
        for n, m in lengths
    ]
    expected = torch.stack([geomloss_cost()(x, y) for x, y in pairs])
    frames, frame_mask, tokens, token_mask = padded(pairs)
    terms = Sinkhorn().frame_terms(frames, frame_mask) if are_known else None
    costs = Sinkhorn().costs(
        frames, frame_mask, tokens, token_mask=token_mask, frame_terms=terms
    )
    torch.testing.assert_close(costs, expected, rtol=1e-5, atol=1e-5)


def test_the_gradient_of_the_tokens_is_that_of_geomloss():
    pairs = [
        (points(n, 8, seed=n), points(m, 8, seed=9, shift=1.0))
        for n, m in [(9, 4), (6, 5)]
    ]
    batch = padded(pairs)
    batch[2].requires_grad_()
    (gradient,) = torch.autograd.grad(Sinkhorn()(*batch), batch[2])
    for row, (x, y) in enumerate(pairs):
        y.requires_grad_()
        (theirs,) = torch.autograd.grad(geomloss_cost()(x, y) / 2, y)
        torch.testing.assert_close(
            gradient[row, : len(y)], theirs, rtol=1e-3, atol=1e-5
        )
    assert not gradient[0, 4:].any()


def test_clouds_wider_than_the_first_temperature_are_transported_all_the_same():
    x = points(9)
    y = points(4, seed=1, shift=1e7)
    cost = sinkhorn_cost()(x, y).item()
    assert cost == pytest.approx(geomloss_cost()(x, y).item(), rel=1e-5)


def test_a_stride_averages_neighbouring_frames_and_the_rest():
    frames = torch.arange(10.0).reshape(1, 5, 2)
    mask = torch.tensor([[True] * 5])

    def averaged(stride, mask):
        groups, is_real = average_frames(frames, mask, stride)
        return groups[is_real].tolist()

    assert average_frames(frames, mask, 1)[0] is frames
    assert averaged(2, mask) == [[1, 2], [5, 6], [8, 9]]
    assert averaged(7, mask) == [[4, 5]]
    three_real = torch.tensor([[True, True, True, False, False]])
    assert averaged(2, three_real) == [[1, 2], [4, 5]]


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
    for align in (Sinkhorn(), Transport(gromov_wasserstein_cost)):
        assert align(torch.zeros(1, 2, 3), ones, tokens, ones).isnan()
