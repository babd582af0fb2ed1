"""From measurements to RESULTS.md: a table with exponents, and a log-log picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from benchmarks.growth.commands import Measured
from benchmarks.growth.on_a_cluster import ClusterCost

matplotlib.use("Agg")
from matplotlib import pyplot

_STYLES = ("o-", "s--", "^-.", "v:", "D-", "P--", "X-.", "*:")


def exponent(sizes: Sequence[int], values: Sequence[float]) -> float:
    """Slope of values over sizes in logarithms, between the last two sizes.

    What a command takes at the start, whatever the number of clips, would hide the
    growth of the smaller sizes.

    >>> round(exponent([10, 100, 1000], [5.0, 6.0, 60.0]), 3)
    1.0
    """
    (*_, before, last) = np.log(sizes)
    (*_, first_value, last_value) = np.log(values)
    return float((last_value - first_value) / (last - before))


def write_report(
    measured: Sequence[Measured],
    on_clusters: Sequence[ClusterCost],
    folder: Path,
    machine: str,
) -> None:
    """Write ``RESULTS.md`` and ``growth.svg`` into a folder."""
    steps = list(dict.fromkeys(one.step for one in measured))
    sizes = sorted({one.n_clips for one in measured})
    headings = [f"{size:,} clips" for size in sizes]
    lines = [
        "# Growth",
        "",
        "Time and memory of the commands on synthetic listening tests, from",
        "`make bench-growth`. Seconds are of CPU, of all processes of a command;",
        "memory is that of its largest process. An exponent of 1 is linear growth; it",
        f"is taken between the last two sizes. {machine}",
        "",
        "![Seconds and memory over clips, on logarithmic axes](growth.svg)",
        "",
        f"| command | {' | '.join(headings)} | exponent |",
        "|---" * (len(sizes) + 2) + "|",
    ]
    for step in steps:
        found = {one.n_clips: one for one in measured if one.step == step}
        cells = [
            f"{found[size].seconds:.1f} s, {found[size].megabytes:.0f} MB"
            if size in found
            else ""
            for size in sizes
        ]
        slope = ""
        if len(found) > 1:
            ordered = sorted(found)
            slope = f"{exponent(ordered, [found[n].seconds for n in ordered]):.2f}"
        lines.append(f"| {step} | {' | '.join(cells)} | {slope} |")
    lines += _cluster_table(on_clusters)
    (folder / "RESULTS.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    _draw(measured, steps, folder / "growth.svg")


def _cluster_table(costs: Sequence[ClusterCost]) -> list[str]:
    if not costs:
        return []
    lines = [
        "",
        "## On a cluster",
        "",
        "Seconds by the clock with `--jobs 2`, and with `--engine dask://` and two",
        "workers of the same machine, which are started before; the shorter of two",
        "turns each.",
        "",
        "| command | clips | two processes | two workers | ratio |",
        "|---|---|---|---|---|",
    ]
    for step, n_clips, local, cluster in costs:
        lines.append(
            f"| {step} | {n_clips:,} | {local:.1f} s | {cluster:.1f} s "
            f"| {cluster / local:.2f} |"
        )
    return lines


def _draw(measured: Sequence[Measured], steps: Sequence[str], path: Path) -> None:
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4.5))
    for style, step in zip(_STYLES, steps, strict=False):
        found = [one for one in measured if one.step == step]
        sizes = [one.n_clips for one in found]
        left.plot(sizes, [one.seconds for one in found], style, label=step)
        right.plot(sizes, [one.megabytes for one in found], style)
    for axes, what in ((left, "seconds of CPU"), (right, "megabytes at most")):
        axes.set(xscale="log", yscale="log", xlabel="clips", ylabel=what)
        axes.grid(visible=True, which="both", linewidth=0.3)
    left.legend(fontsize="small")
    figure.tight_layout()
    # Without its date, an equal picture is an equal file.
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
