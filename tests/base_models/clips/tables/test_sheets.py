"""Spreadsheets are read cell by cell, and hostile ones refused before they harm."""

import zipfile

import pytest
from workbooks import sheet_of_xlsx, write_ods, write_xlsx

from base_models.clips.read_clips import read_clips
from base_models.clips.tables import sheets
from base_models.clips.tables.read_table import read_table
from base_models.errors import UsageError

HEADER = ["clip_id", "prompt", "mos"]
ROWS = [HEADER, ["007", "a, b; c", 3.5], ["1e5", "two\nlines", 4]]
CELLS = {"clip_id": ["007", "1e5"], "prompt": ["a, b; c", "two\nlines"]}


@pytest.mark.parametrize("suffix", [".xlsx", ".XLSM"])
def test_text_stays_text_and_whole_numbers_have_no_point(tmp_path, suffix):
    table = read_table(write_xlsx(tmp_path / f"t{suffix}", {"S": ROWS}))
    assert table.columns == {**CELLS, "mos": ["3.5", "4"]}
    assert [table.location(row).rsplit(", ")[1] for row in (0, 1)] == ["row 2", "row 3"]
    assert table.notes == ()


def test_a_sheet_of_libreoffice_ends_with_a_million_empty_rows(tmp_path):
    rows = [["clip_id", "mos"], ["007", 3.0]]
    end = (
        '<table:table-row table:number-rows-repeated="1048574"><table:table-cell '
        'table:number-columns-repeated="16384"/></table:table-row>'
    )
    table = read_table(write_ods(tmp_path / "t.ods", rows, end))
    assert table.columns == {"clip_id": ["007"], "mos": ["3"]}


def test_dates_truths_and_errors_are_read_as_what_they_are(tmp_path):
    path = write_xlsx(
        tmp_path / "t.xlsx",
        {
            "S": [
                ["clip_id", "when", "ok", "sum", "mos"],
                [
                    "TRUE",
                    b'<c r="PLACE" s="1"><v>45413</v></c>',
                    True,
                    b'<c r="PLACE"><f>1+1</f><v>2</v></c>',
                    b'<c r="PLACE" t="e"><v>#N/A</v></c>',
                ],
            ]
        },
    )
    table = read_table(path)
    cells = {name: column[0] for name, column in table.columns.items()}
    assert cells == {
        "clip_id": "TRUE",
        "when": "2024-05-01",
        "ok": "TRUE",
        "sum": "2",
        "mos": "",
    }
    assert table.notes == ("t.xlsx: 1 cell with an error (as #N/A) read as empty",)


def test_the_first_visible_sheet_with_cells_is_read_and_others_are_named(tmp_path):
    path = write_xlsx(
        tmp_path / "t.xlsx",
        {
            "empty": [],
            "raw": ROWS,
            "means": [["clip_id", "mos"], ["x", 2]],
            "old": ROWS,
        },
        hidden=["old"],
    )
    table = read_table(path)
    assert table.columns["clip_id"] == ["007", "1e5"]
    assert table.notes == (
        "t.xlsx: sheet 'raw' is read, not 'means' (name one as t.xlsx:SHEET)",
    )
    for named in (read_table(path, sheet="means"), read_table(f"{path}:means")):
        assert named.columns["clip_id"] == ["x"]
        assert named.notes == ()
    assert read_clips(f"{path}:means")["mos"].tolist() == [2.0]
    with pytest.raises(UsageError, match=r"t.xlsx has no sheet 'x'; it has 'empty'"):
        read_table(f"{path}:x")
    (tmp_path / "t.csv").write_text("id\n")
    with pytest.raises(UsageError, match=r"t.csv has no sheets; leave 'x' out"):
        read_table(tmp_path / "t.csv", sheet="x")


def test_a_merged_cell_is_the_cell_of_all_its_rows(tmp_path):
    rows = [["system", "clip_id"], ["v1", "a"], [None, "b"], ["v2", "c"]]
    merged = '<mergeCells><mergeCell ref="A2:A3"/></mergeCells>'
    path = write_xlsx(tmp_path / "t.xlsx", {"S": sheet_of_xlsx(rows, merged)})
    table = read_table(path)
    assert table.columns["system"] == ["v1", "v1", "v2"]
    assert table.notes == ("t.xlsx: 1 merged cell (row 2) read for all of its rows",)

    spanned = b'<table:table-cell table:number-rows-spanned="2" office:value-type='
    spanned += b'"string"><text:p>v1</text:p></table:table-cell>'
    rows = [rows[0], [spanned, "a"], [b"<table:covered-table-cell/>", "b"]]
    table = read_table(write_ods(tmp_path / "t.ods", rows))
    assert table.columns["system"] == ["v1", ""]
    assert table.notes == ("t.ods: merged cells are read in their first row only",)


