"""The tables of the papers as data: every printed number, and the models behind it.

There is one TOML file per table in ``tables/``. The papers print numbers of the same
clips on different splits (DORA-MOS on test, WhisQ on dev), so each table names its own.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.resources import files
from typing import Any, NamedTuple

from base_models.clips.columns import is_judged_by_text
from base_models.errors import UsageError, one_of
from base_models.model_presets import read_preset
from base_models.pooled_config import POOLED_MODELS

TABLES = ("table1", "table2", "table3", "table4", "whisq2", "muq_eval")
SPLITS = ("dev", "test")
"""Splits that a table can be measured on; base models are trained on the third."""


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
    settings : whose training settings the row has, to follow "settings"
    note : how ours differs from what was published
    families : names of the notes that hold for all rows of its kinds
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
    settings: str = "of the paper"
    note: str = ""
    families: tuple[str, ...] = ()
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
class Claim:
    """A gain of one row over another that the paper states in its text.

    Parameters
    ----------
    stated : as the paper prints it
    place : where
    row, over : names of two rows of the table
    column : of the table
    """

    stated: str
    place: str
    row: str
    over: str
    column: Column


@dataclass(frozen=True)
class PaperTable:
    """One table.

    Parameters
    ----------
    name : what the command calls it
    paper, number, section, title : where the table is printed, and its caption
    split : of the data that numbers are measured on; ``"all"`` for cross-validation
    decimals : that the paper prints
    columns, rows : see `Column` and `Row`
    paper_split : that the paper's numbers are measured on
    folds : of the cross-validation over all clips, or 0
    ranked : name of the row whose rank among the others is stated, or ""
    ranks_stated : what the paper says of it in its text, or ""
    claims : see `Claim`
    families : notes that hold for all rows of a kind, by name
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
    paper_split: str = ""
    folds: int = 0
    ranked: str = ""
    ranks_stated: str = ""
    claims: tuple[Claim, ...] = ()
    families: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, name: str) -> PaperTable:
        """Read a table by name.

        Raises
        ------
        UsageError
            when there is no table of this name.
        """
        one_of(name, TABLES, "table")
        facts = _read(name)
        notes = _read("families")

        # Every key of the file is a field, so that a misspelt one is an error.
        columns = tuple(_column(words) for words in facts.pop("columns"))
        # What the table says of all its rows, a row may say otherwise.
        shared = facts.pop("every_row", {})
        rows = tuple(_row({**shared, **own}) for own in facts.pop("rows"))
        claims = tuple(_claim(claim_facts) for claim_facts in facts.pop("claims", ()))
        # As a dict without repetition, in order of appearance.
        families = dict.fromkeys(name for row in rows for name in row.families)
        return cls(
            name=name,
            columns=columns,
            rows=rows,
            claims=claims,
            families={family: notes[family] for family in families},
            paper_split=facts["split"],
            **facts,
        )

    def measured_on(self, split: str) -> PaperTable:
        """The same table, to be measured on another split than the paper's.

        Raises
        ------
        UsageError
            when there is no such split, or the table is one of cross-validation.
        """
        one_of(split, SPLITS, "split")
        if self.folds:
            raise UsageError(
                f"{self.name} is a cross-validation over all clips; leave --split out."
            )
        return replace(self, split=split)

    @property
    def label(self) -> str:
        """The paper, and the number of the table where it has one."""
        return f"{self.paper}, Table {self.number}" if self.number else self.paper

    @property
    def aspects(self) -> tuple[str, ...]:
        """The rated qualities among the columns, in their order."""
        return tuple(dict.fromkeys(column.aspect for column in self.columns))

    @property
    def reads_prompts(self) -> bool:
        """Whether some aspect is judged against the prompt."""
        return any(map(is_judged_by_text, self.aspects))

    @property
    def encoders(self) -> tuple[str, ...]:
        """The encoders that its rows were published with."""
        names: list[str] = []
        for row in self.rows:
            names.append(row.audio)
            if self.reads_prompts:
                names.append(row.text)
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
        return len(trained) * max(self.folds, 1)


def _on_embedded_encoders(row: Row) -> tuple[str, str]:
    """What distinguishes one row from another on the embedded encoders."""
    # A stack, and a row that cannot be run, equals no other row.
    if not row.preset:
        return row.name, row.quick
    # Models on pooled embeddings have no training settings.
    settings = None if row.preset in POOLED_MODELS else row.quick
    return read_preset(row.preset, settings).signature(), row.quick


def _read(name: str) -> dict[str, Any]:
    """The contents of a file in ``tables/``."""
    file = files("ensemble.papers").joinpath("tables", f"{name}.toml")
    return tomllib.loads(file.read_text(encoding="utf-8"))


def _claim(facts: Mapping[str, Any]) -> Claim:
    return Claim(**{**facts, "column": _column(facts["column"])})


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
