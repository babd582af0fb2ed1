"""Laws of the criteria that learn from single ratings: histograms of raters, and a
Beta distribution as bins."""

import numpy as np
import pytest
import torch
from scipy import stats
from tiny_networks import loss_of

from base_models.bins import ScoreBins
from base_models.config import RATING_CRITERIA, BaseConfig
from base_models.networks.beta_distribution import MARGIN, PRECISION, BetaBins
from base_models.networks.criteria import SoftBins, build_criterion

SCALES = [
    ScoreBins(),
    ScoreBins(grid="endpoints"),
    ScoreBins(0, 100, 7),
    ScoreBins(count=5, grid="endpoints"),
]
EXTREMES = [
    (x, y)
    for x in (-1e38, -1e3, -20, -3, 0, 2, 40, 1e38)
    for y in (-1e38, -30, -2, 0, 3, 30, 1e38)
]


def criterion(name, **changes):
    return build_criterion(BaseConfig().updated({"criterion": name} | changes, "test"))


def raw(dtype=torch.float64):
    random = (
        torch.randn(
            200, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64
        )
        * 4
    )
    return torch.cat([random, torch.tensor(EXTREMES, dtype=torch.float64)]).to(dtype)


def by_incomplete_beta(bins, a, b):
    """What falls to each bin of ratings drawn from Beta(a, b), each split between two
    centres: in closed form."""
    centers = (bins.centers - bins.low) / (bins.high - bins.low)
    below = stats.beta.cdf(centers, a, b)
    inside, mean = (
        np.diff(below),
        np.diff(a / (a + b) * stats.beta.cdf(centers, a + 1, b)),
    )
    upper = (mean - centers[:-1] * inside) / np.diff(centers)
    masses = np.append(inside - upper, 0) + np.insert(upper, 0, 0)
    masses[0] += below[0]
    masses[-1] += stats.beta.sf(centers[-1], a, b)
    return masses


