"""The law of a cleaned table: it is read without a word, and says the same."""

import string

import numpy as np
import pytest
from builders import write_file
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from base_models.clips.read_clips import collect_clips, read_clips
from base_models.clips.rows.cleaned_table import write_cleaned_table
from base_models.errors import UsageError

SHEET = (
    "File name,Prompt,Model version,Rating (1-5),Comment,Version,fold\n"
    "songs\\a.wav,sad piano,NA,3.50,fine,x,1\n"
    "songs\\b.wav,,v1,9,odd,y,2\n"
    "songs\\c.wav,drums,v1,4,,z,2\n"
)


@pytest.fixture
def sheet(tmp_path):
    for name in ("a", "b", "c"):
        write_file(tmp_path / "songs" / f"{name}.wav", b"RIFF")
    return write_file(tmp_path / "sheet.csv", SHEET)


def test_a_cleaned_table_has_standard_names_and_paths_from_where_it_lies(
    sheet, tmp_path
):
    out = tmp_path / "new" / "clean.csv"
    made = write_cleaned_table(out, collect_clips(sheet))
    assert out.read_text().splitlines() == [
        "clip_id,system_id,prompt,audio,Rating,Comment,fold",
        "a,NA,sad piano,../songs/a.wav,3.5,fine,1",
        "c,v1,drums,../songs/c.wav,4.0,,2",
    ]
    assert (made.n_rows, made.columns_left_out) == (2, ("Version",))
    clips = read_clips(out)
    assert "notes" not in clips.attrs
    assert clips["Rating"].tolist() == [3.5, 4.0]


def test_clips_without_audio_are_left_out_and_named(sheet, tmp_path):
    made = write_cleaned_table(tmp_path / "x.csv", collect_clips(sheet), ["c"])
    assert made.left_out == ("c",)
    assert read_clips(tmp_path / "x.csv")["clip_id"].tolist() == ["a"]
    with pytest.raises(UsageError, match="No row is left"):
        write_cleaned_table(tmp_path / "x.csv", collect_clips(sheet), ["a", "c"])


def test_another_scale_stays_in_the_name_of_its_column(tmp_path):
    path = write_file(tmp_path / "t.csv", "id,system,mi\na,s,80\nb,s,20\n")
    write_cleaned_table(tmp_path / "x.csv", collect_clips(path, scales=(0, 100)))
    clips = read_clips(tmp_path / "x.csv")
    assert clips["mi"].tolist() == [80.0, 20.0]
    assert clips.attrs["scales"] == {"mi": [0.0, 100.0]}


def test_line_breaks_in_prompts_are_counted(tmp_path):
    path = write_file(tmp_path / "t.jsonl", '{"id": "a", "prompt": "x\\n y", "mi": 3}')
    made = write_cleaned_table(tmp_path / "x.csv", collect_clips(path))
    assert made.n_joined == 1
    assert read_clips(tmp_path / "x.csv")["prompt"].tolist() == ["x y"]


WORDS = st.text(string.ascii_letters + string.digits + ' ,;"é', min_size=1, max_size=8)


@given(
    st.lists(
        st.tuples(
            WORDS.map(str.strip).filter(bool),
            WORDS.map(str.strip),
            WORDS,
            st.none() | st.floats(1, 5),
        ),
        min_size=1,
        max_size=8,
        unique_by=lambda row: row[0],
    )
)
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_whatever_is_read_is_read_again_without_a_word(tmp_path, rows):
    lines = ["SONG_ID;Model;Caption;MOS (1-5)".replace(";", "\t")]
    for clip, system, prompt, mos in rows:
        quoted = ['"{}"'.format(x.replace('"', '""')) for x in (clip, system, prompt)]
        lines.append("\t".join([*quoted, "" if mos is None else repr(mos)]))
    path = write_file(tmp_path / "t.tsv", "\n".join(lines) + "\n")
    first = collect_clips(path)
    write_cleaned_table(tmp_path / "clean.csv", first)
    again = read_clips(tmp_path / "clean.csv")
    # A table without a name of a system, or any label, has no such column.
    columns = ["clip_id", "system_id", "prompt"]
    assert again[columns].equals(first.clips[columns])
    if first.clips["MOS"].notna().any():
        assert "notes" not in again.attrs
        np.testing.assert_array_equal(again["MOS"], first.clips["MOS"])
