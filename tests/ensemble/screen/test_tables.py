"""Tables on screens of any width: whole numbers, legible names, nothing unsaid."""

from __future__ import annotations

import io
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from base_models.errors import in_the_middle
from ensemble.screen import streams
from ensemble.screen.literal import literal
from ensemble.screen.screen import Screen
from ensemble.screen.tables import LiteralTable

WORDS = st.text(
    st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs", "Cc", "Cf")),
    max_size=40,
)
NUMBERS = st.floats(-99, 99).map(lambda value: f"{value:.3f} [{value:.2f}, 9.99]")


def shown(table, width):
    file = io.StringIO()
    Screen(file=file, width=width).print(table)
    return file.getvalue()


@given(
    st.lists(st.tuples(WORDS, NUMBERS, NUMBERS, NUMBERS), min_size=1, max_size=5),
    st.integers(20, 150),
)
def test_no_number_is_cut_and_what_is_left_out_is_named(rows, width):
    table = LiteralTable(title="numbers", importance=("third",), elsewhere="ask me")
    table.add_column("name", overflow="fold")
    for name in ("first", "second", "third"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    text = shown(table, width)

    in_one_line = " ".join(text.split())
    for number, header in enumerate(("first", "second", "third"), start=1):
        cells = [row[number] for row in rows]
        if header in in_one_line.partition("not shown")[0]:
            assert all(cell in text for cell in cells)
        else:
            assert f"{header}" in in_one_line.partition("not shown")[2]
    # The most important one is never left out.
    assert all(row[3] in text for row in rows)
    assert not [
        char for char in text.replace("\n", "") if unicodedata.category(char) == "Cc"
    ]


@given(WORDS)
def test_a_text_is_one_line_that_acts_on_nothing(text):
    made = literal(text)
    assert literal(made) == made
    assert len(made.splitlines()) <= 1
    assert "\x1b" not in made
    if text.isprintable():
        assert made == text


@given(WORDS, st.integers(1, 30))
def test_a_text_is_cut_to_a_length_and_keeps_both_ends(text, longest):
    made = in_the_middle(text, longest)
    assert len(made) <= longest or made == text
    if len(text) <= longest:
        assert made == text
    elif longest > 2:
        assert (made[0], made[-1]) == (text[0], text[-1])


def test_lone_surrogates_are_written_out():
    assert literal("a\udcffb") == r"a\udcffb"


def test_names_that_would_be_the_same_when_cut_are_wrapped_instead():
    names = [f"laboratory_{k}_of_music_generation" for k in range(2)]
    table = LiteralTable()
    table.add_column("name", overflow="fold")
    table.add_column("score", no_wrap=True)
    for name in names:
        table.add_row(name, "3.141592653589793 [3.1, 3.2]")
    text = shown(table, 44)
    assert "…" not in text
    lines = [line.split("│")[1] for line in text.splitlines() if line[0] == "│"]
    assert "".join(line.strip() for line in lines) == "".join(names)


def test_columns_that_belong_together_stay_or_go_as_one():
    table = LiteralTable(together=2, importance=("SRCC paper",))
    for name in ("", "MSE paper", "ours", "SRCC paper", "ours"):
        table.add_column(name, no_wrap=True)
    table.add_row("row", *["0.123 [0.10, 0.15]"] * 4)
    text = shown(table, 60)
    assert "SRCC paper" in text.partition("not shown")[0]
    assert "not shown at this width: MSE paper, ours" in " ".join(text.split())


def test_sections_styles_and_captions_outlive_folding():
    table = LiteralTable(title="title", caption=Text("caption"))
    for name in ("name", "one", "two"):
        table.add_column(name, no_wrap=name != "name")
    table.add_row("a", "1" * 30, "2" * 30, style="bold")
    table.add_section()
    table.add_row("b", "3" * 30, "4" * 30)
    text = shown(table, 50)
    assert text.count("├") == 1
    assert "caption" in text
    assert "title" in text


@pytest.mark.parametrize("columns", [None, "60"])
def test_what_is_piped_is_not_folded_unless_a_width_is_named(monkeypatch, columns):
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns:
        monkeypatch.setenv("COLUMNS", columns)
    assert Screen(file=io.StringIO()).width == (240 if columns is None else 60)


def test_the_screen_is_standard_error_while_standard_output_is_taken(capsys):
    streams.take_stdout(True)
    try:
        Screen().print("a table")
        streams.put_line("a folder")
        streams.put_bytes(b"the file")
    finally:
        streams.take_stdout(False)
    out, err = capsys.readouterr()
    assert out == "the file"
    assert err.split("\n")[:2] == ["a table", "a folder"]


def test_a_title_is_as_wide_as_the_screen_and_not_as_its_table():
    table = LiteralTable(
        title="60 clips, 6 systems, 10 prompts", caption="as it is now"
    )
    table.add_column("a")
    table.add_row("b")
    lines = shown(table, 80).splitlines()
    assert lines[0] == "60 clips, 6 systems, 10 prompts"
    assert lines[-1] == "as it is now"
    # On a screen that is narrower than the title it wraps at words.
    assert shown(table, 24).splitlines()[:2] == ["60 clips, 6 systems, 10", "prompts"]


def test_a_percent_sign_stays_with_its_number(monkeypatch):
    monkeypatch.setenv("COLUMNS", "24")
    file = io.StringIO()
    Screen(file=file, width=24).paragraph("- splits: train 50 (83.3 %), dev 0 (0.0 %)")
    assert file.getvalue().splitlines() == [
        "- splits: train 50",
        "(83.3 %), dev 0 (0.0 %)",
    ]


def test_a_note_is_broken_at_words_on_a_terminal_alone(monkeypatch, capsys):
    note = "note: clip-with-a-long-name_1.wav " * 5
    streams.write_notes(note)
    assert capsys.readouterr().err == f"{note}\n"
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "40")
    streams.write_notes(note)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 5
    assert all(len(line) <= 40 for line in lines)


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("S000\u200b", r"S000\u200b"),
        ("a\u00adb", r"a\xadb"),
        ("tag\U000e0041", r"tag\U000e0041"),
        ("blank\u3164", r"blank\u3164"),
        ("a\u202eb", r"a\u202eb"),
        ("a\x1b[41mb", r"a\x1b[41mb"),
    ],
)
def test_what_cannot_be_seen_is_written_out_in_tables_titles_and_sentences(name, seen):
    assert literal(name) == seen
    file = io.StringIO()
    screen = Screen(file=file, width=80)
    table = LiteralTable(title=f"of {name}", caption=f"below {name}")
    table.add_column("name")
    table.add_row(name)
    screen.print(table)
    screen.paragraph(f"first line\nof {name}")
    screen.print(f"said of {name}")
    screen.print(Text(f"as text {name}"))
    text = file.getvalue()
    assert text.count(seen) == 6
    assert all(char == "\n" or char.isprintable() for char in text)
