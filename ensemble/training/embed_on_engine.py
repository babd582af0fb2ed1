"""Embeddings of many clips, computed on an engine, a few clips per piece of work.

All workers write to the store that they share. Two may write the same entry: it appears
whole, and both write the same.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from base_models.optional_libraries import LazyLibrary
from ensemble.engine import spread

if TYPE_CHECKING:
    import torch

    from base_models.encoders.base import Encoder
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
    """

    folder: Path | None
    dtype: str
    audio_encoder: str
    text_encoder: str | None
    device: str
    threads: int
    placeholder: str
    mono: str


def embed_chunks(
    clips: pd.DataFrame,
    store: EmbeddingStore,
    specs: tuple[str, str | None],
    *,
    device: str,
    engine: str,
    placeholder: str,
    mono: str,
) -> None:
    """Fill a store with the embeddings of a clip table.

    Clips that cannot be used are left out; filling the store once more names them.

    Parameters
    ----------
    clips : DataFrame of n rows
        Clip table.
    store : EmbeddingStore
        In a folder.
    specs : tuple of str and (str or None)
        Audio encoder, and text encoder or None.
    device : str
        Each worker takes its own for ``"auto"``.
    engine : str
        See `ensemble.engine.check_engine`.
    placeholder : str
        For blank prompts, see `base_models.encoders.embed.fill_clips`.
    mono : str
        See `base_models.encoders.load_encoder`.
    """
    audio_encoder, text_encoder = specs
    embedding = Embedding(
        folder=store.folder,
        dtype=store.dtype,
        audio_encoder=audio_encoder,
        text_encoder=text_encoder,
        device=device,
        threads=torch.get_num_threads(),
        placeholder=placeholder,
        mono=mono,
    )
    pieces = [
        (clips.iloc[start : start + CLIPS_PER_PIECE], embedding)
        for start in range(0, len(clips), CLIPS_PER_PIECE)
    ]
    # The results are in the store; going through them waits for the workers.
    for _ in spread(_embed_piece, pieces, engine, shared=store.folder):
        pass


def _embed_piece(clips: pd.DataFrame, embedding: Embedding) -> None:
    """Embed some clips; runs in a worker."""
    from base_models.devices import cpu_threads, resolve_device
    from base_models.encoders.embed import fill_clips
    from base_models.encoders.store import EmbeddingStore

    with cpu_threads(embedding.threads):
        device = str(resolve_device(embedding.device))
        audio = _encoder(embedding.audio_encoder, device, embedding.mono)
        text = None
        if embedding.text_encoder is not None:
            text = _encoder(embedding.text_encoder, device, embedding.mono)
        store = EmbeddingStore(embedding.folder, dtype=embedding.dtype)
        fill_clips(clips, store, audio, text=text, placeholder=embedding.placeholder)


@functools.lru_cache(maxsize=4)
def _encoder(spec: str, device: str, mono: str) -> Encoder:
    """A frozen encoder, loaded once per process."""
    from base_models.encoders import load_encoder

    return load_encoder(spec, device=device, mono=mono)
