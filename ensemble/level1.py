"""Level 1: the base models' predictions for the dev split, a meta-learner fitted on them, and everything measured.

As in DORA-MOS, section III.D: 60 % of the dev split to fit, 40 % to measure, then a fit on the whole of it. The trap
is the verdict: on the rows that fitted it a stack always looks good, so the meta-training numbers only show how far it
over-fits, and the verdict is of the test split.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from base_models.errors import UsageError, one_of, some
from base_models.files import Artifact, is_sealed, sha256, to_json
from base_models.metrics import evaluate_difference
from base_models.predictions import PredictionTable
from ensemble.artifacts import Workspace
from ensemble.base_run import ROLE as BASE_ROLE
from ensemble.rated_clips import RatedClips
from ensemble.report import LEVEL, Report, render_files
from ensemble.stack_folder import ROLE, write_stack
from meta.features import mean_scores
from meta.learners import LEARNERS
from meta.regressor import MetaRegressor
from meta.selection import compare

META_VERSION = 1
"""Raised whenever the same base models would give another stack or report: older stacks are then made anew."""
MODEL_FILES = ("config.json", "weights.safetensors", "history.json")


@dataclass(frozen=True)
class Bases:
    """The base models that a stack is made of, as ``fit_base`` left them.

    Parameters
    ----------
    rated : the clips they were trained on
    artifacts : one verified folder per model
    """

    rated: RatedClips
    artifacts: tuple[Artifact, ...]

    @classmethod
    def latest(cls, workspace: Workspace, only: Sequence[str] | None = None) -> Bases:
        """The base models of the last ``fit_base``, or those of them that are named.

        Raises
        ------
        UsageError
            when there are none, or a name is unknown.
        """
        pointer = workspace.latest("level0", "fit_base")
        folders = {run["name"]: workspace.root / run["folder"] for run in pointer["runs"]}
        for name in only or ():
            one_of(name, folders, "base model")
        chosen = {name: folder for name, folder in folders.items() if not only or name in only}
        unfinished = [name for name, folder in chosen.items() if not is_sealed(folder)]
        if unfinished:
            raise UsageError(f"Base models {some(unfinished)} are not finished; run the same fit_base again first.")
        artifacts = tuple(Artifact(folder, BASE_ROLE, folder.name) for folder in chosen.values())
        return cls(RatedClips.load(workspace.root / pointer["data"]), artifacts)

    def tables(self, split: str) -> list[PredictionTable]:
        """Their predictions for one split."""
        name = f"predictions-{split}.parquet"
        return [PredictionTable.parse(base.read(name), str(base.folder / name)) for base in self.artifacts]


def fit_level1(
    workspace: Workspace,
    learner: str = "ridge",
    validation: float = 0.4,
    seed: int = 0,
    only: Sequence[str] | None = None,
) -> Path:
    """Fit, measure and write one stack; a stack that is there already is left as it is.

    Parameters
    ----------
    learner : a name in `LEARNERS`
    validation : share of the dev clips that measure
    seed : of the split and the learner
    only : names of the base models to stack; None takes all of the last ``fit_base``

    Returns
    -------
    folder : of the stack, with report.html, report.json, metrics.csv and answer.txt

    Raises
    ------
    UsageError
        when nothing was trained, clips leak, or the dev split is too small or of one system.
    """
    one_of(learner, LEARNERS, "learner")
    bases = Bases.latest(workspace, only)
    rated = bases.rated
    runs = [base.folder.name for base in bases.artifacts]
    signature = sha256(to_json([META_VERSION, learner, validation, seed, runs]))[:10]
    folder = workspace.meta_run(learner, signature)
    if is_sealed(folder):
        Artifact(folder, ROLE).verify()
    else:
        _fit(folder, bases, learner, validation, seed)
    workspace.point("stack", {"folder": str(folder.relative_to(workspace.root)), "demo": rated.demo})
    return folder


def _fit(folder: Path, bases: Bases, learner: str, validation: float, seed: int) -> None:
    rated, dev, aspects = bases.rated, bases.rated.rows("dev"), list(bases.rated.aspects)
    tables = bases.tables("dev")
    regressor = MetaRegressor(learner, seed)
    labels = rated.labels("dev").to_numpy()
    systems, ids, groups = dev["system_id"].tolist(), dev["clip_id"].tolist(), rated.groups("dev")
    boards = regressor.validate(tables, labels, systems, validation, ids, aspects, groups)
    predictions, differences = pd.DataFrame(), pd.DataFrame()
    if len(rated.rows("test")):
        predictions, board, differences = _test(bases, regressor)
        boards = ({"test": board} if board is not None else {}) | boards
    report = Report(
        source=rated.source,
        demo=rated.demo,
        note=rated.note,
        learner=learner,
        facts=regressor.describe(),
        warnings=tuple(regressor.warnings_),
        boards=boards,
        differences=differences,
        verdict=_verdict(differences),
        predictions=predictions,
        aspects=tuple(aspects),
    )
    models = {
        table.model: {name: base.read(name) for name in MODEL_FILES}
        for table, base in zip(tables, bases.artifacts, strict=True)
    }
    facts = {"aspects": aspects, "needs_text": list(rated.needs_text), "source": rated.source, "demo": rated.demo}
    write_stack(folder, regressor, models, facts | {"flat": False}, render_files(report))


def _test(bases: Bases, regressor: MetaRegressor):
    """Predictions for the test split and, when it is labelled, the leaderboard and what the stack adds."""
    rated, rows, aspects = bases.rated, bases.rated.rows("test"), list(bases.rated.aspects)
    tables, ids, systems = bases.tables("test"), rows["clip_id"].tolist(), rows["system_id"].tolist()
    stacked, (low, high) = regressor.predict(tables, ids), regressor.predict_interval(tables, ids, LEVEL)
    columns = {"clip_id": ids, "system_id": systems}
    for k, aspect in enumerate(aspects):
        columns |= {aspect: stacked[:, k], f"{aspect}_low": low[:, k], f"{aspect}_high": high[:, k]}
    frame = pd.DataFrame(columns)
    truth = rated.labels("test").to_numpy()
    if not np.isfinite(truth).any():
        return frame, None, pd.DataFrame()
    frame = frame.assign(**{f"{aspect}_true": truth[:, k] for k, aspect in enumerate(aspects)})
    board = compare(tables, truth, systems, ids, aspects, stacked)
    means = np.column_stack([mean_scores(tables, aspect, ids) for aspect in aspects])
    differences = evaluate_difference(truth, stacked, means, systems, aspects)
    return frame, board, differences


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
