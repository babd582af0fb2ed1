"""Differences between predictors, each against each, tested as in the verdict.

Several predictors of the same clips are compared in pairs: both metrics, their
difference with its interval, and a p-value that is adjusted (Holm 1979) over all pairs
and aspects that are asked about. Where a difference is not shown, the size that such a
listening test would have shown four times out of five stands beside it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from base_models.errors import UsageError, some
from base_models.files import nan_to_none
from base_models.metrics.bootstrap import prompt_codes
from base_models.metrics.evaluate import LEVELS, METRICS, validated
from meta.comparison.aspect_rows import (
    AspectRows,
    Cell,
    Comparison,
    smallest_of_claims,
)
from meta.comparison.sign_flip import LEVEL
from meta.comparison.verdict_text import (
    CLIP_ERROR,
    LIKE_THESE,
    NO_SYSTEMS,
    ONE_SYSTEM,
    SYSTEM_RANKS,
    p_text,
)
from meta.multiple_tests import holm
from meta.rows import Rows

MOST_FOR_ALL_PAIRS = 6
"""Of more predictors, each is compared with one of them alone."""
_MOST_NAMED_PAIRS = 3
"""Of more pairs without a difference, a sentence counts them and names so many."""
_PREDICTOR = "predictor"
_CELLS: tuple[Cell, ...] = tuple(itertools.product(LEVELS, METRICS))
_COLUMNS = (
    "aspect",
    "level",
    "metric",
    "predictor",
    "other",
    "value",
    "value_of_other",
    "difference",
    "low",
    "high",
    "p",
    "p_holm",
    "said",
    "smallest",
    "n",
)
_SHOWN = {
    CLIP_ERROR: "is nearer to the ratings than",
    SYSTEM_RANKS: "ranks systems better than",
}
_UNSHOWN = {
    CLIP_ERROR: "in how near scores are to the ratings (utterance MSE)",
    SYSTEM_RANKS: "in how systems are ranked (system SRCC)",
}


@dataclass(frozen=True)
class Differences:
    """What may be said of predictors in pairs.

    Parameters
    ----------
    lines : for people: differences that are shown, then those that are not
    table : DataFrame, one row per aspect, level, metric and pair: ``value`` and
        ``value_of_other`` of the two predictors, ``difference`` the first minus the
        second with interval ``low, high``; ``p`` of the test by exchanges and
        ``p_holm`` adjusted over what is claimed, NaN in other rows; ``said`` is
        ``"better"``, ``"worse"`` or ""; ``smallest`` the true difference that is found
        four times out of five, NaN where nothing is claimed; ``n`` clips or systems
    """

    lines: tuple[str, ...]
    table: pd.DataFrame

    def to_json(self) -> dict[str, Any]:
        """Lines and rows as JSON values; NaN becomes None."""
        # Infinity is no number of JSON, either.
        return {
            "said": list(self.lines),
            "differences": nan_to_none(self.table.replace(np.inf, np.nan)),
        }


def pairs_of(names: Sequence[str], against: str | None = None) -> list[tuple[str, str]]:
    """The pairs that are compared: all of a few predictors, else each with one.

    Parameters
    ----------
    names : of the predictors
    against : the one that all others are compared with; None compares all pairs, or,
        of more than `MOST_FOR_ALL_PAIRS`, all with the first

    Raises
    ------
    UsageError
        when `against` is none of them.

    Examples
    --------
    >>> pairs_of(["a", "b", "c"])
    [('a', 'b'), ('a', 'c'), ('b', 'c')]
    >>> pairs_of(["a", "b", "c"], against="b")
    [('a', 'b'), ('c', 'b')]
    """
    if against is not None and against not in names:
        raise UsageError(
            f"'{against}' is none of the predictors that are read: {some(names, 12)}."
        )
    if against is None and len(names) <= MOST_FOR_ALL_PAIRS:
        return list(itertools.combinations(names, 2))
    one = names[0] if against is None else against
    return [(name, one) for name in names if name != one]


def predictor_differences(
    rows: Rows,
    scores: Mapping[str, np.ndarray],
    pairs: Sequence[tuple[str, str]],
    seed: int = 0,
) -> Differences:
    """Compare predictors in pairs on labelled rows that none of them has seen.

    With a single system, or where clips name none, clips (or blocks of them) take the
    place of systems. Where systems share prompts, predictors are exchanged in prompts
    too, and the most cautious answer stands.

    Parameters
    ----------
    rows : n labelled rows
    scores : name to scores of shape (n, aspects), all finite
    pairs : names
    seed : of the drawn exchanges, where there are too many for all of them

    Raises
    ------
    UsageError
        as in `base_models.metrics.evaluate.evaluate`.
    """
    # A row counts where it has a label and a score of every predictor.
    labels = rows.labels
    finite = {}
    for name, of_model in scores.items():
        labels, finite[name], _ = validated(
            rows.labels, of_model, rows.systems, aspects=rows.aspects
        )
    prompts = prompt_codes(rows.prompts, len(rows))

    compared: list[Comparison] = []
    names: list[str] = []
    for k, aspect in enumerate(rows.aspects):
        kept = ~np.isnan(labels[:, k])
        # Where all ratings are equal, or there are none, nothing can be compared.
        if len(set(labels[kept, k])) < 2:
            continue
        _, system = np.unique(rows.systems[kept], return_inverse=True)
        of_aspect = AspectRows(
            aspect, labels[kept, k], system, prompt=prompts[kept], seed=seed
        )
        for name, other in pairs:
            rival = (_PREDICTOR, other)
            found = of_aspect.comparisons(
                finite[name][kept, k],
                {rival: finite[other][kept, k]},
                {rival: _CELLS},
            )
            of_pair = list(found)
            compared += of_pair
            names += [name] * len(of_pair)
    if not compared:
        nothing = "The ratings tell no clips apart: nothing can be compared."
        return Differences((nothing,), pd.DataFrame(columns=list(_COLUMNS)))

    table = _table(compared, names, seed)
    return Differences(tuple(_lines(table, rows)), table)


def _table(
    compared: Sequence[Comparison], names: Sequence[str], seed: int
) -> pd.DataFrame:
    """All comparisons, with adjusted p-values and what may be said."""
    table = pd.DataFrame([comparison.columns for comparison in compared])
    table = table.drop(columns=["rival", "p_better"])
    renamed = {"model": "other", "stack": "value", "other": "value_of_other"}
    table = table.rename(columns=renamed).assign(predictor=list(names))

    # p-values are adjusted over what is said; nothing else is claimed.
    claims = [
        place for place, comparison in enumerate(compared) if comparison.in_headline
    ]
    table["p_holm"] = np.nan
    table.loc[claims, "p_holm"] = holm(table.loc[claims, "p"])
    # Of errors less is better, of correlations more.
    better = (table["difference"] < 0) == (table["metric"] == "mse")
    claimed = table["p_holm"] <= 1 - LEVEL
    table["said"] = np.where(claimed, np.where(better, "better", "worse"), "")
    table["smallest"] = smallest_of_claims(compared, [claims], seed)
    return table[list(_COLUMNS)]


def _lines(table: pd.DataFrame, rows: Rows) -> Iterator[str]:
    """What is shown, what is not, and of what kind of clips all of it is."""
    headline = table[table["p_holm"].notna()].to_dict("records")
    n_aspects = table["aspect"].nunique()
    for row in headline:
        if row["said"]:
            yield _shown(row, n_aspects)
    for cell, question in _UNSHOWN.items():
        of_cell = [row for row in headline if (row["level"], row["metric"]) == cell]
        unsaid = [row for row in of_cell if not row["said"]]
        if unsaid:
            yield _unshown(unsaid, question, cell, n_aspects=n_aspects)

    names = set(rows.systems.tolist())
    if len(names) > 1:
        yield LIKE_THESE
    else:
        yield ONE_SYSTEM if any(names) else NO_SYSTEMS


def _shown(row: Mapping[str, Any], n_aspects: int) -> str:
    """A difference that is shown, the better predictor first."""
    names = [row["predictor"], row["other"]]
    values = [row["value"], row["value_of_other"]]
    ends = [row["low"], row["high"]]
    difference = row["difference"]
    # Turned round, so that every sentence says who is better.
    if row["said"] == "worse":
        names.reverse()
        values.reverse()
        ends = [-end for end in reversed(ends)]
        difference = -difference
    cell = (row["level"], row["metric"])
    where = f" in {row['aspect']}" if n_aspects > 1 else ""
    interval = ""
    if np.isfinite(ends).all():
        interval = f" [{ends[0]:+.3f}, {ends[1]:+.3f}]"
    return (
        f"{names[0]} {_SHOWN[cell]} {names[1]}{where}: {row['level']} "
        f"{row['metric'].upper()} {values[0]:.3f} against {values[1]:.3f}, difference "
        f"{difference:+.3f}{interval}, adjusted {p_text(row['p_holm'])}"
    )


def _unshown(
    rows: Sequence[Mapping[str, Any]], question: str, cell: Cell, n_aspects: int
) -> str:
    """Pairs between which no difference is shown, and what would have been."""
    pairs = []
    for row in rows:
        where = f" ({row['aspect']})" if n_aspects > 1 else ""
        pairs.append(f"{row['predictor']} and {row['other']}{where}")
    smallest = [row["smallest"] for row in rows if np.isfinite(row["smallest"])]
    counted = f"{rows[0]['n']} {'clips' if cell == CLIP_ERROR else 'systems'}"
    if not smallest or math.isinf(max(smallest)):
        limit = f"{counted} are too few to show any"
    elif max(smallest) == 0:
        limit = "these score alike"
    else:
        limit = f"with {counted}, one below about {max(smallest):.2g} would not be seen"
    if len(pairs) <= _MOST_NAMED_PAIRS:
        return f"no difference shown {question} between {', '.join(pairs)}: {limit}"
    # A list of many would hide what is said of all of them.
    text = ", ".join(pairs[:_MOST_NAMED_PAIRS])
    return (
        f"no difference shown {question} in {len(pairs)} pairs: {limit} ({text} and "
        f"{len(pairs) - _MOST_NAMED_PAIRS} more: --json FILE lists them)"
    )
