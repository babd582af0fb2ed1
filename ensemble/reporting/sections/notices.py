"""What has to be known before any number: numbers of a demo, and numbers that leak."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ensemble.reporting.section import SUMMARY, Paragraph, ReportContent, Section

NAMED_LEAKS = 2
"""Leaks that the terminal names; the others are counted."""
NO_REAL_MUSIC = "these numbers say nothing about real music"


def notices_sections(content: ReportContent) -> Iterator[Section]:
    """A notice of a demo corpus and one of leaks."""
    paragraphs = []
    lines = []
    if content.values["demo"]:
        text = f"Demo corpus. Synthetic music and simulated raters: {NO_REAL_MUSIC}."
        paragraphs.append(Paragraph(text, lead="Demo corpus.", kind="demo"))
        lines.append(
            f"demo corpus: synthetic music and simulated raters; {NO_REAL_MUSIC}"
        )
    if content.values["leaks"]:
        text = (
            "Leaky. Labels of these clips were in use before; no number here says what "
            "the stack does on new clips."
        )
        paragraphs.append(Paragraph(text, lead="Leaky.", kind="leak"))
        # On the terminal a leak comes first of all: it concerns every line below.
        lines.insert(0, _leak_line(content.values["leaks"]))
    if paragraphs:
        yield Section(
            paragraphs=tuple(paragraphs),
            reader=SUMMARY,
            opening_lines=tuple(lines),
        )


def _leak_line(leaks: Sequence[str]) -> str:
    named = "; ".join(leak.removeprefix("leaky: ") for leak in leaks[:NAMED_LEAKS])
    line = f"LEAKY, every number below: {named}"
    n_more = len(leaks) - NAMED_LEAKS
    return f"{line}; and {n_more} more such overlaps" if n_more > 0 else line
