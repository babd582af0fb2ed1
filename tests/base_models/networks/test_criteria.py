import pickle

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tiny_networks import loss_of

from base_models.bins import ScoreBins
from base_models.config import MODELS, BaseConfig
from base_models.networks.criteria import (
    Coral,
    Huber,
    Listwise,
    NearestBin,
    Scalar,
    SoftBins,
    SquaredError,
    TextbookCoral,
    TwoHot,
    build_criterion,
)
from base_models.networks.heads import CoralLayer

SCORES = torch.tensor([1.0, 2.2, 3.0, 4.6, 5.0])
OF_CRITERION = {
    pickle.dumps(build_criterion(BaseConfig.preset(name))): name for name in MODELS
}
"""A preset with each criterion; most presets differ in their networks alone."""


@pytest.mark.parametrize("name", MODELS)
def test_every_criterion_emits_distributions_and_a_loss_per_clip(name):
    criterion = build_criterion(BaseConfig.preset(name))
    logits = (
        torch.randn(5, criterion.outputs, generator=torch.Generator().manual_seed(0))
        * 3
    )
    assert loss_of(criterion, logits, SCORES).shape == (5,)
    rows = criterion.distribution(logits).numpy()
    ScoreBins().check(rows, name)
    assert rows.shape == (5, 20)


@pytest.mark.parametrize("name", OF_CRITERION.values())
def test_gradient_descent_on_the_logits_recovers_the_scores(name):
    """The coarse criteria recover them to within their own resolution; a softened mean
    leans inwards at the ends."""
    criterion = build_criterion(BaseConfig.preset(name))
    logits = torch.zeros(5, criterion.outputs, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.3)
    for _ in range(130):
        optimizer.zero_grad()
        loss_of(criterion, logits, SCORES).sum().backward()
        optimizer.step()
    decoded = ScoreBins().decode(
        criterion.distribution(logits.detach()).numpy(), criterion.sigma
    )
    softened = BaseConfig.preset(
        name
    ).reads_ratings  # and not decoded, for there are no ratings here
    assert np.abs(decoded - SCORES.numpy()).max() < (
        0.22 if softened else 0.11
    )  # hard bins end at 1.1 and 4.9, and are 0.2 apart


def test_soft_cross_entropy_and_kl_have_equal_gradients():
    criterion = SoftBins(ScoreBins(), 0.25)
    logits = torch.randn(5, 20, requires_grad=True)
    ours = torch.autograd.grad(loss_of(criterion, logits, SCORES).mean(), logits)[0]
    kl = F.kl_div(
        F.log_softmax(logits, -1), criterion.targets(SCORES), reduction="batchmean"
    )
    assert torch.allclose(ours, torch.autograd.grad(kl, logits)[0], atol=1e-7)


def test_hard_targets_take_the_nearest_bin_not_the_one_below():
    targets = NearestBin(ScoreBins(grid="endpoints")).targets(
        torch.tensor([1.2, 1.0, 5.0])
    )
    assert targets.argmax(1).tolist() == [1, 0, 19]


MOS = torch.arange(21, dtype=torch.float64) * 0.2 + 1


def test_every_label_has_one_bin_and_one_midway_between_two_the_upper():
    criterion = NearestBin(ScoreBins())
    for dtype in (torch.float32, torch.float64):
        targets = criterion.targets(MOS.to(dtype))
        assert (targets.sum(1) == 1).all()
        assert (targets.amax(1) == 1).all()
        # 1.2 lies between the bins 0 and 1, … 4.8 between 18 and 19.
        assert targets.argmax(1).tolist() == [*range(20), 19]
    near = torch.tensor([1.24, 1.201, 1.199, 1.0, 5.0])
    assert criterion.targets(near).argmax(1).tolist() == [1, 1, 0, 0, 19]


def test_one_bin_per_label_on_any_scale():
    for bins in (ScoreBins(0, 100), ScoreBins(count=2), ScoreBins(grid="endpoints")):
        middles = torch.from_numpy((bins.centers[:-1] + bins.centers[1:]) / 2)
        targets = NearestBin(bins).targets(middles)
        assert targets.argmax(1).tolist() == list(range(1, bins.count))
        assert (targets.sum(1) == 1).all()


def test_under_two_hot_a_score_midway_between_two_bins_is_half_in_each():
    criterion = TwoHot(ScoreBins())
    for dtype in (torch.float32, torch.float64):
        targets = criterion.targets(MOS[1:20].to(dtype))
        assert ((targets == 0.5).sum(1) == 2).all()
        assert (targets.sum(1) == 1).all()
    near = criterion.targets(torch.tensor([1.24, 1.201, 1.0, 5.0]))
    assert near.argmax(1).tolist() == [1, 1, 0, 19]
    assert near.amax(1).tolist() == [1] * 4
    wide = TwoHot(ScoreBins(0, 100)).targets(torch.tensor([90.0, 90.01]))
    assert wide.amax(1).tolist() == [0.5, 1]


