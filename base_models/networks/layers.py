"""Layers of the networks: temporal blocks, pooling and cross-attention.

Every mask in this package is True at a real frame or token. PyTorch's attention takes
the opposite (True at padding), so a mask is inverted only where it is handed to a torch
module.
"""

from __future__ import annotations

import functools
import logging

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from base_models.networks.dropout import Attention, Dropout, TransformerLayer

SCAN_BUDGET = 2**26
"""States (clips x frames x channels x state size) that one Mamba scan holds at a time:
a few copies of 256 MB."""
BYTES_PER_STATE = 64
"""Bytes of a CUDA device's memory for each state of a scan: a quarter of it is used."""


class TemporalTransformer(nn.Module):
    """One transformer layer over the frames (DORA-MOS, section II.B, music impression).

    Dropout on the input, then self-attention and a ReLU feed-forward of twice the
    width, with layer norm after each. No positions are added: the encoder's frames
    carry their order, and the published model was in effect trained without them.

    Shape: frames (B, T, D), mask (B, T) → (B, T, D)
    """

    def __init__(
        self,
        dim: int,
        heads: int = 4,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        self.dropout = Dropout(dropout)
        self.layer = TransformerLayer(dim, heads, dropout)

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        return self.layer(self.dropout(frames), src_key_padding_mask=~mask)


class NoTemporal(nn.Module):
    """The encoder's own frames, without a block over them.

    Shape: frames (B, T, D), mask (B, T) → (B, T, D)
    """

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        return frames


class TemporalBiLSTM(nn.Module):
    """A bidirectional LSTM over the frames, half the width in each direction.

    The source names it without sizes (DORA-MOS, Table II). The output equals that of
    PyTorch's packed sequences and is computed 7 times as fast on a CPU.

    Shape: frames (B, T, D), mask (B, T) → (B, T, D)
    """

    def __init__(self, dim: int, dropout: float = 0.3) -> None:
        super().__init__()
        self.dropout = Dropout(dropout)
        self.ahead = nn.LSTM(dim, dim // 2, batch_first=True)
        self.back = nn.LSTM(dim, dim // 2, batch_first=True)

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        frames = self.dropout(frames)

        # Each clip is reversed within its own length, so the backward direction starts
        # at the last real frame and neither direction reads padding before a frame.
        backward_states, _ = self.back(_reverse_clips(frames, mask))
        backward_states = _reverse_clips(backward_states, mask)
        forward_states, _ = self.ahead(frames)

        return torch.cat([forward_states, backward_states], -1)


def _reverse_clips(x: Tensor, mask: Tensor) -> Tensor:
    """Reverse the real positions of every clip and leave the padding in place.

    Shape: x (B, T, D), mask (B, T) → (B, T, D)
    """
    position = torch.arange(x.shape[1], device=x.device)
    last = mask.sum(1, keepdim=True) - 1
    source = torch.where(mask, last - position, position)
    return x.gather(1, source.unsqueeze(-1).expand_as(x))


class TemporalMamba(nn.Module):
    """One Mamba block over the frames: pre-norm, residual and a final norm.

    It runs in one direction, so padding on the right is never read. The block widens
    its input by 2, with a state of 16 and a convolution over 4 frames (Mamba's own
    sizes). Source: DORA-MOS, Table II; Gu and Dao, 2023.

    Parameters
    ----------
    dim : int
        Width D.
    dropout : float
        Dropout on the input.

    Notes
    -----
    A scan holds the state of every frame: 33 million numbers for one clip of 1000
    frames of width 1024. A batch is therefore scanned a few clips at a time, and each
    scan is repeated in the backward pass instead of being kept.

    Shape: frames (B, T, D), mask (B, T) → (B, T, D)
    """

    def __init__(self, dim: int, dropout: float = 0.3) -> None:
        super().__init__()
        from transformers import MambaConfig
        from transformers.models.mamba.modeling_mamba import MambaMixer

        kernel_log = logging.getLogger("transformers.integrations.hub_kernels")
        kernel_log.addFilter(_is_not_about_kernels)

        self.dropout = Dropout(dropout)
        self.norm = nn.RMSNorm(dim, eps=1e-5)
        config = MambaConfig(
            vocab_size=1,
            hidden_size=dim,
            num_hidden_layers=1,
            use_mambapy=True,
            state_size=16,
            conv_kernel=4,
            expand=2,
        )
        self.mixer = MambaMixer(config, 0)
        self.last_norm = nn.RMSNorm(dim, eps=1e-5)
        self.states_per_frame = config.state_size * config.intermediate_size

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        frames = self.dropout(frames).masked_fill(~mask.unsqueeze(-1), 0.0)

        # At least one clip is scanned at a time, however long it is.
        states_per_clip = self.states_per_frame * frames.shape[1]
        clips_per_scan = max(1, _scan_budget(frames.device) // states_per_clip)
        recompute = len(frames) > clips_per_scan

        chunks = frames.split(clips_per_scan)
        return torch.cat([self._scan(chunk, recompute) for chunk in chunks])

    def _scan(self, frames: Tensor, recompute: bool) -> Tensor:
        if not (recompute and torch.is_grad_enabled()):
            return self._block(frames)
        # The block draws no random numbers, so its generator state need not be kept.
        return checkpoint(
            self._block, frames, use_reentrant=False, preserve_rng_state=False
        )

    def _block(self, frames: Tensor) -> Tensor:
        # The scan multiplies about 1000 factors, which needs full precision. There is
        # no autocast on the meta device, where only shapes are computed.
        device_type = "cpu" if frames.is_meta else frames.device.type
        with torch.autocast(device_type, enabled=False):
            frames = frames.float()
            return self.last_norm(frames + self.mixer(self.norm(frames)))


def _scan_budget(device: torch.device) -> int:
    """States that one scan may hold on a device."""
    if device.type != "cuda":
        return SCAN_BUDGET
    return max(SCAN_BUDGET, _memory_of(device) // BYTES_PER_STATE)


@functools.cache
def _memory_of(device: torch.device) -> int:
    """Bytes of memory of a CUDA device."""
    _, total = torch.cuda.mem_get_info(device)
    return total


def _is_not_about_kernels(record: logging.LogRecord) -> bool:
    """Drop transformers' notice that it falls back from CUDA kernels.

    The kernels would only replace mambapy's scan, which is the one wanted here.
    """
    return "is falling back to its reference" not in record.getMessage()


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Mean over the real positions. Shape: x (B, T, D), mask (B, T) → (B, D)."""
    # Filled rather than multiplied: a NaN in the padding times 0 is NaN.
    total = x.masked_fill(~mask.unsqueeze(-1), 0.0).sum(1)
    return total / mask.sum(1, keepdim=True)


class MeanPooling(nn.Module):
    """Plain mean over the real positions (DORA-MOS, Table II "Mean Pooling").

    Shape: x (B, T, D), mask (B, T) → (B, D)
    """

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return masked_mean(x, mask)


class AttentionPooling(nn.Module):
    """Mean over positions, weighted by a linear score (DORA-MOS, section II.B).

    Shape: x (B, T, D), mask (B, T) → (B, D)
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.score = nn.Linear(dim, 1)

    def weights(self, x: Tensor, mask: Tensor) -> Tensor:
        """Softmax over the real positions: rows sum to 1 and are 0 on padding.

        Shape: x (B, T, D), mask (B, T) → (B, T)
        """
        scores = self.score(x).squeeze(-1)
        return scores.masked_fill(~mask, float("-inf")).softmax(-1)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return (self.weights(x, mask).unsqueeze(-1) * x).sum(1)


class CrossAttention(nn.Module):
    """Text tokens query the audio frames, then layer norm (DORA-MOS, section II.B).

    Both sequences are first projected to the text's width.

    Shape: frames (B, T, D), frame_mask (B, T), tokens (B, T', D') → (B, T', D')
    """

    def __init__(
        self,
        audio_dim: int,
        text_dim: int,
        heads: int = 4,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        self.audio = nn.Linear(audio_dim, text_dim)
        self.text = nn.Linear(text_dim, text_dim)
        self.attention = Attention(text_dim, heads, dropout)
        self.norm = nn.LayerNorm(text_dim)

    def forward(
        self,
        frames: Tensor,
        frame_mask: Tensor,
        tokens: Tensor,
    ) -> Tensor:
        keys = self.audio(frames)
        queries = self.text(tokens)
        attended, _ = self.attention(
            queries,
            keys,
            keys,
            key_padding_mask=~frame_mask,
            need_weights=False,
        )
        return self.norm(attended)
