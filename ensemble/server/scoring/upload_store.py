"""Embeddings of uploads: those of the workspace are used, new ones do not stay."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from base_models.encoders.base import Encoder
from base_models.encoders.store import EmbeddingStore
from base_models.errors import UsageError


class UploadStore(EmbeddingStore):
    """A store that reads what another has, and writes into a folder of its own.

    Parameters
    ----------
    kept : EmbeddingStore
        Of the workspace; nothing new is written to it.
    folder : Path
        For embeddings of uploads.
    most_bytes : int
        Size of that folder beyond which `trim` empties it.
    """

    def __init__(self, kept: EmbeddingStore, folder: Path, most_bytes: int) -> None:
        super().__init__(folder, dtype=kept.dtype)
        self.kept = kept
        self.most_bytes = most_bytes

    def lacking(self, encoder: Encoder, keys: Iterable[str]) -> list[str]:
        """Keys of which neither store has an entry, or both a damaged one."""
        return super().lacking(encoder, self.kept.lacking(encoder, keys))

    def get(self, encoder: Encoder | str, key: str) -> np.ndarray:
        """Read one embedding; parameters and errors are those of `EmbeddingStore`."""
        try:
            return super().get(encoder, key)
        except UsageError:
            return self.kept.get(encoder, key)

    def trim(self) -> None:
        """Remove the embeddings of uploads where they have become too many."""
        assert self.folder is not None
        sizes = (path.stat().st_size for path in self.folder.rglob("*.safetensors"))
        if sum(sizes) > self.most_bytes:
            shutil.rmtree(self.folder)