def test_a_perfect_model_of_one_bin_per_label_keeps_all_apart_but_the_two_highest():
    criterion = NearestBin(ScoreBins())
    distributions = criterion.distribution(criterion.targets(MOS).log())
    decoded = ScoreBins().decode(distributions.numpy(), criterion.sigma)
    assert decoded[1:20] == pytest.approx(MOS[1:20].numpy() + 0.1)
    assert decoded[[0, 20]] == pytest.approx([1.1, 4.9])
    assert (np.diff(decoded)[:19] > 0.1).all()


def test_a_perfect_two_hot_model_decodes_to_the_scores_but_for_the_ends():
    criterion = TwoHot(ScoreBins())
    distributions = criterion.distribution(criterion.targets(MOS).log())
    decoded = ScoreBins().decode(distributions.numpy(), criterion.sigma)
    expected = MOS.numpy().clip(1.1, 4.9)
    assert decoded == pytest.approx(expected)


def test_extreme_logits_keep_a_finite_loss():
    criterion = SoftBins(ScoreBins(), 0.25)
    logits = torch.full((5, 20), -1e4)
    logits[:, 0] = 1e4
    assert torch.isfinite(loss_of(criterion, logits, SCORES)).all()


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
    assert loss_of(scalar, torch.ones(5, 1), SCORES).tolist() == pytest.approx(
        [3, 1.8, 1, 0.6, 1]
    )


def test_the_squared_error_is_that_of_the_score():
    squared = SquaredError(ScoreBins())
    assert loss_of(squared, torch.ones(5, 1), SCORES).tolist() == pytest.approx(
        [9, 3.24, 1, 0.36, 1]
    )


