"""The tables of the papers, as data: every number that they print, and which base models stand behind each row here.

One TOML file per table in ``paper_tables/``. The trap: two papers print numbers of the same clips on different splits
(DORA-MOS on test, WhisQ on dev), so each table names its own.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, NamedTuple

from base_models.config import BaseConfig
from base_models.errors import one_of


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
    learner, stack : instead of a preset: ``"ridge"`` or ``"lightgbm"``, and its base models as ``NAME:COUNT`` words
    audio, text : encoders that the row was published with
    quick : training settings that suit the embedded encoders
    note : how ours differs from what was published
    encoding : how the encoders and what is stored of them differ; not true of the embedded ones
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

    def models(self, k: int) -> list[tuple[str, int]]:
        """Presets and seeds that the k-th repetition of this row needs.

        A stack's seeds move along by one, so that two repetitions in a row share most of their base models.

        >>> Row("", (), learner="ridge", stack=("dora:2", "dora_coral:1")).models(3)
        [('dora', 3), ('dora', 4), ('dora_coral', 3)]
        """
        counts = [word.partition(":")[::2] for word in self.stack] or [
            (self.preset, 1 if self.preset else 0)
        ]
        return [
            (name, k + seed) for name, count in counts for seed in range(int(count))
        ]


@dataclass(frozen=True)
class PaperTable:
    """One table.

    Parameters
    ----------
    name : what the command calls it
    paper, number, section, title : where it stands, and its caption
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

    @property
    def aspects(self) -> tuple[str, ...]:
        """The rated qualities among the columns, in their order."""
        return tuple(dict.fromkeys(column.aspect for column in self.columns))

    @property
    def encoders(self) -> tuple[str, ...]:
        """The encoders that its rows were published with."""
        return tuple(
            dict.fromkeys(
                name for row in self.rows for name in (row.audio, row.text) if name
            )
        )

    def twin(self, row: Row) -> Row:
        """The first row that is the same as this one on the embedded encoders: what differs by encoder alone is."""
        mine = _on_embedded(row)
        return next(other for other in self.rows if _on_embedded(other) == mine)

    def count(self, seeds: int, quick: bool = False) -> int:
        """How many base models so many repetitions of every row train, on their encoders or on the embedded ones."""
        rows = map(self.twin, self.rows) if quick else self.rows
        setups = (
            (row, (row.quick,) if quick else (row.audio, row.text)) for row in rows
        )
        return len(
            {
                (setup, model)
                for row, setup in setups
                for k in range(seeds)
                for model in row.models(k)
            }
        )

    @classmethod
    def of(cls, name: str) -> PaperTable:
        """A table by name."""
        file = files("ensemble.papers").joinpath(
            "tables", f"{one_of(name, TABLES, 'table')}.toml"
        )
        facts: Mapping[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
        columns = tuple(Column(*words.split()) for words in facts["columns"])
        return cls(
            **(
                facts
                | {
                    "name": name,
                    "columns": columns,
                    "rows": tuple(map(_row, facts["rows"])),
                }
            )
        )


def _on_embedded(row: Row) -> tuple:
    """What tells one row from another once both are on the embedded encoders."""
    config = (
        BaseConfig.preset(row.preset, row.quick).signature() if row.preset else row.name
    )
    return config, row.quick


def _row(facts: Mapping[str, Any]) -> Row:
    return Row(
        **{
            key: tuple(value) if isinstance(value, list) else value
            for key, value in facts.items()
        }
    )


TABLES = ("table1", "table2", "table3", "table4", "whisq2")
