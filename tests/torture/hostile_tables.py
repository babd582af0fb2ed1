"""Tables as they should not be: broken, odd, hostile, or far too large."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq


class Table(NamedTuple):
    """A table that is to be written in place of a good one.

    Parameters
    ----------
    name : what is odd about it
    suffix : of its file
    write : writes it to a path, from the text of the good one
    is_refused : whether no command may take it
    """

    name: str
    suffix: str
    write: Callable[[Path, str], object]
    is_refused: bool = False


def _text(change: Callable[[str], str | bytes]) -> Callable[[Path, str], None]:
    """A writer of a changed text."""

    def write(path: Path, text: str) -> None:
        changed = change(text)
        path.write_bytes(changed.encode() if isinstance(changed, str) else changed)

    return write


def _with_cell(cell: str, column: int = -1) -> Callable[[Path, str], None]:
    """A writer of the text with a cell of its fifth line replaced."""

    def change(text: str) -> str:
        lines = text.splitlines()
        cells = lines[4].split(",")
        cells[column] = cell
        lines[4] = ",".join(cells)
        return "\n".join(lines) + "\n"

    return _text(change)


def _with_id(clip: str) -> Callable[[Path, str], None]:
    return _with_cell(clip, column=0)


def _records(text: str) -> list[dict[str, str]]:
    header, *lines = [line.split(",") for line in text.splitlines()]
    return [dict(zip(header, line, strict=True)) for line in lines]


def _wide(n_columns: int) -> Callable[[str], str]:
    def change(_: str) -> str:
        header = ",".join(["clip_id", *(f"c{k}" for k in range(n_columns))])
        row = ",".join("1" for _ in range(n_columns))
        return "\n".join([header, *(f"x{k},{row}" for k in range(3))])

    return change


def _long(n_rows: int) -> Callable[[str], str]:
    return lambda text: text + "\n".join(f"c{k},3" for k in range(n_rows))


def _parquet(columns: Callable[[], dict[str, pa.Array]]) -> Callable[[Path, str], None]:
    return lambda path, _: pq.write_table(pa.table(columns()), path)


def _sparse(path: Path, _: str) -> None:
    with path.open("wb") as file:
        file.truncate(20_000_000_000)


def _zip_bomb(path: Path, _: str) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("xl/worksheets/sheet1.xml", b" " * 600_000_000)


def _cut_parquet(path: Path, _: str) -> None:
    pq.write_table(pa.table({"clip_id": ["a"], "mos": [1.0]}), path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


# Digits that Python reads and no other program does are among them.
_ODD_NUMBERS = (
    "x",
    "1_0",
    "\uff13",
    "\u0663",
    "inf",
    "-inf",
    "1e400",
    "0x10",
    "True",
    "3;5",
)
_ODD_IDS = {
    "an id with markup": "mix[/b]",
    "an id with an escape code": "a\x1b[41mred",
    "an id that turns the writing": "a\u202eb",
    "an id with a zero-width space": "S000_P000\u200b",
    "an id in another case": "s000_p000",
    "an id that is a formula": "=cmd|'/C calc'!A0",
    "an id that is a path": "../../etc/passwd",
    "an id that is an option": "--help",
    "an id that is missing": "",
    "an id of blanks": "   ",
    "an id of 100,000 letters": "x" * 100_000,
    "an id with a line separator": "a\u2028b",
    "an id of format signs": "%s{0}{x}%n",
}
_ENCODINGS = {
    "UTF-16": lambda text: text.encode("utf-16"),
    "UTF-16 without a mark": lambda text: text.encode("utf-16-le"),
    "UTF-32": lambda text: text.encode("utf-32"),
    "a byte order mark": lambda text: text.encode("utf-8-sig"),
    "broken UTF-8": lambda text: text.encode().replace(b"S001", b"S\xff\xfe1"),
    "NUL bytes": lambda text: text.replace("S001", "S\0001"),
    "only NUL bytes": lambda text: b"\0" * 1000,
    "a picture": lambda text: b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4,
    "old Mac line ends": lambda text: text.replace("\n", "\r"),
    "mixed line ends": lambda text: text.replace("\n", "\r\n", 5),
}
_SHAPES = {
    "nothing": lambda text: "",
    "blank lines": lambda text: "\n\n\n",
    "a header alone": lambda text: text.splitlines()[0],
    "one row": lambda text: "\n".join(text.splitlines()[:2]),
    "no header": lambda text: text.partition("\n")[2],
    "a column twice": lambda text: text.replace("ta", "mi", 1),
    "a short row": lambda text: text + "S000_P900\n",
    "a long row": lambda text: text + "S000_P900,1,2,3,4,5,6,7,8,9\n",
    "a clip twice": lambda text: text + text.splitlines()[1] + "\n",
    "an open quote": lambda text: text.replace("S001_P001", '"S001_P001', 1),
    "a stray quote": lambda text: text.replace("P001", '"P001', 1).replace(
        "P003", 'P003"', 1
    ),
    "semicolons": lambda text: text.replace(",", ";"),
    "tabs": lambda text: text.replace(",", "\t"),
    "comments": lambda text: "# made by hand\n" + text + "# the end\n",
    "a cell of a million letters": lambda text: text + "x" * 1_000_000 + ",1,1,1,1\n",
    "a name of 100,000 letters": lambda text: text.replace("mi", "m" * 100_000, 1),
    "names with markup": lambda text: text.replace("ta", "[red]ta[/x]\x1b[41m", 1),
    "no known name": lambda text: text.replace("clip_id", "q").replace("mi", "w"),
}


def _hostile_files() -> list[Table]:
    def link(target: str) -> Callable[[Path, str], None]:
        return lambda path, _: path.symlink_to(target)

    return [
        Table("a folder", ".csv", lambda path, _: path.mkdir(), is_refused=True),
        Table("a FIFO", ".csv", lambda path, _: os.mkfifo(path), is_refused=True),
        Table("/dev/zero", ".csv", link("/dev/zero"), is_refused=True),
        Table("/dev/zero as JSON", ".json", link("/dev/zero"), is_refused=True),
        Table("a FIFO as Parquet", ".parquet", lambda p, _: os.mkfifo(p), True),
        Table("a FIFO as a sheet", ".xlsx", lambda p, _: os.mkfifo(p), True),
        Table("a link to itself", ".csv", lambda p, _: p.symlink_to(p), True),
        Table("a link to nothing", ".csv", link("nowhere.csv"), is_refused=True),
        Table("20 GB of nothing", ".csv", _sparse, is_refused=True),
        Table("20 GB of nothing as JSON", ".json", _sparse, is_refused=True),
        Table("20 GB of nothing as Parquet", ".parquet", _sparse, is_refused=True),
        Table("20 GB of nothing as a sheet", ".xlsx", _sparse, is_refused=True),
    ]


def _bombs() -> list[Table]:
    n_rows = 2_500_000

    def one_word() -> dict[str, pa.Array]:
        codes = pa.array(np.zeros(600, np.int32))
        word = pa.DictionaryArray.from_arrays(codes, ["x" * 1_000_000])
        return {"clip_id": word, "mos": pa.array(np.ones(600))}

    def many_rows() -> dict[str, pa.Array]:
        codes = pa.array(np.zeros(n_rows, np.int32))
        word = pa.DictionaryArray.from_arrays(codes, ["x"])
        return {"clip_id": word, "mos": pa.array(np.ones(n_rows))}

    def lists() -> dict[str, pa.Array]:
        return {"clip_id": pa.array([["x" * 1_000_000]] * 400)}

    def columns() -> dict[str, pa.Array]:
        return {f"c{k}": pa.array([1]) for k in range(11_000)}

    def seconds() -> dict[str, pa.Array]:
        long = pa.array([10**15], pa.duration("s"))
        return {"clip_id": pa.array(["a"]), "mos": long}

    keys = json.dumps([{f"k{j}_{i}": 1 for i in range(20)} for j in range(1_000)])
    return [
        Table("2.5 million rows", ".csv", _text(_long(n_rows)), is_refused=True),
        Table("1,000 columns", ".csv", _text(_wide(1_000))),
        Table("9,000 columns", ".csv", _text(_wide(9_000))),
        Table("100,000 columns", ".csv", _text(_wide(100_000)), is_refused=True),
        Table("20,000 keys", ".json", _text(lambda _: keys), is_refused=True),
        Table("nested JSON", ".json", _text(lambda _: "[" * 100_000), is_refused=True),
        Table("nested lines", ".jsonl", _text(lambda _: "[" * 100_000), True),
        Table("a word of 600 MB", ".parquet", _parquet(one_word), is_refused=True),
        Table("too many rows", ".parquet", _parquet(many_rows), is_refused=True),
        Table("lists of 400 MB", ".parquet", _parquet(lists), is_refused=True),
        Table("11,000 columns", ".parquet", _parquet(columns), is_refused=True),
        Table("a long duration", ".parquet", _parquet(seconds), is_refused=True),
        Table("half a Parquet file", ".parquet", _cut_parquet, is_refused=True),
        Table("a zip bomb", ".xlsx", _zip_bomb, is_refused=True),
        Table("text as a sheet", ".xlsx", _text(lambda text: text), is_refused=True),
        Table("text as Parquet", ".parquet", _text(lambda text: text), is_refused=True),
    ]


def _documents() -> list[Table]:
    values: dict[str, Callable[[str], str]] = {
        "a number alone": lambda _: "3",
        "null": lambda _: "null",
        "NaN": lambda _: '[{"clip_id": "a", "mos": NaN}]',
        "a huge number": lambda _: '[{"clip_id": "a", "mos": 1e999}]',
        "a key twice": lambda _: '[{"clip_id": "a", "clip_id": "b", "mos": 1}]',
        "a cut document": lambda text: json.dumps(_records(text))[:-20],
        "lone surrogates": lambda _: '[{"clip_id": "\\ud800", "mos": 1}]',
        "records in records": lambda _: '[{"clip_id": {"a": {"b": 1}}, "mos": 1}]',
    }
    return [Table(f"JSON, {name}", ".json", _text(of)) for name, of in values.items()]


TABLES = [
    *(Table(f"the number {n}", ".csv", _with_cell(n), True) for n in _ODD_NUMBERS),
    *(Table(name, ".csv", _with_id(clip)) for name, clip in _ODD_IDS.items()),
    *(Table(name, ".csv", _text(of)) for name, of in _ENCODINGS.items()),
    *(Table(name, ".csv", _text(of)) for name, of in _SHAPES.items()),
    *_documents(),
    *_hostile_files(),
    *_bombs(),
]
"""All of them; each takes the place of a clip table, of predictions and of ratings."""
