"""Every content that a store lacks is encoded once, alone, and kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Protocol

import numpy as np

from base_models.clips.audio_files.apart.decoding_process import start_early
from base_models.clips.read_clips import SetAside
from base_models.encoders.filling.contents import (
    distinct_contents,
    in_order,
    split_by_use,
)
from base_models.encoders.filling.known_keys import KnownKeys
from base_models.encoders.filling.prepared_items import named_failure, read_ahead
from base_models.errors import ClipError, UsageError

if TYPE_CHECKING:
    from base_models.encoders.base import Encoder

Progress = Callable[[str, int, int], None]
"""Called with the encoder's name, the contents that are done, and all contents."""


class FillableStore(Protocol):
    """What keeps embeddings, by encoder and key."""

    def known_keys(self) -> KnownKeys:
        """Keys of audio files that need not be hashed again."""

    def lacking(self, encoder: Encoder, keys: Iterable[str]) -> list[str]:
        """Keys whose embedding is missing or damaged, in their order."""

    def put(self, encoder: Encoder, key: str, embedding: np.ndarray) -> None:
        """Keep an embedding of shape (T, dim)."""


def fill_store(
    store: FillableStore,
    encoder: Encoder,
    items: Mapping[str, str],
    *,
    on_progress: Progress | None = None,
) -> tuple[dict[str, str], list[SetAside]]:
    """Make sure that a store has the embedding of every usable item.

    What it gives, and the other parameters, are those of `EmbeddingStore.fill`.
    """
    contents = distinct_contents(encoder, items, store.known_keys())
    lacking = store.lacking(encoder, contents.items)
    missing = {key: contents.items[key] for key in lacking}

    if missing and encoder.kind == "audio":
        start_early()

    total = len(contents.items)
    done = total - len(missing)
    report = on_progress or _ignore_progress
    report(encoder.name, done, total)

    unusable: dict[str, ClipError] = {}
    for key, prepare in read_ahead(encoder, in_order(encoder, missing)):
        try:
            embedding = encoded(encoder, prepare())
        except ClipError as error:
            unusable[key] = error
            continue
        store.put(encoder, key, embedding)
        done += 1
        report(encoder.name, done, total)

    # Contents that cannot be used are done with, too.
    if unusable:
        report(encoder.name, total, total)
    return split_by_use(items, contents, unusable)


def _ignore_progress(
    name: str,
    done: int,
    total: int,
) -> None:
    """Default of `on_progress`."""


def encoded(encoder: Encoder, array: np.ndarray) -> np.ndarray:
    """The embedding of a prepared item, shape (T, dim).

    Raises
    ------
    ClipError
        When the item cannot be used.
    UsageError
        When the encoder gives what is no embedding of its width.
    """
    with named_failure(encoder):
        embeddings = encoder.encode([array])
    # Otherwise networks would be built for another width.
    is_one = embeddings.ndim == 3 and len(embeddings) == 1
    if not is_one or embeddings.shape[2] != encoder.dim:
        raise UsageError(
            f"Encoder '{encoder.name}' gives embeddings of shape "
            f"{embeddings.shape}, not (clips, frames, {encoder.dim}) as its spec "
            "says; check_encoder lists what else is wrong with it."
        )
    embedding: np.ndarray = embeddings[0]
    if not np.isfinite(embedding).all():
        raise ClipError(f"its embedding by '{encoder.name}' is not finite")
    return embedding
