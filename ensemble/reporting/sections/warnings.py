"""What the audit and the meta-learner warn of."""

from __future__ import annotations

from collections.abc import Iterator

from ensemble.reporting.section import Paragraph, ReportContent, Section


def warnings_sections(content: ReportContent) -> Iterator[Section]:
    """One paragraph or line per warning."""
    messages = content.values["warnings"]
    if not messages:
        return
    # The terminal has named the leaks above its tables.
    leaks = content.values["leaks"]
    lines = [f"warning: {message}" for message in messages if message not in leaks]
    yield Section(
        paragraphs=tuple(Paragraph(f"⚠ {message}") for message in messages),
        closing_lines=tuple(lines),
    )
