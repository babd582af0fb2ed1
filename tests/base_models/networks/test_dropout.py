"""Dropout drops what it should; attention is torch's but for what is drawn."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from base_models.networks import dropout as dropout_module
from base_models.networks.dropout import Attention, Dropout, TransformerLayer

DIM = 16
HEADS = 4


def tensors(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def nothing_dropped(monkeypatch):
    """Every number that is drawn is the largest."""

    def largest(shape):
        return torch.full(shape, 2**15 - 1, dtype=torch.int16)

    monkeypatch.setattr(dropout_module, "_random_bits", largest)


@pytest.mark.parametrize("p", [0.1, 0.3, 0.5])
def test_a_share_is_dropped_and_the_rest_scaled_so_that_the_mean_stays(p):
    torch.manual_seed(0)
    dropped = Dropout(p)(torch.ones(400, 1001)).numpy()
    values = np.unique(dropped)
    assert values[0] == 0
    assert values[1:] == pytest.approx([1 / (1 - p)], abs=1e-4)
    # Five standard errors of 400,400 draws.
    error = 5 * np.sqrt(p * (1 - p) / dropped.size)
    assert np.mean(dropped == 0) == pytest.approx(p, abs=error)
    # Of every row and column, and of each of the four numbers that a draw has.
    assert np.std(np.mean(dropped == 0, axis=0)) < 2 * np.sqrt(p * (1 - p) / 400)
    for place in range(4):
        share = np.mean(dropped.ravel()[place::4] == 0)
        assert share == pytest.approx(p, abs=2 * error)


def test_one_seed_drops_the_same_and_another_does_not():
    x = torch.ones(7, 9)
    drop = Dropout(0.5)
    results = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        results.append(drop(x))
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


def test_nothing_is_dropped_in_evaluation_and_all_where_that_is_asked_for():
    x = tensors(3, 5)
    assert torch.equal(Dropout(0.3).eval()(x), x)
    assert torch.equal(Dropout(0.0)(x), x)
    assert torch.equal(Dropout(1.0)(x), torch.zeros(3, 5))
    assert Dropout(0.3)(torch.empty(0, 5)).shape == (0, 5)


def test_a_gradient_is_dropped_where_the_value_is():
    x = torch.ones(50, 50, requires_grad=True)
    torch.manual_seed(0)
    dropped = Dropout(0.3)(x)
    dropped.sum().backward()
    assert torch.equal(x.grad, dropped.detach())


@pytest.mark.parametrize("itself", [True, False])
@pytest.mark.parametrize("mask", ["none", "bool", "float"])
def test_attention_that_drops_nothing_is_that_of_torch(itself, mask, nothing_dropped):
    torch.manual_seed(0)
    attention = Attention(DIM, HEADS, dropout=0.25)
    torch.nn.init.normal_(attention.in_proj_bias)
    reference = nn.MultiheadAttention(DIM, HEADS, batch_first=True)
    reference.load_state_dict(attention.state_dict())

    query = tensors(3, 6, DIM).requires_grad_()
    key = query if itself else tensors(3, 9, DIM, seed=1).requires_grad_()
    padding = torch.zeros(key.shape[:2], dtype=torch.bool)
    padding[0, 4:] = True
    given = {"none": None, "bool": padding, "float": padding.float() * -1e30}[mask]

    expected, _ = reference(query, key, key, given, need_weights=False)
    found, weights = attention(query, key, key, given, need_weights=False)
    assert weights is None
    # What is not dropped is scaled.
    scale = 4 / 3
    bias = attention.out_proj.bias
    undone = (found - bias) / scale + bias
    torch.testing.assert_close(undone, expected, rtol=1e-5, atol=1e-6)

    aim = tensors(*expected.shape, seed=2)
    wanted = torch.autograd.grad((expected * aim).sum(), query, retain_graph=True)
    got = torch.autograd.grad((found * aim).sum(), query)
    torch.testing.assert_close(got[0] / scale, wanted[0], rtol=1e-4, atol=1e-6)


def test_in_evaluation_the_layers_are_torchs_to_the_last_bit():
    torch.manual_seed(0)
    layer = TransformerLayer(DIM, HEADS, dropout=0.3).eval()
    torch.manual_seed(0)
    reference = nn.TransformerEncoderLayer(
        DIM, HEADS, dim_feedforward=2 * DIM, dropout=0.3, batch_first=True
    ).eval()
    # The same first weights, and names of weights.
    assert layer.state_dict().keys() == reference.state_dict().keys()
    for name, weight in reference.state_dict().items():
        assert torch.equal(layer.state_dict()[name], weight)

    x = tensors(2, 5, DIM)
    padding = torch.zeros(2, 5, dtype=torch.bool)
    padding[1, 3:] = True
    assert torch.equal(
        layer(x, src_key_padding_mask=padding),
        reference(x, src_key_padding_mask=padding),
    )


@pytest.mark.parametrize("itself", [True, False])
@pytest.mark.parametrize("mask", ["none", "bool", "float"])
@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 5, 9), (7, 12, 50)])
def test_attention_in_evaluation_is_torchs_to_the_last_bit(itself, mask, shape):
    n_clips, n_queries, n_keys = shape
    attention = Attention(DIM, HEADS, dropout=0.25).eval()
    reference = nn.MultiheadAttention(DIM, HEADS, batch_first=True).eval()
    reference.load_state_dict(attention.state_dict())
    query = tensors(n_clips, n_queries, DIM)
    key = query if itself else tensors(n_clips, n_keys, DIM, seed=1)
    padding = torch.zeros(key.shape[:2], dtype=torch.bool)
    padding[0, 4:] = True
    given = {"none": None, "bool": padding, "float": padding.float() * -1e30}[mask]

    expected, _ = reference(query, key, key, given, need_weights=False)
    found, _ = attention(query, key, key, given, need_weights=False)
    assert torch.equal(found, expected)


SCORING = """
import sys, torch
from base_models.networks.layers import CrossAttention

cross = CrossAttention(16, 16).eval()
cross(torch.ones(2, 5, 16), torch.ones(2, 5, dtype=torch.bool), torch.ones(2, 3, 16))
print("sympy" in sys.modules)
"""


def test_attending_in_evaluation_imports_nothing_more():
    process = subprocess.run(
        [sys.executable, "-c", SCORING], capture_output=True, text=True, check=True
    )
    assert process.stdout.strip() == "False"


def test_what_a_layer_attends_to_does_not_hang_on_padding():
    torch.manual_seed(0)
    layer = TransformerLayer(DIM, HEADS, dropout=0.3)
    x = tensors(2, 5, DIM)
    padding = torch.zeros(2, 5, dtype=torch.bool)
    padding[:, 3:] = True
    other = x.clone()
    other[:, 3:] = 7.0
    results = []
    for frames in (x, other):
        torch.manual_seed(1)
        results.append(layer(frames, src_key_padding_mask=padding)[:, :3])
    assert torch.equal(*results)
