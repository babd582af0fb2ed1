"""How to read the numbers of a report."""

from __future__ import annotations

from collections.abc import Iterator

from ensemble.reporting.section import Paragraph, ReportContent, Section


def how_to_read_sections(content: ReportContent) -> Iterator[Section]:
    """What the brackets and the names of the metrics mean."""
    text = (
        "In brackets: 95 % percentile interval over resampled systems and prompts that "
        "they share (over clips, where there are no systems). LCC, SRCC and KTAU are "
        "Pearson, Spearman and Kendall tau-b correlations. The true score of a system "
        "is the mean over its clips."
    )
    yield Section(paragraphs=(Paragraph(text),))
