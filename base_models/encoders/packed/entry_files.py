"""Entries of a store, a file each, as filling it writes them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from base_models.errors import (
    DamagedArtifact,
    DamagedEmbedding,
    UsageError,
    raise_machine_fault,
)
from base_models.files import parse_tensors, read_bytes, write_tensors

SUFFIX = ".safetensors"
_EMBEDDING = "embedding"
_DIGEST = "sha256"
_SUBFOLDER_LETTERS = 2


def entry_path(folder: Path, key: str) -> Path:
    """The file of one embedding of an encoder.

    Parameters
    ----------
    folder : Path
        Of the encoder's embeddings.
    key : str
        Of the content.
    """
    return folder / key[:_SUBFOLDER_LETTERS] / f"{key}{SUFFIX}"


def entry_digest(
    signature: str,
    key: str,
    embedding: np.ndarray,
) -> bytes:
    """SHA-256 over which entry it is and all that it holds."""
    header = f"{signature} {key} {embedding.dtype} {embedding.shape} "
    digest = hashlib.sha256(header.encode())
    # The array itself, as a copy of it would take as long as the sum.
    digest.update(np.ascontiguousarray(embedding).reshape(-1).view(np.uint8).data)
    return digest.digest()


def write_entry(
    path: Path,
    signature: str,
    key: str,
    *,
    embedding: np.ndarray,
) -> None:
    """Write one embedding, atomically."""
    digest = entry_digest(signature, key, embedding)
    tensors = {
        _EMBEDDING: embedding,
        _DIGEST: np.frombuffer(digest, dtype=np.uint8),
    }
    write_tensors(path, tensors)


def read_entry(
    path: Path,
    signature: str,
    key: str,
) -> np.ndarray:
    """Read one embedding, and verify that it is what was written.

    Raises
    ------
    UsageError
        If there is no such file.
    DamagedEmbedding
        If its bytes have changed.
    """
    if not path.is_file():
        raise UsageError(f"No embedding {path}; fill the store first.")

    # To safetensors a flipped bit in a tensor is still a valid tensor, so an entry has
    # a digest of its own.
    try:
        tensors = parse_tensors(read_bytes(path), str(path))
    except DamagedArtifact as error:
        raise damaged(path) from error
    embedding = tensors.get(_EMBEDDING)
    stored_digest = tensors.get(_DIGEST)
    if (
        embedding is None
        or stored_digest is None
        or stored_digest.tobytes() != entry_digest(signature, key, embedding)
    ):
        raise damaged(path)
    return embedding


def damaged(path: Path) -> DamagedEmbedding:
    """The error that says that an embedding in this file has changed."""
    return DamagedEmbedding(
        f"{path} was changed after it was written; filling the store computes it again."
    )


def entries_in(folder: Path) -> Iterator[tuple[str, int]]:
    """Key and size in bytes of every entry that has a file of its own.

    Parameters
    ----------
    folder : Path
        Of the encoder's embeddings; it may be missing.
    """
    for subfolder in _names(folder):
        if len(subfolder) != _SUBFOLDER_LETTERS:
            continue
        for entry in _scanned(folder / subfolder):
            key = entry.name.removesuffix(SUFFIX)
            is_entry = key != entry.name and key.startswith(subfolder)
            if not is_entry:
                continue
            try:
                size = entry.stat().st_size
            # Another process has just put it into a pack.
            except FileNotFoundError:
                continue
            yield key, size


def _names(folder: Path) -> list[str]:
    return [entry.name for entry in _scanned(folder)]


def _scanned(folder: Path) -> list[os.DirEntry[str]]:
    """The entries of a folder, sorted by name; none where it is missing."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise_machine_fault(error, folder)
        return []
