"""What a cluster costs: the same work by two processes here, and by two of Dask."""

from __future__ import annotations

import contextlib
import shutil
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.growth.commands import one_epoch, run_command_line
from benchmarks.growth.corpus import Corpus
from dask_cluster import Cluster

_TURNS = 2


class ClusterCost(NamedTuple):
    """Seconds by the clock of one command on the same clips.

    Parameters
    ----------
    step : str
    n_clips : int
    local : float
        By two processes of this machine.
    cluster : float
        By two workers of a scheduler of this machine, started before.
    """

    step: str
    n_clips: int
    local: float
    cluster: float


def cluster_costs(corpus: Corpus, n_clips: int, folder: Path) -> list[ClusterCost]:
    """Train one epoch of two models, and score all clips, in both ways.

    They take turns, and the shorter one of two counts: a machine may do other work.
    """
    engines: dict[str, tuple[str, ...]] = {"local": ("--jobs", "2")}
    seconds: dict[tuple[str, str], list[float]] = {}
    logs = folder / "cluster"
    logs.mkdir()
    with contextlib.closing(Cluster(logs)) as cluster:
        engines["cluster"] = ("--engine", cluster.fill(2).address)
        for turn in range(_TURNS):
            for where, engine in engines.items():
                place = folder / f"{where}-{turn}"
                for step, taken in _seconds_of(corpus, engine, place).items():
                    seconds.setdefault((step, where), []).append(taken)
    return [
        ClusterCost(
            step,
            n_clips,
            local=min(seconds[step, "local"]),
            cluster=min(seconds[step, "cluster"]),
        )
        for step in ("fit_base", "predict_mos")
    ]


def _seconds_of(
    corpus: Corpus, engine: tuple[str, ...], place: Path
) -> dict[str, float]:
    """What each command takes by the clock, in artifacts of its own."""
    clips = str(corpus.clips)
    artifacts = ("--artifacts", str(place))
    train = (*one_epoch(clips), "--models", "dora:2", *artifacts)
    scores = str(place.with_suffix(".csv"))
    score = ("predict_mos", "--clips", clips, "-o", scores, *artifacts)

    seconds = {"fit_base": _clock((*train, *engine))}
    run_command_line("fit_meta", *artifacts)
    # Else their embeddings would be found in the store.
    shutil.rmtree(place / "embeddings")
    seconds["predict_mos"] = _clock((*score, *engine))
    shutil.rmtree(place)
    return seconds


def _clock(words: tuple[str, ...]) -> float:
    start = time.monotonic()
    run_command_line(*words)
    return time.monotonic() - start
