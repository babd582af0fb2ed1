"""The pictures of the page, per aspect; what they look like is in `figures.py`."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import pandas as pd

from ensemble.reporting.answers.terms import PIT, SHAPLEY, aspect_terms
from ensemble.reporting.answers.words import rows_words
from ensemble.reporting.figures import (
    draw_contributions,
    draw_coverage,
    draw_pit,
    draw_scores,
)
from ensemble.reporting.section import Drawing, Paragraph, ReportContent, Section
from meta.comparison.compared_rows import ComparedRows

_EXPLAINED = "Each title says what a good stack looks like."


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
            yield Section(
                title=f"{aspect} in pictures, {rows_words(rows_name)}",
                paragraphs=(Paragraph(_EXPLAINED),),
                drawings=tuple(drawings),
                terms=(PIT, SHAPLEY, *aspect_terms([aspect])),
            )


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
        name = compared.rows.aspects[aspect]
        words = f"Predicted {name} against the ratings, a dot per clip."
        yield Drawing(f"{name}: near the line is right", draw, words)


def _of_contributions(content: ReportContent, aspect: str) -> Iterator[Drawing]:
    for records in content.values["contributions"].values():
        of_aspect = [
            record
            for record in records
            if record["aspect"] == aspect and record["metric"] == "mse"
        ]
        if of_aspect:
            draw = partial(draw_contributions, table=pd.DataFrame(of_aspect))
            words = f"Shapley values of {aspect}, as in the table of contributions."
            yield Drawing(f"{aspect}: what each model adds", draw, words)


def _of_calibration(content: ReportContent, aspect: str) -> Iterator[Drawing]:
    for by_aspect in content.values["calibration"].values():
        if aspect in by_aspect:
            coverage = pd.DataFrame(by_aspect[aspect]["coverage"])
            pit = by_aspect[aspect]["pit"]
            draw_intervals = partial(draw_coverage, table=coverage)
            words = f"Share of ratings that intervals held, as in the table: {aspect}."
            title = f"{aspect}: on the line, intervals hold"
            yield Drawing(title, draw_intervals, words)
            words = f"How often ratings of {aspect} fall where in their distributions."
            draw_places = partial(draw_pit, counts=pit)
            yield Drawing(f"{aspect}: flat is right (PIT)", draw_places, words)
