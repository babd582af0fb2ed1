"""A reproduced table as text: Markdown to read, CSV to compute with, JSON with everything; and the same for a terminal.

The trap: numbers of a quick run look like any others once they are copied out. What they were measured on stands above
the Markdown and in every line of the CSV.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator

import pandas as pd

from base_models.files import to_json
from base_models.metrics.evaluate import METRICS
from ensemble.papers.reproduce import (
    MEASURED,
    N_BOOTSTRAP,
    QUICK_ENCODERS,
    Cell,
    Outcome,
    Reproduction,
)

BETTER = {name: "↓" if name == "mse" else "↑" for name in METRICS}
DEMO = "DEMO CORPUS: synthetic music and simulated raters; these numbers say nothing about real music."
QUICK = "QUICK RUN with the embedded encoders {} and {} and few epochs: these numbers are not the paper's."
READING = (
    "Ours is the mean over {} (least to most of them) [95 % interval of the mean over {} resamples of the systems, and "
    "prompts where systems share them]"
)
COMPARED = (
    "; 'in' when the paper's number lies in that interval, 'out' when not. 'in' means only that the paper's number is "
    "compatible with our interval, which is wide with few systems; it does not mean 'reproduced'."
)
NOT_COMPARED = ". The paper's numbers stand beside ours for the look of the table, and are not compared with them."


def heading(made: Reproduction) -> list[str]:
    """What was measured, on what, and how to read it: sentences that stand above the table."""
    request = made.request
    seeds = f"{request.seeds} seed{'s' * (request.seeds > 1)}"
    return [
        *origin(made),
        READING.format(seeds, N_BOOTSTRAP)
        + (COMPARED if request.compared else NOT_COMPARED),
    ]


def origin(made: Reproduction) -> list[str]:
    """What was measured, and on what; in every form of the table, and first of all whether it is a trial."""
    request, table = made.request, made.request.table
    lines = [QUICK.format(*QUICK_ENCODERS)] if request.quick else []
    lines += [DEMO] if request.rated.demo else []
    lines.append(
        f"{table.paper}, Table {table.number} (section {table.section}): {table.title}."
    )
    lines.append(f"The paper: {table.split} split of MusicEval.")
    lines.append(
        f"Ours: {table.split} split of {request.rated.source}{_counts(made)}; {request.rated.note}."
    )
    if request.overrides:
        changed = ", ".join(
            f"{key} = {value}" for key, value in request.overrides.items()
        )
        lines.append(f"Settings laid over every row: {changed}.")
    return lines


def _counts(made: Reproduction) -> str:
    """How many clips and systems were measured."""
    words = {"utterance": "clips", "system": "systems"}
    cells = next(
        (outcome.cells for outcome in made.outcomes if outcome.status == MEASURED), ()
    )
    counts = dict.fromkeys(f"{cell.n} {words[cell.column.level]}" for cell in cells)
    return f" ({', '.join(counts)})" if counts else ""


def summary(made: Reproduction) -> str:
    """How many of the paper's numbers lie inside our intervals, unless it is a trial, and which rows failed."""
    judged = [
        cell.inside
        for outcome in made.outcomes
        for cell in outcome.cells
        if cell.inside is not None
    ]
    failed = (
        f" Failed: {', '.join(outcome.row.name for outcome in made.failed)}."
        if made.failed
        else ""
    )
    if not made.request.compared:
        return f"This is a trial, and says nothing about the paper.{failed}"
    return f"{sum(judged)} of {len(judged)} of the paper's numbers lie inside our intervals.{failed}"


def ours(outcome: Outcome, cell: Cell, decimals: int) -> str:
    """Our side of a cell."""
    if outcome.status != MEASURED:
        return outcome.status
    if not math.isfinite(cell.value):
        return "undefined"
    value, least, most, low, high = (f"{number:.{decimals}f}" for number in cell[2:7])
    text = f"{value} ({least} to {most})" if cell.least < cell.most else value
    if not (math.isfinite(cell.low) and math.isfinite(cell.high)):
        return text
    return (
        f"{text} [{low}, {high}]" + {None: "", True: " in", False: " out"}[cell.inside]
    )


