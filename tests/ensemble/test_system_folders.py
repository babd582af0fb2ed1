"""Two folders of clips as one table of clips by two systems."""

import pandas as pd
import pytest

from base_models.errors import UsageError
from ensemble.system_folders import read_system_folders


def folder(path, *names):
    for name in names:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(b"")
    return str(path)


def test_files_of_one_name_answer_the_same_prompt(tmp_path):
    a = folder(tmp_path / "v1", "x.wav", "sub/y.flac", "only.wav", "notes.txt")
    b = folder(tmp_path / "v2", "x.mp3", "sub/y.wav")
    found = read_system_folders([a, b])
    assert found.clips["clip_id"].tolist() == [
        "v1/only",
        "v1/sub/y",
        "v1/x",
        "v2/sub/y",
        "v2/x",
    ]
    assert found.clips["system_id"].tolist() == ["v1"] * 3 + ["v2"] * 2
    assert found.pairs == ["only", "sub/y", "x", "sub/y", "x"]
    assert found.clips["prompt"].tolist() == [""] * 5
    assert found.paired_clips["prompt"].tolist() == found.pairs
    assert found.notes == ("2 prompts are in both folders, 1 in one alone",)


def test_takes_in_two_formats_are_two_clips(tmp_path):
    a = folder(tmp_path / "v1", "x.wav", "x.mp3")
    b = folder(tmp_path / "v2", "x.wav")
    found = read_system_folders([a, b])
    assert found.clips["clip_id"].is_unique
    assert found.pairs == ["x.mp3", "x.wav", "x"]


def test_folders_of_one_name_are_told_apart_by_their_paths(tmp_path):
    a = folder(tmp_path / "v1" / "wav", "x.wav")
    b = folder(tmp_path / "v2" / "wav", "x.wav")
    assert read_system_folders([a, b]).clips["system_id"].tolist() == [a, b]
    named = read_system_folders([a, b], names=["old", "NA"])
    assert named.clips["system_id"].tolist() == ["old", "NA"]


def test_no_shared_name_is_said(tmp_path):
    a = folder(tmp_path / "v1", "x.wav")
    b = folder(tmp_path / "v2", "y.wav")
    assert "not compared in pairs" in read_system_folders([a, b]).notes[0]


def test_prompts_of_a_table_are_found_by_file_name(tmp_path):
    a = folder(tmp_path / "v1", "x.wav", "z.wav")
    b = folder(tmp_path / "v2", "y.wav")
    table = pd.DataFrame(
        {"audio": ["x.wav", "y.wav"], "prompt": ["slow piano", "slow piano"]}
    )
    table.to_csv(tmp_path / "prompts.csv", index=False)
    found = read_system_folders([a, b], prompts=str(tmp_path / "prompts.csv"))
    assert found.clips["prompt"].tolist() == ["slow piano", "", "slow piano"]
    assert found.pairs == ["slow piano", "z", "slow piano"]
    table.assign(audio=["p.wav", "q.wav"]).to_csv(tmp_path / "other.csv", index=False)
    with pytest.raises(UsageError, match="has no prompt of any file"):
        read_system_folders([a, b], prompts=str(tmp_path / "other.csv"))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ("v1", "are one folder"),
        ("nowhere", "does not exist; name the folder"),
        ("v1/x.wav", "is a file; name the folder"),
        ("empty", "holds no audio file"),
    ],
)
def test_what_is_no_second_folder_is_refused(tmp_path, other, message):
    a = folder(tmp_path / "v1", "x.wav")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=message):
        read_system_folders([a, str(tmp_path / other)])


@pytest.mark.parametrize("names", [["a", "a"], ["a"], ["a", ""]])
def test_names_are_two_and_different(tmp_path, names):
    folders = [folder(tmp_path / name, "x.wav") for name in ("v1", "v2")]
    with pytest.raises(UsageError, match="two different names"):
        read_system_folders(folders, names=names)
