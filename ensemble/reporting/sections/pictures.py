"""The pictures of the page, per aspect; what they look like is in `figures.py`."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import pandas as pd

from ensemble.reporting.figures import (
    draw_contributions,
    draw_coverage,
    draw_pit,
    draw_scores,
)
from ensemble.reporting.section import Drawing, ReportContent, Section
from meta.comparison.compared_rows import ComparedRows


def pictures_sections(content: ReportContent) -> Iterator[Section]:
    """Scores against ratings, contributions, coverage and PIT of each aspect."""
    # Without the compared rows there is no page to draw for.
    if content.compared is None:
        return
    rows_name = content.values["verdict"]["rows"]
    for k, aspect in enumerate(content.compared.rows.aspects):
        drawings = [
            *_of_scores(content.compared, k),
            *_of_contributions(content, aspect),
            *_of_calibration(content, aspect),
        ]
        if drawings:
            yield Section(title=f"{rows_name}: {aspect}", drawings=tuple(drawings))


def _of_scores(compared: ComparedRows, aspect: int) -> Iterator[Drawing]:
    labels = compared.rows.labels[:, aspect]
    labelled = np.flatnonzero(~np.isnan(labels))
    if len(labelled) and compared.stack_scores is not None:
        draw = partial(
            draw_scores,
            rated=labels[labelled],
            predicted=compared.stack_scores[labelled, aspect],
            systems=compared.rows.systems[labelled],
        )
        yield Drawing(compared.rows.aspects[aspect], draw)


def _of_contributions(content: ReportContent, aspect: str) -> Iterator[Drawing]:
    for records in content.values["contributions"].values():
        of_aspect = [
            record
            for record in records
            if record["aspect"] == aspect and record["metric"] == "mse"
        ]
        if of_aspect:
            draw = partial(draw_contributions, table=pd.DataFrame(of_aspect))
            yield Drawing(f"{aspect}: Shapley values", draw)


def _of_calibration(content: ReportContent, aspect: str) -> Iterator[Drawing]:
    for by_aspect in content.values["calibration"].values():
        if aspect in by_aspect:
            coverage = pd.DataFrame(by_aspect[aspect]["coverage"])
            pit = by_aspect[aspect]["pit"]
            draw_intervals = partial(draw_coverage, table=coverage)
            yield Drawing(f"{aspect}: intervals", draw_intervals)
            yield Drawing(f"{aspect}: PIT", partial(draw_pit, counts=pit))
