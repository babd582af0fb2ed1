"""The networks over stored embeddings, assembled from built parts by `build_model`.

`DualBranch` is DORA-MOS, `CoAttention` is WhisQ and `PooledHeads` is the official CLAP
baseline of MusicEval. Each has one head per aspect: audio aspects read the frames, text
aspects the prompt's tokens as well. The frozen encoders are not part of any network, so
training cannot change them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from base_models.bins import ScoreBins
from base_models.config import BaseConfig
from base_models.errors import UsageError
from base_models.networks.alignment import (
    Alignment,
    anchored,
    build_alignment,
    mean_similarity,
)
from base_models.networks.batches import Batch, Labels
from base_models.networks.co_attention import CO_ATTENTION
from base_models.networks.criteria import build_criterion
from base_models.networks.heads import linear_head, mlp_head
from base_models.networks.layers import (
    AttentionPooling,
    CrossAttention,
    MeanPooling,
    NoTemporal,
    TemporalBiLSTM,
    TemporalMamba,
    TemporalTransformer,
    masked_mean,
)
from base_models.networks.sinkhorn import Sinkhorn

NARROW = (256, 64)
"""Hidden widths of the heads of WhisQ and of the official baseline."""


class Branch(nn.Module):
    """The part of `DualBranch` that belongs to one aspect: pooling, then a head.

    Shape: Batch, context (B, T, D) → (B, outputs)
    """

    pool: nn.Module
    head: nn.Module


class AudioBranch(Branch):
    """Pool the frames, then a head (DORA-MOS, Fig. 1, music impression).

    Shape: Batch, context (B, T, D) → (B, outputs)
    """

    def __init__(self, pool: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.pool = pool
        self.head = head

    def forward(self, batch: Batch, context: Tensor) -> Tensor:
        return self.head(self.pool(context, batch.frame_mask))


class TextBranch(Branch):
    """Tokens query the frames and are pooled, then a head (DORA-MOS, Fig. 1).

    This is the branch of text alignment.

    Parameters
    ----------
    cross : nn.Module
        The cross-attention of tokens to frames.
    pool, head : nn.Module
    decoupled : bool
        Whether the frames are the encoder's own, untouched by the temporal block.

    Shape: Batch, context (B, T, D) → (B, outputs)
    """

    def __init__(
        self,
        cross: CrossAttention,
        pool: nn.Module,
        head: nn.Module,
        decoupled: bool = False,
    ) -> None:
        super().__init__()
        # The optimizer numbers its state in the order of these assignments, and
        # checkpoints keep those numbers.
        self.cross = cross
        self.pool = pool
        self.head = head
        self.decoupled = decoupled

    def forward(self, batch: Batch, context: Tensor) -> Tensor:
        tokens, token_mask = batch.text()
        attended = self.cross(self.frames(batch, context), batch.frame_mask, tokens)
        return self.head(self.pool(attended, token_mask))

    def frames(self, batch: Batch, context: Tensor) -> Tensor:
        """Return the frames that the tokens query. Shape: → (B, T, D)"""
        # From the encoder's own frames no gradient of this branch can reach the
        # temporal block.
        return batch.frames if self.decoupled else context

    def similarity(self, batch: Batch, context: Tensor) -> Tensor:
        """Compare audio and prompt in the space of the cross-attention.

        Shape: Batch, context (B, T, D) → (B,), from -1 to 1
        """
        tokens, token_mask = batch.text()
        keys = self.cross.audio(self.frames(batch, context).float())
        queries = self.cross.text(tokens)
        return mean_similarity(
            keys, batch.frame_mask, tokens=queries, token_mask=token_mask
        )


class Network(nn.Module):
    """What training needs of a network beyond its logits.

    Attributes
    ----------
    needs_text : tuple of bool
        For each aspect, whether it is judged against the prompt.

    Shape: Batch → (B, aspects, outputs), raw logits
    """

    needs_text: tuple[bool, ...]

    def aspect_heads(self) -> list[nn.Module]:
        """Return one head per aspect, each ending in a linear layer."""
        raise NotImplementedError

    def context(self, batch: Batch) -> Tensor | None:
        """Compute what both `forward` and `auxiliary` read; None where nothing is.

        Training hands it to both, so that it is computed once.
        """
        return None

    def auxiliary(
        self,
        batch: Batch,
        context: Tensor | None = None,
        labels: Labels | None = None,
    ) -> Tensor | None:
        """Compute the network's own loss, before its weight: shape (), or None."""
        return None

    @property
    def has_frame_terms(self) -> bool:
        """Whether part of `auxiliary` depends on the frames alone."""
        return False

    def frame_terms(self, batch: Batch) -> Tensor:
        """Compute the part of `auxiliary` that depends on the frames alone.

        Training computes it once for all epochs and hands it on in the batches.

        Shape: Batch → (B,)
        """
        raise NotImplementedError

    def independent_parts(self) -> list[nn.Module]:
        """Return parts that share no weight, whose gradients are clipped separately."""
        return [self]


