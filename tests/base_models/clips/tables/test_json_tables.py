"""JSON in the layouts that programs write is a table; all else is refused plainly."""

import json

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from base_models.clips.tables.read_table import read_table
from base_models.errors import UsageError

COLUMNS = {"clip_id": ["007", "b"], "mos": ["3.5", "4.0"]}
FRAME = pd.DataFrame({"clip_id": ["007", "b"], "mos": [3.5, 4.0]})


def read(folder, text, name="t.json"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return read_table(path)


@pytest.mark.parametrize("orient", ["records", "columns", "split", "table", "values"])
def test_what_pandas_writes_is_read_back(tmp_path, orient):
    text = FRAME.to_json(orient=orient)
    if orient == "values":
        text = json.dumps([["clip_id", "mos"], ["007", 3.5], ["b", 4.0]])
    table = read(tmp_path, text)
    numbers = [float(cell) for cell in table.columns["mos"]]
    assert (table.columns["clip_id"], numbers) == (COLUMNS["clip_id"], [3.5, 4.0])


def test_a_frame_that_its_clips_index_is_read_back(tmp_path):
    indexed = FRAME.assign(mos_pred=[1.5, None]).set_index("clip_id")
    for names in (["mos"], ["mos_pred"], ["mos", "mos_pred"]):
        table = read(tmp_path, indexed[names].to_json())
        assert list(table.columns) == ["clip_id", *names]
        assert table.columns["clip_id"] == ["007", "b"]
        assert [float(table.columns[name][0]) for name in names] == [
            indexed[name].iloc[0] for name in names
        ]
        assert "columns, each with a value per clip" in table.notes[0]


def test_rows_of_a_frame_that_were_picked_are_read_back(tmp_path):
    # Their numbers are those of rows, as a column names the clips.
    table = read(tmp_path, FRAME.iloc[[1]].to_json())
    assert table.columns["clip_id"] == ["b"]
    assert float(table.columns["mos"][0]) == 4


def test_a_record_of_one_clip_stays_a_record(tmp_path):
    for text in (
        '{"mos": {"mos": 3.5}}',
        '{"take1": {"x": 1, "y": 2}}',
        '{"score": {"a": 1}, "b": {"c": 2}}',
    ):
        assert read(tmp_path, text).columns["clip_id"] == list(json.loads(text))


@pytest.mark.parametrize(
    ("name", "text", "columns"),
    [
        ("t.json", '{"007": {"mos": 3.5}, "b": {"mos": 4.0}}', COLUMNS),
        ("t.json", '{"clip_id": ["007", "b"], "mos": [3.5, 4.0]}', COLUMNS),
        (
            "t.json",
            '{"version": 1, "data": [{"clip_id": "007", "mos": 3.5}, '
            '{"clip_id": "b", "mos": 4.0}]}',
            COLUMNS,
        ),
        ("t.json", '{"v": 1, "r": {"007": {"mos": 3.5}, "b": {"mos": 4.0}}}', COLUMNS),
        (
            "t.json",
            '{"clip_id": "007", "mos": 3.5}\n{"clip_id": "b", "mos": 4.0}\n',
            COLUMNS,
        ),
        (
            "t.jsonl",
            '[{"clip_id": "007", "mos": 3.5},\n {"clip_id": "b", "mos": 4.0}]\n',
            COLUMNS,
        ),
        ("t.json", '{"clip_id": "x", "mos": 3}', {"clip_id": ["x"], "mos": ["3"]}),
        (
            "t.json",
            '{"x": 3, "y": 4.5}',
            {"clip_id": ["x", "y"], "score": ["3", "4.5"]},
        ),
        ("t.json", '["a.wav", "b.wav"]', {"audio": ["a.wav", "b.wav"]}),
        (
            "t.json",
            '{"0": {"path": "a.wav"}, "1": {"path": "b.wav"}}',
            {"key_of_record": ["0", "1"], "path": ["a.wav", "b.wav"]},
        ),
        ("t.json", '[{"id": "a"}, {"mos": null}]', {"id": ["a", ""], "mos": ["", ""]}),
    ],
)
def test_a_document_is_the_table_in_it(tmp_path, name, text, columns):
    assert read(tmp_path, text, name).columns == columns


def test_rows_of_a_document_are_records(tmp_path):
    table = read(tmp_path, '[{"id": "a"}, {"id": "b"}]')
    assert table.location(1).endswith("t.json, record 2")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, r"t.json is not valid JSON \(nested too deeply\)"),
        (f'[{{"id": 1{"0" * 5000}}}]', r"\(a number has too many digits\)"),
        ('[{"id": 1e999}]', "is not a finite number"),
        ('{"a": {"x": 1}, "a": {"x": 2}}', "a key stands twice"),
        ("[1, 2]", "expected a list of records .* got a list of other values"),
        ("3", "expected a list of records .* got 3"),
        ("[]", "got an empty list"),
        ('{"loss": 3, "mos": 4}', "got an object with 'loss', 'mos'"),
        ('{"a": [1, 2], "b": [1]}', "'a' has 2 values, 'b' 1"),
        ('{"x": [{"id": 1}], "y": [{"id": 2}]}', "holds several tables .'x', 'y'."),
        ('[{"id": "a"}, {"id": "b"}', "is not valid JSON"),
    ],
)
def test_other_documents_are_refused_plainly(tmp_path, text, message):
    with pytest.raises(UsageError, match=message) as raised:
        read(tmp_path, text)
    assert len(str(raised.value).replace(str(tmp_path), "")) <= 500


def test_classes_of_a_published_data_set_have_their_names(tmp_path):
    features = {
        "split": {"names": ["train", "test"], "_type": "ClassLabel"},
        "mos": {"dtype": "float64", "_type": "Value"},
        "odd": {"names": ["x"], "_type": "ClassLabel"},
    }
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    table = pa.table(
        {"split": [0, 1, -1, None], "mos": [1.0, 2.0, 3.0, 4.0], "odd": [0, 7, 0, 0]}
    )
    path = tmp_path / "t.parquet"
    pq.write_table(table.replace_schema_metadata(metadata), path)
    read_back = read_table(path)
    assert read_back.columns["split"] == ["train", "test", "", ""]
    assert read_back.columns["odd"] == ["0", "7", "0", "0"]
    assert read_back.notes == ("t.parquet: the classes in 'split' are read by name",)

    pq.write_table(table.replace_schema_metadata({"huggingface": "[["}), path)
    assert read_table(path).columns["split"] == ["0", "1", "-1", ""]
