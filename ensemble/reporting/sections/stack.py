"""Which stack was measured, and on which clips."""

from __future__ import annotations

from collections.abc import Iterator

from ensemble.reporting.section import Paragraph, ReportContent, Section


def stack_sections(content: ReportContent) -> Iterator[Section]:
    """The meta-learner, the clip table, and a note on how it was split."""
    values = content.values
    learner = f"Meta-learner {values['learner']}"
    text = f"{learner}, clips from {values['source']}; {values['note']}."
    line = f"{values['source']}: {values['note']}"
    yield Section(paragraphs=(Paragraph(text, lead=learner),), opening_lines=(line,))
