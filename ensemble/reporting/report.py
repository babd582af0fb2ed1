"""What a stack is worth, on paper: report.json and metrics.csv for programs, report.html for people, answer.txt for
the challenge.

The trap: a correlation without its interval reads as a fact. Each number stands beside what resampled systems make of
it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd

from base_models.files import atomic_write, to_json
from base_models.metrics.evaluate import LEVELS, METRICS
from ensemble.formats import answer
from ensemble.reporting.figures import figures
from ensemble.reporting.report_tables import (
    CEILING,
    board_rows,
    counts,
    records,
    tables,
)
from meta.assessment import INTERVAL_LEVEL, Assessment
from meta.splits.leak_audit import Audit


@dataclass(frozen=True, eq=False)
class Report:
    """All that is reported of one stack.

    Parameters
    ----------
    learner, facts, warnings : of the meta-learner
    measured : leaderboards, verdict, contributions and the rest, without marks
    audit : which clips have two uses
    aspects : names
    source, demo, note : of the clip table
    """

    learner: str
    facts: Mapping[str, Any]
    warnings: tuple[str, ...]
    measured: Assessment
    audit: Audit
    aspects: tuple[str, ...]
    source: str = ""
    demo: bool = False
    note: str = ""

    @property
    def assessment(self) -> Assessment:
        """What was measured, marked wherever the audit found that something leaks."""
        return self.measured.marked(self.audit.marks)

    @property
    def all_warnings(self) -> tuple[str, ...]:
        """What leaks, and what the meta-learner warns of."""
        return (*self.audit.marks, *self.warnings)

    def files(self) -> dict[str, bytes]:
        """report.json, metrics.csv and report.html.

        With a test split also answer.txt and predictions-test.csv.
        """
        assessment = self.assessment
        boards = [board.assign(rows=name) for name, board in assessment.boards.items()]
        metrics = pd.concat(boards)
        columns = ["rows", *metrics.columns.drop("rows")]
        made = {
            "report.json": to_json(_values(self)),
            "metrics.csv": metrics[columns].to_csv(index=False).encode(),
            "report.html": _html(self).encode(),
        }
        if len(assessment.predictions):
            predictions = assessment.predictions
            made["answer.txt"] = answer(predictions, self.aspects).encode()
            made["predictions-test.csv"] = predictions.to_csv(index=False).encode()
        return made

    def write(self, folder: Path | str) -> None:
        """Write the files of the report to `folder`, each atomically."""
        for name, data in self.files().items():
            atomic_write(Path(folder) / name, data)

    def _repr_html_(self) -> str:
        """The report in a notebook."""
        return _html(self)


def coverage(report: Report) -> dict[str, float]:
    """Share of the labelled clips whose rating lies in its predicted interval of `INTERVAL_LEVEL`, per aspect."""
    shares = {}
    for aspect, found in report.assessment.calibration.items():
        table = found["coverage"]
        shares[aspect] = float(
            table.loc[table["level"] == INTERVAL_LEVEL, "share"].iloc[0]
        )
    return shares


def _values(report: Report) -> dict[str, Any]:
    """The report as JSON values; artifacts/README.md says what stands where. Every table is named by its rows."""
    found = report.assessment
    return {
        "source": report.source,
        "demo": report.demo,
        "note": report.note,
        "leaks": list(found.marks),
        "learner": report.learner,
        "learner_facts": dict(report.facts),
        "warnings": list(report.all_warnings),
        "verdict": {"rows": found.rows} | found.verdict.to_json(),
        "aspects": list(report.aspects),
        "order": list(found.boards),
        "leaderboards": {name: records(board) for name, board in found.boards.items()},
        "learners": {found.held_out_name: records(found.learners)},
        "contributions": {found.held_out_name: records(found.contributions)},
        "calibration": {
            found.rows: {
                aspect: {
                    name: part if name == "pit" else records(part)
                    for name, part in parts.items()
                }
                for aspect, parts in found.calibration.items()
            }
        },
        "interval_coverage": {
            "nominal": INTERVAL_LEVEL,
            "rows": found.rows,
            "shares": coverage(report),
        },
        "noise_ceiling": {found.rows: records(found.ceiling)},
        "audit": report.audit.to_json(),
    }


def _html(report: Report) -> str:
    import jinja2

    source = (
        files("ensemble.reporting")
        .joinpath("report.html.j2")
        .read_text(encoding="utf-8")
    )
    template = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True
    ).from_string(source)
    found = report.assessment
    return template.render(
        report=report,
        found=found,
        boards=_boards(found),
        learners=list(board_rows(records(found.learners))),
        seconds=_seconds(found.learners),
        tables=tables(found),
        figures=figures(found),
        ceiling=CEILING,
        metrics=METRICS,
        levels=LEVELS,
        nominal=INTERVAL_LEVEL,
        covered=coverage(report),
    )


def _boards(found: Assessment) -> dict[str, list[tuple[str, str, list[str]]]]:
    """Leaderboards as text by title; the noise ceiling stands below the models of the verdict's rows."""
    of_rows = {name: records(board) for name, board in found.boards.items()}
    return {
        f"{name}: {counts(board)}": list(
            board_rows(board, records(found.ceiling) if name == found.rows else ())
        )
        for name, board in of_rows.items()
    }


def _seconds(learners: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Learner to how long it took to fit and to predict, all aspects together."""
    if learners.empty:
        return {}
    return (
        learners.groupby("model")[["fit_seconds", "predict_seconds"]]
        .first()
        .to_dict("index")
    )
