"""Draw the pictures of ``docs/explanation/how-sure.md`` into ``docs/images/``.

``python docs/scripts/draw_pictures.py`` writes them anew, with the code that draws the
report's. What they show is simulated, from fixed seeds; a test compares the stored
files with new ones.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from base_models.metrics.expected_interval import expected_srcc_interval
from base_models.metrics.noise_ceiling import noise_ceiling
from ensemble.reporting.figures import BLUE, GREY, RED, draw_coverage, draw_pit
from ensemble.reporting.style.chart_style import chart_settings

IMAGES = Path(__file__).parents[1] / "images"
CLIPS = 600
"""Clips behind each picture of shares: so many that luck does not show."""


def draw_intervals(axes: Axes) -> None:
    """Thirty clips with 90 % intervals, of which three miss the rating."""
    rng = np.random.default_rng(3)
    scores = np.sort(rng.uniform(1.6, 4.4, 30))
    ratings = scores + rng.normal(0, 0.3, 30)
    half_width = 1.645 * 0.3
    inside = abs(ratings - scores) <= half_width
    places = np.arange(30)

    axes.vlines(
        places, scores - half_width, scores + half_width, color=GREY, linewidth=4
    )
    axes.plot(places, scores, ".", color="black", markersize=3, label="score")
    axes.plot(places[inside], ratings[inside], "o", color=BLUE, ms=4, label="rating")
    axes.plot(
        places[~inside], ratings[~inside], "D", color=RED, ms=5, label="rating, missed"
    )
    axes.set(xlabel="clips, by score", ylabel="score", ylim=(1, 5), xticks=[])
    axes.legend(loc="upper left")


def draw_few_systems(axes: Axes) -> None:
    """The interval of a measured SRCC of 0.8, by the number of systems."""
    counts = [5, 6, 8, 10, 15, 20, 30, 50, 100]
    intervals = [expected_srcc_interval(0.8, count) for count in counts]
    places = np.arange(len(counts))
    low = [interval.low for interval in intervals]
    high = [interval.high for interval in intervals]
    axes.vlines(places, low, high, color=BLUE, linewidth=5)
    axes.axhline(0.8, color=GREY, linewidth=1, zorder=0)
    axes.axhline(0, color=GREY, linewidth=1, linestyle=":", zorder=0)
    axes.set(xlabel="systems", ylabel="SRCC", ylim=(-1, 1.02))
    axes.set_xticks(places, [str(count) for count in counts])


def draw_kept_promises(axes: Axes) -> None:
    """Coverage of intervals that are about right."""
    _draw_promises(axes, width=1.0)


def draw_broken_promises(axes: Axes) -> None:
    """Coverage of intervals that are too narrow."""
    _draw_promises(axes, width=0.55)


def _draw_promises(axes: Axes, width: float) -> None:
    rng = np.random.default_rng(4)
    errors = abs(rng.normal(size=CLIPS))
    quantiles = {0.5: 0.674, 0.8: 1.282, 0.9: 1.645, 0.95: 1.960}
    shares = [np.mean(errors <= width * z) for z in quantiles.values()]
    margin = [1.96 * np.sqrt(share * (1 - share) / CLIPS) for share in shares]
    table = pd.DataFrame({"level": list(quantiles), "share": shares})
    table["share_low"] = table["share"] - margin
    table["share_high"] = table["share"] + margin
    draw_coverage(axes, table)


def draw_flat_pit(axes: Axes) -> None:
    """Ratings fall everywhere in their distributions, as they should."""
    _draw_pit_of(axes, spread=1.0)


def draw_valley_pit(axes: Axes) -> None:
    """Distributions that are too narrow: ratings fall into their tails."""
    _draw_pit_of(axes, spread=1.9)


def _draw_pit_of(axes: Axes, spread: float) -> None:
    from scipy.stats import norm

    rng = np.random.default_rng(2)
    places = norm.cdf(rng.normal(0, spread, CLIPS))
    draw_pit(axes, np.histogram(places, bins=10, range=(0, 1))[0])


def draw_ceiling(axes: Axes) -> None:
    """The noise ceiling of the utterance SRCC, by ratings per clip."""
    rng = np.random.default_rng(0)
    truth = rng.normal(3, 0.5, CLIPS)
    counts = [2, 3, 5, 8, 16]
    heard = truth[:, None] + rng.normal(0, 0.8, (CLIPS, max(counts)))
    ceilings = []
    for count in counts:
        ratings = pd.DataFrame(
            {
                "clip_id": np.repeat([f"c{k:03d}" for k in range(CLIPS)], count),
                "rater_id": np.tile([f"r{k}" for k in range(count)], CLIPS),
                "mi": heard[:, :count].ravel(),
            }
        )
        table = noise_ceiling(ratings, ["mi"], n_bootstrap=20)
        row = table[(table["level"] == "utterance") & (table["metric"] == "srcc")]
        ceilings.append(float(row["ceiling"].iloc[0]))
    axes.plot(counts, ceilings, "o-", color=BLUE)
    axes.set(xlabel="ratings per clip", ylabel="SRCC", ylim=(0.4, 1), xticks=counts)


PICTURES: dict[str, tuple[str, Callable[[Axes], None]]] = {
    "intervals": ("90 % intervals of 30 clips", draw_intervals),
    "few-systems": ("95 % interval of an SRCC of 0.8", draw_few_systems),
    "kept-promises": ("Promises kept", draw_kept_promises),
    "broken-promises": ("Intervals too narrow", draw_broken_promises),
    "flat-pit": ("Calibrated: flat", draw_flat_pit),
    "valley-pit": ("Too narrow: a valley", draw_valley_pit),
    "ceiling": ("The most that can be reached", draw_ceiling),
}
"""By the name of the file: title, and what draws it."""


def picture(name: str) -> str:
    """The SVG of a picture; equal calls give equal text."""
    title, draw = PICTURES[name]
    settings = {**chart_settings(), "svg.hashsalt": name}
    with rc_context(settings):
        canvas = Figure(figsize=(3.4, 2.8), layout="constrained")
        axes = canvas.subplots()
        draw(axes)
        axes.set_title(title)
        buffer = io.StringIO()
        canvas.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    # The version of matplotlib stands in a comment.
    return re.sub(r"<!--.*?-->\n?", "", buffer.getvalue(), flags=re.DOTALL)


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    for stem in PICTURES:
        (IMAGES / f"{stem}.svg").write_text(picture(stem))
