"""Laws of Parquet files that a stranger wrote: measured before they are expanded."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from base_models.file_checks.parquet_footer import parquet_footer
from base_models.files import parse_parquet


def written(table, **options):
    buffer = io.BytesIO()
    pq.write_table(table, buffer, **options)
    return buffer.getvalue()


SMALL = pa.table({"clip_id": ["a", None, "b", "a"], "x": [1.0, 2.0, None, 4.0]})


@pytest.mark.parametrize(
    "options", [{}, {"row_group_size": 1}, {"use_dictionary": False}]
)
def test_what_is_read_is_what_was_written_with_its_types(options):
    back = parse_parquet(written(SMALL, **options))
    assert back.equals(SMALL)
    assert back.schema.equals(SMALL.schema, check_metadata=True)


@pytest.mark.parametrize("size", [1, 2, 4])
@pytest.mark.parametrize("codec", ["none", "snappy", "zstd", "gzip"])
def test_the_footer_declares_what_pyarrow_says_of_it(codec, size):
    data = written(SMALL, compression=codec, row_group_size=size)
    about = pq.ParquetFile(io.BytesIO(data)).metadata
    footer = parquet_footer(data)
    assert footer.n_rows == about.num_rows
    assert footer.n_values == about.num_rows * about.num_columns
    assert footer.codecs == {{"none": 0, "snappy": 1, "zstd": 6, "gzip": 2}[codec]}


def test_a_small_file_that_stands_for_gigabytes_is_refused():
    many = written(pa.table({"x": pa.nulls(60_000_000, pa.bool_())}))
    assert len(many) < 300_000
    with pytest.raises(ValueError, match="it declares 60,000,000 cells; at most"):
        parse_parquet(many)
    # As a file of texts that are all equal is written, without making them.
    numbers = pa.array(np.zeros(200_000, np.int32))
    equal = pa.DictionaryArray.from_arrays(numbers, ["q" * 3_000])
    long = written(pa.table({"clip_id": equal}), store_schema=False)
    assert len(long) < 100_000
    with pytest.raises(ValueError, match="a column holds 600,000,000 bytes of text"):
        parse_parquet(long)
    with pytest.raises(ValueError, match="it is not compressed by Snappy, as"):
        parse_parquet(written(SMALL, compression="zstd"))


def test_a_cut_or_changed_footer_raises_and_never_ends_the_process():
    data = written(SMALL)
    for end in range(len(data)):
        with pytest.raises(ValueError, match=r"Parquet|footer"):
            parquet_footer(data[:end])
    rng = np.random.default_rng(0)
    for _ in range(2_000):
        changed = bytearray(data)
        at = int(rng.integers(len(data) - 400, len(data) - 8))
        changed[at] = int(rng.integers(256))
        try:
            parse_parquet(bytes(changed))
        # Whatever it is, it can be caught.
        except (pa.ArrowException, OSError, ValueError, KeyError):
            continue
