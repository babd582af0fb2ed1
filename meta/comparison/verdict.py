"""The verdict: whether the stack beats its base models, their mean and a constant.

Differences of metrics are tested by exchanging the two models in some systems at a
time, see `meta.comparison.sign_flip`. The best of m base models on some rows owes its
rank partly to luck on these rows (the winner's curse), so it has to be chosen on
others, with `best_bases`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from base_models.errors import UsageError, one_of, some
from base_models.files import nan_to_none
from base_models.metrics.bootstrap import prompt_codes
from base_models.metrics.evaluate import LEVELS, METRICS, evaluate_models, validated
from meta.comparison.aspect_rows import (
    AspectRows,
    Cell,
    Comparison,
    Rival,
    smallest_of_claims,
)
from meta.comparison.sign_flip import LEVEL
from meta.comparison.verdict_text import (
    BEST,
    CONSTANT,
    MEAN,
    RIVAL_TITLES,
    limits,
    sentence,
)
from meta.multiple_tests import holm
from meta.rows import Rows

CELLS: tuple[Cell, ...] = tuple(
    (level, metric) for level in LEVELS for metric in METRICS
)
COLUMNS = (
    "aspect",
    "level",
    "metric",
    "rival",
    "model",
    "stack",
    "other",
    "difference",
    "low",
    "high",
    "p_better",
    "p",
    "p_holm",
    "said",
    "smallest",
    "n",
)


@dataclass(frozen=True)
class Verdict:
    """What may be said of a stack.

    Parameters
    ----------
    sentence : what can be said, for people
    limits : what cannot be said, and how large a difference would have been seen
    table : DataFrame, one row per aspect, level, metric and rival (``"best base"``,
        ``"mean"`` or, for the MSE, ``"constant"``): ``model`` names the base model;
        ``stack`` and ``other`` are the two metrics, ``difference`` the first minus the
        second with interval ``low, high``; ``p_better`` how probable it is that the
        stack is better; ``p`` of the test by exchanges; ``p_holm`` adjusted over the
        rows that the sentence draws on, those against the constant by themselves, NaN
        in others; ``said`` is ``"better"``,
        ``"worse"`` or ""; ``smallest`` the true difference that such a listening test
        finds four times out of five, see `smallest_difference`, NaN where nothing is
        claimed; ``n`` clips or systems
    """

    sentence: str
    limits: str
    table: pd.DataFrame

    @property
    def text(self) -> str:
        """What can be said and what cannot."""
        return f"{self.sentence} {self.limits}".strip()

    def marked(self, mark: str) -> Verdict:
        """The same verdict with a mark before each of its texts."""
        return replace(
            self,
            sentence=f"{mark}: {self.sentence}",
            limits=f"{mark}: {self.limits}" if self.limits else "",
        )

    def to_json(self) -> dict[str, Any]:
        """Sentences and rows as JSON values; NaN becomes None."""
        # Infinity is no number of JSON, either.
        table = self.table.replace(np.inf, np.nan)
        return {
            "sentence": self.sentence,
            "limits": self.limits,
            "comparisons": nan_to_none(table),
        }


def best_bases(
    rows: Rows, bases: Mapping[str, np.ndarray]
) -> dict[tuple[str, ...], str]:
    """The best base model per aspect, level and metric.

    Parameters
    ----------
    rows : n labelled rows, other ones than those of the comparison
    bases : name to scores of shape (n, aspects)

    Returns
    -------
    best : (aspect, level, metric) to a name; where a metric is undefined or equal, the
        first of least utterance MSE

    Raises
    ------
    UsageError
        when there is no base model, or as in `base_models.metrics.evaluate.evaluate`.
    """
    _refuse_no_bases(bases)
    # In one call, since the models share the ranks of the labels.
    found = evaluate_models(
        rows.labels,
        list(bases.values()),
        rows.systems,
        rows.aspects,
        n_bootstrap=0,
    )
    tables = dict(zip(bases, found, strict=True))

    # As losses all metrics are better when smaller, and worst when undefined.
    losses = {}
    for name, table in tables.items():
        signs = np.where(table["metric"] == "mse", 1.0, -1.0)
        losses[name] = (signs * table["value"]).fillna(np.inf).to_numpy()

    # All tables have the same rows in the same order.
    first_table = next(iter(tables.values()))
    keys = first_table[["aspect", "level", "metric"]].itertuples(index=False, name=None)
    row_of = {key: row for row, key in enumerate(keys)}
    best = {}
    for key, row in row_of.items():
        mse_row = row_of[key[0], "utterance", "mse"]
        best[key] = _least_loss(losses, row, mse_row)
    return best


def verdict(
    rows: Rows,
    stack: ArrayLike,
    bases: Mapping[str, np.ndarray],
    best: Mapping[tuple[str, ...], str],
    constant: ArrayLike | None = None,
    seed: int = 0,
) -> Verdict:
    """Compare the stack with base models, their mean and a constant on held-out rows.

    With a single system, or where clips name none, clips (or blocks of them) take the
    place of systems. Where systems share prompts, the models are exchanged in prompts
    too, alone and together with systems, and the most cautious answer stands.

    Parameters
    ----------
    rows : n labelled rows that fitted and chose nothing
    stack : array of shape (n, aspects), stacked scores
    bases : name to scores of shape (n, aspects)
    best : what `best_bases` found on other rows
    constant : array of shape (aspects,), what a constant would predict: the mean label
        of the rows of the fit. None compares with none, and so does NaN
    seed : of the drawn exchanges, where there are too many for all of them

    Raises
    ------
    UsageError
        when there is no base model, `best` is not of these models and aspects, or as in
        `base_models.metrics.evaluate.evaluate`.
    """
    _refuse_no_bases(bases)
    _check_best(best, bases, rows.aspects)
    labels, stack_scores, system_ids = _validated(rows, stack)
    rival_scores = _rival_scores(rows, bases, constant)
    prompts = prompt_codes(rows.prompts, len(rows))

    compared: list[Comparison] = []
    numbers_of_systems = []
    equal_labels = []
    for k, aspect in enumerate(rows.aspects):
        kept = ~np.isnan(labels[:, k])
        truth = labels[kept, k]
        if not kept.any():
            continue
        if len(set(truth)) == 1:
            equal_labels.append(_equal_labels(aspect, truth))
            continue

        _, system = np.unique(system_ids[kept], return_inverse=True)
        aspect_rows = AspectRows(aspect, truth, system, prompt=prompts[kept], seed=seed)
        numbers_of_systems.append(aspect_rows.n_systems)
        scores_of = {
            rival: scores[kept, k]
            for rival, scores in rival_scores.items()
            if not np.isnan(scores[:, k]).any()
        }
        rivals = _rivals(best, aspect, scores_of)
        compared += aspect_rows.comparisons(stack_scores[kept, k], scores_of, rivals)

    if not compared:
        nothing_known = (
            " ".join(equal_labels)
            or "There are no labelled clips to compare on: nothing is known."
        )
        return Verdict(nothing_known, "", pd.DataFrame(columns=COLUMNS))
    table = _table(compared, rows.aspects, seed)
    n_systems = min(numbers_of_systems)
    said = " ".join([sentence(table, n_systems), *equal_labels])
    return Verdict(said, limits(table, rows.systems.tolist(), n_systems), table)


def _equal_labels(aspect: str, truth: np.ndarray) -> str:
    """What is said of an aspect whose labels are all equal."""
    labelled = f"All {len(truth)} labels of '{aspect}' are {truth[0]:g}"
    if len(truth) == 1:
        labelled = f"Only one clip is labelled for '{aspect}'"
    return f"{labelled}: nothing can be compared."


def _refuse_no_bases(bases: Mapping[str, np.ndarray]) -> None:
    if not bases:
        raise UsageError(
            "A verdict needs the scores of at least one base model; got none."
        )


def _least_loss(
    losses: Mapping[str, np.ndarray],
    row: int,
    mse_row: int,
) -> str:
    """The model of least loss in one row, or of these the one of least MSE."""

    def key(model: str) -> tuple[float, float]:
        return losses[model][row], losses[model][mse_row]

    return min(losses, key=key)


def _check_best(
    best: Mapping[tuple[str, ...], str],
    bases: Mapping[str, np.ndarray],
    aspects: Sequence[str],
) -> None:
    """Refuse a choice that lacks an aspect, or names a model that has no scores."""
    lacking = [
        aspect
        for aspect in aspects
        if any((aspect, *cell) not in best for cell in CELLS)
    ]
    if lacking:
        raise UsageError(
            f"best names no base model for aspect {some(lacking)}; make it with "
            "best_bases."
        )
    for name in best.values():
        one_of(name, bases, "base model")


def _validated(
    rows: Rows, scores: ArrayLike
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, scores and system names, checked against each other."""
    return validated(rows.labels, scores, rows.systems, aspects=rows.aspects)


