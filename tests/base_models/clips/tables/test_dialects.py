"""A clean table is read back equal, whichever dialect it was written in."""

import csv
import io
import re

from hypothesis import given, settings
from hypothesis import strategies as st

from base_models.clips.tables.read_table import read_table

# Five letters in a row that are not ASCII are taken for another script.
IDS = st.text("abcXYZ019_.äé-", min_size=1, max_size=8).filter(
    lambda text: re.search("[äé]{5}", text) is None
)
ODD_IDS = st.sampled_from(["007", "1e5", "NA", "TRUE", "1,5", "#3", "0x1f", "12", "-1"])
WORDS = st.sampled_from(
    [
        "sad",
        "1,5",
        "piano, slow",
        'a "loud" one',
        "rain; wind",
        "tab\there",
        "a|b",
        "#chill",
        "Größe",
        "3.5",
        "two\nlines",
        "'quoted'",
        "\\",
        "",
    ]
)
PROMPTS = st.lists(WORDS, max_size=4).map(" ".join)
SCORES = st.decimals(1, 5, places=2).map(str)
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"]


@st.composite
def tables(draw):
    """Columns of one clean table."""
    n_rows = draw(st.integers(1, 6))

    def column(cells):
        return draw(st.lists(cells, min_size=n_rows, max_size=n_rows))

    ids = st.lists(IDS | ODD_IDS, min_size=n_rows, max_size=n_rows, unique=True)
    return {
        "clip_id": draw(ids),
        "prompt": column(PROMPTS),
        "system": column(st.sampled_from(["v1", "NA", "1,5", "06", ""])),
        "mos": column(SCORES),
        "groove": column(SCORES | st.just("")),
    }


@st.composite
def dialects(draw):
    """How a table is written."""
    return {
        "separator": draw(st.sampled_from([",", ";", "\t", "|"])),
        "encoding": draw(st.sampled_from(ENCODINGS)),
        "line_end": draw(st.sampled_from(["\n", "\r\n", "\r"])),
        "quoting": draw(
            st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
        ),
        "has_commas": draw(st.booleans()),
        "blank_rows": draw(st.lists(st.integers(0, 7), max_size=2)),
        "n_void": draw(st.integers(0, 2)),
        "index": draw(st.sampled_from([None, "", "Unnamed: 0"])),
        "suffix": draw(st.sampled_from([".csv", ".tsv", ".txt"])),
        "declares": draw(st.booleans()),
    }


def written(columns, dialect):
    """The bytes of a table, and the number of the line on which each row begins."""
    rows = [list(columns), *map(list, zip(*columns.values(), strict=True))]
    if dialect["has_commas"]:
        for row in rows[1:]:
            row[3:] = [cell.replace(".", ",") for cell in row[3:]]
    if dialect["index"] is not None:
        for number, row in enumerate(rows):
            row.insert(0, str(number - 1) if number else dialect["index"])
    rows = [row + [""] * dialect["n_void"] for row in rows]

    text = io.StringIO()
    writer = csv.writer(
        text,
        delimiter=dialect["separator"],
        quoting=dialect["quoting"],
        lineterminator=dialect["line_end"],
    )
    if dialect["declares"]:
        text.write(f"sep={dialect['separator']}{dialect['line_end']}")
    lines = []
    for number, row in enumerate(rows):
        if number in dialect["blank_rows"]:
            writer.writerow([""] * len(row))
        before = text.getvalue()
        # Line breaks within prompts are those of the system, too.
        n_lines = len(before.replace("\r\n", "\n").replace("\r", "\n").split("\n"))
        lines.append(n_lines)
        writer.writerow(row)
    return text.getvalue().encode(dialect["encoding"]), lines[1:]


@settings(max_examples=300, deadline=None)
@given(columns=tables(), dialect=dialects())
def test_a_clean_table_is_read_back_equal_whatever_its_dialect(
    tmp_path_factory, columns, dialect
):
    path = tmp_path_factory.mktemp("t") / f"t{dialect['suffix']}"
    # The csv module leaves "\n" without quotes where "\r" ends a line.
    if dialect["line_end"] == "\r":
        columns["prompt"] = [cell.replace("\n", " ") for cell in columns["prompt"]]
    data, lines = written(columns, dialect)
    path.write_bytes(data)
    table = read_table(path)
    assert table.columns == columns
    assert [number for _, number in table.locations] == lines
    assert len(table.notes) <= 1
    if dialect["has_commas"] and dialect["separator"] != ",":
        assert "'mos'" in table.notes[0]
