"""What each base model contributes to a stack."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ensemble.reporting.answers.terms import (
    BASE_MODEL,
    MSE,
    SHAPLEY,
    SRCC,
    SYSTEM,
    UTTERANCE,
)
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

_DETAILS = (
    "Measured with a plain ridge as the learner, whichever learner the stack has: the "
    "gain on average over all orders of joining (Shapley; the values sum to what all "
    "give over the mean rating), and the gain of joining last (drop one)."
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
            "What would be lost without a base model: how much smaller it makes the "
            "error per clip, and how much better the order of systems."
        )
        details = _DETAILS
        if not all(record["exact"] for record in records):
            details += (
                " With so many models, orders are drawn: ± is twice the standard error."
            )
        yield Section(
            title=f"{rows_name}: what each base model contributes",
            paragraphs=(Paragraph(text), Paragraph(details, kind="small")),
            tables=(TextTable.plain(TITLES, _cells(records)),),
            terms=(SHAPLEY, BASE_MODEL, MSE, SRCC, UTTERANCE, SYSTEM),
        )
        of_encoders = by_encoder.get(rows_name, [])
        if of_encoders:
            titles = ("aspect", "encoder", *TITLES[2:])
            yield Section(
                title=f"{rows_name}: what each audio encoder contributes",
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
