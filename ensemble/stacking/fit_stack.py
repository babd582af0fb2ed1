"""fit_meta as a function: a stack fitted on predictions, measured, and written.

As in DORA-MOS, section III.D: 60 % of the dev split to fit, 40 % to measure, then a fit
on the whole of it. The stack is a `StackedMOS` on prediction tables. Its verdict is
about the test split, or about the meta-validation rows where no test clip is labelled:
on the rows that fitted it a stack always looks good, so the numbers of the
meta-training rows only show how far it over-fits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import PredefinedSplit

from base_models.clips.names import plain_id
from base_models.clips.splits import joined_groups
from base_models.errors import UsageError, one_of
from base_models.files import Artifact, is_sealed, sha256, to_json
from ensemble.estimator.save_and_load import write_stack
from ensemble.estimator.stacked_mos import StackedMOS
from ensemble.reporting.section import Provenance
from ensemble.stacking.stack_data import StackData
from ensemble.workspace import STACK_ROLE, Workspace
from meta.assessment import RIVALS, audit_rows, joint_contributions
from meta.columns.missing_predictions import MISSING
from meta.learners import LEARNERS, USUAL_LEARNER
from meta.learners.base import Learner
from meta.regressor import MetaRegressor
from meta.rows import Rows
from meta.splits.label_copies import refuse_label_copies
from meta.splits.meta_split import VALIDATION_SHARE, meta_split

META_VERSION = 9
"""Raised whenever the same base models would give another stack or report: older stacks
are then made anew."""


WITH_PARAMETERS = "ridge"
"""Learner that parameters are of, where none is named: the usual one has none."""


@dataclass(frozen=True)
class Settings:
    """How a stack is fitted and measured.

    Parameters
    ----------
    learner : a name in `LEARNERS`; None takes `meta.learners.USUAL_LEARNER`, or
        ``"ridge"`` with `params`
    validation : share of the labelled rows held out to measure a trial stack, which
        is fitted on the rest
    seed : of the split and the learner
    missing : what happens to clips that a base model has no prediction for, see
        `meta.columns.missing_predictions.MISSING`
    allow_leak : whether clips that a base model has seen may be stacked on; every
        number is then marked
    rivals : learners that the report puts beside the chosen one
    params : parameters of the learner, e.g. ``{"penalty": "ridge", "features": "bins",
        "alpha": 1.0}`` as published

    Raises
    ------
    UsageError
        when one of these is not legal.
    """

    learner: str | None = None
    validation: float = VALIDATION_SHARE
    seed: int = 0
    missing: str = "refuse"
    allow_leak: bool = False
    rivals: tuple[str, ...] = RIVALS
    params: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        named = [] if self.learner is None else [self.learner]
        for name in (*named, *self.rivals):
            one_of(name, LEARNERS, "learner")
        one_of(self.missing, MISSING, "--missing")
        if not 0 < self.validation < 1:
            raise UsageError(
                f"--validation must lie between 0 and 1; got {self.validation}."
            )
        # Refused here, before anything is read.
        if self.params:
            LEARNERS[self.learner_name]().with_settings(self.params, self.learner_name)

    @property
    def learner_name(self) -> str:
        """The learner's name, also where none is given."""
        if self.learner is not None:
            return self.learner
        return WITH_PARAMETERS if self.params else USUAL_LEARNER

    def final_estimator(self, learner: str) -> str | Learner:
        """What `StackedMOS` takes: the learner's name, or a learner with `params`."""
        if not self.params:
            return learner
        # Seed and missing are parameters of the learner too, set as for a bare name.
        named = MetaRegressor(learner, self.seed, self.missing)
        return named.new_learner().with_settings(self.params, learner)


def fit_stack(
    workspace: Workspace,
    data: StackData,
    settings: Settings | None = None,
    provenance: Provenance | None = None,
) -> Path:
    """Fit, measure and write one stack; a stack that is there already stays as it is.

    Parameters
    ----------
    workspace : where the stack goes, and where it is remembered as the last one
    data : the rows and the predictions for them
    settings : None takes the defaults
    provenance : command, version and date, for the page of the report

    Returns
    -------
    folder : of the stack, with report.html, report.json, metrics.csv and, for a test
        split, answer.txt

    Raises
    ------
    UsageError
        when clips leak, or there are too few rows or systems.
    """
    settings = settings or Settings()
    learner = settings.learner_name
    settings = replace(settings, learner=learner)
    # The folder is named by everything that decides what is in it.
    decided_by = [META_VERSION, asdict(settings), data.group, *data.identity]
    signature = sha256(to_json(decided_by))[:10]
    folder = workspace.meta_run(learner, signature)
    workspace.sweep()
    if is_sealed(folder):
        Artifact(folder, STACK_ROLE, folder.name).verify()
    else:
        _fit_and_write(folder, data, settings, provenance or Provenance())

    relative = str(folder.relative_to(workspace.root))
    workspace.point("stack", {"folder": relative, "demo": data.demo})
    return folder


