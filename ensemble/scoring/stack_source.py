"""Where a fitted stack comes from: what a worker process is sent instead of the stack itself.

Weights stay on the shared file system, and each process reads them once. The trap: a worker outlives the stack in a
folder, so the one to use goes by its manifest, too, and a stack that was fitted anew is read anew.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

from base_models.encoders.store import EmbeddingStore
from base_models.errors import UsageError
from base_models.files import MANIFEST, is_sealed, read_bytes, sha256
from ensemble.estimator.stacked_mos import StackedMOS


@dataclass(frozen=True)
class StackSource:
    """A stack in a folder, to be used with a store of embeddings.

    Parameters
    ----------
    folder : of the stack, absolute
    embeddings : folder of the store, absolute
    overrides : parameters of the base models to change, as (name, value) pairs
    manifest : SHA-256 of the manifest
    threads : CPU threads to score with; another number moves the last digits
    """

    folder: Path
    embeddings: Path
    overrides: tuple[tuple[str, str], ...]
    manifest: str
    threads: int

    @classmethod
    def of(
        cls, folder: Path | str, embeddings: Path | str, **overrides: str
    ) -> StackSource:
        """The stack that lies there now, to be scored with as many threads as this process has.

        Raises
        ------
        UsageError
            when there is none.
        """
        import torch

        folder = Path(folder).absolute()
        if not is_sealed(folder):
            raise UsageError(
                f"{folder} is not the folder of a stack; name one that fit_meta wrote."
            )
        manifest = sha256(read_bytes(folder / MANIFEST))
        given = tuple(sorted(overrides.items()))
        return cls(
            folder,
            Path(embeddings).absolute(),
            given,
            manifest,
            torch.get_num_threads(),
        )

    @property
    def store(self) -> EmbeddingStore:
        """Where embeddings are kept."""
        return EmbeddingStore(self.embeddings)


@functools.lru_cache(maxsize=2)
def load_stack(source: StackSource) -> StackedMOS:
    """The stack, read and verified once per process; its base models read from the store."""
    return StackedMOS.load(source.folder, store=source.store, **dict(source.overrides))
