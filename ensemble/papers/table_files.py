"""A reproduced table as files: Markdown to read, CSV to compute with, JSON with all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from base_models.files import nan_to_none, to_json
from ensemble.papers.claims import claim_lines
from ensemble.papers.measure_rows import Cell
from ensemble.papers.reproduce import Reproduction
from ensemble.papers.table_text import blocks, heading, origin, remarks, summary


def render_files(made: Reproduction) -> dict[str, bytes]:
    """The contents of table.md, table.csv and table.json, by name."""
    return {
        "table.md": _markdown(made).encode(),
        "table.csv": cell_table(made).to_csv(index=False).encode(),
        "table.json": to_json(json_values(made)),
    }


def _markdown(made: Reproduction) -> str:
    table = made.request.table
    lines = [f"# {table.label}, reproduced", ""]
    # Two trailing spaces break the line in Markdown.
    lines += [f"> {sentence}  " for sentence in heading(made)]

    for block in blocks(made):
        rule = ["---", *["---:"] * (len(block.head) - 1)]
        lines += ["", f"## {block.title}", ""]
        lines += [_markdown_row(cells) for cells in (block.head, rule, *block.rows)]

    lines += ["", summary(made)]
    lines += [f"\n{line}" for line in claim_lines(made)]
    lines += ["", "## Rows", ""]
    lines += [f"- **{name}**: {remark}" for name, remark in remarks(made)]
    if made.set_aside:
        lines.append(f"- {len(made.set_aside)} clips set aside")
    return "\n".join(lines) + "\n"


def _markdown_row(cells: Iterable[str]) -> str:
    # A bar would begin another cell.
    escaped = [cell.replace("|", "\\|") for cell in cells]
    return f"| {' | '.join(escaped)} |"


def cell_table(made: Reproduction) -> pd.DataFrame:
    """A row per cell: what it measures, the paper's number and ours."""
    # In every line, or lines that are copied out would pass for the paper's.
    measured_on = " ".join(origin(made))
    lines = []
    for outcome in made.outcomes:
        for cell in outcome.cells:
            line = {
                "row": outcome.row.name,
                "status": outcome.status,
                "reason": outcome.reason,
                **_cell_values(cell),
                "measured": measured_on,
            }
            lines.append(line)

    return pd.DataFrame(lines)


def _cell_values(cell: Cell) -> dict[str, Any]:
    """What a cell measures and its numbers, by name."""
    values = {**cell.column._asdict(), **cell._asdict()}
    del values["column"]
    return values


def json_values(made: Reproduction) -> dict[str, Any]:
    """All of a table as JSON values."""
    request = made.request
    table = request.table
    remark_on = dict(remarks(made))

    rows = []
    for outcome in made.outcomes:
        row = {
            "name": outcome.row.name,
            "status": outcome.status,
            "reason": outcome.reason,
            "remark": remark_on[outcome.row.name],
            # A cell that was not measured has no numbers, and JSON has no NaN.
            "cells": [nan_to_none(_cell_values(cell)) for cell in outcome.cells],
        }
        rows.append(row)

    return {
        "table": table.name,
        "paper": table.paper,
        "number": table.number,
        "split": table.split,
        "paper_split": table.paper_split,
        "musiceval": request.corpus.is_musiceval,
        "system_truth": request.system_truth and request.system_truth.source,
        "quick": request.quick,
        "demo": request.rated.demo,
        "source": request.rated.source,
        "splits": request.rated.note,
        "seeds": request.seeds,
        "overrides": dict(request.overrides),
        "heading": heading(made),
        "summary": summary(made),
        "claims": claim_lines(made),
        "families": dict(table.families),
        "set_aside": [clip.clip_id for clip in made.set_aside],
        "rows": rows,
    }
