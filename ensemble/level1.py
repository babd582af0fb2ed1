"""Level 1: the base models' predictions for the dev split, a meta-learner fitted on them, and everything measured.

As in DORA-MOS, section III.D: 60 % of the dev split to fit, 40 % to measure, then a fit on the whole of it. The trap
is the verdict: on the rows that fitted it a stack always looks good, so the meta-training numbers only show how far it
over-fits, and the verdict is of the test split.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from base_models.errors import UsageError, one_of
from base_models.files import Artifact, is_sealed, sha256, to_json
from base_models.metrics import evaluate_difference
from ensemble.artifacts import Workspace
from ensemble.report import LEVEL, Report, render_files
from ensemble.stack_data import Rows, StackData
from ensemble.stack_folder import ROLE, write_stack
from meta.features import mean_scores
from meta.learners import LEARNERS
from meta.regressor import MetaRegressor
from meta.selection import compare

META_VERSION = 1
"""Raised whenever the same base models would give another stack or report: older stacks are then made anew."""


def fit_level1(
    workspace: Workspace, data: StackData, learner: str = "ridge", validation: float = 0.4, seed: int = 0
) -> Path:
    """Fit, measure and write one stack; a stack that is there already is left as it is.

    Parameters
    ----------
    data : base models and rows
    learner : a name in `LEARNERS`
    validation : share of the rows to fit on that measure
    seed : of the split and the learner

    Returns
    -------
    folder : of the stack, with report.html, report.json, metrics.csv and answer.txt

    Raises
    ------
    UsageError
        when clips leak, or there are too few rows or systems.
    """
    one_of(learner, LEARNERS, "learner")
    signature = sha256(to_json([META_VERSION, learner, validation, seed, data.group, *data.identity]))[:10]
    folder = workspace.meta_run(learner, signature)
    if is_sealed(folder):
        Artifact(folder, ROLE).verify()
    else:
        _fit(folder, data, learner, validation, seed)
    workspace.point("stack", {"folder": str(folder.relative_to(workspace.root)), "demo": data.demo})
    return folder


def _fit(folder: Path, data: StackData, learner: str, validation: float, seed: int) -> None:
    rows, aspects = data.fit, list(data.aspects)
    regressor = MetaRegressor(learner, seed)
    boards = regressor.validate(
        rows.tables, rows.labels(aspects), rows.systems, validation, rows.ids, aspects, rows.groups(data.group)
    )
    judged = {name: _judge(part, regressor, aspects) for name, part in data.judges.items()}
    first = next(iter(judged.values()), Judged())
    report = Report(
        source=data.source,
        demo=data.demo,
        note=data.note,
        learner=learner,
        facts=regressor.describe(),
        warnings=tuple(regressor.warnings_),
        boards={name: part.board for name, part in judged.items() if part.board is not None} | boards,
        differences=first.differences,
        verdict=_verdict(first.differences),
        predictions=first.predictions,
        aspects=tuple(aspects),
    )
    facts = {"aspects": aspects, "needs_text": list(data.needs_text), "source": data.source, "demo": data.demo}
    write_stack(folder, regressor, data.bases, facts | {"flat": False}, render_files(report))


@dataclass(frozen=True)
class Judged:
    """What rows that no fit has seen say of a stack.

    Parameters
    ----------
    predictions : one row per clip: scores, interval, and ``<aspect>_true`` where labelled
    board : leaderboard, or None without labels
    differences : stack minus the mean of its base models
    """

    predictions: pd.DataFrame = field(default_factory=pd.DataFrame)
    board: pd.DataFrame | None = None
    differences: pd.DataFrame = field(default_factory=pd.DataFrame)


def _judge(rows: Rows, regressor: MetaRegressor, aspects: list[str]) -> Judged:
    tables, ids, systems = rows.tables, rows.ids, rows.systems
    stacked, (low, high) = regressor.predict(tables, ids), regressor.predict_interval(tables, ids, LEVEL)
    columns = {"clip_id": ids, "system_id": systems}
    for k, aspect in enumerate(aspects):
        columns |= {aspect: stacked[:, k], f"{aspect}_low": low[:, k], f"{aspect}_high": high[:, k]}
    frame, truth = pd.DataFrame(columns), rows.labels(aspects)
    if not np.isfinite(truth).any():
        return Judged(frame)
    frame = frame.assign(**{f"{aspect}_true": truth[:, k] for k, aspect in enumerate(aspects)})
    board = compare(tables, truth, systems, ids, aspects, stacked)
    means = np.column_stack([mean_scores(tables, aspect, ids) for aspect in aspects])
    return Judged(frame, board, evaluate_difference(truth, stacked, means, systems, aspects))


def _verdict(differences: pd.DataFrame) -> str:
    """Whether the stack ranks systems better than the plain mean of its base models, with how sure we are."""
    if differences.empty:
        return "There are no labelled test clips: nothing is known beyond meta-validation."
    parts: list[str] = []
    for row in differences[differences["metric"] == "srcc"].to_dict("records"):
        if not np.isfinite([row["value"], row["low"], row["high"]]).all():
            said = "cannot be compared (too few systems)"
        else:
            sure = row["low"] > 0 or row["high"] < 0
            interval = f"{row['value']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]"
            said = (
                f"{'better' if row['value'] > 0 else 'worse'} by {interval}"
                if sure
                else f"no difference shown ({interval})"
            )
        parts.append(f"{row['aspect']} {row['level']} SRCC: {said}")
    return "Stack against the mean of its base models on the test split: " + "; ".join(parts) + "."


def stack_facts(artifact: Artifact) -> dict[str, Any]:
    """The report of a stack as JSON values.

    Raises
    ------
    UsageError
        when the stack was made by `StackedMOS.save`, which writes no report.
    """
    if "report.json" not in artifact.names:
        raise UsageError(f"{artifact.folder} has no report.")
    return artifact.json("report.json")
