"""What a user says of a table: which column is what, what stands for a missing value.

Commands take it as ``--columns``, ``--missing-code`` and ``--audio-root``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from base_models.clips.columns import (
    RATER_COLUMNS,
    SEGMENT_COLUMNS,
    STANDARD_NAMES,
    fold_name,
)
from base_models.clips.text_table import TextTable, parse_number
from base_models.errors import UsageError, nearest_name, one_of

MEANINGS = {
    "audio": "audio",
    "id": "clip_id",
    "clip_id": "clip_id",
    "system": "system_id",
    "system_id": "system_id",
    "prompt": "prompt",
    "split": "split",
    "rater": RATER_COLUMNS[0],
    RATER_COLUMNS[0]: RATER_COLUMNS[0],
    **{name: name for name in SEGMENT_COLUMNS},
}
"""What a column can be named to be, and the standard name of it; others are aspects."""

USUAL_MISSING = frozenset(
    {"na", "n/a", "n.a.", "nan", "null", "none", "-", "--", ".", "?", "missing", "-1"}
    # What formulas give that fail, and "no answer" in German.
    | {"#n/a", "#div/0!", "#value!", "#ref!", "#name?", "#num!", "#null!", "#nv"}
    | {"k.a.", "k. a.", "n.v."}
)
"""What people write for a missing value, see `fold_code`."""


def fold_code(cell: str) -> str:
    """A cell as codes of missing values are compared: ``N/A`` is ``n/a``."""
    return cell.strip().casefold()


@dataclass(frozen=True)
class Reading:
    """How a table is to be read, where its own words do not say it.

    Parameters
    ----------
    columns : standard name to the column that has it; "" where no column has it
    aspects : aspect to the column of its ratings
    missing_codes : cells of ratings and prompts that stand for a missing value. Never
        of ids, systems or files, where ``NA`` may be a name
    audio_root : folder that audio paths are relative to, before the table's own
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    aspects: Mapping[str, str] = field(default_factory=dict)
    missing_codes: tuple[str, ...] = ()
    audio_root: Path | None = None

    @classmethod
    def of_any(cls, columns: Reading | Mapping[str, str] | None) -> Reading:
        """From a mapping of meanings and aspects to columns, or None.

        Raises
        ------
        UsageError
            when a column is named for two things, or a meaning is misspelled.

        Examples
        --------
        >>> reading = Reading.of_any({"system": "model", "mi": "Rating (1-5)"})
        >>> reading.columns, reading.aspects
        ({'system_id': 'model'}, {'mi': 'Rating (1-5)'})
        """
        if columns is None:
            return cls()
        if isinstance(columns, Reading):
            return columns
        named: dict[str, str] = {}
        aspects: dict[str, str] = {}
        for word, column in columns.items():
            standard = MEANINGS.get(fold_name(word))
            own = named if standard else aspects
            meaning = standard or word
            if meaning in own:
                raise UsageError(f"--columns names '{word}' twice; each meaning once.")
            # Any other word is an aspect, so that a misspelt meaning would become one.
            near = nearest_name(word, MEANINGS, cutoff=0.8)
            if near and not standard:
                raise UsageError(
                    f"--columns names '{word}': did you mean '{near}'? An aspect of "
                    f"that name is --aspects {word}={column}."
                )
            if not column and not standard:
                raise UsageError(f"--columns names no column for '{word}'.")
            own[meaning] = column
        _check_each_column_once({**named, **aspects})
        return cls(named, aspects)

    @classmethod
    def parse(
        cls,
        columns: Iterable[object] | None = None,
        missing_codes: Iterable[object] | None = None,
        audio_root: str | None = None,
    ) -> Reading:
        """From the words of options.

        Parameters
        ----------
        columns : ``MEANING=COLUMN``; ``MEANING=`` for a thing that no column is
        missing_codes : cells
        audio_root : folder

        Raises
        ------
        UsageError
            when a word of `columns` is of another form, or `audio_root` is no folder.
        """
        named: dict[str, str] = {}
        words = [columns] if isinstance(columns, str) else columns or ()
        for word in map(str, words):
            meaning, equals, column = word.partition("=")
            meaning = meaning.strip()
            if not (equals and meaning):
                raise UsageError(
                    "--columns takes MEANING=COLUMN, e.g. audio='File name' "
                    f"system=model mi='Rating (1-5)'; got '{word}'."
                )
            if meaning in named:
                raise UsageError(
                    f"--columns names '{meaning}' twice; each meaning once."
                )
            named[meaning] = column.strip()
        found = cls.of_any(named)

        root = None
        if audio_root is not None:
            root = Path(audio_root)
            if not root.is_dir():
                raise UsageError(
                    f"--audio-root takes a folder; there is none called {root}."
                )
        # In a file of options a single code may stand without a list.
        codes = [missing_codes] if isinstance(missing_codes, str) else missing_codes
        return cls(
            found.columns, found.aspects, tuple(map(str, codes or ())), audio_root=root
        )

    def in_table(self, table: TextTable) -> Reading:
        """The same with the columns as the table spells them.

        Raises
        ------
        UsageError
            when the table has no such column; the nearest is suggested. One of raters
            may be that of single ratings elsewhere, and is left out.
        """
        # Of clips nobody reads raters: a table with their means need not have any.
        rater = RATER_COLUMNS[0]
        columns = {key: name for key, name in self.columns.items() if key != rater}
        return Reading(
            {key: _spelled(name, table) for key, name in columns.items()},
            self.aspects,
            self.missing_codes,
            audio_root=self.audio_root,
        )

    def to_json(self) -> dict[str, Any]:
        """The same as JSON values, see `of_json`."""
        return {
            "columns": dict(self.columns),
            "aspects": dict(self.aspects),
            "missing_codes": list(self.missing_codes),
            "audio_root": None if self.audio_root is None else str(self.audio_root),
        }

    @classmethod
    def of_json(cls, values: Mapping[str, Any]) -> Reading:
        """What `to_json` gave; nothing is said by an empty mapping."""
        root = values.get("audio_root")
        return cls(
            values.get("columns", {}),
            values.get("aspects", {}),
            tuple(values.get("missing_codes", ())),
            audio_root=None if root is None else Path(root),
        )

    def applied(self, table: TextTable) -> TextTable:
        """A table of single ratings with the columns that are named, without codes.

        Names that it does not have are of another table. Codes are left out where a
        column holds numbers beside them, and is no column of ids or raters.
        """
        spelled = {fold_name(name): name for name in table.columns}
        new_name = {
            spelled.get(fold_name(column), ""): standard
            for standard, column in self.columns.items()
        }
        columns: dict[str, list[str]] = {}
        for name, cells in table.columns.items():
            if name in new_name:
                columns[new_name[name]] = cells
            # A column that already has the standard name is not the one meant.
            elif name not in new_name.values():
                columns[name] = self._numbers_without_codes(name, cells)
        embedded = new_name.get(table.embedded, table.embedded)
        return replace(table, columns=columns, embedded=embedded)

    def _numbers_without_codes(self, name: str, cells: list[str]) -> list[str]:
        folded = fold_name(name)
        is_no_number = folded in STANDARD_NAMES or folded in RATER_COLUMNS
        if is_no_number or not self.missing_codes:
            return cells
        codeless = self.without_codes(cells)
        are_numbers = all(
            parse_number(cell.strip()) is not None for cell in codeless if cell.strip()
        )
        return codeless if are_numbers else cells

    def without_codes(self, cells: Iterable[str]) -> list[str]:
        """Cells with "" for those that stand for a missing value."""
        codes = {fold_code(code) for code in self.missing_codes}
        if not codes:
            return list(cells)
        return ["" if fold_code(cell) in codes else cell for cell in cells]


def _spelled(name: str, table: TextTable) -> str:
    if not name or name in table.columns:
        return name
    # Spaces and case are often lost between a spreadsheet and a command line.
    alike = [other for other in table.columns if fold_name(other) == fold_name(name)]
    if len(alike) == 1:
        return alike[0]
    return one_of(name, table.columns, "column")


def _check_each_column_once(column_of: Mapping[str, str]) -> None:
    taken: dict[str, str] = {}
    for meaning, column in column_of.items():
        if not column:
            continue
        if column in taken:
            raise UsageError(
                f"--columns names '{column}' as {taken[column]} and as {meaning}; a "
                "column is one thing."
            )
        taken[column] = meaning
