"""Everything that is measured of a stack: leaderboards, verdict, contributions.

Each measure needs rows that nothing before it was fitted or chosen on. Which rows those
are is decided here alone.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from base_models.errors import UsageError
from base_models.metrics.noise_ceiling import noise_ceiling
from meta.columns.feature_table import feature_array
from meta.columns.missing_predictions import fill_missing
from meta.columns.reductions import reduced_columns
from meta.comparison.compared_rows import STACK, ComparedRows, leaderboard
from meta.comparison.contributions import EXACT_MODELS, HeldOutRows, contributions
from meta.comparison.held_out_trial import TRAINING, VALIDATION, HeldOutTrial
from meta.comparison.judged_systems import judged_systems
from meta.comparison.verdict import Verdict
from meta.disagreement_report import disagreement_report
from meta.predicted_rows import PredictedRows
from meta.regressor import MetaRegressor
from meta.ridge_algebra.gram import Gram
from meta.ridge_algebra.solution_path import mean_eigenvalue
from meta.rows import Rows
from meta.score_columns import scored_table, without_scores
from meta.splits.equal_predictions import equal_predictions
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
"""Other learners that a report puts beside the chosen one; ``auto`` is not among them,
since it takes as long as several of them."""
INTERVAL_LEVEL = 0.9
"""Nominal coverage of the intervals of predicted scores."""
OVERFITTING_METRICS = ("mse", "srcc")
"""What shows how far a learner over-fits, as in DORA-MOS, section III.D."""
LEAKY = "LEAKY"
"""Mark of rows whose labels had another use already."""
RELATIVE_ALPHA = 0.1
"""Penalty of the stacks of subsets of base models, in units of the mean eigenvalue of
their features; all subsets share one."""


@dataclass(frozen=True, eq=False)
class Assessment:
    """All that is measured of one stack.

    Parameters
    ----------
    boards : leaderboards by name of the rows, those of the verdict first and those that
        fitted last
    rows : name of the rows that the verdict is about
    compared : those rows
    verdict : the stack against the best base model and the mean
    learners : other learners, fitted and measured like the trial of the chosen one: a
        leaderboard with the columns ``fit_seconds`` and ``predict_seconds``
    contributions : what each base model contributes, per aspect
    calibration : per aspect, the tables of
        `meta.uncertainty.coverage.calibration_report` for the rows of the verdict
    overfitting : MSE and SRCC of the trial of the stack and of each other learner on
        both sides of the split: columns model, aspect, level, metric, `TRAINING`,
        `VALIDATION`
    ceiling : what a perfect predictor would score; empty without single ratings
    disagreement : predicted against observed disagreement of raters, see
        `meta.disagreement_report.disagreement_report`; empty without single ratings, or
        where no base model predicts them
    predictions : clips of the test split, with scores, intervals and labels
    systems : those of the verdict's rows by what was predicted and what people rated,
        see `meta.comparison.judged_systems.judged_systems`
    marks : what leaks, see `meta.splits.leak_audit.Audit.refuse`; with any, no number
        here may be shown without a mark
    """

    boards: Mapping[str, pd.DataFrame]
    rows: str
    compared: ComparedRows
    verdict: Verdict
    learners: pd.DataFrame
    contributions: pd.DataFrame
    calibration: Mapping[str, Mapping[str, Any]]
    overfitting: pd.DataFrame = field(default_factory=pd.DataFrame)
    ceiling: pd.DataFrame = field(default_factory=pd.DataFrame)
    disagreement: pd.DataFrame = field(default_factory=pd.DataFrame)
    predictions: pd.DataFrame = field(default_factory=pd.DataFrame)
    systems: pd.DataFrame = field(default_factory=pd.DataFrame)
    marks: tuple[str, ...] = ()

    def marked(self, marks: Sequence[str]) -> Assessment:
        """The same assessment of a stack that leaks, marked wherever it is shown."""
        if not marks:
            return self
        return replace(
            self,
            boards={f"{LEAKY} {name}": board for name, board in self.boards.items()},
            rows=f"{LEAKY} {self.rows}",
            verdict=self.verdict.marked(LEAKY),
            marks=tuple(marks),
        )

    @property
    def fitted_rows(self) -> tuple[str, ...]:
        """Names of the leaderboards of rows that the stack measured was fitted on."""
        name = f"{LEAKY} {TRAINING}" if self.marks else TRAINING
        return (name,) if name in self.boards else ()

    @property
    def held_out_name(self) -> str:
        """Name of the rows that learners and contributions are measured on."""
        return f"{LEAKY} {VALIDATION}" if self.marks else VALIDATION


def assess(
    regressor: MetaRegressor,
    trial: HeldOutTrial,
    fitted: PredictedRows,
    judges: Mapping[str, PredictedRows] | None = None,
    *,
    ratings: pd.DataFrame | None = None,
    level: float = INTERVAL_LEVEL,
    rivals: Sequence[str] = RIVALS,
) -> Assessment:
    """Measure a stack on every row that it was not fitted on.

    Parameters
    ----------
    regressor : the stack, fitted and calibrated on `fitted`
    trial : such a stack, compared on rows held out of it
    fitted : the rows of the meta level
    judges : rows that no fit has seen, by name, such as the test split; the verdict is
        about the first of them that has labels, or else about the meta-validation rows
        of the trial
    ratings : single ratings, see `base_models.clips.ratings.read_ratings`, for the
        noise ceiling and the predicted disagreement
    level : nominal coverage of the intervals in ``predictions``
    rivals : names of learners to put beside the chosen one
    """
    # A judge without labels is predicted, but measures nothing.
    judges = judges or {}
    labelled = {}
    constant = fitted.rows.mean_labels
    for name, judge in judges.items():
        if np.isfinite(judge.rows.labels).any():
            labelled[name] = _compared(judge, regressor, constant)

    if labelled:
        name = next(iter(labelled))
        compared = labelled[name]
        # The best base model is chosen where the stack was fitted, never on the judge.
        chosen_on = _compared(fitted, regressor, constant)
        calibrated: MetaRegressor | None = regressor
        judge = judges[name]
    else:
        name = VALIDATION
        compared = trial.validation
        chosen_on = trial.training
        # The stack itself was calibrated on these rows, so its promises cannot be
        # checked on them.
        calibrated = _calibrated_on_training(trial, ratings)
        judge = PredictedRows(compared.rows, trial.tables)

    test = judges.get("test")
    learners, rival_scores = _fit_rivals(regressor, trial, rivals)
    return Assessment(
        boards=_boards(labelled | trial.sides),
        rows=name,
        compared=compared,
        verdict=compared.verdict(chosen_on),
        learners=learners,
        contributions=_contributions(regressor, trial),
        calibration=_calibration_tables(calibrated, compared, judge),
        overfitting=_overfitting(trial, rival_scores),
        ceiling=_noise_ceiling(ratings, compared.rows),
        disagreement=(
            pd.DataFrame()
            if calibrated is None
            else disagreement_report(calibrated, judge, ratings)
        ),
        predictions=(
            pd.DataFrame() if test is None else _predictions(test, regressor, level)
        ),
        systems=judged_systems(compared),
    )


def _boards(compared: Mapping[str, ComparedRows]) -> dict[str, pd.DataFrame]:
    """The leaderboard of each set of rows."""
    boards = {}
    for name, rows in compared.items():
        # Rows that fitted the stack show how far it over-fits, and nothing about other
        # systems: an interval there would be of nothing.
        boards[name] = rows.board(n_bootstrap=0) if name == TRAINING else rows.board()
    return boards


def audit_rows(
    fitted: PredictedRows,
    judges: Mapping[str, PredictedRows],
    contents: Mapping[str, str] | None = None,
    trial: HeldOutTrial | None = None,
) -> Audit:
    """Which clips have two uses, by id, by predictions, and by audio if it is known.

    Parameters
    ----------
    fitted, judges : see `assess`
    contents : clip id to a name of what is heard, see `meta.splits.leak_audit.audit`
    trial : tells the meta-training rows from the meta-validation rows; without it, all
        of `fitted` counts as meta-training
    """
    roles: dict[str, Sequence[str]] = {}
    if trial is None:
        roles[TRAINING] = fitted.rows.ids.tolist()
    else:
        roles[TRAINING] = trial.training.rows.ids.tolist()
        roles[VALIDATION] = trial.validation.rows.ids.tolist()
    if judges:
        judge_ids = [clip for judge in judges.values() for clip in judge.rows.ids]
        roles["test"] = judge_ids
    equal: dict[str, str] = {}
    for judge in judges.values():
        equal |= equal_predictions(
            fitted.tables,
            fitted.rows.ids.tolist(),
            judging=judge.tables,
            judging_ids=judge.rows.ids.tolist(),
        )
    return audit(fitted.tables, roles, contents or {}, equal)


def _compared(
    predicted: PredictedRows, regressor: MetaRegressor, constant: np.ndarray
) -> ComparedRows:
    rows = predicted.rows
    stack_scores = regressor.predict(predicted.tables, rows.ids.tolist())
    return ComparedRows.of(predicted.tables, rows, stack_scores, constant=constant)


def _calibrated_on_training(
    trial: HeldOutTrial, ratings: pd.DataFrame | None
) -> MetaRegressor | None:
    """The trial stack, calibrated on its own rows; None where these are few."""
    calibrated: MetaRegressor | None = trial.calibrated
    if calibrated is None or ratings is None:
        return calibrated
    # The trial keeps a stack that knows nothing of these ratings.
    learnt = copy(calibrated)
    try:
        return learnt.learn_disagreement(trial.tables, trial.training.rows, ratings)
    except UsageError:
        return None


def _fit_rivals(
    regressor: MetaRegressor,
    trial: HeldOutTrial,
    rivals: Sequence[str],
) -> tuple[pd.DataFrame, dict[str, dict[str, np.ndarray]]]:
    """Fit every rival on the meta-training rows.

    Returns
    -------
    board : what they reach on the meta-validation rows, and how long they took
    scores : name of each rival, and of each side of the trial, to scores (n, aspects)

    Notes
    -----
    The learner ``stack`` goes by another name here: in these tables that name is the
    stack that is assessed, whatever its learner.
    """
    # Timed on the clock: what matters is how long somebody would wait.
    training = trial.training.rows
    held_out = trial.validation.rows
    seconds: dict[str, dict[str, float]] = {}
    scores: dict[str, dict[str, np.ndarray]] = {}
    for name in rivals:
        learner = clone(regressor).set_params(learner=name)
        started = time.perf_counter()
        learner.fit(trial.tables, training)
        fit_ended = time.perf_counter()
        held_out_scores = learner.predict(trial.tables, held_out.ids.tolist())
        predict_ended = time.perf_counter()

        label = f"{name} (learner)" if name == STACK else name
        seconds[label] = {
            "fit_seconds": fit_ended - started,
            "predict_seconds": predict_ended - fit_ended,
        }
        scores[label] = {
            TRAINING: learner.predict(trial.tables, training.ids.tolist()),
            VALIDATION: held_out_scores,
        }
    if not scores:
        return pd.DataFrame(), scores

    # These intervals resample systems alone, without their prompts.
    board = leaderboard(
        {name: (sides[VALIDATION], held_out.labels) for name, sides in scores.items()},
        replace(held_out, prompts=None),
    )
    times = pd.DataFrame([seconds[name] for name in board["model"]])
    return board.join(times), scores


def _overfitting(
    trial: HeldOutTrial,
    rival_scores: Mapping[str, Mapping[str, np.ndarray]],
) -> pd.DataFrame:
    """MSE and SRCC of the stack and of its rivals, both sides of the trial in a row."""
    facts = ["model", "aspect", "level", "metric"]
    sides = []
    for side, compared in trial.sides.items():
        labels = compared.rows.labels
        by_learner = {}
        if compared.stack_scores is not None:
            by_learner[STACK] = (compared.stack_scores, labels)
        for name, scores in rival_scores.items():
            by_learner[name] = (scores[side], labels)
        board = leaderboard(by_learner, compared.rows, n_bootstrap=0)
        is_shown = board["metric"].isin(OVERFITTING_METRICS)
        values = board[is_shown].set_index(facts)["value"]
        sides.append(values.rename(side))
    both = pd.concat(sides, axis=1).reset_index()
    return both[[*facts, TRAINING, VALIDATION]]


def joint_contributions(
    regressor: MetaRegressor, trial: HeldOutTrial, players: Mapping[str, str]
) -> pd.DataFrame:
    """What base models contribute together, as `Assessment.contributions`.

    Parameters
    ----------
    regressor, trial : see `assess`
    players : base model to the name of what it is counted under, such as its encoder; a
        model without one is counted by itself

    Returns
    -------
    table : DataFrame
        Empty where all models, or none together, are counted under one name.
    """
    models = regressor.layout_.models
    names = [players.get(model, model) for model in models]
    if len(set(names)) in (1, len(models)):
        return pd.DataFrame()
    return _contributions(regressor, trial, names)


def _contributions(
    regressor: MetaRegressor,
    trial: HeldOutTrial,
    players: Sequence[str] | None = None,
) -> pd.DataFrame:
    """What each base model contributes to a ridge stack on the meta-validation rows."""
    layout = regressor.layout_
    # With many models there are thousands of solves, too slow with all their bins; and
    # where bins are more than rows, what a ridge stack of them gains is luck.
    n_bins = len(layout.models) * layout.bins.count
    is_wide = n_bins > len(trial.training.rows)
    is_slow = len(layout.models) > EXACT_MODELS
    columns = "score" if is_wide or is_slow else "bins"

    def numbers(rows: Rows, aspect: str) -> tuple[np.ndarray, np.ndarray]:
        """Features and labels of one aspect."""
        features = feature_array(trial.tables, aspect, rows.ids.tolist(), gaps=True)
        features = fill_missing(layout, features, "pool")
        return reduced_columns(layout, features, columns), rows.labels[:, 0]

    # Sums: all sub-stacks are solved from them, without the rows.
    parts = []
    for k, aspect in enumerate(trial.training.rows.aspects):
        training = Gram.from_rows(*numbers(trial.training.rows.of_aspect(k), aspect))
        rows = trial.validation.rows.of_aspect(k)
        held_out = HeldOutRows.of(*numbers(rows, aspect), rows.systems)
        alpha = RELATIVE_ALPHA * mean_eigenvalue(training)
        # Features that are all alike have no eigenvalue above 0, and nothing to give.
        if alpha > 0:
            table = contributions(
                training, held_out, layout, alpha=alpha, players=players
            )
            parts.append(table.assign(aspect=aspect))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _calibration_tables(
    regressor: MetaRegressor | None, compared: ComparedRows, judge: PredictedRows
) -> dict[str, dict[str, Any]]:
    """What intervals and distributions promised, and what they kept, per aspect.

    `judge` holds the compared rows, with what base models predict for them.
    """
    tables: dict[str, dict[str, Any]] = {}
    if regressor is None or compared.stack_scores is None:
        return tables
    rows = compared.rows
    scales = regressor.error_scales(
        judge.tables, rows.ids.tolist(), compared.stack_scores
    )
    for k, aspect in enumerate(rows.aspects):
        calibration = regressor.calibrations_[k]
        labelled = np.flatnonzero(~np.isnan(rows.labels[:, k]))
        if calibration is None or not len(labelled):
            continue
        # Coverage is resampled by systems, or by clips where these name none.
        systems = rows.systems[labelled].tolist() if rows.all_systems_named else None
        tables[aspect] = calibration_report(
            calibration,
            compared.stack_scores[labelled, k],
            rows.labels[labelled, k],
            systems,
            scales=scales[labelled, k],
        )
    return tables


def _noise_ceiling(ratings: pd.DataFrame | None, rows: Rows) -> pd.DataFrame:
    """What a perfect predictor would score, where the rows have single ratings."""
    if ratings is None:
        return pd.DataFrame()
    own = ratings[ratings["clip_id"].isin(rows.ids)]
    counts = own.groupby("clip_id")[list(rows.aspects)].count()
    # Agreement needs at least two clips that two raters heard.
    aspects = [aspect for aspect in rows.aspects if (counts[aspect] > 1).sum() > 1]
    if not aspects:
        return pd.DataFrame()
    systems = None
    if rows.all_systems_named:
        systems = dict(zip(rows.ids, rows.systems, strict=True))
    return noise_ceiling(own, aspects, systems)


def _predictions(
    judge: PredictedRows,
    regressor: MetaRegressor,
    level: float,
) -> pd.DataFrame:
    """Scores, bounds of their intervals, and labels (``<aspect>_true``) if any."""
    rows = judge.rows
    clips = pd.DataFrame(
        {"clip_id": rows.ids.tolist(), "system_id": rows.systems.tolist()}
    )
    predictions = scored_table(regressor, judge.tables, clips, rows.aspects, level)
    if judge.gaps is not None:
        predictions = without_scores(predictions, rows.aspects, judge.gaps)
    if np.isfinite(rows.labels).any():
        for k, aspect in enumerate(rows.aspects):
            predictions[f"{aspect}_true"] = rows.labels[:, k]
    return predictions
