"""Laws of recorded attention: it sums to 1 over what is there and is 0 on padding;
watching changes no score."""

import numpy as np
import ot
import pytest
import torch
from tiny_networks import embedded_clips
from torch import nn

from base_models.config import BaseConfig
from base_models.devices import seeded
from base_models.networks.alignment import sinkhorn_plan
from base_models.networks.attention import (
    AXES,
    attention_maps,
    explain_network,
    record_attention,
)
from base_models.networks.models import build_model

PRESETS = {
    "dora": ({"time"}, {"time", "tokens", "tokens_by_time"}),
    "dora_decoupled": ({"time"}, {"time", "tokens", "tokens_by_time"}),
    "dora_bilstm": ({"time"}, {"time", "tokens", "tokens_by_time"}),
    "dora_mean": (set(), {"time", "tokens_by_time"}),
    "whisq": (set(), {"time", "tokens", "tokens_by_time", "time_by_tokens", "plan"}),
    "whisq_no_ot": (set(), {"time", "tokens", "tokens_by_time", "time_by_tokens"}),
    "whisq_vanilla": (set(), {"time", "tokens", "plan"}),
    "whisq_cross": (set(), {"time", "tokens_by_time", "plan"}),
    "whisq_mlp": (set(), set()),
    "clap_baseline": (set(), set()),
}
"""Which maps a model has: of an aspect of the audio alone, and of one judged against
the prompt."""
ASPECTS, TEXT = ("mi", "ta"), (False, True)
LENGTHS = ((5, 3), (9, 1), (1, 6), (7, 4))


@pytest.fixture(params=PRESETS)
def preset(request):
    return request.param


CLIPS = embedded_clips(LENGTHS)


def network(preset):
    with seeded(0, torch.device("cpu")):
        model = build_model(BaseConfig.preset(preset), TEXT, 16, 8)
        for parameter in model.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=0.6)  # far from even attention
    return model.eval()


def explained(preset, rows=range(4), size=4):
    clips = CLIPS.take(rows)
    return explain_network(network(preset), clips, ASPECTS, TEXT, size, "cpu")


def test_each_model_has_the_maps_that_it_has_attention_for_and_says_what_is_absent(
    preset,
):
    for clip in explained(preset):
        for one, aspect, names in zip(clip, ASPECTS, PRESETS[preset], strict=True):
            assert one.aspect == aspect
            assert set(one.maps) == names
            absent = (
                {"tokens": "words", "time": "over time"}
                if aspect == "ta"
                else {"time": "over time"}
            ).items()
            assert [words in one.note for name, words in absent] == [
                name not in names for name, words in absent
            ]


def test_rows_sum_to_1_over_the_true_length_and_the_shapes_are_the_clips(preset):
    for (frames, tokens), clip in zip(LENGTHS, explained(preset), strict=True):
        sizes = {"frames": frames, "tokens": tokens}
        for one in clip:
            for name, found in one.maps.items():
                assert found.dtype == np.float32
                assert (found >= 0).all()
                assert found.shape == tuple(
                    sizes[axis] for axis in AXES.get(name, ("tokens", "frames"))
                )
                np.testing.assert_allclose(
                    found.sum() if name == "plan" else found.sum(-1), 1, atol=1e-5
                )


def test_padding_gets_exactly_nothing(preset):
    batch = CLIPS.batch(range(4))
    masks = {"frames": ~batch.frame_mask, "tokens": ~batch.token_mask}
    for maps in attention_maps(network(preset), batch):
        for name, found in maps.items():
            padded = masks[AXES[name][-1]]
            last = found if found.dim() == 2 else found.transpose(1, 2)
            assert (last[padded] == 0).all(), name


def test_a_clip_alone_attends_to_what_it_attends_to_in_any_batch(preset):
    together, alone = explained(preset), explained(preset, size=1)
    turned = explained(preset, [2, 0, 3, 1], 3)
    for row in range(4):
        for a in range(2):
            for name, found in together[row][a].maps.items():
                np.testing.assert_allclose(alone[row][a].maps[name], found, atol=1e-6)
                np.testing.assert_allclose(
                    turned[[2, 0, 3, 1].index(row)][a].maps[name], found, atol=1e-6
                )


def test_watching_changes_no_bit_of_the_scores_and_leaves_no_hook(preset):
    model, batch = network(preset), CLIPS.batch(range(4))
    with torch.inference_mode():
        before = model(batch)
        with record_attention(model):
            watched = model(batch)
        after = model(batch)
    assert torch.equal(before, watched)
    assert torch.equal(before, after)
    assert not any(part._forward_hooks for part in model.modules())


