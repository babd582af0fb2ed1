"""How well anything could predict such labels."""

from __future__ import annotations

from collections.abc import Iterator

from ensemble.reporting.answers.terms import CEILING as CEILING_TERM
from ensemble.reporting.answers.terms import METRIC_TERMS, RELIABILITY
from ensemble.reporting.board_table import CEILING
from ensemble.reporting.number_text import cell_text
from ensemble.reporting.section import (
    Paragraph,
    Record,
    ReportContent,
    Section,
    TextTable,
)

TITLES = (
    "aspect",
    "level",
    "metric",
    "reliability",
    "ceiling [95 %]",
    "n",
    "raters per clip",
)
_DETAILS = (
    "Raters are halved, each on the same side for all clips, so that it counts which "
    "raters clips and systems share."
)


def noise_ceiling_sections(content: ReportContent) -> Iterator[Section]:
    """Reliability of the labels and the ceiling that follows from it."""
    for rows_name, records in content.values["noise_ceiling"].items():
        if not records:
            continue
        text = (
            "Not even a perfect predictor would agree fully with means of so few "
            "raters: this is how far it would get, and for the MSE how near."
        )
        yield Section(
            title=f"{rows_name}: {CEILING}",
            paragraphs=(Paragraph(text), Paragraph(_DETAILS, kind="small")),
            tables=(TextTable.plain(TITLES, [_cells(record) for record in records]),),
            terms=(CEILING_TERM, RELIABILITY, *METRIC_TERMS),
        )


def _cells(record: Record) -> list[str]:
    return [
        record["aspect"],
        record["level"],
        record["metric"],
        cell_text(record, "reliability"),
        cell_text(record, "ceiling", "low", "high"),
        str(record["n"]),
        cell_text(record, "raters"),
    ]
