"""All that the challenge would not take of an answer is named at once."""

import io
import zipfile

import numpy as np
import pandas as pd
import pytest

from base_models.errors import UsageError
from ensemble.formats import Scores, encode_scores
from ensemble.scoring.challenge_answer import (
    answer_problems,
    check_answer_file,
    read_eval_list,
)

LISTED = ["a", "b", "c"]


def zipped(name="answer.txt", text="a,1,2\nb,3,4\nc,5,1.5\n", **others):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, text)
        for other, content in others.items():
            archive.writestr(other, content)
    return buffer.getvalue()


def test_a_whole_answer_has_no_problem(tmp_path):
    (tmp_path / "eval_list.txt").write_text("a\nb.wav\nc,ignored\n")
    (tmp_path / "any.zip").write_bytes(zipped())
    assert check_answer_file(tmp_path / "any.zip", tmp_path / "eval_list.txt") == []


def test_everything_wrong_is_named_at_once():
    text = "clip_id,mi,ta\na.wav,1,2\nb,nan,4\nb,3,9\nx,1,2\ny,1\n"
    assert answer_problems(text.encode(), is_zip=False, listed=LISTED) == [
        "2 lines are not id,MI,TA (line '1', '6')",
        "1 clip is written with .wav ('a.wav')",
        "1 clip is without a number for each score ('b')",
        "1 clip is with a score outside 1..5 ('b')",
        "1 clip is missing, though the list has them ('c')",
        "1 clip is not in the list ('x')",
        "1 clip is there more than once ('b')",
    ]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (zipped("answer_track1.txt"), r"holds no answer\.txt at its root"),
        (zipped("sub/answer.txt"), r"holds no answer\.txt at its root"),
        (zipped(notes="x"), "holds more: 'notes'"),
        (zipped()[:40], "no whole zip"),
        (zipped(text="\ufeffa,1,2\nb,1,2\nc,1,2\n"), "byte order mark"),
        (zipped(text=""), "empty"),
    ],
    # The bytes of an archive hold the time at which it was made.
    ids=["other-name", "in-a-folder", "more-files", "cut", "mark", "empty"],
)
def test_what_is_wrong_with_the_file_is_named(data, problem):
    (found,) = answer_problems(data, is_zip=True, listed=LISTED)
    assert pd.Series([found]).str.contains(problem).all()


def test_a_txt_of_another_name_is_told_the_name_it_needs(tmp_path):
    (tmp_path / "list").write_text("a\n")
    (tmp_path / "scores.txt").write_text("a,1,2\n")
    (found,) = check_answer_file(tmp_path / "scores.txt", tmp_path / "list")
    assert "to be called answer.txt, not scores.txt" in found


@pytest.mark.parametrize(
    ("text", "message"), [("", "lists no clips"), ("a\na\n", "'a' more than once")]
)
def test_a_list_that_is_none_is_refused(tmp_path, text, message):
    (tmp_path / "list").write_text(text)
    with pytest.raises(UsageError, match=message):
        read_eval_list(tmp_path / "list")


def test_written_scores_are_an_answer_and_equal_scores_are_equal_bytes():
    frame = pd.DataFrame(
        {
            "clip_id": ["c.wav", "a", "b", "bad"],
            "status": ["ok", "ok", "ok", "missing"],
            "mi": [1.0, 2.5, 5.0, np.nan],
            "ta": [1.0, 2.5, 5.0, np.nan],
        }
    )
    scores = Scores(frame, ("mi", "ta"), left_out=(), set_aside=())
    data = encode_scores(scores, "answer.zip")
    assert data == encode_scores(scores, "answer.zip")
    assert answer_problems(data, is_zip=True, listed=LISTED) == []
