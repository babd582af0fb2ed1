"""Scales that the name of a rated column says."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from base_models.clips.columns import (
    RATING_NAMES,
    aspect_columns,
    fold_name,
    scale_in_name,
    without_scale,
)
from base_models.clips.text_table import parse_number
from base_models.scales import Scale

PERCENT = Scale(0, 100)
_PERCENT = re.compile(r"%[)\]]?\s*$")
MUSHRA = Scale(0, 100)
"""The continuous quality scale of Rec. ITU-R BS.1534."""


def known_scale(name: str, cells: Iterable[str]) -> Scale | None:
    """The scale that a rated column is known to be on, or None.

    Parameters
    ----------
    name : of the column
    cells : of the column; one called "mushra" may hold ratings that somebody has mapped
        onto 1..5 already, so that all of them lie there

    Examples
    --------
    >>> known_scale("Quality (0-10)", [])
    Scale(low=0.0, high=10.0)
    >>> known_scale("MUSHRA", ["80"]), known_scale("mushra", ["3.5"])
    (Scale(low=0.0, high=100.0), None)
    """
    stated = scale_in_name(name)
    # "Score (%)"; of other names, as "Loss (%)", nobody knows that they are ratings.
    if _PERCENT.search(name) and fold_name(name) in RATING_NAMES:
        return PERCENT
    if stated is not None or "mushra" not in fold_name(name).split("_"):
        return stated
    numbers = (parse_number(cell.strip()) for cell in cells)
    is_beyond = any(value is not None and not 1 <= value <= 5 for value in numbers)
    return MUSHRA if is_beyond else None


def known_scales(
    columns: Mapping[str, Iterable[str]],
    stated: Mapping[str, Scale],
    words: Sequence[str] | None = None,
) -> dict[str, Scale]:
    """The scales of aspects that a table states.

    Parameters
    ----------
    columns : of the table, name to cells
    stated : scales of columns that are known otherwise, as from the layout
    words : the aspects, as `base_models.clips.columns.aspect_columns` takes them; None
        where each has the name of its column
    """
    known = dict(stated)
    for name, cells in columns.items():
        scale = known_scale(name, cells)
        if scale is not None:
            known.setdefault(name, scale)
    for name, scale in list(known.items()):
        known.setdefault(without_scale(name), scale)
    if words is not None:
        for aspect, column in aspect_columns(words, columns).items():
            if column in known:
                known[aspect] = known[column]
    return known
