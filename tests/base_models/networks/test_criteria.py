import numpy as np
import pytest
import torch
import torch.nn.functional as F

from base_models.bins import ScoreBins
from base_models.config import MODELS, BaseConfig
from base_models.networks.criteria import (
    Coral,
    Huber,
    NearestBin,
    Scalar,
    SoftBins,
    build_criterion,
)

SCORES = torch.tensor([1.0, 2.2, 3.0, 4.6, 5.0])


@pytest.mark.parametrize("name", MODELS)
def test_every_criterion_emits_distributions_and_a_loss_per_clip(name):
    criterion = build_criterion(BaseConfig.preset(name))
    logits = (
        torch.randn(5, criterion.outputs, generator=torch.Generator().manual_seed(0))
        * 3
    )
    assert criterion.loss(logits, SCORES).shape == (5,)
    rows = criterion.distribution(logits).numpy()
    ScoreBins().check(rows, name)
    assert rows.shape == (5, 20)


@pytest.mark.parametrize("name", MODELS)
def test_gradient_descent_on_the_logits_recovers_the_scores(name):
    """The coarse criteria recover them to within their own resolution; a softened mean
    leans inwards at the ends."""
    criterion = build_criterion(BaseConfig.preset(name))
    logits = torch.zeros(5, criterion.outputs, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.1)
    for _ in range(400):
        optimizer.zero_grad()
        criterion.loss(logits, SCORES).sum().backward()
        optimizer.step()
    decoded = ScoreBins().decode(
        criterion.distribution(logits.detach()).numpy(), criterion.sigma
    )
    softened = BaseConfig.preset(
        name
    ).reads_ratings  # and not decoded, for there are no ratings here
    assert np.abs(decoded - SCORES.numpy()).max() < (
        0.22 if softened else 0.11
    )  # hard bins end at 1.1 and 4.9


def test_soft_cross_entropy_and_kl_have_equal_gradients():
    criterion = SoftBins(ScoreBins(), 0.25)
    logits = torch.randn(5, 20, requires_grad=True)
    ours = torch.autograd.grad(criterion.loss(logits, SCORES).mean(), logits)[0]
    kl = F.kl_div(
        F.log_softmax(logits, -1), criterion.targets(SCORES), reduction="batchmean"
    )
    assert torch.allclose(ours, torch.autograd.grad(kl, logits)[0], atol=1e-7)


def test_hard_targets_take_the_nearest_bin_not_the_one_below():
    targets = NearestBin(ScoreBins(grid="endpoints")).targets(
        torch.tensor([1.2, 1.0, 5.0])
    )
    assert targets.argmax(1).tolist() == [1, 0, 19]


def test_a_score_midway_between_two_bins_is_half_in_each():
    criterion = NearestBin(ScoreBins())
    for dtype in (torch.float32, torch.float64):
        steps = torch.arange(1, 20, dtype=dtype) * 0.2 + 1
        targets = criterion.targets(steps)
        assert ((targets == 0.5).sum(1) == 2).all()
        assert (targets.sum(1) == 1).all()
    assert criterion.targets(torch.tensor([1.24, 1.201, 1.0, 5.0])).argmax(
        1
    ).tolist() == [1, 1, 0, 19]
    assert (
        criterion.targets(torch.tensor([1.24, 1.201, 1.0, 5.0])).amax(1).tolist()
        == [1] * 4
    )
    wide = NearestBin(ScoreBins(0, 100)).targets(torch.tensor([90.0, 90.01]))
    assert wide.amax(1).tolist() == [0.5, 1]


def test_a_perfect_hard_bin_model_decodes_to_the_scores_but_for_the_ends():
    criterion, scores = (
        NearestBin(ScoreBins()),
        torch.tensor([1.2, 1.4, 3.0, 4.8, 1.0, 5.0]),
    )
    perfect = criterion.distribution(criterion.targets(scores).log())
    decoded = ScoreBins().decode(perfect.numpy(), criterion.sigma)
    assert decoded == pytest.approx([1.2, 1.4, 3.0, 4.8, 1.1, 4.9])


def test_extreme_logits_keep_a_finite_loss():
    criterion = SoftBins(ScoreBins(), 0.25)
    logits = torch.full((5, 20), -1e4)
    logits[:, 0] = 1e4
    assert torch.isfinite(criterion.loss(logits, SCORES)).all()


@pytest.mark.parametrize("ranks", [0, 5])
def test_coral_probabilities_never_rise_with_the_threshold(ranks):
    coral = Coral(ScoreBins(), ranks)
    logits = (
        torch.randn(200, coral.outputs, generator=torch.Generator().manual_seed(0)) * 20
    )
    assert (coral.cumulative_logits(logits).diff(dim=-1) <= 0).all()


def perfect(coral, scores):
    above = scores[:, None] > coral.thresholds
    raw = torch.where(above, 60.0, -60.0)
    return torch.cat(
        [
            raw[:, :1],
            torch.log(
                torch.expm1((-raw.diff(dim=-1)).double()).clamp_min(1e-26)
            ).float(),
        ],
        -1,
    )


def test_coral_on_the_bin_grid_keeps_the_fractions_of_the_mos():
    steps = torch.arange(21, dtype=torch.float64) * 0.2 + 1
    coral = Coral(ScoreBins())
    assert torch.allclose(coral.score(perfect(coral, steps)), steps, atol=1e-3)


@pytest.mark.parametrize("ranks", [0, 5])
def test_an_untrained_coral_head_predicts_the_middle_of_the_scale(ranks):
    coral = Coral(ScoreBins(), ranks)
    assert coral.score(torch.zeros(1, coral.outputs)).item() == pytest.approx(
        3.0, abs=1e-6
    )


def test_coral_with_five_ranks_is_the_published_form_and_rounds_up():
    coral = Coral(ScoreBins(), 5)
    assert coral.thresholds.tolist() == [1, 2, 3, 4]
    scores = torch.tensor([1.0, 1.2, 2.0, 3.4, 5.0], dtype=torch.float64)
    assert torch.allclose(coral.score(perfect(coral, scores)), scores.ceil(), atol=1e-3)


def test_l1_starts_from_the_middle_of_the_scale():
    scalar = Scalar(ScoreBins())
    assert scalar.score(torch.zeros(2, 1)).tolist() == [3, 3]
    assert scalar.loss(torch.ones(5, 1), SCORES).tolist() == pytest.approx(
        [3, 1.8, 1, 0.6, 1]
    )


def test_huber_is_half_the_square_below_one_point_and_linear_beyond():
    huber = Huber(ScoreBins())
    assert huber.loss(torch.zeros(5, 1), SCORES).tolist() == pytest.approx(
        [1.5, 0.32, 0, 1.1, 1.5]
    )
    assert huber.score(torch.tensor([[huber.raw(4.2)]])).item() == pytest.approx(4.2)


@pytest.mark.parametrize("ranks", [0, 5])
def test_coral_has_the_loss_of_its_authors_on_the_same_thresholds(ranks):
    losses = pytest.importorskip(
        "coral_pytorch.losses", reason="coral-pytorch is a development dependency"
    )
    coral = Coral(ScoreBins(), ranks)
    logits = torch.randn(5, coral.outputs, generator=torch.Generator().manual_seed(0))
    levels = (SCORES[:, None].double() > coral.thresholds).float()
    theirs = losses.coral_loss(coral.cumulative_logits(logits), levels, reduction=None)
    assert torch.allclose(coral.loss(logits, SCORES), theirs, atol=1e-5)
