"""True scores of systems: every layout of the file, and every way it can be wrong."""

import numpy as np
import pandas as pd
import pytest

from base_models.errors import UsageError
from ensemble.prediction_files.read_system_truth import (
    check_systems,
    read_system_truth,
)

ROWS = "S001,1.5,2.5\nS002,3.25,4\n"


def written(folder, text, name="systems.csv"):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize(
    "text",
    [
        ROWS,
        f"sysID,MI,TA\n{ROWS}",
        "\ufeffsystem_id,ta,mi,n\nS001,2.5,1.5,9\n\nS002,4,3.25,9\n",
        "\n" + ROWS.replace("S0", "audiomos2025-track1-S0"),
    ],
)
def test_a_file_with_or_without_a_header_is_read(tmp_path, text):
    truth = read_system_truth(written(tmp_path, text), "labels.csv", ["mi", "ta"])
    assert list(truth.scores.index) == ["S001", "S002"]
    np.testing.assert_array_equal(truth.scores, [[1.5, 2.5], [3.25, 4]])
    assert list(truth.scores) == ["mi", "ta"]
    assert truth.title == f"system truth: {tmp_path / 'systems.csv'}"


def test_a_parquet_table_is_read(tmp_path):
    path = tmp_path / "systems.parquet"
    pd.DataFrame({"system": ["A"], "mos": [2.0]}).to_parquet(path)
    truth = read_system_truth(str(path), "labels.csv", ["mos"])
    assert truth.scores.loc["A", "mos"] == 2.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("S001,1.5\n", r"line 1: without a header a line is sysID,MI,TA; got 'S001,1"),
        ("S001,1,2\nS002,1\n", "line 2: 2 cells; the first row has 3"),
        ("sysID,MI\nS001,2\n", "needs one column 'ta' of true scores"),
        ("name,MI,TA\nS001,2,3\n", "needs one column of systems, such as sysID"),
        ("sysID,system,MI,TA\na,b,2,3\n", "needs one column of systems"),
        ("sysID,MI,TA\nS001,6,3\n", "MI is '6'; a label is a number in 1..5"),
        ("sysID,MI,TA\nS001,x,3\n", "MI is 'x'"),
        ("S001,2,nan\n", "ta is 'nan'"),
        (f"{ROWS}S001,2,3\n", "'S001' is there twice"),
        ("sysID,MI,TA\n,2,3\n", "the system is empty"),
        ("sysID,MI,TA\n", "holds no systems"),
        ("", "is empty"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(tmp_path, text, message):
    path = written(tmp_path, text)
    with pytest.raises(UsageError, match=message):
        read_system_truth(path, "labels.csv", ["mi", "ta"])


def test_a_file_that_is_not_there_or_of_another_kind_is_refused(tmp_path):
    with pytest.raises(UsageError, match="There is no file"):
        read_system_truth(str(tmp_path / "none.csv"), "labels.csv", ["mi"])
    with pytest.raises(UsageError, match=r"are read from \.csv"):
        read_system_truth(written(tmp_path, ROWS, "a.doc"), "labels.csv", ["mi"])


# ---- the file of a tree


def tree(folder, *names):
    listed = written(folder, "audiomos2025-track1-S001_P001.wav,1,2\n", "sets/x.txt")
    for number, name in enumerate(names):
        written(folder, f"S001,{number + 1},2\n", f"system_mos/{name}")
    return listed


def test_the_file_of_a_tree_is_found_from_the_tree_and_from_its_lists(tmp_path):
    listed = tree(tmp_path / "DATA", "system_mos_phase1.csv")
    for data in (tmp_path / "DATA", tmp_path, listed):
        truth = read_system_truth("tree", str(data), ["mi"])
        assert truth.source.endswith("system_mos_phase1.csv")


def test_the_split_decides_between_the_files_of_a_tree(tmp_path):
    tree(tmp_path, "system_mos_dev.csv", "system_mos_test.csv")
    truth = read_system_truth("tree", str(tmp_path), ["mi"], split="test")
    assert truth.scores.loc["S001", "mi"] == 2
    for split in (None, "train"):
        with pytest.raises(UsageError, match=r"several: 'system_mos_dev\.csv', 'sys"):
            read_system_truth("tree", str(tmp_path), ["mi"], split=split)


def test_data_without_such_a_file_is_told_to_name_one(tmp_path):
    listed = tree(tmp_path)
    for data in (tmp_path, listed, tmp_path / "none.csv"):
        with pytest.raises(
            UsageError, match=r"found none\. Name the file with --system"
        ):
            read_system_truth("tree", str(data), ["mi"])


# ---- systems on one side only


def test_systems_on_one_side_only_are_named(tmp_path):
    text = "sysID,MI,TA\nS001,1,\nS002,2,3\nS009,2,3\n"
    truth = read_system_truth(written(tmp_path, text), "labels.csv", ["mi", "ta"])
    systems = ["S001", "S002", "S002", "S003"]
    assert truth.unknown(systems) == ["S001", "S003"]
    unknown, without_clips = truth.remarks(systems)
    assert "left out at system level: 2 ('S001', 'S003')" in unknown
    assert "without clips here: 1 ('S009')" in without_clips
    assert truth.remarks(["S002", "S009"])[0].endswith("here: 1 ('S001').")


def test_clips_without_any_true_score_are_refused(tmp_path):
    truth = read_system_truth(written(tmp_path, ROWS), "labels.csv", ["mi"])
    check_systems(truth, ["S001", "X"])
    with pytest.raises(UsageError, match="The labels name no systems"):
        check_systems(truth, ["", ""])
    with pytest.raises(UsageError, match="it names 'S001', 'S002', the labels 'X'"):
        check_systems(truth, ["X"])