@pytest.mark.parametrize("bins", SCALES, ids=str)
def test_the_bins_of_a_beta_are_what_the_incomplete_beta_function_says(bins):
    beta = BetaBins(bins)
    shapes = torch.cat(beta.shapes(raw()), 1).numpy()
    expected = np.array([by_incomplete_beta(bins, *pair) for pair in shapes])
    np.testing.assert_allclose(beta(raw()).exp().numpy(), expected, atol=1e-5)
    np.testing.assert_allclose(
        beta(raw(torch.float32)).exp().numpy(), expected, atol=2e-5
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_beta_is_a_distribution_with_finite_gradients_however_extreme_the_outputs(
    dtype,
):
    outputs = raw(dtype).requires_grad_()
    logs = BetaBins(ScoreBins())(outputs)
    assert torch.isfinite(logs).all()
    assert torch.allclose(
        logs.exp().sum(-1), torch.ones(len(logs), dtype=dtype), atol=2e-6
    )
    for k in (0, 10, 19):  # a rating at either end, and one in the middle
        (gradient,) = torch.autograd.grad(logs[:, k].sum(), outputs, retain_graph=True)
        assert torch.isfinite(gradient).all()


def test_the_gradient_of_a_beta_is_that_of_finite_differences():
    outputs = torch.tensor(
        [[0.3, 0.2], [-5.0, 2.0], [4.0, -3.0]], dtype=torch.float64, requires_grad=True
    )
    assert torch.autograd.gradcheck(BetaBins(ScoreBins()), outputs)


def test_the_mean_of_the_bins_is_the_score_and_that_of_the_beta_but_for_the_ends():
    beta, bins = criterion("beta"), ScoreBins()
    outputs = raw()
    a, b = beta.beta_bins.shapes(outputs)
    mean = (bins.low + (bins.high - bins.low) * a / (a + b)).squeeze(1).numpy()
    scores = bins.decode(beta.distribution(outputs).numpy(), beta.sigma)
    np.testing.assert_allclose(
        scores, bins.expected(beta.distribution(outputs).numpy()), atol=1e-12
    )
    assert np.abs(scores - mean).max() < bins.width / 2
    sure = ((a + b) > 100).squeeze(1).numpy() & (np.abs(mean - 3) < 1)
    assert sure.sum() > 10
    np.testing.assert_allclose(scores[sure], mean[sure], atol=1e-4)


def test_the_shapes_stay_within_their_bounds_and_an_untrained_head_says_nothing():
    beta = BetaBins(ScoreBins())
    a, b = beta.shapes(raw())
    share, total = a / (a + b), a + b
    assert share.min() >= MARGIN - 1e-12
    assert share.max() <= 1 - MARGIN + 1e-12
    assert total.min() >= PRECISION[0] * (1 - 1e-9)
    assert total.max() <= PRECISION[1] * (1 + 1e-9)
    torch.testing.assert_close(beta(torch.zeros(1, 2)).exp(), torch.full((1, 20), 0.05))


@pytest.mark.parametrize("name", RATING_CRITERIA)
def test_the_loss_is_least_at_the_raters_own_distribution(name):
    """Ratings drawn from a Beta: either criterion finds it, one of them exactly."""
    learner, bins = criterion(name), ScoreBins()
    ratings = 1 + 4 * np.random.default_rng(0).beta(2.0, 5.0, 4000)
    histogram = torch.from_numpy(bins.split(ratings).mean(0, keepdims=True)).float()
    logits = torch.zeros(1, learner.outputs, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.2)
    for _ in range(200):
        optimizer.zero_grad()
        loss_of(learner, logits, torch.tensor([3.0]), histogram).sum().backward()
        optimizer.step()
    found = learner.distribution(logits.detach())[0].numpy()
    np.testing.assert_allclose(
        found, histogram[0], atol=1e-3 if name == "histogram" else 0.02
    )
    assert bins.decode(found, learner.sigma) == pytest.approx(ratings.mean(), abs=0.01)
    if name == "beta":
        a, b = learner.beta_bins.shapes(logits.detach())
        assert (a.item(), b.item()) == pytest.approx((2.0, 5.0), rel=0.06)


@pytest.mark.parametrize("name", RATING_CRITERIA)
@pytest.mark.parametrize("rating", [1.0, 3.1, 5.0])
def test_raters_who_all_agree_are_learnt_as_nearly_one_bin(name, rating):
    learner, bins = criterion(name), ScoreBins()
    histogram = torch.from_numpy(bins.split([rating])).float()
    logits = torch.zeros(1, learner.outputs, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.4)
    for _ in range(100):
        optimizer.zero_grad()
        loss_of(learner, logits, torch.tensor([3.0]), histogram).sum().backward()
        assert torch.isfinite(logits.grad).all()
        optimizer.step()
    found = learner.distribution(logits.detach())[0].numpy()
    assert found[histogram[0].argmax()] > (
        0.95 if name == "histogram" or rating != 3.1 else 0.7
    )
    assert bins.decode(found, learner.sigma) == pytest.approx(
        np.clip(rating, 1.1, 4.9), abs=0.05
    )


@pytest.mark.parametrize("name", RATING_CRITERIA)
def test_a_clip_without_ratings_is_learnt_from_its_softened_mean(name):
    learner, bins = criterion(name, sigma=0.3), ScoreBins()
    scores, logits = torch.tensor([2.2, 4.0]), torch.randn(2, learner.outputs)
    histograms = torch.from_numpy(
        np.stack([np.full(20, np.nan), bins.split(1.5)])
    ).float()
    softened = SoftBins(bins, 0.3).targets(scores)
    both = loss_of(learner, logits, scores, histograms)
    assert both[0] == loss_of(learner, logits, scores)[0]
    torch.testing.assert_close(
        loss_of(learner, logits, scores), -(softened * learner.log_bins(logits)).sum(-1)
    )
    torch.testing.assert_close(
        both[1], -(histograms[1] * learner.log_bins(logits)[1]).sum()
    )


def test_extreme_logits_keep_a_finite_loss_and_a_valid_distribution():
    for name in RATING_CRITERIA:
        learner = criterion(name)
        logits = torch.full((2, learner.outputs), -1e4)
        logits[:, 0] = 1e4
        assert torch.isfinite(loss_of(learner, logits, torch.tensor([1.0, 5.0]))).all()
        ScoreBins().check(learner.distribution(logits).numpy(), name)
