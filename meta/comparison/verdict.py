"""The verdict: whether the stack beats the best base model and the plain mean, on rows that chose neither.

Each difference of a metric is split into what every system adds to it (its influence). Were the stack no better, each
influence could as well have the other sign: the sign-flip test over systems keeps its level with few systems and ties,
and one set of subset means gives p-value, interval and probability, which therefore never contradict each other.

The traps: the best of m base models on the rows of the comparison owes its rank to luck on those rows (the winner's
curse), so `best_bases` must choose on others; and percentiles of a bootstrap over 8 systems claim a difference between
equal models in 9 to 15 % of listening tests, not in 5 %.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from base_models.errors import UsageError, one_of, some
from base_models.metrics.bootstrap import (
    crossed,
    prompt_codes,
    resample,
    resample_means,
    system_means,
)
from base_models.metrics.evaluate import LEVELS, METRICS, evaluate, validated

HEADLINE = (("utterance", "mse"), ("system", "srcc"))
"""What the sentence draws on: how far off a clip's score is, and whether systems are ranked rightly."""
BEST, MEAN = "best base", "mean"
LEVEL = 0.95
_TITLES = {BEST: "the best base model", MEAN: "the mean of the base models"}
_STEP = 0.5
"""How far each unit's weight is moved, up and down: steadier for ranks than leaving the unit out."""
_EXACT, _DRAWN = 13, 10_000
_MAX_UNITS = 200
_TIE = 1e-9  # system means are rounded to ten decimals
_MEASURED = (
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
)
_MEASURED += ("p_better", "p", "n")
_COLUMNS = (*_MEASURED[:-1], "p_holm", "said", "n")


@dataclass(frozen=True)
class Verdict:
    """What may be said of a stack.

    Parameters
    ----------
    sentence : one sentence for people
    table : DataFrame, one row per aspect, level, metric and rival (``"best base"`` or ``"mean"``): ``model`` names the
        base model; ``stack`` and ``other`` are the two metrics, ``difference`` the first minus the second with interval
        ``low, high``; ``p_better`` how probable it is that the stack is better; ``p`` of the sign-flip test; ``p_holm``
        adjusted over the rows that the sentence draws on, NaN in others; ``said`` is ``"better"``, ``"worse"`` or "";
        ``n`` clips or systems
    """

    sentence: str
    table: pd.DataFrame

    def to_json(self) -> dict[str, Any]:
        """Sentence and rows as JSON values; NaN becomes null."""
        rows = (
            self.table.astype(object).where(self.table.notna(), None).to_dict("records")
        )
        return {"sentence": self.sentence, "comparisons": rows}


def best_bases(
    bases: Mapping[str, np.ndarray], y, system_ids, aspects: Sequence[str]
) -> dict[tuple[str, ...], str]:
    """The best base model per aspect, level and metric, on rows other than those of the comparison.

    Parameters
    ----------
    bases : name to scores of shape (n, aspects)
    y : array of shape (n, aspects), NaN where unlabelled
    system_ids : n system names, or None
    aspects : names of the columns

    Returns
    -------
    best : (aspect, level, metric) to a name; where a metric is undefined or equal, the first of least utterance MSE

    Raises
    ------
    UsageError
        when there is no base model, or as in `base_models.metrics.evaluate.evaluate`.
    """
    if not bases:
        raise UsageError(
            "A verdict needs the scores of at least one base model; got none."
        )
    loss = {}
    for name, scores in bases.items():
        table = evaluate(y, scores, system_ids, aspects, n_bootstrap=0)
        signs = np.where(table["metric"] == "mse", 1.0, -1.0)
        loss[name] = (signs * table["value"]).fillna(np.inf).to_numpy()
    keys = list(table[["aspect", "level", "metric"]].itertuples(index=False, name=None))
    error = {aspect: keys.index((aspect, "utterance", "mse")) for aspect in aspects}
    return {
        key: min(loss, key=lambda name: (loss[name][k], loss[name][error[key[0]]]))
        for k, key in enumerate(keys)
    }


