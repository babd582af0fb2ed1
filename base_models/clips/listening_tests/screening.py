"""Raters that are left out of a listening test, each with the reason.

``bs1534`` is the post-screening of Rec. ITU-R BS.1534-3, clause 4.1.2. ``p808`` is made
of rules of our own in the manner of crowdsourced tests as Rec. ITU-T P.808 describes
them, whose control (gold) questions it uses where there are some; all their limits are
constants of this module.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from base_models.clips.listening_tests.conditions import MID_ANCHOR, REFERENCE
from base_models.errors import UsageError

REFERENCE_GRADE = 0.9
"""Grade 90 of 100 as a share of the scale (BS.1534-3, 4.1.2)."""
ITEMS_SHARE = 0.15
"""Share of items above which a rater is excluded (BS.1534-3, 4.1.2)."""
TRANSPARENT_SHARE = 0.25
"""Share of raters above which an item's anchor says nothing (BS.1534-3, 4.1.2)."""

LEAST_CORRELATION = 0.25
"""Lowest correlation of a rater with the means of the others."""
FEWEST_RATINGS = 6
"""Ratings below which a rater's correlation and constancy are not judged."""
GOLD_TOLERANCE = 0.25
"""Distance from the expected answer, as a share of the scale: 1 point of 1..5."""
LEAST_SECONDS = 1.0
"""Median time of a rating below which nobody can have listened."""


@dataclass(frozen=True)
class LeftOut:
    """A rater who is left out."""

    rater_id: str
    reason: str
    n_ratings: int

    def __str__(self) -> str:
        return f"rater '{self.rater_id}' ({self.n_ratings} ratings): {self.reason}"


def screen_raters(ratings: pd.DataFrame, screen: str) -> list[LeftOut]:
    """Who is left out by a screening, in order of first appearance.

    Parameters
    ----------
    ratings : one row per rating: ``clip_id, rater_id``, ``item`` (what the clip is a
        version of), ``role`` (of `conditions`), ``value`` (share of the scale, 0..1,
        NaN without an answer), ``seconds`` and ``expected`` (as `value`; NaN where
        unknown). A rating of several aspects is a row for each.
    screen : ``"bs1534"`` or ``"p808"``

    Raises
    ------
    UsageError
        when ``bs1534`` is asked for without a hidden reference or mid-range anchor, or
        all raters would be left out.
    """
    # What is known of all ratings is computed once, and not for each rater.
    rules = _bs1534(ratings) if screen == "bs1534" else _p808(ratings)
    found = []
    for rater, own in ratings.groupby("rater_id", sort=False):
        reason = rules(str(rater), own)
        if reason:
            found.append(LeftOut(str(rater), reason, int(own["value"].count())))
    if len(found) == ratings["rater_id"].nunique():
        raise UsageError(
            f"--screen {screen} would leave out all {len(found)} raters, as "
            f"{found[0]}. Is it the screening for this test? (--screen none)"
        )
    return found


_Rules = Callable[[str, pd.DataFrame], str]


def _bs1534(ratings: pd.DataFrame) -> _Rules:
    """Excluded is who often misses the hidden reference, or takes the anchor for it."""
    roles = set(ratings["role"])
    if not roles & {REFERENCE, MID_ANCHOR}:
        raise UsageError(
            "--screen bs1534 looks at ratings of the hidden reference and the "
            "mid-range anchor, and no condition has such a name (reference, anchor70)."
        )
    is_high = ratings["value"] > REFERENCE_GRADE
    of_anchor = ratings[ratings["role"] == MID_ANCHOR].assign(is_high=is_high)
    share_high = of_anchor.groupby("item")["is_high"].mean()
    # There the anchor was hardly worse than the reference, which is nobody's fault.
    transparent = set(share_high.index[share_high > TRANSPARENT_SHARE])

    def reason(rater: str, own: pd.DataFrame) -> str:
        reference = own[(own["role"] == REFERENCE) & own["value"].notna()]
        n_low = int((reference["value"] < REFERENCE_GRADE).sum())
        if n_low > ITEMS_SHARE * len(reference):
            return (
                f"rates the hidden reference below 90 in {n_low} of {len(reference)} "
                "items (more than 15 %)"
            )
        anchor = own[(own["role"] == MID_ANCHOR) & own["value"].notna()]
        anchor = anchor[~anchor["item"].isin(transparent)]
        n_high = int((anchor["value"] > REFERENCE_GRADE).sum())
        if n_high > ITEMS_SHARE * len(anchor):
            return (
                f"rates the mid-range anchor above 90 in {n_high} of {len(anchor)} "
                "items (more than 15 %)"
            )
        return ""

    return reason


def _p808(ratings: pd.DataFrame) -> _Rules:
    """Left out is who fails control questions, is too fast, constant or an outlier."""
    by_clip = ratings.groupby("clip_id")["value"]
    sums = by_clip.transform("sum")
    counts = by_clip.transform("count")

    def reason(rater: str, own: pd.DataFrame) -> str:
        # From the surest sign to the least sure, since one reason is given.
        asked = own[own["expected"].notna() & own["value"].notna()]
        distance = (asked["value"] - asked["expected"]).abs()
        # Exactly one point of 1..5 is allowed, whatever rounding makes of it.
        n_wrong = int((distance > GOLD_TOLERANCE + 1e-9).sum())
        if n_wrong:
            return f"answers {n_wrong} of {len(asked)} control questions wrongly"
        seconds = own["seconds"].median()
        if seconds < LEAST_SECONDS:
            return f"takes {seconds:.2g} s per rating (median; less than 1 s)"
        values = own["value"].dropna()
        if len(values) < FEWEST_RATINGS:
            return ""
        if values.nunique() == 1:
            return f"gives all {len(values)} clips the same rating"
        # Means of the others only: one's own rating would pull them along.
        n_others = (counts[values.index] - 1).where(lambda count: count > 0)
        others = (sums[values.index] - values) / n_others
        pairs = pd.DataFrame({"own": values, "others": others}).dropna()
        # Where all others agree, a correlation with them does not exist.
        if len(pairs) < FEWEST_RATINGS or pairs["others"].nunique() == 1:
            return ""
        correlation = float(np.corrcoef(pairs["own"], pairs["others"])[0, 1])
        if correlation < LEAST_CORRELATION:
            return (
                f"correlates {correlation:.2f} with the means of the others (less than "
                f"{LEAST_CORRELATION})"
            )
        return ""

    return reason