class DualBranch(Network):
    """A shared temporal block and one branch per aspect (DORA-MOS, Fig. 1).

    Parameters
    ----------
    temporal : nn.Module
    branches : sequence of Branch
        One per aspect.
    anchor_scale : ScoreBins or None
        The scale of the scores that the similarity of audio and prompt is to follow
        (`auxiliary`); None where it follows none.

    Shape: Batch → (B, aspects, outputs), raw logits
    """

    def __init__(
        self,
        temporal: nn.Module,
        branches: Sequence[Branch],
        anchor_scale: ScoreBins | None = None,
    ) -> None:
        super().__init__()
        self.temporal = temporal
        self.branches = nn.ModuleList(branches)
        self.needs_text = tuple(isinstance(one, TextBranch) for one in branches)
        self.anchor_scale = anchor_scale

    def context(self, batch: Batch) -> Tensor:
        """Frames after the temporal block. Shape: Batch → (B, T, D)"""
        return self.temporal(batch.frames, batch.frame_mask)

    def forward(self, batch: Batch, context: Tensor | None = None) -> Tensor:
        if context is None:
            context = self.context(batch)
        return torch.stack([branch(batch, context) for branch in self.branches], 1)

    def auxiliary(
        self,
        batch: Batch,
        context: Tensor | None = None,
        labels: Labels | None = None,
    ) -> Tensor | None:
        """Anchor the similarity of audio and prompt to the score, over text aspects."""
        if self.anchor_scale is None or not any(self.needs_text):
            return None
        if labels is None:
            raise ValueError("An anchored alignment needs the labels of the batch.")
        if context is None:
            context = self.context(batch)

        middle = (self.anchor_scale.low + self.anchor_scale.high) / 2
        half_width = (self.anchor_scale.high - self.anchor_scale.low) / 2
        anchors = (labels.scores - middle) / half_width
        losses = []
        for aspect, branch in enumerate(self.aspect_branches()):
            if isinstance(branch, TextBranch):
                similarity = branch.similarity(batch, context)
                loss = anchored(
                    similarity, anchors[:, aspect], labels.weights[:, aspect]
                )
                losses.append(loss)
        return torch.stack(losses).mean()

    def aspect_branches(self) -> list[Branch]:
        """Return one branch per aspect."""
        # A ModuleList does not keep the type of its items.
        return [branch for branch in self.branches if isinstance(branch, Branch)]

    def aspect_heads(self) -> list[nn.Module]:
        return [branch.head for branch in self.aspect_branches()]


