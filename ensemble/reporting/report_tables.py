"""The numbers of a report as text: leaderboards and smaller tables, the same words on paper and on screen.

The trap: a table without the name of its rows is read as one of the test set. Each title here says which rows it is of,
and rows that leak are called so by their name.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from base_models.metrics.evaluate import LEVELS, METRICS
from meta.assessment import Assessment

CEILING = "noise ceiling"
TITLES = {
    "against": "against",
    "ceiling": "ceiling [95 %]",
    "coverage": "share held [95 %]",
    "crps": "CRPS",
    "difference": "difference [95 %]",
    "drop_one_mse": "drop one, utterance MSE",
    "drop_one_srcc": "drop one, system SRCC",
    "fit_seconds": "fit, s",
    "level": "level",
    "log_score": "log score",
    "mean_width": "mean width",
    "p_better": "P(stack better)",
    "p_holm": "p, Holm",
    "predict_seconds": "predict, s",
    "raters": "raters per clip",
    "rps": "RPS",
    "shapley_mse": "Shapley, utterance MSE",
    "shapley_srcc": "Shapley, system SRCC",
}
"""Column titles that are not the column's name."""


@dataclass(frozen=True)
class TextTable:
    """A table as text.

    Parameters
    ----------
    said : a sentence about it
    columns : titles
    rows : cells, as many as titles
    """

    said: str
    columns: tuple[str, ...]
    rows: list[list[str]]


