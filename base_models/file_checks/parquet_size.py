"""How much a Parquet file expands to, bounded before it is expanded.

A thousand bytes can stand for gigabytes: a page repeats one value by a count, a column
names one long text by number, and some compressions shrink blanks a thousandfold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from base_models.optional_libraries import LazyLibrary

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq
else:
    pa = LazyLibrary("pyarrow")
    pc = LazyLibrary("pyarrow.compute")
    pq = LazyLibrary("pyarrow.parquet")

MOST_CELLS = 50_000_000
"""Rows times columns: 2.5 million predictions of 20 bins."""
MOST_TEXT_BYTES = 2**29
"""Of all texts of a column, each as often as it stands there."""
_CODECS = frozenset({"SNAPPY", "UNCOMPRESSED"})
"""With these a page is at most some twenty times as large as its bytes."""


def check_declared_size(file: pq.ParquetFile) -> None:
    """Refuse a file that declares more than `MOST_CELLS`, or expands without bound.

    Raises
    ------
    ValueError
        saying what is too large.
    """
    about = file.metadata
    cells = about.num_rows * about.num_columns
    if cells > MOST_CELLS:
        raise ValueError(
            f"it declares {cells:,} cells; at most {MOST_CELLS:,} are read"
        )
    for group in range(about.num_row_groups):
        for column in range(about.num_columns):
            codec = about.row_group(group).column(column).compression
            if codec not in _CODECS:
                raise ValueError(
                    f"it is compressed by {codec}; stored tables are by SNAPPY"
                )


def text_columns(file: pq.ParquetFile) -> list[str]:
    """Columns of texts, which are to be read as numbers of distinct texts."""
    return [
        field.name
        for field in file.schema_arrow
        if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)
    ]


def written_out(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """A column of numbers of texts, as the texts.

    Raises
    ------
    ValueError
        when they are more than `MOST_TEXT_BYTES`.
    """
    n_bytes = 0
    for chunk in column.chunks:
        lengths = pc.binary_length(chunk.dictionary)
        taken = pc.sum(lengths.take(chunk.indices)).as_py()
        n_bytes += taken or 0
    if n_bytes > MOST_TEXT_BYTES:
        raise ValueError(
            f"a column holds {n_bytes:,} bytes of text; at most {MOST_TEXT_BYTES:,} "
            "are read"
        )
    return column.cast(kind)
