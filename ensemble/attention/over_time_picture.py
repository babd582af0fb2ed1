"""Draw the score of a longer clip over time: a panel per aspect, a point per window."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd

from base_models.scales import Scale
from ensemble.attention.labels import font_families, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PANEL_HEIGHT = 1.6


def over_time_picture(
    title: str, over_time: pd.DataFrame, scales: Mapping[str, Scale]
) -> bytes:
    """Draw the scores of the windows of one clip as PNG.

    A point stands in the middle of its window, hollow where the window is out of range,
    in the band of its interval. Silent windows without a score leave a gap.

    Parameters
    ----------
    title : str
        Such as the id of the clip and its score.
    over_time : DataFrame
        The rows of this clip, see `ensemble.scoring.score_windows.WindowedScores`.
    scales : mapping of str to Scale
        Of each aspect, in the order of the panels.
    """
    import matplotlib
    from matplotlib.figure import Figure

    fonts = font_families([title, *(short(aspect) for aspect in scales)])
    with (
        matplotlib.rc_context({"font.family": fonts}),
        warnings.catch_warnings(),
    ):
        # Whatever slipped through is drawn as a box, without a word for each.
        warnings.filterwarnings("ignore", "Glyph")
        size = (9, 0.8 + _PANEL_HEIGHT * len(scales))
        figure = Figure(figsize=size, dpi=110, layout="constrained")
        panels = figure.subplots(len(scales), 1, sharex=True, squeeze=False)[:, 0]
        for axes, (aspect, scale) in zip(panels, scales.items(), strict=True):
            _draw(axes, over_time[over_time["aspect"] == aspect])
            axes.set_ylim(scale.low, scale.high)
            axes.set_ylabel(short(aspect), parse_math=False)
            axes.set_xlim(0, over_time["end"].max())
        panels[-1].set_xlabel("seconds")
        figure.suptitle(title, parse_math=False)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _draw(axes: Axes, windows: pd.DataFrame) -> None:
    middle = (windows["start"] + windows["end"]) / 2
    axes.fill_between(middle, windows["low"], windows["high"], alpha=0.2, linewidth=0)
    (line,) = axes.plot(middle, windows["score"])
    color = line.get_color()
    is_marked = windows["note"] == "out of range"
    for part, face in ((~is_marked, color), (is_marked, "white")):
        axes.scatter(
            middle[part],
            windows["score"][part],
            s=18,
            facecolor=face,
            edgecolor=color,
            zorder=3,
        )
    axes.grid(alpha=0.3)
