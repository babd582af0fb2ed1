"""Leaderboards: the stack, the mean, a constant, all base models, the noise ceiling.

Those of rows that the stack was fitted on measure nothing, and come last.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from base_models.metrics.evaluate import LEVELS
from ensemble.prediction_files.read_system_truth import MEANS
from ensemble.reporting.answers.terms import CEILING as CEILING_TERM
from ensemble.reporting.answers.terms import (
    METRIC_TERMS,
    ROWS_TERMS,
    SYSTEM,
    UTTERANCE,
)
from ensemble.reporting.answers.terms import STACK as STACK_TERM
from ensemble.reporting.board_table import CEILING, board_table
from ensemble.reporting.number_text import without_interval
from ensemble.reporting.section import (
    Column,
    Paragraph,
    Record,
    ReportContent,
    Row,
    Section,
    TextTable,
)
from meta.comparison.compared_rows import CONSTANT, NOT_BASES

MANY_MODELS = 12
"""With more base models than this, the terminal shows only the best of them."""
BEST_MODELS = 10
"""How many base models the terminal then shows per aspect."""
FITTED = " (FITTED ON: not a measure)"
"""What the title of a board of rows that the stack was fitted on says of them."""
FITTED_MARK = "†"
FITTED_NOTE = (
    f"{FITTED_MARK} The stack was fitted on these clips, so they do not say how good "
    "it is; beside the clips that it had not seen, they show how far it over-fits."
)
CONSTANT_MARK = "≡"
CONSTANT_NOTE = (
    f"{CONSTANT_MARK} marks what predicts the same, or nearly the same, for every "
    "clip: it has no order to speak of."
)
BOARD_NOTE = (
    "Who predicts the ratings best: small errors (MSE) and high correlations (LCC, "
    "SRCC, KTAU) are good, for single clips (utterance) and for means of systems."
)


def leaderboards_sections(content: ReportContent) -> Iterator[Section]:
    """One leaderboard per kind of rows that measure, those of the verdict first."""
    fitted = content.values.get("fitted_rows", [])
    for rows_name in content.values["order"]:
        if rows_name not in fitted:
            yield _board_section(content, rows_name)


def fitted_leaderboards_sections(content: ReportContent) -> Iterator[Section]:
    """In small print, a leaderboard per kind of rows that the stack was fitted on."""
    fitted = content.values.get("fitted_rows", [])
    for rows_name in content.values["order"]:
        if rows_name in fitted:
            section = _board_section(content, rows_name, suffix=FITTED)
            small = [_fitted(table) for table in section.tables]
            on_screen = [replace(table, small=True) for table in section.screen_tables]
            yield replace(
                section,
                paragraphs=(Paragraph(FITTED_NOTE, kind="small"), *section.paragraphs),
                tables=tuple(small),
                screen_tables=tuple(on_screen),
            )


def _board_section(content: ReportContent, rows_name: str, suffix: str = "") -> Section:
    """One leaderboard, on the page and within a screen."""
    board = content.values["leaderboards"][rows_name]
    # The ceiling is known for the rows of the verdict alone.
    ceiling = content.values["noise_ceiling"].get(rows_name, [])
    table = board_table(board, ceiling)

    title = f"{rows_name}{suffix}: {counts(board)}"
    # The page says at its end what the true score of a system is.
    has_intervals = any(record["low"] is not None for record in board)
    beside = "95 % intervals beside SRCC; " if has_intervals else ""
    screen_title = f"{title}; {beside}{MEANS}"
    screen_table = replace(_for_screen(table, board), title=screen_title)
    constant = content.values.get("constant_models", {}).get(rows_name, {})
    warning = constant_warning(constant)
    paragraphs = [Paragraph(BOARD_NOTE)]
    if constant or CONSTANT in {record["model"] for record in board}:
        paragraphs.append(Paragraph(CONSTANT_NOTE, kind="small"))
    if warning:
        paragraphs.append(Paragraph(f"{warning[0].upper()}{warning[1:]}."))
        notes = [note for note in (screen_table.note, warning) if note]
        screen_table = replace(screen_table, note="; ".join(notes))
    return Section(
        title=title,
        paragraphs=tuple(paragraphs),
        tables=(_with_constants(table, constant),),
        screen_tables=(screen_table,),
        terms=(*METRIC_TERMS, UTTERANCE, SYSTEM, STACK_TERM, CEILING_TERM, *ROWS_TERMS),
    )


def _fitted(table: TextTable) -> TextTable:
    """The table in small print, each of its rows marked as fitted."""
    rows = [
        Row((row.cells[0], f"{FITTED_MARK} {row.cells[1]}", *row.cells[2:]), "fitted")
        for row in table.rows
    ]
    return replace(table, rows=tuple(rows), small=True)


def _with_constants(
    table: TextTable, constant: Mapping[str, Sequence[str]]
) -> TextTable:
    """The table with a mark before the names of what predicts a constant."""
    rows = []
    for row in table.rows:
        aspect, model, *metrics = row.cells
        if model == CONSTANT:
            row = Row((aspect, f"{CONSTANT_MARK} {model}", *metrics), "constant")
        elif model in constant.get(str(aspect), ()):
            name = f"{CONSTANT_MARK} {model} (nearly constant)"
            row = Row((aspect, name, *metrics), row.kind or "constant")
        rows.append(row)
    return replace(table, rows=tuple(rows))


def constant_warning(constant: Mapping[str, Sequence[str]]) -> str:
    """Which base models predict nearly the same for every clip; "" if none does.

    >>> constant_warning({"mi": ["dora-s0", "dora-s1"]})
    'predicts nearly the same for every clip: mi: dora-s0, dora-s1'
    """
    named = [f"{aspect}: {', '.join(models)}" for aspect, models in constant.items()]
    if not named:
        return ""
    return f"predicts nearly the same for every clip: {'; '.join(named)}"


def counts(board: Sequence[Record]) -> str:
    """How many clips and systems a leaderboard counts.

    A range where aspects or models differ; a single system is not worth a word.

    >>> counts([{"level": "utterance", "n": 8}, {"level": "system", "n": 7}])
    '8 clips, 7 systems'
    """
    n_clips = _span(board, "utterance")
    n_systems = _span(board, "system")
    text = f"{n_clips} clips"
    return text if n_systems == "1" else f"{text}, {n_systems} systems"


def _span(board: Sequence[Record], level: str) -> str:
    """The least and the largest count of a level, or the one count there is."""
    numbers = [record["n"] for record in board if record["level"] == level]
    least = min(numbers)
    most = max(numbers)
    return f"{least}" if least == most else f"{least}-{most}"


def best_first(
    board: Sequence[Record], aspect: str, kept: Sequence[str], limit: int
) -> list[str]:
    """The models in `kept`, then the others of highest system SRCC.

    Parameters
    ----------
    board : records of a leaderboard
    aspect : whose SRCC counts; that of utterances where systems have none
    kept : names that come first in any case
    limit : how many others are named
    """
    srcc: dict[str, dict[str, float | None]] = {level: {} for level in LEVELS}
    for record in board:
        if record["aspect"] == aspect and record["metric"] == "srcc":
            srcc[record["level"]][record["model"]] = record["value"]

    # Without systems their level stands in the board, but undefined.
    by_system = srcc["system"]
    by_model = by_system
    if all(value is None for value in by_system.values()):
        by_model = srcc["utterance"]

    # Scores that are all equal have no rank correlation: such models come last.
    heights = {}
    for model, value in by_model.items():
        heights[model] = -math.inf if value is None else value
    others = [model for model in by_model if model not in kept]
    others.sort(key=heights.__getitem__, reverse=True)
    first = [model for model in kept if model in by_model]
    return first + others[:limit]


def _for_screen(table: TextTable, board: Sequence[Record]) -> TextTable:
    """The table within the width and height of a terminal; the page has all of it."""
    rows = list(table.rows)
    note = ""
    n_models = len({record["model"] for record in board} - set(NOT_BASES))
    if n_models > MANY_MODELS:
        rows = _best_rows(rows, board)
        note = (
            f"the {BEST_MODELS} best of {n_models} base models by SRCC; the report has "
            f"{n_models - BEST_MODELS} more"
        )

    narrow_rows = [Row(_narrow(row, table.columns), row.kind) for row in rows]
    return TextTable(table.columns, tuple(narrow_rows), note=note)


def _narrow(row: Row, columns: Sequence[Column]) -> tuple[str, ...]:
    """The cells of a row, with intervals beside SRCC alone."""
    # Every interval would make the table wider than a screen.
    cells = []
    for column, cell in zip(columns, row.words, strict=True):
        if column.level and column.title != "SRCC":
            cells.append(without_interval(cell))
        else:
            cells.append(cell)
    return tuple(cells)


def _best_rows(rows: Sequence[Row], board: Sequence[Record]) -> list[Row]:
    """Per aspect: the stack, mean, constant, best base models, and the ceiling."""
    by_name = {row.words[:2]: row for row in rows}
    aspects = list(dict.fromkeys(row.words[0] for row in rows))

    best_rows = []
    for aspect in aspects:
        best = best_first(board, aspect, NOT_BASES, BEST_MODELS)
        best_rows += [by_name[aspect, model] for model in best]
        # Only aspects with single ratings have a ceiling.
        if (aspect, CEILING) in by_name:
            best_rows.append(by_name[aspect, CEILING])
    return best_rows
