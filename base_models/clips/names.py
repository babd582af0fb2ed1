"""Names as people write them: which are missing, and which are the same.

A missing name is unknown: clips without a system, or without a prompt, have nothing in
common. Two spellings of one id look alike on a screen, and are one clip.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd


def names_or_blank(values: Iterable[Any]) -> np.ndarray:
    """Names as text in an object array, "" for None, NaN and other missing values.

    >>> names_or_blank(["a", None, float("nan"), 3]).tolist()
    ['a', '', '', '3']
    """
    given = list(values)
    names = np.empty(len(given), dtype=object)
    for row, name in enumerate(given):
        is_missing = name is None or bool(np.all(pd.isna(name)))
        names[row] = "" if is_missing else str(name)
    return names


def plain_id(clip_id: str) -> str:
    """An id without what a reader does not see, or does not tell apart.

    Letters are of one case and in one Unicode form (NFKC); marks without width, such as
    a byte order mark or a zero-width space, and blanks around the id are left out.

    >>> plain_id("Caf\\u00e9\\u200b ") == plain_id("cafe\\u0301")
    True
    """
    visible = [c for c in clip_id if unicodedata.category(c) != "Cf"]
    folded = unicodedata.normalize("NFKC", "".join(visible)).casefold()
    return unicodedata.normalize("NFKC", folded).strip()


def twin_ids(clip_ids: Iterable[str]) -> list[list[str]]:
    """Groups of ids that differ in nothing but their spelling, see `plain_id`.

    >>> twin_ids(["a", "b", "A"])
    [['a', 'A']]
    """
    groups: dict[str, list[str]] = {}
    for clip in dict.fromkeys(clip_ids):
        groups.setdefault(plain_id(clip), []).append(clip)
    return [group for group in groups.values() if len(group) > 1]
