"""Measure the commands at several sizes: ``python -m benchmarks.growth 1000 10000``."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from benchmarks.conftest import machine
from benchmarks.growth.commands import Measured, measure_all
from benchmarks.growth.corpus import write_corpus
from benchmarks.growth.on_a_cluster import ClusterCost, cluster_costs
from benchmarks.growth.report import write_report

SIZES = (1_000, 10_000, 100_000)
_MOST_ON_A_CLUSTER = 10_000
"""Clips that are worked on four times over: more of them take hours."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", nargs="*", type=int, default=SIZES)
    parser.add_argument("--folder", type=Path, default=Path(__file__).parent)
    words = parser.parse_args()

    measured: list[Measured] = []
    on_clusters: list[ClusterCost] = []
    for n_clips in sorted(words.sizes):
        with tempfile.TemporaryDirectory() as place:
            corpus = write_corpus(Path(place) / "corpus", n_clips)
            for one in measure_all(corpus, n_clips, Path(place)):
                print(
                    f"{one.n_clips:>8,}  {one.step:24s} {one.seconds:8.1f} s "
                    f"{one.megabytes:7.0f} MB",
                    flush=True,
                )
                measured.append(one)
                # As they come, so that a run that is stopped leaves what it has.
                write_report(measured, on_clusters, words.folder, machine())
            if n_clips <= _MOST_ON_A_CLUSTER:
                on_clusters += cluster_costs(corpus, n_clips, Path(place))
                write_report(measured, on_clusters, words.folder, machine())


if __name__ == "__main__":
    main()
