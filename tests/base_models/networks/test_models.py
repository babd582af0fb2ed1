"""Laws of the network: sizes as published, padding and company change nothing, masks
point the right way."""

import pytest
import torch
from tiny_networks import embedded_clips

from base_models.config import MODELS, BaseConfig
from base_models.errors import UsageError
from base_models.networks.batches import EmbeddedClips
from base_models.networks.criteria import build_criterion
from base_models.networks.layers import AttentionPooling
from base_models.networks.models import build_model
from base_models.training.loop import raw_outputs

CPU = torch.device("cpu")


def parameters(config, audio=1024, text=768):
    return sum(
        p.numel() for p in build_model(config, [False, True], audio, text).parameters()
    )


@pytest.fixture
def clips():
    return embedded_clips([(9, 4), (3, 1), (14, 7), (1, 2), (6, 6)])


def model(name="dora", **changes):
    torch.manual_seed(0)
    return build_model(
        BaseConfig.preset(name).updated(changes, "test"), [False, True], 16, 8
    )


def test_sizes_are_those_counted_in_the_published_code():
    assert parameters(BaseConfig.preset("dora")) == 13_177_706
    assert parameters(BaseConfig.preset("dora_decoupled")) == 13_177_706
    assert parameters(BaseConfig.preset("dora_l1")) == 13_169_156
    assert (
        parameters(BaseConfig.preset("dora_coral").updated({"coral_ranks": 5}, "test"))
        == 13_326_602
    )
    assert parameters(BaseConfig.preset("whisq"), 512, 1024) == 3_052_802
    assert parameters(BaseConfig.preset("clap_baseline"), 512, 512) == 426_754
    assert parameters(BaseConfig.preset("muq_mulan"), 512, 512) == 426_754


@pytest.mark.parametrize("name", MODELS)
def test_a_clip_alone_scores_what_it_scores_in_any_batch(name, clips):
    network = model(name)
    together = raw_outputs(network, clips, 5, CPU)
    alone = raw_outputs(network, clips, 1, CPU)
    assert torch.allclose(together, alone, atol=2e-6)


@pytest.mark.parametrize("name", MODELS)
def test_what_stands_in_the_padding_changes_nothing(name, clips):
    network = model(name).eval()
    batch = clips.batch(range(5))
    before = network(batch)
    batch.frames[~batch.frame_mask] = 1e3
    batch.tokens[~batch.token_mask] = -1e3
    assert torch.equal(network(batch), before)


def test_pooling_reads_the_real_positions_and_never_the_padding():
    pool = AttentionPooling(3)
    x, mask = torch.randn(2, 5, 3), torch.tensor([[True] * 2 + [False] * 3, [True] * 5])
    weights = pool.weights(x, mask)
    assert torch.allclose(weights.sum(1), torch.ones(2))
    assert (weights[0, 2:] == 0).all()
    assert (weights[mask] > 0).all()


def test_a_longer_prompt_in_the_batch_does_not_change_text_alignment(clips):
    network = model().eval()
    alone = network(clips.batch([1]))
    assert torch.allclose(network(clips.batch([1, 2]))[:1], alone, atol=2e-6)


def test_gradients_of_a_decoupled_text_branch_never_reach_the_temporal_block(clips):
    for name, reached in [("dora", True), ("dora_decoupled", False)]:
        network = model(name)
        network(clips.batch(range(5)))[:, 1].sum().backward()
        assert any(bool(p.grad.any()) for p in network.temporal.parameters()) == reached


@pytest.mark.parametrize("name", ["dora", "whisq", "clap_baseline"])
def test_five_audio_aspects_need_no_text(name, clips):
    config = BaseConfig.preset(name)
    network, alone = (
        build_model(config, [False] * 5, 16, None),
        EmbeddedClips(clips.frames),
    )
    assert raw_outputs(network, alone, 2, CPU).shape == (
        5,
        5,
        build_criterion(config).outputs,
    )
    assert network.auxiliary(alone.batch([0, 1])) is None


@pytest.mark.parametrize("name", MODELS)
def test_every_head_ends_in_a_bias_per_output_and_no_weight_is_clipped_twice_or_never(
    name,
):
    network = model(name)
    assert all(
        head[-1].bias.shape == (build_criterion(BaseConfig.preset(name)).outputs,)
        for head in network.aspect_heads()
    )
    clipped = [id(p) for part in network.independent_parts() for p in part.parameters()]
    assert sorted(clipped) == sorted(id(p) for p in network.parameters())


def test_parts_that_do_not_fit_are_refused():
    with pytest.raises(UsageError, match="width 10 cannot be split into 4"):
        build_model(BaseConfig(), [False], 10, None)
    for name in ("whisq", "dora_bilstm"):
        with pytest.raises(UsageError, match="width 9 cannot be split into"):
            build_model(BaseConfig.preset(name), [False, True], 9, 8)
    with pytest.raises(UsageError, match="a text encoder is needed"):
        build_model(BaseConfig(), [True], 16, None)
