"""The tables of the papers as data: every printed number, and the models behind it.

There is one TOML file per table in ``tables/``. The papers print numbers of the same
clips on different splits (DORA-MOS on test, WhisQ on dev), so each table names its own.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, NamedTuple

from base_models.config import BaseConfig
from base_models.errors import one_of

TABLES = ("table1", "table2", "table3", "table4", "whisq2")


class Column(NamedTuple):
    """What a number of a table measures."""

    aspect: str
    level: str
    metric: str


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Parameters
    ----------
    name : as the paper calls it
    paper : its numbers, one per column of the table
    preset : of the base model behind it, or ""
    learner, stack : instead of a preset: ``"ridge"`` or ``"lightgbm"``, and its base
        models as ``NAME:COUNT`` words
    audio, text : encoders that the row was published with
    quick : training settings that suit the embedded encoders
    note : how ours differs from what was published
    encoding : how the encoders and what is stored of them differ; does not hold for the
        embedded ones
    reason : why the row cannot be run here; such a row has neither preset nor stack
    """

    name: str
    paper: tuple[float, ...]
    preset: str = ""
    learner: str = ""
    stack: tuple[str, ...] = ()
    audio: str = ""
    text: str = ""
    quick: str = ""
    note: str = ""
    encoding: str = ""
    reason: str = ""

    def models(self, repetition: int) -> list[tuple[str, int]]:
        """Presets and seeds that one repetition of this row needs, counted from 0.

        The seeds of a stack advance by one from repetition to repetition, so that two
        consecutive ones share most of their base models.

        >>> row = Row("", (), learner="ridge", stack=("dora:2", "dora_coral:1"))
        >>> row.models(3)
        [('dora', 3), ('dora', 4), ('dora_coral', 3)]
        """
        if not self.stack:
            return [(self.preset, repetition)] if self.preset else []

        models: list[tuple[str, int]] = []
        for word in self.stack:
            preset, _, count = word.partition(":")
            models += [(preset, repetition + seed) for seed in range(int(count))]
        return models


@dataclass(frozen=True)
class PaperTable:
    """One table.

    Parameters
    ----------
    name : what the command calls it
    paper, number, section, title : where the table is printed, and its caption
    split : of the data that its numbers are measured on
    decimals : that the paper prints
    columns, rows : see `Column` and `Row`
    """

    name: str
    paper: str
    number: str
    section: str
    title: str
    split: str
    decimals: int
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]

    @classmethod
    def of(cls, name: str) -> PaperTable:
        """Read a table by name.

        Raises
        ------
        UsageError
            when there is no table of this name.
        """
        one_of(name, TABLES, "table")
        file = files("ensemble.papers").joinpath("tables", f"{name}.toml")
        facts = tomllib.loads(file.read_text(encoding="utf-8"))

        # Every key of the file is a field, so that a misspelt one is an error.
        columns = tuple(_column(words) for words in facts.pop("columns"))
        rows = tuple(_row(row_facts) for row_facts in facts.pop("rows"))
        return cls(name=name, columns=columns, rows=rows, **facts)

    @property
    def aspects(self) -> tuple[str, ...]:
        """The rated qualities among the columns, in their order."""
        return tuple(dict.fromkeys(column.aspect for column in self.columns))

    @property
    def encoders(self) -> tuple[str, ...]:
        """The encoders that its rows were published with."""
        names: list[str] = []
        for row in self.rows:
            names += [row.audio, row.text]
        return tuple(dict.fromkeys(name for name in names if name))

    def twin(self, row: Row) -> Row:
        """The first row that equals this one on the embedded encoders.

        Rows that differ by encoder alone are one and the same model there. A row that
        is like no other is its own twin.
        """
        embedded = _on_embedded_encoders(row)
        return next(
            other for other in self.rows if _on_embedded_encoders(other) == embedded
        )

    def count(self, seeds: int, quick: bool = False) -> int:
        """Number of base models that some repetitions of every row train.

        Parameters
        ----------
        seeds : repetitions of every row
        quick : count those on the embedded encoders, where some rows coincide
        """
        # Rows share base models, and so do the repetitions of a stack.
        trained = set()
        for row in self.rows:
            used_row = self.twin(row) if quick else row
            setup = (row.quick,) if quick else (row.audio, row.text)
            for repetition in range(seeds):
                for model in used_row.models(repetition):
                    trained.add((setup, model))
        return len(trained)


def _on_embedded_encoders(row: Row) -> tuple[str, str]:
    """What distinguishes one row from another on the embedded encoders."""
    # A stack, and a row that cannot be run, equals no other row.
    if not row.preset:
        return row.name, row.quick
    return BaseConfig.preset(row.preset, row.quick).signature(), row.quick


def _column(words: str) -> Column:
    aspect, level, metric = words.split()
    return Column(aspect, level, metric)


def _row(facts: Mapping[str, Any]) -> Row:
    # TOML has lists where a row, which must be hashable, has tuples.
    fields: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in facts.items()
    }
    return Row(**fields)
