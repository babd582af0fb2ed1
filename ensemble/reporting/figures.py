"""The pictures of a report, as inline SVG."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from markupsafe import Markup

from ensemble.reporting.page_parts.chart_svg import page_svg
from ensemble.reporting.section import Drawing
from ensemble.reporting.style.chart_style import chart_settings
from ensemble.reporting.style.tokens import LIGHT
from ensemble.screen.literal import literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE = LIGHT["blue"]
RED = LIGHT["red"]
GREY = LIGHT["grey"]
MOST_BARS = 12
"""Models in the picture of contributions, those of largest Shapley value."""
MANY_CLIPS = 5000
"""With more clips, their dots are one image: as vectors they would take megabytes."""


def svg(drawing: Drawing, id_: str) -> Markup:
    """The picture as an ``<svg>`` element; the same drawing gives the same bytes.

    Parameters
    ----------
    drawing : what is drawn
    id_ : with what the ids in it begin; no two pictures of a page share it
    """
    # Imported here: only a page needs matplotlib, which takes long to import.
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    # Ids in the SVG are random and its date is that of today, unless both are set.
    with rc_context(chart_settings()):
        # Four pictures of the usual size stand in a row.
        size = (3.2, 3.0)
        if drawing.lines:
            # As wide as a phone shows without moving it.
            size = (4.6, 0.9 + 0.2 * drawing.lines)
        canvas = Figure(figsize=size, layout="constrained")
        axes = canvas.subplots()
        drawing.draw(axes)
        # Titles hold names from the data, in which a dollar sign is no formula.
        axes.set_title(literal(drawing.title), parse_math=False)
        document = svg_document(canvas)

    title = literal(drawing.title)
    return Markup(page_svg(document, id_, title=title, words=drawing.words))


def svg_document(canvas: Figure) -> str:
    """The file that matplotlib writes of a figure, without its date."""
    buffer = io.StringIO()
    canvas.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def draw_scores(
    axes: Axes, rated: np.ndarray, predicted: np.ndarray, systems: np.ndarray
) -> None:
    """Predicted against rated: a dot per clip, a diamond per system.

    Parameters
    ----------
    rated, predicted : arrays of shape (n,), scores
    systems : array of shape (n,), names; a single one gets no diamond
    """
    axes.plot([1, 5], [1, 5], color=GREY, linewidth=1, zorder=0)
    axes.scatter(
        rated,
        predicted,
        s=9,
        alpha=0.5,
        color=BLUE,
        label="clips",
        rasterized=len(rated) > MANY_CLIPS,
    )

    scores = pd.DataFrame({"rated": rated, "predicted": predicted})
    means = scores.groupby(systems).mean()
    if len(means) > 1:
        axes.scatter(
            means["rated"],
            means["predicted"],
            s=34,
            color=RED,
            marker="D",
            label="systems",
        )

    axes.set(
        xlim=(0.9, 5.1),
        ylim=(0.9, 5.1),
        xlabel="rated",
        ylabel="predicted",
        aspect="equal",
    )
    axes.set_xticks(np.arange(1, 6))
    axes.legend(loc="upper left")


def draw_contributions(axes: Axes, table: pd.DataFrame) -> None:
    """Shapley values, the largest on top.

    Parameters
    ----------
    table : a row per model with ``model``, ``shapley`` and ``standard_error``
    """
    best_first = table.sort_values("shapley", ascending=False, kind="stable")
    # Bars are stacked from below, so the largest comes last.
    shown = best_first[:MOST_BARS][::-1]
    places = np.arange(len(shown))
    axes.barh(
        places,
        shown["shapley"],
        xerr=2 * shown["standard_error"],
        color=BLUE,
        ecolor=GREY,
    )
    # The line at 0 parts models that help from those that harm.
    axes.axvline(0, color=GREY, linewidth=1)

    axes.set_yticks(places)
    names = [_shortened(name) for name in shown["model"]]
    axes.set_yticklabels(names, parse_math=False)
    label = "less error (MSE)"
    if len(table) > MOST_BARS:
        label += f", {len(shown)} of {len(table)} models"
    axes.set_xlabel(label)


def draw_coverage(axes: Axes, table: pd.DataFrame) -> None:
    """Share of ratings in their intervals against the level of these.

    On the diagonal intervals hold what they should.

    Parameters
    ----------
    table : see `meta.uncertainty.coverage.coverage_table`
    """
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, zorder=0)
    # Of few systems there are no bounds, which are None in a report that was stored.
    below = table["share"] - table["share_low"].astype(float)
    above = table["share_high"].astype(float) - table["share"]
    # Rounding can put a bound just inside its share; matplotlib refuses a negative bar.
    spread = np.maximum([below, above], 0)
    axes.errorbar(
        table["level"],
        table["share"],
        spread,
        color=BLUE,
        ecolor=GREY,
        linestyle="-",
        marker="o",
    )
    axes.set(
        xlim=(0.4, 1),
        ylim=(0, 1.02),
        xlabel="level of the intervals",
        ylabel="ratings held",
    )


def draw_pit(axes: Axes, counts: Sequence[float]) -> None:
    """Where ratings fall in their predicted distributions.

    Flat when calibrated; a valley where the distributions are too narrow.

    Parameters
    ----------
    counts : clips per cell of equal width between 0 and 1
    """
    n_cells = len(counts)
    places = (np.arange(n_cells) + 0.5) / n_cells
    axes.bar(places, counts, width=0.9 / n_cells, color=BLUE)
    axes.axhline(float(np.mean(counts)), color=GREY, linewidth=1)
    axes.set(xlim=(0, 1), xlabel="place in the predicted distribution", ylabel="clips")


def _shortened(name: str, length: int = 20) -> str:
    return name if len(name) <= length else f"{name[: length - 1]}…"
