"""Laws of columns: each is known by its name or by its user, and what is taken is said.

A choice between two columns is made by a rule or by the user, never by chance.
"""

import pytest
from builders import write_file

from base_models.clips.listening_tests.rating_options import RatingOptions
from base_models.clips.problems import TableProblems
from base_models.clips.read_clips import read_clips
from base_models.clips.rows.reading import Reading
from base_models.errors import UsageError


def table(folder, text, name="t.csv"):
    return write_file(folder / name, text)


def options(**said):
    return RatingOptions(reading=Reading.parse(**said))


@pytest.mark.parametrize(
    "header",
    [
        "File name,Prompt,Model version,Rating (1-5)",
        "FILENAME,prompt text,MODEL,rating",
        "file-name,Text Prompt,Model_Name,Rating [1..5]",
        "Audio File,Caption,SysID,Rating 1-5",
        "*wav path*,Text,generator,Rating (1 = bad; 5 = excellent)",
    ],
)
def test_a_sheet_is_read_whatever_its_columns_are_called(tmp_path, header):
    clips = read_clips(table(tmp_path, f"{header}\nx/a.wav,sad piano,NA,3\n"))
    (clip,) = clips.to_dict("records")
    assert clip["clip_id"] == "a"
    assert (clip["system_id"], clip["prompt"]) == ("NA", "sad piano")
    (aspect,) = clips.attrs["aspects"]
    assert (aspect.lower(), clip[aspect]) == ("rating", 3.0)
    (note,) = clips.attrs["notes"]
    names = header.split(",")
    assert note.startswith("columns: ")
    assert all(f"from '{name}'" in note for name in names)


def test_what_is_ignored_is_said_and_bookkeeping_is_not_asked_about(tmp_path):
    path = table(tmp_path, "clip_id,mi,version,len_in_sec\na,3,v1,2.5\n")
    (note,) = read_clips(path).attrs["notes"]
    assert note == (
        "columns: id from 'clip_id', mi from 'mi'; ignored: 'version', 'len_in_sec'; "
        "no column names the systems (--columns system=NAME)"
    )
    path = table(tmp_path, "clip_id,system_id,mi,mi_std,fold\na,s,3,1,2\n")
    assert "notes" not in read_clips(path).attrs


def test_ratings_are_not_called_ignored_where_none_is_asked_for(tmp_path):
    path = table(tmp_path, "clip_id,system_id,mos\na,s,3\n")
    assert "notes" not in read_clips(path, labels=False).attrs


@pytest.mark.parametrize(
    ("header", "cells", "expected"),
    [
        ("clip_id,id,mi", "a,b,3", {"clip_id": "a"}),
        ("audio,path,mi", "a.wav,b.wav,3", {"clip_id": "a"}),
        ("id,system,model,mi", "a,s,m,3", {"system_id": "s"}),
        ("audio,song_id,mi", "a.wav,7,3", {"clip_id": "a"}),
        ("file,path,mi", "a.wav,a.wav,3", {"clip_id": "a"}),
    ],
)
def test_of_two_columns_the_plainer_name_wins(tmp_path, header, cells, expected):
    (clip,) = read_clips(table(tmp_path, f"{header}\n{cells}\n")).to_dict("records")
    assert {name: clip[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("header", "cure"),
    [
        ("file,path,mi", "--columns audio='file'"),
        ("id,model,generator,mi", "--columns system='model'"),
    ],
)
def test_a_choice_that_no_rule_decides_is_the_users(tmp_path, header, cure):
    cells = ",".join(f"x{k}" for k in range(header.count(",")))
    path = table(tmp_path, f"{header}\n{cells},3\n")
    with pytest.raises(UsageError, match=f"both mean .*{cure}"):
        read_clips(path)


def test_the_user_says_what_is_what(tmp_path):
    path = table(tmp_path, "what,who,path,audio,points\na.wav,s,b.wav,c.wav,3\n")
    said = {"audio": "what", "system": "WHO", "mi": "Points"}
    (clip,) = read_clips(path, columns=said).to_dict("records")
    assert (clip["clip_id"], clip["system_id"], clip["mi"]) == ("a", "s", 3.0)


def test_the_user_says_that_nothing_is_what_it_looks_like(tmp_path):
    path = table(tmp_path, "id,set,mi\na,blue,3\nb,red,4\n")
    with pytest.raises(TableProblems, match="--columns split="):
        read_clips(path)
    clips = read_clips(path, options=options(columns=["split="]))
    assert clips["split"].tolist() == ["", ""]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["audio"], "takes MEANING=COLUMN"),
        (["=x"], "takes MEANING=COLUMN"),
        (["audio=file", "audio=path"], "names 'audio' twice"),
        (["id=file", "clip_id=path"], "names 'clip_id' twice"),
        (["audio=file", "mi=file"], "'file' as audio and as mi"),
        (["mi="], "no column for 'mi'"),
        (["sytem=model"], "did you mean 'system'"),
    ],
)
def test_words_that_say_nothing_are_refused(words, message):
    with pytest.raises(UsageError, match=message):
        Reading.parse(words)


