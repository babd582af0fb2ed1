"""The style of all charts, as settings of matplotlib.

Series differ in line style and marker too, not in colour alone: they are told apart on
a black-and-white print.
"""

from __future__ import annotations

from typing import Any

from ensemble.reporting.style.tokens import LIGHT

SERIES = (
    (LIGHT["blue"], "-", "o"),
    (LIGHT["red"], "--", "D"),
    (LIGHT["green"], "-.", "s"),
    (LIGHT["purple"], ":", "^"),
    (LIGHT["orange"], (0, (5, 1, 1, 1)), "v"),
)
"""Colour, line style and marker of each series of a chart."""


def chart_settings() -> Any:
    """What `matplotlib.rc_context` takes; letters stay letters in an SVG."""
    # Imported here: only what is drawn needs matplotlib, which takes long to import.
    from cycler import cycler

    colors = [color for color, _, _ in SERIES]
    lines = [line for _, line, _ in SERIES]
    return {
        "svg.fonttype": "none",
        # Letters are measured in the font that comes with matplotlib, and looked for in
        # no other; those of the page are another one.
        "font.sans-serif": ["DejaVu Sans"],
        "svg.hashsalt": "stackedmos",
        "font.size": 9,
        "axes.titlesize": 10,
        "axes.prop_cycle": cycler(color=colors, linestyle=lines),
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": LIGHT["edge"],
        "axes.facecolor": "none",
        "figure.facecolor": "none",
        "savefig.facecolor": "none",
        "text.color": LIGHT["text"],
        "axes.labelcolor": LIGHT["text"],
        "axes.titlecolor": LIGHT["text"],
        "xtick.color": LIGHT["edge"],
        "ytick.color": LIGHT["edge"],
        "xtick.labelcolor": LIGHT["text"],
        "ytick.labelcolor": LIGHT["text"],
        "grid.color": LIGHT["line"],
        "legend.frameon": False,
        "lines.markersize": 4,
    }