def _fit_and_write(
    folder: Path, data: StackData, settings: Settings, provenance: Provenance
) -> None:
    # Refused before anything is fitted, unless leaks are allowed, and then marked.
    marks = audit_rows(data.fit, data.judges, data.contents).refuse(settings.allow_leak)
    used = data.without_provenance() if marks else data
    # Nor may a predictor be the labels of the rows that judge.
    for judge in data.judges.values():
        refuse_label_copies(judge.tables, judge.rows)

    rows = used.fit.rows
    learner = settings.learner_name
    stack = StackedMOS(
        [(table.model, table) for table in used.fit.tables],
        final_estimator=settings.final_estimator(learner),
        cv="prefit",
        validation=_validation(data, settings),
        random_state=settings.seed,
        missing=settings.missing,
    )
    stack.fit(_clip_table(rows), rows.label_frame, groups=rows.groups)
    if marks:
        # Predictions of a leaky fit know the labels also where a fold was left out.
        stack.final_estimator_.cross_fits_ = [None] * len(stack.aspects_)
        stack.final_estimator_.system_errors_ = [None] * len(stack.aspects_)
    if data.scales is not None:
        stack.scales_ = data.scales
    # There is one wherever a share for validation is given, as here.
    assert stack.trial_ is not None
    if data.ratings is not None:
        stack.learn_disagreement(data.ratings)
    report = replace(
        stack.assess(used.judges, ratings=data.ratings, rivals=settings.rivals),
        # Of the tables as they came: those of a leaky fit do not say what was seen.
        audit=audit_rows(data.fit, data.judges, data.contents, stack.trial_),
        learner=learner,
        source=data.source,
        demo=data.demo,
        note=data.note,
        by_encoder=joint_contributions(
            stack.final_estimator_, stack.trial_, data.encoders
        ),
        out_of_fold=data.out_of_fold,
        audio=data.audio,
        folder=folder,
        provenance=replace(
            provenance,
            data=data.source,
            data_hash=data.data_hash,
            stack=folder.name,
        ),
    )

    facts = {
        "aspects": list(data.aspects),
        "needs_text": list(data.needs_text),
        "source": data.source,
        "demo": data.demo,
        "flat": False,
        "scales": stack.scales_.to_json(),
    }
    if report.disagreement_sentences:
        facts["disagreement"] = report.disagreement_sentences
    write_stack(
        folder,
        stack.final_estimator_,
        data.bases,
        facts=facts,
        extra=report.files(),
        log=report.log(),
        identity=folder.name,
    )


def _clip_table(rows: Rows) -> pd.DataFrame:
    """The rows as a clip table for `StackedMOS.fit`."""
    clips = pd.DataFrame({"clip_id": rows.ids, "system_id": rows.systems})
    if rows.prompts is not None:
        clips["prompt"] = rows.prompts
    return clips


def _validation(data: StackData, settings: Settings) -> float | PredefinedSplit:
    """The share that measures, or a split that keeps a clip under two names together.

    Such a clip, of equal audio or of ids that differ in spelling alone, would otherwise
    fit the stack and measure it too.
    """
    rows = data.fit.rows
    # A clip of unknown audio is like no other.
    audio = [data.contents.get(clip) or f"clip {clip}" for clip in rows.ids]
    spelled = [plain_id(clip) for clip in rows.ids]
    if len(set(audio)) == len(set(spelled)) == len(audio):
        return settings.validation

    names = np.array(audio, dtype=object)
    clip = joined_groups(names, np.array(spelled, dtype=object))
    # Each is called as the first of its rows.
    _, first_row = np.unique(clip, return_index=True)
    together = names[first_row[clip]]
    if rows.group_names is not None:
        together = joined_groups(together, rows.group_names)
    held_out = meta_split(
        rows.keeping_together(together), settings.validation, settings.seed
    )
    fold = np.where(held_out, 0, -1)  # scikit-learn's -1: never in a test set
    return PredefinedSplit(fold)


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
