"""Level 1: the base models' predictions for the dev split, a meta-learner fitted on them, and everything measured.

As in DORA-MOS, section III.D: 60 % of the dev split to fit, 40 % to measure, then a fit on the whole of it. The trap
is the verdict: on the rows that fitted it a stack always looks good, so the meta-training numbers only show how far it
over-fits; the verdict is of the test split, or of meta-validation where no test clip is labelled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from base_models.errors import UsageError, one_of
from base_models.files import Artifact, is_sealed, sha256, to_json
from ensemble.estimator.save_and_load import ROLE, write_stack
from ensemble.reporting.report import LEVEL, Report, render_files
from ensemble.stacking.assessment import RIVALS, audit_of, judge
from ensemble.stacking.stack_data import StackData
from ensemble.workspace import Workspace
from meta.columns.missing_predictions import MISSING
from meta.learners import LEARNERS
from meta.regressor import MetaRegressor
from meta.splits.meta_split import meta_split

META_VERSION = 3
"""Raised whenever the same base models would give another stack or report: older stacks are then made anew."""


@dataclass(frozen=True)
class Settings:
    """How a stack is fitted and measured.

    Parameters
    ----------
    learner : a name in `LEARNERS`
    validation : share of the rows to fit on that measure
    seed : of the split and the learner
    missing : what happens to clips that a base model has no prediction for, see `meta.columns.missing_predictions.MISSING`
    allow_leak : whether clips that a base model has seen may be stacked on; every number is then marked
    rivals : learners that the report puts beside the chosen one
    params : parameters of the learner, e.g. ``{"penalty": "ridge", "features": "bins", "alpha": 1.0}`` as in the paper
    """

    learner: str = "ridge"
    validation: float = 0.4
    seed: int = 0
    missing: str = "refuse"
    allow_leak: bool = False
    rivals: tuple[str, ...] = RIVALS
    params: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        for name in (self.learner, *self.rivals):
            one_of(name, LEARNERS, "learner")
        one_of(self.missing, MISSING, "--missing")
        if not 0 < self.validation < 1:
            raise UsageError(
                f"--validation must lie between 0 and 1; got {self.validation}."
            )
        legal = LEARNERS[self.learner]().get_params()
        for name in self.params:
            one_of(name, legal, f"parameter of {self.learner}")

    def regressor(self) -> MetaRegressor:
        """The meta level, not fitted."""
        named = MetaRegressor(self.learner, self.seed, self.missing)
        return (
            named.set_params(learner=named.new_learner().set_params(**self.params))
            if self.params
            else named
        )


def fit_level1(
    workspace: Workspace, data: StackData, settings: Settings | None = None
) -> Path:
    """Fit, measure and write one stack; a stack that is there already is left as it is.

    Returns
    -------
    folder : of the stack, with report.html, report.json, metrics.csv and answer.txt

    Raises
    ------
    UsageError
        when clips leak, or there are too few rows or systems.
    """
    settings = settings or Settings()
    signature = sha256(
        to_json([META_VERSION, asdict(settings), data.group, *data.identity])
    )[:10]
    folder = workspace.meta_run(settings.learner, signature)
    if is_sealed(folder):
        Artifact(folder, ROLE).verify()
    else:
        _fit(folder, data, settings)
    workspace.point(
        "stack", {"folder": str(folder.relative_to(workspace.root)), "demo": data.demo}
    )
    return folder


def _fit(folder: Path, data: StackData, settings: Settings) -> None:
    marks = audit_of(data).refuse(settings.allow_leak)
    rows, aspects, told = (
        data.fit,
        list(data.aspects),
        data.forgetful() if marks else data,
    )
    regressor = settings.regressor()
    regressor.validate(
        told.fit.tables, rows.labels(aspects), rows.systems, _validation(data, settings), rows.ids, aspects,
        rows.groups(data.group), n_bootstrap=0,
    )  # fmt: skip
    found = audit_of(data, regressor)
    marks = found.refuse(allow_leak=True)
    report = Report(
        source=data.source,
        demo=data.demo,
        note=data.note,
        learner=settings.learner,
        facts=regressor.describe(),
        warnings=(*marks, *regressor.warnings_),
        judgement=judge(regressor, told, LEVEL, settings.rivals).marked(marks),
        audit=found.to_json(),
        aspects=tuple(aspects),
    )
    facts = {
        "aspects": aspects,
        "needs_text": list(data.needs_text),
        "source": data.source,
        "demo": data.demo,
    }
    write_stack(
        folder, regressor, data.bases, facts | {"flat": False}, render_files(report)
    )


def _validation(
    data: StackData, settings: Settings
) -> float | tuple[np.ndarray, np.ndarray]:
    """The share that measures; where clips share their audio, the rows of both sides, such clips on one of them."""
    rows, audio = (
        data.fit,
        [data.contents.get(clip) or f"clip {clip}" for clip in data.fit.ids],
    )
    if data.group or len(set(audio)) == len(audio):
        return settings.validation
    held = meta_split(
        rows.systems,
        rows.labels(data.aspects),
        settings.validation,
        settings.seed,
        audio,
    )
    return np.flatnonzero(~held), np.flatnonzero(held)


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
