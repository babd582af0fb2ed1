"""Where a fitted stack comes from: what a worker process is sent instead of the stack.

Weights stay on the shared file system, and each process reads them once.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from base_models.encoders.store import EmbeddingStore
from base_models.errors import UsageError
from base_models.files import MANIFEST, is_sealed, read_bytes, sha256
from base_models.optional_libraries import LazyLibrary
from ensemble.estimator.predict_base_models import stored_dtype
from ensemble.estimator.stacked_mos import StackedMOS

if TYPE_CHECKING:
    import torch
else:
    torch = LazyLibrary("torch")


@dataclass(frozen=True)
class StackSource:
    """A stack in a folder, to be used with a store of embeddings.

    Parameters
    ----------
    folder : Path
        Of the stack, absolute.
    embeddings : Path
        Folder of the store, absolute.
    overrides : tuple of (str, value)
        Parameters of the base models to change, as names and values: a str, or a tuple
        of words for encoders.
    manifest : str
        SHA-256 of the manifest. A worker may outlive the stack in a folder: with the
        manifest, a stack that was fitted anew is another source, and is read anew.
    threads : int
        CPU threads to score with; another number moves the last digits.
    """

    folder: Path
    embeddings: Path
    overrides: tuple[tuple[str, str | tuple[str, ...]], ...]
    manifest: str
    threads: int

    @classmethod
    def of(
        cls,
        folder: Path | str,
        embeddings: Path | str,
        threads: int = 0,
        **overrides: str | tuple[str, ...],
    ) -> StackSource:
        """The stack that is there now, to be scored with so many threads.

        By default these are as many as this process has.

        Raises
        ------
        UsageError
            When there is none.
        """
        folder = Path(folder).absolute()
        if not is_sealed(folder):
            raise UsageError(
                f"{folder} is not the folder of a stack; name one that fit_meta wrote."
            )
        return cls(
            folder=folder,
            embeddings=Path(embeddings).absolute(),
            # Sorted pairs: equal sources must be equal keys of the cache below.
            overrides=tuple(sorted(overrides.items())),
            manifest=sha256(read_bytes(folder / MANIFEST)),
            threads=threads or torch.get_num_threads(),
        )

    def store_of(self, stack: StackedMOS) -> EmbeddingStore:
        """Where embeddings are kept that a stack reads."""
        dtype = stored_dtype(model for _, model in stack.estimators_)
        return EmbeddingStore(self.embeddings, dtype=dtype)


def shared_threads(jobs: int) -> int:
    """The threads of each of several processes that share those of this one."""
    n_threads: int = torch.get_num_threads()
    return max(1, n_threads // jobs)


@functools.lru_cache(maxsize=2)
def load_stack(source: StackSource) -> StackedMOS:
    """Read and verify a stack, once per process."""
    overrides: dict[str, Any] = dict(source.overrides)
    return StackedMOS.load(source.folder, store=source.embeddings, **overrides)
