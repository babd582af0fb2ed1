"""A pack: many embeddings of one encoder in one file, each read and verified alone.

It is a safetensors file of two tensors: the index, with the key, the SHA-256 and the
length of every embedding, and the embeddings below each other. The name of the file is
the SHA-256 of all that stands before the embeddings: an index that differs from it is
not believed, and an embedding that differs from its digest is damaged. So all of a pack
is checked, and no more of it is read than what is asked for. Equal embeddings make
equal packs of one name.

Nothing is mapped into memory: bytes that were verified there could change afterwards.
The system keeps what was read in its cache, once for all processes of a machine.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from base_models.encoders.packed.entry_files import damaged, entry_digest
from base_models.errors import MISFITS, DamagedArtifact, in_short
from base_models.files import atomic_write, read_part, sha256

MOST_BYTES = 2**27
"""Of the embeddings in a pack, which are in memory while it is written."""
MOST_ENTRIES = 2**16
"""In a pack, whose index is read as a whole."""

_FORMAT = "packed embeddings 1"
_NAME = re.compile(r"[0-9a-f]{64}\.safetensors")
_MOST_HEADER_BYTES = 4_096
_LENGTH_BYTES = 8
"""Of the length of the header, little-endian, that a safetensors file starts with."""
_ALIGNMENT = 8
_RECORD = np.dtype([("key", "V32"), ("digest", "V32"), ("n_rows", "<i8")])
"""One line of the index."""
_KEY_DIGITS = 64
_KEY = re.compile("[0-9a-f]{64}")
_TYPES: dict[str, np.dtype[Any]] = {"F16": np.dtype("<f2"), "F32": np.dtype("<f4")}
_NAME_OF_TYPE = {dtype: name for name, dtype in _TYPES.items()}


@dataclass(frozen=True, eq=False)
class Pack:
    """The index of a pack of n embeddings.

    Parameters
    ----------
    path : Path
    signature : str
        Of the encoder.
    records : array of shape (n,)
        The index, as it is in the file.
    dim : int
        Width of the embeddings.
    dtype : numpy.dtype
    data_start : int
        Place of the first byte of the embeddings.
    """

    path: Path
    signature: str
    records: np.ndarray
    dim: int
    dtype: np.dtype[Any]
    data_start: int

    @cached_property
    def _starts(self) -> np.ndarray:
        """First row of each embedding, and the end of the last one."""
        return np.concatenate([[0], np.cumsum(self.records["n_rows"])])

    @classmethod
    def open(cls, path: Path) -> Pack:
        """Read the index of a pack, and none of its embeddings.

        Raises
        ------
        DamagedArtifact
            when the index is not the one that was written.
        """
        try:
            return cls._of_file(path)
        except MISFITS as error:
            raise DamagedArtifact(
                f"{path} was changed after it was written, or is no pack of this "
                f"version ({in_short(error)}); filling the store computes again what "
                "it held."
            ) from error

    @classmethod
    def _of_file(cls, path: Path) -> Pack:
        """The same; a file that does not fit raises one of `MISFITS`."""
        length = read_part(path, 0, _LENGTH_BYTES)
        n_bytes = int.from_bytes(length, "little")
        # Memory is taken for no more than a pack has.
        if n_bytes > _MOST_HEADER_BYTES:
            raise ValueError("its header is too long")
        header = read_part(path, _LENGTH_BYTES, n_bytes)
        tensors = json.loads(header)
        n_entries = tensors["index"]["shape"][0]
        if not 0 < n_entries <= MOST_ENTRIES:
            raise ValueError("its index is too long")

        index_start = _LENGTH_BYTES + n_bytes
        index = read_part(path, index_start, n_entries * _RECORD.itemsize)
        if f"{sha256(length + header + index)}.safetensors" != path.name:
            raise ValueError("its SHA-256 differs")
        metadata = tensors["__metadata__"]
        if metadata["format"] != _FORMAT:
            raise ValueError("of another format")
        return cls(
            path,
            signature=metadata["signature"],
            records=np.frombuffer(index, dtype=_RECORD),
            dim=int(tensors["embeddings"]["shape"][1]),
            dtype=_TYPES[tensors["embeddings"]["dtype"]],
            data_start=index_start + len(index),
        )

    @property
    def keys(self) -> list[str]:
        """Keys of the embeddings, in their order."""
        digits = self.records["key"].tobytes().hex()
        starts = range(0, len(digits), _KEY_DIGITS)
        return [digits[start : start + _KEY_DIGITS] for start in starts]

    def n_rows(self, place: int) -> int:
        """Frames or tokens of one embedding, by its place in the index."""
        return int(self.records["n_rows"][place])

    def n_bytes(self, place: int) -> int:
        """Size of one embedding."""
        return self.n_rows(place) * self.dim * self.dtype.itemsize

    def read(self, place: int) -> np.ndarray:
        """Read one embedding, and verify that it is what was written.

        Parameters
        ----------
        place : int
            In the index.

        Returns
        -------
        embedding : array of shape (T, dim), float16 or float32, which is read-only

        Raises
        ------
        DamagedEmbedding
            If its bytes have changed.
        """
        row_bytes = self.dim * self.dtype.itemsize
        start = self.data_start + int(self._starts[place]) * row_bytes
        try:
            data = read_part(self.path, start, self.n_bytes(place))
        except DamagedArtifact as error:
            raise damaged(self.path) from error

        embedding = np.frombuffer(data, dtype=self.dtype).reshape(-1, self.dim)
        record = self.records[place]
        key = record["key"].tobytes().hex()
        digest = record["digest"].tobytes()
        if entry_digest(self.signature, key, embedding) != digest:
            raise damaged(self.path)
        return embedding


def is_pack(name: str) -> bool:
    """Whether a file of this name is a pack."""
    return _NAME.fullmatch(name) is not None


def can_be_packed(key: str) -> bool:
    """Whether a key is one of a content: the hexadecimal digits of a SHA-256."""
    return _KEY.fullmatch(key) is not None


def write_pack(
    folder: Path,
    signature: str,
    embeddings: Mapping[str, np.ndarray],
) -> Path:
    """Write embeddings of one encoder as a pack.

    Parameters
    ----------
    folder : Path
    signature : str
    embeddings : mapping from str to array of shape (T, dim)
        By their keys, of one width and type, at least one.

    Returns
    -------
    path : Path
        Of the pack, in `folder`.
    """
    keys = sorted(embeddings)
    records = np.zeros(len(keys), dtype=_RECORD)
    parts = []
    for place, key in enumerate(keys):
        embedding = np.ascontiguousarray(embeddings[key])
        digest = entry_digest(signature, key, embedding)
        records[place] = (bytes.fromhex(key), digest, len(embedding))
        parts.append(embedding.data.cast("B"))

    index = records.tobytes()
    first = embeddings[keys[0]]
    n_rows = int(records["n_rows"].sum())
    end = len(index) + n_rows * first.shape[1] * first.itemsize
    tensors = {
        "__metadata__": {"format": _FORMAT, "signature": signature},
        "index": {
            "dtype": "U8",
            "shape": [len(keys), _RECORD.itemsize],
            "data_offsets": [0, len(index)],
        },
        "embeddings": {
            "dtype": _NAME_OF_TYPE[first.dtype],
            "shape": [n_rows, first.shape[1]],
            "data_offsets": [len(index), end],
        },
    }
    header = json.dumps(tensors, separators=(",", ":")).encode()
    header = header.ljust(math.ceil(len(header) / _ALIGNMENT) * _ALIGNMENT)
    head = len(header).to_bytes(_LENGTH_BYTES, "little") + header + index
    path = folder / f"{sha256(head)}.safetensors"
    atomic_write(path, b"".join([head, *parts]))
    return path
