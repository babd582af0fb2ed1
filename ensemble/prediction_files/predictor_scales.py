"""The scale of each predictor: declared, remembered, known, or that of the labels.

Scores are mapped from the scale of their predictor onto that of a stack by a straight
line. A scale that nobody declared is the labels'; where a predictor's scores contradict
that, it is refused, since clipping would make one value of many.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from base_models.clips.columns import fold_name
from base_models.clips.tables.read_table import TABLE_SUFFIXES, is_table, read_table
from base_models.clips.text_table import TextTable, parse_number
from base_models.errors import UsageError, some
from base_models.scales import Scale

DECLARED = "declared"
OF_LABELS = "as the labels"
OF_BINS = "its bins"
"""Reasons for a scale; another one is the name of a known tool."""

MOST = 0.5
"""A predictor with a larger share of scores off its scale is refused."""
FEW = 0.1
"""The same where its scale is only assumed."""
FEWEST_OFF = 3
"""So many scores at least must be off an assumed scale that is not the predictor's."""
_FEWEST_OF_A_RANGE = 5
_USUAL = tuple(
    Scale(*ends)
    for ends in [(0, 1), (1, 5), (0, 5), (1, 7), (1, 10), (0, 10), (0, 100)]
)
_OVERSHOOT = 0.05

_NAMES = ("model", "predictor", "name")
_CURE = (
    "Name its scale as FILE:LOW-HIGH{example}, or in a table with --predictor-scales "
    "(columns model, scale)."
)
CURE_OF_ONE_FILE = "Name its scale as FILE:LOW-HIGH{example}."
"""What to do where a command reads one predictor, and no table of scales."""


@dataclass(frozen=True)
class PredictorScale:
    """The scale of a predictor's scores of one aspect.

    Parameters
    ----------
    scale : the scale
    why : `DECLARED`, `OF_LABELS`, `OF_BINS`, or the name of a known tool
    seen : the lowest and the highest score that it gave for the clips of the fit
    column : of its file, from which the fit read the scores; "" where that is not known
    """

    scale: Scale
    why: str = OF_LABELS
    seen: tuple[float, float] | None = None
    column: str = ""

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON values."""
        seen = None if self.seen is None else list(self.seen)
        facts = {"scale": self.scale.to_json(), "why": self.why, "seen": seen}
        return facts | ({"column": self.column} if self.column else {})

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> PredictorScale:
        """What `to_json` wrote."""
        seen = facts["seen"]
        return cls(
            Scale(*facts["scale"]),
            str(facts["why"]),
            None if seen is None else (float(seen[0]), float(seen[1])),
            column=str(facts.get("column", "")),
        )


@dataclass(frozen=True)
class DeclaredScales:
    """Scales of predictors from a table that somebody wrote.

    Parameters
    ----------
    source : the table, for messages
    by_model : model to aspect to scale; the aspect "" stands for all others
    """

    source: str = ""
    by_model: Mapping[str, Mapping[str, Scale]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path | str | None) -> DeclaredScales:
        """Read a table with the columns ``model`` and ``scale``.

        Instead of ``scale`` (``0-100``) there may be ``low`` and ``high``; a column
        ``aspect`` limits a row to one aspect. A row with an empty scale declares none.

        Raises
        ------
        UsageError
            when there is no such table, a column is missing, a scale cannot be read, or
            a model has two.
        """
        if path is None:
            return cls()
        path = Path(path)
        if not is_table(path):
            raise UsageError(
                f"{path}: scales of predictors are read from "
                f"{', '.join(TABLE_SUFFIXES)}."
            )
        table = read_table(path)
        column_of = {fold_name(name): name for name in table.columns}
        model_column = next((column_of[n] for n in _NAMES if n in column_of), None)
        has_scales = "scale" in column_of or {"low", "high"} <= set(column_of)
        if model_column is None or not has_scales:
            raise UsageError(
                f"{path} needs the columns model and scale (as 0-100), or model, low "
                f"and high; it has {some(table.columns, 20)}."
            )

        by_model: dict[str, dict[str, Scale]] = {}
        for row, cell in enumerate(table.columns[model_column]):
            scale = _scale_of_row(table, column_of, row)
            if scale is None:
                continue
            aspect = ""
            if "aspect" in column_of:
                aspect = table.columns[column_of["aspect"]][row].strip()
            of_model = by_model.setdefault(cell.strip(), {})
            if aspect in of_model:
                raise UsageError(
                    f"{table.location(row)}: '{cell.strip()}' has a scale already; "
                    "give each model (and aspect) one row."
                )
            of_model[aspect] = scale
        return cls(str(path), by_model)

    def of(self, model: str, aspect: str) -> Scale | None:
        """The declared scale of a model's scores of an aspect, or None."""
        of_model = self.by_model.get(model, {})
        return of_model.get(aspect, of_model.get(""))

    def unknown(self, models: list[str]) -> list[str]:
        """Names in the table that are none of the models."""
        return [name for name in self.by_model if name not in models]


