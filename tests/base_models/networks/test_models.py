"""Laws of the network: sizes as published, padding and company change nothing, masks
point the right way."""

from dataclasses import replace

import pytest
import torch
from tiny_networks import embedded_clips

from base_models.config import MODELS, BaseConfig
from base_models.errors import UsageError
from base_models.networks.batches import EmbeddedClips, Labels
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


def labels_of(scores, weights=None):
    scores = torch.tensor(scores)
    if weights is None:
        weights = torch.ones_like(scores)
    return Labels(scores, torch.as_tensor(weights))


ANCHORED = [[3.0, 5.0], [3.0, 1.0], [3.0, 3.0], [3.0, 2.0], [3.0, 4.4]]


def test_the_anchored_loss_is_the_square_of_similarity_minus_score(clips):
    network, batch = model("dera").eval(), clips.batch(range(5))
    context = network.context(batch)
    loss = network.auxiliary(batch, context, labels_of(ANCHORED))
    branch = network.branches[1]
    slow = 0.0
    for row, (_, score) in enumerate(ANCHORED):
        audio = branch.cross.audio(context[row, : len(clips.frames[row])]).mean(0)
        words = torch.tensor(clips.tokens[row]).float()
        text = branch.cross.text(words).mean(0)
        cosine = (audio @ text) / (audio.norm() * text.norm())
        slow += (cosine.item() - (score - 3) / 2) ** 2 / 5
    assert loss.item() == pytest.approx(slow, abs=1e-5)
    assert torch.equal(network.auxiliary(batch, labels=labels_of(ANCHORED)), loss)


def test_the_anchored_loss_sees_labels_by_their_weights_and_no_padding(clips):
    network, batch = model("dera").eval(), clips.batch(range(5))
    weights = torch.tensor([[1.0] * 2, [1.0, 0.0], [1.0, 2.0], [1.0] * 2, [1.0, 0.5]])
    loss = network.auxiliary(batch, labels=labels_of(ANCHORED, weights))
    # An unlabelled clip may have any number in place of its score.
    other = [*ANCHORED[:1], [3.0, 77.0], *ANCHORED[2:]]
    assert torch.equal(network.auxiliary(batch, labels=labels_of(other, weights)), loss)
    order = [3, 0, 4, 2, 1]
    turned = network.auxiliary(
        clips.batch(order),
        labels=labels_of([ANCHORED[row] for row in order], weights[order]),
    )
    assert turned.item() == pytest.approx(loss.item(), abs=1e-6)
    rows = [0, 2, 2, 3]
    repeated = network.auxiliary(
        clips.batch(rows), labels=labels_of([ANCHORED[row] for row in rows])
    )
    twice = weights * torch.tensor([1.0, 1.0, 1.0, 1.0, 0.0])[:, None]
    weighted = network.auxiliary(batch, labels=labels_of(ANCHORED, twice))
    assert repeated.item() == pytest.approx(weighted.item(), abs=1e-6)
    none = network.auxiliary(batch, labels=labels_of(ANCHORED, torch.zeros(5, 2)))
    assert none.item() == 0
    batch.frames[~batch.frame_mask] = 1e3
    batch.tokens[~batch.token_mask] = -1e3
    assert torch.equal(
        network.auxiliary(batch, labels=labels_of(ANCHORED, weights)), loss
    )


@pytest.mark.parametrize("decoupled", [False, True])
def test_the_anchored_loss_reaches_the_projections_and_the_temporal_block(
    decoupled, clips
):
    network = model("dera", decoupled=decoupled)
    network.auxiliary(clips.batch(range(5)), labels=labels_of(ANCHORED)).backward()
    reached = {
        ".".join(name.split(".")[:4])
        for name, p in network.named_parameters()
        if p.grad is not None and bool(p.grad.any())
    }
    projections = {f"branches.1.cross.{part}" for part in ("audio", "text")}
    assert projections <= reached
    others = {name.split(".")[0] for name in reached - projections}
    assert others == (set() if decoupled else {"temporal"})


