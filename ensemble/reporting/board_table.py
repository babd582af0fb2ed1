"""A leaderboard as a table: a row per aspect and model, four metrics at two levels."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from base_models.metrics.evaluate import LEVELS, METRICS
from ensemble.reporting.number_text import cell_text
from ensemble.reporting.section import Column, Record, Row, TextTable
from meta.comparison.compared_rows import STACK

CEILING = "noise ceiling"
METRIC_COLUMNS = tuple(
    Column(metric.upper(), level)
    for level, metric in itertools.product(LEVELS, METRICS)
)


def board_table(
    board: Sequence[Record],
    ceiling: Sequence[Record] = (),
    model_title: str = "model",
) -> TextTable:
    """A leaderboard with its intervals, aspect by aspect.

    Parameters
    ----------
    board : records of `meta.comparison.compared_rows.leaderboard`
    ceiling : records of `base_models.metrics.noise_ceiling.noise_ceiling`: a row below
        the models of each of its aspects
    model_title : title of the second column
    """
    # Records come one by one; the table has all metrics of a model in one row.
    cells = {}
    for record in board:
        place = (record["aspect"], record["model"], record["level"], record["metric"])
        cells[place] = cell_text(record, "value", "low", "high")
    bounds = {}
    for record in ceiling:
        place = (record["aspect"], CEILING, record["level"], record["metric"])
        bounds[place] = cell_text(record, "ceiling", "low", "high")

    # As dicts these are without repetition, in order of appearance.
    aspects = list(dict.fromkeys(record["aspect"] for record in board))
    models = list(dict.fromkeys(record["model"] for record in board))
    aspects_with_ceiling = {record["aspect"] for record in ceiling}

    rows = []
    for aspect in aspects:
        for model in models:
            kind = "stack" if model == STACK else ""
            rows.append(_row(aspect, model, cells, kind))
        if aspect in aspects_with_ceiling:
            rows.append(_row(aspect, CEILING, bounds, "ceiling"))

    columns = (Column("aspect"), Column(model_title), *METRIC_COLUMNS)
    return TextTable(columns, tuple(rows))


def _row(
    aspect: str, model: str, cells: Mapping[tuple[str, str, str, str], str], kind: str
) -> Row:
    """The row of a model from the cells of all (aspect, model, level, metric)."""
    metrics = [
        cells[aspect, model, level, metric]
        for level, metric in itertools.product(LEVELS, METRICS)
    ]
    return Row((aspect, model, *metrics), kind)
