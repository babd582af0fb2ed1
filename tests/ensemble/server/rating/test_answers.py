"""Answers of browsers are believed only as far as they can be checked."""

import json

import pytest
from listening_pages import answer_to, design

from base_models.errors import UsageError
from ensemble.server.rating.answers import rater_code, read_answer

GOOD = {
    "clip": "0123456789abcdef",
    "submission": "0" * 32,
    "status": "rated",
    "ratings": {"mi": 4, "ta": 2.0},
    "plays": 2,
    "listened_seconds": 3.5,
    "answer_seconds": 7.25,
}


def test_what_the_page_sends_is_read():
    answer = read_answer(json.dumps(GOOD).encode())
    assert answer.ratings == {"mi": 4.0, "ta": 2.0}
    assert (answer.plays, answer.listened_seconds) == (2, 3.5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"clip": 7}, "clip of an answer"),
        ({"clip": "x" * 65}, "clip of an answer"),
        ({"clip": "\ud800"}, "clip of an answer"),
        ({"submission": "1"}, "32 hexadecimal digits"),
        ({"submission": None}, "32 hexadecimal digits"),
        ({"status": "good"}, "one of rated, cannot_judge, broken"),
        ({"ratings": [4, 2]}, "numbers by aspect"),
        ({"ratings": {"mi": "4"}}, "is a number; got '4'"),
        ({"ratings": {"mi": True}}, "is a number; got 'True'"),
        ({"ratings": {"mi": None}}, "is a number"),
        ({"ratings": {"mi": 10**400}}, "is a number"),
        ({"plays": -1}, "plays lies between"),
        ({"plays": 10**9}, "plays lies between"),
        ({"listened_seconds": "all"}, "listened_seconds is a number"),
        ({"rater": "bob"}, "has the fields"),
    ],
)
def test_what_no_page_sends_is_refused(change, message):
    with pytest.raises(UsageError, match=message):
        read_answer(json.dumps({**GOOD, **change}).encode())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b"\xff",
        b'{"a": NaN}',
        b"[" * 10_000,
        b'{"clip": 1, "clip": 2}',
    ],
)
def test_what_is_no_json_object_is_refused(body):
    with pytest.raises(UsageError, match="answer"):
        read_answer(body)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (answer_to("a", {"mi": 7.0, "ta": 2.0}), r"mi: 7 is no rating on 1\.\.5"),
        (answer_to("a", {"mi": 4.5, "ta": 2.0}), "in steps of 1"),
        (answer_to("a", {"mi": 4.0}), "rated for 'mi', 'ta', and for nothing else"),
        (answer_to("a", {"mi": 4.0, "ta": 1.0, "x": 1.0}), "for nothing else"),
        (answer_to("a", listened_seconds=0.0), "Listen first: 0.0 s of 2.0 s"),
        (answer_to("a", status="broken"), "is broken has no ratings"),
    ],
)
def test_an_answer_that_does_not_fit_the_clip_is_refused(answer, message):
    with pytest.raises(UsageError, match=message):
        answer.check(design(), "slow piano", needed_seconds=2.0)


def test_without_a_prompt_only_the_sound_is_rated():
    answer_to("a", {"mi": 4.0}, listened_seconds=2.0).check(
        design(), "", needed_seconds=2.0
    )


def test_a_clip_that_does_not_play_need_not_be_heard():
    answer = answer_to("a", {}, status="broken", listened_seconds=0.0)
    answer.check(design(), "slow piano", needed_seconds=2.0)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("anna", "anna"),
        ("  Anna \t B. ", "Anna B."),
        ("\uff21nna", "Anna"),
        ("Zoë", "Zoë"),
        ("小明", "小明"),
        ("x'); DROP TABLE ratings;--", "x'); DROP TABLE ratings;--"),
    ],
)
def test_a_name_is_kept_as_it_is_typed(text, code):
    assert rater_code(text) == code


@pytest.mark.parametrize(
    "text",
    ["", "   ", "x" * 65, "=1+1", "-1", "@x", "+x", "a\x00b", "a\u202eb", "\ud800"],
)
def test_what_is_no_name_is_refused(text):
    with pytest.raises(UsageError, match="name"):
        rater_code(text)