def blocks(made: Reproduction) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    """The table in parts, one per aspect and level: title, head, and rows of text, the paper's number beside ours."""
    table = made.request.table
    for aspect, level in dict.fromkeys(
        (column.aspect, column.level) for column in table.columns
    ):
        chosen = [
            k
            for k, column in enumerate(table.columns)
            if (column.aspect, column.level) == (aspect, level)
        ]
        head = [""]
        for k in chosen:
            metric = table.columns[k].metric
            head += [f"{metric.upper()} {BETTER[metric]} paper", "ours"]
        lines = []
        for outcome in made.outcomes:
            cells = [outcome.cells[k] for k in chosen]
            pairs = (
                (
                    f"{cell.paper:.{table.decimals}f}",
                    ours(outcome, cell, table.decimals),
                )
                for cell in cells
            )
            lines.append([outcome.row.name, *(text for pair in pairs for text in pair)])
        yield f"{aspect}, {level} level", head, lines


def remarks(made: Reproduction) -> list[tuple[str, str]]:
    """What stands behind each row: models, encoders, how it differs from the paper, or why it was not measured."""
    found = []
    for outcome in made.outcomes:
        parts = (
            [_behind(made, outcome)] if outcome.row.preset or outcome.row.stack else []
        )
        parts += [f"{outcome.status}: {outcome.reason}"] if outcome.reason else []
        about_encoders = "" if made.request.quick else outcome.row.encoding
        parts += [
            part for part in (about_encoders, outcome.row.note, outcome.facts) if part
        ]
        found.append((outcome.row.name, "; ".join(parts)))
    return found


def _behind(made: Reproduction, outcome: Outcome) -> str:
    row, (audio, text, settings) = outcome.row, made.request.setup(outcome.row)
    twin = made.request.table.twin(row) if made.request.quick else row
    if twin is not row:
        return f"'{twin.name}' again: the two rows differ by encoder alone, and coincide on the embedded ones"
    what = f"{row.learner} over {' '.join(row.stack)}" if row.stack else row.preset
    names = (word.partition("=")[0] for word in (audio, text))
    said = f"{what} on {' and '.join(names)}, settings {settings or 'of the paper'}"
    return said + (
        "; each repetition takes the next seeds, and splits the dev clips anew"
        if row.stack
        else ""
    )


def render_files(made: Reproduction) -> dict[str, bytes]:
    """table.md, table.csv and table.json."""
    return {
        "table.md": _markdown(made).encode(),
        "table.csv": _csv(made).encode(),
        "table.json": to_json(_values(made)),
    }


def _markdown(made: Reproduction) -> str:
    table = made.request.table
    lines = [f"# {table.paper}, Table {table.number}, reproduced", ""]
    lines += [f"> {line}  " for line in heading(made)]
    for title, head, rows in blocks(made):
        lines += [
            "",
            f"## {title}",
            "",
            _line(head),
            _line(["---", *["---:"] * (len(head) - 1)]),
            *map(_line, rows),
        ]
    lines += ["", summary(made), "", "## Rows", ""]
    lines += [f"- **{name}**: {remark}" for name, remark in remarks(made)]
    lines += [f"- {len(made.set_aside)} clips set aside"] if made.set_aside else []
    return "\n".join(lines) + "\n"


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _csv(made: Reproduction) -> str:
    measured, lines = " ".join(origin(made)), []
    for outcome in made.outcomes:
        about = {
            "row": outcome.row.name,
            "status": outcome.status,
            "reason": outcome.reason,
        }
        for cell in outcome.cells:
            lines.append(
                about | cell.column._asdict() | _numbers(cell) | {"measured": measured}
            )
    buffer = io.StringIO()
    pd.DataFrame(lines).to_csv(buffer, index=False)
    return buffer.getvalue()


def _numbers(cell: Cell) -> dict:
    return {key: value for key, value in cell._asdict().items() if key != "column"}


def _values(made: Reproduction) -> dict:
    request, table = made.request, made.request.table
    notes = dict(remarks(made))
    return {
        "table": table.name,
        "paper": table.paper,
        "number": table.number,
        "split": table.split,
        "quick": request.quick,
        "demo": request.rated.demo,
        "source": request.rated.source,
        "splits": request.rated.note,
        "seeds": request.seeds,
        "overrides": dict(request.overrides),
        "heading": heading(made),
        "summary": summary(made),
        "set_aside": [bad.clip_id for bad in made.set_aside],
        "rows": [
            {
                "name": outcome.row.name,
                "status": outcome.status,
                "reason": outcome.reason,
                "remark": notes[outcome.row.name],
                "cells": [
                    cell.column._asdict() | _json(cell) for cell in outcome.cells
                ],
            }
            for outcome in made.outcomes
        ],
    }


def _json(cell: Cell) -> dict:
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in _numbers(cell).items()
    }