def _rival_scores(
    rows: Rows, bases: Mapping[str, np.ndarray], constant: ArrayLike | None
) -> dict[Rival, np.ndarray]:
    """Scores of every rival, of shape (n, aspects); NaN where there is no constant."""
    scores_of: dict[Rival, np.ndarray] = {}
    for name, scores in bases.items():
        _, scores_of[BEST, name], _ = _validated(rows, scores)
    scores_of[MEAN, MEAN] = np.mean(list(scores_of.values()), axis=0)
    if constant is not None:
        of_aspects = np.asarray(constant, dtype=np.float64)
        scores_of[CONSTANT, CONSTANT] = np.tile(of_aspects, (len(rows), 1))
    return scores_of


def _rivals(
    best: Mapping[tuple[str, ...], str], aspect: str, scores_of: Mapping[Rival, Any]
) -> dict[Rival, list[Cell]]:
    """Each rival with the cells in which the stack meets it."""
    # The best model may differ from cell to cell; the mean is met in all of them.
    rivals: dict[Rival, list[Cell]] = {}
    for cell in CELLS:
        model = best[(aspect, *cell)]
        rivals.setdefault((BEST, model), []).append(cell)
    rivals[MEAN, MEAN] = list(CELLS)

    # A constant ranks nothing, so it has an error alone.
    if (CONSTANT, CONSTANT) in scores_of:
        errors = [cell for cell in CELLS if cell[1] == "mse"]
        rivals[CONSTANT, CONSTANT] = errors
    return rivals


