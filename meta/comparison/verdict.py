"""The verdict: whether the stack beats the best base model and the mean of all.

Differences of metrics are tested by sign-flips, see `meta.comparison.sign_flip`. The
best of m base models on some rows owes its rank partly to luck on these rows (the
winner's curse), so it has to be chosen on others, with `best_bases`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from base_models.errors import UsageError, one_of, some
from base_models.files import nan_to_none
from base_models.metrics.bootstrap import (
    prompt_codes,
    resample,
    resample_means,
    system_means,
)
from base_models.metrics.evaluate import LEVELS, METRICS, evaluate, validated
from meta.comparison.sign_flip import (
    LEVEL,
    FlippedUnits,
    flipped_units,
    holm,
    most_cautious,
)
from meta.rows import Rows

Cell = tuple[str, str]
"""A level and a metric."""
Rival = tuple[str, str]
"""Kind and name of what the stack is compared with: (`BEST`, a base model), or
(`MEAN`, `MEAN`)."""
CELLS: tuple[Cell, ...] = tuple(
    (level, metric) for level in LEVELS for metric in METRICS
)
HEADLINE: tuple[Cell, ...] = (("utterance", "mse"), ("system", "srcc"))
"""What the sentence draws on: how far off the score of a clip is, and whether systems
are ranked rightly."""
BEST = "best base"
MEAN = "mean"
RIVAL_TITLES = {BEST: "the best base model", MEAN: "the mean of the base models"}
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
    "n",
)


@dataclass(frozen=True)
class Verdict:
    """What may be said of a stack.

    Parameters
    ----------
    sentence : one sentence for people
    table : DataFrame, one row per aspect, level, metric and rival (``"best base"`` or
        ``"mean"``): ``model`` names the base model; ``stack`` and ``other`` are the two
        metrics, ``difference`` the first minus the second with interval ``low, high``;
        ``p_better`` how probable it is that the stack is better; ``p`` of the sign-flip
        test; ``p_holm`` adjusted over the rows that the sentence draws on, NaN in
        others; ``said`` is ``"better"``, ``"worse"`` or ""; ``n`` clips or systems
    """

    sentence: str
    table: pd.DataFrame

    def to_json(self) -> dict[str, Any]:
        """Sentence and rows as JSON values; NaN becomes None."""
        return {"sentence": self.sentence, "comparisons": nan_to_none(self.table)}


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
    tables = {
        name: evaluate(
            rows.labels, scores, rows.systems, aspects=rows.aspects, n_bootstrap=0
        )
        for name, scores in bases.items()
    }

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
    seed: int = 0,
) -> Verdict:
    """Compare the stack with the best base model and the mean of all, on held-out rows.

    With a single system, or where clips name none, clips (or blocks of them) take the
    place of systems. Where systems share prompts, influences of prompts are tested too
    and the more cautious answer stands.

    Parameters
    ----------
    rows : n labelled rows that fitted and chose nothing
    stack : array of shape (n, aspects), stacked scores
    bases : name to scores of shape (n, aspects)
    best : what `best_bases` found on other rows
    seed : of the drawn sign-flips, where there are too many for all of them

    Raises
    ------
    UsageError
        when there is no base model, `best` is not of these models and aspects, or as in
        `base_models.metrics.evaluate.evaluate`.
    """
    _refuse_no_bases(bases)
    _check_best(best, bases, rows.aspects)
    labels, stack_scores, system_ids = _validated(rows, stack)
    rival_scores = _rival_scores(rows, bases)
    prompts = prompt_codes(rows.prompts, len(rows))

    comparisons: list[dict[str, Any]] = []
    numbers_of_systems = []
    equal_labels = []
    for k, aspect in enumerate(rows.aspects):
        kept = ~np.isnan(labels[:, k])
        truth = labels[kept, k]
        if not kept.any():
            continue
        if len(set(truth)) == 1:
            labelled = f"All {len(truth)} labels of '{aspect}' are {truth[0]:g}"
            if len(truth) == 1:
                labelled = f"Only one clip is labelled for '{aspect}'"
            equal_labels.append(f"{labelled}: nothing can be compared.")
            continue

        _, system = np.unique(system_ids[kept], return_inverse=True)
        aspect_rows = _AspectRows(truth, system, prompts[kept], seed=seed)
        numbers_of_systems.append(aspect_rows.n_systems)
        rivals = _rivals(best, aspect)
        compared = aspect_rows.comparisons(
            stack_scores[kept, k],
            {rival: rival_scores[rival][kept, k] for rival in rivals},
            rivals,
        )
        comparisons += [{"aspect": aspect, **columns} for columns in compared]

    if not comparisons:
        nothing_known = (
            " ".join(equal_labels)
            or "There are no labelled clips to compare on: nothing is known."
        )
        return Verdict(nothing_known, pd.DataFrame(columns=COLUMNS))
    table = _table(comparisons, rows.aspects)
    sentence = _sentence(table, min(numbers_of_systems))
    return Verdict(" ".join([sentence, *equal_labels]), table)


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
    rows: Rows, bases: Mapping[str, np.ndarray]
) -> dict[Rival, np.ndarray]:
    """Scores of each base model and of the mean of all, of shape (n, aspects)."""
    scores_of: dict[Rival, np.ndarray] = {}
    for name, scores in bases.items():
        _, scores_of[BEST, name], _ = _validated(rows, scores)
    scores_of[MEAN, MEAN] = np.mean(list(scores_of.values()), axis=0)
    return scores_of


def _rivals(
    best: Mapping[tuple[str, ...], str], aspect: str
) -> dict[Rival, list[Cell]]:
    """Each rival with the cells in which the stack meets it."""
    # The best model may differ from cell to cell; the mean is met in all of them.
    rivals: dict[Rival, list[Cell]] = {}
    for cell in CELLS:
        model = best[(aspect, *cell)]
        rivals.setdefault((BEST, model), []).append(cell)
    rivals[MEAN, MEAN] = list(CELLS)
    return rivals


class _AspectRows:
    """The labelled rows of one aspect, and the units whose weights are moved.

    Parameters
    ----------
    truth : array of shape (n,)
    system, prompt : int arrays of shape (n,), codes from 0
    seed : of drawn sign-flips
    """

    def __init__(
        self,
        truth: np.ndarray,
        system: np.ndarray,
        prompt: np.ndarray,
        seed: int,
    ) -> None:
        self.truth = truth
        self.system = system
        self.n_systems = int(system.max()) + 1
        self.kinds = flipped_units(system, prompt, seed)

    def comparisons(
        self,
        stack: np.ndarray,
        rival_scores: Mapping[Rival, np.ndarray],
        rivals: Mapping[Rival, Sequence[Cell]],
    ) -> Iterator[dict[str, Any]]:
        """The columns of each comparison of the stack with a rival.

        Parameters
        ----------
        stack : array of shape (n,), scores
        rival_scores : rival to its scores, of shape (n,)
        rivals : rival to the cells to compare
        """
        # The stack is measured once, whatever the number of its rivals.
        of_stack = self._measures(stack)
        for rival, cells in rivals.items():
            of_rival = self._measures(rival_scores[rival])
            for cell in cells:
                # A single system has no metrics of systems.
                if cell in of_stack[0]:
                    names = {
                        "level": cell[0],
                        "metric": cell[1],
                        "rival": rival[0],
                        "model": rival[1],
                    }
                    yield names | self._compare(cell, of_stack, of_rival)

    def _measures(self, prediction: np.ndarray) -> list[dict[Cell, np.ndarray]]:
        """For each kind of units, cell to its metric under each row of weights."""
        return [self._measure(prediction, units) for units in self.kinds]

    def _compare(
        self,
        cell: Cell,
        stack: Sequence[Mapping[Cell, np.ndarray]],
        other: Sequence[Mapping[Cell, np.ndarray]],
    ) -> dict[str, Any]:
        """Both metrics, their difference and what the test says of it.

        Parameters
        ----------
        cell : level and metric
        stack, other : from `_measures`
        """
        answers = [
            units.answer(of_stack[cell] - of_other[cell])
            for units, of_stack, of_other in zip(self.kinds, stack, other, strict=True)
        ]
        answer = most_cautious(answers)

        # The first row of weights leaves all units as they are.
        stack_value = stack[0][cell][0]
        other_value = other[0][cell][0]
        level, metric = cell
        less_is_better = metric == "mse"
        return {
            "stack": stack_value,
            "other": other_value,
            "difference": stack_value - other_value,
            "low": answer.low,
            "high": answer.high,
            "p_better": 1 - answer.p_above if less_is_better else answer.p_above,
            "p": answer.p,
            "n": len(self.truth) if level == "utterance" else self.n_systems,
        }

    def _measure(
        self, prediction: np.ndarray, units: FlippedUnits
    ) -> dict[Cell, np.ndarray]:
        by_level = {
            "utterance": resample(
                self.truth, prediction, units.weights, cluster=units.unit_of_clip
            )
        }
        if units.kind == "system":
            # A system's weight does not change its own means.
            true_means = system_means(self.truth, self.system)
            predicted_means = system_means(prediction, self.system)
            by_level["system"] = resample(true_means, predicted_means, units.weights)
        elif units.kind == "prompt":
            # A prompt's weight changes the mean of every system that has it.
            alike = np.ones((len(units.weights), self.n_systems))
            by_level["system"] = resample_means(
                self.truth,
                prediction,
                self.system,
                weights=alike,
                clip_weights=units.weights[:, units.unit_of_clip],
            )
        return {
            (level, metric): values
            for level, metrics in by_level.items()
            for metric, values in metrics.items()
        }


def _table(
    comparisons: Sequence[Mapping[str, Any]], aspects: Sequence[str]
) -> pd.DataFrame:
    """Comparisons in order of reading, with adjusted p-values and what may be said."""
    table = pd.DataFrame(comparisons)
    order_of = {
        "aspect": list(aspects),
        "level": list(LEVELS),
        "metric": list(METRICS),
        "rival": [BEST, MEAN],
    }
    ranks = []
    for column, names in order_of.items():
        rank_of = {name: rank for rank, name in enumerate(names)}
        ranks.append(table[column].map(rank_of))
    # np.lexsort takes the most important key last.
    table = table.iloc[np.lexsort(ranks[::-1])].reset_index(drop=True)

    # p-values are adjusted over what the sentence draws on; nothing else is claimed.
    cells = zip(table["level"], table["metric"], strict=True)
    in_headline = [cell in HEADLINE for cell in cells]
    table.loc[in_headline, "p_holm"] = holm(table.loc[in_headline, "p"])

    # The MSE is better when it falls, correlations when they rise.
    better = (table["difference"] < 0) == (table["metric"] == "mse")
    direction = np.where(better, "better", "worse")
    claimed = table["p_holm"] <= 1 - LEVEL
    table = table.assign(said=np.where(claimed, direction, ""))
    return table[list(COLUMNS)]


def _sentence(table: pd.DataFrame, n_systems: int) -> str:
    """The verdict in words.

    Parameters
    ----------
    table : of a `Verdict`
    n_systems : how many systems the aspect with fewest has
    """
    headline = table[table["p_holm"].notna()]
    n_clips = headline.loc[headline["level"] == "utterance", "n"].max()
    counted = f"{n_clips} clips"
    if n_systems > 1:
        counted += f" of {n_systems} systems"

    if (headline["said"] != "").any():
        of_best = _claims(headline, BEST)
        of_mean = _claims(headline, MEAN)
        return f"On {counted}, the stack {of_best}; it {of_mean}."

    # The least p-value that so many sign-flips can give may itself be too large.
    least_p = headline["p_holm"].min()
    remark = f"least adjusted p = {least_p:.2f}"
    if n_systems > 1 and len(headline) * 2 ** (1 - n_systems) > 1 - LEVEL:
        remark += f"; {n_systems} systems are too few to show any"
    return (
        "No difference shown between the stack and the best base model or the mean of "
        f"the base models, on {counted} ({remark})."
    )


def _claims(headline: pd.DataFrame, rival: str) -> str:
    """What the stack does against one rival, e.g. ``"beats … in …"``."""
    against_rival = headline[headline["rival"] == rival]
    title = RIVAL_TITLES[rival]
    claims = []
    for said, verb in (("better", "beats"), ("worse", "is worse than")):
        claimed = against_rival[against_rival["said"] == said]
        differences = [_difference(row) for row in claimed.to_dict("records")]
        if differences:
            claims.append(f"{verb} {title} in {', '.join(differences)}")
    return " but ".join(claims) or f"shows no difference from {title}"


def _difference(row: Mapping[str, Any]) -> str:
    """One difference in words."""
    figures = f"{row['difference']:+.3f}"
    if np.isfinite([row["low"], row["high"]]).all():
        figures += f" [{row['low']:+.3f}, {row['high']:+.3f}]"
    # The mean of the base models has no name that would need saying.
    if row["rival"] == BEST:
        figures += f" against {row['model']}"
    p = f"p = {row['p_holm']:.3f}" if row["p_holm"] >= 0.001 else "p < 0.001"
    metric = row["metric"].upper()
    return f"{row['aspect']} {row['level']} {metric} ({figures}, {p})"
