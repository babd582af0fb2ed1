"""Sections of a sentence or a few: verdict, warnings, how to read numbers."""

from __future__ import annotations

from collections.abc import Iterator

from ensemble.reporting.section import Paragraph, ReportContent, Section


def verdict_sections(content: ReportContent) -> Iterator[Section]:
    """Whether the stack beats the best base model and the mean of all."""
    sentence = content.values["verdict"]["sentence"]
    paragraph = Paragraph(sentence, kind="verdict")
    yield Section(paragraphs=(paragraph,), closing_lines=(sentence,))


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


def how_to_read_sections(content: ReportContent) -> Iterator[Section]:
    """What the brackets and the names of the metrics mean."""
    text = (
        "In brackets: 95 % percentile interval over resampled systems and prompts that "
        "they share (over clips, where there are no systems). LCC, SRCC and KTAU are "
        "Pearson, Spearman and Kendall tau-b correlations. The true score of a system "
        "is the mean over its clips."
    )
    yield Section(paragraphs=(Paragraph(text),))
