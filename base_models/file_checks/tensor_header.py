"""The header of a safetensors file, bounded before it is parsed."""

from __future__ import annotations

from base_models.errors import DamagedArtifact

MOST_HEADER_BYTES = 4 * 2**20
"""Of names, types and shapes. That of the largest encoder has 0.2 MiB; a header that is
longer holds blanks, or more tensors than can be read in a second."""
_LENGTH_BYTES = 8
"""Of the number, little-endian, that a file starts with."""


def check_header_size(data: bytes, name: str) -> None:
    """Refuse a file whose header is longer than any that is written here.

    Parameters
    ----------
    data : the whole file
    name : of the file, for messages

    Raises
    ------
    DamagedArtifact
        when the header is too long. Whether it can be parsed is left to the parser.
    """
    n_bytes = int.from_bytes(data[:_LENGTH_BYTES], "little")
    if n_bytes > MOST_HEADER_BYTES:
        raise DamagedArtifact(
            f"{name} is not a readable safetensors file: its header claims {n_bytes:,} "
            f"bytes, and at most {MOST_HEADER_BYTES:,} are read."
        )
