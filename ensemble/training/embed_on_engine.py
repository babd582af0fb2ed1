"""Embeddings of many clips, computed on an engine: a chunk of clips is a piece of work.

Workers write into the store that all of them share. The trap would be two that write one entry; but an entry appears
whole, and both write the same.
"""

from __future__ import annotations

import functools
from pathlib import Path

from ensemble.engine import spread

CHUNK = 64
"""Clips embedded by one piece of work."""


def embed_chunks(
    clips, store, specs: tuple[str, str | None], device: str, engine: str
) -> None:
    """Fill `store` with the embeddings of a clip table; the caller finds the clips that cannot be used again.

    Parameters
    ----------
    clips : clip table of n rows
    store : an EmbeddingStore in a folder
    specs : audio encoder, and text encoder or None
    device : each worker takes its own for ``"auto"``
    engine : see `ensemble.engine.check_engine`
    """
    import torch

    parts = [clips.iloc[first : first + CHUNK] for first in range(0, len(clips), CHUNK)]
    given = store.folder, store.dtype, specs, device, torch.get_num_threads()
    for _ in spread(
        _embed, [(part, *given) for part in parts], engine, shared=store.folder
    ):
        pass


def _embed(
    clips,
    folder: Path,
    dtype: str,
    specs: tuple[str, str | None],
    device: str,
    threads: int,
) -> None:
    from base_models.devices import cpu_threads, resolve_device
    from base_models.encoders.embed import fill_clips
    from base_models.encoders.store import EmbeddingStore

    with cpu_threads(threads):
        audio, text = (
            None if spec is None else _encoder(spec, str(resolve_device(device)))
            for spec in specs
        )
        fill_clips(clips, EmbeddingStore(folder, dtype=dtype), audio, text)


@functools.lru_cache(maxsize=4)
def _encoder(spec: str, device: str):
    """A frozen encoder, loaded once per process."""
    from base_models.encoders import load_encoder

    return load_encoder(spec, device=device)
