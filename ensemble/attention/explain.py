"""What the base models of a stack attended to, per clip: the maps as safetensors, and a picture of them.

The trap: models average where others attend, and an average drawn as a flat line would pass for attention. Only
learnt attention, and the transport plan that a model was trained with, is written and drawn; what is absent is named,
in the file and under the picture.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import safetensors.numpy

from base_models.encoders.base import Encoder
from base_models.encoders.store import EmbeddingStore
from base_models.files import atomic_write, sha256
from base_models.networks.attention import AXES, PLAN, Attention
from ensemble.attention.picture import picture
from ensemble.estimator.stacked_mos import StackedMOS
from ensemble.scoring.score_clips import PLACEHOLDER, embedded_once, prepared

CHUNK = 16
"""Clips explained together, so that memory does not grow with the list."""


@dataclass(frozen=True)
class ModelAttention:
    """One base model's attention in one clip.

    Parameters
    ----------
    model : its name
    frame_rate : embedding frames per second
    stride : frames that the transport plan averaged into one
    tokens : label of each row of the prompt's embedding
    aspects : one `Attention` per aspect asked for
    """

    model: str
    frame_rate: float
    stride: int
    tokens: tuple[str, ...]
    aspects: tuple[Attention, ...]


def explain_clips(
    stack: StackedMOS,
    clips: pd.DataFrame,
    store: EmbeddingStore,
    folder: Path | str,
    aspects: Sequence[str],
    on_clip: Callable[[Path], None] | None = None,
) -> list[str]:
    """Write ``<name>.safetensors`` and ``<name>.png`` for every clip of a table that `score_clips` could score.

    Parameters
    ----------
    clips : table with ``clip_id``, ``audio`` and, for aspects judged against it, ``prompt``
    folder : where the files go; those of an earlier call are overwritten
    aspects : those to explain, as `Scores.aspects`
    on_clip : called with the path of each picture

    Returns
    -------
    notes : one sentence for each model and aspect whose attention is not there, or not all
    """
    stack, clips = prepared(stack, clips, store)
    clips = clips.assign(
        prompt=clips["prompt"].where(clips["prompt"].str.strip() != "", PLACEHOLDER)
    )
    notes: dict[str, None] = {}
    for start in range(0, len(clips), CHUNK):
        chunk = clips.iloc[start : start + CHUNK].reset_index(drop=True)
        found = _explained(stack, chunk, aspects)
        for row, models in zip(chunk.to_dict("records"), found, strict=True):
            base = Path(folder) / file_name(row["clip_id"])
            atomic_write(
                base.with_name(f"{base.name}.safetensors"),
                to_tensors(row["clip_id"], models),
            )
            drawn = base.with_name(f"{base.name}.png")
            atomic_write(drawn, picture(row["clip_id"], row["audio"], models))
            notes |= {
                f"{m.model}, {a.aspect}: {a.note}": None
                for m in models
                for a in m.aspects
                if a.note
            }
            if on_clip:
                on_clip(drawn)
    return list(notes)


def _explained(
    stack: StackedMOS, chunk: pd.DataFrame, aspects: Sequence[str]
) -> list[list[ModelAttention]]:
    """Every base model's attention, clip by clip."""
    found: list[list[ModelAttention]] = [[] for _ in range(len(chunk))]
    for name, model, embedded in embedded_once(stack, chunk):
        audio, text = model.encoders()
        for row, explained in enumerate(model.explain_embedded(embedded)):
            tokens = (
                token_labels(text, chunk["prompt"][row], len(embedded.tokens[row]))
                if text
                else ()
            )
            wanted = tuple(one for one in explained if one.aspect in aspects)
            facts = (audio.frame_rate, model.config_.alignment_stride, tokens, wanted)
            found[row].append(ModelAttention(name, *facts))
    return found


def token_labels(text: Encoder, prompt: str, rows: int) -> tuple[str, ...]:
    """A label for each row of a prompt's embedding; numbers where the encoder cannot name them."""
    labels = [piece.text for piece in text.pieces(prompt)] if text.pieces else [prompt]
    return tuple(labels) if len(labels) == rows else tuple(map(str, range(rows)))


def file_name(clip_id: str) -> str:
    """A name that any file system takes, never the same for two clips: what can be read of the id, and its hash.

    >>> file_name("a/b")[:-16], file_name("A/b") != file_name("a/b"), len(file_name("x" * 999))
    ('a_b-', True, 77)
    """
    readable = re.sub(r"[^A-Za-z0-9._-]+", "_", clip_id).lstrip("._-")[:60] or "clip"
    return f"{readable}-{sha256(clip_id.encode('utf-8', 'surrogatepass'))[:16]}"


def to_tensors(clip_id: str, models: Sequence[ModelAttention]) -> bytes:
    """Arrays named ``model/aspect/map`` as safetensors; the metadata ``about`` is JSON that says what they are."""
    arrays, about = {}, {}
    for model in models:
        aspects = {}
        for one in model.aspects:
            arrays |= {
                f"{model.model}/{one.aspect}/{name}": np.ascontiguousarray(m)
                for name, m in one.maps.items()
            }
            maps = {
                name: {"shape": list(m.shape), "axes": _axes(name)}
                for name, m in one.maps.items()
            }
            aspects[one.aspect] = {"maps": maps, "note": one.note}
        facts = {
            "frames_per_second": model.frame_rate,
            "plan_stride": model.stride,
            "tokens": list(model.tokens),
        }
        about[model.model] = facts | {"aspects": aspects}
    return safetensors.numpy.save(
        arrays, metadata={"about": json.dumps({"clip_id": clip_id, "models": about})}
    )


def _axes(name: str) -> list[str]:
    return ["tokens", "plan_stride frames"] if name == PLAN else list(AXES[name])
