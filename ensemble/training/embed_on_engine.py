"""Embeddings of many clips, computed on an engine, a few clips per piece of work.

All workers write to the store that they share. Two may write the same entry: it appears
whole, and both write the same.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from base_models.optional_libraries import LazyLibrary
from base_models.precision import FLOAT32
from ensemble.cluster.needs import NeededEncoder, Needs
from ensemble.engine import spread

if TYPE_CHECKING:
    import torch

    from base_models.clips.read_clips import SetAside
    from base_models.encoders.base import Encoder
    from base_models.encoders.embed import FilledClips
    from base_models.encoders.filling.fill_store import Progress
    from base_models.encoders.store import EmbeddingStore
else:
    torch = LazyLibrary("torch")

CLIPS_PER_PIECE = 64
"""Clips that one piece of work embeds."""


@dataclass(frozen=True)
class Embedding:
    """How a worker embeds clips, and where the embeddings go.

    Parameters
    ----------
    folder, dtype
        Of the store.
    audio_encoder : str
        Registered name, or ``"name=folder"``.
    text_encoder : str or None
        None embeds no prompts.
    device : str
        Each worker takes its own for ``"auto"``.
    threads : int
        CPU threads of each worker.
    placeholder : str
        For blank prompts, see `base_models.encoders.embed.fill_clips`.
    mono : str
        See `base_models.encoders.load_encoder`.
    precisions : tuple of str and str
        What the audio and the text encoder compute in.
    """

    folder: Path | None
    dtype: str
    audio_encoder: str
    text_encoder: str | None
    device: str
    threads: int
    placeholder: str
    mono: str
    precisions: tuple[str, str]


def embed_chunks(
    clips: pd.DataFrame,
    store: EmbeddingStore,
    specs: tuple[str, str | None],
    *,
    encoders: tuple[Encoder, Encoder | None],
    device: str,
    engine: str,
    placeholder: str,
    on_progress: Progress | None = None,
) -> FilledClips:
    """Fill a store with the embeddings of a clip table.

    Parameters
    ----------
    clips : DataFrame of n rows
        Clip table.
    store : EmbeddingStore
        In a folder.
    specs : tuple of str and (str or None)
        Audio encoder, and text encoder or None, as a user writes them.
    encoders : tuple of Encoder and (Encoder or None)
        What these words mean here; workers where they mean others are left out.
    device : str
        Each worker takes its own for ``"auto"``.
    engine : str
        See `ensemble.engine.check_engine`.
    placeholder : str
        For blank prompts, see `base_models.encoders.embed.fill_clips`.
    on_progress : callable, optional
        Called as ``on_progress(encoder, done, total)``.

    Returns
    -------
    filled : FilledClips
        As `base_models.encoders.embed.fill_clips` returns it.
    """
    from base_models.encoders.embed import fill_clips

    audio, text = encoders
    audio_encoder, text_encoder = specs
    embedding = Embedding(
        folder=store.folder,
        dtype=store.dtype,
        audio_encoder=audio_encoder,
        text_encoder=text_encoder,
        device=device,
        threads=torch.get_num_threads(),
        placeholder=placeholder,
        mono=audio.mono,
        precisions=(audio.precision, text.precision if text else FLOAT32),
    )
    pieces = [
        (clips.iloc[start : start + CLIPS_PER_PIECE], embedding)
        for start in range(0, len(clips), CLIPS_PER_PIECE)
    ]
    needs = Needs(
        encoders=needed_encoders(specs, encoders, device),
        audio_of=lambda piece: piece[0]["audio"],
    )
    work = spread(_embed_piece, pieces, engine, shared=store.folder, needs=needs)
    found = []
    n_done = 0
    for (part, _), filled in zip(pieces, work, strict=True):
        found.append(filled)
        n_done += len(part)
        if on_progress is not None:
            on_progress(audio.name, n_done, len(clips))

    keys = _KeysByRow.of(found)
    # What a worker could not use is tried here once more: only this machine sets clips
    # aside, for the reasons and in the order that it would have without a cluster.
    others = [row for row in range(len(clips)) if row not in keys.audio]
    if not others:
        return keys.filled(text is not None, set_aside=())
    again = fill_clips(
        clips.iloc[others], store, audio, text=text, placeholder=placeholder
    )
    keys.add(again, [others[row] for row in again.kept])
    return keys.filled(text is not None, set_aside=again.set_aside)


def needed_encoders(
    words: tuple[str, str | None],
    encoders: tuple[Encoder, Encoder | None],
    device: str,
) -> tuple[NeededEncoder, ...]:
    """What a worker must have to encode as a pair of encoders does here.

    Parameters
    ----------
    words : tuple of str and (str or None)
        Audio encoder, and text encoder or None, as a user writes them.
    encoders : tuple of Encoder and (Encoder or None)
        What they were loaded as.
    device : str
        As a user writes it.
    """
    return tuple(
        NeededEncoder.of(encoder, word, device)
        for encoder, word in zip(encoders, words, strict=True)
        if encoder is not None and word is not None
    )


@dataclass
class _KeysByRow:
    """Keys of clips that have embeddings, by the number of their row."""

    audio: dict[int, str] = field(default_factory=dict)
    text: dict[int, str] = field(default_factory=dict)

    @classmethod
    def of(cls, found: Sequence[FilledClips]) -> _KeysByRow:
        """Those of all pieces, in their order."""
        keys = cls()
        for place, filled in enumerate(found):
            start = place * CLIPS_PER_PIECE
            keys.add(filled, [start + row for row in filled.kept])
        return keys

    def add(self, filled: FilledClips, rows: Sequence[int]) -> None:
        """Add the keys of clips, whose rows are given."""
        self.audio.update(zip(rows, filled.audio_keys, strict=True))
        if filled.text_keys is not None:
            self.text.update(zip(rows, filled.text_keys, strict=True))

    def filled(self, has_text: bool, set_aside: tuple[SetAside, ...]) -> FilledClips:
        """All of them, in the order of their rows."""
        from base_models.encoders.embed import FilledClips

        kept = tuple(sorted(self.audio))
        return FilledClips(
            kept=kept,
            audio_keys=tuple(self.audio[row] for row in kept),
            text_keys=tuple(self.text[row] for row in kept) if has_text else None,
            set_aside=set_aside,
        )


def _embed_piece(clips: pd.DataFrame, embedding: Embedding) -> FilledClips:
    """Embed some clips; runs in a worker."""
    from base_models.devices import cpu_threads, resolve_device
    from base_models.encoders.embed import fill_clips
    from base_models.encoders.store import EmbeddingStore

    with cpu_threads(embedding.threads):
        device = str(resolve_device(embedding.device))
        of_audio, of_text = embedding.precisions
        audio = _encoder(embedding.audio_encoder, device, embedding.mono, of_audio)
        text = None
        if embedding.text_encoder is not None:
            text = _encoder(embedding.text_encoder, device, embedding.mono, of_text)
        store = EmbeddingStore(embedding.folder, dtype=embedding.dtype)
        return fill_clips(
            clips, store, audio, text=text, placeholder=embedding.placeholder
        )


@functools.lru_cache(maxsize=4)
def _encoder(
    spec: str,
    device: str,
    mono: str,
    precision: str,
) -> Encoder:
    """A frozen encoder, loaded once per process."""
    from base_models.encoders import load_encoder

    return load_encoder(spec, device=device, mono=mono, precision=precision)
