"""Four forms of WhisQ's co-attention: frames and projected tokens to one vector.

All share one interface. The paper defines the first form and only names the others.
None has a residual connection, a norm or dropout, as in its equations. Padded positions
attend too, so only the real positions of an attended sequence are averaged.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from base_models.networks.layers import masked_mean


class SequenceCoAttention(nn.Module):
    """Each sequence queries the other; the means of both (WhisQ, Eq. 3-5).

    Each direction has an attention module of its own.

    Shape: frames (B, T, D), frame_mask (B, T), tokens (B, T', D), token_mask (B, T')
    → (B, 2 D)
    """

    def __init__(self, dim: int, heads: int = 4) -> None:
        super().__init__()
        self.audio = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.text = nn.MultiheadAttention(dim, heads, batch_first=True)

    def forward(
        self,
        frames: Tensor,
        frame_mask: Tensor,
        tokens: Tensor,
        token_mask: Tensor,
    ) -> Tensor:
        audio = _attend(
            self.audio,
            queries=frames,
            keys=tokens,
            key_mask=token_mask,
        )
        text = _attend(
            self.text,
            queries=tokens,
            keys=frames,
            key_mask=frame_mask,
        )
        means = [masked_mean(audio, frame_mask), masked_mean(text, token_mask)]
        return torch.cat(means, -1)


class VanillaCoAttention(nn.Module):
    """Each pooled vector queries the other sequence (WhisQ, Table II "Vanilla").

    One attention module serves both directions. The keys are the sequence and not its
    mean, since attention to a single key has nothing to weigh.

    Shape: frames (B, T, D), frame_mask (B, T), tokens (B, T', D), token_mask (B, T')
    → (B, 2 D)
    """

    def __init__(self, dim: int, heads: int = 4) -> None:
        super().__init__()
        self.both = nn.MultiheadAttention(dim, heads, batch_first=True)

    def forward(
        self,
        frames: Tensor,
        frame_mask: Tensor,
        tokens: Tensor,
        token_mask: Tensor,
    ) -> Tensor:
        # A sequence of one query each.
        mean_frame = masked_mean(frames, frame_mask)[:, None]
        mean_token = masked_mean(tokens, token_mask)[:, None]

        # `networks.attention` relies on this order of the two calls.
        audio = _attend(
            self.both,
            queries=mean_frame,
            keys=tokens,
            key_mask=token_mask,
        )
        text = _attend(
            self.both,
            queries=mean_token,
            keys=frames,
            key_mask=frame_mask,
        )
        return torch.cat([audio, text], -1).squeeze(1)


class CrossOnly(nn.Module):
    """The tokens query the frames; the audio is its mean (WhisQ, Table II "Cross").

    Shape: frames (B, T, D), frame_mask (B, T), tokens (B, T', D), token_mask (B, T')
    → (B, 2 D)
    """

    def __init__(self, dim: int, heads: int = 4) -> None:
        super().__init__()
        self.text = nn.MultiheadAttention(dim, heads, batch_first=True)

    def forward(
        self,
        frames: Tensor,
        frame_mask: Tensor,
        tokens: Tensor,
        token_mask: Tensor,
    ) -> Tensor:
        text = _attend(
            self.text,
            queries=tokens,
            keys=frames,
            key_mask=frame_mask,
        )
        means = [masked_mean(frames, frame_mask), masked_mean(text, token_mask)]
        return torch.cat(means, -1)


class NoAttention(nn.Module):
    """The plain means of both sequences (WhisQ, Table II "MLP Only").

    Shape: frames (B, T, D), frame_mask (B, T), tokens (B, T', D), token_mask (B, T')
    → (B, 2 D)
    """

    def forward(
        self,
        frames: Tensor,
        frame_mask: Tensor,
        tokens: Tensor,
        token_mask: Tensor,
    ) -> Tensor:
        means = [masked_mean(frames, frame_mask), masked_mean(tokens, token_mask)]
        return torch.cat(means, -1)


def _attend(
    attention: nn.MultiheadAttention,
    queries: Tensor,
    keys: Tensor,
    key_mask: Tensor,
) -> Tensor:
    # Without the weights torch uses its fused kernel.
    attended, _ = attention(
        queries,
        keys,
        keys,
        key_padding_mask=~key_mask,
        need_weights=False,
    )
    return attended


CO_ATTENTION: dict[str, Callable[[int, int], nn.Module]] = {
    "sequence": SequenceCoAttention,
    "vanilla": VanillaCoAttention,
    "cross": CrossOnly,
    "none": lambda dim, heads: NoAttention(),
}
"""Forms by their name in a config; each is built with ``(dim, heads)``."""