def verdict(
    y,
    stack,
    bases: Mapping[str, np.ndarray],
    best: Mapping[tuple[str, ...], str],
    system_ids,
    aspects: Sequence[str],
    prompt_ids=None,
    seed: int = 0,
) -> Verdict:
    """Compare the stack with the best base model and the mean of all, on held-out rows.

    With a single system, or without system ids, clips (or blocks of them) take the place of systems. Where systems
    share prompts, influences of prompts are tested too and the more cautious answer stands.

    Parameters
    ----------
    y : array of shape (n, aspects), NaN where unlabelled; rows that fitted and chose nothing
    stack : array of shape (n, aspects), stacked scores
    bases : name to scores of shape (n, aspects)
    best : what `best_bases` said of other rows
    system_ids : n system names, or None
    aspects : names of the columns
    prompt_ids : n prompts or None, see `base_models.metrics.evaluate.evaluate`
    seed : of the drawn sign-flips, where there are too many for all of them

    Raises
    ------
    UsageError
        when there is no base model, `best` is not of these models and aspects, or as in `evaluate`.
    """
    if not bases:
        raise UsageError(
            "A verdict needs the scores of at least one base model; got none."
        )
    lacking = [
        a
        for a in aspects
        if not {(a, level, m) for level in LEVELS for m in METRICS} <= set(best)
    ]
    if lacking:
        raise UsageError(
            f"best names no base model for aspect {some(lacking)}; make it with best_bases."
        )
    for name in best.values():
        one_of(name, bases, "base model")
    scores = {
        (BEST, name): validated(y, values, system_ids, aspects)[1]
        for name, values in bases.items()
    }
    scores[MEAN, MEAN] = np.mean(list(scores.values()), axis=0)
    y, stack, system_ids = validated(y, stack, system_ids, aspects)
    prompts, rows, n_systems, equal = prompt_codes(prompt_ids, len(y)), [], [], []
    for k, aspect in enumerate(aspects):
        kept = ~np.isnan(y[:, k])
        if not kept.any():
            continue
        if len(set(y[kept, k])) == 1:
            equal.append(
                f"All {kept.sum()} labels of '{aspect}' are {y[kept, k][0]:g}: nothing can be compared."
            )
            continue
        _, system = np.unique(system_ids[kept], return_inverse=True)
        units = _Units(y[kept, k], system, prompts[kept], seed)
        n_systems.append(units.n_systems)
        ours = units.measured(stack[kept, k])
        for rival, cells in _rivals(best, aspect).items():
            found = units.compare(ours, units.measured(scores[rival][kept, k]))
            for cell in (cell for cell in cells if cell in found):
                mine, other, *rest = found[cell]
                values = (aspect, *cell, *rival, mine, other, mine - other, *rest)
                rows.append(dict(zip(_MEASURED, values, strict=True)))
    if not rows:
        nothing = (
            " ".join(equal)
            or "There are no labelled clips to compare on: nothing is known."
        )
        return Verdict(nothing, pd.DataFrame(columns=_COLUMNS))
    table = _judged(rows, aspects)
    return Verdict(" ".join([_sentence(table, min(n_systems)), *equal]), table)


def _rivals(
    best: Mapping[tuple[str, ...], str], aspect: str
) -> dict[tuple[str, str], list[tuple[str, str]]]:
    """(rival, model) to the (level, metric) cells in which the stack meets it."""
    cells = [(level, metric) for level in LEVELS for metric in METRICS]
    found: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for cell in cells:
        found.setdefault((BEST, best[(aspect, *cell)]), []).append(cell)
    return found | {(MEAN, MEAN): cells}