def _table(
    compared: Sequence[Comparison], aspects: Sequence[str], seed: int
) -> pd.DataFrame:
    """Comparisons in order of reading, with adjusted p-values and what may be said."""
    rows = [dict(comparison.columns) for comparison in compared]
    # p-values are adjusted over what the sentence draws on; nothing else is claimed.
    # Whether a stack says anything at all is one question, whether it is better than
    # its base models another: asking the first must not hide the answer to the second.
    questions = _questions(compared)
    adjusted = np.full(len(rows), np.nan)
    for claims in questions.values():
        adjusted[claims] = holm([rows[claim]["p"] for claim in claims])

    smallest = smallest_of_claims(compared, questions.values(), seed)
    for row, p_holm, least in zip(rows, adjusted.tolist(), smallest, strict=True):
        # The MSE is better when it falls, correlations when they rise.
        better = (row["difference"] < 0) == (row["metric"] == "mse")
        direction = "better" if better else "worse"
        row["p_holm"] = p_holm
        row["said"] = direction if p_holm <= 1 - LEVEL else ""
        row["smallest"] = least

    order_of = {
        "aspect": list(aspects),
        "level": list(LEVELS),
        "metric": list(METRICS),
        "rival": list(RIVAL_TITLES),
    }
    rows.sort(key=lambda row: [order_of[name].index(row[name]) for name in order_of])
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _questions(compared: Sequence[Comparison]) -> dict[bool, list[int]]:
    """Places of the claims, by whether they are against the constant."""
    claims: dict[bool, list[int]] = {False: [], True: []}
    for place, comparison in enumerate(compared):
        if comparison.in_headline:
            claims[comparison.columns["rival"] == CONSTANT].append(place)
    return claims
