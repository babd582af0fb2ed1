"""Sections of a sentence or a few: verdict, warnings, how to read numbers."""

from __future__ import annotations

from collections.abc import Iterator

from ensemble.reporting.answers.terms import (
    BASE_MODEL,
    CONSTANT,
    INTERVAL,
    METRIC_TERMS,
    MSE,
    P_VALUE,
    SRCC,
    STACK,
    aspect_terms,
)
from ensemble.reporting.section import Paragraph, ReportContent, Section

_TESTED = (
    "The stack was tested against its rivals, clip by clip and system by system; only "
    "what chance hardly explains is called a difference."
)
_TERMS = (STACK, BASE_MODEL, CONSTANT, P_VALUE, MSE, SRCC)


def verdict_lines(content: ReportContent) -> tuple[str, ...]:
    """What can be said of the stack against its rivals, and what cannot."""
    verdict = content.values["verdict"]
    # Reports of earlier versions say nothing of limits.
    lines = (verdict["sentence"], verdict.get("limits", ""))
    return tuple(line for line in lines if line)


def verdict_sections(content: ReportContent) -> Iterator[Section]:
    """The verdict with its numbers: what can be said, and below it what cannot."""
    lines = verdict_lines(content)
    said, *unsaid = lines
    paragraphs = [Paragraph(said), *map(Paragraph, unsaid)]
    yield Section(
        title="The verdict in figures",
        paragraphs=(Paragraph(_TESTED), *paragraphs),
        closing_lines=lines,
        terms=(
            STACK,
            BASE_MODEL,
            CONSTANT,
            P_VALUE,
            MSE,
            SRCC,
            *aspect_terms(content.values["aspects"]),
        ),
    )


def warnings_sections(content: ReportContent) -> Iterator[Section]:
    """One paragraph or line per warning."""
    messages = content.values["warnings"]
    if not messages:
        return
    # The terminal has named the leaks above its tables.
    leaks = content.values["leaks"]
    lines = [f"warning: {message}" for message in messages if message not in leaks]
    yield Section(
        title="Warnings",
        paragraphs=tuple(Paragraph(f"⚠ {message}") for message in messages),
        closing_lines=tuple(lines),
    )


def how_to_read_sections(content: ReportContent) -> Iterator[Section]:
    """What the brackets and the names of the metrics mean."""
    text = (
        "In brackets stands the 95 % interval of a metric, from resampled systems and "
        "prompts that they share (clips, where there are no systems), and at least as "
        "wide as so few of them call for; there is none with fewer than 5. LCC, SRCC "
        "and KTAU are Pearson, Spearman and Kendall tau-b correlations. The true score "
        "of a system is the mean over its clips."
    )
    yield Section(
        title="How to read the numbers",
        paragraphs=(Paragraph(text),),
        terms=(INTERVAL, *METRIC_TERMS),
    )
