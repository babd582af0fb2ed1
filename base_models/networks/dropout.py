"""Dropout, and attention with it, that draw quickly on any processor.

On processors of other makers than Intel torch draws 70 million numbers a second for
dropout, which is a fifth of what training a small network costs there. Here a number
takes 16 random bits, which the same generator gives seven times as fast: seeds and
checkpoints hold what they held. On other devices the layers are those of torch.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_STEPS = 2**16
"""Of a probability: what 16 bits can tell apart."""
_LEAST = -(2**15)
"""The least number of 16 bits with a sign."""


class Dropout(nn.Dropout):
    """`torch.nn.Dropout` with a probability that is a multiple of 2^-16 on a CPU."""

    def forward(self, x: Tensor) -> Tensor:
        """Drop numbers and scale the others, in training alone.

        Shape: any → the same
        """
        if not self.training or x.device.type != "cpu" or self.p in (0, 1):
            return super().forward(x)

        n_dropped = round(self.p * _STEPS)
        kept = _random_bits(x.shape) >= _LEAST + n_dropped
        # What is left is scaled by the share that is drawn, not by that asked for.
        factors = kept.to(x.dtype).mul_(_STEPS / (_STEPS - n_dropped))
        return x * factors


def _random_bits(shape: torch.Size) -> Tensor:
    """Numbers of 16 random bits, of torch's generator of the CPU."""
    # A draw has 64 bits.
    n_draws = -(-shape.numel() // 4)
    draws = torch.empty(n_draws, dtype=torch.int64).random_(-(2**63), None)
    return draws.view(torch.int16)[: shape.numel()].view(shape)


class Attention(nn.MultiheadAttention):
    """`torch.nn.MultiheadAttention`, whose weights are dropped by `Dropout`.

    It has batches first, and keys that are the values, too.

    Parameters
    ----------
    dim : int
        Width D.
    heads : int
    dropout : float
        Probability with which a weight is dropped in training.
    """

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__(dim, heads, dropout=dropout, batch_first=True)
        self.drop = Dropout(dropout)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        *others: Any,
        **options: Any,
    ) -> tuple[Tensor, Tensor | None]:
        """Attend, see `torch.nn.MultiheadAttention`.

        Shape: query (B, T', D), key and value (B, T, D) → (B, T', D)
        """
        is_masked = bool(others) or options.get("attn_mask") is not None
        is_other = need_weights or is_masked or key is not value
        if is_other or query.device.type != "cpu":
            attended: tuple[Tensor, Tensor | None] = super().forward(
                query, key, value, key_padding_mask, need_weights, *others, **options
            )
            return attended

        queries, keys, values = self._projected(query, key)
        mask = None
        if key_padding_mask is not None:
            mask = _as_numbers(key_padding_mask, query.dtype)[:, None, None, :]
        if not self.training or not self.dropout:
            # As torch does, but without importing sympy for a check of the shapes: that
            # is a tenth of the time in which a clip is scored.
            by_head = F.scaled_dot_product_attention(queries, keys, values, mask)
            return self._joined(by_head), None

        scores = (queries * self.head_dim**-0.5) @ keys.transpose(-2, -1)
        if mask is not None:
            scores = scores + mask
        weights = self.drop(scores.softmax(-1))
        return self._joined(weights @ values), None

    def _joined(self, by_head: Tensor) -> Tensor:
        """What all heads have attended to, projected.

        Shape: (B, heads, T', D / heads) → (B, T', D)
        """
        return self.out_proj(by_head.transpose(1, 2).flatten(2))

    def _projected(self, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values by head.

        Shape: query (B, T', D), key (B, T, D) → (B, heads, T' or T, D / heads) each
        """
        weight = self.in_proj_weight
        bias = self.in_proj_bias
        if query is key:
            parts = F.linear(query, weight, bias).chunk(3, dim=-1)
        else:
            width = self.embed_dim
            of_query = F.linear(query, weight[:width], bias[:width])
            of_key = F.linear(key, weight[width:], bias[width:])
            parts = (of_query, *of_key.chunk(2, dim=-1))
        queries, keys, values = (
            part.unflatten(-1, (self.num_heads, self.head_dim)).transpose(1, 2)
            for part in parts
        )
        return queries, keys, values


def _as_numbers(key_padding_mask: Tensor, dtype: torch.dtype) -> Tensor:
    """A mask that is True at padding, as numbers to add: minus infinity there.

    Layers of torch have turned theirs into numbers already. Shape: (B, T) → (B, T)
    """
    if key_padding_mask.dtype != torch.bool:
        return key_padding_mask
    zeros = torch.zeros_like(key_padding_mask, dtype=dtype)
    return zeros.masked_fill(key_padding_mask, -torch.inf)


class TransformerLayer(nn.TransformerEncoderLayer):
    """`torch.nn.TransformerEncoderLayer` with `Dropout` and `Attention`, batches first.

    Parameters
    ----------
    dim : int
        Width D; that of the feed-forward is twice as large.
    heads : int
    dropout : float
    """

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__(
            d_model=dim,
            nhead=heads,
            dim_feedforward=2 * dim,
            dropout=dropout,
            batch_first=True,
        )
        drawn = self.self_attn.state_dict()
        # Its own first weights would shift those of all layers that come after.
        with torch.random.fork_rng(devices=[]):
            self.self_attn = Attention(dim, heads, dropout)
        self.self_attn.load_state_dict(drawn)
        self.dropout = Dropout(dropout)
        self.dropout1 = Dropout(dropout)
        self.dropout2 = Dropout(dropout)
