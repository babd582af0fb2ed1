"""The picture of a ranking: a line per system, the best on top."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ensemble.reporting.style.tokens import LIGHT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LONGEST_NAME = 24
"""Letters of a name that a picture has room for."""
MOST_LINES = 40
"""Systems in a picture; of more only both ends of the ranking."""


def both_ends(systems: pd.DataFrame) -> pd.DataFrame:
    """The systems that a picture has room for: the best and the worst.

    Parameters
    ----------
    systems : one row each, the best first
    """
    if len(systems) <= MOST_LINES:
        return systems
    half = MOST_LINES // 2
    return pd.concat([systems.head(half), systems.tail(half)])


def draw_ranking(axes: Axes, systems: pd.DataFrame) -> None:
    """The mean of each system with its interval.

    Parameters
    ----------
    systems : rows of `SystemComparison.systems` of one aspect, the best first
    """
    places = _places(axes, systems["system_id"])
    means = systems["mean"].to_numpy(dtype=float)
    # Where no interval is known, the dot stands alone.
    below = means - systems["low"].to_numpy(dtype=float)
    above = systems["high"].to_numpy(dtype=float) - means
    spread = np.nan_to_num(np.maximum([below, above], 0))
    axes.errorbar(
        means,
        places,
        xerr=spread,
        fmt="o",
        color=LIGHT["blue"],
        ecolor=LIGHT["blue"],
        elinewidth=1.2,
        capsize=2,
    )
    axes.set_xlabel("mean score")


def draw_judged(axes: Axes, systems: pd.DataFrame) -> None:
    """What was predicted of each system, and what people rated.

    Parameters
    ----------
    systems : rows of `meta.comparison.judged_systems.judged_systems` of one aspect
    """
    places = _places(axes, systems["system_id"])
    predicted = systems["predicted"]
    rated = systems["rated"]
    axes.hlines(places, predicted, rated, color=LIGHT["line"], linewidth=1.2, zorder=0)
    axes.plot(
        predicted,
        places,
        marker="o",
        linestyle="none",
        color=LIGHT["blue"],
        label="predicted",
    )
    axes.plot(
        rated,
        places,
        marker="D",
        linestyle="none",
        color=LIGHT["red"],
        fillstyle="none",
        label="people",
    )
    axes.set_xlabel("mean score")
    # The best systems are on top, to the right; so the left has room there.
    axes.legend(loc="upper left")


def _places(axes: Axes, names: pd.Series) -> np.ndarray:
    """Where the line of each system stands; the first one on top."""
    places = np.arange(len(names))
    axes.set_yticks(places)
    axes.set_yticklabels([_shortened(name) for name in names], parse_math=False)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(axis="x", linewidth=0.6)
    axes.set_axisbelow(True)
    return places


def _shortened(name: object) -> str:
    text = str(name)
    if len(text) <= LONGEST_NAME:
        return text
    return f"{text[: LONGEST_NAME - 1]}…"
