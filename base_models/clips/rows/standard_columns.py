"""The columns of a table under the standard names of a clip table.

A column is known by its name (`base_models.clips.columns`), or because the user says
what it is. Where two could be one thing, the standard name of it wins over others, a
usual name over a weak one (``system`` over ``model``), and columns with the same cells
are one; any other choice is the user's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from base_models.clips.bookkeeping import is_bookkeeping_of_ratings
from base_models.clips.columns import (
    ALIASES,
    CLIP_COLUMNS,
    GENERAL_RATINGS,
    STANDARD_NAMES,
    WEAK_ALIASES,
    fold_name,
)
from base_models.clips.listening_tests.names_in_ids import system_in_name
from base_models.clips.parquet.embedded_audio import reference
from base_models.clips.rows.audio_paths import AudioFolders, FoundAudio, way_notes
from base_models.clips.rows.reading import MEANINGS, Reading
from base_models.clips.text_table import TextTable
from base_models.errors import UsageError, some

_WORD_OF = {standard: word for word, standard in MEANINGS.items()}
_WORD_OF.update(clip_id="id", system_id="system")


@dataclass(frozen=True)
class StandardTable:
    """A table with the columns of a clip table.

    Parameters
    ----------
    table : its cells
    taken : standard name to the column of the file that it was read from; without those
        that the file does not have
    audio : what the path of each row led to; empty where the audio is in the table
        itself, or the table is of another kind
    """

    table: TextTable
    taken: Mapping[str, str]
    audio: tuple[FoundAudio, ...] = ()

    def column(self, standard: str) -> str:
        """The name of a column as the file has it."""
        return self.taken.get(standard, standard)


def with_named_columns(
    table: TextTable, reading: Reading
) -> tuple[TextTable, dict[str, str]]:
    """The table with the columns that the user names under their standard names.

    Returns
    -------
    table : without columns whose names then mean something else
    taken : standard name to the column that the user named
    """
    taken = {standard: name for standard, name in reading.columns.items() if name}
    new_name = {name: standard for standard, name in taken.items()}
    kept: dict[str, list[str]] = {}
    for name, cells in table.columns.items():
        meaning = STANDARD_NAMES.get(fold_name(name))
        # The user says that no column is this.
        if name not in new_name and reading.columns.get(meaning or "") == "":
            continue
        if name not in new_name and name in taken:
            continue
        kept[new_name.get(name, name)] = cells
    embedded = new_name.get(table.embedded, table.embedded)
    return replace(table, columns=kept, embedded=embedded), taken


def choose_columns(
    table: TextTable, path: Path, not_these: Sequence[str] = ()
) -> dict[str, str]:
    """Which column of a table is which column of a clip table.

    Parameters
    ----------
    table : its cells
    path : for messages
    not_these : columns that are something else

    Returns
    -------
    taken : standard name to column

    Raises
    ------
    UsageError
        when several could be one thing and none of the rules decides.
    """
    names = [name for name in table.columns if name not in not_these]
    taken: dict[str, str] = {}
    for standard, aliases in ALIASES.items():
        candidates = [name for name in names if fold_name(name) in aliases]
        # The id of a song may be of several clips, which their files tell apart.
        if not candidates and not (standard == "clip_id" and _has_audio(names)):
            weak = WEAK_ALIASES.get(standard, ())
            candidates = [name for name in names if fold_name(name) in weak]
        if candidates:
            taken[standard] = _best(table, standard, candidates, path=path)
    return taken


def _has_audio(names: Sequence[str]) -> bool:
    return any(fold_name(name) in ALIASES["audio"] for name in names)


def _best(
    table: TextTable, standard: str, candidates: Sequence[str], path: Path
) -> str:
    """Of several columns that could be one thing the one that is taken."""
    by_name = [name for name in candidates if fold_name(name) == standard]
    # Of several texts the first in the order of the names is the prompt.
    if standard == "prompt":
        order = [*ALIASES["prompt"]]
        first = min(order.index(fold_name(name)) for name in candidates)
        by_name = [name for name in candidates if fold_name(name) == order[first]]
    if len(by_name) == 1:
        return by_name[0]
    several = by_name or list(candidates)
    if all(table.columns[name] == table.columns[several[0]] for name in several):
        return several[0]
    raise UsageError(
        f"{path}: columns {' and '.join(repr(name) for name in several)} both mean "
        f"{standard}; name the right one with --columns "
        f"{_WORD_OF[standard]}={several[0]!r}, or drop the other."
    )


def with_standard_columns(
    cells: TextTable, path: Path, reading: Reading | None = None
) -> StandardTable:
    """The same table with every column of a clip table under its standard name.

    An absent column is filled with "", and absent clip ids with the names of the audio
    files.

    Raises
    ------
    UsageError
        when neither clips nor files are named, two columns are one thing, or files
        without ids share a name.
    """
    reading = (reading or Reading()).in_table(cells)
    named, taken_by_user = with_named_columns(cells, reading)
    # A column that is named as an aspect may be called "text".
    taken = choose_columns(named, path, list(reading.aspects.values()))
    if "clip_id" not in taken and "audio" not in taken:
        raise UsageError(
            f"{path} has neither a clip_id nor an audio column (also legal: "
            f"{', '.join(ALIASES['clip_id'][1:4])}, {', '.join(ALIASES['audio'][1:7])} "
            f"…); it has {some(cells.columns, 12)}. Say which is which: --columns "
            "audio=COLUMN."
        )

    # The columns of a clip table come first, in their order.
    columns: dict[str, list[str]] = {}
    for standard in CLIP_COLUMNS:
        own = named.columns[taken[standard]] if standard in taken else []
        # Spaces around a prompt may be part of it; around an id or path they are not.
        if standard != "prompt":
            own = [cell.strip() for cell in own]
        columns[standard] = own or [""] * named.n_rows
    columns["prompt"] = reading.without_codes(columns["prompt"])
    used = set(taken.values())
    for name, own in named.columns.items():
        if name not in used:
            columns.setdefault(name, own)

    audio: tuple[FoundAudio, ...] = ()
    notes: list[str] = []
    if named.embedded:
        names = _embedded_names(columns["audio"], named, path)
        columns["audio"] = [
            str(path.parent / reference(path.name, row)) for _, row in named.locations
        ]
    else:
        folders = AudioFolders(path.parent, reading.audio_root)
        audio = tuple(folders.find_all(columns["audio"]))
        names = [one.written for one in audio]
        columns["audio"] = [one.path for one in audio]
        notes = way_notes(audio)
    if "clip_id" not in taken:
        columns["clip_id"] = _ids_from_audio(names, path)
    if "system_id" not in taken:
        columns["system_id"] = [system_in_name(name) for name in columns["clip_id"]]

    original = {
        standard: taken_by_user.get(name, name) for standard, name in taken.items()
    }
    table = replace(named, columns=columns, notes=(*named.notes, *notes))
    return StandardTable(table, original, audio)


def _embedded_names(files: Sequence[str], table: TextTable, path: Path) -> list[str]:
    """Names of audio files in a table; where one has none, its row names the clip."""
    rows = [number for _, number in table.locations]
    return [name or f"{path.stem}-{row}" for name, row in zip(files, rows, strict=True)]


def _ids_from_audio(audio: Sequence[str], path: Path) -> list[str]:
    clip_ids = [Path(file).stem for file in audio]
    series = pd.Series(clip_ids, dtype=object)
    # x/a.wav and y/a.wav would become one clip; a file that is listed twice is another
    # matter, and a problem of its row.
    file_of: dict[str, str] = {}
    shared = [
        name
        for name, file in zip(clip_ids, audio, strict=True)
        if name and file_of.setdefault(name, file) != file
    ]
    if shared:
        raise UsageError(
            f"{path}: audio files share the names {some(dict.fromkeys(shared))}; "
            "add a clip_id column."
        )
    return series.tolist()


# ---- what is said of it

_COLUMNS = "columns: "
_ON_COLUMNS = re.compile(
    r"columns: |column '.*' is no rating|columns '.*' are taken for", re.DOTALL
)


def without_columns_note(notes: Iterable[str]) -> list[str]:
    """Notes without those on single columns, for tables that hold more than clips.

    Where predictions stand beside labels, columns that are no labels are models, and
    what is said of those is not what a reader of labels has to say.
    """
    return [note for note in notes if not _ON_COLUMNS.match(note)]


def columns_note(
    standard: StandardTable,
    rated: Mapping[str, str],
    ignored: Sequence[str],
) -> str:
    """What was taken for what, and what was ignored, or "" where nothing is to be said.

    Parameters
    ----------
    standard : the table
    rated : aspect to its column
    ignored : columns of the file of which nothing is read
    """
    taken = {
        **{_WORD_OF.get(name, name): of for name, of in standard.taken.items()},
        **rated,
    }
    renamed = [
        word
        for word, column in taken.items()
        if column != word and fold_name(column) != MEANINGS.get(word)
    ]
    # Bookkeeping alone is no reason to say anything: nobody takes it for a rating.
    unknown = [name for name in ignored if not is_bookkeeping_of_ratings(name)]
    general = [column for column in rated.values() if _is_general(column)]
    is_rated_twice = bool(general) and len(rated) > 1
    if not (renamed or unknown or is_rated_twice):
        return ""
    parts = [f"{word} from '{column}'" for word, column in taken.items()]
    text = f"{_COLUMNS}{', '.join(parts)}"
    if is_rated_twice:
        text += (
            f"; {some(rated.values())} are aspects of their own: where they are one "
            "rating, name it with --aspects"
        )
    if ignored:
        text += f"; ignored: {some(ignored, 10)}"
    if "system" not in taken and ignored:
        text += "; no column names the systems (--columns system=NAME)"
    return text


def _is_general(column: str) -> bool:
    return fold_name(column) in GENERAL_RATINGS
