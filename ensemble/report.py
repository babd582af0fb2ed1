"""What a stack is worth, on paper: report.json and metrics.csv for programs, report.html for people, answer.txt for
the challenge.

The trap: a correlation without its interval reads as a fact. Each number stands beside what resampled systems make of
it.
"""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np
import pandas as pd

from base_models.files import to_json
from ensemble.judgement import Judgement

METRICS = ("mse", "lcc", "srcc", "ktau")
LEVELS = ("utterance", "system")
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
    audit : which clips have two uses, as `meta.audit.Audit.to_json` gives it
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
        "metrics.csv": rows[["rows", *rows.columns.drop("rows")]].to_csv(index=False).encode(),
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


def figure(value: float, low: float, high: float) -> str:
    """A number with its interval.

    >>> figure(0.87123, 0.8, 0.9249), figure(math.nan, math.nan, math.nan)
    ('0.871 [0.80, 0.92]', '-')
    """
    if not math.isfinite(value):
        return "-"
    return f"{value:.3f}" + (f" [{low:.2f}, {high:.2f}]" if math.isfinite(low) and math.isfinite(high) else "")


def board_rows(board: list[dict[str, Any]]) -> Iterator[tuple[str, str, list[str]]]:
    """A leaderboard as rows of text: aspect, model, then four metrics per utterance and four per system."""
    cells = {(r["aspect"], r["model"], r["level"], r["metric"]): r for r in board}
    aspects, models = (list(dict.fromkeys(r[key] for r in board)) for key in ("aspect", "model"))
    for aspect, model in itertools.product(aspects, models):
        found = [cells[aspect, model, level, metric] for level in LEVELS for metric in METRICS]
        yield (
            aspect,
            model,
            [
                figure(*(math.nan if cell[key] is None else cell[key] for key in ("value", "low", "high")))
                for cell in found
            ],
        )


def counts(board: list[dict[str, Any]]) -> str:
    """How many clips and systems a leaderboard counts; a range where aspects differ.

    >>> counts([{"level": "utterance", "n": 8}, {"level": "system", "n": 7}])
    '8 clips, 7 systems'
    """
    found = {level: sorted({row["n"] for row in board if row["level"] == level}) for level in LEVELS}
    spans = {level: "-".join(dict.fromkeys(str(n) for n in (values[0], values[-1]))) for level, values in found.items()}
    return f"{spans['utterance']} clips, {spans['system']} systems"


def coverage(report: Report) -> dict[str, float]:
    """Share of the labelled clips whose rating lies in its predicted interval of `LEVEL`, per aspect."""
    shares = {}
    for aspect, found in report.judgement.calibration.items():
        table = found["coverage"]
        shares[aspect] = float(table.loc[table["level"] == LEVEL, "share"].iloc[0])
    return shares


