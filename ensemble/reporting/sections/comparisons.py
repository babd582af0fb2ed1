"""The comparisons that the verdict is made of."""

from __future__ import annotations

from collections.abc import Iterator

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
    "against",
    "stack",
    "other",
    "difference [95 %]",
    "P(stack better)",
    "p",
    "p, Holm",
    "said",
    "n",
)


def comparisons_sections(content: ReportContent) -> Iterator[Section]:
    """Every metric of the stack minus that of the best base model and of the mean."""
    verdict = content.values["verdict"]
    if not verdict["comparisons"]:
        return
    text = (
        "Differences are the stack's metric minus the other's; p is that of sign-flips "
        "over systems, Holm-adjusted over the rows that the verdict draws on."
    )
    cells = [_cells(comparison) for comparison in verdict["comparisons"]]
    yield Section(
        title=f"{verdict['rows']}: comparisons",
        paragraphs=(Paragraph(text),),
        tables=(TextTable.plain(TITLES, cells),),
    )


def _cells(comparison: Record) -> list[str]:
    # The mean of the base models is a rival without a name of its own.
    rival = comparison["rival"]
    model = comparison["model"]
    against = rival if model == rival else f"{rival} ({model})"
    return [
        comparison["aspect"],
        comparison["level"],
        comparison["metric"],
        against,
        cell_text(comparison, "stack"),
        cell_text(comparison, "other"),
        cell_text(comparison, "difference", "low", "high"),
        cell_text(comparison, "p_better"),
        cell_text(comparison, "p"),
        cell_text(comparison, "p_holm"),
        comparison["said"],
        str(comparison["n"]),
    ]
