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
    boards : leaderboards by name of the rows (``"meta-validation"``, ``"test"``): model, aspect, level, metric,
        value, low, high, n
    differences : stack minus mean on the test split, as `evaluate_difference` gives it
    verdict : one sentence
    predictions : test clips with scores, and ``<aspect>_true`` where labelled
    aspects : names
    """

    source: str
    demo: bool
    note: str
    learner: str
    facts: Mapping[str, Any]
    warnings: tuple[str, ...]
    boards: Mapping[str, pd.DataFrame]
    differences: pd.DataFrame
    verdict: str
    predictions: pd.DataFrame
    aspects: tuple[str, ...]


def render_files(report: Report) -> dict[str, bytes]:
    """The report as named files: report.json, metrics.csv, report.html; for a test split answer.txt and predictions."""
    rows = pd.concat([board.assign(rows=name) for name, board in report.boards.items()])
    made = {
        "report.json": to_json(_values(report)),
        "metrics.csv": rows[["rows", *rows.columns.drop("rows")]].to_csv(index=False).encode(),
        "report.html": _html(report).encode(),
    }
    if len(report.predictions):
        made["answer.txt"] = answer(report.predictions, report.aspects).encode()
        made["predictions-test.csv"] = report.predictions.to_csv(index=False).encode()
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
    """Share of the labelled test clips whose rating lies in its predicted interval, per aspect; near `LEVEL` when the
    predicted distributions are as wide as they should be.
    """
    shares = {}
    for aspect in report.aspects:
        if {f"{aspect}_true", f"{aspect}_low", f"{aspect}_high"} <= set(report.predictions):
            known = report.predictions[report.predictions[f"{aspect}_true"].notna()]
            inside = known[f"{aspect}_true"].between(known[f"{aspect}_low"], known[f"{aspect}_high"])
            shares |= {aspect: float(inside.mean())} if len(known) else {}
    return shares


def _values(report: Report) -> dict[str, Any]:
    return {
        "source": report.source,
        "demo": report.demo,
        "note": report.note,
        "learner": report.learner,
        "learner_facts": dict(report.facts),
        "warnings": list(report.warnings),
        "verdict": report.verdict,
        "aspects": list(report.aspects),
        "leaderboards": {name: _records(board) for name, board in report.boards.items()},
        "interval_coverage": {"nominal": LEVEL, "test": coverage(report)},
        "stack_minus_mean": _records(report.differences),
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
    records = {name: _records(board) for name, board in report.boards.items()}
    boards = {f"{name}: {counts(board)}": list(board_rows(board)) for name, board in records.items()}
    return template.render(
        report=report,
        boards=boards,
        metrics=METRICS,
        levels=LEVELS,
        figures=_figures(report),
        nominal=LEVEL,
        covered=coverage(report),
    )


def _figures(report: Report) -> dict[str, str]:
    """One scatter of predicted against rated per labelled aspect, as inline SVG."""
    return {
        aspect: _scatter(report.predictions, aspect)
        for aspect in report.aspects
        if f"{aspect}_true" in report.predictions and report.predictions[f"{aspect}_true"].notna().any()
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