class CoAttention(Network):
    """Co-attention for text aspects, the mean frame for audio aspects (WhisQ, Fig. 1).

    An audio aspect shares no weight with anything else, so neither the form of
    attention nor the alignment can change it.

    Parameters
    ----------
    heads : sequence of nn.Sequential
        One per aspect, of D inputs for an audio aspect and 2 D for a text aspect.
    needs_text : sequence of bool
        For each aspect, whether it is judged against the prompt.
    projection : nn.Module or None
        From tokens to the frames' width D (Eq. 2); None without text aspects.
    attention : nn.Module or None
        A module of `base_models.networks.co_attention`; None without text aspects.
    align : Alignment or None
        The loss of `auxiliary`.

    Shape: Batch → (B, aspects, outputs), raw logits
    """

    def __init__(
        self,
        heads: Sequence[nn.Sequential],
        needs_text: Sequence[bool],
        projection: nn.Module | None = None,
        attention: nn.Module | None = None,
        align: Alignment | None = None,
    ) -> None:
        super().__init__()
        self.heads = nn.ModuleList(heads)
        self.projection = projection
        self.attention = attention
        self.needs_text = tuple(needs_text)
        self.align = align

    def forward(self, batch: Batch, context: Tensor | None = None) -> Tensor:
        audio = masked_mean(batch.frames, batch.frame_mask)
        # Text aspects share one attention, which is computed once.
        both = None
        if self.attention is not None:
            tokens, token_mask = self.projected_text(batch)
            both = self.attention(
                batch.frames, batch.frame_mask, tokens, token_mask=token_mask
            )

        logits = []
        for head, text in zip(self.heads, self.needs_text, strict=True):
            logits.append(head(both if text else audio))
        return torch.stack(logits, 1)

    def projected_text(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Project the tokens to the frames' width; return them with their mask.

        Shape: Batch → (B, T', D), (B, T')
        """
        if self.projection is None:
            raise ValueError("A network without text aspects has no projection.")
        tokens, token_mask = batch.text()
        return self.projection(tokens), token_mask

    def auxiliary(
        self,
        batch: Batch,
        context: Tensor | None = None,
        labels: Labels | None = None,
    ) -> Tensor | None:
        """Align projected tokens and frames (WhisQ, Eq. 10).

        Its gradient reaches the projection only.
        """
        if self.align is None:
            return None
        tokens, token_mask = self.projected_text(batch)
        known = {}
        if isinstance(self.align, Sinkhorn):
            known["frame_terms"] = batch.frame_terms
        return self.align(
            batch.frames, batch.frame_mask, tokens, token_mask=token_mask, **known
        )

    @property
    def has_frame_terms(self) -> bool:
        return isinstance(self.align, Sinkhorn)

    def frame_terms(self, batch: Batch) -> Tensor:
        """Transport of the frames to themselves, which no training changes."""
        if not isinstance(self.align, Sinkhorn):
            raise ValueError("Only Sinkhorn's transport has a part of frames alone.")
        return self.align.frame_terms(batch.frames, batch.frame_mask)

    def aspect_heads(self) -> list[nn.Module]:
        return list(self.heads)

    def independent_parts(self) -> list[nn.Module]:
        pairs = list(zip(self.heads, self.needs_text, strict=True))
        audio_heads = [head for head, text in pairs if not text]
        if self.projection is None or self.attention is None:
            return audio_heads

        # All that text aspects read is one part, since they share projection and
        # attention.
        text_heads = [head for head, text in pairs if text]
        text_path = nn.ModuleList([self.projection, self.attention, *text_heads])
        return [*audio_heads, text_path]


class PooledHeads(Network):
    """Heads on clip-level embeddings (the official CLAP baseline of MusicEval).

    An aspect reads the mean of the frames; a text aspect that of the tokens as well.

    Shape: Batch → (B, aspects, outputs), raw logits
    """

    def __init__(
        self, heads: Sequence[nn.Sequential], needs_text: Sequence[bool]
    ) -> None:
        super().__init__()
        self.heads = nn.ModuleList(heads)
        self.needs_text = tuple(needs_text)

    def forward(self, batch: Batch, context: Tensor | None = None) -> Tensor:
        audio = masked_mean(batch.frames, batch.frame_mask)
        # Without text aspects a batch holds no tokens.
        both = None
        if any(self.needs_text):
            tokens, token_mask = batch.text()
            both = torch.cat([audio, masked_mean(tokens, token_mask)], -1)

        logits = []
        for head, text in zip(self.heads, self.needs_text, strict=True):
            logits.append(head(both if text else audio))
        return torch.stack(logits, 1)

    def aspect_heads(self) -> list[nn.Module]:
        return list(self.heads)


@dataclass(frozen=True)
class _Inputs:
    """What a network reads: whether each aspect needs text, and the widths."""

    needs_text: tuple[bool, ...]
    audio_dim: int
    text_dim: int
    """0 without a text encoder."""


def build_model(
    config: BaseConfig,
    needs_text: Sequence[bool],
    audio_dim: int,
    text_dim: int | None,
) -> Network:
    """Assemble the network of a config.

    Sizes follow the encoders; MuQ and RoBERTa give those of DORA-MOS' published code.

    Parameters
    ----------
    config : BaseConfig
    needs_text : sequence of bool
        For each aspect, whether it is judged against the prompt; of no effect where the
        config is `audio_only`.
    audio_dim : int
        Width of the frames.
    text_dim : int or None
        Width of the tokens; may be None when no aspect needs text.

    Raises
    ------
    UsageError
        when a width cannot be split into the attention heads or the LSTM's directions,
        or a text aspect has no text encoder.
    """
    if config.audio_only:
        needs_text = [False] * len(needs_text)
    if any(needs_text) and text_dim is None:
        raise UsageError(
            "An aspect is judged against the prompt, so a text encoder is needed."
        )
    inputs = _Inputs(tuple(needs_text), audio_dim=audio_dim, text_dim=text_dim or 0)
    return ARCHITECTURES[config.architecture](config, inputs)


def _check_divisible(
    dim: int,
    parts: int,
    what: str,
    cure: str = "Set attention_heads to a divisor of the width, such as 1",
) -> None:
    if dim % parts:
        raise UsageError(
            f"Embeddings of width {dim} cannot be split into {parts} {what}. {cure}, "
            "or use another encoder."
        )


# The order in which the parts are built is the order in which their initial weights
# are drawn; another order would train other networks from the same seed.


def _dual_branch(config: BaseConfig, inputs: _Inputs) -> DualBranch:
    if any(inputs.needs_text):
        _check_divisible(inputs.text_dim, config.attention_heads, "attention heads")
    temporal = TEMPORAL[config.temporal](config, inputs.audio_dim)
    branches = [_branch(config, inputs, text) for text in inputs.needs_text]
    is_anchored = config.alignment == "anchored" and config.alignment_weight > 0
    return DualBranch(
        temporal, branches, anchor_scale=config.bins if is_anchored else None
    )


def _branch(
    config: BaseConfig,
    inputs: _Inputs,
    text: bool,
) -> Branch:
    dim = inputs.text_dim if text else inputs.audio_dim
    outputs = build_criterion(config).outputs

    # The published CORAL heads have the same hidden widths in both branches. The paper
    # leaves the rest of the network unchanged, and so does the textbook form.
    published_coral = config.criterion == "coral" and config.coral_form == "published"
    widest = inputs.audio_dim if published_coral else dim
    hidden = tuple(widest // 2**layer for layer in range(1, config.hidden_layers + 1))
    if hidden[-1] < 1:
        raise UsageError(
            f"hidden_layers = {config.hidden_layers} are too many for embeddings of "
            f"width {widest}, which each layer halves."
        )
    head = mlp_head(
        dim,
        hidden=hidden,
        outputs=outputs,
        dropout=config.dropout,
        drop_last=published_coral,
        shared_weight=_shares_weight(config),
    )

    pool: nn.Module
    if config.pooling == "attention":
        pool = AttentionPooling(dim)
    else:
        pool = MeanPooling()
    if not text:
        return AudioBranch(pool, head)

    cross = CrossAttention(
        inputs.audio_dim,
        inputs.text_dim,
        heads=config.attention_heads,
        dropout=config.dropout,
    )
    return TextBranch(cross, pool, head, decoupled=config.decoupled)


def _shares_weight(config: BaseConfig) -> bool:
    """Whether the outputs of a head share one weight vector."""
    return config.criterion == "coral" and config.coral_form == "textbook"


def _transformer(config: BaseConfig, dim: int) -> nn.Module:
    _check_divisible(dim, config.attention_heads, "attention heads")
    return TemporalTransformer(dim, config.attention_heads, config.dropout)


def _bilstm(config: BaseConfig, dim: int) -> nn.Module:
    cure = "Use another temporal block"
    _check_divisible(dim, 2, "directions of an LSTM", cure=cure)
    return TemporalBiLSTM(dim, config.dropout)


def _co_attention(config: BaseConfig, inputs: _Inputs) -> CoAttention:
    outputs = build_criterion(config).outputs

    def build_heads(of_text: bool, width: int) -> dict[int, nn.Sequential]:
        """Heads of the audio or of the text aspects, by the number of the aspect."""
        return {
            aspect: mlp_head(
                width,
                NARROW,
                outputs,
                dropout=config.dropout,
                shared_weight=_shares_weight(config),
            )
            for aspect, text in enumerate(inputs.needs_text)
            if text == of_text
        }

    # Heads of audio aspects are drawn first, then the projection: they start alike
    # under every form of attention.
    heads = build_heads(False, inputs.audio_dim)
    projection = None
    attention = None
    align = None
    if any(inputs.needs_text):
        _check_divisible(inputs.audio_dim, config.attention_heads, "attention heads")
        projection = nn.Linear(inputs.text_dim, inputs.audio_dim)
        heads.update(build_heads(True, 2 * inputs.audio_dim))
        build_attention = CO_ATTENTION[config.co_attention]
        attention = build_attention(inputs.audio_dim, config.attention_heads)
        align = build_alignment(config)

    return CoAttention(
        [heads[aspect] for aspect in range(len(inputs.needs_text))],
        inputs.needs_text,
        projection=projection,
        attention=attention,
        align=align,
    )


def _pooled(config: BaseConfig, inputs: _Inputs) -> PooledHeads:
    outputs = build_criterion(config).outputs
    heads = []
    for text in inputs.needs_text:
        width = inputs.audio_dim + inputs.text_dim if text else inputs.audio_dim
        shared_weight = _shares_weight(config)
        heads.append(linear_head(width, NARROW, outputs, shared_weight=shared_weight))
    return PooledHeads(heads, inputs.needs_text)


TEMPORAL: dict[str, Callable[[BaseConfig, int], nn.Module]] = {
    "transformer": _transformer,
    "mamba": lambda config, dim: TemporalMamba(dim, config.dropout),
    "bilstm": _bilstm,
    "none": lambda config, dim: NoTemporal(),
}
ARCHITECTURES: dict[str, Callable[[BaseConfig, _Inputs], Network]] = {
    "dual_branch": _dual_branch,
    "co_attention": _co_attention,
    "pooled": _pooled,
}