def test_the_hooks_go_when_the_network_fails():
    model = network("dora")
    with pytest.raises(ValueError, match="stop"), record_attention(model):
        raise ValueError("stop")
    assert not any(part._forward_hooks for part in model.modules())


# against the slow, obvious version


def test_over_time_dora_weighs_as_its_pooling_does_by_hand():
    model, data = network("dora"), CLIPS
    for row, (mi, _) in enumerate(explained("dora")):
        frames = torch.tensor(data.frames[row]).float()[None]
        context = model.temporal(frames, torch.ones(frames.shape[:2], dtype=bool))
        score = model.branches[0].pool.score(context)[0, :, 0]
        np.testing.assert_allclose(
            mi.maps["time"], (score.exp() / score.exp().sum()).detach(), atol=1e-6
        )


def test_of_the_text_a_frame_weighs_what_the_tokens_looking_at_it_weigh():
    for preset in ("dora", "dora_mean"):
        for _, ta in explained(preset):
            rows = ta.maps["tokens_by_time"]
            shares = ta.maps.get("tokens", np.full(len(rows), 1 / len(rows)))
            np.testing.assert_allclose(ta.maps["time"], shares @ rows, atol=1e-6)


def test_attention_by_hand_is_the_mean_over_heads_of_softmax():
    model, data = network("whisq_no_ot"), CLIPS
    head, width = model.attention.text, 4
    for row, (_, ta) in enumerate(explained("whisq_no_ot")):
        x = torch.tensor(data.frames[row]).float()
        y = model.projection(torch.tensor(data.tokens[row]).float())
        q = (y @ head.in_proj_weight[:16].T + head.in_proj_bias[:16]).reshape(
            -1, 4, width
        )
        k = (x @ head.in_proj_weight[16:32].T + head.in_proj_bias[16:32]).reshape(
            -1, 4, width
        )
        weights = torch.einsum("shd,thd->hst", q, k).div(width**0.5).softmax(-1).mean(0)
        np.testing.assert_allclose(
            ta.maps["tokens_by_time"], weights.detach(), atol=1e-5
        )


# the transport plan


def cloud(n, seed, scale=1.0):
    return (
        scale * torch.randn(n, 6, generator=torch.Generator().manual_seed(seed)) + seed
    )


@pytest.mark.parametrize(("n", "m"), [(12, 4), (7, 7), (5, 1), (1, 5)])
def test_the_plan_is_that_of_pot(n, m):
    x, y = cloud(n, 1), cloud(m, 2)
    cost = ot.dist(y.double().numpy(), x.double().numpy()) / 2
    shares = np.full(m, 1 / m), np.full(n, 1 / n)
    theirs = ot.sinkhorn(
        *shares, cost, 0.5**2, method="sinkhorn_log", numItermax=100_000, stopThr=1e-10
    )
    ours = sinkhorn_plan(x, y, blur=0.5).numpy()
    np.testing.assert_allclose(ours, theirs, atol=0.02 / max(n, m))


def test_the_plan_of_sharp_transport_moves_nearly_at_the_least_cost():
    x, y = cloud(60, 1, 20.0), cloud(8, 2, 20.0)
    plan = sinkhorn_plan(x, y).double()
    cost = torch.cdist(y.double(), x.double()).square() / 2
    least = ot.emd2(np.full(8, 1 / 8), np.full(60, 1 / 60), cost.numpy())
    assert plan.sum().item() == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(plan.sum(1), 1 / 8, rtol=1e-5)
    assert (plan.sum(0) * 60 - 1).abs().mean() < 0.2
    assert (plan * cost).sum().item() == pytest.approx(least, rel=0.01)


def test_moving_a_cloud_changes_no_plan():
    x, y = cloud(9, 1), cloud(4, 2)
    np.testing.assert_allclose(
        sinkhorn_plan(x + 100, y, 0.5), sinkhorn_plan(x, y - 7, 0.5), atol=1e-4
    )


def test_a_thinned_plan_has_a_column_for_each_group_of_frames():
    config = BaseConfig.preset("whisq").updated({"alignment_stride": 4}, "test")
    model = build_model(config, TEXT, 16, 8).eval()
    for (frames, tokens), clip in zip(
        LENGTHS, explain_network(model, CLIPS, ASPECTS, TEXT, 4, "cpu"), strict=True
    ):
        assert clip[1].maps["plan"].shape == (tokens, -(-frames // 4))
