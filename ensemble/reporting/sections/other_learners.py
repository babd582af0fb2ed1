"""Other learners, fitted and measured as the chosen one was, and all of their fits."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace

from base_models.metrics.evaluate import LEVELS
from ensemble.reporting.answers.terms import LEARNER, ROWS_TERMS
from ensemble.reporting.board_table import board_table
from ensemble.reporting.number_text import cell_text
from ensemble.reporting.section import (
    Column,
    Paragraph,
    Record,
    ReportContent,
    Row,
    Section,
    TextTable,
)
from meta.assessment import LEAKY, OVERFITTING_METRICS
from meta.comparison.compared_rows import STACK
from meta.comparison.held_out_trial import TRAINING, VALIDATION

SIDES = {TRAINING: "fit", VALIDATION: "new"}
"""What the columns call the two sides."""
_QUESTION = (
    "Would another way of combining the same base models do better? Each was fitted on "
    "the clips of meta-training and judged on those of meta-validation."
)


def other_learners_sections(content: ReportContent) -> Iterator[Section]:
    """A leaderboard of learners, with how long it took to fit and to predict."""
    for rows_name, records in content.values["learners"].items():
        if not records:
            continue
        # Times are of all aspects together: any record of a learner has them.
        times: dict[str, tuple[str, ...]] = {}
        columns: tuple[Column, ...] = ()
        for record in records:
            times[record["model"]] = ()
            # What is read from a file has none, unless an older version wrote it.
            if "fit_seconds" in record:
                fit_time = f"{record['fit_seconds']:.2f}"
                predict_time = f"{record['predict_seconds']:.3f}"
                times[record["model"]] = (fit_time, predict_time)
                columns = (Column("fit, s"), Column("predict, s"))

        board = board_table(records, model_title="learner")
        rows = []
        for row in board.rows:
            learner = row.words[1]
            rows.append(Row((*row.cells, *times[learner]), row.kind))
        yield Section(
            title=f"{rows_name}: other learners, fitted on the same clips",
            paragraphs=(Paragraph(_QUESTION),),
            terms=(LEARNER, *ROWS_TERMS),
            tables=(TextTable((*board.columns, *columns), tuple(rows)),),
        )


def overfitting_sections(content: ReportContent) -> Iterator[Section]:
    """MSE and SRCC of every learner on the meta-training and meta-validation rows."""
    records = content.values.get("overfitting", [])
    if not records:
        return
    mark = f"{LEAKY} " if content.values["leaks"] else ""
    title = f"{mark}Over-fitting: {TRAINING} (fit) beside {VALIDATION} (new)"
    text = (
        "What a learner reaches on the clips that it was fitted on (fit) says how well "
        "it can learn them by heart; only the others (new) say what it does on new "
        "clips."
    )
    table = _sides_table(records, content.values["learner"])
    yield Section(
        title=title,
        paragraphs=(Paragraph(text),),
        terms=(LEARNER, *ROWS_TERMS),
        tables=(table,),
        screen_tables=(replace(table, title=title),),
    )


def _sides_table(records: Sequence[Record], chosen: str) -> TextTable:
    """A row per aspect and learner; both sides of a metric stand side by side."""
    cells: dict[tuple[str, str], list[str]] = {}
    places = {
        (record["aspect"], record["model"], record["level"], record["metric"]): record
        for record in records
    }
    for record in records:
        cells.setdefault((record["aspect"], record["model"]), [])
    for (aspect, model), row in cells.items():
        for level, metric in itertools.product(LEVELS, OVERFITTING_METRICS):
            record = places[aspect, model, level, metric]
            row.extend(cell_text(record, side) for side in SIDES)

    columns = [Column("aspect"), Column("learner")]
    for level, metric in itertools.product(LEVELS, OVERFITTING_METRICS):
        for side in SIDES.values():
            columns.append(Column(f"{metric.upper()} {side}", level))

    rows = []
    for (aspect, model), row in sorted(cells.items(), key=lambda item: item[0][0]):
        is_stack = model == STACK
        name = f"{chosen} (the stack)" if is_stack else model
        rows.append(Row((aspect, name, *row), "stack" if is_stack else ""))
    return TextTable(tuple(columns), tuple(rows))
