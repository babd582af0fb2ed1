"""Parts of the networks: temporal blocks, pooling, cross-attention.

Every mask here is True where there is something: a real frame, a real token. The trap of the published code was a
mask of the other polarity, which pooled the padding; nothing outside this file turns a mask round.
"""

from __future__ import annotations

import logging

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

SCAN_BUDGET = 2**26
"""States (clips x frames x channels x state size) that one Mamba scan holds at a time: a few copies of 256 MB."""


class TemporalTransformer(nn.Module):
    """One transformer layer over the frames (DORA-MOS, section II.B, music impression branch).

    Dropout on the input, then self-attention and a ReLU feed-forward of twice the width, layer norm after each. No
    positions are added: the encoder's frames carry their order, and the published model was in effect trained
    without.

    Shape: frames (B, T, D), mask (B, T) → (B, T, D)
    """

    def __init__(self, dim: int, heads: int = 4, dropout: float = 0.3):
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.layer = nn.TransformerEncoderLayer(
            dim, heads, 2 * dim, dropout, batch_first=True
        )

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        return self.layer(self.dropout(frames), src_key_padding_mask=~mask)


class TemporalBiLSTM(nn.Module):
    """A bidirectional LSTM over the frames, half the width in each direction (DORA-MOS, Table II, without sizes).

    The backward direction starts at the last real frame: each clip is turned round within its own length, so neither
    direction reads the padding. It is what packing gives, 7 times as fast on a CPU.

    Shape: frames (B, T, D), mask (B, T) → (B, T, D)
    """

    def __init__(self, dim: int, dropout: float = 0.3):
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.ahead = nn.LSTM(dim, dim // 2, batch_first=True)
        self.back = nn.LSTM(dim, dim // 2, batch_first=True)

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        frames = self.dropout(frames)
        back = _turned(self.back(_turned(frames, mask))[0], mask)
        return torch.cat([self.ahead(frames)[0], back], -1)


def _turned(x: Tensor, mask: Tensor) -> Tensor:
    """Every clip from its last real position to its first; the padding stays. Shape: (B, T, D), (B, T) → (B, T, D)."""
    position = torch.arange(x.shape[1], device=x.device)
    source = torch.where(mask, mask.sum(1, keepdim=True) - 1 - position, position)
    return x.gather(1, source.unsqueeze(-1).expand_as(x))


class TemporalMamba(nn.Module):
    """One Mamba block over the frames, pre-norm and residual, and a final norm (DORA-MOS, Table II; Gu and Dao, 2023).

    It runs in one direction, so padding on the right is never read. The trap is memory: a scan holds the state of
    every frame, 33 million numbers for one clip of 1000 frames of width 1024. So a batch is scanned a few clips at a
    time, and scanned again in the backward pass instead of being kept.

    Parameters
    ----------
    dim : int, width D; the block widens it by 2, with a state of 16 and a convolution over 4 frames (Mamba's own)
    dropout : float, on the input

    Shape: frames (B, T, D), mask (B, T) → (B, T, D)
    """

    def __init__(self, dim: int, dropout: float = 0.3):
        super().__init__()
        from transformers import MambaConfig
        from transformers.models.mamba.modeling_mamba import MambaMixer

        logging.getLogger("transformers.integrations.hub_kernels").addFilter(
            _not_about_kernels
        )
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.RMSNorm(dim, eps=1e-5)
        sizes = {"state_size": 16, "conv_kernel": 4, "expand": 2}
        config = MambaConfig(
            vocab_size=1,
            hidden_size=dim,
            num_hidden_layers=1,
            use_mambapy=True,
            **sizes,
        )
        self.mixer = MambaMixer(config, 0)
        self.last_norm = nn.RMSNorm(dim, eps=1e-5)
        self.states_per_frame = config.state_size * config.intermediate_size

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        frames = self.dropout(frames).masked_fill(~mask.unsqueeze(-1), 0.0)
        size = max(1, SCAN_BUDGET // (self.states_per_frame * frames.shape[1]))
        return torch.cat(
            [
                self._scan(chunk, again=len(frames) > size)
                for chunk in frames.split(size)
            ]
        )

    def _scan(self, frames: Tensor, again: bool) -> Tensor:
        if again and torch.is_grad_enabled():
            return checkpoint(
                self._block, frames, use_reentrant=False, preserve_rng_state=False
            )
        return self._block(frames)

    def _block(self, frames: Tensor) -> Tensor:
        with torch.autocast(
            frames.device.type, enabled=False
        ):  # a product of 1000 steps needs full precision
            frames = frames.float()
            return self.last_norm(frames + self.mixer(self.norm(frames)))


def _not_about_kernels(record: logging.LogRecord) -> bool:
    """Keep transformers from asking for CUDA kernels that stand in for mambapy's scan only where they can."""
    return "is falling back to its reference" not in record.getMessage()


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Mean over the real positions. Shape: (B, T, D), (B, T) → (B, D)."""
    return x.masked_fill(~mask.unsqueeze(-1), 0.0).sum(1) / mask.sum(1, keepdim=True)


class MeanPooling(nn.Module):
    """Plain mean over the real positions (DORA-MOS, Table II "Mean Pooling").

    Shape: x (B, T, D), mask (B, T) → (B, D)
    """

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return masked_mean(x, mask)


class AttentionPooling(nn.Module):
    """Weighted mean over positions, weights from a learnt linear score (DORA-MOS, section II.B).

    Shape: x (B, T, D), mask (B, T) → (B, D)
    """

    def __init__(self, dim: int):
        super().__init__()
        self.score = nn.Linear(dim, 1)

    def weights(self, x: Tensor, mask: Tensor) -> Tensor:
        """Softmax over the real positions. Shape: (B, T, D), (B, T) → (B, T), rows sum to 1."""
        return self.score(x).squeeze(-1).masked_fill(~mask, float("-inf")).softmax(-1)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return (self.weights(x, mask).unsqueeze(-1) * x).sum(1)


class CrossAttention(nn.Module):
    """Text tokens query the audio frames, both projected to the text's width; then layer norm (DORA-MOS, section II.B).

    Shape: frames (B, T, D), frame_mask (B, T), tokens (B, T', D') → (B, T', D')
    """

    def __init__(
        self, audio_dim: int, text_dim: int, heads: int = 4, dropout: float = 0.3
    ):
        super().__init__()
        self.audio = nn.Linear(audio_dim, text_dim)
        self.text = nn.Linear(text_dim, text_dim)
        self.attention = nn.MultiheadAttention(
            text_dim, heads, dropout, batch_first=True
        )
        self.norm = nn.LayerNorm(text_dim)

    def forward(self, frames: Tensor, frame_mask: Tensor, tokens: Tensor) -> Tensor:
        keys = self.audio(frames)
        attended, _ = self.attention(
            self.text(tokens),
            keys,
            keys,
            key_padding_mask=~frame_mask,
            need_weights=False,
        )
        return self.norm(attended)
