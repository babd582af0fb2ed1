"""A table of pairs is read whatever its columns are called, and loses no row."""

import json

import pandas as pd
import pytest
from builders import write_file

from base_models.errors import UsageError
from ensemble.scoring.pairs.pair_table import NOWHERE, read_pairs


@pytest.fixture
def folder(tmp_path):
    for name in ("a.wav", "b.wav", "c.wav"):
        (tmp_path / name).write_bytes(b"")
    return tmp_path


def table(folder, rows, name="pairs.csv"):
    path = folder / name
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


ROW = {"prompt": "slow", "audio_a": "a.wav", "audio_b": "b.wav"}
NAMES = {
    "the task": ("sample_id", "prompt", "audio_A", "audio_B"),
    "CMI-RewardBench": ("id", "prompt", "audio-path", "audio2"),
    "sides": ("pair_id", "text", "left", "right"),
    "numbers": ("key", "caption", "File 1", "File 2"),
    "Music Arena": ("pair", "prompt", "audio_a", "audio_b"),
}


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
def test_columns_are_known_by_many_names(folder, names):
    row = dict(zip(names, ("x1", "slow", "a.wav", "b.wav"), strict=True))
    pairs = read_pairs(table(folder, [row]))
    assert pairs.pairs.iloc[0].to_dict() == ROW | {"pair_id": "x1"}
    assert pairs.clips["audio"].tolist() == [
        str(folder / "a.wav"),
        str(folder / "b.wav"),
    ]


def test_columns_can_be_named(folder):
    row = {"one": "a.wav", "two": "b.wav", "words": "slow", "n": "7"}
    words = ["audio_a=one", "audio_b=two", "prompt=words", "id=n"]
    pairs = read_pairs(table(folder, [row]), words)
    assert pairs.pairs.iloc[0].to_dict() == ROW | {"pair_id": "7"}


def test_a_clip_of_several_pairs_is_listed_once(folder):
    rows = [ROW, ROW | {"audio_b": "c.wav"}, ROW, ROW | {"audio_b": "./a.wav"}]
    pairs = read_pairs(table(folder, rows))
    assert len(pairs.clips) == 3
    assert pairs.first.tolist() == [0, 0, 0, 0]
    assert pairs.one_clip_twice.tolist() == [False, False, False, True]


def test_a_file_with_two_prompts_is_two_clips(folder):
    pairs = read_pairs(table(folder, [ROW, ROW | {"prompt": "fast"}]))
    assert len(pairs.clips) == 4
    assert pairs.clips["clip_id"].is_unique


def test_rows_without_a_file_stay_and_say_why(folder):
    pairs = read_pairs(table(folder, [ROW | {"audio_b": ""}, ROW]))
    assert pairs.second[0] == NOWHERE
    assert pairs.reasons == ("b: no file is named", "")


def test_systems_tell_which_clips_are_of_one(folder):
    systems = [("x", "x"), ("x", "y"), ("", "")]
    rows = [ROW | {"system_a": a, "system_b": b} for a, b in systems]
    pairs = read_pairs(table(folder, rows))
    assert pairs.same_system.tolist() == [True, False, False]
    assert not read_pairs(table(folder, [ROW])).same_system.any()


def test_jsonl_is_a_table_as_well(folder):
    lines = "".join(json.dumps(ROW | {"sample_id": k}) + "\n" for k in (5, 6))
    pairs = read_pairs(write_file(folder / "pairs.jsonl", lines.encode()))
    assert pairs.pairs["pair_id"].tolist() == ["5", "6"]
    assert pairs.rows[0]["sample_id"] == "5"


def test_audio_can_lie_elsewhere(folder, tmp_path_factory):
    path = table(tmp_path_factory.mktemp("lists"), [ROW])
    pairs = read_pairs(path, audio_root=str(folder))
    assert pairs.clips["audio"][0] == str(folder / "a.wav")


def test_ids_of_clips_need_no_files(folder):
    row = {"clip_a": "x", "clip_b": "y", "prompt": "slow"}
    rows = [row, row | {"prompt": "fast"}]
    pairs = read_pairs(table(folder, rows), are_files=False)
    assert pairs.clips["clip_id"].tolist() == ["x", "y"]


def test_a_table_without_pairs_is_refused(folder):
    with pytest.raises(UsageError, match=r"no two columns of clips.*--columns audio_a"):
        read_pairs(table(folder, [{"prompt": "x", "audio": "a.wav"}]))
    with pytest.raises(UsageError, match="holds no pairs"):
        read_pairs(write_file(folder / "none.csv", b"audio_a,audio_b\n"))


def test_names_of_columns_that_are_not_there_are_refused(folder):
    path = table(folder, [ROW])
    with pytest.raises(UsageError, match="has no column 'nope'"):
        read_pairs(path, ["audio_a=nope"])
    with pytest.raises(UsageError, match="takes WHAT=COLUMN"):
        read_pairs(path, ["audio_a"])
    with pytest.raises(UsageError, match="Unknown meaning"):
        read_pairs(path, ["audio_x=prompt"])