def test_without_a_weight_or_a_text_aspect_nothing_is_anchored(clips):
    batch = clips.batch([0, 1])
    assert model("dera", alignment_weight=0.0).auxiliary(batch) is None
    config = BaseConfig.preset("dera")
    audio = build_model(config, [False, False], 16, None)
    assert audio.auxiliary(batch, labels=labels_of(ANCHORED[:2])) is None
    with pytest.raises(ValueError, match="needs the labels"):
        model("dera").auxiliary(batch)


def test_a_network_of_audio_alone_has_no_text_branch_and_reads_no_text(clips):
    network = model("muq_eval")
    assert network.needs_text == (False, False)
    alone = EmbeddedClips(clips.frames)
    assert torch.equal(
        raw_outputs(network, alone, 2, CPU), raw_outputs(network, clips, 2, CPU)
    )
    assert model("whisq", audio_only=True).projection is None


def test_without_a_temporal_block_the_frames_are_the_encoders_own(clips):
    network, batch = model("muq_eval"), clips.batch(range(5))
    assert network.context(batch) is batch.frames
    assert not list(network.temporal.parameters())


@pytest.mark.parametrize(
    ("layers", "widths"),
    [(1, [16, 8, 20]), (2, [16, 8, 4, 20]), (3, [16, 8, 4, 2, 20])],
)
def test_heads_have_as_many_hidden_layers_as_they_are_told(layers, widths):
    (head, _) = model(hidden_layers=layers).aspect_heads()
    linear = [part for part in head if isinstance(part, torch.nn.Linear)]
    assert [linear[0].in_features, *(part.out_features for part in linear)] == widths
    kinds = [type(part).__name__ for part in head]
    assert kinds[:3] == ["Linear", "ReLU", "Dropout"]
    assert kinds.count("Dropout") == 1


@pytest.mark.parametrize("name", ["dora", "whisq", "clap_baseline"])
def test_textbook_coral_has_one_weight_vector_in_every_architecture(name):
    changes = {"criterion": "coral", "coral_form": "textbook", "start_at_mean": False}
    for head in model(name, **changes).aspect_heads():
        assert head[-1].shared.weight.shape[0] == 1
        assert head[-1].bias.shape == (19,)


def test_of_a_clip_that_is_cut_the_rest_changes_nothing(clips):
    short = replace(clips, max_frames=3)
    cut = EmbeddedClips([f[:3] for f in clips.frames], clips.tokens)
    changed = [f.copy() for f in clips.frames]
    for frames in changed:
        frames[3:] = 9.0
    for name in ("muq_eval", "dora"):
        network = model(name)
        expected = raw_outputs(network, cut, 2, CPU)
        assert torch.allclose(raw_outputs(network, short, 2, CPU), expected, atol=2e-6)
        other = replace(short, frames=changed)
        assert torch.equal(
            raw_outputs(network, other, 2, CPU), raw_outputs(network, short, 2, CPU)
        )
        whole = raw_outputs(network, clips, 2, CPU)
        assert not torch.allclose(whole, expected, atol=1e-3)


def test_parts_that_do_not_fit_are_refused():
    with pytest.raises(
        UsageError, match=r"width 10 cannot be split into 4 .*such as 1, or use"
    ):
        build_model(BaseConfig(), [False], 10, None)
    for name in ("whisq", "dora_bilstm"):
        with pytest.raises(UsageError, match="width 9 cannot be split into"):
            build_model(BaseConfig.preset(name), [False, True], 9, 8)
    with pytest.raises(UsageError, match=r"hidden_layers = 5 are too many .* width 16"):
        model(hidden_layers=5)
    with pytest.raises(UsageError, match="a text encoder is needed"):
        build_model(BaseConfig(), [True], 16, None)
