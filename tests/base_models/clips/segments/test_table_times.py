"""Rows of a table with times are clips of their own: parts of the files they name."""

import json
import math

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from builders import music
from hypothesis import given, settings
from hypothesis import strategies as st

from base_models.clips.audio import content_hash, load_audio
from base_models.clips.check import inspect_clips, probe_clips
from base_models.clips.problems import TableProblems
from base_models.clips.read_clips import collect_clips, read_clips
from base_models.clips.rows.cleaned_table import write_cleaned_table
from base_models.clips.segments.reference import segment_of
from base_models.errors import UsageError

RATE = 16_000


@pytest.fixture
def song(tmp_path):
    """A file of 12 s in the folder of the tables."""
    soundfile.write(tmp_path / "song.wav", music(12, rate=RATE), RATE)
    return tmp_path / "song.wav"


def write(folder, columns, suffix="csv"):
    """A table of these columns."""
    frame = pd.DataFrame(columns)
    path = folder / f"clips.{suffix}"
    if suffix == "csv":
        frame.to_csv(path, index=False)
    elif suffix == "parquet":
        frame.to_parquet(path)
    else:
        lines = [json.dumps(row) for row in frame.to_dict("records")]
        path.write_text("\n".join(lines))
    return path


def parts(clips):
    """Start and end of each clip; None for a whole file."""
    found = [segment_of(audio) for audio in clips["audio"]]
    return [one and (one.start, one.end) for one in found]


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_rows_with_times_are_parts_of_their_file_with_contents_of_their_own(
    tmp_path, song, suffix
):
    table = write(
        tmp_path,
        {"path": ["song.wav"] * 2, "start_time": [0, 6.5], "end_time": [5, 10]},
        suffix,
    )
    clips = read_clips(table, labels=False)
    assert clips["clip_id"].tolist() == ["song#0-5", "song#6.5-10"]
    assert clips["audio"].tolist() == [f"{song}#t=0,5", f"{song}#t=6.5,10"]
    assert len({content_hash(audio) for audio in clips["audio"]}) == 2
    assert len(load_audio(clips["audio"][1], RATE)) == 3.5 * RATE
    assert (
        "segments: 2 of 2 clips are parts of files, in seconds by 'start_time' and "
        "'end_time'; their ids are FILE#START-END" in clips.attrs["notes"]
    )


@pytest.mark.parametrize(
    ("columns", "wanted"),
    [
        ({"start": [1], "end": [2]}, (1, 2)),
        ({"Start (s)": [1], "End (s)": [2]}, (1, 2)),
        ({"start_sec": [1], "end_sec": [2]}, (1, 2)),
        ({"onset": [1], "offset": [2]}, (1, 2)),
        ({"offset": [1], "duration": [2]}, (1, 3)),
        ({"Start time": [1], "duration_s": [2.5]}, (1, 3.5)),
        ({"begin": [1], "end": [3], "duration": [12]}, (1, 3)),
        ({"start_time": [4]}, (4, math.inf)),
        ({"end_time": [4]}, (0, 4)),
        ({"duration": [12]}, None),
        ({"offset": [3]}, None),
        ({"start_time": [""], "end_time": [""]}, None),
        ({"start_time": ["2024-05-01 10:00"], "end_time": ["2024-05-01 10:20"]}, None),
        ({"start": [1_700_000_000.5], "end": [1_700_000_100]}, None),
        ({"start": ["3/7/2024 9:15"]}, None),
    ],
)
def test_times_are_known_by_the_names_of_columns_and_dates_are_none(
    tmp_path, song, columns, wanted
):
    table = write(tmp_path, {"file": ["song.wav"], **columns})
    clips = read_clips(table, labels=False)
    assert parts(clips) == [wanted]


def test_the_user_can_name_the_columns_and_say_that_there_are_none(tmp_path, song):
    table = write(tmp_path, {"file": ["song.wav"], "from": [1], "start": [2]})
    named = {"start_time": "from"}
    assert parts(read_clips(table, labels=False, columns=named)) == [(1, math.inf)]
    assert parts(read_clips(table, labels=False)) == [(2, math.inf)]
    none = {"start_time": ""}
    assert parts(read_clips(table, labels=False, columns=none)) == [None]


def test_two_columns_of_starts_that_differ_are_refused(tmp_path, song):
    columns = {"file": ["song.wav"], "begin": [1], "onset": [2], "end": [3]}
    with pytest.raises(UsageError, match=r"'begin' and 'onset' both mean start_time"):
        read_clips(write(tmp_path, columns), labels=False)
    columns["onset"] = [1]
    assert parts(read_clips(write(tmp_path, columns), labels=False)) == [(1, 3)]


def test_given_ids_are_kept_and_rows_without_times_are_whole_files(tmp_path, song):
    table = write(
        tmp_path,
        {
            "id": ["a", "b", "c"],
            "file": ["song.wav"] * 3,
            "start": [1, "", 5],
            "end": [2, "", ""],
        },
    )
    clips = read_clips(table, labels=False)
    assert clips["clip_id"].tolist() == ["a", "b", "c"]
    assert parts(clips) == [(1, 2), None, (5, math.inf)]
    assert "2 of 3 clips" in clips.attrs["notes"][0]


