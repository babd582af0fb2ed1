"""Files that a command is to write, checked before anything is computed.

``-`` in place of a file is standard output, which then holds nothing else.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import Namespace

from base_models.errors import UsageError, machine_fault
from base_models.files import atomic_write
from ensemble.cli.shared.exit_codes import say
from ensemble.cli.shared.options import OptionGroup
from ensemble.cli.shared.output.json_document import json_document
from ensemble.screen.streams import put_bytes

if TYPE_CHECKING:
    import pandas as pd

STDOUT = "-"
_BLOCK = 4096
"""Bytes that a disk must take, so that it counts as not full."""


def add_result_options(
    group: OptionGroup, table: str, facts: str, old_name: str = ""
) -> None:
    """Add ``-o`` and ``--json``.

    Parameters
    ----------
    group : of the options
    table : what ``-o`` writes, in words
    facts : what ``--json`` writes
    old_name : a former name of ``-o`` that still works
    """
    names = ["-o", "--out", *([old_name] if old_name else [])]
    group.add_argument(
        *names,
        type=str,
        metavar="FILE",
        help=f"also write {table} to this file (.csv .jsonl .parquet); -: as csv to "
        "standard output",
    )
    add_json_option(group, facts)


def add_json_option(group: OptionGroup, facts: str) -> None:
    """Add ``--json``, which writes some facts in a structure that stays."""
    group.add_argument(
        "--json",
        type=str,
        metavar="FILE",
        help=f"also write {facts} to this file; -: to standard output",
    )


def check_outputs(
    outputs: Mapping[str, str | None], inputs: Iterable[str | None]
) -> None:
    """Refuse to write over a file that is read, or twice to one file.

    Parameters
    ----------
    outputs : the option of each file to write, such as ``"--json"``, to its value
    inputs : what the command reads: files, or words such as ``NAME=FILE:0-100``

    Raises
    ------
    UsageError
        when two of these are one file, an output is a folder or "", or its folder takes
        no files.
    """
    read: set[Path] = set()
    for word in inputs:
        if word:
            files = [Path(word), *_files_of(word)]
            read |= {file.resolve() for file in files}

    written: dict[Path | str, tuple[str, str]] = {}
    for option, name in outputs.items():
        if name is None:
            continue
        if name == STDOUT:
            if STDOUT in written:
                raise UsageError(
                    f"{written[STDOUT][0]} and {option} are both standard output; "
                    "name a file for one of them."
                )
            written[STDOUT] = (option, name)
            continue
        # An empty variable of a shell would be no output, without a word.
        if not name:
            raise UsageError(f"{option} takes a file; got ''.")
        place = Path(name).resolve()
        if place.is_dir():
            raise UsageError(f"{option} takes a file; {name} is a folder.")
        if place in read and place.is_file():
            raise UsageError(
                f"{option} would write over {name}, which is read; name another file."
            )
        check_folder(f"{option} {name}", str(place.parent))
        if place in written:
            other, same = written[place]
            raise UsageError(
                f"{other} and {option} are both {same}; each needs a file of its own."
            )
        written[place] = (option, name)


def check_folder(option: str, name: str) -> None:
    """Refuse a folder in which nothing can be written, whether it is there or not.

    It would be found out after the work otherwise, which may take hours.

    Parameters
    ----------
    option : that names it, with what it names where that is another thing
    name : of the folder

    Raises
    ------
    UsageError
        when files are not allowed there.
    MachineFault
        when the machine fails, for instance as its disk is full.
    """
    folder = Path(name).resolve()
    while not folder.exists():
        folder = folder.parent
    try:
        # Permissions do not tell: a file system may be read-only, or full, where a file
        # can be made and nothing be put into it.
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(_BLOCK))
            file.flush()
    except OSError as error:
        raise machine_fault(error, name) or UsageError(
            f"{option}: no file can be written to {folder} ({error.strerror}); "
            "name another folder, or change its permissions."
        ) from error


def check_results(
    options: Namespace,
    inputs: Iterable[str | None],
    others: Mapping[str, str | None] | None = None,
) -> None:
    """Refuse what `check_outputs` refuses, and a table in a format that is none.

    Parameters
    ----------
    options : of a command with ``-o`` and ``--json``, see `add_result_options`
    inputs : see `check_outputs`
    others : what else the command writes, option to value
    """
    outputs = {"--out": options.out, "--json": options.json, **(others or {})}
    check_outputs(outputs, inputs)
    if options.out:
        table_format(options.out)


def _files_of(word: str) -> list[Path]:
    """The files of a word, which may name predictions."""
    from ensemble.prediction_files.prediction_word import PredictionFile

    try:
        files = PredictionFile.parse_all([word])
    except UsageError:
        # Its reader will say what is wrong with the word.
        return []
    return [path for file in files for path in file.paths]


def table_format(file: str) -> str:
    """The format of a table, by the suffix of its file; of standard output csv.

    Raises
    ------
    UsageError
        when the suffix is none of a table.
    """
    from ensemble.formats import FORMATS, format_of_file

    form = "csv" if file == STDOUT else format_of_file(file)
    # The formats of the challenge hold scores alone.
    if not FORMATS[form].holds_every_row:
        raise UsageError(f"{file}: name a .csv, .jsonl or .parquet file.")
    return form


def put_table(frame: pd.DataFrame, file: str) -> None:
    """Write a table to a file, in the format of its suffix, or to standard output."""
    from ensemble.formats import FORMATS, csv_table

    form = table_format(file)
    # Scores are rounded in csv; other numbers keep all their digits.
    data = csv_table(frame) if form == "csv" else FORMATS[form].encode(frame, ())
    put_data(data, file)


def put_json(values: Mapping[str, Any], file: str, command: str) -> None:
    """Write facts as JSON, after the command and the version that they come from."""
    put_data(json_document(values, command), file)


def put_data(data: bytes, file: str) -> None:
    """Write bytes to a file, atomically, or to standard output."""
    if file == STDOUT:
        put_bytes(data)
        return
    atomic_write(file, data)
    say(f"written: {file}")
