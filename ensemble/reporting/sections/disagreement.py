"""Whether the predicted disagreement of raters has anything to do with theirs."""

from __future__ import annotations

from collections.abc import Iterator

from ensemble.reporting.answers.terms import NATS, RMSE, SRCC
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
    "clips",
    "raters per clip",
    "observed sd",
    "predicted sd",
    "SRCC [95 %]",
    "RMSE",
    "RMSE of one sd for all",
    "noise of the observed",
    "gain in nats per rating [95 %]",
)

_QUESTION = (
    "Can the stack say on which clips listeners will disagree? Its predicted spread of "
    "ratings is compared with the spread that was observed."
)
_EXPLAINED = (
    "Predicted is the standard deviation of the single ratings of a clip, by base "
    "models that learn from single ratings. With few raters the observed one is mostly "
    "noise (column noise): a perfect prediction would neither correlate with it fully "
    "nor have a much smaller RMSE than that. The gain compares with one standard "
    "deviation for all clips."
)
_MIN_SYSTEMS = 8
"""Fewer resampled systems make intervals that are too narrow to show anything."""


def disagreement_sections(content: ReportContent) -> Iterator[Section]:
    """Correlation and error of the predicted standard deviation of single ratings."""
    # Reports of before it was measured do not have it.
    for rows_name, records in content.values.get("disagreement", {}).items():
        if not records:
            continue
        sentences = [disagreement_sentence(record, rows_name) for record in records]
        yield Section(
            title=f"{rows_name}: disagreement of raters",
            paragraphs=(
                Paragraph(_QUESTION),
                *(Paragraph(sentence) for sentence in sentences),
                Paragraph(_EXPLAINED, kind="small"),
            ),
            tables=(TextTable.plain(TITLES, [_cells(record) for record in records]),),
            terms=(SRCC, RMSE, NATS),
            closing_lines=tuple(sentences),
        )


def disagreement_sentence(record: Record, rows_name: str) -> str:
    """What was found for one aspect, in a sentence."""
    low = record["low"]
    high = record["high"]
    measured = f"SRCC {cell_text(record, 'srcc', 'low', 'high')}"
    if record["srcc"] is None:
        measured = "the prediction is the same for all"
    counted = f"{record['clips']} {rows_name} clips"
    if record["systems"]:
        counted += f" of {record['systems']} systems"

    found = "no relation shown between predicted and observed disagreement"
    is_apart = low is not None and high is not None and not low <= 0 <= high
    if record["systems"] and record["systems"] < _MIN_SYSTEMS:
        counted += ", too few to show one"
    elif is_apart and low > 0:
        found = "predicted disagreement goes with that of the raters"
    elif is_apart:
        found = "predicted disagreement is opposed to that of the raters"
    if not record["calibrated"]:
        found += ", and the prediction is not calibrated"
    return f"{record['aspect']}: {found} ({measured}; {counted})."


def _cells(record: Record) -> list[str]:
    return [
        record["aspect"],
        str(record["clips"]),
        f"{record['raters']:.1f}",
        cell_text(record, "observed"),
        cell_text(record, "predicted"),
        cell_text(record, "srcc", "low", "high"),
        cell_text(record, "rmse"),
        cell_text(record, "rmse_pooled"),
        cell_text(record, "noise"),
        cell_text(record, "gain", "gain_low", "gain_high"),
    ]
