"""What fit_meta shows of a stack's report: leaderboards that fit a screen, and the words around them.

The trap: of fifty base models nobody reads fifty rows, and those that are cut must be said to be.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from base_models.metrics.evaluate import LEVELS, METRICS
from ensemble.reporting.report_tables import CEILING, best_first, board_rows, counts
from meta.comparison.compared_rows import MEAN, STACK

MANY, BEST = 12, 10
"""With more base models than the first, only so many of the best are shown."""


def opening(facts: Mapping[str, Any]) -> Iterator[str]:
    """What is said before any number."""
    if facts["leaks"]:
        more = (
            f"; and {len(facts['leaks']) - 2} more such overlaps"
            if len(facts["leaks"]) > 2
            else ""
        )
        leaks = "; ".join(mark.removeprefix("leaky: ") for mark in facts["leaks"][:2])
        yield f"LEAKY, every number below: {leaks}{more}"
    if facts["demo"]:
        yield "demo corpus: synthetic music and simulated raters; these numbers say nothing about real music"
    yield f"{facts['source']}: {facts['note']}"


def closing(facts: Mapping[str, Any]) -> Iterator[str]:
    """What is said of the numbers."""
    for warning in facts["warnings"]:
        if warning not in facts["leaks"]:  # they were said already
            yield f"warning: {warning}"
    interval = facts["interval_coverage"]
    if interval["shares"]:
        held = ", ".join(
            f"{share:.0%} ({aspect})" for aspect, share in interval["shares"].items()
        )
        yield f"predicted {interval['nominal']:.0%} intervals hold the rating of {held} of the {interval['rows']} clips"


def board_tables(facts: Mapping[str, Any]) -> Iterator[Table]:
    """One table per leaderboard, that of the verdict's rows first."""
    for name in facts["order"]:
        board = facts["leaderboards"][name]
        title = f"{name}: {counts(board)}; 95 % intervals beside SRCC"
        yield _table(title, board, facts["noise_ceiling"].get(name, []))


def _table(
    title: str, board: list[dict[str, Any]], ceiling: list[dict[str, Any]]
) -> Table:
    table = Table(
        title=Text(title, style="italic"), title_justify="left", caption_justify="left"
    )
    for column in ("aspect", "model"):
        table.add_column(column, no_wrap=True)
    for level in LEVELS:
        for metric in METRICS:
            table.add_column(
                f"{level[:3]} {metric.upper()}", justify="right", overflow="fold"
            )
    n_bases = len({row["model"] for row in board} - {STACK, MEAN})
    for aspect, rows in itertools.groupby(
        board_rows(board, ceiling), key=lambda row: row[0]
    ):
        cells_of = {model: cells for _, model, cells in rows}
        shown = (
            cells_of
            if n_bases <= MANY
            else [*best_first(board, aspect, (STACK, MEAN), BEST), CEILING]
        )
        for model in filter(cells_of.__contains__, shown):
            # errors without their interval keep the table within a screen; the report has them all
            cells = [
                cell if k % 4 == 2 else cell.split(" ")[0]
                for k, cell in enumerate(cells_of[model])
            ]
            table.add_row(
                Text(aspect),
                Text(model),
                *cells,
                style="bold" if model == STACK else None,
            )
        table.add_section()
    if n_bases > MANY:
        table.caption = Text(
            f"the {BEST} best of {n_bases} base models by SRCC; the report has {n_bases - BEST} more"
        )
    return table
