"""What a stack is worth, on paper: report.json and metrics.csv for programs, report.html for people, answer.txt for
the challenge.

The trap: a correlation without its interval reads as a fact. Each number stands beside what resampled systems make of
it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import pandas as pd

from base_models.files import to_json
from base_models.metrics.evaluate import LEVELS, METRICS
from ensemble.reporting.figures import figures
from ensemble.reporting.report_tables import (
    CEILING,
    board_rows,
    counts,
    records,
    tables,
)
from ensemble.stacking.assessment import Judgement

LEVEL = 0.9
"""Nominal coverage of the intervals of predicted scores."""


@dataclass(frozen=True)
class Report:
    """All that is reported of one stack.

    Parameters
    ----------
    source, demo, note : of the clip table
    learner, facts, warnings : of the meta-learner
    judgement : leaderboards, verdict, contributions and the rest
    audit : which clips have two uses, as `meta.splits.leak_audit.Audit.to_json` gives it
    aspects : names
    """

    source: str
    demo: bool
    note: str
    learner: str
    facts: Mapping[str, Any]
    warnings: tuple[str, ...]
    judgement: Judgement
    audit: Mapping[str, Any]
    aspects: tuple[str, ...]


def render_files(report: Report) -> dict[str, bytes]:
    """The report as named files: report.json, metrics.csv, report.html; for a test split answer.txt and predictions."""
    found = report.judgement
    rows = pd.concat([board.assign(rows=name) for name, board in found.boards.items()])
    made = {
        "report.json": to_json(_values(report)),
        "metrics.csv": rows[["rows", *rows.columns.drop("rows")]]
        .to_csv(index=False)
        .encode(),
        "report.html": _html(report).encode(),
    }
    if len(found.predictions):
        made["answer.txt"] = answer(found.predictions, report.aspects).encode()
        made["predictions-test.csv"] = found.predictions.to_csv(index=False).encode()
    return made


def answer(predictions: pd.DataFrame, aspects: tuple[str, ...]) -> str:
    """The submission of AudioMOS 2025 track 1: ``id,MI,TA`` per line, 8 decimals, sorted by id, no ``.wav``,
    no header.

    >>> answer(pd.DataFrame({"clip_id": ["b", "a"], "mi": [3.0, 4.5], "ta": [1.0, 2.0]}), ("mi", "ta"))
    'a,4.50000000,2.00000000\\nb,3.00000000,1.00000000\\n'
    """
    ids = [clip.removesuffix(".wav") for clip in predictions["clip_id"]]
    scores = predictions[list(aspects)].to_numpy(dtype=float)
    lines = [
        ",".join([clip, *(f"{score:.8f}" for score in row)]) + "\n"
        for clip, row in sorted(zip(ids, scores.tolist(), strict=True))
    ]
    return "".join(lines)


def coverage(report: Report) -> dict[str, float]:
    """Share of the labelled clips whose rating lies in its predicted interval of `LEVEL`, per aspect."""
    shares = {}
    for aspect, found in report.judgement.calibration.items():
        table = found["coverage"]
        shares[aspect] = float(table.loc[table["level"] == LEVEL, "share"].iloc[0])
    return shares


def _values(report: Report) -> dict[str, Any]:
    """The report as JSON values; artifacts/README.md says what stands where. Every table is named by its rows."""
    found = report.judgement
    return {
        "source": report.source,
        "demo": report.demo,
        "note": report.note,
        "leaks": list(found.marks),
        "learner": report.learner,
        "learner_facts": dict(report.facts),
        "warnings": list(report.warnings),
        "verdict": {"rows": found.rows} | found.verdict.to_json(),
        "aspects": list(report.aspects),
        "order": list(found.boards),
        "leaderboards": {name: records(board) for name, board in found.boards.items()},
        "learners": {found.held: records(found.learners)},
        "contributions": {found.held: records(found.contributions)},
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
            "nominal": LEVEL,
            "rows": found.rows,
            "shares": coverage(report),
        },
        "noise_ceiling": {found.rows: records(found.ceiling)},
        "audit": dict(report.audit),
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
    found = report.judgement
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
        nominal=LEVEL,
        covered=coverage(report),
    )


def _boards(found: Judgement) -> dict[str, list[tuple[str, str, list[str]]]]:
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
