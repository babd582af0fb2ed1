"""From a table of clips to their stored embeddings: fill the store, set bad clips aside, read the rest.

The trap: a clip that cannot be decoded must not become silence with a label. `fill_clips` names such clips;
`load_clips` reads only what was filled.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from base_models.clips.read_clips import SetAside
from base_models.encoders import Encoder
from base_models.encoders.store import EmbeddingStore
from base_models.errors import ClipError, UsageError
from base_models.networks.batches import Embedded

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class FilledClips:
    """Which rows of a clip table have embeddings in a store, and under which keys.

    Parameters
    ----------
    kept : row numbers that can be used
    audio_keys, text_keys : content keys of the kept rows; `text_keys` is None without text
    set_aside : clips that cannot be used, with the reason
    """

    kept: tuple[int, ...]
    audio_keys: tuple[str, ...]
    text_keys: tuple[str, ...] | None
    set_aside: tuple[SetAside, ...]

    @property
    def content(self) -> tuple[str, ...]:
        """One key per kept row, equal for clips of equal audio and prompt."""
        return tuple(
            a + t
            for a, t in zip(
                self.audio_keys, self.text_keys or [""] * len(self.kept), strict=True
            )
        )


def fill_clips(
    clips: pd.DataFrame,
    store: EmbeddingStore,
    audio: Encoder,
    text: Encoder | None,
    on_progress: Progress | None = None,
) -> FilledClips:
    """Make sure that every usable clip has its embeddings in the store; each distinct content is encoded once, ever.

    Parameters
    ----------
    clips : table with ``clip_id`` (else the index serves), ``audio`` and, when `text` is given, ``prompt``
    audio, text : encoders; `text` is None when no aspect needs the prompt
    on_progress : called as ``on_progress(encoder_name, done, total)``
    """
    ids = clip_ids(clips)
    missing = {"audio", *(["prompt"] if text else [])} - set(clips.columns)
    if missing:
        raise UsageError(
            f"The table of clips has no column {sorted(missing)}; its columns are {list(clips.columns)}."
        )
    paths = dict(zip(ids, map(_text, clips["audio"]), strict=True))
    audio_keys, aside = store.fill(audio, paths, on_progress=on_progress)
    text_keys: dict[str, str] = {}
    if text:
        prompts = {
            clip: _text(prompt)
            for clip, prompt in zip(ids, clips["prompt"], strict=True)
            if clip in audio_keys
        }
        text_keys, text_aside = store.fill(text, prompts, on_progress=on_progress)
        aside = [*aside, *text_aside]
    kept = [
        i
        for i, clip in enumerate(ids)
        if clip in audio_keys and (text is None or clip in text_keys)
    ]
    return FilledClips(
        tuple(kept),
        tuple(audio_keys[ids[i]] for i in kept),
        tuple(text_keys[ids[i]] for i in kept) if text else None,
        tuple(aside),
    )


def _text(cell) -> str:
    """A cell of the table as text; a missing one (None, NaN, NA) is "", which the encoders refuse with a reason."""
    return "" if pd.isna(cell) else str(cell)


def load_clips(
    filled: FilledClips, store: EmbeddingStore, audio: Encoder, text: Encoder | None
) -> Embedded:
    """Read the embeddings of the kept rows; clips of equal content share one array."""

    def read(encoder: Encoder, keys: tuple[str, ...]) -> list[np.ndarray]:
        arrays = {key: store.get(encoder, key) for key in dict.fromkeys(keys)}
        return [arrays[key] for key in keys]

    return Embedded(
        read(audio, filled.audio_keys), read(text, filled.text_keys) if text else None
    )


def embed_all(
    clips: pd.DataFrame, store: EmbeddingStore, audio: Encoder, text: Encoder | None
) -> tuple[FilledClips, Embedded]:
    """Embeddings of every row.

    Raises
    ------
    ClipError
        when a clip cannot be used, with its id and the reason.
    """
    filled = fill_clips(clips, store, audio, text)
    if filled.set_aside:
        first, others = filled.set_aside[0], len(filled.set_aside) - 1
        raise ClipError(
            f"Clip '{first.clip_id}': {first.reason}"
            + (f" (and {others} more clips)" if others else "")
        )
    return filled, load_clips(filled, store, audio, text)


def clip_ids(clips: pd.DataFrame) -> list[str]:
    """Ids of the clips: the column ``clip_id``, else the index as text.

    Raises
    ------
    UsageError
        when `clips` is not a DataFrame or an id stands twice.
    """
    if not isinstance(clips, pd.DataFrame):
        raise UsageError(
            f"Neural base models need a table of clips (a DataFrame); got {type(clips).__name__}."
        )
    ids = [str(clip) for clip in clips.get("clip_id", clips.index)]
    if len(set(ids)) != len(ids):
        raise UsageError("Clip ids must be unique; some stand twice in the table.")
    return ids


def system_ids(clips: pd.DataFrame) -> list[str]:
    """Systems of the clips; one nameless system when the table has no column ``system_id``."""
    return (
        [str(system) for system in clips["system_id"]]
        if "system_id" in clips
        else [""] * len(clips)
    )
