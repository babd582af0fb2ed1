"""Laws of problems in rows: every one is found in one run, with its place."""

import numpy as np
import pytest
from builders import write_file

from base_models.clips.problems import TableProblems
from base_models.clips.read_clips import collect_clips, read_clips

BAD = """clip_id,audio,system_id,prompt,split,mi,ta
a,,s,x,train,3,4
b,,s,x,train,9,4
c,,s,x,held,3,four
,,s,x,train,3,4
d,,s,x,train,3,NA
d,,s,x,train,2,4
e,,s,x,train,,
f,,s,x,,3,4
g,,s,x,train,3,4
g,,s,x,train,3,4
h,,s,x,train,3,4
h,,s,x,test,3,4
"""


@pytest.fixture
def bad(tmp_path):
    return write_file(tmp_path / "bad.csv", BAD)


def test_all_problems_of_a_table_are_found_in_one_run(bad):
    with pytest.raises(TableProblems) as caught:
        read_clips(bad)
    found = sorted((one.line, one.column, one.what) for one in caught.value.problems)
    assert found == [
        (3, "mi", "mi is off the scale 1..5"),
        (4, "split", "the split is unknown"),
        (4, "ta", "ta is no number"),
        (5, "clip_id", "the clip id is empty"),
        (6, "clip_id", "the clip id stands twice"),
        (6, "ta", "ta has 'NA', which often stands for a missing value"),
        (7, "clip_id", "the clip id stands twice"),
        (8, "", "a clip of train or dev has no label"),
        (9, "split", "no split, while other clips have one"),
        (11, "clip_id", "the clip id stands twice"),
        (12, "clip_id", "the clip is in more than one split"),
        (13, "clip_id", "the clip is in more than one split"),
    ]
    assert all(one.cure for one in caught.value.problems if one.line != 5)
    assert {one.file for one in caught.value.problems} == {str(bad)}
    cures = {one.line: one.cure for one in caught.value.problems if one.column == "ta"}
    assert cures == {
        4: "Correct the cell, or leave it empty where there is no rating; if 'ta' is "
        "not a rating, name those that are (--aspects).",
        6: "If it does here: --missing-code NA",
    }


def test_the_other_rows_are_read(bad):
    rows = collect_clips(bad)
    # Of two rows that say the same, one is enough.
    assert rows.clips["clip_id"].tolist() == ["a", "g"]
    assert rows.clips["mi"].tolist() == [3.0, 3.0]
    assert rows.rows == (0, 8)
    assert rows.clips.attrs["aspects"] == ["mi", "ta"]


def test_a_problem_that_is_found_later_has_its_place_too(tmp_path):
    path = write_file(tmp_path / "t.csv", "File name,mi\nx.wav,9\ny.wav,3\n")
    rows = collect_clips(path)
    problem = rows.problem(0, "audio", what="it is missing", message="no y.wav")
    assert problem.place == f"{path}, line 3"
    assert (problem.column, problem.value) == ("File name", "y.wav")


def test_what_cannot_be_text_is_a_problem_and_not_a_crash(tmp_path):
    lines = '{"id": "a", "prompt": "\\ud800"}\n{"id": "b", "prompt": "ok"}\n'
    rows = collect_clips(write_file(tmp_path / "t.jsonl", lines))
    (problem,) = rows.problems
    assert problem.value == "\\ud800"
    assert rows.clips["clip_id"].tolist() == ["b"]


# ---- audio


def test_paths_that_fit_two_files_are_problems_and_none_is_taken(tmp_path):
    for name in ("a.wav", "a.mp3", "b.wav", "wav/c.wav"):
        write_file(tmp_path / name, b"RIFF")
    path = write_file(tmp_path / "t.csv", "audio,mi\na,3\nb,4\nc.wav,2\n")
    rows = collect_clips(path)
    (problem,) = rows.problems
    assert "could be" in problem.message
    assert problem.line == 2
    assert rows.clips["audio"].tolist() == [
        str(tmp_path / "b.wav"),
        str(tmp_path / "wav/c.wav"),
    ]


def test_different_paths_that_lead_to_one_file_are_problems(tmp_path):
    write_file(tmp_path / "a.wav", b"RIFF")
    path = write_file(tmp_path / "t.csv", "id,audio,mi\nx,/v1/a.wav,3\ny,/v2/a.wav,4\n")
    with pytest.raises(TableProblems, match="2 of 2 rows: different paths lead to one"):
        read_clips(path)


def test_how_paths_were_read_is_said_once(tmp_path):
    for name in ("a.wav", "b.wav"):
        write_file(tmp_path / "songs" / name, b"RIFF")
    path = write_file(
        tmp_path / "t.csv", "audio,system,mi\nsongs\\a.wav,s,3\nsongs\\b.wav,s,4\n"
    )
    clips = read_clips(path)
    assert r"2 of 2 audio paths: '\' read as '/'" in clips.attrs["notes"]
    assert clips["clip_id"].tolist() == ["a", "b"]


# ---- audio without a table


def test_a_folder_of_audio_is_a_table_of_its_files(tmp_path):
    for name in ("b.wav", "v1/a.mp3", "v1/.hidden.wav", "notes.txt"):
        write_file(tmp_path / "clips" / name, b"RIFF")
    clips = read_clips(tmp_path / "clips")
    assert clips["clip_id"].tolist() == ["b", "v1/a"]
    assert clips["audio"].tolist() == [
        str(tmp_path / "clips/b.wav"),
        str(tmp_path / "clips/v1/a.mp3"),
    ]
    assert clips.attrs["aspects"] == []
    (note,) = clips.attrs["notes"]
    assert note.startswith("no table: 2 audio files of ")


def test_files_that_differ_in_their_extension_keep_it(tmp_path):
    for name in ("a.wav", "a.mp3"):
        write_file(tmp_path / name, b"RIFF")
    assert read_clips(tmp_path)["clip_id"].tolist() == ["a.mp3", "a.wav"]


def test_one_audio_file_is_one_clip(tmp_path):
    clips = read_clips(write_file(tmp_path / "a.flac", b"fLaC"))
    assert clips["clip_id"].tolist() == ["a"]
    assert "notes" not in clips.attrs


def test_labels_that_are_missing_are_not_numbers(bad):
    rows = collect_clips(bad, aspects=["mi"])
    assert not np.isnan(rows.clips["mi"]).any()
