"""Every content that a store lacks is encoded once, and kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Protocol

import numpy as np

from base_models.clips.audio_files.apart.decoding_process import start_early
from base_models.clips.read_clips import SetAside
from base_models.encoders.filling.contents import (
    distinct_contents,
    in_order,
    split_by_use,
)
from base_models.encoders.filling.encoded import encoded_alone
from base_models.encoders.filling.known_keys import KnownKeys
from base_models.encoders.filling.on_cuda import (
    Outcome,
    fill_on_cuda,
    takes_batches,
)
from base_models.encoders.filling.prepared_items import read_ahead
from base_models.errors import ClipError

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
    encode = fill_on_cuda if takes_batches(encoder) else fill_one_by_one
    for key, error in encode(store, encoder, in_order(encoder, missing)):
        if error is not None:
            unusable[key] = error
            continue
        done += 1
        report(encoder.name, done, total)

    # Contents that cannot be used are done with, too.
    if unusable:
        report(encoder.name, total, total)
    return split_by_use(items, contents, unusable)


def fill_one_by_one(
    store: FillableStore, encoder: Encoder, items: Mapping[str, str]
) -> Iterator[Outcome]:
    """Encode contents alone, and keep their embeddings.

    Alone, as in a batch the last digits would depend on what else is in it, so on what
    a killed run had finished and on clips that cannot be used.

    Yields
    ------
    outcome : Outcome
        One for each content, as soon as it is known.
    """
    for key, prepare in read_ahead(encoder, items):
        try:
            embedding = encoded_alone(encoder, prepare())
        except ClipError as error:
            yield key, error
            continue
        store.put(encoder, key, embedding)
        yield key, None


def _ignore_progress(
    name: str,
    done: int,
    total: int,
) -> None:
    """Default of `on_progress`."""
