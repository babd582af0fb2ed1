"""The sentences in which differences of systems are said."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from meta.comparison.verdict_text import p_text

_MOST_CLIPS = 100_000
"""Beyond which a number of clips is no advice."""


def sentence(row: Mapping[str, Any], *, level: float, many: bool, where: str) -> str:
    """What may be said of the difference of two systems.

    Parameters
    ----------
    row : of `SystemComparison.differences`, but for ``said``; and ``smallest``, the
        true difference that would have been shown, ``unit``, what more of would show
        it, and ``why``, the reason why nothing is known of the error
    level : a difference is shown when ``p_holm`` is at most one minus this
    many : whether p-values are adjusted over several comparisons
    where : the aspect, as `` in mi``, or ""

    Examples
    --------
    >>> row = {"a": "v1", "b": "v2", "difference": 0.21, "low": 0.08, "high": 0.34}
    >>> row |= {"p_holm": 0.002, "paired": True, "preferred": 0.62}
    >>> row |= {"preferred_low": 0.54, "preferred_high": 0.7}
    >>> sentence(row, level=0.95, many=False, where="")
    "v2 is better than v1 by 0.21 [0.08, 0.34] (p = 0.002); of two clips of one prompt \
v2's is preferred in 62 % [54, 70]"
    """
    if not math.isfinite(row["p_holm"]):
        return _unknown(row, where)
    if row["p_holm"] <= 1 - level:
        return _shown(row, many=many, where=where)
    return _unshown(row, many=many, where=where)


def _shown(row: Mapping[str, Any], *, many: bool, where: str) -> str:
    """The better system first, whichever it is."""
    names = [row["b"], row["a"]]
    ends = [row["low"], row["high"]]
    preferred = [row["preferred"], row["preferred_low"], row["preferred_high"]]
    if row["difference"] < 0:
        names.reverse()
        ends = [-end for end in reversed(ends)]
        preferred = [1 - preferred[0], 1 - preferred[2], 1 - preferred[1]]
    better, worse = names
    return (
        f"{better} is better than {worse}{where} by {abs(row['difference']):.2f} "
        f"[{ends[0]:.2f}, {ends[1]:.2f}] ({_p(row, many)}); "
        + _preference(better, preferred, paired=row["paired"])
    )


def _preference(name: str, shares: list[float], *, paired: bool) -> str:
    of_two = " of one prompt" if paired else ", one of each,"
    share, low, high = (100 * share for share in shares)
    text = f"of two clips{of_two} {name}'s is preferred in {share:.0f} %"
    return f"{text} [{low:.0f}, {high:.0f}]" if math.isfinite(low) else text


def _unshown(row: Mapping[str, Any], *, many: bool, where: str) -> str:
    """What is not shown, what it would take, and what would have been shown."""
    ahead = row["b"]
    value = row["difference"]
    ends = [row["low"], row["high"]]
    # Said of the system that is ahead, so that the number is never negative.
    if value < 0:
        ahead = row["a"]
        value = -value
        ends = [-row["high"], -row["low"]]
    found = (
        f"no difference shown between {row['a']} and {row['b']}{where}: {ahead} is "
        f"ahead by {value:.2f} [{ends[0]:.2f}, {ends[1]:.2f}] ({_p(row, many)})"
    )
    if math.isinf(row["smallest"]):
        shown = "this comparison could show no difference that the scale has room for"
    else:
        shown = (
            f"a true difference of {row['smallest']:.2g} would be shown four times in "
            "five"
        )
    return f"{found}; {_needed(row)}; {shown}"


def _needed(row: Mapping[str, Any]) -> str:
    """How many clips would show a difference of the size seen."""
    needed = row["clips_needed"]
    what = row["unit"]
    if math.isfinite(needed) and needed <= _MOST_CLIPS:
        return (
            f"to show a difference of this size takes about {needed:.0f} more "
            f"{what if needed > 1 else what.removesuffix('s')} of each"
        )
    if row["error_systems"] > 0 and math.isinf(needed):
        return (
            f"more {what} would not show it, as the stack itself errs by about "
            f"{row['error_systems']:.2g} in such differences (chance in clips: "
            f"{row['error_clips']:.2g}); ratings of some clips may"
        )
    return f"no number of {what} that anybody has would show it"


def _unknown(row: Mapping[str, Any], where: str) -> str:
    """Why there is a difference, and nothing to say of it."""
    return (
        f"{row['b']} minus {row['a']}{where}: {row['difference']:+.2f}, without an "
        f"interval: {row['why']}"
    )


def _p(row: Mapping[str, Any], many: bool) -> str:
    return p_text(row["p_holm"]) + (" after Holm" if many else "")
