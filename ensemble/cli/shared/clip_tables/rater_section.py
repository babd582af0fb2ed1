"""What `check_clips` says of the raters of single ratings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from base_models.errors import some
from ensemble.screen.tables import LiteralTable

if TYPE_CHECKING:
    import pandas as pd

    from base_models.metrics.rater_agreement import RaterAgreement

_LEAST_CORRELATION = 0.25
_LISTED = 5


def raters_of(clips: pd.DataFrame) -> list[RaterAgreement]:
    """How the raters agree whose means are the labels; [] of other labels."""
    # Imported late: these load libraries that --help does not need.
    from base_models.clips.labels import label_scales
    from base_models.clips.listening_tests.rating_options import RatingOptions
    from base_models.clips.ratings import read_ratings
    from base_models.metrics.rater_agreement import rater_agreement

    if "means_of" not in clips.attrs:
        return []
    aspects = clips.attrs["aspects"]
    ratings = read_ratings(
        clips.attrs["means_of"],
        aspects,
        bins=None,
        columns=clips.attrs.get("columns"),
        options=RatingOptions.of_attributes(clips.attrs),
    )
    ratings = ratings[ratings["clip_id"].isin(clips["clip_id"])]
    scales = label_scales(clips)
    return [
        rater_agreement(ratings, name, (scales[name].low, scales[name].high))
        for name in aspects
    ]


def print_raters(screen: Console, found: Sequence[RaterAgreement]) -> None:
    """Print one line per aspect, and the raters who stand out by name."""
    if not found:
        return
    title = (
        "Raters: Krippendorff's alpha (0: as by chance, 1: always agree) with its 95 % "
        "interval over clips, and ratings at the ends of the scale"
    )
    table = LiteralTable(title=title)
    table.add_column("aspect", overflow="fold")
    for name in ("raters", "ratings each", "alpha", "lowest", "highest"):
        table.add_column(name, justify="right", no_wrap=name == "alpha")
    for one in found:
        counts = one.raters["n"]
        each = "" if counts.empty else f"{counts.min()} to {counts.max()}"
        if not counts.empty and counts.min() == counts.max():
            each = f"{counts.min()}"
        table.add_row(
            one.aspect,
            str(len(one.raters)) if len(one.raters) else "no names",
            each,
            _alpha_text(one),
            f"{one.at_low:.0%}",
            f"{one.at_high:.0%}",
        )
    screen.print(table)
    for one in found:
        for line in _lines(one):
            screen.print(Text(f"- {line}"))


def _alpha_text(one: RaterAgreement) -> str:
    if not math.isfinite(one.alpha):
        return ""
    return f"{one.alpha:.2f} [{one.low:.2f}, {one.high:.2f}]"


def _lines(one: RaterAgreement) -> list[str]:
    """Raters who stand out, as sentences."""
    lines = []
    if one.constant:
        lines.append(
            f"{one.aspect}: the same rating throughout by {some(one.constant)}"
        )
    known = one.raters["correlation"].astype(float)
    outliers = known[known < _LEAST_CORRELATION].sort_values()
    if len(outliers):
        listed = [f"{name} ({value:.2f})" for name, value in outliers.items()]
        lines.append(
            f"{one.aspect}: correlation with the means of the others below "
            f"{_LEAST_CORRELATION}: {some(listed, _LISTED)} (--screen p808 leaves such "
            "raters out)"
        )
    return lines
