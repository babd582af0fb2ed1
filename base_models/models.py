"""DualBranch: the DORA network over stored embeddings, assembled from built parts by `build_model`.

One temporal block is shared; every aspect has a branch of its own: audio aspects pool the frames, text aspects let
the prompt's tokens query them. The frozen encoders are not part of it, so nothing that trains can move them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from base_models.config import BaseConfig
from base_models.criteria import build_criterion
from base_models.errors import UsageError
from base_models.heads import mlp_head
from base_models.layers import AttentionPooling, CrossAttention, TemporalTransformer


@dataclass(frozen=True)
class Batch:
    """Padded embeddings of B clips; masks are True where there is something.

    Shape: frames (B, T, D), frame_mask (B, T), tokens (B, T', D') and token_mask (B, T') or None without text.
    """

    frames: Tensor
    frame_mask: Tensor
    tokens: Tensor | None = None
    token_mask: Tensor | None = None

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device."""
        parts = (self.frames, self.frame_mask, self.tokens, self.token_mask)
        return Batch(*(part if part is None else part.to(device, non_blocking=True) for part in parts))


class AudioBranch(nn.Module):
    """Pool the frames, then a head (DORA-MOS, Fig. 1, music impression).

    Shape: Batch, context (B, T, D) → (B, outputs)
    """

    def __init__(self, pool: nn.Module, head: nn.Module):
        super().__init__()
        self.pool, self.head = pool, head

    def forward(self, batch: Batch, context: Tensor) -> Tensor:
        return self.head(self.pool(context, batch.frame_mask))


class TextBranch(nn.Module):
    """Tokens query the frames, are pooled, then a head (DORA-MOS, Fig. 1, text alignment).

    With ``decoupled`` the frames are the encoder's own, untouched by the temporal block.

    Shape: Batch, context (B, T, D) → (B, outputs)
    """

    def __init__(self, cross: nn.Module, pool: nn.Module, head: nn.Module, decoupled: bool = False):
        super().__init__()
        self.cross, self.pool, self.head, self.decoupled = cross, pool, head, decoupled

    def forward(self, batch: Batch, context: Tensor) -> Tensor:
        frames = batch.frames if self.decoupled else context
        return self.head(self.pool(self.cross(frames, batch.frame_mask, batch.tokens), batch.token_mask))


class DualBranch(nn.Module):
    """A shared temporal block and one branch per aspect (DORA-MOS, Fig. 1).

    Shape: Batch → (B, aspects, outputs), raw logits
    """

    def __init__(self, temporal: nn.Module, branches: Sequence[nn.Module]):
        super().__init__()
        self.temporal = temporal
        self.branches = nn.ModuleList(branches)

    def forward(self, batch: Batch) -> Tensor:
        context = self.temporal(batch.frames, batch.frame_mask)
        return torch.stack([branch(batch, context) for branch in self.branches], 1)


def build_model(config: BaseConfig, needs_text: Sequence[bool], audio_dim: int, text_dim: int | None) -> DualBranch:
    """Assemble the network of a config; sizes follow the encoders (MuQ and RoBERTa give the paper's).

    Parameters
    ----------
    needs_text : for each aspect, whether it is judged against the prompt
    audio_dim, text_dim : widths of the embeddings; `text_dim` may be None when no aspect needs text

    Raises
    ------
    UsageError
        when a width cannot be split into the attention heads, or a text aspect has no text encoder.
    """
    if any(needs_text) and text_dim is None:
        raise UsageError("An aspect is judged against the prompt, so a text encoder is needed.")
    for dim in {audio_dim, *({text_dim} if any(needs_text) else ())}:
        if dim % config.attention_heads:
            raise UsageError(
                f"Embeddings of width {dim} cannot be split into {config.attention_heads} attention heads."
            )
    temporal = TemporalTransformer(audio_dim, config.attention_heads, config.dropout)
    return DualBranch(temporal, [_branch(config, text, audio_dim, text_dim) for text in needs_text])


def _branch(config: BaseConfig, text: bool, audio_dim: int, text_dim: int | None) -> nn.Module:
    dim = text_dim if text else audio_dim
    coral = config.criterion == "coral"
    widest = audio_dim if coral else dim  # the published CORAL heads have the same hidden widths in both branches
    outputs = build_criterion(config).outputs
    head = mlp_head(dim, (widest // 2, widest // 4), outputs, config.dropout, drop_last=coral)
    pool = AttentionPooling(dim)
    if not text:
        return AudioBranch(pool, head)
    cross = CrossAttention(audio_dim, text_dim, config.attention_heads, config.dropout)
    return TextBranch(cross, pool, head, config.decoupled)
