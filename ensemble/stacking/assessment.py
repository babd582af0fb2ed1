"""What may be said of a stack: leaderboards, the verdict, what each base model gives, whether promises were kept.

The trap: each of these needs rows that nothing before it was fitted or chosen on; which rows those are is decided here
alone.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from base_models.errors import UsageError
from base_models.metrics.noise_ceiling import noise_ceiling
from ensemble.stacking.stack_data import Rows, StackData
from meta.columns.feature_table import feature_array
from meta.columns.missing_predictions import fill_missing
from meta.columns.reductions import reduce
from meta.comparison.compared_rows import Judged, leaderboard
from meta.comparison.contributions import EXACT_MODELS, contributions
from meta.comparison.verdict import Verdict
from meta.regressor import MetaRegressor
from meta.ridge_algebra.gram import Gram
from meta.ridge_algebra.solution_path import mean_eigenvalue
from meta.splits.leak_audit import Audit, audit
from meta.uncertainty.coverage import calibration_report

RIVALS = (
    "ridge",
    "simplex",
    "greedy",
    "best",
    "log_pool",
    "crps",
    "log_score",
    "lightgbm",
)
"""Learners that a report puts beside the one chosen; ``auto`` takes as long as several of them."""
VALIDATION, TRAINING = "meta-validation", "meta-training"
LEAKY = "LEAKY"
"""How rows are called whose labels had another use already."""
RELATIVE_ALPHA = 0.1
"""Penalty of the stacks of subsets, in units of the mean eigenvalue: all subsets share one."""


@dataclass(frozen=True)
class Judgement:
    """All that is said of one stack.

    Parameters
    ----------
    boards : leaderboards by name of the rows, those of the verdict first and those that fitted last
    rows : name of the rows that the verdict is of
    judged : those rows
    verdict : the stack against the best base model and the mean
    learners : other learners, fitted and measured like the trial of the chosen one: a leaderboard with the columns
        ``fit_seconds`` and ``predict_seconds``
    contributions : what each base model gives, per aspect
    calibration : per aspect, what `meta.uncertainty.coverage.calibration_report` says of the rows of the verdict
    ceiling : what a perfect predictor would score, or an empty frame without single ratings
    predictions : clips of the test split, with scores, intervals and labels
    marks : what leaks, see `meta.splits.leak_audit.Audit.refuse`; with any, no number here may be shown without a mark
    """

    boards: Mapping[str, pd.DataFrame]
    rows: str
    judged: Judged
    verdict: Verdict
    learners: pd.DataFrame
    contributions: pd.DataFrame
    calibration: Mapping[str, Mapping[str, Any]]
    ceiling: pd.DataFrame = field(default_factory=pd.DataFrame)
    predictions: pd.DataFrame = field(default_factory=pd.DataFrame)
    marks: tuple[str, ...] = ()

    def marked(self, marks: Sequence[str]) -> Judgement:
        """The same judgement of a stack that leaks: rows and verdict are called `LEAKY`, wherever they are shown."""
        if not marks:
            return self
        boards = {f"{LEAKY} {name}": board for name, board in self.boards.items()}
        verdict = replace(self.verdict, sentence=f"{LEAKY}: {self.verdict.sentence}")
        return replace(
            self,
            boards=boards,
            rows=f"{LEAKY} {self.rows}",
            verdict=verdict,
            marks=tuple(marks),
        )

    @property
    def held(self) -> str:
        """Name of the rows that learners and contributions are measured on."""
        return f"{LEAKY} {VALIDATION}" if self.marks else VALIDATION


def judge(
    regressor: MetaRegressor,
    data: StackData,
    level: float,
    rivals: Sequence[str] = RIVALS,
) -> Judgement:
    """Measure a validated stack on every row that it was not fitted on.

    Parameters
    ----------
    regressor : after `MetaRegressor.validate` on ``data.fit``
    level : nominal coverage of the intervals in ``predictions``
    rivals : names of learners to put beside the chosen one
    """
    aspects, sides = data.aspects, _sides(regressor, data)
    seen = {
        name: _judged(rows, regressor, aspects) for name, rows in data.judges.items()
    }
    labelled = {
        name: judged for name, judged in seen.items() if np.isfinite(judged.y).any()
    }
    name, judged = next(iter(labelled.items()), (VALIDATION, sides[VALIDATION]))
    chosen_on = (
        sides[TRAINING] if name == VALIDATION else _judged(data.fit, regressor, aspects)
    )
    test = data.judges.get("test")
    return Judgement(
        boards={key: value.board() for key, value in (labelled | sides).items()},
        rows=name,
        judged=judged,
        verdict=judged.verdict(chosen_on),
        learners=_learners(regressor, data, rivals),
        contributions=_contributions(regressor, data),
        calibration=_calibration(
            _trial(regressor, data) if name == VALIDATION else regressor, judged
        ),
        ceiling=_ceiling(data, judged),
        predictions=pd.DataFrame()
        if test is None
        else _predictions(test, regressor, aspects, level),
    )


def audit_of(data: StackData, regressor: MetaRegressor | None = None) -> Audit:
    """Which clips have two uses; by id, and by the content of their audio where that is known."""
    roles = {"meta-training": data.fit.ids} if regressor is None else _roles(regressor)
    roles |= (
        {"test": [clip for rows in data.judges.values() for clip in rows.ids]}
        if data.judges
        else {}
    )
    return audit(data.fit.tables, roles, data.contents)


def _sides(regressor: MetaRegressor, data: StackData) -> dict[str, Judged]:
    """The rows of `MetaRegressor.validate` with their prompts, those that measured first."""
    sides = {name: regressor.validation_[name] for name in (VALIDATION, TRAINING)}
    if "prompt" not in data.fit.frame:
        return sides
    prompts = data.fit.frame.set_index("clip_id")["prompt"]
    return {
        name: replace(side, prompt_ids=tuple(prompts[list(side.clip_ids)]))
        for name, side in sides.items()
    }


def _trial(regressor: MetaRegressor, data: StackData) -> MetaRegressor | None:
    """The stack of the meta-training rows with a calibration learnt there; None where they are too few for one."""
    train = regressor.validation_[TRAINING]
    try:
        trial = clone(regressor)
        trial.validate(
            data.fit.tables, train.y, train.system_ids, clip_ids=train.clip_ids, aspects=data.aspects,
            groups=_groups_of(train, data), n_bootstrap=0,
        )  # fmt: skip
    except UsageError:
        return None
    return trial


def _groups_of(rows: Judged, data: StackData) -> list[str] | None:
    groups = data.fit.groups(data.group)
    if groups is None:
        return None
    group_of = dict(zip(data.fit.ids, groups, strict=True))
    return [group_of[clip] for clip in rows.clip_ids]


def _roles(regressor: MetaRegressor) -> dict[str, Sequence[str]]:
    return {name: judged.clip_ids for name, judged in regressor.validation_.items()}


def _judged(rows: Rows, regressor: MetaRegressor, aspects: Sequence[str]) -> Judged:
    stack = regressor.predict(rows.tables, rows.ids)
    prompts = rows.frame["prompt"].tolist() if "prompt" in rows.frame else None
    return Judged.of(
        rows.tables,
        rows.labels(aspects),
        rows.ids,
        rows.systems,
        aspects,
        stack,
        prompts,
    )


def _predictions(
    rows: Rows, regressor: MetaRegressor, aspects: Sequence[str], level: float
) -> pd.DataFrame:
    """Scores, bounds of their intervals, and labels (``<aspect>_true``) where there are any."""
    tables, ids, systems, truth = (
        rows.tables,
        rows.ids,
        rows.systems,
        rows.labels(aspects),
    )
    scores, (low, high) = (
        regressor.predict(tables, ids),
        regressor.predict_interval(tables, ids, level),
    )
    columns = {"clip_id": ids, "system_id": systems}
    for k, aspect in enumerate(aspects):
        columns |= {
            aspect: scores[:, k],
            f"{aspect}_low": low[:, k],
            f"{aspect}_high": high[:, k],
        }
    if np.isfinite(truth).any():
        columns |= {f"{aspect}_true": truth[:, k] for k, aspect in enumerate(aspects)}
    return pd.DataFrame(columns)


def _learners(
    regressor: MetaRegressor, data: StackData, rivals: Sequence[str]
) -> pd.DataFrame:
    """Every learner, fitted on the meta-training rows and judged on the meta-validation rows."""
    train, held = (regressor.validation_[name] for name in (TRAINING, VALIDATION))
    of_train, parts = _groups_of(train, data), []
    for name in rivals:
        learner, tables = clone(regressor).set_params(learner=name), data.fit.tables
        started = time.perf_counter()
        learner.fit(
            tables,
            train.y,
            train.clip_ids,
            data.aspects,
            groups=of_train,
            system_ids=train.system_ids,
        )
        fitted = time.perf_counter()
        scores = learner.predict(tables, held.clip_ids)
        done = time.perf_counter()
        board = leaderboard({name: (scores, held.y)}, held.system_ids, data.aspects)
        parts.append(
            board.assign(fit_seconds=fitted - started, predict_seconds=done - fitted)
        )
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _contributions(regressor: MetaRegressor, data: StackData) -> pd.DataFrame:
    """What each base model gives to the ridge stack, measured on the meta-validation rows."""
    layout, sides, parts = regressor.layout_, regressor.validation_, []
    columns = (
        "bins" if len(layout.models) <= EXACT_MODELS else "score"
    )  # thousands of solves of hundreds of bins
    for k, aspect in enumerate(data.aspects):
        grams = []
        for side in (sides[TRAINING], sides[VALIDATION]):
            kept = ~np.isnan(side.y[:, k])
            X = feature_array(data.fit.tables, aspect, side.clip_ids, gaps=True)[kept]
            systems = np.array(side.system_ids, dtype=object)[kept]
            X = reduce(layout, fill_missing(layout, X, "pool"), columns)
            grams.append(Gram.from_rows(X, side.y[kept, k], groups=systems))
        alpha = RELATIVE_ALPHA * mean_eigenvalue(grams[0])
        if alpha > 0:
            parts.append(contributions(*grams, layout, alpha).assign(aspect=aspect))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _calibration(
    regressor: MetaRegressor | None, judged: Judged
) -> dict[str, dict[str, Any]]:
    """What intervals and distributions promised, and what they kept on the rows of the verdict."""
    found = {}
    for k, aspect in enumerate(judged.aspects):
        calibration = None if regressor is None else regressor.calibrations_[k]
        kept = np.flatnonzero(~np.isnan(judged.y[:, k]))
        if calibration is not None and len(kept):
            systems = (
                [judged.system_ids[row] for row in kept]
                if all(judged.system_ids)
                else None
            )
            found[aspect] = calibration_report(
                calibration, judged.stack[kept, k], judged.y[kept, k], systems
            )
    return found


def _ceiling(data: StackData, judged: Judged) -> pd.DataFrame:
    """What a perfect predictor would score on the rows of the verdict, where they have single ratings."""
    if data.ratings is None:
        return pd.DataFrame()
    own = data.ratings[data.ratings["clip_id"].isin(judged.clip_ids)]
    counts = own.groupby("clip_id")[list(judged.aspects)].count()
    aspects = [aspect for aspect in judged.aspects if (counts[aspect] > 1).sum() > 1]
    systems = (
        dict(zip(judged.clip_ids, judged.system_ids, strict=True))
        if all(judged.system_ids)
        else None
    )
    return noise_ceiling(own, aspects, systems) if aspects else pd.DataFrame()
