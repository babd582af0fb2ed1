"""The cells of a row: our numbers, measured from the predictions of its repetitions.

A row of one base model is the mean of the metrics over its seeds. A row of a stack fits
one stack per repetition, with the meta-learner as the published code has it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from base_models.clips.labels import SCALE
from base_models.errors import UsageError, in_one_line
from base_models.metrics.evaluate import Truth, evaluate_mean
from ensemble.papers.paper_tables import Column, PaperTable, Row
from ensemble.papers.request import Request
from ensemble.papers.train_rows import FoldModels, Model, TrainedModels
from meta.comparison.compared_rows import STACK, ComparedRows
from meta.comparison.held_out_trial import TRAINING, VALIDATION
from meta.learners.base import Learner
from meta.regressor import MetaRegressor
from meta.rows import Rows

N_BOOTSTRAP = 1000
FIT_METRICS = ("srcc", "mse")
"""What is said of how a stack fits the rows of both sides."""

# What became of a row.
FAILED = "failed"
MEASURED = "measured"
NOT_RUN = "not run"
_SEEN = (
    "a stack is fitted on the dev clips, on which it would be measured; its "
    "meta-validation says how it does on others"
)


class Cell(NamedTuple):
    """One number of the paper beside ours.

    Parameters
    ----------
    column : what is measured
    paper : the paper's number
    value, least, most : our mean, least and greatest number over the repetitions
    low, high : ends of the interval of the mean
    n : clips or systems measured
    note : why there is no number, or no interval; ""
    inside : whether the paper's number lies in the interval; None where the two are not
        compared
    """

    column: Column
    paper: float
    value: float = math.nan
    least: float = math.nan
    most: float = math.nan
    low: float = math.nan
    high: float = math.nan
    n: int = 0
    note: str = ""
    inside: bool | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of a row.

    Parameters
    ----------
    row : of the table
    status : `FAILED`, `MEASURED` or `NOT_RUN`
    reason : why it was not measured, or ""
    facts : how the stacks of a stacked row fit, in words, or ""
    cells : one per column of the table
    """

    row: Row
    status: str
    reason: str
    facts: str
    cells: tuple[Cell, ...]


def measure_row(
    request: Request, row: Row, trained: TrainedModels | FoldModels | None
) -> Outcome:
    """Measure a row from its trained base models.

    Parameters
    ----------
    request : what to reproduce
    row : of its table
    trained : base models with the encoders and settings of the row, or None for a row
        that cannot be run
    """
    if trained is None:
        return _not_measured(request, row, NOT_RUN, reason=row.reason)

    repetitions = request.models(row)
    used_models = [model for models in repetitions for model in models]
    failure = trained.failure_of(used_models)
    if failure:
        return _not_measured(request, row, FAILED, reason=failure)

    facts = ""
    try:
        if row.stack:
            assert isinstance(trained, TrainedModels)
            scores, facts = _stacked_scores(request, row, trained)
        else:
            scores = _base_model_scores(request, row, trained)
    except UsageError as error:
        # The dev clips do not suffice to fit a stack.
        return _not_measured(request, row, FAILED, reason=in_one_line(error))
    if row.stack and request.table.split == "dev":
        outcome = _not_measured(request, row, NOT_RUN, reason=_SEEN)
        return replace(outcome, facts=facts)

    clips = trained.clips(request.table.split)
    labels = clips[list(request.table.aspects)].to_numpy(dtype=float)
    truth: ArrayLike | Truth = labels
    if request.system_truth is not None:
        truth = Truth(labels, request.system_truth.scores)
    # A clip without a label is not measured, and may have no score either.
    scores = [np.where(np.isnan(labels), SCALE.low, score) for score in scores]
    cells = measure(
        request.table,
        row,
        truth,
        scores=scores,
        system_ids=clips["system_id"],
        prompt_ids=clips["prompt"],
    )
    # Numbers of a trial say nothing about the paper's, however near they are.
    if not request.compared:
        cells = tuple(cell._replace(inside=None) for cell in cells)
    return Outcome(row, MEASURED, reason="", facts=facts, cells=cells)


def _not_measured(request: Request, row: Row, status: str, reason: str) -> Outcome:
    # The paper's numbers are shown all the same.
    numbers = zip(request.table.columns, row.paper, strict=True)
    cells = tuple(Cell(column, paper) for column, paper in numbers)
    return Outcome(row, status, reason, facts="", cells=cells)


