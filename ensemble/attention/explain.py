"""Write what the base models of a stack attended to in each clip: maps and a picture.

Only learnt attention, and the transport plan that a model was trained with, is written
and drawn. A model that averages attends to nothing, and a flat line would pass for
attention; so what is absent is named, in the file and under the picture. Of a model on
pooled embeddings, it is written and drawn what its score consists of.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import safetensors.numpy

from base_models.clips.labels import text_gaps
from base_models.encoders.base import Encoder
from base_models.encoders.store import EmbeddingStore
from base_models.files import atomic_write, sha256
from base_models.networks.attention import AXES, PLAN
from base_models.pooled.pooled_mos import PooledMOS
from ensemble.attention.model_attention import ModelAttention
from ensemble.attention.model_contributions import ModelContributions, contributions_of
from ensemble.attention.picture import picture
from ensemble.estimator.predict_base_models import judged_by_prompt
from ensemble.estimator.stacked_mos import StackedMOS
from ensemble.scoring.prepared_stack import (
    clip_chunks,
    clip_models,
    embedded_once,
    prepared,
    with_placeholder,
)

_LONGEST_NAME = 60
_MOST_BYTES = 180
CLIPS_PER_CHUNK = 16
"""Clips whose attention is held in memory together."""


class ClipExplanation(NamedTuple):
    """What is known of one clip: lists of one item per base model.

    Parameters
    ----------
    attention : list of ModelAttention
        Of the neural models.
    contributions : list of ModelContributions
        Of the models on pooled embeddings.
    """

    attention: list[ModelAttention]
    contributions: list[ModelContributions]

    def without(self, gaps: pd.Series) -> ClipExplanation:
        """The same without the aspects that the clip has no prompt for.

        Parameters
        ----------
        gaps : bool Series by aspect
        """
        attention = [
            replace(
                model, aspects=tuple(it for it in model.aspects if not gaps[it.aspect])
            )
            for model in self.attention
        ]
        contributions = [
            replace(
                model, aspects=tuple(it for it in model.aspects if not gaps[it.aspect])
            )
            for model in self.contributions
        ]
        return ClipExplanation(attention, contributions)


def explain_clips(
    stack: StackedMOS,
    clips: pd.DataFrame,
    store: EmbeddingStore,
    folder: Path | str,
    aspects: Sequence[str],
    scores: Mapping[str, str] | None = None,
) -> list[str]:
    """Write ``<name>.safetensors`` and ``<name>.png`` for every clip of a table.

    Parameters
    ----------
    stack : StackedMOS
        Fitted, of base models over encoders.
    clips : DataFrame
        ``clip_id``, ``audio`` and, for aspects judged against it, ``prompt``; clips
        that `score_clips` could score. Of a clip without a prompt these aspects are
        left out.
    store : EmbeddingStore
        Where embeddings are kept.
    folder : path
        Where the files go; those of an earlier call are overwritten.
    aspects : sequence of str
        Those to explain, as `Scores.aspects`.
    scores : mapping of str to str, optional
        Per clip its scores in words, for the picture.

    Returns
    -------
    notes : list of str
        One sentence for each model and aspect whose attention is not there, or not all.
    """
    stack, clips = prepared(stack, clips, store)
    needs_text = judged_by_prompt(clip_models(stack), aspects)
    gaps = pd.DataFrame(
        text_gaps(clips, needs_text), index=clips["clip_id"], columns=list(aspects)
    )
    # Networks with a text branch take tokens, whether or not its aspects are explained.
    clips = with_placeholder(clips)

    # A dict, to keep each note once and in order.
    notes: dict[str, None] = {}
    for chunk in clip_chunks(clips, CLIPS_PER_CHUNK):
        explained = _explain_chunk(stack, chunk, aspects)
        for clip, every in zip(chunk.to_dict("records"), explained, strict=True):
            clip_id = clip["clip_id"]
            of_clip = every.without(gaps.loc[clip_id])
            base = Path(folder) / file_name(clip_id)
            # Not with_suffix: a name may hold dots of its own.
            maps_path = base.with_name(f"{base.name}.safetensors")
            picture_path = base.with_name(f"{base.name}.png")
            atomic_write(maps_path, to_tensors(clip_id, of_clip))
            score = (scores or {}).get(clip_id, "")
            drawn = picture(clip_id, clip["audio"], *of_clip, score=score)
            atomic_write(picture_path, drawn)
            notes |= dict.fromkeys(_notes(of_clip.attention))
    return list(notes)


def _notes(models: Sequence[ModelAttention]) -> list[str]:
    """What is absent, by model and aspect."""
    return [
        f"{model.model}, {attention.aspect}: {attention.note}"
        for model in models
        for attention in model.aspects
        if attention.note
    ]


def _explain_chunk(
    stack: StackedMOS, chunk: pd.DataFrame, aspects: Sequence[str]
) -> list[ClipExplanation]:
    """What is known of every clip, by all base models."""
    by_clip = [ClipExplanation([], []) for _ in range(len(chunk))]
    for name, model, embedded in embedded_once(stack, chunk):
        if isinstance(model, PooledMOS):
            of_model = contributions_of(name, model, embedded)
            for of_clip, shares in zip(by_clip, of_model, strict=True):
                chosen = tuple(it for it in shares.aspects if it.aspect in aspects)
                of_clip.contributions.append(replace(shares, aspects=chosen))
            continue

        audio, text = model.encoders()
        # Text encoders alone have no frames.
        assert audio.frame_rate is not None
        for row, explained in enumerate(model.explain_embedded(embedded)):
            tokens: tuple[str, ...] = ()
            if text is not None and embedded.tokens is not None:
                n_tokens = len(embedded.tokens[row])
                tokens = token_labels(text, chunk["prompt"][row], n_tokens)
            kept = [attention for attention in explained if attention.aspect in aspects]
            found = ModelAttention(
                model=name,
                frame_rate=audio.frame_rate,
                stride=model.config_.alignment_stride,
                tokens=tokens,
                aspects=tuple(kept),
            )
            by_clip[row].attention.append(found)
    return by_clip


def token_labels(text: Encoder, prompt: str, rows: int) -> tuple[str, ...]:
    """Label each row of a prompt's embedding.

    An encoder without tokens has a single row, labelled by the prompt. Rows that the
    encoder cannot name are numbered.
    """
    labels = [prompt]
    if text.pieces:
        labels = [piece.text for piece in text.pieces(prompt)]
    if len(labels) != rows:
        labels = [str(row) for row in range(rows)]
    return tuple(labels)


def file_name(clip_id: str) -> str:
    """Name the files of a clip so that any file system takes them.

    The name is what can be read of the id, in any script, and its hash: two clips never
    share a name, not even on a file system that ignores case.

    Examples
    --------
    >>> file_name("a/b")[:-16]
    'a_b-'
    >>> file_name("曲 №1")[:-16]
    '曲_1-'
    >>> file_name("A/b") != file_name("a/b"), len(file_name("x" * 999))
    (True, 77)
    """
    # Ids read from broken file names may hold lone surrogates, which UTF-8 refuses.
    digest = sha256(clip_id.encode("utf-8", "surrogatepass"))
    readable = "".join(char if _is_readable(char) else " " for char in clip_id)
    readable = "_".join(readable.split()).lstrip("._-")[:_LONGEST_NAME]
    # A name may have 255 bytes, of which a letter may take four.
    cut = readable.encode()[:_MOST_BYTES].decode(errors="ignore")
    return f"{cut or 'clip'}-{digest[:16]}"


def _is_readable(char: str) -> bool:
    """Whether it is a letter, a mark on one, a digit, a dot, a bar or an underscore."""
    # Marks carry the vowels of many scripts.
    is_word = unicodedata.category(char)[0] in "LM" or char.isdecimal()
    return is_word or char in "._-"


def to_tensors(clip_id: str, explained: ClipExplanation) -> bytes:
    """Encode the maps of a clip as safetensors.

    Returns
    -------
    data : bytes
        Arrays named ``model/aspect/map``. The metadata ``about`` is JSON that says what
        they are, and of models on pooled embeddings what their scores consist of.
    """
    arrays = {}
    about: dict[str, Any] = {}
    for model in explained.attention:
        aspects: dict[str, Any] = {}
        for attention in model.aspects:
            maps = {}
            for name, weights in attention.maps.items():
                key = f"{model.model}/{attention.aspect}/{name}"
                arrays[key] = np.ascontiguousarray(weights)
                maps[name] = {"shape": list(weights.shape), "axes": _axes(name)}
            aspects[attention.aspect] = {"maps": maps, "note": attention.note}
        about[model.model] = {
            "frames_per_second": model.frame_rate,
            "plan_stride": model.stride,
            "tokens": list(model.tokens),
            "aspects": aspects,
        }
    contributions = {
        model.model: {
            found.aspect: {"start": found.start, "contributions": found.contributions}
            for found in model.aspects
        }
        for model in explained.contributions
    }
    facts = {"clip_id": clip_id, "models": about, "contributions": contributions}
    metadata = {"about": json.dumps(facts)}
    data: bytes = safetensors.numpy.save(arrays, metadata=metadata)
    return data


def _axes(name: str) -> list[str]:
    """What the axes of a map count."""
    return ["tokens", "plan_stride frames"] if name == PLAN else list(AXES[name])
