"""Laws of problems: all of a table at once, each with its place and the cure."""

import json

import pytest

from base_models.clips.problems import (
    Problem,
    Problems,
    TableProblems,
    write_problems,
)
from base_models.errors import UsageError

CURE = "Write numbers with a decimal point."


def off_scale(line, value="9", file="t.csv"):
    return Problem(file, line, "mi", value, "mi is no number in 1..5", CURE)


def raised(*problems, n_rows=104):
    collected = Problems(n_rows)
    for row, problem in enumerate(problems):
        collected.add(row, problem)
    with pytest.raises(TableProblems) as caught:
        collected.raise_if_any()
    return caught.value


def test_no_problem_is_no_error():
    Problems(3).raise_if_any()


def test_one_problem_is_one_line_with_place_and_cure():
    error = raised(Problem("t.csv", 4, "mi", "9", "is off", CURE, message="mi is '9'"))
    assert str(error) == f"t.csv, line 4: mi is '9'. {CURE}"
    assert isinstance(error, UsageError)
    assert error.exit_code == 3


def test_problems_of_a_kind_are_counted_and_their_cure_is_said_once():
    split = Problem("t.csv", 7, "split", "x", "the split is unknown", "Legal: train.")
    error = raised(off_scale(2), off_scale(3, "10"), split)
    assert str(error) == (
        "t.csv: 2 of 104 rows: mi is no number in 1..5 (first in line 2: '9'). "
        f"{CURE} 1 of 104 rows: the split is unknown (first in line 7: 'x'). "
        "Legal: train."
    )
    assert error.lines() == [
        f"2 of 104 rows: mi is no number in 1..5. {CURE}",
        "  line 2: '9'",
        "  line 3: '10'",
        "1 of 104 rows: the split is unknown. Legal: train.",
        "  line 7: 'x'",
    ]


def test_a_screen_has_the_first_and_every_kind():
    other = Problem("t.csv", 99, "split", "x", "the split is unknown")
    error = raised(*(off_scale(line) for line in range(2, 50)), other)
    lines = error.lines(limit=5)
    assert [line for line in lines if line.startswith("  ")] == [
        f"  line {line}: '9'" for line in range(2, 6)
    ] + ["  line 99: 'x'"]
    assert lines[-2] == "1 of 104 rows: the split is unknown"


def test_problems_of_several_files_say_which():
    error = raised(off_scale(2), off_scale(2, file="u.csv"))
    assert error.lines()[1:] == ["  t.csv, line 2: '9'", "  u.csv, line 2: '9'"]
    assert "(first in t.csv, line 2: '9')" in str(error)


def test_a_message_of_many_kinds_is_cut_to_a_line():
    kinds = [Problem("t.csv", n, f"c{n}", "x" * 50, f"c{n} is odd") for n in range(99)]
    assert len(str(raised(*kinds))) <= 500


def test_a_file_of_problems_has_a_line_for_each(tmp_path):
    path = tmp_path / "problems.jsonl"
    write_problems(path, [off_scale(2, "3,5"), off_scale(3, "ü")])
    first, second = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    assert first == {
        "file": "t.csv",
        "line": 2,
        "column": "mi",
        "value": "3,5",
        "problem": "mi is no number in 1..5",
        "cure": CURE,
    }
    assert second["value"] == "ü"
    write_problems(path, [])
    assert path.read_bytes() == b""


def test_problems_of_two_tables_are_one_list_that_counts_the_rows_of_both():
    clips = Problems(10)
    clips.add(0, off_scale(2))
    error = raised(off_scale(3, file="ratings.csv")).after(clips)
    assert [one.file for one in error.problems] == ["t.csv", "ratings.csv"]
    assert error.n_rows == 114
    # A row that both readers name is named once.
    same = raised(off_scale(2)).after(clips)
    assert (len(same.problems), same.n_rows) == (1, 104)
