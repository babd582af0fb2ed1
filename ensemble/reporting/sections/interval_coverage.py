"""How many ratings the predicted intervals hold, in one sentence."""

from __future__ import annotations

from collections.abc import Iterator

from ensemble.reporting.section import Paragraph, ReportContent, Section


def interval_coverage_sections(content: ReportContent) -> Iterator[Section]:
    """Nominal coverage and the share of ratings that was covered, per aspect."""
    coverage = content.values["interval_coverage"]
    if not coverage["shares"]:
        return
    shares = ", ".join(
        f"{share:.0%} ({aspect})" for aspect, share in coverage["shares"].items()
    )
    held = (
        f"{coverage['nominal']:.0%} intervals hold the rating of {shares} of the "
        f"{coverage['rows']} clips"
    )
    yield Section(
        paragraphs=(Paragraph(f"Predicted {held}."),),
        closing_lines=(f"predicted {held}",),
    )
