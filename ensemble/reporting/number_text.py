"""Numbers of a report as text."""

from __future__ import annotations

import math

from ensemble.reporting.section import Record


def number_text(value: float, low: float = math.nan, high: float = math.nan) -> str:
    """A number with three decimals, and its interval where both ends are finite.

    >>> number_text(0.87123, 0.8, 0.9249), number_text(0.5), number_text(math.nan)
    ('0.871 [0.80, 0.92]', '0.500', '-')
    """
    if not math.isfinite(value):
        return "-"
    text = f"{value:.3f}"
    if math.isfinite(low) and math.isfinite(high):
        text += f" [{low:.2f}, {high:.2f}]"
    return text


def cell_text(
    record: Record, value: str, low: str | None = None, high: str | None = None
) -> str:
    """A number of a record, or its interval too if the names of both ends are given.

    >>> cell_text({"mse": 0.5, "low": 0.4, "high": None}, "mse", "low", "high")
    '0.500'
    """
    number = _number(record[value])
    if low is None or high is None:
        return number_text(number)
    return number_text(number, _number(record[low]), _number(record[high]))


def _number(value: float | None) -> float:
    # Undefined numbers are null in report.json.
    return math.nan if value is None else value
