"""Tables as people and programs write them, and what is said of each."""

import pytest

from base_models.clips.tables.read_table import read_table
from base_models.errors import UsageError


def read(folder, text, name="t.csv", encoding="utf-8"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return read_table(path)


TWO = {"id": ["a", "b"], "mos": ["3", "4"]}


@pytest.mark.parametrize(
    ("text", "columns", "note"),
    [
        # ---- separators
        ("id|p|mos\na|x, y; z|3\n", {"id": ["a"], "p": ["x, y; z"], "mos": ["3"]}, "|"),
        (
            "id;Rating (1,2,3,4,5)\na;3,5\nb;4\n",
            {"id": ["a", "b"], "Rating (1,2,3,4,5)": ["3.5", "4"]},
            "separated by ';'; numbers rewritten in 'Rating (1,2,3,4,5)'",
        ),
        (
            "Datei;Note;Text\na.mp3;3,5;gut, schnell\nb.mp3;4,0;ok, fein\n",
            {
                "Datei": ["a.mp3", "b.mp3"],
                "Note": ["3.5", "4.0"],
                "Text": ["gut, schnell", "ok, fein"],
            },
            "separated by ';'",
        ),
        ("sep=;\nid;mos\na;3\nb;4\n", TWO, "separated by ';'"),
        ('"sep=|"\r\nid|mos\r\na|3\r\nb|4\r\n', TWO, "separated by '|'"),
        # ---- line ends, blank rows, empty columns
        ("id,mos\ra,3\r\nb,4", TWO, ""),
        (
            "id;mos\na;3\n;\n\n;;;\nb;4\n",
            TWO,
            "2 blank rows (first in line 3) left out",
        ),
        ("id,mos,,\na,3,,\nb,4,,\n", TWO, "2 empty columns left out"),
        ("id,mos,\na,3,,,\nb,4\n", TWO, "1 empty column left out"),
        ("id,mos,note,\na,3,,\nb,4,x,\n", {**TWO, "note": ["", "x"]}, "1 empty column"),
        ("id,mos\na,3\nb,4\n\x1a", TWO, ""),
        # ---- indices
        (",id,mos\n0,a,3\n1,b,4\n", TWO, "the first column, which numbers the rows"),
        (",id,mos\n17,a,3\n4,b,4\n", TWO, "the first column"),
        ("Unnamed: 0.1,Unnamed: 0,id,mos\n5,0,a,3\n9,1,b,4\n", TWO, "first 2 columns"),
        ('"id","mos"\n"1","a",3\n"2","b",4\n', TWO, "the first column"),
        (",mos\na,3\nb,4\n", {"unnamed_0": ["a", "b"], "mos": ["3", "4"]}, ""),
        ("id,mos\n1,3\n2,4\n", {"id": ["1", "2"], "mos": ["3", "4"]}, ""),
        # ---- comments and titles
        ("# by x, y\n# 2024\nid,mos\na,3\n# note\nb,4\n", TWO, "3 comments (first in"),
        ("# by x\n#id,mos\na,3\nb,4\n", TWO, "1 comment (line 1)"),
        (
            "id,mos\n#1,3\n#chill,4\n",
            {"id": ["#1", "#chill"], "mos": ["3", "4"]},
            "",
        ),
        (
            'id,p\na,"x\n# y\nz"\n',
            {"id": ["a"], "p": ["x\n# y\nz"]},
            "line breaks kept",
        ),
        (
            "Test 2024\n\nid;mos\na;3\nb;4\n",
            TWO,
            "the header is in line 3, below 'Test",
        ),
        ("Test,,\nby us,,\nid,mos,\na,3,\nb,4,\n", TWO, "the header is in line 3"),
        # ---- quotes
        ('id, p, mos\na, "x, y", 3\n', {"id": ["a"], "p": ["x, y"], "mos": ["3"]}, ""),
        (
            'id,p\na,"x \\"y\\", z"\n',
            {"id": ["a"], "p": ['x "y", z']},
            "read as a quote",
        ),
        ("'id','p'\n'a','b, c'\n", {"id": ["a"], "p": ["b, c"]}, ""),
        (
            'id,p\na,"two\nlines"\n',
            {"id": ["a"], "p": ["two\nlines"]},
            "1 row (line 2)",
        ),
        ('id,p\na,12" vinyl\n', {"id": ["a"], "p": ['12" vinyl']}, ""),
        # ---- numbers
        (
            "id;g\na;1.234,5\nb;NA\n",
            {"id": ["a", "b"], "g": ["1234.5", "NA"]},
            "1234.5",
        ),
        ("id;g\na;1 234\nb;2\n", {"id": ["a", "b"], "g": ["1234", "2"]}, "1234"),
        ("id;g\na;1'234.5\nb;\u22122\n", {"id": ["a", "b"], "g": ["1234.5", "-2"]}, ""),
        ("id;g\na;1.5\nb;3,5\n", {"id": ["a", "b"], "g": ["1.5", "3.5"]}, "rewritten"),
        (
            'id,g\na,"1,234.5"\nb,2\n',
            {"id": ["a", "b"], "g": ["1234.5", "2"]},
            "1234.5",
        ),
        ("id;g\na;1,234\nb;2\n", {"id": ["a", "b"], "g": ["1,234", "2"]}, "two ways"),
        (
            "id;g\na;1.234\nb;3,5\n",
            {"id": ["a", "b"], "g": ["1.234", "3,5"]},
            "two ways",
        ),
        ("id;g\na;1.234\nb;2.345\n", {"id": ["a", "b"], "g": ["1.234", "2.345"]}, ""),
        ('id,g\na,"3,4,5"\nb,"3,4"\n', {"id": ["a", "b"], "g": ["3,4,5", "3,4"]}, ""),
        ("id;g\na;3,5\nb;fast\n", {"id": ["a", "b"], "g": ["3,5", "fast"]}, ""),
        (
            "id;prompt\n007;1,5\n1e5;2,5\n",
            {"id": ["007", "1e5"], "prompt": ["1,5", "2,5"]},
            "",
        ),
        (
            "id;system\nNA;1,5\nTRUE;2,5\n",
            {"id": ["NA", "TRUE"], "system": ["1,5", "2,5"]},
            "",
        ),
        # ---- no header
        (
            "sys1-utt1.wav,2.125\n",
            {"audio": ["sys1-utt1.wav"], "mos": ["2.125"]},
            "no header",
        ),
        (
            "s1,s1-u1.wav,5,x,l1\ns2,s2-u1.wav,4,y,l1\n",
            {
                "system_id": ["s1", "s2"],
                "audio": ["s1-u1.wav", "s2-u1.wav"],
                "mos": ["5", "4"],
                "field 4": ["x", "y"],
                "field 5": ["l1", "l1"],
            },
            "columns are taken as 'system_id', 'audio', 'mos', 'field 4', 'field 5'",
        ),
        (
            "S001_P1,3,4\n",
            {"clip_id": ["S001_P1"], "mi": ["3"], "ta": ["4"]},
            "no header",
        ),
        ("x/a.wav\nx/b.wav\n", {"audio": ["x/a.wav", "x/b.wav"]}, "no header"),
        (
            "song,1,2,3\na,3,4,5\n",
            {"song": ["a"], "1": ["3"], "2": ["4"], "3": ["5"]},
            "",
        ),
        ("id,mos\n", {"id": [], "mos": []}, ""),
    ],
)
def test_a_table_is_what_its_writer_meant_and_guesses_are_said(
    tmp_path, text, columns, note
):
    table = read(tmp_path, text)
    assert table.columns == columns
    assert note in " ".join(table.notes)
    assert len(table.notes) <= (1 if table.has_header else 2)


@pytest.mark.parametrize(
    ("name", "text", "columns"),
    [
        ("t.txt", "a 3.5\nb 4\n", {"clip_id": ["a", "b"], "mos": ["3.5", "4"]}),
        ("t.txt", "clip_id mos\na 3.5\n", {"clip_id": ["a"], "mos": ["3.5"]}),
        ("t.txt", "a, b.wav\nc.wav\n", {"audio": ["a, b.wav", "c.wav"]}),
        ("t.txt", "Clip ID\tMOS\na\t3\n", {"Clip ID": ["a"], "MOS": ["3"]}),
        ("t.tsv", 'id\tp\na\t"x\nb\ty "z"\n', {"id": ["a", "b"], "p": ['"x', 'y "z"']}),
        (
            "wav.scp",
            "a  x y.wav\n\nb\tz.wav\n",
            {"clip_id": ["a", "b"], "audio": ["x y.wav", "z.wav"]},
        ),
    ],
)
def test_lists_of_other_suffixes_are_tables_too(tmp_path, name, text, columns):
    assert read(tmp_path, text, name).columns == columns


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "id,mos,n\na,3\nb,4,5,6\nc,1,1\n",
            r"2 of 3 rows: a row has more or fewer cells than the header .*line 2",
        ),
        ("a.wav,3\nb.wav\n", r"line 2: 1 cells; the first row has 2"),
        ('id,p,mos\na,"x,3\nb,y",4\n', "line 2: a quoted cell runs on to line 3"),
        (
            'id,p,mos\nc,z,1\nd,w,NA\ne,w, \na,"x,3\nb,y",4\n',
            "line 5: a quoted cell runs on to line 6",
        ),
        ('id,p\na,"x\n', "line 2: not a well-formed row"),
        ("id,mos\na,3\n# x, y, z, w\n#4,5,6\n", r"line 4: 3 cells"),
        ('id,p\na,"' + "x" * 140_000 + '"\n', "more than 131,072 characters"),
        ("id,p\na\0,3\n", "holds a NUL byte"),
    ],
)
def test_what_is_no_table_is_refused_by_line(tmp_path, text, message):
    with pytest.raises(UsageError, match=message):
        read(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "prompt"),
    [
        # Numbers with a decimal comma, in quotes of their own.
        ('id,p,v,mos,n\na,"1,5 1,5 1,5 two\nlines","1,5",3,4\n', "1,5 1,5 1,5 two"),
        # Numbers where other rows have words.
        ('id,p,mos\nb,sad,4\na,"1,2\n3,4,",3\nc,calm,5\n', "1,2"),
        ('id,p\nb,sad\na,"1,2\n3,4"\nc,calm\n', "1,2"),
    ],
)
def test_a_prompt_of_numbers_on_several_lines_is_no_swallowed_row(
    tmp_path, text, prompt
):
    table = read(tmp_path, text)
    assert any(cell.startswith(f"{prompt}\n") for cell in table.columns["p"])
    (note,) = table.notes
    assert "line breaks kept within" in note


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("utt1 sox a.wav -t wav - |", "line 1: 'sox .*' is a command"),
        ("utt1 audio.ark:17", "line 1: 'audio.ark:17' is a place in an archive"),
        ("utt1", "line 1: expected 'ID PATH'; got 'utt1'"),
    ],
)
def test_a_scp_runs_no_commands(tmp_path, line, message):
    with pytest.raises(UsageError, match=message):
        read(tmp_path, line, "wav.scp")