class _Units:
    """The labelled rows of one aspect, and the units whose weight is moved: systems, and prompts where they cross."""

    def __init__(self, truth, system, prompt, seed: int):
        self.truth, self.system, self.n_systems = truth, system, int(system.max()) + 1
        self.ways = _ways(system, prompt, seed)

    def measured(self, prediction) -> list[dict[tuple[str, str], np.ndarray]]:
        """For each kind of unit, (level, metric) to the metric under each row of weights."""
        return [
            self._measured(prediction, unit, weights) for unit, weights, _ in self.ways
        ]

    def compare(self, stack, other) -> dict[tuple[str, str], tuple]:
        """(level, metric) to metric of both, interval, probability and p-value of the difference, and n.

        Parameters
        ----------
        stack, other : from `measured`
        """
        n = {"utterance": len(self.truth), "system": self.n_systems}
        both, answers = {}, {}
        for (_, _, subsets), ours, theirs in zip(self.ways, stack, other, strict=True):
            for cell, values in ours.items():
                both.setdefault(cell, (values[0], theirs[cell][0]))
                answers.setdefault(cell, []).append(
                    _flipped(values - theirs[cell], subsets, cell[1] == "mse")
                )
        return {
            cell: (*both[cell], *_most_cautious(answers[cell]), n[cell[0]])
            for cell in both
        }

    def _measured(self, prediction, unit, weights) -> dict[tuple[str, str], np.ndarray]:
        """(level, metric) to the metric under each row of weights; the first row weighs all alike."""
        parts = {"utterance": resample(self.truth, prediction, weights, unit)}
        if unit is self.system:
            parts["system"] = resample(
                *(system_means(v, self.system) for v in (self.truth, prediction)),
                weights,
            )
        elif self.n_systems > 1:
            alike = np.ones((len(weights), self.n_systems))
            parts["system"] = resample_means(
                self.truth, prediction, self.system, alike, weights[:, unit]
            )
        return {
            (level, metric): values
            for level, part in parts.items()
            for metric, values in part.items()
        }


def _ways(system, prompt, seed: int) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Units (n,) with their moved weights and subsets: systems (of a single one, clips), and prompts where they cross.

    Parameters
    ----------
    system, prompt : codes from 0, shape (n,)
    """
    n, several = len(system), system.max() > 0
    units = [system if several else np.arange(n) * min(n, _MAX_UNITS) // n]
    if several and crossed(system, prompt):
        units.append(np.unique(prompt, return_inverse=True)[1])
    return [
        (unit, _moved(int(unit.max()) + 1), _subsets(int(unit.max()) + 1, seed))
        for unit in units
    ]


def _moved(n: int) -> np.ndarray:
    """All weights 1; then each in turn moved up, and each moved down: (2 n + 1, n)."""
    return np.vstack([np.ones(n), 1 + _STEP * np.eye(n), 1 - _STEP * np.eye(n)])


def _subsets(n: int, seed: int) -> np.ndarray:
    """Subsets of n units as rows of 0 and 1, the empty one first: all of them, or 10,000 drawn ones."""
    if n <= _EXACT:
        return (np.arange(2**n)[:, None] >> np.arange(n) & 1).astype(np.float64)
    drawn = np.random.default_rng(seed).integers(0, 2, size=(_DRAWN, n))
    drawn[0] = 0
    return drawn.astype(np.float64)


def sign_flip(
    values, system_ids, prompt_ids=None, seed: int = 0, level: float = LEVEL
) -> tuple[float, float, float]:
    """p-value and interval of a mean over clips, by the test of `verdict`: units are systems, or clips of a single one.

    Parameters
    ----------
    values : array of shape (n,), a difference per clip
    system_ids, prompt_ids : n names each; where systems share prompts, the more cautious answer stands
    seed, level : of the drawn sign-flips, and of the interval

    Returns
    -------
    p, low, high : the ends are NaN where there are too few units for an interval of that level
    """
    values, answers = np.asarray(values, dtype=np.float64), []
    system = np.unique(np.asarray(system_ids, dtype=str), return_inverse=True)[1]
    for unit, weights, subsets in _ways(
        system, prompt_codes(prompt_ids, len(values)), seed
    ):
        means = (
            weights @ np.bincount(unit, weights=values) / (weights @ np.bincount(unit))
        )
        answers.append(_flipped(means, subsets, False, level))
    low, high, _, p = _most_cautious(answers)
    return p, low, high


def _flipped(
    differences, subsets, less_is_better: bool, level: float = LEVEL
) -> tuple[float, float, float, float]:
    """Sign-flip interval, probability that the first is better, and p-value, from differences under `_moved` weights.

    Flipping the signs of a subset makes a sum at least as large as the one seen exactly where the subset's own sum is
    not above 0; so the means of subsets are typical values (Hartigan 1969, "Using subsample values as typical values",
    JASA 64): their quantiles bound the interval that the test does not reject.
    """
    n = subsets.shape[1]
    if not np.isfinite(differences).all():
        return (float("nan"),) * 4
    influence = (differences[1 : n + 1] - differences[n + 1 :]) / (2 * _STEP)
    sums = subsets @ (differences[0] + n * (influence - influence.mean()))
    p = min(1.0, 2 * min((sums <= _TIE).mean(), (sums >= -_TIE).mean()))
    sizes = subsets.sum(axis=1)
    means = np.sort(sums[sizes > 0] / sizes[sizes > 0])
    cut = int((1 - level) / 2 * len(sums)) - int((sizes == 0).sum())
    low, high = (
        (means[cut], means[-1 - cut]) if cut >= 0 else (float("nan"), float("nan"))
    )
    above = (means > _TIE).mean() + (np.abs(means) <= _TIE).mean() / 2
    return (
        float(low),
        float(high),
        float(1 - above if less_is_better else above),
        float(p),
    )


def _most_cautious(answers: Sequence[tuple]) -> tuple[float, float, float, float]:
    """The answer of largest p-value, with an interval that holds all; NaN where one has none."""
    low, high, p_better, p = np.array(answers).T
    return (
        float(low.min()),
        float(high.max()),
        float(p_better[np.argmax(p)]),
        float(p.max()),
    )


def holm(p_values) -> np.ndarray:
    """p-values (n,) adjusted so that any false claim among the n is rare (Holm 1979); NaN claims nothing, but counts.

    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    p = np.nan_to_num(np.asarray(p_values, dtype=np.float64), nan=1.0)
    order = np.argsort(p)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(
        1, np.maximum.accumulate((len(p) - np.arange(len(p))) * p[order])
    )
    return adjusted