def test_a_column_that_there_is_not_is_refused_with_the_nearest(tmp_path):
    path = table(tmp_path, "File name,model,mi\na.wav,s,3\n")
    with pytest.raises(UsageError, match=r"'modle'\. Did you mean 'model'"):
        read_clips(path, columns={"system": "modle"})
    with pytest.raises(UsageError, match=r"no rated columns 'mo'; .* mean 'mi'"):
        read_clips(path, columns={"mos": "mo"})


def test_a_folder_that_is_none_is_no_root(tmp_path):
    with pytest.raises(UsageError, match="--audio-root takes a folder"):
        Reading.parse(audio_root=str(tmp_path / "none"))


def test_what_is_said_of_a_table_goes_through_json(tmp_path):
    said = options(
        columns=["system=model", "mi=x"],
        missing_codes=["-1"],
        audio_root=str(tmp_path),
    )
    assert RatingOptions.of_attributes({"rating_options": said.to_json()}) == said


def test_a_column_that_one_word_keeps_from_being_a_rating_is_named(tmp_path):
    cells = [f"c{k},{k % 5 + 1},{k % 4 + 1}" for k in range(8)]
    cells[3] = "c3,4,x"
    path = table(tmp_path, "\n".join(["id,m1,m2", *cells]) + "\n")
    clips = read_clips(path)
    assert clips.attrs["aspects"] == ["m1"]
    assert any(
        note.startswith("column 'm2' is no rating, for line 5 has 'x'")
        for note in clips.attrs["notes"]
    )


# ---- scales in names


def test_a_scale_in_the_name_of_a_column_is_declared_and_said(tmp_path):
    path = table(tmp_path, "id,system,Rating (0-100)\na,s,80\nb,s,20\n")
    clips = read_clips(path)
    assert clips.attrs["scales"] == {"Rating": [0.0, 100.0]}
    assert clips["Rating"].tolist() == [80.0, 20.0]
    assert "the scale of 'Rating' is 0..100, as its column says" in clips.attrs["notes"]


def test_the_users_scale_wins_over_that_of_the_name(tmp_path):
    path = table(tmp_path, "id,system,Rating (0-100)\na,s,3\nb,s,5\n")
    clips = read_clips(path, scales=(1, 10))
    assert clips.attrs["scales"] == {"Rating": [1.0, 10.0]}
    assert any("it is read on 1..10, as named" in x for x in clips.attrs["notes"])


@pytest.mark.parametrize("other", ["mi", "quality"])
def test_a_rating_that_may_stand_twice_is_named(tmp_path, other):
    path = table(tmp_path, f"id,system,Rating (1-5),{other}\na,s,3,2\n")
    clips = read_clips(path)
    assert clips.attrs["aspects"] == ["Rating", other]
    (note,) = clips.attrs["notes"]
    assert (
        "aspects of their own: where they are one rating, name it with --aspects"
        in note
    )


# ---- missing values


@pytest.mark.parametrize("code", ["-1", "NA", "n/a", "-", "null", "None"])
def test_a_word_for_a_missing_rating_is_said_with_the_cure(tmp_path, code):
    path = table(tmp_path, f"id,system,prompt,mi\na,NA,x,3\nNA,s,NA,{code}\n")
    with pytest.raises(TableProblems, match=f"--missing-code {code}$"):
        read_clips(path)
    clips = read_clips(path, options=options(missing_codes=[code.lower()]))
    assert clips["mi"].notna().tolist() == [True, False]
    # Of ids and systems it is never taken away.
    assert clips["clip_id"].tolist() == ["a", "NA"]
    assert clips["system_id"].tolist() == ["NA", "s"]
    assert clips["prompt"].tolist() == ["x", "" if code == "NA" else "NA"]


def test_codes_are_those_of_single_ratings_too(tmp_path):
    rows = ["song_id,rater,mi", "a,r1,3", "a,r2,-1", "b,r1,-1", "b,r2,5", "NA,r1,4"]
    path = table(tmp_path, "\n".join(rows) + "\n")
    clips = read_clips(path, options=options(missing_codes=["-1", "NA"]))
    assert clips.set_index("clip_id")["mi"].to_dict() == {"a": 3, "b": 5, "NA": 4}
