"""A store of embeddings: each is computed once, kept, and verified on every read.

An entry is named by the encoder's signature and by the content: the SHA-256 of the
audio file's bytes, or of the prompt. So renamed, repeated and shared clips cost
nothing, and no entry can be out of date. What it holds depends on nothing else: every
content is encoded alone, or on a GPU in a batch of a fixed shape.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from base_models.clips.read_clips import SetAside
from base_models.encoders.filling.fill_store import Progress, fill_store
from base_models.encoders.filling.known_keys import KnownKeys
from base_models.encoders.packed.encoder_entries import EncoderEntries
from base_models.errors import UsageError, one_of

if TYPE_CHECKING:
    from base_models.encoders.base import Encoder

FLOAT16_ERROR = 1e-3
"""Rounding error of a whole embedding, as a share of its size, that float16 may make.

It is at most 2^-11, or 0.0005, unless numbers below 2^-14 dominate.
"""

KNOWN_KEYS = "known-keys.safetensors"
"""File of the keys of unchanged audio files, in the folder of a lazy store."""


class EmbeddingStore:
    """Embeddings by encoder and content.

    Parameters
    ----------
    folder : path or None
        Where entries are kept, as ``<signature>.<dtype>/<2 hex>/<key>.safetensors``,
        or in packs beside these, see `base_models.encoders.packed`; None keeps them in
        memory. Several processes may share a folder, since an entry appears whole.
    dtype : {"float16", "float32"}
        Type of the stored numbers. An entry that float16 cannot hold is float32, and so
        are all of an encoder whose embeddings are not normalised.
    lazy : bool
        Whether entries are verified when they are read alone, and not whenever the
        store is filled, and whether clips are read as they are needed. Whoever reads
        such clips fills the store again on a `DamagedEmbedding`.
    """

    def __init__(
        self,
        folder: Path | str | None = None,
        dtype: str = "float16",
        lazy: bool = False,
    ) -> None:
        self.folder = None if folder is None else Path(folder)
        self.dtype = one_of(dtype, ("float16", "float32"), "dtype of stored embeddings")
        self.lazy = lazy
        self._entries: dict[str, EncoderEntries] = {}
        self._known_keys: KnownKeys | None = None
        self._memory: dict[tuple[str, str], np.ndarray] = {}

    def __deepcopy__(self, memo: dict[int, object]) -> EmbeddingStore:
        """Return the store itself: the clones of an estimator share it."""
        return self

    def fill(
        self,
        encoder: Encoder,
        items: Mapping[str, str],
        on_progress: Progress | None = None,
    ) -> tuple[dict[str, str], list[SetAside]]:
        """Make sure that the store has the embedding of every usable item.

        Parameters
        ----------
        encoder : base_models.encoders.Encoder
        items : mapping from str to str
            Clip id → path (audio) or prompt (text).
        on_progress : callable or None
            Called as ``on_progress(encoder_name, contents_done, contents_in_all)``.

        Returns
        -------
        keys : dict from str to str
            Clip id → key for `get`, in the order of `items`.
        set_aside : list of SetAside
            Clips that cannot be used, with the reason.

        Notes
        -----
        Each distinct content is encoded once, and never again while its entry is
        intact. What it gives does not depend on the others: it is encoded alone, and on
        a GPU in a batch of a fixed shape, see `base_models.encoders.filling`. What is
        finished stays when the run is stopped.
        """
        return fill_store(self, encoder, items, on_progress=on_progress)

    def get(self, encoder: Encoder | str, key: str) -> np.ndarray:
        """Read one embedding, and verify that it is what was written.

        Parameters
        ----------
        encoder : base_models.encoders.Encoder or str
            The encoder, or its signature.
        key : str
            As returned by `fill`.

        Returns
        -------
        embedding : array of shape (T, dim), float16 or float32 as stored

        Raises
        ------
        UsageError
            If the store was not filled with it.
        DamagedEmbedding
            If its bytes have changed; `fill` computes it again.
        """
        signature = encoder if isinstance(encoder, str) else encoder.signature
        if self.folder is None:
            if (signature, key) not in self._memory:
                raise UsageError(
                    f"No embedding of {key[:12]}… by {signature} in memory; fill the "
                    "store first."
                )
            return self._memory[signature, key]

        return self.entries(signature).read(key)

    def entries(self, encoder: Encoder | str) -> EncoderEntries:
        """What is stored of one encoder, of a store that has a folder."""
        if self.folder is None:
            raise UsageError("A store in memory has no files; give it a folder.")
        signature = encoder if isinstance(encoder, str) else encoder.signature
        if signature not in self._entries:
            folder = self.folder / f"{signature}.{self.dtype}"
            self._entries[signature] = EncoderEntries(folder, signature)
            self._entries[signature].refresh()
        return self._entries[signature]

    def path(self, signature: str, key: str) -> Path:
        """The file that an entry is written to, of a store that has a folder."""
        return self.entries(signature).path(key)

    def known_keys(self) -> KnownKeys:
        """Keys of audio files that need not be hashed again: none, unless it is lazy.

        A lazy store keeps them in its folder.
        """
        if self.folder is None or not self.lazy:
            return KnownKeys()
        if self._known_keys is None:
            self._known_keys = KnownKeys(self.folder / KNOWN_KEYS)
        return self._known_keys

    def lacking(self, encoder: Encoder, keys: Iterable[str]) -> list[str]:
        """Keys of which the store has no entry, or a damaged one.

        A lazy store has read no entry for it, so that some may yet turn out damaged.
        """
        if self.folder is None:
            return [key for key in keys if (encoder.signature, key) not in self._memory]
        return self.entries(encoder).lacking(keys, is_verified=not self.lazy)

    def put(
        self,
        encoder: Encoder,
        key: str,
        embedding: np.ndarray,
    ) -> None:
        """Keep one embedding, of shape (T, dim)."""
        # Three digits hold little of a dimension that varies less than its mean.
        fits_float16 = encoder.normalised and _fits_float16(embedding)
        dtype = self.dtype if fits_float16 else np.float32
        embedding = np.ascontiguousarray(embedding, dtype=dtype)

        if self.folder is None:
            # Readers share the array itself, so none of them may change it.
            embedding.flags.writeable = False
            self._memory[encoder.signature, key] = embedding
            return

        self.entries(encoder).write(key, embedding)


def _fits_float16(embedding: np.ndarray) -> bool:
    """Whether float16 keeps the three digits of an embedding that it usually does.

    A number beyond its range would become infinity, and tiny numbers become 0 or lose
    digits.
    """
    largest = np.abs(embedding).max(initial=0)
    if largest > np.finfo(np.float16).max:
        return False
    rounding = embedding.astype(np.float16).astype(np.float64) - embedding
    # float64, as the squares of tiny numbers are 0 in float32.
    size = np.linalg.norm(embedding.astype(np.float64))
    return bool(np.linalg.norm(rounding) <= FLOAT16_ERROR * size)