# ---- encodings


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32", "utf-16-be"])
def test_marked_and_wide_encodings_need_no_note(tmp_path, encoding):
    text = "id,p\n一,一一一一一一\né,ピアノ\n"
    table = read(tmp_path, text, encoding=encoding)
    assert table.columns == {"id": ["一", "é"], "p": ["一一一一一一", "ピアノ"]}
    assert table.notes == ()


@pytest.mark.parametrize(
    "text",
    ["\u201cnaïve\u201d \u2013 l\u2019été", "Größe €5", "ÄÖÜ", "Žižek, œuvre", "½ · x"],
)
def test_windows_1252_is_read_and_said(tmp_path, text):
    table = read(tmp_path, f'id,p\na,"{text}"\n', encoding="cp1252")
    assert table.columns["p"] == [text]
    assert table.notes == ("t.csv: read as Windows-1252 text, for it is not UTF-8",)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("Größe für Mädchen".encode("mac_roman"), "neither UTF-8 nor Windows-1252"),
        ("Größe für Mädchen".encode("cp850"), "neither UTF-8 nor Windows-1252"),
        ("Привет".encode("cp1251"), "neither UTF-8 nor Windows-1252"),
        ("ピアノの曲".encode("shift_jis"), "neither UTF-8 nor Windows-1252"),
        (b"caf\xe9 \x81", "line 2, column 8: 0x81 is not Windows-1252 text"),
        ("é".encode() + b"\nb,\xe9", "line 3, column 3: byte 0xe9 is not UTF-8, which"),
        (b"x\xc3", None),
    ],
)
def test_a_broken_byte_is_named_by_line_and_column(tmp_path, data, message):
    text = b"id,p\na," + data + b"\n"
    if message is None:
        assert read(tmp_path, text).columns["p"] == ["xÃ"]
        return
    with pytest.raises(UsageError, match=message):
        read(tmp_path, text)


def test_what_is_not_there_or_no_table_is_named(tmp_path):
    with pytest.raises(UsageError, match="There is no file or folder"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(UsageError, match="is not a file"):
        read_table(tmp_path)
    with pytest.raises(UsageError, match=r"t.doc: tables are read from .csv, .tsv"):
        read(tmp_path, "id\n", "t.doc")
    with pytest.raises(UsageError, match=r"t.csv is empty"):
        read(tmp_path, " \n", "t.csv")
