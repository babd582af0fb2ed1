"""The pictures of a report, as inline SVG: predicted against rated, contributions, and what calibration promised.

The trap: SVG of matplotlib carries a date and random ids; without a fixed salt the same report would have other bytes.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from meta.assessment import Assessment

BLUE, RED, GREY = "#4472a8", "#c8553d", "#bbbbbb"
BARS = 12
"""Models in the picture of contributions, those of largest Shapley value."""
MANY = 5000
"""From so many clips on, their dots are one image: as vectors they would take megabytes."""


def figures(found: Assessment) -> dict[str, list[str]]:
    """Per aspect that is labelled in the rows of the verdict: its pictures, in order of reading."""
    compared, made = found.compared, {}
    for k, aspect in enumerate(compared.rows.aspects):
        known = np.flatnonzero(~np.isnan(compared.rows.labels[:, k]))
        drawn = []
        if len(known) and compared.stack_scores is not None:
            systems = compared.rows.systems[known]
            drawn.append(
                _svg(
                    aspect,
                    _scatter,
                    compared.rows.labels[known, k],
                    compared.stack_scores[known, k],
                    systems,
                )
            )
        if len(found.contributions):
            own = found.contributions.query("aspect == @aspect and metric == 'mse'")
            drawn += [_svg(f"{aspect}: Shapley values", _bars, own)] if len(own) else []
        if aspect in found.calibration:
            drawn.append(
                _svg(
                    f"{aspect}: intervals",
                    _reliability,
                    found.calibration[aspect]["coverage"],
                )
            )
            drawn.append(_svg(f"{aspect}: PIT", _pit, found.calibration[aspect]["pit"]))
        if drawn:
            made[aspect] = drawn
    return made


def _svg(title: str, draw: Callable, *given: Any) -> str:
    """The picture that `draw` puts on axes."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    # the same report has the same bytes; four pictures stand in a row
    with rc_context({"svg.hashsalt": f"stackedmos {title}", "font.size": 8}):
        canvas = Figure(figsize=(3.2, 3.0), layout="constrained")
        axes = canvas.subplots()
        draw(axes, *given)
        axes.set_title(title, parse_math=False)  # a column may be called anything
        buffer = io.StringIO()
        canvas.savefig(buffer, format="svg", metadata={"Date": None})
    return (
        buffer.getvalue().partition("<svg")[1] + buffer.getvalue().partition("<svg")[2]
    )


def _scatter(axes, rated, predicted, systems) -> None:
    axes.plot([1, 5], [1, 5], color=GREY, linewidth=1, zorder=0)
    axes.scatter(
        rated,
        predicted,
        s=9,
        alpha=0.35,
        color=BLUE,
        label="clips",
        rasterized=len(rated) > MANY,
    )
    means = (
        pd.DataFrame({"rated": rated, "predicted": predicted}).groupby(systems).mean()
    )
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
    axes.legend(loc="upper left", frameon=False)


def _bars(axes, table: pd.DataFrame) -> None:
    """Shapley values, the largest on top; the line at 0 parts models that help from those that harm."""
    top = table.sort_values("shapley", ascending=False, kind="stable")[:BARS][::-1]
    axes.barh(
        np.arange(len(top)),
        top["shapley"],
        xerr=2 * top["standard_error"],
        color=BLUE,
        ecolor=GREY,
    )
    axes.axvline(0, color=GREY, linewidth=1)
    axes.set_yticks(np.arange(len(top)))
    axes.set_yticklabels([_short(name) for name in top["model"]], parse_math=False)
    axes.set_xlabel(
        f"fall of MSE, {len(top)} of {len(table)} models"
        if len(table) > BARS
        else "fall of MSE"
    )


def _short(name: str, length: int = 20) -> str:
    return name if len(name) <= length else f"{name[: length - 1]}…"


def _reliability(axes, table: pd.DataFrame) -> None:
    """Share of ratings in their intervals against the share promised; on the diagonal every promise is kept."""
    low, high = (
        table["share"] - table["share_low"],
        table["share_high"] - table["share"],
    )
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, zorder=0)
    spread = np.maximum([low, high], 0)
    axes.errorbar(
        table["level"],
        table["share"],
        spread,
        color=BLUE,
        ecolor=GREY,
        marker="o",
        markersize=4,
    )
    axes.set(xlim=(0.4, 1), ylim=(0, 1.02), xlabel="promised", ylabel="kept")


def _pit(axes, counts: Sequence[float]) -> None:
    """Where ratings fall in their predicted distributions: flat when calibrated, a valley where too narrow."""
    cells = len(counts)
    axes.bar((np.arange(cells) + 0.5) / cells, counts, width=0.9 / cells, color=BLUE)
    axes.axhline(np.mean(counts), color=GREY, linewidth=1)
    axes.set(xlim=(0, 1), xlabel="place in the predicted distribution", ylabel="clips")
