"""From a table of clips to their embeddings in a store.

A clip that cannot be used is set aside by name, so that it never becomes silence with a
label: `fill_clips` names such clips, and `load_clips` reads only what was filled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from base_models.clips.read_clips import SetAside
from base_models.encoders import Encoder
from base_models.encoders.filling.contents import text_key
from base_models.encoders.filling.fill_store import Progress
from base_models.encoders.packed.stored_arrays import KeptArrays, StoredArrays
from base_models.encoders.store import EmbeddingStore
from base_models.errors import ClipError, UsageError
from base_models.networks.batches import EmbeddedClips

PLACEHOLDER = "music"
"""Prompt of clips that have none, for networks whose text aspects are left out."""


@dataclass(frozen=True)
class FilledClips:
    """Rows of a clip table that have embeddings in a store, with their keys.

    Parameters
    ----------
    kept : tuple of int
        Numbers of the rows that can be used.
    audio_keys, text_keys : tuple of str
        Content keys of the kept rows; `text_keys` is None without text.
    set_aside : tuple of SetAside
        Clips that cannot be used, with the reason.
    """

    kept: tuple[int, ...]
    audio_keys: tuple[str, ...]
    text_keys: tuple[str, ...] | None
    set_aside: tuple[SetAside, ...]

    @property
    def content(self) -> tuple[str, ...]:
        """One key per kept row, equal for clips of equal audio and prompt."""
        if self.text_keys is None:
            return self.audio_keys
        pairs = zip(self.audio_keys, self.text_keys, strict=True)
        return tuple(audio_key + text_key for audio_key, text_key in pairs)


def fill_clips(
    clips: pd.DataFrame,
    store: EmbeddingStore,
    audio: Encoder,
    text: Encoder | None,
    on_progress: Progress | None = None,
    placeholder: str = "",
) -> FilledClips:
    """Make sure that the store has the embeddings of every usable clip.

    Parameters
    ----------
    clips : DataFrame
        Columns ``audio``, ``prompt`` if `text` is given, and ``clip_id``, in whose
        place the index is used if it is missing.
    store : EmbeddingStore
        What it has already is not computed again.
    audio, text : Encoder
        `text` is None if no aspect needs the prompt.
    on_progress : callable or None
        Called as ``on_progress(encoder_name, done, total)``.
    placeholder : str
        Stands in for a blank prompt, see `placeholder_for`; "" sets such clips aside.

    Raises
    ------
    UsageError
        If a column is missing, or a clip id is not unique.
    """
    ids = clip_ids(clips)
    needed = {"audio", "prompt"} if text else {"audio"}
    missing = needed - set(clips.columns)
    if missing:
        raise UsageError(
            f"The table of clips has no column {sorted(missing)}; its columns are "
            f"{list(clips.columns)}."
        )

    paths = _items_by_clip(ids, clips["audio"])
    audio_keys, set_aside = store.fill(audio, paths, on_progress=on_progress)

    # A clip whose audio was set aside needs no text embedding.
    text_keys: dict[str, str] = {}
    if text:
        prompts = _items_by_clip(ids, clips["prompt"])
        usable_prompts = {}
        for clip in audio_keys:
            is_blank = not prompts[clip].strip()
            usable_prompts[clip] = placeholder if is_blank else prompts[clip]
        text_keys, text_set_aside = store.fill(
            text, usable_prompts, on_progress=on_progress
        )
        set_aside = [*set_aside, *text_set_aside]

    # Only a clip whose audio is usable can have a key for its text.
    usable = text_keys if text else audio_keys
    kept = [row for row, clip in enumerate(ids) if clip in usable]
    kept_ids = [ids[row] for row in kept]
    return FilledClips(
        kept=tuple(kept),
        audio_keys=tuple(audio_keys[clip] for clip in kept_ids),
        text_keys=tuple(text_keys[clip] for clip in kept_ids) if text else None,
        set_aside=tuple(set_aside),
    )


def embedded_by_all(filled: Sequence[FilledClips]) -> FilledClips:
    """The clips that every one of some pairs of encoders can embed.

    Parameters
    ----------
    filled : sequence of FilledClips
        Of one clip table and several pairs, at least one. Keys are those of contents,
        so that they are the same for all encoders.

    Returns
    -------
    filled : FilledClips
        All other clips are set aside, each once, with the first reason.
    """
    if len(filled) == 1:
        return filled[0]
    kept_by_all = set(filled[0].kept)
    set_aside: dict[str, SetAside] = {}
    for one in filled:
        kept_by_all &= set(one.kept)
        for clip in one.set_aside:
            set_aside.setdefault(clip.clip_id, clip)

    # Pairs without a text encoder have no keys of prompts.
    first = next((one for one in filled if one.text_keys is not None), filled[0])
    places = [place for place, row in enumerate(first.kept) if row in kept_by_all]
    text_keys = first.text_keys
    if text_keys is not None:
        text_keys = tuple(text_keys[place] for place in places)
    return FilledClips(
        kept=tuple(first.kept[place] for place in places),
        audio_keys=tuple(first.audio_keys[place] for place in places),
        text_keys=text_keys,
        set_aside=tuple(set_aside.values()),
    )


def with_text_keys(
    filled: FilledClips, clips: pd.DataFrame, placeholder: str
) -> FilledClips:
    """The same clips with the keys of their prompts, also where no encoder read them.

    Parameters
    ----------
    filled : FilledClips
    clips : DataFrame
        The table that `filled` is of.
    placeholder : str
        Stands in for a blank prompt, see `placeholder_for`.
    """
    if filled.text_keys is not None:
        return filled
    prompts = [_text_or_blank(cell) for cell in clips["prompt"].tolist()]
    keys = []
    for row in filled.kept:
        is_blank = not prompts[row].strip()
        keys.append(text_key(placeholder if is_blank else prompts[row]))
    return replace(filled, text_keys=tuple(keys))


def placeholder_for(needs_text: Sequence[bool]) -> str:
    """What stands in for a blank prompt, in the eyes of a model of these aspects.

    A network with a text branch takes tokens of every clip. Where an aspect is judged
    by the music alone, a clip without a prompt is still of use for it: it gets the
    tokens of a neutral prompt, and its outputs for the other aspects are never used
    (see `base_models.clips.labels.text_gaps`).

    Parameters
    ----------
    needs_text
        Whether each aspect is judged against the prompt.

    Returns
    -------
    placeholder : str
        "" where every aspect needs the prompt.
    """
    return "" if all(needs_text) else PLACEHOLDER


def _items_by_clip(ids: list[str], cells: pd.Series) -> dict[str, str]:
    items = [_text_or_blank(cell) for cell in cells.tolist()]
    return dict(zip(ids, items, strict=True))


def _text_or_blank(cell: object) -> str:
    # A missing cell (None, NaN, NA) becomes "", which encoders refuse with a reason.
    if isinstance(cell, str):
        return cell
    return "" if pd.isna(cell) else str(cell)


def load_clips(
    filled: FilledClips,
    store: EmbeddingStore,
    audio: Encoder,
    text: Encoder | None,
) -> EmbeddedClips:
    """The embeddings of the kept rows; clips of equal content share one array.

    Those of a lazy store are read when they are asked for, and all others here.
    """
    kept = KeptArrays()
    frames = _embeddings(store, audio, filled.audio_keys, kept=kept)
    tokens = None
    if text and filled.text_keys is not None:
        tokens = _embeddings(store, text, filled.text_keys, kept=kept)
    return EmbeddedClips(frames, tokens)


def _embeddings(
    store: EmbeddingStore,
    encoder: Encoder,
    keys: tuple[str, ...],
    *,
    kept: KeptArrays,
) -> Sequence[np.ndarray]:
    if store.lazy and store.folder is not None:
        return StoredArrays(store.entries(encoder), keys, kept)
    # An array may be large, so that equal clips share it.
    arrays: dict[str, np.ndarray] = {}
    for key in keys:
        if key not in arrays:
            arrays[key] = store.get(encoder, key)
    return [arrays[key] for key in keys]


def embed_clips(
    clips: pd.DataFrame,
    store: EmbeddingStore,
    audio: Encoder,
    text: Encoder | None,
    placeholder: str = "",
) -> tuple[FilledClips, EmbeddedClips]:
    """Embed every row of a clip table.

    Parameters are those of `fill_clips`.

    Raises
    ------
    ClipError
        If a clip cannot be used; the message has its id and the reason.
    """
    filled = fill_clips(clips, store, audio, text=text, placeholder=placeholder)
    if filled.set_aside:
        first = filled.set_aside[0]
        # A reason often begins with the file, which may be the id as well.
        quoted = f"'{first.clip_id}': "
        message = f"Clip {quoted}{first.reason.removeprefix(quoted)}"
        others = len(filled.set_aside) - 1
        if others:
            message += f" (and {others} more clips)"
        raise ClipError(message)
    return filled, load_clips(filled, store, audio, text=text)


def clip_ids(clips: pd.DataFrame, may_repeat: bool = False) -> list[str]:
    """Ids of the clips: the column ``clip_id``, else the index as text.

    Raises
    ------
    UsageError
        If `clips` is not a DataFrame; or an id is not unique, unless it may repeat.
    """
    if not isinstance(clips, pd.DataFrame):
        raise UsageError(
            "Neural base models need a table of clips (a DataFrame); got "
            f"{type(clips).__name__}."
        )
    # As text, so that ids read as numbers match those of other tables.
    ids = [str(clip) for clip in clips.get("clip_id", clips.index).tolist()]
    if len(set(ids)) != len(ids) and not may_repeat:
        raise UsageError("Clip ids must be unique; some stand twice in the table.")
    return ids


def system_ids(clips: pd.DataFrame) -> list[str]:
    """Systems of the clips, all "" if the table has no column ``system_id``."""
    if "system_id" not in clips:
        return [""] * len(clips)
    return [str(system) for system in clips["system_id"].tolist()]
