"""Whether predicted intervals hold ratings, and distributions lie near them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ensemble.reporting.answers.terms import CRPS, INTERVAL, LOG_SCORE, RPS
from ensemble.reporting.number_text import cell_text
from ensemble.reporting.section import (
    Paragraph,
    Record,
    ReportContent,
    Section,
    TextTable,
)

COVERAGE_TITLES = ("level", "share held [95 %]", "mean width", "n")
SYSTEM_TITLES = ("worst", "worst share", "best", "best share", "below")
THIRD_TITLES = ("low scores", "middle", "high scores")
THIRD_SHARES = ("low_third", "middle_third", "high_third")
SCORE_TITLES = ("model", "CRPS", "RPS", "log score")


def calibration_sections(content: ReportContent) -> Iterator[Section]:
    """Coverage of intervals and scores of distributions, per aspect."""
    for rows_name, by_aspect in content.values["calibration"].items():
        for aspect, tables in by_aspect.items():
            title = f"{rows_name}: do intervals hold the ratings? {aspect}"
            yield _coverage(title, tables["coverage"])
            title = f"{rows_name}: how good are predicted distributions? {aspect}"
            yield _scores(title, tables["scores"])


def _coverage(title: str, records: Sequence[Record]) -> Section:
    # Systems are only told apart where there are two or more.
    by_system = "worst" in records[0]
    titles = [*COVERAGE_TITLES]
    text = (
        "An interval of 90 % should hold nine of ten ratings: beside each level stands "
        "the share of ratings that its intervals held."
    )
    details = ""
    # Few clips are not divided.
    by_third = THIRD_SHARES[0] in records[0]
    if by_third:
        titles.extend(THIRD_TITLES)
        details += "The same stands for each third of the clips, by their scores. "
    if by_system:
        titles.extend(SYSTEM_TITLES)
        details += (
            "Worst and best are the systems where fewest and most ratings were held, "
            "for certain; below is the number of systems where fewer were held than "
            "the level says, for certain."
        )

    rows = []
    for record in records:
        cells = [
            cell_text(record, "level"),
            cell_text(record, "share", "share_low", "share_high"),
            cell_text(record, "mean_width"),
            str(record["n"]),
        ]
        if by_third:
            cells += [cell_text(record, name) for name in THIRD_SHARES]
        if by_system:
            cells += [
                record["worst"],
                cell_text(record, "worst_share"),
                record["best"],
                cell_text(record, "best_share"),
                str(record["below"]),
            ]
        rows.append(cells)
    table = TextTable.plain(titles, rows)
    paragraphs = [Paragraph(text)]
    if details:
        paragraphs.append(Paragraph(details.strip(), kind="small"))
    return Section(
        title=title, paragraphs=tuple(paragraphs), tables=(table,), terms=(INTERVAL,)
    )


def _scores(title: str, records: Sequence[Record]) -> Section:
    text = (
        "Three ways to say how far predicted distributions lie from the ratings; the "
        "smaller the better."
    )
    rows = [
        [
            record["model"],
            cell_text(record, "crps"),
            cell_text(record, "rps"),
            cell_text(record, "log_score"),
        ]
        for record in records
    ]
    table = TextTable.plain(SCORE_TITLES, rows)
    return Section(
        title=title,
        paragraphs=(Paragraph(text),),
        tables=(table,),
        terms=(CRPS, RPS, LOG_SCORE),
    )
