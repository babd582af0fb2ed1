"""What makes encoders faster in float32 changes nothing but last digits."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from base_models.encoders.numerics.folding import fix_weights, fold_batch_norm
from base_models.encoders.numerics.winograd import (
    FEWEST_CHANNELS,
    WinogradConv2d,
    can_replace,
    use_winograd,
)

WIDE = FEWEST_CHANNELS


def relative_difference(ours, expected):
    return float((ours - expected).norm() / expected.norm())


def convolution(**changes):
    settings = {"kernel_size": 3, "padding": 1} | changes
    torch.manual_seed(0)
    return nn.Conv2d(WIDE, WIDE + 4, **settings).requires_grad_(False)


@pytest.mark.parametrize("size", [(1, 1), (4, 4), (5, 7), (6, 61), (2, 150)])
@pytest.mark.parametrize("batch", [1, 3])
def test_a_convolution_by_tiles_is_the_direct_one(size, batch):
    direct = convolution()
    inputs = torch.randn(batch, WIDE, *size).relu()
    ours = WinogradConv2d(direct)(inputs)
    assert ours.shape == (batch, WIDE + 4, *size)
    assert relative_difference(ours, direct(inputs)) < 5e-6


def test_a_convolution_by_tiles_may_have_no_bias():
    direct = convolution(bias=False)
    inputs = torch.randn(1, WIDE, 9, 10)
    assert relative_difference(WinogradConv2d(direct)(inputs), direct(inputs)) < 5e-6


def test_company_in_a_batch_changes_only_last_digits_of_a_convolution_by_tiles():
    ours = WinogradConv2d(convolution())
    inputs = torch.randn(3, WIDE, 10, 40)
    alone = torch.cat([ours(item[None]) for item in inputs])
    assert relative_difference(ours(inputs), alone) < 1e-6


@pytest.mark.parametrize(
    "changes",
    [
        {"stride": 2},
        {"kernel_size": 5, "padding": 2},
        {"padding": 0},
        {"dilation": 2},
        {"groups": 2},
        {"padding_mode": "reflect"},
        # Other devices have kernels of their own.
        {"device": "meta"},
    ],
)
def test_other_convolutions_stay_as_they_are(changes):
    assert not can_replace(convolution(**changes))


def test_only_wide_convolutions_are_replaced_at_any_depth():
    narrow = nn.Conv2d(8, 8, 3, padding=1)
    network = nn.Sequential(narrow, nn.Sequential(convolution()), nn.ReLU())
    use_winograd(network)
    assert network[0] is narrow
    assert isinstance(network[1][0], WinogradConv2d)


class Block(nn.Module):
    def __init__(self, convolution, norm):
        super().__init__()
        self.conv = convolution
        self.norm = norm

    def forward(self, inputs):
        return self.norm(self.conv(inputs))


@pytest.mark.parametrize("dimensions", [1, 2])
def test_a_folded_normalisation_computes_the_same(dimensions):
    make_convolution = (nn.Conv1d, nn.Conv2d)[dimensions - 1]
    make_norm = (nn.BatchNorm1d, nn.BatchNorm2d)[dimensions - 1]
    torch.manual_seed(0)
    norm = make_norm(6)
    with torch.no_grad():
        for name, tensor in norm.state_dict().items():
            if "num" not in name:
                tensor.uniform_(0.3, 2)
    block = Block(make_convolution(4, 6, 3, bias=False), norm).eval()
    inputs = torch.randn(2, 4, *[9] * dimensions)
    with torch.no_grad():
        expected = block(inputs)
        fold_batch_norm(block, "conv", norm="norm")
        assert isinstance(block.norm, nn.Identity)
        assert relative_difference(block(inputs), expected) < 1e-6


def test_fixed_weights_are_those_that_were_computed_at_every_call():
    layer = nn.utils.parametrizations.weight_norm(nn.Conv1d(4, 6, 3), dim=2)
    network = nn.Sequential(layer)
    inputs = torch.randn(1, 4, 9)
    with torch.no_grad():
        expected = network(inputs)
        fix_weights(network)
        assert torch.equal(network(inputs), expected)
    assert type(network[0]) is nn.Conv1d
    assert set(network.state_dict()) == {"0.weight", "0.bias"}