def _values(report: Report) -> dict[str, Any]:
    found = report.judgement
    return {
        "source": report.source,
        "demo": report.demo,
        "note": report.note,
        "learner": report.learner,
        "learner_facts": dict(report.facts),
        "warnings": list(report.warnings),
        "verdict": {"rows": found.rows} | found.verdict.to_json(),
        "aspects": list(report.aspects),
        "leaderboards": {name: _records(board) for name, board in found.boards.items()},
        "learners": _records(found.learners),
        "contributions": _records(found.contributions),
        "calibration": {
            aspect: {name: part if name == "pit" else _records(part) for name, part in parts.items()}
            for aspect, parts in found.calibration.items()
        },
        "interval_coverage": {"nominal": LEVEL, "rows": found.rows, "shares": coverage(report)},
        "noise_ceiling": _records(found.ceiling),
        "audit": dict(report.audit),
    }


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON values; NaN becomes null."""
    return [
        {key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in row.items()}
        for row in frame.to_dict("records")
    ]


def _html(report: Report) -> str:
    import jinja2

    source = files("ensemble").joinpath("report.html.j2").read_text(encoding="utf-8")
    template = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(source)
    found = report.judgement
    records = {name: _records(board) for name, board in found.boards.items()}
    boards = {f"{name}: {counts(board)}": list(board_rows(board)) for name, board in records.items()}
    return template.render(
        report=report,
        found=found,
        boards=boards,
        metrics=METRICS,
        levels=LEVELS,
        learners=list(board_rows(_records(found.learners))) if len(found.learners) else [],
        seconds=found.learners.groupby("model")[["fit_seconds", "predict_seconds"]].first().to_dict("index")
        if len(found.learners)
        else {},
        tables=_tables(found),
        figures=_figures(report),
        nominal=LEVEL,
        covered=coverage(report),
    )


def _tables(found: Judgement) -> dict[str, tuple[str, list[str], list[list[str]]]]:
    """The smaller tables: title to a sentence about it, the names of its columns, and its cells as text."""
    tables = {
        "Comparisons": (
            "Differences are the stack's metric minus the other's; p is that of sign-flips over systems, Holm-adjusted "
            "over the rows that the verdict draws on.",
            found.verdict.table,
        ),
        "Contributions": (
            "Gain in held-out utterance MSE and system SRCC of the ridge stack when a base model joins all others "
            "(drop one), and on average over all orders of joining (Shapley).",
            found.contributions,
        ),
        "Noise ceiling": (
            "What a perfect predictor would score against labels that are means of so few raters.",
            found.ceiling,
        ),
    }
    for aspect, parts in found.calibration.items():
        said = f"On {found.rows}: share of ratings that intervals hold, with its 95 % interval."
        tables[f"Coverage, {aspect}"] = said, parts["coverage"]
        said = f"Mean scores of distributions, smaller is better. PIT counts, flat when calibrated: {parts['pit']}."
        tables[f"Distributions, {aspect}"] = said, parts["scores"]
    return {
        title: (said, list(frame.columns), [[_cell(value) for value in row] for row in frame.to_numpy(dtype=object)])
        for title, (said, frame) in tables.items()
        if len(frame)
    }


def _cell(value: Any) -> str:
    if isinstance(value, float | np.floating):
        return f"{value:.3f}" if math.isfinite(value) else "-"
    return str(value)


def _figures(report: Report) -> dict[str, str]:
    """One scatter of predicted against rated per labelled aspect, as inline SVG."""
    return {
        aspect: _scatter(report.judgement.predictions, aspect)
        for aspect in report.aspects
        if f"{aspect}_true" in report.judgement.predictions
        and report.judgement.predictions[f"{aspect}_true"].notna().any()
    }


def _scatter(predictions: pd.DataFrame, aspect: str) -> str:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    known = predictions[predictions[f"{aspect}_true"].notna()]
    systems = known.groupby("system_id")[[aspect, f"{aspect}_true"]].mean()
    with rc_context({"svg.hashsalt": "stackedmos"}):  # the same report has the same bytes
        canvas = Figure(figsize=(4.2, 4.0), layout="constrained")
        axes = canvas.subplots()
        axes.plot([1, 5], [1, 5], color="#bbbbbb", linewidth=1, zorder=0)
        axes.scatter(known[f"{aspect}_true"], known[aspect], s=9, alpha=0.35, color="#4472a8", label="clips")
        axes.scatter(systems[f"{aspect}_true"], systems[aspect], s=34, color="#c8553d", marker="D", label="systems")
        axes.set(xlim=(0.9, 5.1), ylim=(0.9, 5.1), xlabel="rated", ylabel="predicted", aspect="equal")
        axes.set_title(aspect, parse_math=False)  # a column may be called anything
        axes.set_xticks(np.arange(1, 6))
        axes.legend(loc="upper left", frameon=False, fontsize=8)
        buffer = io.StringIO()
        canvas.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue().partition("<svg")[1] + buffer.getvalue().partition("<svg")[2]
