"""Laws of the temporal blocks and of pooling: each equals its slow obvious version,
clip by clip at its true length."""

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from base_models.networks import layers
from base_models.networks.layers import (
    MeanPooling,
    TemporalBiLSTM,
    TemporalMamba,
    TemporalTransformer,
)

LENGTHS = torch.tensor([9, 1, 5, 12])
MASK = torch.arange(12) < LENGTHS[:, None]


@pytest.fixture
def frames():
    return torch.randn(4, 12, 8, generator=torch.Generator().manual_seed(0))


def made(block):
    torch.manual_seed(0)
    return {
        "transformer": TemporalTransformer,
        "mamba": TemporalMamba,
        "bilstm": TemporalBiLSTM,
    }[block](8).eval()


@pytest.mark.parametrize("name", ["transformer", "mamba", "bilstm"])
def test_a_block_gives_every_clip_what_it_gives_it_alone_and_unpadded(name, frames):
    block = made(name)
    together = block(frames, MASK)
    assert together.shape == frames.shape
    for row, length in enumerate(LENGTHS):
        alone = block(frames[row : row + 1, :length], MASK[row : row + 1, :length])
        assert torch.allclose(together[row, :length], alone[0], atol=1e-6)


@pytest.mark.parametrize("name", ["transformer", "bilstm"])
def test_the_first_frame_hears_of_the_last(name, frames):
    block, other = made(name), frames.clone()
    other[0, LENGTHS[0] - 1] += 1
    assert not torch.allclose(
        block(other, MASK)[0, 0], block(frames, MASK)[0, 0], atol=1e-5
    )


def test_mamba_hears_only_what_came_before(frames):
    block, other = made("mamba"), frames.clone()
    other[0, 4] += 1
    before, after = block(frames, MASK)[0], block(other, MASK)[0]
    assert torch.allclose(before[:4], after[:4], atol=1e-6)
    assert not torch.allclose(before[4:9], after[4:9], atol=1e-4)


def test_the_lstm_is_torchs_on_packed_sequences(frames):
    ours, theirs = made("bilstm"), nn.LSTM(8, 4, batch_first=True, bidirectional=True)
    weights = dict(ours.ahead.named_parameters()) | {
        f"{k}_reverse": v for k, v in ours.back.named_parameters()
    }
    theirs.load_state_dict(weights)
    packed = pack_padded_sequence(
        frames, LENGTHS, batch_first=True, enforce_sorted=False
    )
    expected = pad_packed_sequence(theirs(packed)[0], batch_first=True)[0]
    assert torch.allclose(ours(frames, MASK)[MASK], expected[MASK], atol=1e-6)


def test_the_fast_scan_is_the_recurrence(frames):
    block = made("mamba")
    fast = block(frames, MASK)
    block.mixer.use_mambapy = False
    assert torch.allclose(block(frames, MASK), fast, atol=1e-5)


def test_scanning_a_few_clips_at_a_time_changes_neither_output_nor_gradient(
    frames, monkeypatch
):
    outcomes = []
    for budget in (2**26, 1):
        monkeypatch.setattr(layers, "SCAN_BUDGET", budget)
        block = made("mamba")
        output = block(frames, MASK)
        output[MASK].square().sum().backward()
        outcomes.append([output.detach(), *(p.grad for p in block.parameters())])
    assert all(
        torch.allclose(one, two, atol=1e-4, rtol=1e-4)
        for one, two in zip(*outcomes, strict=True)
    )


def test_no_notice_of_missing_kernels_is_logged(frames, caplog):
    made("mamba")(frames, MASK)
    assert "falling back" not in caplog.text


def test_the_mean_is_over_the_real_positions(frames):
    pooled = MeanPooling()(frames, MASK)
    for row, length in enumerate(LENGTHS):
        assert torch.allclose(pooled[row], frames[row, :length].mean(0), atol=1e-6)
