"""Report: all that is reported of one stack, as files.

report.json and metrics.csv are for programs, report.html for people, answer.txt for the
AudioMOS challenge.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from base_models.files import atomic_write, log_line, nan_to_none, to_json
from ensemble.formats import answer, csv_table
from ensemble.reporting.page import notebook_frame, page
from ensemble.reporting.page_audio import LINK, PageAudio
from ensemble.reporting.section import Provenance, ReportContent
from ensemble.reporting.sections import sections_of
from ensemble.reporting.sections.decision import judged_clips
from ensemble.reporting.sections.disagreement import disagreement_sentence
from meta.assessment import INTERVAL_LEVEL, Assessment
from meta.splits.leak_audit import Audit

_TIMES = ("fit_seconds", "predict_seconds")
"""Columns of the learners that say how long something took."""


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
    by_encoder : what the base models of each audio encoder contribute together, see
        `meta.assessment.joint_contributions`; empty where there is one encoder
    audio : clip id to its audio, for the players of the page
    folder : where the page will be, from which it links to audio; None plays nothing
    provenance : how these numbers came about, or None
    out_of_fold : base models whose predictions for the rows of the fit are known to be
        out of fold; that they name no clips of their training is no gap in the audit
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
    by_encoder: pd.DataFrame = field(default_factory=pd.DataFrame)
    audio: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None
    provenance: Provenance | None = None
    out_of_fold: tuple[str, ...] = ()

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
        # Equal work gives equal values, however long it took.
        learners = assessment.learners.drop(columns=list(_TIMES), errors="ignore")
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
            "fitted_rows": list(assessment.fitted_rows),
            "leaderboards": nan_to_none(assessment.boards),
            "constant_models": {rows: assessment.compared.constant_models()},
            "learners": {held_out_rows: nan_to_none(learners)},
            "overfitting": nan_to_none(assessment.overfitting),
            "contributions": {held_out_rows: nan_to_none(assessment.contributions)},
            "encoder_contributions": {held_out_rows: nan_to_none(self.by_encoder)},
            "calibration": {rows: nan_to_none(assessment.calibration)},
            "interval_coverage": {
                "nominal": INTERVAL_LEVEL,
                "rows": rows,
                "shares": _interval_shares(assessment),
            },
            "noise_ceiling": {rows: nan_to_none(assessment.ceiling)},
            "disagreement": {rows: nan_to_none(assessment.disagreement)},
            "systems": {rows: nan_to_none(assessment.systems)},
            "audit": self.audit.to_json(),
            "out_of_fold": list(self.out_of_fold),
        }

    @property
    def disagreement_sentences(self) -> list[str]:
        """Per aspect, whether predicted disagreement goes with that of the raters."""
        assessment = self.assessment
        return [
            disagreement_sentence(record, assessment.rows)
            for record in nan_to_none(assessment.disagreement)
        ]

    def files(self) -> dict[str, bytes]:
        """report.json, metrics.csv and report.html.

        With a test split also answer.txt and predictions-test.csv. What differs from
        time to time is not in them, see `log`.
        """
        made = self.provenance
        timeless = replace(self, provenance=made and replace(made, command="", date=""))
        # Both hold the marks of leaks: no file may show a number without them.
        assessment = self.assessment
        values = self.values()
        contents = {
            "report.json": to_json(values),
            "metrics.csv": csv_table(_metrics(assessment)),
            "report.html": timeless._page(values, assessment).encode(),
        }
        # The test clips may be without labels; they are predicted all the same.
        predictions = assessment.predictions
        if len(predictions):
            contents["answer.txt"] = answer(predictions, self.aspects).encode()
            contents["predictions-test.csv"] = csv_table(predictions)
        return contents

    def log(self) -> bytes:
        """What differs from time to time: the command, and how long learners took."""
        made = self.provenance or Provenance()
        times = self.measured.learners
        columns = [name for name in ("model", *_TIMES) if name in times]
        learners = nan_to_none(times[columns].drop_duplicates())
        values = {"command": made.command, "version": made.version}
        return log_line({**values, "learners": learners})

    def write(self, folder: Path | str) -> None:
        """Write the files of the report to `folder`, each atomically."""
        for name, data in self.files().items():
            atomic_write(Path(folder) / name, data)

    def _repr_html_(self) -> str:
        """The report in a notebook."""
        return notebook_frame(self._page(self.values(), self.assessment))

    def _page(self, values: Mapping[str, Any], assessment: Assessment) -> str:
        judged = judged_clips(assessment, self.audio)
        content = ReportContent(values, assessment.compared, judged)
        audio = None
        if self.folder is not None:
            audio = PageAudio(LINK, self.folder)
        return page(
            # The line below it has the whole path.
            f"Stack report: {self.learner} on {'/'.join(Path(self.source).parts[-2:])}",
            sections_of(content),
            provenance=self.provenance,
            audio=audio,
        )


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
