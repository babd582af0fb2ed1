"""Other learners, fitted and measured as the chosen one was."""

from __future__ import annotations

from collections.abc import Iterator

from ensemble.reporting.board_table import board_table
from ensemble.reporting.section import Column, ReportContent, Row, Section, TextTable


def other_learners_sections(content: ReportContent) -> Iterator[Section]:
    """A leaderboard of learners, with how long it took to fit and to predict."""
    for rows_name, records in content.values["learners"].items():
        if not records:
            continue
        # Times are of all aspects together: any record of a learner has them.
        times: dict[str, tuple[str, str]] = {}
        for record in records:
            fit_time = f"{record['fit_seconds']:.2f}"
            predict_time = f"{record['predict_seconds']:.3f}"
            times[record["model"]] = (fit_time, predict_time)

        board = board_table(records, model_title="learner")
        rows = []
        for row in board.rows:
            learner = row.cells[1]
            rows.append(Row((*row.cells, *times[learner]), row.kind))
        columns = (*board.columns, Column("fit, s"), Column("predict, s"))
        yield Section(
            title=f"{rows_name}: other learners, fitted on the meta-training rows",
            tables=(TextTable(columns, tuple(rows)),),
        )
