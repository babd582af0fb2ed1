"""The networks over stored embeddings, assembled from built parts by `build_model`: DualBranch is DORA-MOS, CoAttention
is WhisQ, PooledHeads the official CLAP baseline.

Each has one head per aspect: audio aspects see the frames, text aspects the prompt's tokens as well. The frozen
encoders are not part of any, so nothing that trains can move them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from base_models.config import BaseConfig
from base_models.errors import UsageError
from base_models.networks.alignment import Alignment, build_alignment
from base_models.networks.co_attention import CO_ATTENTION
from base_models.networks.criteria import build_criterion
from base_models.networks.heads import linear_head, mlp_head
from base_models.networks.layers import (
    AttentionPooling,
    CrossAttention,
    MeanPooling,
    TemporalBiLSTM,
    TemporalMamba,
    TemporalTransformer,
    masked_mean,
)

NARROW = (256, 64)
"""Hidden widths of the heads of WhisQ and of the official baseline."""


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
        return Batch(
            *(
                part if part is None else part.to(device, non_blocking=True)
                for part in parts
            )
        )


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

    def __init__(
        self,
        cross: nn.Module,
        pool: nn.Module,
        head: nn.Module,
        decoupled: bool = False,
    ):
        super().__init__()
        self.cross, self.pool, self.head, self.decoupled = cross, pool, head, decoupled

    def forward(self, batch: Batch, context: Tensor) -> Tensor:
        frames = batch.frames if self.decoupled else context
        return self.head(
            self.pool(
                self.cross(frames, batch.frame_mask, batch.tokens), batch.token_mask
            )
        )


class Network(nn.Module):
    """What training asks of a network beyond its logits.

    ``heads`` holds one head per aspect, whose last layer is linear.

    Shape: Batch → (B, aspects, outputs), raw logits
    """

    heads: Sequence[nn.Sequential]

    def auxiliary(self, batch: Batch) -> Tensor | None:
        """A loss of the network's own, before its weight, shape (); None where there is none."""
        return None

    def independent_parts(self) -> list[nn.Module]:
        """Parts that share no weight: clipping the gradient of one does not touch another."""
        return [self]


class DualBranch(Network):
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

    @property
    def heads(self) -> list[nn.Sequential]:
        """The heads of the branches."""
        return [branch.head for branch in self.branches]


class CoAttention(Network):
    """Audio aspects from the mean of the encoder's frames, text aspects from frames and tokens (WhisQ, Fig. 1).

    An audio aspect shares no weight with anything, so neither the form of attention nor the alignment can change it.

    Parameters
    ----------
    heads : one per aspect, of D inputs for an audio aspect, 2 D for a text aspect
    needs_text : for each aspect, whether it is judged against the prompt
    projection : tokens to the frames' width D (Eq. 2), or None without text aspects
    attention : a module of `base_models.networks.co_attention`, or None without text aspects
    align : the loss of `auxiliary`, or None

    Shape: Batch → (B, aspects, outputs), raw logits
    """

    def __init__(
        self,
        heads: Sequence[nn.Sequential],
        needs_text: Sequence[bool],
        projection: nn.Module | None = None,
        attention: nn.Module | None = None,
        align: Alignment | None = None,
    ):
        super().__init__()
        self.heads = nn.ModuleList(heads)
        self.projection, self.attention = projection, attention
        self.needs_text, self.align = tuple(needs_text), align

    def forward(self, batch: Batch) -> Tensor:
        audio = masked_mean(batch.frames, batch.frame_mask)
        both = None
        if self.attention is not None:
            tokens = self.projection(batch.tokens)
            both = self.attention(
                batch.frames, batch.frame_mask, tokens, batch.token_mask
            )
        pairs = zip(self.heads, self.needs_text, strict=True)
        return torch.stack([head(both if text else audio) for head, text in pairs], 1)

    def auxiliary(self, batch: Batch) -> Tensor | None:
        """The alignment of projected tokens and frames (WhisQ, Eq. 10); its gradient reaches the projection only."""
        if self.align is None:
            return None
        return self.align(
            batch.frames,
            batch.frame_mask,
            self.projection(batch.tokens),
            batch.token_mask,
        )

    def independent_parts(self) -> list[nn.Module]:
        pairs = list(zip(self.heads, self.needs_text, strict=True))
        together = [
            self.projection,
            self.attention,
            *(head for head, text in pairs if text),
        ]
        alone = [head for head, text in pairs if not text]
        return alone if self.attention is None else [*alone, nn.ModuleList(together)]


