"""Report: all that is reported of one stack, as files.

report.json and metrics.csv are for programs, report.html for people, answer.txt for the
AudioMOS challenge.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from base_models.files import atomic_write, to_json
from ensemble.reporting.page import page
from ensemble.reporting.section import ReportContent
from ensemble.reporting.sections import sections_of
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

    def values(self) -> dict[str, Any]:
        """The values of report.json; artifacts/README.md says what stands where.

        Every table stands below the name of the rows that it is of.
        """
        assessment = self.assessment
        rows = assessment.rows
        held_out_rows = assessment.held_out_name
        return {
            "source": self.source,
            "demo": self.demo,
            "note": self.note,
            "leaks": list(assessment.marks),
            "learner": self.learner,
            "learner_facts": dict(self.facts),
            "warnings": list(self.all_warnings),
            "verdict": {"rows": rows, **assessment.verdict.to_json()},
            "aspects": list(self.aspects),
            "order": list(assessment.boards),
            "leaderboards": {
                name: records(board) for name, board in assessment.boards.items()
            },
            "learners": {held_out_rows: records(assessment.learners)},
            "contributions": {held_out_rows: records(assessment.contributions)},
            "calibration": {rows: _calibration(assessment)},
            "interval_coverage": {
                "nominal": INTERVAL_LEVEL,
                "rows": rows,
                "shares": _interval_shares(assessment),
            },
            "noise_ceiling": {rows: records(assessment.ceiling)},
            "audit": self.audit.to_json(),
        }

    def files(self) -> dict[str, bytes]:
        """report.json, metrics.csv and report.html.

        With a test split also answer.txt and predictions-test.csv.
        """
        assessment = self.assessment
        values = self.values()
        contents = {
            "report.json": to_json(values),
            "metrics.csv": _metrics(assessment).to_csv(index=False).encode(),
            "report.html": _html(values, assessment).encode(),
        }
        predictions = assessment.predictions
        if len(predictions):
            contents["answer.txt"] = answer(predictions, self.aspects).encode()
            contents["predictions-test.csv"] = predictions.to_csv(index=False).encode()
        return contents

    def write(self, folder: Path | str) -> None:
        """Write the files of the report to `folder`, each atomically."""
        for name, data in self.files().items():
            atomic_write(Path(folder) / name, data)

    def _repr_html_(self) -> str:
        """The report in a notebook."""
        return _html(self.values(), self.assessment)


def answer(predictions: pd.DataFrame, aspects: tuple[str, ...]) -> str:
    """A submission to track 1 of the AudioMOS challenge 2025.

    Parameters
    ----------
    predictions : table with ``clip_id`` and one column per aspect
    aspects : the columns, in the order of the submission

    Returns
    -------
    text : ``id,MI,TA`` per line with 8 decimals, sorted by id, without ``.wav`` and
        without a header

    >>> scores = {"clip_id": ["b", "a.wav"], "mi": [3.0, 4.5], "ta": [1.0, 2.0]}
    >>> answer(pd.DataFrame(scores), ("mi", "ta"))
    'a,4.50000000,2.00000000\\nb,3.00000000,1.00000000\\n'
    """
    ids = [clip.removesuffix(".wav") for clip in predictions["clip_id"]]
    scores = predictions[list(aspects)].to_numpy(dtype=float)
    lines = []
    for clip, clip_scores in sorted(zip(ids, scores.tolist(), strict=True)):
        decimals = [f"{score:.8f}" for score in clip_scores]
        lines.append(",".join([clip, *decimals]) + "\n")
    return "".join(lines)


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table as JSON values; NaN and infinity become None."""
    return [
        {
            name: None
            if isinstance(value, float) and not math.isfinite(value)
            else value
            for name, value in row.items()
        }
        for row in frame.to_dict("records")
    ]


def _calibration(assessment: Assessment) -> dict[str, dict[str, Any]]:
    """The tables and the PIT counts of each aspect as JSON values."""
    return {
        aspect: {
            "coverage": records(tables["coverage"]),
            "scores": records(tables["scores"]),
            "pit": tables["pit"],
        }
        for aspect, tables in assessment.calibration.items()
    }


def _interval_shares(assessment: Assessment) -> dict[str, float]:
    """Aspect to the share of ratings inside their intervals of `INTERVAL_LEVEL`."""
    shares = {}
    for aspect, tables in assessment.calibration.items():
        coverage = tables["coverage"]
        at_level = coverage["level"] == INTERVAL_LEVEL
        shares[aspect] = float(coverage.loc[at_level, "share"].iloc[0])
    return shares


def _metrics(assessment: Assessment) -> pd.DataFrame:
    """All leaderboards in one table, the name of their rows in its first column."""
    boards = [board.assign(rows=name) for name, board in assessment.boards.items()]
    metrics = pd.concat(boards)
    return metrics[["rows", *metrics.columns.drop("rows")]]


def _html(values: Mapping[str, Any], assessment: Assessment) -> str:
    content = ReportContent(values, assessment.compared)
    return page(content, sections_of(content))
