"""Numbers of a report as text."""

from __future__ import annotations

import math

from ensemble.reporting.section import Record
from meta.comparison.verdict_text import p_text

_MOST_DECIMALS = 6


def number_text(
    value: float,
    low: float = math.nan,
    high: float = math.nan,
    note: str | None = "",
) -> str:
    """A number with three decimals, and its interval where both ends are finite.

    Parameters
    ----------
    value, low, high : float
    note : why the number or its interval is not there, said in its place

    Examples
    --------
    >>> number_text(0.87123, 0.8, 0.9249), number_text(0.5), number_text(math.nan)
    ('0.871 [0.80, 0.92]', '0.500', '-')
    >>> number_text(0.9, note="too few systems")
    '0.900 (too few systems)'
    """
    if not math.isfinite(value):
        return note or "-"
    text = f"{value:.3f}"
    if math.isfinite(low) and math.isfinite(high):
        return f"{text} {interval_text(low, high, decimals=2)}"
    return f"{text} ({note})" if note else text


def interval_text(low: float, high: float, decimals: int) -> str:
    """Both ends of an interval, with as many decimals as it takes to tell them apart.

    >>> interval_text(0.8, 0.92, decimals=2), interval_text(0.9962, 1.0, decimals=2)
    ('[0.80, 0.92]', '[0.996, 1.000]')
    """
    digits = decimals
    while digits < _MOST_DECIMALS and low < high:
        if f"{low:.{digits}f}" != f"{high:.{digits}f}":
            break
        digits += 1
    return f"[{low:.{digits}f}, {high:.{digits}f}]"


def cell_text(
    record: Record, value: str, low: str | None = None, high: str | None = None
) -> str:
    """A number of a record, or its interval too if the names of both ends are given.

    Where the interval is not there, the ``note`` of the record says why, if it has one.

    >>> cell_text({"mse": 0.5, "low": 0.4, "high": None}, "mse", "low", "high")
    '0.500'
    """
    number = _number(record[value])
    if low is None or high is None:
        return number_text(number)
    return number_text(
        number, _number(record[low]), _number(record[high]), record.get("note")
    )


def without_interval(cell: str) -> str:
    """The number alone of a cell of `number_text`, for a narrow table.

    >>> without_interval("0.871 [0.80, 0.92]"), without_interval("too few systems")
    ('0.871', '-')
    """
    number, _, _ = cell.partition(" ")
    return number if number[-1:].isdigit() else "-"


def p_cell(p: float | None) -> str:
    """A p-value as the verdict writes it, without the letter.

    >>> p_cell(0.00821), p_cell(0.0002), p_cell(None)
    ('0.009', '< 0.001', '-')
    """
    number = _number(p)
    if not math.isfinite(number):
        return "-"
    return p_text(number).removeprefix("p ").removeprefix("= ")


def probability_text(probability: float | None) -> str:
    """A probability of three decimals, which rounding makes neither 0 nor 1.

    >>> probability_text(0.9042), probability_text(0.99996), probability_text(2e-5)
    ('0.904', '> 0.999', '< 0.001')
    """
    number = _number(probability)
    if 0.9995 <= number < 1:
        return "> 0.999"
    if 0 < number < 0.0005:
        return "< 0.001"
    return number_text(number)


def _number(value: float | None) -> float:
    # Undefined numbers are null in report.json.
    return math.nan if value is None else value