class PooledHeads(Network):
    """Heads on clip-level embeddings: the mean of the frames, with that of the tokens beside it for a text aspect
    (official CLAP baseline of MusicEval).

    Shape: Batch → (B, aspects, outputs), raw logits
    """

    def __init__(self, heads: Sequence[nn.Sequential], needs_text: Sequence[bool]):
        super().__init__()
        self.heads = nn.ModuleList(heads)
        self.needs_text = tuple(needs_text)

    def forward(self, batch: Batch) -> Tensor:
        audio = masked_mean(batch.frames, batch.frame_mask)
        both = (
            torch.cat([audio, masked_mean(batch.tokens, batch.token_mask)], -1)
            if any(self.needs_text)
            else None
        )
        pairs = zip(self.heads, self.needs_text, strict=True)
        return torch.stack([head(both if text else audio) for head, text in pairs], 1)


def build_model(
    config: BaseConfig, needs_text: Sequence[bool], audio_dim: int, text_dim: int | None
) -> Network:
    """Assemble the network of a config; sizes follow the encoders (MuQ and RoBERTa give the paper's).

    Parameters
    ----------
    needs_text : for each aspect, whether it is judged against the prompt
    audio_dim, text_dim : widths of the embeddings; `text_dim` may be None when no aspect needs text

    Raises
    ------
    UsageError
        when a width cannot be split into the attention heads or the LSTM's directions, or a text aspect has no text
        encoder.
    """
    if any(needs_text) and text_dim is None:
        raise UsageError(
            "An aspect is judged against the prompt, so a text encoder is needed."
        )
    return ARCHITECTURES[config.architecture](config, needs_text, audio_dim, text_dim)


def _splits(dim: int, parts: int, what: str) -> None:
    if dim % parts:
        raise UsageError(
            f"Embeddings of width {dim} cannot be split into {parts} {what}."
        )


def _dual_branch(
    config: BaseConfig, needs_text: Sequence[bool], audio_dim: int, text_dim: int | None
) -> DualBranch:
    if any(needs_text):
        _splits(text_dim, config.attention_heads, "attention heads")
    temporal = TEMPORAL[config.temporal](config, audio_dim)
    return DualBranch(
        temporal, [_branch(config, text, audio_dim, text_dim) for text in needs_text]
    )


def _transformer(config: BaseConfig, dim: int) -> nn.Module:
    _splits(dim, config.attention_heads, "attention heads")
    return TemporalTransformer(dim, config.attention_heads, config.dropout)


def _bilstm(config: BaseConfig, dim: int) -> nn.Module:
    _splits(dim, 2, "directions of an LSTM")
    return TemporalBiLSTM(dim, config.dropout)


def _branch(
    config: BaseConfig, text: bool, audio_dim: int, text_dim: int | None
) -> nn.Module:
    dim = text_dim if text else audio_dim
    coral = config.criterion == "coral"
    widest = (
        audio_dim if coral else dim
    )  # the published CORAL heads have the same hidden widths in both branches
    outputs = build_criterion(config).outputs
    head = mlp_head(
        dim, (widest // 2, widest // 4), outputs, config.dropout, drop_last=coral
    )
    pool = AttentionPooling(dim) if config.pooling == "attention" else MeanPooling()
    if not text:
        return AudioBranch(pool, head)
    cross = CrossAttention(audio_dim, text_dim, config.attention_heads, config.dropout)
    return TextBranch(cross, pool, head, config.decoupled)


def _co_attention(
    config: BaseConfig, needs_text: Sequence[bool], audio_dim: int, text_dim: int | None
) -> CoAttention:
    """Heads of audio aspects are drawn first, then the projection: they start alike under every form of attention."""
    outputs = build_criterion(config).outputs

    def heads(of_text: bool, width: int) -> dict[int, nn.Sequential]:
        rows = [row for row, text in enumerate(needs_text) if text == of_text]
        return {row: mlp_head(width, NARROW, outputs, config.dropout) for row in rows}

    made, text_parts = heads(False, audio_dim), ()
    if any(needs_text):
        _splits(audio_dim, config.attention_heads, "attention heads")
        projection = nn.Linear(text_dim, audio_dim)
        made |= heads(True, 2 * audio_dim)
        attention = CO_ATTENTION[config.co_attention](audio_dim, config.attention_heads)
        text_parts = projection, attention, build_alignment(config)
    return CoAttention(
        [made[row] for row in range(len(needs_text))], needs_text, *text_parts
    )


def _pooled(
    config: BaseConfig, needs_text: Sequence[bool], audio_dim: int, text_dim: int | None
) -> PooledHeads:
    outputs = build_criterion(config).outputs
    widths = [audio_dim + text_dim if text else audio_dim for text in needs_text]
    return PooledHeads(
        [linear_head(width, NARROW, outputs) for width in widths], needs_text
    )


TEMPORAL = {
    "transformer": _transformer,
    "mamba": lambda config, dim: TemporalMamba(dim, config.dropout),
    "bilstm": _bilstm,
}
ARCHITECTURES = {
    "dual_branch": _dual_branch,
    "co_attention": _co_attention,
    "pooled": _pooled,
}
