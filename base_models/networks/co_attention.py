"""Where WhisQ's text alignment comes from: frames and projected tokens in, one vector of both out.

Four forms, one interface; the paper defines the first and only names the others. None has a residual, a norm or
dropout: the equations have none. The trap is the mean over an attended sequence: padded positions attend too, so only
the real ones are averaged.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from base_models.networks.layers import masked_mean


class SequenceCoAttention(nn.Module):
    """Each sequence queries the other through an attention of its own; the means of both (WhisQ, Eq. 3-5).

    Shape: frames (B, T, D), frame_mask (B, T), tokens (B, T', D), token_mask (B, T') → (B, 2 D)
    """

    def __init__(self, dim: int, heads: int = 4):
        super().__init__()
        self.audio = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.text = nn.MultiheadAttention(dim, heads, batch_first=True)

    def forward(
        self, frames: Tensor, frame_mask: Tensor, tokens: Tensor, token_mask: Tensor
    ) -> Tensor:
        audio = _attend(self.audio, frames, tokens, token_mask)
        text = _attend(self.text, tokens, frames, frame_mask)
        return torch.cat(
            [masked_mean(audio, frame_mask), masked_mean(text, token_mask)], -1
        )


class VanillaCoAttention(nn.Module):
    """One shared attention: each pooled vector queries the other sequence (WhisQ, Table II "Vanilla Co-Attention").

    Keys are the sequence and not its mean, since attention to a single key has nothing to weigh.

    Shape: frames (B, T, D), frame_mask (B, T), tokens (B, T', D), token_mask (B, T') → (B, 2 D)
    """

    def __init__(self, dim: int, heads: int = 4):
        super().__init__()
        self.both = nn.MultiheadAttention(dim, heads, batch_first=True)

    def forward(
        self, frames: Tensor, frame_mask: Tensor, tokens: Tensor, token_mask: Tensor
    ) -> Tensor:
        audio, text = (
            masked_mean(frames, frame_mask)[:, None],
            masked_mean(tokens, token_mask)[:, None],
        )
        attended = (
            _attend(self.both, audio, tokens, token_mask),
            _attend(self.both, text, frames, frame_mask),
        )
        return torch.cat(attended, -1).squeeze(1)


class CrossOnly(nn.Module):
    """The tokens query the frames; the audio is its plain mean (WhisQ, Table II "Cross-Attention").

    Shape: frames (B, T, D), frame_mask (B, T), tokens (B, T', D), token_mask (B, T') → (B, 2 D)
    """

    def __init__(self, dim: int, heads: int = 4):
        super().__init__()
        self.text = nn.MultiheadAttention(dim, heads, batch_first=True)

    def forward(
        self, frames: Tensor, frame_mask: Tensor, tokens: Tensor, token_mask: Tensor
    ) -> Tensor:
        text = _attend(self.text, tokens, frames, frame_mask)
        return torch.cat(
            [masked_mean(frames, frame_mask), masked_mean(text, token_mask)], -1
        )


class NoAttention(nn.Module):
    """The plain means of both (WhisQ, Table II "MLP Only").

    Shape: frames (B, T, D), frame_mask (B, T), tokens (B, T', D), token_mask (B, T') → (B, 2 D)
    """

    def forward(
        self, frames: Tensor, frame_mask: Tensor, tokens: Tensor, token_mask: Tensor
    ) -> Tensor:
        return torch.cat(
            [masked_mean(frames, frame_mask), masked_mean(tokens, token_mask)], -1
        )


def _attend(
    attention: nn.MultiheadAttention, queries: Tensor, keys: Tensor, mask: Tensor
) -> Tensor:
    return attention(queries, keys, keys, key_padding_mask=~mask, need_weights=False)[0]


CO_ATTENTION = {
    "sequence": SequenceCoAttention,
    "vanilla": VanillaCoAttention,
    "cross": CrossOnly,
    "none": lambda dim, heads: NoAttention(),
}
"""By the name in a config; each is made with ``(dim, heads)``."""