def test_huber_is_half_the_square_below_one_point_and_linear_beyond():
    huber = Huber(ScoreBins())
    assert loss_of(huber, torch.zeros(5, 1), SCORES).tolist() == pytest.approx(
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
    assert torch.allclose(loss_of(coral, logits, SCORES), theirs, atol=1e-5)


# CORAL as its authors have it


def test_textbook_coral_is_that_of_its_authors_from_layer_to_loss():
    layers = pytest.importorskip(
        "coral_pytorch.layers", reason="coral-pytorch is a development dependency"
    )
    from coral_pytorch.dataset import levels_from_labelbatch, proba_to_label
    from coral_pytorch.losses import coral_loss

    ours, theirs = CoralLayer(8, 19), layers.CoralLayer(8, num_classes=20)
    theirs.coral_weights.weight.data = ours.shared.weight.data.clone()
    theirs.coral_bias.data = ours.bias.data.clone()
    x = torch.randn(21, 8, generator=torch.Generator().manual_seed(0))
    logits = ours(x)
    assert torch.equal(logits, theirs(x))

    coral = TextbookCoral(ScoreBins())
    assert coral.outputs == 19
    ranks = NearestBin(ScoreBins()).targets(MOS).argmax(1)
    levels = levels_from_labelbatch(ranks, num_classes=20)
    losses = coral_loss(logits, levels, reduction=None)
    assert torch.allclose(loss_of(coral, logits, MOS.float()), losses, atol=1e-5)

    perfect = torch.where(levels > 0, 60.0, -60.0)
    decoded = coral.score(perfect)
    labels = proba_to_label(perfect.sigmoid())
    assert torch.allclose(decoded, torch.from_numpy(ScoreBins().centers)[labels])


def test_textbook_coral_has_one_threshold_between_any_two_bins():
    thresholds = TextbookCoral(ScoreBins()).thresholds
    assert thresholds.tolist() == pytest.approx((MOS[1:20]).tolist())
    ends = TextbookCoral(ScoreBins(count=5, grid="endpoints"))
    assert ends.thresholds.tolist() == [1.5, 2.5, 3.5, 4.5]


@pytest.mark.parametrize("bins", [ScoreBins(), ScoreBins(0, 10, 7, "endpoints")])
def test_an_untrained_textbook_head_predicts_the_middle_and_equally_likely_bins(bins):
    coral, layer = TextbookCoral(bins), CoralLayer(3, bins.count - 1)
    logits = layer(torch.zeros(1, 3)).detach()
    middle = (bins.low + bins.high) / 2
    assert coral.score(logits).item() == pytest.approx(middle, abs=1e-5)
    above = coral.cumulative_logits(logits).sigmoid()[0]
    steps = torch.cat([torch.ones(1), above]) - torch.cat([above, torch.zeros(1)])
    assert steps.tolist() == pytest.approx([1 / bins.count] * bins.count, abs=1e-6)


def test_with_one_weight_vector_the_gaps_between_thresholds_are_the_same_for_all():
    generator = torch.Generator().manual_seed(0)
    shared = CoralLayer(4, 19)(torch.randn(6, 4, generator=generator)).diff(dim=-1)
    assert torch.allclose(shared, shared[:1].expand_as(shared), atol=1e-5)
    free = Coral(ScoreBins()).cumulative_logits(torch.randn(6, 20, generator=generator))
    assert not torch.allclose(free.diff(dim=-1)[0], free.diff(dim=-1)[1], atol=1e-2)


# ranking a batch


RANKED = torch.tensor([4.2, 1.0, 3.0, 3.0, 2.6])


def listwise():
    return Listwise(ScoreBins(), 0.25)


def some_logits(n=5):
    return torch.randn(n, 20, generator=torch.Generator().manual_seed(3))


def slow_listnet(logits, scores, weights):
    """ListNet clip by clip, in plain numbers; a copy of a clip is a clip."""
    expected = ScoreBins().expected(logits.double().softmax(-1).numpy())
    true = [w * np.exp(s) for w, s in zip(weights, scores, strict=True)]
    said = [w * np.exp(s) for w, s in zip(weights, expected, strict=True)]
    total = 0.0
    for one, other in zip(true, said, strict=True):
        if one > 0:
            share, said_share = one / sum(true), other / sum(said)
            total += share * (np.log(share) - np.log(said_share))
    return total


def test_the_ranking_loss_is_listnet_with_weights():
    weights = torch.tensor([1.0, 2.0, 0.0, 0.5, 1.0])
    loss = listwise().batch_loss(some_logits(), RANKED, weights).item()
    slow = slow_listnet(some_logits(), RANKED.tolist(), weights.tolist())
    assert loss == pytest.approx(slow, abs=1e-6)
    assert loss > 0.01


def test_the_ranking_loss_is_0_where_the_order_and_its_distances_are_right():
    """Where no score leans inwards: away from the ends of the scale."""
    scores = torch.tensor([2.0, 3.0, 3.6, 2.4])
    perfect = torch.from_numpy(ScoreBins().soften(scores.numpy(), 0.25)).log()
    for moved in (scores, scores + 0.4):
        loss = listwise().batch_loss(perfect, moved, torch.ones(4))
        assert loss.item() == pytest.approx(0, abs=1e-5)
    wrong = listwise().batch_loss(perfect, scores.flip(0), torch.ones(4))
    assert wrong.item() > 0.1


def test_the_ranking_loss_does_not_depend_on_the_order_of_the_batch():
    criterion, weights = listwise(), torch.tensor([1.0, 2.0, 0.5, 0.0, 1.0])
    order = torch.tensor([3, 0, 4, 2, 1])
    whole = criterion.batch_loss(some_logits(), RANKED, weights)
    turned = criterion.batch_loss(some_logits()[order], RANKED[order], weights[order])
    assert turned.item() == pytest.approx(whole.item(), abs=1e-6)


def test_a_clip_of_weight_two_counts_twice_and_one_of_weight_none_not():
    criterion, logits = listwise(), some_logits()
    weights = torch.tensor([1.0, 2.0, 0.0, 1.0, 1.0])
    rows = torch.tensor([0, 1, 1, 3, 4])
    weighted = criterion.batch_loss(logits, RANKED, weights)
    repeated = criterion.batch_loss(logits[rows], RANKED[rows], torch.ones(5))
    # Copies share their clip's part of the softmax, which changes no divergence.
    assert weighted.item() == pytest.approx(repeated.item(), abs=1e-6)


@pytest.mark.parametrize(
    "weights", [[0.0] * 5, [0.0, 0.0, 1.0, 0.0, 0.0]], ids=["none", "one"]
)
def test_with_fewer_than_two_clips_there_is_nothing_to_rank(weights):
    logits = some_logits().requires_grad_()
    loss = listwise().batch_loss(logits, RANKED, torch.tensor(weights))
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.any()


def test_equal_labels_draw_predictions_together_and_equal_predictions_lose_nothing():
    logits, equal = some_logits().requires_grad_(), torch.full((5,), 3.0)
    loss = listwise().batch_loss(logits, equal, torch.ones(5))
    (gradient,) = torch.autograd.grad(loss, logits)
    after = listwise().batch_loss(logits - 5 * gradient, equal, torch.ones(5))
    assert 0 < after.item() < loss.item()
    same = some_logits(1).expand(5, 20)
    assert listwise().batch_loss(same, equal, torch.ones(5)).item() == pytest.approx(
        0, abs=1e-7
    )


def test_the_gradient_of_the_ranking_loss_is_that_of_small_steps():
    logits = some_logits().double().requires_grad_()
    weights = torch.tensor([1.0, 2.0, 0.0, 0.5, 1.0])
    loss = listwise().batch_loss(logits, RANKED, weights)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert not gradient[2].any()
    step = 1e-2
    for row, bin_ in ((0, 3), (1, 19), (4, 0)):
        changed = []
        for sign in (1, -1):
            moved = logits.detach().clone()
            moved[row, bin_] += sign * step
            changed.append(slow_listnet(moved, RANKED.tolist(), weights.tolist()))
        slope = (changed[0] - changed[1]) / (2 * step)
        assert gradient[row, bin_].item() == pytest.approx(slope, abs=1e-5)


def test_extreme_logits_keep_a_finite_ranking_loss():
    logits = torch.full((5, 20), -1e4)
    logits[range(5), [0, 19, 0, 19, 5]] = 1e4
    loss = listwise().batch_loss(logits, RANKED, torch.ones(5))
    assert torch.isfinite(loss)