def figure(value: float, low: float = math.nan, high: float = math.nan) -> str:
    """A number with its interval.

    >>> figure(0.87123, 0.8, 0.9249), figure(math.nan, math.nan, math.nan)
    ('0.871 [0.80, 0.92]', '-')
    """
    if not math.isfinite(value):
        return "-"
    return f"{value:.3f}" + (
        f" [{low:.2f}, {high:.2f}]"
        if math.isfinite(low) and math.isfinite(high)
        else ""
    )


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON values; NaN and infinity become null."""
    return [
        {
            key: None
            if isinstance(value, float) and not math.isfinite(value)
            else value
            for key, value in row.items()
        }
        for row in frame.to_dict("records")
    ]


def board_rows(
    board: Sequence[Mapping[str, Any]], ceiling: Sequence[Mapping[str, Any]] = ()
) -> Iterator[tuple[str, str, list[str]]]:
    """A leaderboard as rows of text: aspect, model, then four metrics per utterance and four per system.

    Parameters
    ----------
    board : records of a leaderboard
    ceiling : records of `base_models.metrics.noise_ceiling.noise_ceiling`, a row below the models of their aspect
    """
    cells = {
        (r["aspect"], r["model"], r["level"], r["metric"]): _figure(r, "value")
        for r in board
    }
    aspects, models = (
        list(dict.fromkeys(r[key] for r in board)) for key in ("aspect", "model")
    )
    bounds = {
        (r["aspect"], r["level"], r["metric"]): _figure(r, "ceiling") for r in ceiling
    }
    for aspect in aspects:
        for model in models:
            yield aspect, model, [cells[aspect, model, *cell] for cell in _CELLS]
        if any(key[0] == aspect for key in bounds):
            yield aspect, CEILING, [bounds[aspect, *cell] for cell in _CELLS]


_CELLS = tuple(itertools.product(LEVELS, METRICS))


def _figure(row: Mapping[str, Any], value: str) -> str:
    return figure(
        *(math.nan if row[key] is None else row[key] for key in (value, "low", "high"))
    )


def best_first(
    board: Sequence[Mapping[str, Any]], aspect: str, kept: Sequence[str], limit: int
) -> list[str]:
    """The models in `kept`, then the `limit` others of highest system SRCC (that of utterances without systems)."""
    levels = [
        {
            row["model"]: row["value"]
            for row in board
            if (row["aspect"], row["level"], row["metric"]) == cell
        }
        for cell in ((aspect, level, "srcc") for level in reversed(LEVELS))
    ]
    known = next(
        (of for of in levels if any(value is not None for value in of.values())),
        levels[-1],
    )
    others = [model for model in known if model not in kept]
    others.sort(
        key=lambda model: -math.inf if known[model] is None else known[model],
        reverse=True,
    )
    return [*(model for model in kept if model in known), *others[:limit]]


def counts(board: Sequence[Mapping[str, Any]]) -> str:
    """How many clips and systems a leaderboard counts; a range where aspects or models differ. One system is none.

    >>> counts([{"level": "utterance", "n": 8}, {"level": "system", "n": 7}])
    '8 clips, 7 systems'
    """
    found = {
        level: sorted({row["n"] for row in board if row["level"] == level})
        for level in LEVELS
    }
    spans = {
        level: "-".join(dict.fromkeys(str(n) for n in (values[0], values[-1])))
        for level, values in found.items()
    }
    return f"{spans['utterance']} clips" + (
        "" if spans["system"] == "1" else f", {spans['system']} systems"
    )


def tables(found: Assessment) -> dict[str, TextTable]:
    """The smaller tables by title, in order of reading; those without rows are left out."""
    made = {
        f"{found.rows}: comparisons": (
            "Differences are the stack's metric minus the other's; p is that of sign-flips over systems, Holm-adjusted "
            "over the rows that the verdict draws on.",
            _comparisons(found.verdict.table),
        ),
        f"{found.held_out_name}: contributions": (
            _said_of(found.contributions),
            _contributions(found.contributions),
        ),
        f"{found.rows}: {CEILING}": (
            "What a perfect predictor would score against labels that are means of so few raters; the MSE has a floor.",
            _with_interval(found.ceiling, "ceiling"),
        ),
    }
    for aspect, parts in found.calibration.items():
        said, kept = (
            "Share of ratings that predicted intervals hold, promised (level) and kept.",
            parts["coverage"],
        )
        if "worst" in kept:
            said += " In the worst and best system the share is surely lowest and highest; below: systems where it is "
            said += "surely lower than promised."
        made[f"{found.rows}: coverage, {aspect}"] = (
            said,
            _with_interval(kept, "share", "share_low", "share_high"),
        )
        said = "Mean scores of predicted distributions; smaller is better."
        made[f"{found.rows}: distributions, {aspect}"] = said, parts["scores"]
    return {
        title: as_text(said, frame)
        for title, (said, frame) in made.items()
        if len(frame)
    }


def as_text(said: str, frame: pd.DataFrame) -> TextTable:
    """A frame with readable titles; numbers with three decimals, whole numbers as they are."""
    columns = tuple(TITLES.get(name, name.replace("_", " ")) for name in frame)
    return TextTable(
        said,
        columns,
        [[_cell(value) for value in row] for row in frame.to_numpy(dtype=object)],
    )


def _cell(value: Any) -> str:
    return figure(value) if isinstance(value, float | np.floating) else str(value)


def _with_interval(
    frame: pd.DataFrame, value: str, low: str = "low", high: str = "high"
) -> pd.DataFrame:
    """The number and its interval in one column."""
    if frame.empty:
        return frame
    text = [
        figure(*bounds) for bounds in frame[[value, low, high]].astype(float).to_numpy()
    ]
    named = {"share": "coverage"}.get(value, value)
    return (
        frame.assign(**{value: text})
        .drop(columns=[low, high])
        .rename(columns={value: named})
    )


def _comparisons(table: pd.DataFrame) -> pd.DataFrame:
    if table.empty:
        return table
    model = table["model"].where(table["model"] != table["rival"], "")
    against = table["rival"] + model.map(lambda name: f" ({name})" if name else "")
    named = _with_interval(table.assign(rival=against), "difference").rename(
        columns={"rival": "against"}
    )
    return named.drop(columns="model")


def _contributions(table: pd.DataFrame) -> pd.DataFrame:
    """One row per aspect and model: Shapley value (± 2 errors where orders are drawn) and drop-one of both gains."""
    if table.empty:
        return table
    shapley = [
        figure(row.shapley)
        + (f" ± {2 * row.standard_error:.3f}" if not row.exact else "")
        for row in table.itertuples()
    ]
    wide = table.assign(shapley=shapley).pivot(
        index=["aspect", "model"], columns="metric", values=["shapley", "drop_one"]
    )
    wide.columns = [f"{value}_{metric}" for value, metric in wide.columns]
    order = table[["aspect", "model"]].drop_duplicates()
    return wide.loc[list(order.itertuples(index=False, name=None))].reset_index()


def _said_of(contributions: pd.DataFrame) -> str:
    drawn = len(contributions) > 0 and not contributions["exact"].all()
    return (
        "Gain of the ridge stack in utterance MSE and system SRCC, positive where a base model helps: on average over "
        "all orders of joining (Shapley; the values sum to what all give over the training mean), and when it joins "
        "all others (drop one)."
        + (
            " With so many models, orders are drawn: ± is twice the standard error."
            * drawn
        )
    )
