"""How well anything could predict such labels."""

from __future__ import annotations

from collections.abc import Iterator

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


def noise_ceiling_sections(content: ReportContent) -> Iterator[Section]:
    """Reliability of the labels and the ceiling that follows from it."""
    for rows_name, records in content.values["noise_ceiling"].items():
        if not records:
            continue
        text = (
            "What a perfect predictor would score against labels that are means of so "
            "few raters; the MSE has a floor. Raters are halved, each on the same side "
            "for all clips, so that it counts which raters clips and systems share."
        )
        yield Section(
            title=f"{rows_name}: {CEILING}",
            paragraphs=(Paragraph(text),),
            tables=(TextTable.plain(TITLES, [_cells(record) for record in records]),),
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