def test_all_times_that_cannot_be_used_are_problems_with_their_places(tmp_path, song):
    table = write(
        tmp_path,
        {
            "file": ["song.wav"] * 7,
            "start": ["1", "x", "-1", "5", "3", "1:30", "2"],
            "end": ["2", "3", "4", "5", "2", "100", "nan"],
        },
    )
    with pytest.raises(TableProblems) as caught:
        read_clips(table, labels=False)
    found = [(p.line, p.column, p.value, p.what) for p in caught.value.problems]
    before = "the segment ends where it starts, or before"
    assert found == [
        (3, "start", "x", "'start' is no time in seconds"),
        (4, "start", "-1", "'start' is negative"),
        (5, "end", "5", before),
        (6, "end", "2", before),
        (7, "start", "1:30", "'start' is no time in seconds"),
        (8, "end", "nan", "'end' is no time in seconds"),
    ]
    cures = {problem.cure for problem in caught.value.problems}
    assert all("seconds from the start of the file, as 62.5" in cure for cure in cures)
    assert any("--columns end_time=" in cure for cure in cures)


def test_a_segment_beyond_the_end_of_its_file_is_found_when_audio_is_checked(
    tmp_path, song
):
    table = write(tmp_path, {"file": ["song.wav"] * 2, "start": [1, 8], "end": [2, 13]})
    clips = read_clips(table, labels=False)
    sounds = probe_clips(clips)
    (unreadable,) = sounds.unreadable
    assert unreadable.clip_id == "song#8-13"
    assert "is not in the file, which ends at 12.000 s" in unreadable.reason


def test_overlapping_segments_in_two_splits_are_a_finding(tmp_path):
    noise = 0.1 * np.random.default_rng(0).standard_normal(12 * RATE)
    soundfile.write(tmp_path / "noise.wav", noise, RATE)
    columns = {
        "file": ["noise.wav"] * 3,
        "start": [0, 3.5, 8],
        "end": [4, 8, 12],
        "split": ["train", "test", "test"],
        "mos": [1, 2, 3],
    }
    clips = read_clips(write(tmp_path, columns))
    found = {one.kind: one for one in inspect_clips(clips)}
    assert found["audio_across_splits"].examples == ("noise#0-4", "noise#3.5-8")
    assert "with 0.5 s in common" in found["audio_across_splits"].message
    columns["start"][1] = 4
    clips = read_clips(write(tmp_path, columns))
    assert "audio_across_splits" not in {one.kind for one in inspect_clips(clips)}


def test_segments_of_audio_in_the_table_itself_are_read(tmp_path, song):
    cell = {"bytes": song.read_bytes(), "path": "song.wav"}
    columns = {"audio": [cell] * 2, "start": [1.0, 3.0], "end": [2.0, 5.0]}
    path = tmp_path / "clips.parquet"
    pq.write_table(pa.table(columns), path)
    clips = read_clips(path, labels=False)
    assert clips["clip_id"].tolist() == ["song#1-2", "song#3-5"]
    assert clips["audio"].tolist() == [f"{path}#0#t=1,2", f"{path}#1#t=3,5"]
    np.testing.assert_array_equal(
        load_audio(clips["audio"][1], RATE), load_audio(f"{song}#t=3,5", RATE)
    )


def test_times_are_no_ratings_though_they_lie_on_the_scale(tmp_path, song):
    columns = {"file": ["song.wav"] * 2, "onset": [1, 2], "offset": [3, 4]}
    assert read_clips(write(tmp_path, columns)).attrs["aspects"] == []
    columns["groove"] = [3, 4]
    assert read_clips(write(tmp_path, columns)).attrs["aspects"] == ["groove"]


def test_a_cleaned_table_is_read_as_the_same_segments(tmp_path, song):
    table = write(
        tmp_path,
        {"file": ["song"] * 2, "Start (s)": [1, 5], "End (s)": [2, 7], "mos": [1, 2]},
    )
    rows = collect_clips(table)
    cleaned = tmp_path / "cleaned.csv"
    write_cleaned_table(cleaned, rows)
    again = read_clips(cleaned)
    assert parts(again) == parts(rows.clips) == [(1, 2), (5, 7)]
    assert again["clip_id"].tolist() == rows.clips["clip_id"].tolist()
    assert [content_hash(audio) for audio in again["audio"]] == [
        content_hash(audio) for audio in rows.clips["audio"]
    ]

    # Whoever then changes the times in one place is told of the other.
    frame = pd.read_csv(cleaned)
    frame["Start (s)"] += 0.5
    frame.to_csv(cleaned, index=False)
    with pytest.raises(TableProblems, match="the path has other times"):
        read_clips(cleaned)


@settings(max_examples=25, deadline=None)
@given(
    times=st.lists(
        st.tuples(st.floats(0, 1e4), st.floats(1e-3, 1e4)),
        min_size=1,
        max_size=8,
        unique_by=lambda pair: pair[0],
    )
)
def test_any_times_come_back_as_they_were_written(tmp_path_factory, times):
    folder = tmp_path_factory.mktemp("times")
    wanted = [(start, start + length) for start, length in times]
    wanted = [pair for pair in wanted if pair[0] < pair[1]]
    columns = {
        "file": ["a.wav"] * len(wanted),
        "start": [repr(start) for start, _ in wanted],
        "end": [repr(end) for _, end in wanted],
    }
    clips = read_clips(write(folder, columns), labels=False)
    assert parts(clips) == wanted