def test_titles_blank_rows_and_decimal_commas_are_as_in_text(tmp_path):
    rows = [["Listening test"], [], ["clip_id", "mos"], ["a", "3,5"], [], ["b", 4]]
    table = read_table(write_xlsx(tmp_path / "t.xlsx", {"S": rows}))
    assert table.columns == {"clip_id": ["a", "b"], "mos": ["3.5", "4"]}
    assert [number for _, number in table.locations] == [4, 6]
    assert table.notes == (
        "t.xlsx: the header is in row 3, below 'Listening test'; numbers rewritten in "
        "'mos' ('3,5' is 3.5)",
    )


@pytest.mark.parametrize(
    ("sheet", "message"),
    [
        (
            sheet_of_xlsx([HEADER, ["a", "p", b'<c r="XFD1048576"><v>1</v></c>']]),
            r"a sheet has 1,048,576 rows and 16,384 columns",
        ),
        (
            sheet_of_xlsx([HEADER, ["a", "p", b"<c r='xfd1048576'><v>1</v></c>"]]),
            r"a sheet has 1,048,576 rows",
        ),
        (
            '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
            + sheet_of_xlsx([HEADER, ["a", b'<c r="PLACE"><v>&a;</v></c>']]),
            r"sheet1.xml defines entities",
        ),
        (sheet_of_xlsx(ROWS).encode("utf-16"), "is no UTF-8"),
        (
            sheet_of_xlsx([HEADER, ["a", "p", b'<c r="PLACE"><f>A1</f></c>']]),
            r"cell C2 holds a formula whose value was not stored",
        ),
        (
            sheet_of_xlsx([HEADER, ["a", "p", b'<c r="PLACE"><f>A1</f><v></v></c>']]),
            r"cell C2 holds a formula",
        ),
        (sheet_of_xlsx(ROWS)[:200], "is not a readable spreadsheet"),
        (sheet_of_xlsx([]), r"t\.xlsx is empty"),
    ],
)
def test_a_sheet_that_is_hostile_or_unfinished_is_refused(tmp_path, sheet, message):
    path = write_xlsx(tmp_path / "t.xlsx", {"S": sheet})
    with pytest.raises(UsageError, match=message):
        read_table(path)


@pytest.mark.parametrize(
    "row",
    [
        '<table:table-row table:number-rows-repeated="1048576"><table:table-cell '
        'table:number-columns-repeated="16384" office:value-type="string">'
        "<text:p>x</text:p></table:table-cell></table:table-row>",
        '<table:table-row table:number-rows-repeated="1048570"><table:table-cell/>'
        '</table:table-row><table:table-row><table:table-cell table:formula="of:=1>0" '
        'table:number-columns-repeated="16380"/><table:table-cell '
        'office:value-type="string"><text:p>x</text:p></table:table-cell>'
        "</table:table-row>",
    ],
)
def test_repeated_cells_cannot_fill_the_memory(tmp_path, row):
    path = write_ods(tmp_path / "t.ods", [["clip_id"]], row)
    with pytest.raises(UsageError, match=r"a sheet has 1,048,57\d rows"):
        read_table(path)


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(sheets, "MAX_UNPACKED", 1 << 20)
    path = write_xlsx(tmp_path / "t.xlsx", {"S": sheet_of_xlsx(ROWS) + " " * (1 << 21)})
    with pytest.raises(UsageError, match=r"t.xlsx unpacks to more than 1 MiB"):
        read_table(path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\xd0\xcf\x11\xe0rest", "protected by a password, or an old .xls"),
        (b"clip_id,mos\n", "is not a readable spreadsheet"),
        (b"", "is not a readable spreadsheet"),
    ],
)
def test_what_is_no_spreadsheet_is_refused(tmp_path, data, message):
    path = tmp_path / "t.xlsx"
    path.write_bytes(data)
    with pytest.raises(UsageError, match=message):
        read_table(path)


def test_an_archive_of_something_else_is_refused(tmp_path):
    path = tmp_path / "t.xlsx"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.xml", "<a/>")
    with pytest.raises(UsageError, match="is not a readable spreadsheet"):
        read_table(path)
