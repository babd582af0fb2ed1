"""The verdict in one sentence."""

from __future__ import annotations

from collections.abc import Iterator

from ensemble.reporting.section import Paragraph, ReportContent, Section


def verdict_sections(content: ReportContent) -> Iterator[Section]:
    """Whether the stack beats the best base model and the mean of all."""
    sentence = content.values["verdict"]["sentence"]
    paragraph = Paragraph(sentence, kind="verdict")
    yield Section(paragraphs=(paragraph,), closing_lines=(sentence,))