def _scale_of_row(
    table: TextTable, column_of: Mapping[str, str], row: int
) -> Scale | None:
    """The scale that a row declares; None where its cells are empty."""
    names = ["scale"] if "scale" in column_of else ["low", "high"]
    cells = [table.columns[column_of[name]][row].strip() for name in names]
    if not any(cells):
        return None
    try:
        if len(cells) == 1:
            return Scale.parse(cells[0])
        low, high = (parse_number(cell) for cell in cells)
        if low is None or high is None:
            raise UsageError(f"low and high are {cells}; both are finite numbers.")
        return Scale(low, high)
    except UsageError as error:
        raise UsageError(f"{table.location(row)}: {error}") from error


# ---- scores against their scale


def check_on_scale(
    model: str,
    values: np.ndarray,
    known: PredictorScale,
    cure: str = _CURE,
) -> int:
    """Count the scores that lie off a scale; too many of them show that it is another.

    Parameters
    ----------
    model : the predictor, for messages
    values : n finite scores of one aspect
    known : their scale
    cure : what a message says to do; ``{example}`` stands for a scale that would do,
        ``{model}`` for its name

    Returns
    -------
    n_off : scores beyond an end, which are moved to it later

    Raises
    ------
    UsageError
        when more than half of the scores are off the scale, or, where the scale is only
        assumed, more than a tenth. One or two scores are refused only where they lie
        more than a quarter of the scale beyond an end.
    """
    n_off = int(known.scale.is_off(values).sum())
    share = n_off / max(len(values), 1)
    # What held in the fit of a stack is no longer a mere assumption.
    is_assumed = known.why == OF_LABELS and known.seen is None
    # A single clip may overshoot; far beyond an end it shows another scale by itself.
    nearest = np.clip(values, known.scale.low, known.scale.high)
    is_far = np.abs(values - nearest).max(initial=0) > known.scale.width / 4
    has_evidence = n_off >= FEWEST_OFF or is_far
    limit = FEW if is_assumed and n_off >= FEWEST_OFF else MOST
    if share <= limit or not has_evidence:
        return n_off
    raise UsageError(
        f"'{model}' predicts {n_off} of {len(values)} clips off the scale "
        f"{known.scale} (from {values.min():g} to {values.max():g}), which is "
        f"{_reason(known)}: moved to its ends they would be one value. "
        + cure.format(model=model, example=_example(values))
    )


def _reason(known: PredictorScale) -> str:
    """Where a scale comes from, for a message."""
    reasons = {
        DECLARED: "declared",
        OF_LABELS: "assumed from the labels",
        OF_BINS: "that of its bins",
    }
    reason = reasons.get(known.why, f"known of {known.why}")
    return reason if known.seen is None else f"{reason}, as in the fit"


def _example(values: np.ndarray) -> str:
    """The narrowest usual scales that the values lie on, as examples for a message."""
    fitting = []
    for scale in _USUAL:
        # Regressors go a little beyond the ends.
        slack = _OVERSHOOT * scale.width
        is_low = values.min() >= scale.low - slack
        is_high = values.max() <= scale.high + slack
        if is_low and is_high:
            fitting.append(scale.option)
    return f", such as {' or '.join(fitting[:2])}" if fitting else ""


def range_remark(model: str, values: np.ndarray, known: PredictorScale) -> str:
    """What is odd about the range of some scores on their scale, or "".

    Parameters
    ----------
    model : the predictor
    values : n finite scores of one aspect
    known : their scale, and what was seen of the predictor when a stack was fitted
    """
    low = float(values.min())
    high = float(values.max())
    found = f"all {len(values)} scores of '{model}' lie in {low:g}..{high:g}"
    cure = "if it is on another scale, name that as FILE:LOW-HIGH"
    if known.seen is not None:
        first, last = known.seen
        is_outside = ((values < first) | (values > last)).all()
        is_narrow = high - low < (last - first) / 10
        if is_outside or (is_narrow and len(values) >= _FEWEST_OF_A_RANGE):
            return f"{found}; in the fit they were {first:g}..{last:g}: {cure}"
        return ""
    is_lowest_tenth = high <= known.scale.low + known.scale.width / 10
    if is_lowest_tenth and known.why == OF_LABELS and len(values) >= FEWEST_OFF:
        return f"{found}, the lowest tenth of the labels' scale {known.scale}: {cure}"
    return ""
