"""Laws of WhisQ: the audio path shares nothing with the text path, and the text path
reads only what is real."""

import numpy as np
import pytest
import torch
from tiny_networks import training_task

from base_models.config import BaseConfig
from base_models.devices import seeded
from base_models.networks.batches import EmbeddedClips
from base_models.networks.co_attention import CO_ATTENTION
from base_models.networks.criteria import build_criterion
from base_models.networks.models import build_model
from base_models.training.loop import raw_outputs, train_network
from base_models.training.task import TrainingTask

CPU = torch.device("cpu")
N = 12
QUICK = {"max_epochs": 3, "batch_size": 5, "learning_rate": 0.05, "clip_norm": 0.1}


def build(needs_text=(False, True), **changes):
    config = BaseConfig.preset("whisq").updated(changes, "test")
    with seeded(0, CPU):
        return config, build_model(config, needs_text, 16, 8)


def trained(data=None, needs_text=(False, True), **changes):
    config, network = build(needs_text, **QUICK | changes)
    history = train_network(
        network, build_criterion(config), data or training_task(N), config, 0, CPU
    )
    return network, history


def test_without_transport_the_music_quality_is_the_same_whatever_the_attention():
    data = training_task(N)
    outputs = [
        raw_outputs(
            trained(data, co_attention=kind, alignment_weight=0.0)[0],
            data.clips,
            4,
            CPU,
        )
        for kind in CO_ATTENTION
    ]
    for other in outputs[1:]:
        assert torch.equal(other[:, 0], outputs[0][:, 0])
        assert not torch.allclose(other[:, 1], outputs[0][:, 1], atol=1e-3)


def test_transport_changes_text_alignment_and_nothing_else():
    data = training_task(N)
    without, with_it = (
        raw_outputs(trained(data, alignment_weight=weight)[0], data.clips, 4, CPU)
        for weight in (0.0, 0.1)
    )
    assert torch.equal(without[:, 0], with_it[:, 0])
    assert not torch.allclose(without[:, 1], with_it[:, 1], atol=1e-4)


def test_a_weight_of_zero_is_no_transport():
    one, two = trained(alignment_weight=0.0)[0], trained(alignment="none")[0]
    assert all(
        torch.equal(a, b)
        for a, b in zip(one.parameters(), two.parameters(), strict=True)
    )


def test_the_order_of_the_aspects_changes_no_head():
    scores = training_task(N).scores
    one = trained(training_task(N), (False, True))[0]
    two = trained(training_task(N, scores=scores[:, ::-1].copy()), (True, False))[0]
    assert torch.equal(one.heads[0][-1].weight, two.heads[1][-1].weight)
    assert torch.equal(one.heads[1][-1].weight, two.heads[0][-1].weight)


def test_without_text_music_quality_is_trained_alone_and_nothing_else_exists():
    data = training_task(N)
    alone = TrainingTask(
        EmbeddedClips(data.clips.frames),
        data.scores[:, :1],
        data.weights,
        data.train,
        data.validation,
    )
    network, history = trained(alone, (False,), aspect_loss="sum")
    both, _ = trained(data, aspect_loss="sum")
    assert {name.split(".")[0] for name in network.state_dict()} == {"heads"}
    assert torch.equal(network.heads[0][-1].weight, both.heads[0][-1].weight)
    assert "auxiliary" not in history[-1]


@pytest.mark.parametrize("alignment", ["sinkhorn", "gromov_wasserstein", "contrastive"])
def test_the_alignment_reaches_the_projection_and_only_it(alignment):
    _, network = build(alignment=alignment)
    network.auxiliary(training_task(N).clips.batch(range(6))).backward()
    reached = {
        name
        for name, p in network.named_parameters()
        if p.grad is not None and bool(p.grad.any())
    }
    assert reached <= {"projection.weight", "projection.bias"}
    assert "projection.weight" in reached


@pytest.mark.parametrize("alignment", ["sinkhorn", "gromov_wasserstein", "contrastive"])
def test_every_alignment_trains_falls_and_is_recorded_with_its_weight(alignment):
    settings = {
        "alignment": alignment,
        "alignment_weight": 0.5,
        "max_epochs": 8,
        "clip_norm": 1.0,
    }
    _, history = trained(**settings)
    assert history[-1]["auxiliary"] < history[0]["auxiliary"]
    for record in history:
        assert record["weighted_auxiliary"] == pytest.approx(0.5 * record["auxiliary"])


def test_heads_start_at_the_weighted_training_mean_of_their_aspect():
    scores, weights = training_task(N).scores.copy(), np.linspace(0.5, 2, N)
    scores[[0, 4], 1] = np.nan
    network, _ = trained(
        training_task(N, scores=scores, weights=weights),
        learning_rate=1e-12,
        max_epochs=1,
    )
    for a, head in enumerate(network.heads):
        known = np.isfinite(scores[:9, a])
        mean = np.average(scores[:9, a][known], weights=weights[:9][known])
        assert head[-1].bias.item() + 3 == pytest.approx(mean, abs=1e-5)


def test_the_last_epoch_is_kept_whatever_the_validation_clips_say():
    network, history = trained(
        training_task(N, validation=[9]), max_epochs=5, patience=1
    )
    assert [record["best"] for record in history] == [1, 2, 3, 4, 5]
    again, _ = trained(training_task(N, validation=[10, 11]), max_epochs=5, patience=1)
    assert all(
        torch.equal(a, b)
        for a, b in zip(network.parameters(), again.parameters(), strict=True)
    )


def test_a_step_is_bounded_by_the_norm_of_each_part():
    config, network = build(
        clip_norm=0.01,
        learning_rate=1.0,
        momentum=0.0,
        start_at_mean=False,
        max_epochs=1,
    )
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    train_network(
        network, build_criterion(config), training_task(N), config, 0, CPU
    )  # one batch, one step
    moved = {
        name: (p.detach() - before[name]).square().sum()
        for name, p in network.named_parameters()
    }
    audio = sum(value for name, value in moved.items() if name.startswith("heads.0"))
    assert float(audio.sqrt()) == pytest.approx(0.01, rel=1e-3)
    assert float((sum(moved.values()) - audio).sqrt()) == pytest.approx(0.01, rel=1e-3)


def test_the_means_of_both_are_what_no_attention_gives():
    batch = training_task(N).clips.batch([1, 4])
    tokens = torch.randn(2, batch.tokens.shape[1], 16)
    pooled = CO_ATTENTION["none"](16, 4)(
        batch.frames, batch.frame_mask, tokens, batch.token_mask
    )
    assert torch.allclose(pooled[0, :16], batch.frames[0, :2].mean(0), atol=1e-6)
    assert torch.allclose(pooled[0, 16:], tokens[0, :3].mean(0), atol=1e-6)
