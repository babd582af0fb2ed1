"""What a network attended to: the weights of its learnt attentions, read off while it runs.

Forward hooks watch and change nothing, so the scores stay bit for bit what they are. Where a network averages, there
is no attention, and the note says so. The trap: a weight says where a vector came from, not what the score depends
on; that is measured by taking the attended away (`ensemble.attention.deletion_test`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from base_models.networks.alignment import Transport, sinkhorn_plan
from base_models.networks.batches import Embedded
from base_models.networks.co_attention import (
    CrossOnly,
    SequenceCoAttention,
    VanillaCoAttention,
)
from base_models.networks.layers import AttentionPooling, masked_mean
from base_models.networks.models import (
    Batch,
    CoAttention,
    DualBranch,
    Network,
    TextBranch,
)

AXES = {
    "time": ("frames",),
    "tokens": ("tokens",),
    "tokens_by_time": ("tokens", "frames"),
    "time_by_tokens": ("frames", "tokens"),
}
"""Every kind of map and what its axes count; rows sum to 1."""
PLAN = "plan"
"""Transport plan: tokens by (thinned) frames, sums to 1 over all."""


@dataclass(frozen=True)
class Attention:
    """What one model attended to in one clip, for one aspect.

    Parameters
    ----------
    aspect : str
    maps : by the names in `AXES`, float32 arrays at the clip's true length: ``time`` (T,) and ``tokens`` (T',) are what
        each frame and token weighs in the end; ``tokens_by_time`` (T', T) where each token looked, the mean over
        heads; ``time_by_tokens`` (T, T') where each frame looked; and ``plan`` (T', ceil(T / stride)) how optimal
        transport joins them
    note : what is absent, and why; "" when nothing is
    """

    aspect: str
    maps: Mapping[str, np.ndarray]
    note: str


@contextlib.contextmanager
def recorded(network: nn.Module) -> Iterator[dict[nn.Module, list[Tensor]]]:
    """What each attention weighed with while `network` runs inside: module → one tensor per call.

    Of several heads, the mean. A temporal block's self-attention is left alone: a hook would turn off torch's fast
    path for the whole layer, and its last bits with it.

    Shape: pooling (B, T); queries by keys (B, T', T), 0 on every padded key
    """
    found: dict[nn.Module, list[Tensor]] = {}

    def keep(module, args, kwargs, output):
        if isinstance(module, AttentionPooling):
            weights = module.weights(*args, **kwargs)
        else:
            weights = module.forward(*args, **kwargs | {"need_weights": True})[1]
        found.setdefault(module, []).append(weights)

    layers = [
        layer
        for layer in network.modules()
        if isinstance(layer, nn.TransformerEncoderLayer)
    ]
    inside = {part for layer in layers for part in layer.modules()}
    watched = (
        part
        for part in network.modules()
        if isinstance(part, AttentionPooling | nn.MultiheadAttention)
    )
    handles = [
        part.register_forward_hook(keep, with_kwargs=True)
        for part in watched
        if part not in inside
    ]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


@torch.inference_mode()
def attention_maps(network: Network, batch: Batch) -> list[dict[str, Tensor]]:
    """The maps of a padded batch, one dict per aspect, exactly 0 wherever there is padding on an attended axis."""
    network.eval()
    with recorded(network) as found:
        network(batch)
    if isinstance(network, DualBranch):
        return [_of_branch(branch, batch, found) for branch in network.branches]
    if isinstance(network, CoAttention):
        maps = _of_co_attention(network.attention, batch, found)
        return [maps if text else {} for text in network.needs_text]
    return [{} for _ in network.heads]


def _of_branch(
    branch: nn.Module, batch: Batch, found: Mapping[nn.Module, list[Tensor]]
) -> dict[str, Tensor]:
    """Of a text branch, a frame weighs what the tokens that look at it weigh in the pooling (or alike, if averaged)."""
    pooled = found.get(branch.pool, [None])[0]
    if not isinstance(branch, TextBranch):
        return {} if pooled is None else {"time": pooled}
    by_time = found[branch.cross.attention][0]
    shares = (
        batch.token_mask / batch.token_mask.sum(1, keepdim=True)
        if pooled is None
        else pooled
    )
    maps = {
        "tokens_by_time": by_time,
        "time": (shares.unsqueeze(1) @ by_time).squeeze(1),
    }
    return maps if pooled is None else maps | {"tokens": pooled}


def _of_co_attention(
    attention: nn.Module | None, batch: Batch, found
) -> dict[str, Tensor]:
    if isinstance(attention, SequenceCoAttention):
        by_tokens, by_time = found[attention.audio][0], found[attention.text][0]
        means = {
            "time": masked_mean(by_time, batch.token_mask),
            "tokens": masked_mean(by_tokens, batch.frame_mask),
        }
        return {"tokens_by_time": by_time, "time_by_tokens": by_tokens} | means
    if isinstance(
        attention, VanillaCoAttention
    ):  # called twice: the pooled audio first, then the pooled text
        tokens, time = found[attention.both]
        return {"time": time.squeeze(1), "tokens": tokens.squeeze(1)}
    if isinstance(attention, CrossOnly):
        by_time = found[attention.text][0]
        return {
            "tokens_by_time": by_time,
            "time": masked_mean(by_time, batch.token_mask),
        }
    return {}


def explain_network(
    network: Network,
    clips: Embedded,
    aspects: Sequence[str],
    needs_text: Sequence[bool],
    size: int,
    device,
) -> list[tuple[Attention, ...]]:
    """What `network` attended to, for every clip in row order and every aspect; in full precision.

    Parameters
    ----------
    needs_text : for each aspect, whether it is judged against the prompt
    size : clips computed together
    """
    network.to(device)
    explained: list[tuple[Attention, ...]] = [()] * len(clips)
    for rows in clips.by_length(size):
        batch = clips.batch(rows).to(device)
        with torch.autocast(torch.device(device).type, enabled=False):
            maps, plans = attention_maps(network, batch), _plans(network, batch)
        for k, row in enumerate(rows):
            lengths = {
                "frames": len(clips.frames[row]),
                "tokens": len(clips.tokens[row]) if clips.tokens else 0,
            }
            explained[row] = tuple(
                _of_clip(
                    aspect,
                    text,
                    maps[a],
                    k,
                    lengths,
                    plans[k] if text and plans else None,
                )
                for a, (aspect, text) in enumerate(
                    zip(aspects, needs_text, strict=True)
                )
            )
    return explained


def _of_clip(
    aspect: str,
    text: bool,
    maps,
    k: int,
    lengths: Mapping[str, int],
    plan: np.ndarray | None,
) -> Attention:
    """One clip's share of a batch, without the padding."""
    own = {}
    for name, padded in maps.items():
        own[name] = (
            padded[k][tuple(slice(lengths[axis]) for axis in AXES[name])]
            .float()
            .cpu()
            .numpy()
        )
    return Attention(
        aspect, own if plan is None else own | {PLAN: plan}, _note(text, own)
    )


def _note(text: bool, maps: Mapping[str, np.ndarray]) -> str:
    absent = {"time": "the frames are averaged: no attention over time"}
    if text:
        absent |= {"tokens": "the tokens are averaged: no attention over words"}
        if {"time", "tokens"} <= set(maps):
            absent |= {
                "tokens_by_time": "the means of both query once: no map of tokens by time"
            }
    return "; ".join(words for name, words in absent.items() if name not in maps)


@torch.inference_mode()
def _plans(network: Network, batch: Batch) -> list[np.ndarray] | None:
    """Each clip's transport plan where the network was trained with Sinkhorn's; None where it was not."""
    align = getattr(network, "align", None)
    if (
        not isinstance(align, Transport)
        or getattr(align.cost, "loss", "") != "sinkhorn"
    ):
        return None
    tokens = network.projection(batch.tokens)
    pairs = align.pairs(batch.frames, batch.frame_mask, tokens, batch.token_mask)
    return [sinkhorn_plan(x, y, align.cost.blur).cpu().numpy() for x, y in pairs]
