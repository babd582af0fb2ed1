"""Whether predicted intervals and distributions hold what they promise."""

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

COVERAGE_TITLES = ("level", "share held [95 %]", "mean width", "n")
SYSTEM_TITLES = ("worst", "worst share", "best", "best share", "below")
THIRD_TITLES = ("low scores", "middle", "high scores")
THIRD_SHARES = ("low_third", "middle_third", "high_third")
SCORE_TITLES = ("model", "CRPS", "RPS", "log score")


def calibration_sections(content: ReportContent) -> Iterator[Section]:
    """Coverage of intervals and scores of distributions, per aspect."""
    for rows_name, by_aspect in content.values["calibration"].items():
        for aspect, tables in by_aspect.items():
            yield _coverage(f"{rows_name}: coverage, {aspect}", tables["coverage"])
            yield _scores(f"{rows_name}: distributions, {aspect}", tables["scores"])


def _coverage(title: str, records: Sequence[Record]) -> Section:
    # Systems are only told apart where there are two or more.
    by_system = "worst" in records[0]
    titles = [*COVERAGE_TITLES]
    text = "Share of ratings that predicted intervals hold, promised (level) and kept."
    # Few clips are not divided.
    by_third = THIRD_SHARES[0] in records[0]
    if by_third:
        titles.extend(THIRD_TITLES)
        text += " Kept too in each third of the clips, by their scores."
    if by_system:
        titles.extend(SYSTEM_TITLES)
        text += (
            " In the worst and best system the share is surely lowest and highest; "
            "below: systems where it is surely lower than promised."
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
    return Section(title=title, paragraphs=(Paragraph(text),), tables=(table,))


def _scores(title: str, records: Sequence[Record]) -> Section:
    text = "Mean scores of predicted distributions; smaller is better."
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
    return Section(title=title, paragraphs=(Paragraph(text),), tables=(table,))
