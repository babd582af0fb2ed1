"""What each base model contributes to a stack."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

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
    "model",
    "Shapley, utterance MSE",
    "Shapley, system SRCC",
    "drop one, utterance MSE",
    "drop one, system SRCC",
)

_BY_ENCODER = (
    "The same, where all base models of one audio encoder join or leave together. A "
    "base model that is no model of fit_base stands for itself."
)


def contributions_sections(content: ReportContent) -> Iterator[Section]:
    """Shapley values and drop-one gains of every base model, and of every encoder."""
    by_encoder = content.values.get("encoder_contributions", {})
    for rows_name, records in content.values["contributions"].items():
        if not records:
            continue
        text = (
            "How much a base model helps, measured with a plain ridge as the learner, "
            "whichever learner the stack has: gain in utterance MSE and system SRCC, "
            "on average over all orders of joining (Shapley; the "
            "values sum to what all give over the training mean), and when it joins "
            "all others (drop one)."
        )
        if not all(record["exact"] for record in records):
            text += (
                " With so many models, orders are drawn: ± is twice the standard error."
            )
        yield Section(
            title=f"{rows_name}: contributions",
            paragraphs=(Paragraph(text),),
            tables=(TextTable.plain(TITLES, _cells(records)),),
        )
        of_encoders = by_encoder.get(rows_name, [])
        if of_encoders:
            titles = ("aspect", "encoder", *TITLES[2:])
            yield Section(
                title=f"{rows_name}: contributions by audio encoder",
                paragraphs=(Paragraph(_BY_ENCODER),),
                tables=(TextTable.plain(titles, _cells(of_encoders)),),
            )


def _cells(records: Sequence[Record]) -> list[list[str]]:
    """One row per aspect and model, with both gains side by side."""
    gains: dict[tuple[str, str], dict[str, Record]] = {}
    for record in records:
        of_model = gains.setdefault((record["aspect"], record["model"]), {})
        of_model[record["metric"]] = record

    rows = []
    for (aspect, model), by_metric in gains.items():
        mse = by_metric["mse"]
        srcc = by_metric["srcc"]
        rows.append(
            [
                aspect,
                model,
                _shapley_text(mse),
                _shapley_text(srcc),
                cell_text(mse, "drop_one"),
                cell_text(srcc, "drop_one"),
            ]
        )
    return rows


def _shapley_text(record: Record) -> str:
    text = cell_text(record, "shapley")
    if record["exact"]:
        return text
    return f"{text} ± {2 * record['standard_error']:.3f}"
