"""What became of an adaptation, as sections of a page and of a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from ensemble.reporting.answers.terms import MSE, SRCC
from ensemble.reporting.number_text import cell_text
from ensemble.reporting.page import page
from ensemble.reporting.section import (
    SUMMARY,
    Paragraph,
    Provenance,
    Record,
    Section,
    TextTable,
)

TITLES = ("aspect", "rated clips", "left out", "MSE without", "MSE with", "kept")
CURVE_TITLES = (
    "aspect",
    "rated clips",
    "MSE [90 % of draws]",
    "SRCC [90 % of draws]",
    "adaptation kept",
    "judged on",
    "draws",
)
_LIMITS = (
    "Not to be concluded: that the adapted stack does as well on clips of yet another "
    "kind; clips like those that it was adapted to are what this is about.",
)


def adaptation_sections(values: Mapping[str, Any]) -> Iterator[Section]:
    """What was kept per aspect, and the curve if there is one.

    Parameters
    ----------
    values : those of adaptation.json
    """
    yield _kept(values["adaptation"])
    if values["curve"]:
        yield _curve(values["curve"], values["next_ratings"])


def adaptation_page(
    values: Mapping[str, Any], provenance: Provenance | None = None
) -> str:
    """The page of an adapted stack.

    Parameters
    ----------
    values : those of adaptation.json
    provenance : how the adaptation came about
    """
    text = f"Stack {values['stack']}, adapted to the rated clips of {values['source']}."
    said = [f"{record['sentence']}." for record in values["adaptation"]]
    intro = Section(
        title="In short",
        paragraphs=(
            Paragraph(text),
            *(Paragraph(sentence, kind="verdict") for sentence in said),
        ),
        points=_LIMITS,
        reader=SUMMARY,
    )
    sections = [intro, *adaptation_sections(values)]
    return page(f"Adapted stack on {values['source']}", sections, provenance)


def _kept(records: list[Record]) -> Section:
    text = (
        "Clips were left out in turn and scored by the stack as it was (without) and "
        "by a stack that was adapted to the others (with). An adaptation is kept only "
        "where the mean squared error with it is smaller."
    )
    rows = [
        (
            record["aspect"],
            str(record["clips"]),
            f"{record['left_out']}s",
            cell_text(record, "error_none"),
            cell_text(record, "error_adapted"),
            "yes" if record["kept"] else "no",
        )
        for record in records
    ]
    lines = tuple(record["sentence"] for record in records)
    title = "What was kept of the adaptation"
    table = TextTable.plain(TITLES, rows)
    return Section(
        title=title,
        paragraphs=(Paragraph(text),),
        tables=(table,),
        terms=(MSE, SRCC),
        screen_tables=(replace(table, title=title),),
        closing_lines=lines,
    )


def _curve(records: list[Record], forecasts: list[Record]) -> Section:
    first = records[0]
    text = (
        "What so many rated clips would give: clips were drawn from the rated ones "
        f"{first['draws']} times; the stack was adapted to the first of each draw and "
        "judged on clips that no number of them uses. In brackets: from the 5th to the "
        "95th percentile of the draws. Judged clips may be of systems that were drawn."
    )
    by_row: dict[tuple[str, int], dict[str, Record]] = {}
    for record in records:
        place = (record["aspect"], record["clips"])
        by_row.setdefault(place, {})[record["metric"]] = record
    rows = []
    for (aspect, clips), of_metric in by_row.items():
        mse = of_metric["mse"]
        rows.append(
            (
                aspect,
                str(clips),
                cell_text(mse, "mean", "low", "high"),
                cell_text(of_metric["srcc"], "mean", "low", "high"),
                f"{mse['kept']:.0%}",
                f"{mse['judged']} clips",
                str(mse["draws"]),
            )
        )
    # Forecasts of one aspect share a line.
    sentences: dict[str, list[str]] = {}
    for forecast in forecasts:
        more = forecast["later"] - forecast["now"]
        about = f"{forecast['aspect']}, the next {more} ratings ({forecast['now']} to "
        about += f"{forecast['later']} clips)"
        sentences.setdefault(about, []).append(forecast["sentence"])
    lines = tuple(f"{about}: {'; '.join(said)}" for about, said in sentences.items())
    title = "How many clips must be rated"
    table = TextTable.plain(CURVE_TITLES, rows)
    return Section(
        title=title,
        paragraphs=(Paragraph(text), *(Paragraph(f"{line}.") for line in lines)),
        tables=(table,),
        terms=(MSE, SRCC),
        screen_tables=(replace(table, title=title),),
        closing_lines=lines,
    )