def measure(
    table: PaperTable,
    row: Row,
    truth: ArrayLike | Truth,
    scores: Sequence[np.ndarray],
    system_ids: Sequence[str] | pd.Series | np.ndarray,
    prompt_ids: Sequence[str] | pd.Series | None = None,
) -> tuple[Cell, ...]:
    """The cells of a row from the scores of its repetitions.

    The paper's number is inside when the interval holds some value that would be
    printed like it.

    Parameters
    ----------
    truth : labels, shape (n, aspects), or a `Truth`
    scores : one array of shape (n, aspects) per repetition
    system_ids, prompt_ids : see `base_models.metrics.evaluate.evaluate_mean`
    """
    metrics = evaluate_mean(
        truth,
        scores,
        system_ids,
        aspects=table.aspects,
        n_bootstrap=N_BOOTSTRAP,
        prompt_ids=prompt_ids,
    )
    measured = {
        (line.aspect, line.level, line.metric): line for line in metrics.itertuples()
    }

    # The printed number stands for all that round to it.
    half_digit = 0.5 * 10**-table.decimals
    cells = []
    for column, paper in zip(table.columns, row.paper, strict=True):
        line = measured[column.aspect, column.level, column.metric]
        # An interval is NaN where a metric is undefined, as for constant predictions.
        inside = None
        if math.isfinite(line.low) and math.isfinite(line.high):
            inside = bool(line.low - half_digit <= paper <= line.high + half_digit)
        cell = Cell(
            column=column,
            paper=paper,
            value=line.value,
            least=line.least,
            most=line.most,
            low=line.low,
            high=line.high,
            n=int(line.n),
            note=str(line.note),
            inside=inside,
        )
        cells.append(cell)
    return tuple(cells)


# ---- scores of base models


def _base_model_scores(
    request: Request, row: Row, trained: TrainedModels | FoldModels
) -> list[np.ndarray]:
    """Scores of every repetition of a base model, each of shape (n, aspects)."""
    split = request.table.split
    clip_ids = trained.clips(split)["clip_id"].tolist()

    scores = []
    for models in request.models(row):
        (table,) = trained.tables(models, split)
        # The clips may have more aspects than the table of the paper, in another order.
        columns = [table.aspects.index(aspect) for aspect in request.table.aspects]
        scores.append(table.take(clip_ids).scores[:, columns])
    return scores


# ---- scores of stacks


@dataclass(frozen=True)
class StackScores:
    """One fitted stack.

    Parameters
    ----------
    scores : on the split that is measured, shape (n, aspects)
    fits : utterance metric to numbers per aspect, by name of the dev rows that a trial
        stack was fitted on and of those that it was validated on
    """

    scores: np.ndarray
    fits: dict[str, dict[str, np.ndarray]]


def _stacked_scores(
    request: Request, row: Row, trained: TrainedModels
) -> tuple[list[np.ndarray], str]:
    """Scores of every repetition of a stack, and how well the stacks fit, in words."""
    stacks = []
    # Repetitions differ in their base models and in how the dev clips are split.
    for seed, models in enumerate(request.models(row)):
        regressor = MetaRegressor(published_learner(row.learner, seed), seed)
        stacks.append(
            fit_published_stack(regressor, request.table, trained, models=models)
        )

    scores = [stack.scores for stack in stacks]
    return scores, _describe_fits(request.table.aspects, stacks)


def fit_published_stack(
    regressor: MetaRegressor,
    table: PaperTable,
    trained: TrainedModels,
    models: Sequence[Model],
) -> StackScores:
    """Fit one stack on the dev clips and score the split that a table is measured on.

    As in DORA-MOS, section III.D: 60 % of dev to fit, 40 % to validate, then a fit on
    all of dev.
    """
    rated = trained.rated
    rows = Rows.from_clips(rated.rows("dev"), table.aspects, rated.group)
    dev_tables = trained.tables(models, "dev")
    # The trial only shows how far such a stack over-fits; scores come from the other.
    trial = regressor.held_out_trial(dev_tables, rows)
    regressor.fit(dev_tables, rows.usable())

    measured_tables = trained.tables(models, table.split)
    clip_ids = rated.rows(table.split)["clip_id"].tolist()
    scores = regressor.predict(measured_tables, clip_ids)

    fits = {
        TRAINING: _utterance_metrics(trial.training),
        VALIDATION: _utterance_metrics(trial.validation),
    }
    return StackScores(scores, fits)


def published_learner(name: str, seed: int) -> Learner:
    """A meta-learner as the published code has it, without any choice of parameters.

    Elsewhere in this project parameters are chosen by cross-validation.
    """
    return MetaRegressor(f"paper_{name}", seed).new_learner()


def _utterance_metrics(compared: ComparedRows) -> dict[str, np.ndarray]:
    """Utterance metrics of the stack, each one number per aspect."""
    # No interval is shown, so nothing is resampled.
    board = compared.board(n_bootstrap=0)
    of_stack = board[(board["model"] == STACK) & (board["level"] == "utterance")]
    return {
        metric: of_stack.loc[of_stack["metric"] == metric, "value"].to_numpy()
        for metric in FIT_METRICS
    }


def _describe_fits(aspects: Sequence[str], stacks: Sequence[StackScores]) -> str:
    """How well stacks do on the rows they are fitted on and validated on, in words."""
    sentences = []
    for metric in FIT_METRICS:
        parts = []
        for side in (TRAINING, VALIDATION):
            means = np.mean([stack.fits[side][metric] for stack in stacks], axis=0)
            numbers = [
                f"{aspect} {mean:.3f}"
                for aspect, mean in zip(aspects, means, strict=True)
            ]
            parts.append(f"{side} {', '.join(numbers)}")
        sentences.append(f"utterance {metric.upper()} {'; '.join(parts)}")
    return "; ".join(sentences)
