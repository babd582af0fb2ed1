"""Draw what scores consist of: a row of bars per base model on pooled embeddings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from base_models.pooled.block_contributions import BlockContributions
from ensemble.attention.labels import short
from ensemble.attention.model_contributions import ModelContributions

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Panel = tuple[float, Callable[["Axes"], None]]
"""Height in inches, and the function that draws it."""


def bar_panels(models: Sequence[ModelContributions]) -> list[Panel]:
    """One panel per aspect, with a row for each model."""
    # A block has one colour in all panels.
    blocks = dict.fromkeys(
        block
        for model in models
        for found in model.aspects
        for block in found.contributions
    )
    colours = {block: f"C{number % 10}" for number, block in enumerate(blocks)}
    aspects = dict.fromkeys(found.aspect for model in models for found in model.aspects)
    panels: list[Panel] = []
    for aspect in aspects:
        rows = {
            model.model: found
            for model in models
            if (found := model.of(aspect)) is not None
        }
        draw = partial(_draw_bars, aspect=aspect, rows=rows, colours=colours)
        panels.append((0.8 + 0.22 * len(rows), draw))
    return panels


def _draw_bars(
    axes: Axes,
    aspect: str,
    rows: Mapping[str, BlockContributions],
    colours: Mapping[str, str],
) -> None:
    """Draw what moves each model's score up to the right, and down to the left."""
    # Without this, the longest bar would touch the frame.
    axes.use_sticky_edges = False
    drawn = set()
    for row, found in enumerate(rows.values()):
        ends = {True: 0.0, False: 0.0}
        for block, points in found.contributions.items():
            is_up = points >= 0
            axes.barh(
                row,
                points,
                left=ends[is_up],
                height=0.7,
                color=colours[block],
                label=None if block in drawn else block,
            )
            ends[is_up] += points
            drawn.add(block)
        score = found.start + sum(found.contributions.values())
        axes.annotate(
            f"{found.start:.2f} → {score:.2f}",
            (1.0, row),
            xytext=(4, 0),
            xycoords=axes.get_yaxis_transform(),
            textcoords="offset points",
            fontsize=6,
            va="center",
        )

    axes.axvline(0, color="#bbbbbb", linewidth=0.8)
    # The first model is at the top.
    axes.set_ylim(len(rows) - 0.5, -0.5)
    names = [short(name) for name in rows]
    axes.set_yticks(range(len(rows)), names, fontsize=6, parse_math=False)
    axes.tick_params(axis="x", labelsize=6)
    # A model that says nothing of this clip would have an axis of rounding errors.
    low, high = axes.get_xlim()
    axes.set_xlim(min(low, -0.05), max(high, 0.05))
    title = f"{short(aspect)}: score points, from the mean training clip to this one"
    axes.set_title(title, fontsize=9, loc="left", parse_math=False)
    legend = axes.legend(
        fontsize=6, frameon=False, loc="upper left", bbox_to_anchor=(1.09, 1)
    )
    for label in legend.get_texts():
        label.set_parse_math(False)
