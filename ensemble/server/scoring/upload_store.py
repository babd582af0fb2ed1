"""Embeddings of uploads: those of the workspace are used, new ones do not stay."""

from __future__ import annotations

import shutil
from pathlib import Path

from base_models.encoders.store import EmbeddingStore


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

    def path(self, signature: str, key: str) -> Path:
        """Path of an entry: that of the workspace, where it has one."""
        stored = self.kept.path(signature, key)
        return stored if stored.is_file() else super().path(signature, key)

    def trim(self) -> None:
        """Remove the embeddings of uploads where they have become too many."""
        assert self.folder is not None
        sizes = (path.stat().st_size for path in self.folder.rglob("*.safetensors"))
        if sum(sizes) > self.most_bytes:
            shutil.rmtree(self.folder)
