"""Laws of how files of predictions are named: one grammar, and files before it."""

from pathlib import Path

import pytest
from builders import write_file
from hypothesis import given
from hypothesis import strategies as st

from base_models.errors import UsageError
from base_models.scales import Scale
from ensemble.prediction_files.prediction_word import PredictionFile

PARTS = ("path", "name", "scale", "columns", "ids")


def parts(word):
    file = PredictionFile.parse(word)
    return {name: getattr(file, name) for name in PARTS if getattr(file, name)}


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("p.csv", {"path": Path("p.csv")}),
        ("tool=p.csv", {"path": Path("p.csv"), "name": "tool"}),
        ("p.csv:0-100", {"path": Path("p.csv"), "scale": Scale(0, 100)}),
        (
            "tool=out/p.csv:-1..1",
            {"path": Path("out/p.csv"), "name": "tool", "scale": Scale(-1, 1)},
        ),
        ("out/x=1/p.csv", {"path": Path("out/x=1/p.csv")}),
        (
            "out/x=1/p.csv:1-10",
            {"path": Path("out/x=1/p.csv"), "scale": Scale(1, 10)},
        ),
        ("p.csv:mos", {"path": Path("p.csv"), "columns": ("mos",)}),
        (
            "n=p.csv:mos_pred, noi_pred:1-5",
            {
                "path": Path("p.csv"),
                "name": "n",
                "columns": ("mos_pred", "noi_pred"),
                "scale": Scale(1, 5),
            },
        ),
        (
            "ab=out.jsonl+in.jsonl:CE:1-10",
            {
                "path": Path("out.jsonl"),
                "ids": Path("in.jsonl"),
                "name": "ab",
                "columns": ("CE",),
                "scale": Scale(1, 10),
            },
        ),
        ("C:\\out\\p.csv", {"path": Path("C:\\out\\p.csv")}),
        (
            "t=C:\\out\\p.csv:mos:1-5",
            {
                "path": Path("C:\\out\\p.csv"),
                "name": "t",
                "columns": ("mos",),
                "scale": Scale(1, 5),
            },
        ),
        ("t=~/p.csv", {"path": Path("~/p.csv").expanduser(), "name": "t"}),
        ("no_suffix:1-5", {"path": Path("no_suffix"), "scale": Scale(1, 5)}),
    ],
)
def test_a_word_has_a_name_a_file_a_list_columns_and_a_scale(word, expected):
    assert parts(word) == expected


def test_a_file_that_is_called_so_comes_first(tmp_path):
    for name in ("a=b.csv:1-10", "x:y.csv", "a+b.csv"):
        path = write_file(tmp_path / name, "x")
        assert parts(str(path)) == {"path": path}
        assert parts(f"{path}:mos:0-1") == {
            "path": path,
            "columns": ("mos",),
            "scale": Scale(0, 1),
        }
        assert parts(f"tool={path}") == {"path": path, "name": "tool"}
    plain = write_file(tmp_path / "a=b.csv", "x")
    assert parts(f"{plain}:0-100") == {"path": plain, "scale": Scale(0, 100)}


NAMES = st.text("abc.-_ é", min_size=1, max_size=6).filter(lambda text: text.strip())
COLUMNS = st.lists(NAMES, max_size=3)
SCALES = st.sampled_from([None, Scale(1, 5), Scale(0, 100), Scale(-1, 1)])


@given(name=NAMES, columns=COLUMNS, scale=SCALES, listed=st.booleans())
def test_what_is_written_in_the_grammar_is_read_back(name, columns, scale, listed):
    word = f"{name}=out/scores.csv"
    word += "+in/list.jsonl" if listed else ""
    word += f":{','.join(columns)}" if columns else ""
    word += f":{scale.low:g}..{scale.high:g}" if scale else ""
    file = PredictionFile.parse(word)
    assert (file.name, file.path) == (name.strip(), Path("out/scores.csv"))
    assert file.columns == tuple(column.strip() for column in columns)
    assert file.scale == scale
    assert file.ids == (Path("in/list.jsonl") if listed else None)


def test_a_pattern_that_no_shell_expanded_names_the_files_that_match(tmp_path):
    paths = [write_file(tmp_path / f"{name}.csv", "x") for name in ("a", "b")]
    files = PredictionFile.parse_all([f"{tmp_path}/*.csv:mos:1-5"])
    assert [file.path for file in files] == paths
    assert {file.columns for file in files} == {("mos",)}
    assert PredictionFile.parse(f"one={tmp_path}/a*.csv").path == paths[0]
    with pytest.raises(UsageError, match=r"matches 2 files .* cannot all be one; name"):
        PredictionFile.parse_all([f"one={tmp_path}/*.csv"])
    with pytest.raises(UsageError, match=r"matches 2 files .*; name one of them"):
        PredictionFile.parse(f"{tmp_path}/*.csv")
    with pytest.raises(UsageError, match=r"none\*' matches no file"):
        PredictionFile.parse(f"{tmp_path}/none*")


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("", "named by an empty word"),
        ("tool=", r"'tool=' names no file; write tool=FILE"),
        ("p.csv:", r"as p\.csv:first,second, or their scale, .* one of them is empty"),
        ("p.csv:a,,b", "one of them is empty"),
        ("p.csv:5-1", "lowest rating of a scale must be below"),
    ],
)
def test_a_part_that_is_empty_or_no_scale_is_refused(word, message):
    with pytest.raises(UsageError, match=message):
        PredictionFile.parse(word)
