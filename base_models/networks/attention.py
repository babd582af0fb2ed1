"""What a network attended to: the weights of its attentions, recorded as it runs.

Forward hooks watch without changing anything, so the scores stay the same bit for bit.
Where a network averages, there is no attention, and a note says so.

Notes
-----
A weight says where a vector came from, not what the score depends on. The latter is
measured by removing what was attended to (`ensemble.attention.deletion_test`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from base_models.networks.alignment import clouds_of_clips, sinkhorn_plan
from base_models.networks.batches import Batch, EmbeddedClips
from base_models.networks.co_attention import (
    CrossOnly,
    SequenceCoAttention,
    VanillaCoAttention,
)
from base_models.networks.layers import AttentionPooling, masked_mean
from base_models.networks.models import (
    Branch,
    CoAttention,
    DualBranch,
    Network,
    TextBranch,
)
from base_models.networks.sinkhorn import Sinkhorn, average_frames
from base_models.precision.modes import full_precision

AXES = {
    "time": ("frames",),
    "tokens": ("tokens",),
    "tokens_by_time": ("tokens", "frames"),
    "time_by_tokens": ("frames", "tokens"),
}
"""Every kind of map and what its axes count; rows sum to 1."""
PLAN = "plan"
"""Transport plan: tokens by (averaged) frames; sums to 1 over all."""


@dataclass(frozen=True)
class Attention:
    """What one model attended to in one clip, for one aspect.

    Parameters
    ----------
    aspect : str
    maps : mapping of str to float32 array
        At the clip's true length, by the names in `AXES`. ``time`` (T,) and ``tokens``
        (T',) are the total weight of each frame and token; ``tokens_by_time`` (T', T)
        where each token looked, the mean over heads; ``time_by_tokens`` (T, T') where
        each frame looked; ``plan`` (T', ceil(T / stride)) how optimal transport joins
        them.
    note : str
        What is absent, and why; empty when nothing is.
    """

    aspect: str
    maps: Mapping[str, np.ndarray]
    note: str


@contextlib.contextmanager
def record_attention(network: nn.Module) -> Iterator[dict[nn.Module, list[Tensor]]]:
    """Record the weights of each attention while `network` runs in this context.

    Yields
    ------
    weights : dict of nn.Module to list of Tensor
        One tensor per call of the module: of a pooling (B, T); of queries by keys
        (B, T', T), the mean over heads. Weights are 0 on every padded key.
    """
    weights: dict[nn.Module, list[Tensor]] = {}

    def record(
        module: nn.Module,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        output: Any,
    ) -> None:
        if isinstance(module, AttentionPooling):
            module_weights = module.weights(*args, **kwargs)
        else:
            # `forward` is called directly, since calling the module would run this
            # hook again.
            with_weights = {**kwargs, "need_weights": True}
            _, module_weights = module.forward(*args, **with_weights)
        weights.setdefault(module, []).append(module_weights)

    handles = [
        module.register_forward_hook(record, with_kwargs=True)
        for module in _attentions(network)
    ]
    try:
        yield weights
    finally:
        for handle in handles:
            handle.remove()


def _attentions(network: nn.Module) -> list[nn.Module]:
    """Attention modules that can be watched, in the network's order."""
    # A hook inside a temporal block would turn off torch's fast path for the whole
    # layer and change the last bits of its output, so its self-attention is left out.
    inside_blocks: set[nn.Module] = set()
    for module in network.modules():
        if isinstance(module, nn.TransformerEncoderLayer):
            inside_blocks.update(module.modules())

    return [
        module
        for module in network.modules()
        if isinstance(module, AttentionPooling | nn.MultiheadAttention)
        and module not in inside_blocks
    ]


@torch.inference_mode()
def attention_maps(network: Network, batch: Batch) -> list[dict[str, Tensor]]:
    """Compute the maps of a padded batch, one dict per aspect.

    They are exactly 0 at padding on an attended axis.
    """
    network.eval()
    with record_attention(network) as weights:
        network(batch)

    if isinstance(network, DualBranch):
        branches = network.aspect_branches()
        return [_branch_maps(branch, batch, weights) for branch in branches]
    if isinstance(network, CoAttention):
        maps = _co_attention_maps(network.attention, batch, weights)
        return [maps if text else {} for text in network.needs_text]
    return [{} for _ in network.aspect_heads()]


def _branch_maps(
    branch: Branch,
    batch: Batch,
    weights: Mapping[nn.Module, list[Tensor]],
) -> dict[str, Tensor]:
    """Maps of one branch of DORA-MOS, with "time" as the total weight of a frame."""
    pooling = weights[branch.pool][0] if branch.pool in weights else None
    if not isinstance(branch, TextBranch):
        return {} if pooling is None else {"time": pooling}

    # A frame weighs what the tokens that look at it weigh in the pooling; tokens that
    # are averaged weigh the same.
    tokens_by_time = weights[branch.cross.attention][0]
    _, token_mask = batch.text()
    if pooling is None:
        token_weights = token_mask / token_mask.sum(1, keepdim=True)
    else:
        token_weights = pooling
    time = (token_weights.unsqueeze(1) @ tokens_by_time).squeeze(1)

    maps = {"tokens_by_time": tokens_by_time, "time": time}
    if pooling is not None:
        maps["tokens"] = pooling
    return maps


def _co_attention_maps(
    attention: nn.Module | None,
    batch: Batch,
    weights: Mapping[nn.Module, list[Tensor]],
) -> dict[str, Tensor]:
    """Maps of WhisQ's text aspects; they are the same for all of them."""
    if isinstance(attention, SequenceCoAttention):
        _, token_mask = batch.text()
        time_by_tokens = weights[attention.audio][0]
        tokens_by_time = weights[attention.text][0]
        return {
            "tokens_by_time": tokens_by_time,
            "time_by_tokens": time_by_tokens,
            "time": masked_mean(tokens_by_time, token_mask),
            "tokens": masked_mean(time_by_tokens, batch.frame_mask),
        }
    if isinstance(attention, VanillaCoAttention):
        # One module is called twice: the pooled audio queries first, then the text.
        tokens, time = weights[attention.both]
        return {"time": time.squeeze(1), "tokens": tokens.squeeze(1)}
    if isinstance(attention, CrossOnly):
        _, token_mask = batch.text()
        tokens_by_time = weights[attention.text][0]
        return {
            "tokens_by_time": tokens_by_time,
            "time": masked_mean(tokens_by_time, token_mask),
        }
    return {}


def explain_network(
    network: Network,
    clips: EmbeddedClips,
    aspects: Sequence[str],
    needs_text: Sequence[bool],
    size: int,
    device: torch.device | str,
) -> list[tuple[Attention, ...]]:
    """Compute what `network` attended to, for every clip and aspect.

    Parameters
    ----------
    network : Network
    clips : EmbeddedClips
    aspects : sequence of str
    needs_text : sequence of bool
        For each aspect, whether it is judged against the prompt.
    size : int
        Clips computed together.
    device : torch.device or str

    Returns
    -------
    explained : list of tuple of Attention
        One tuple per clip in row order, one item per aspect.
    """
    network.to(device)
    explained: list[tuple[Attention, ...]] = [()] * len(clips)
    for rows in clips.by_length(size):
        batch = clips.batch(rows).to(device)
        # Full precision, so that a clip is explained alike on every device.
        with full_precision(str(device)):
            aspect_maps = attention_maps(network, batch)
            plans = _transport_plans(network, batch)

        for position, row in enumerate(rows):
            lengths = {
                "frames": len(clips.frames[row]),
                "tokens": len(clips.tokens[row]) if clips.tokens else 0,
            }
            # Padding of the batch is cut off, so a clip's maps are those of the clip
            # alone.
            clip_attention = []
            for maps, aspect, text in zip(
                aspect_maps, aspects, needs_text, strict=True
            ):
                own_maps = _unpadded(maps, position, lengths)
                note = _note(text, own_maps)
                if text and plans is not None:
                    own_maps[PLAN] = plans[position]
                clip_attention.append(Attention(aspect, own_maps, note))
            explained[row] = tuple(clip_attention)
    return explained


def _unpadded(
    maps: Mapping[str, Tensor],
    position: int,
    lengths: Mapping[str, int],
) -> dict[str, np.ndarray]:
    """Take one clip out of the maps of a batch, without the padding."""
    own_maps = {}
    for name, padded in maps.items():
        true_lengths = tuple(slice(lengths[axis]) for axis in AXES[name])
        own_maps[name] = padded[position][true_lengths].float().cpu().numpy()
    return own_maps


def _note(text: bool, maps: Mapping[str, np.ndarray]) -> str:
    """Say which maps an aspect lacks, and why."""
    absent = []
    if "time" not in maps:
        absent.append("the frames are averaged: no attention over time")
    if text and "tokens" not in maps:
        absent.append("the tokens are averaged: no attention over words")

    # In vanilla co-attention single vectors, the means, query each sequence, so there
    # is no token that looks at a frame.
    if text and {"time", "tokens"} <= set(maps) and "tokens_by_time" not in maps:
        absent.append("the means of both query once: no map of tokens by time")
    return "; ".join(absent)


@torch.inference_mode()
def _transport_plans(network: Network, batch: Batch) -> list[np.ndarray] | None:
    """Each clip's transport plan; None unless trained with Sinkhorn's transport."""
    if not isinstance(network, CoAttention):
        return None
    align = network.align
    if not isinstance(align, Sinkhorn):
        return None

    tokens, token_mask = network.projected_text(batch)
    frames, mask = average_frames(batch.frames, batch.frame_mask, align.stride)
    clouds = clouds_of_clips(frames, mask, tokens, token_mask=token_mask)
    plans = []
    for clip_frames, clip_tokens in clouds:
        plan = sinkhorn_plan(clip_frames, clip_tokens, align.blur)
        plans.append(plan.cpu().numpy())
    return plans
