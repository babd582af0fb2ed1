"""Counts on the meta device are those of real modules that compute."""

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from base_models.config import BaseConfig
from base_models.networks.costs import Cost, count_cost, on_meta
from base_models.networks.models import Batch, build_model


def counted(build, *shape):
    return count_cost(on_meta(build), torch.zeros(shape, device="meta"))


def test_layers_are_counted_as_on_paper():
    cost, output = counted(lambda: nn.Linear(6, 4), 3, 5, 6)
    assert cost == Cost(parameters=6 * 4 + 4, macs=3 * 5 * 6 * 4, attention_macs=0)
    assert output.shape == (3, 5, 4)
    cost, _ = counted(lambda: nn.Conv1d(2, 8, 3, padding=1), 1, 2, 10)
    assert cost.macs == 2 * 8 * 3 * 10


def test_products_within_attention_are_counted_apart():
    class Attention(nn.MultiheadAttention):
        def forward(self, x):
            return super().forward(x, x, x)[0]

    cost, _ = counted(lambda: Attention(8, 2, batch_first=True), 1, 10, 8)
    assert cost.attention_macs == 2 * 10 * 10 * 8
    assert cost.macs == 4 * 10 * 8 * 8 + cost.attention_macs


def test_an_lstm_multiplies_every_weight_at_every_step():
    class States(nn.LSTM):
        def forward(self, x):
            return super().forward(x)[0]

    cost, states = counted(lambda: States(6, 4, batch_first=True), 2, 7, 6)
    assert cost.macs == 2 * 7 * (4 * 4) * (6 + 4)
    assert cost.parameters == sum(p.numel() for p in nn.LSTM(6, 4).parameters())
    assert states.shape == (2, 7, 4)


@pytest.fixture
def plain_kernels():
    """No fused kernels of the CPU, which are not counted."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    with sdpa_kernel(SDPBackend.MATH):
        yield
    torch.backends.mha.set_fastpath_enabled(before)


@pytest.mark.parametrize(
    "preset", ["dora", "dora_decoupled", "dora_mamba", "whisq", "whisq_vanilla"]
)
def test_a_network_is_counted_as_where_it_computes(preset, plain_kernels):
    def build():
        return build_model(
            BaseConfig.preset(preset), (False, True), audio_dim=16, text_dim=8
        )

    def batch(device):
        return Batch(
            frames=torch.zeros(1, 9, 16, device=device),
            frame_mask=torch.ones(1, 9, dtype=torch.bool, device=device),
            tokens=torch.zeros(1, 5, 8, device=device),
            token_mask=torch.ones(1, 5, dtype=torch.bool, device=device),
        )

    cost, output = count_cost(on_meta(build), batch("meta"))
    real = build().eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        expected = real(batch("cpu"))
    assert output.shape == expected.shape
    assert cost.macs == counter.get_total_flops() // 2
    assert cost.parameters == sum(p.numel() for p in real.parameters())


def test_costs_add_up():
    assert Cost(1, 2, 3) + Cost(10, 20, 30) == Cost(11, 22, 33)
