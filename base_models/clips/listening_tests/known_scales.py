"""Scales that the name of a rated column says."""

from __future__ import annotations

import re
from collections.abc import Iterable

from base_models.clips.text_table import parse_number
from base_models.scales import Scale

MUSHRA = Scale(0, 100)
"""The continuous quality scale of Rec. ITU-R BS.1534."""

# Brackets with two numbers: "Quality (0-100)", "mos [1..5]", "score (0 to 10)".
_IN_BRACKETS = re.compile(
    r".*[(\[]\s*([0-9]+(?:\.[0-9]+)?)\s*(?:-|\u2013|\u2014|\.\.|/|to|bis)\s*"
    r"([0-9]+(?:\.[0-9]+)?)\s*[)\]]\s*"
)


def scale_in_name(name: str, cells: Iterable[str]) -> Scale | None:
    """The scale that the name of a rated column says, or None.

    Parameters
    ----------
    name : of the column
    cells : of the column; one called "mushra" may hold ratings that somebody has mapped
        onto 1..5 already, so that all of them lie there

    Examples
    --------
    >>> scale_in_name("Quality (0-10)", [])
    Scale(low=0.0, high=10.0)
    >>> scale_in_name("MUSHRA", ["80"]), scale_in_name("mushra", ["3.5"])
    (Scale(low=0.0, high=100.0), None)
    """
    match = _IN_BRACKETS.fullmatch(name)
    if match and float(match[1]) < float(match[2]):
        return Scale(float(match[1]), float(match[2]))
    if "mushra" not in name.lower():
        return None
    numbers = (parse_number(cell.strip()) for cell in cells)
    is_beyond = any(value is not None and not 1 <= value <= 5 for value in numbers)
    return MUSHRA if is_beyond else None
