"""Arrays and tables as bytes: safetensors, and Parquet with its page checksums."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from base_models.errors import DamagedArtifact, machine_fault
from base_models.file_checks.parquet_size import (
    check_declared_size,
    text_columns,
    written_out,
)
from base_models.file_checks.tensor_header import check_header_size
from base_models.files.writing import atomic_write
from base_models.optional_libraries import LazyLibrary

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq
    import safetensors.numpy as safetensors_numpy
else:
    np = LazyLibrary("numpy")
    safetensors_numpy = LazyLibrary("safetensors.numpy")
    pa = LazyLibrary("pyarrow")
    pq = LazyLibrary("pyarrow.parquet")


def write_tensors(
    path: Path | str, arrays: Mapping[str, np.ndarray], *, durable: bool = True
) -> None:
    """Write named arrays as safetensors, as `atomic_write` does."""
    # safetensors expects row-major arrays.
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    atomic_write(path, safetensors_numpy.save(contiguous), durable=durable)


def parse_parquet(data: bytes) -> pa.Table:
    """Read a parquet table from bytes, with its page checksums, in this thread alone.

    A thread of the library that still held the bytes when Python ends would end the
    process with an abort, as after ``pyarrow.parquet.read_table`` of bytes.

    Raises
    ------
    ArrowException, OSError or ValueError
        when the bytes are damaged, or stand for more than fits in memory.
    """
    options = {"page_checksum_verification": True, "pre_buffer": False}
    check_declared_size(data)
    with pq.ParquetFile(pa.BufferReader(data), **options) as file:
        schema = file.schema_arrow
        texts = text_columns(file)

    # Each distinct text once: what all of them come to is known before it is written
    # out.
    with pq.ParquetFile(
        pa.BufferReader(data), read_dictionary=texts, **options
    ) as file:
        table = file.read(use_threads=False)
    for name in texts:
        at = schema.get_field_index(name)
        field = schema.field(at)
        table = table.set_column(at, field, written_out(table.column(at), field.type))
    return table


def parse_tensors(data: bytes, name: str) -> dict[str, np.ndarray]:
    """Parse named arrays from safetensors bytes; every float must be finite.

    Raises
    ------
    DamagedArtifact
        naming `name`, when the bytes are not safetensors or hold NaN or infinity.
    """
    check_header_size(data, name)
    try:
        arrays = safetensors_numpy.load(data)
    except (KeyboardInterrupt, SystemExit):
        raise
    # The Rust reader may panic, and a panic is not an Exception.
    except BaseException as error:
        raise machine_fault(error, name) or DamagedArtifact(
            f"{name} is not a readable safetensors file ({error})."
        ) from error

    for key, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise DamagedArtifact(f"{name}: tensor '{key}' holds NaN or infinity.")
    return arrays