def _judged(rows: list[dict[str, Any]], aspects: Sequence[str]) -> pd.DataFrame:
    """Rows in order of reading, with adjusted p-values and what may be said."""
    table = pd.DataFrame(rows)
    ranks = {
        "aspect": list(aspects),
        "level": LEVELS,
        "metric": list(METRICS),
        "rival": [BEST, MEAN],
    }
    keys = [
        table[name].map({value: k for k, value in enumerate(values)})
        for name, values in ranks.items()
    ]
    table = table.iloc[np.lexsort(keys[::-1])].reset_index(drop=True)
    head = [
        cell in HEADLINE for cell in zip(table["level"], table["metric"], strict=True)
    ]
    table.loc[head, "p_holm"] = holm(table.loc[head, "p"])
    better = (table["difference"] < 0) == (table["metric"] == "mse")
    said = np.where(better, "better", "worse")
    return table.assign(said=np.where(table["p_holm"] <= 1 - LEVEL, said, ""))[
        list(_COLUMNS)
    ]


def _sentence(table: pd.DataFrame, n_systems: int) -> str:
    head = table[table["p_holm"].notna()]
    clips = head.loc[head["level"] == "utterance", "n"].max()
    where = f"{clips} clips" + (f" of {n_systems} systems" if n_systems > 1 else "")
    if not (head["said"] != "").any():
        least, reach = head["p_holm"].min(), ""
        if len(head) * 2 ** (1 - n_systems) > 1 - LEVEL and n_systems > 1:
            reach = f"; {n_systems} systems are too few to show any"
        return (
            f"No difference shown between the stack and the best base model or the mean of the base models, on {where} "
            f"(least adjusted p = {least:.2f}{reach})."
        )
    parts = [_said_of(rival, head[head["rival"] == rival]) for rival in (BEST, MEAN)]
    return f"On {where}, the stack {parts[0]}; it {parts[1]}."


def _said_of(rival: str, rows: pd.DataFrame) -> str:
    parts = []
    for said, verb in (("better", "beats"), ("worse", "is worse than")):
        cells = [_cell(row) for row in rows[rows["said"] == said].to_dict("records")]
        parts += [f"{verb} {_TITLES[rival]} in {', '.join(cells)}"] if cells else []
    return " but ".join(parts) or f"shows no difference from {_TITLES[rival]}"


def _cell(row: Mapping[str, Any]) -> str:
    """One difference in words."""
    against = f" against {row['model']}" if row["rival"] == BEST else ""
    interval = (
        f" [{row['low']:+.3f}, {row['high']:+.3f}]"
        if np.isfinite([row["low"], row["high"]]).all()
        else ""
    )
    p = f"p = {row['p_holm']:.3f}" if row["p_holm"] >= 0.001 else "p < 0.001"
    return f"{row['aspect']} {row['level']} {row['metric'].upper()} ({row['difference']:+.3f}{interval}{against}, {p})"
