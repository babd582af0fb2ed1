"""No table takes more memory than its limits allow, however small its file is."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from base_models.clips.read_clips import read_clips
from base_models.clips.rows import rated_columns
from base_models.clips.tables import limits
from base_models.clips.tables.read_table import read_table
from base_models.errors import UsageError


def repeated(word, n_rows):
    """A column of one word, as a Parquet file holds it: once."""
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(n_rows, np.int32)), [word])


@pytest.mark.parametrize("kind", ["words", "lists"])
def test_the_text_of_a_parquet_file_counts_as_often_as_it_stands_there(
    tmp_path, monkeypatch, kind
):
    monkeypatch.setattr(limits, "MAX_BYTES", 1_000_000)
    path = tmp_path / "clips.parquet"
    long = repeated("x" * 2_000, 600)
    if kind == "lists":
        long = pa.array([["x" * 2_000]] * 600)
    pq.write_table(pa.table({"clip_id": long}), path)
    assert path.stat().st_size < 20_000
    with pytest.raises(UsageError, match=r"holds 1,\d\d\d,\d\d\d bytes of text"):
        read_table(path)
    pq.write_table(pa.table({"clip_id": long.slice(0, 400)}), path)
    assert read_table(path).n_rows == 400


def test_parquet_columns_keep_their_order_and_values_whatever_their_kind(tmp_path):
    path = tmp_path / "clips.parquet"
    columns = {
        "parts": [[1, 2], None, [3]],
        "clip_id": ["a", "b", None],
        "system": pa.array(["s", "t", "s"]).dictionary_encode(),
        "mos": [1.5, None, 3.0],
    }
    pq.write_table(pa.table(columns), path)
    table = read_table(path)
    assert table.columns == {
        "parts": ["[1, 2]", "", "[3]"],
        "clip_id": ["a", "b", ""],
        "system": ["s", "t", "s"],
        "mos": ["1.5", "", "3.0"],
    }
    pq.write_table(pa.table(columns).slice(0, 0), path)
    assert list(read_table(path).columns) == list(columns)


@pytest.mark.parametrize("suffix", ["csv", "json", "jsonl", "parquet"])
def test_a_table_with_too_many_rows_columns_or_cells_is_refused(
    tmp_path, monkeypatch, suffix
):
    monkeypatch.setattr(limits, "MAX_ROWS", 50)
    monkeypatch.setattr("base_models.clips.tables.delimited.MAX_ROWS", 50)
    monkeypatch.setattr(limits, "MAX_COLUMNS", 20)
    monkeypatch.setattr(limits, "MAX_CELLS", 600)
    path = tmp_path / f"clips.{suffix}"
    for n_rows, n_columns, message in (
        (51, 2, r"at most 50 rows and 600 cells"),
        (2, 21, r"has 21 columns; at most 20"),
        (40, 16, r"at most 50 rows and 600 cells"),
        (39, 15, ""),
    ):
        _write(path, n_rows, n_columns)
        if message:
            with pytest.raises(UsageError, match=message):
                read_table(path)
        else:
            assert read_table(path).n_rows == n_rows


def _write(path, n_rows, n_columns):
    names = ["clip_id", *(f"c{k}" for k in range(n_columns - 1))]
    records = [dict.fromkeys(names, f"x{row}") for row in range(n_rows)]
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(records), path)
    elif path.suffix == ".csv":
        lines = [",".join(names), *(",".join(one.values()) for one in records)]
        path.write_text("\n".join(lines))
    elif path.suffix == ".json":
        path.write_text(json.dumps(records))
    else:
        path.write_text("\n".join(map(json.dumps, records)))


def test_a_file_is_measured_before_it_is_read(tmp_path):
    path = tmp_path / "clips.csv"
    with path.open("wb") as file:
        file.truncate(limits.MAX_BYTES + 1)
    with pytest.raises(UsageError, match="at most 256 MiB are read"):
        read_table(path)


def test_a_table_of_more_aspects_than_a_test_asks_for_has_them_named(tmp_path):
    path = tmp_path / "clips.csv"
    names = [f"c{k}" for k in range(rated_columns.MAX_ASPECTS + 1)]
    row = ",".join("3" for _ in names)
    path.write_text(f"clip_id,{','.join(names)}\na,{row}\nb,{row}\n")
    with pytest.raises(UsageError, match=r"has 101 columns that may be ratings"):
        read_clips(path)


def test_a_link_to_itself_is_no_file(tmp_path):
    path = tmp_path / "clips.csv"
    path.symlink_to(path)
    with pytest.raises(UsageError, match="There is no file or folder"):
        read_clips(path)
