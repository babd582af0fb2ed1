"""How a file of predictions is named: ``NAME=FILE+LIST:COLUMNS:LOW-HIGH``.

Every command that reads predictions takes these words, and this is the only place that
takes them apart. All parts but the file may be left out:

=============================  =======================================================
``utmos=dev.csv``              what the model is called, in the fit and ever after
``nisqa=out.csv:mos_pred``     the column of its scores
``nisqa=out.csv:mos,noi``      several columns: models ``nisqa.mos`` and ``nisqa.noi``
``tool=scores.csv:0-100``      the scale of its scores, after the columns if there are
``tool=book.xlsx:Sheet 2``     the sheet of a spreadsheet, before its columns
``axes=out.jsonl+in.jsonl``    scores without ids, and the list that they were made of
``preds/*.csv``                every file that matches, as if each had been named
=============================  =======================================================

A file that exists is taken as it is called, with the colons, plus and equals signs in
its name, so that ``C:\\\\out.csv`` and ``a=b.csv:0-100`` are read as what they are.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from base_models.errors import UsageError, some
from base_models.files import WILDCARD, matching_paths
from base_models.scales import RANGE_PATTERN, Scale

_SCALE_AT_END = re.compile(rf"(?P<rest>.*?):\s*(?P<scale>{RANGE_PATTERN})", re.DOTALL)
_FOLDER = re.compile(r"[/\\]")
# A path of Windows begins with the letter of its drive.
_DRIVE = re.compile(r"[A-Za-z]:[/\\]")
# Where a file that does not exist ends: after what looks like its suffix.
_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,8}(?=[:+])")


@dataclass(frozen=True)
class PredictionFile:
    """A file of predictions as it is named on a command line.

    Parameters
    ----------
    path : where it is; of a spreadsheet ``FILE:SHEET`` where a sheet is named
    name : what its model is called; "" where the file itself says
    scale : of all scores in it, or None
    columns : of the scores; empty where they are found by their names
    ids : the list of clips that the rows of the file are for, or None

    Examples
    --------
    >>> file = PredictionFile.parse("tool=out/scores.csv:a,b:0-100")
    >>> file.path.name, file.name, file.columns, str(file.scale)
    ('scores.csv', 'tool', ('a', 'b'), '0..100')
    """

    path: Path
    name: str = ""
    scale: Scale | None = None
    columns: tuple[str, ...] = ()
    ids: Path | None = None

    @property
    def called(self) -> str:
        """The name of its one model, for a reader: that given, or that of the file."""
        return self.name or self.path.stem

    @property
    def paths(self) -> tuple[Path, ...]:
        """All files that are read."""
        from base_models.clips.tables.read_table import table_file

        path = table_file(self.path)
        return (path,) if self.ids is None else (path, self.ids)

    @classmethod
    def parse(cls, word: FileWord) -> PredictionFile:
        """The one file that a word names.

        Raises
        ------
        UsageError
            when a part of it is empty, its scale is none, or several files match.
        """
        files = cls.parse_all([word])
        if len(files) > 1:
            names = some(str(file.path) for file in files)
            raise UsageError(
                f"'{word}' matches {len(files)} files ({names}); name one of them."
            )
        return files[0]

    @classmethod
    def parse_all(cls, words: Iterable[FileWord]) -> list[PredictionFile]:
        """The files that words name, in their order.

        Raises
        ------
        UsageError
            as in `parse`, or when no file matches ``*``, or several match a word with
            one ``NAME=``.
        """
        files: list[PredictionFile] = []
        for word in words:
            if isinstance(word, PredictionFile):
                files.append(word)
            elif isinstance(word, Path):
                files.append(cls(word))
            else:
                files += _matching_files(word, _parse(word))
        return files


FileWord: TypeAlias = PredictionFile | Path | str
"""A file of predictions, which may be named with its model, columns and scale."""


def _parse(word: str) -> PredictionFile:
    if not word.strip():
        raise UsageError("A file of predictions is named by an empty word; name it.")
    if Path(word).exists():
        return PredictionFile(Path(word))

    # The file itself may have an equals sign in its name.
    unnamed = _longest_file(word)
    name, equals, rest = word.partition("=")
    name = name.strip()
    is_named = bool(equals and name) and not _FOLDER.search(name)
    if unnamed or not is_named:
        return _parse_file(word, word, unnamed)
    if not rest.strip():
        raise UsageError(f"'{word}' names no file; write {name}=FILE.")
    found = _parse_file(word, rest, _longest_file(rest))
    return replace(found, name=name)


def _parse_file(word: str, text: str, existing: str) -> PredictionFile:
    """The parts of a word after ``NAME=``; `existing` is the file it begins with."""
    head, tail = (existing, text[len(existing) :]) if existing else _split(text)
    path, ids = _split_list(head)
    scale = None
    # Of several colons the last one parts the scale, if what follows is one.
    match = _SCALE_AT_END.fullmatch(tail)
    if match is not None:
        scale = Scale.parse(match["scale"])
        tail = match["rest"]
    path, tail = _with_sheet(path, tail)

    columns: tuple[str, ...] = ()
    if tail:
        columns = tuple(column.strip() for column in tail[1:].split(","))
        if not all(columns):
            raise UsageError(
                f"'{word}': after a colon stand the columns of the scores, as "
                f"{head}:first,second, or their scale, as {head}:0-100; one of them "
                "is empty."
            )
    return PredictionFile(path, scale=scale, columns=columns, ids=ids)


def _with_sheet(path: Path, tail: str) -> tuple[Path, str]:
    """A spreadsheet with the sheet that follows it, if one does, and the rest."""
    from base_models.clips.tables.read_table import SPREADSHEETS
    from base_models.clips.tables.sheets import sheet_names

    sheet, colon, rest = tail[1:].partition(":")
    is_book = path.suffix.lower() in SPREADSHEETS and path.is_file()
    if not (sheet and is_book and sheet in sheet_names(path)):
        return path, tail
    return Path(f"{path}:{sheet}"), colon + rest


def _longest_file(text: str) -> str:
    """The longest beginning of a text, up to a colon, that is a file; "" if none is."""
    ends = [len(text), *(found.start() for found in re.finditer(":", text))]
    for end in sorted(ends, reverse=True):
        path, ids = _split_list(text[:end])
        if path.is_file() and (ids is None or ids.is_file()):
            return text[:end]
    return ""


def _split(text: str) -> tuple[str, str]:
    """A file that is not there, and what follows it, for the message to come."""
    match = _SCALE_AT_END.fullmatch(text)
    is_drive_alone = match is not None and len(match["rest"]) == 1
    suffix = None
    # The last suffix before a colon, so that a list of clips stays with its file.
    for found in _SUFFIX.finditer(text):
        if text[found.end()] == ":":
            suffix = found
            break
    if suffix is not None:
        return text[: suffix.end()], text[suffix.end() :]
    if match is not None and not is_drive_alone:
        return match["rest"], text[len(match["rest"]) :]
    start = 2 if _DRIVE.match(text) else 0
    head, colon, tail = text[start:].partition(":")
    if colon and WILDCARD.search(head):
        return text[:start] + head, colon + tail
    return text, ""


def _split_list(head: str) -> tuple[Path, Path | None]:
    """A file, and after a plus sign the list of clips that its rows are for."""
    path = _path(head)
    if path.exists():
        return path, None
    for found in re.finditer(r"\+", head):
        before = _path(head[: found.start()])
        after = head[found.end() :]
        looks_like_two = _SUFFIX.search(head[: found.end()]) is not None
        if after and (before.is_file() or looks_like_two):
            return before, _path(after)
    return path, None


def _path(text: str) -> Path:
    # After an equals sign no shell expands the home folder.
    if text.startswith("~") and not Path(text).exists():
        return Path(os.path.expanduser(text))
    return Path(text)


def _matching_files(word: str, file: PredictionFile) -> list[PredictionFile]:
    """The files of a word with wildcards, which a shell may have left as they are."""
    found = matching_paths(str(file.path), word)
    if file.name and len(found) > 1:
        raise UsageError(
            f"'{word}' matches {len(found)} files ({some(found)}), which cannot all be "
            f"{file.name}; name one of them, or leave {file.name}= out."
        )
    return [replace(file, path=Path(path)) for path in found]
