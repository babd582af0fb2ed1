"""Clusters with workers that are unfit, killed, or lose their scheduler."""

from __future__ import annotations

import functools
import json
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import soundfile
from plugins import AFFINE, write_metadata
from torture import small_cluster
from torture.harness import Outcome, Row
from torture.small_cluster import Disguise, SmallCluster

ENCODER = "plain"
DEVICE = "mps"
N_CLIPS = 10
CLIPS_PER_PIECE = 1
RATE = 8_000
SLOW = 0.25
"""Seconds that a piece takes at least, so that workers can join meanwhile."""
STANDING = 0.8
"""The same, where a worker must be waited for longer than it may take."""
PATIENCE = 5.0
"""Seconds that a worker may take to prove itself."""
HANG = 60.0


class Unfit(NamedTuple):
    """A kind of unfit worker.

    Parameters
    ----------
    named : words that must stand in what is said of it
    disguises : makes the worker so, from the folder that all cases share
    """

    named: str
    disguises: Callable[[Path, Path], tuple[Disguise, ...]]


def _installed(shared: Path, name: str = "plugin") -> tuple[Disguise, ...]:
    return (
        small_cluster.with_package(shared / name),
        small_cluster.with_device(DEVICE),
    )


def _plus(make: Callable[[Path, Path], Disguise]) -> Callable[..., tuple[Any, ...]]:
    return lambda shared, folder: (*_installed(shared), make(shared, folder))


KINDS = {
    "no package": Unfit(
        "cannot load stackedmos", _plus(lambda *_: small_cluster.without_package)
    ),
    "other version": Unfit(
        "runs stackedmos 0.0.9", _plus(lambda *_: small_cluster.of_version("0.0.9"))
    ),
    "no plug-in": Unfit(
        "Unknown encoder", lambda shared, folder: _installed(shared, "nothing")
    ),
    "broken plug-in": Unfit(
        "no_such_library", lambda shared, folder: _installed(shared, "broken")
    ),
    "other weights": Unfit(
        "must be plain-v1-", lambda shared, folder: _installed(shared, "other")
    ),
    "no folder": Unfit(
        "file system that all machines share",
        _plus(lambda _, folder: small_cluster.without_sight_of(folder / "store")),
    ),
    "no audio": Unfit(
        "does not see the audio",
        _plus(lambda shared, _: small_cluster.without_sight_of(shared / "wav")),
    ),
    "no device": Unfit(
        f"Device '{DEVICE}' is not available",
        lambda shared, folder: _installed(shared)[:1],
    ),
    "stands still": Unfit("has not answered", _plus(lambda *_: small_cluster.stopped)),
}
OTHERS = ("a worker killed", "scheduler killed", "nobody fit", "audio seen in part")
CASES = [(kind, late) for late in (False, True) for kind in KINDS]
CASES += [(kind, False) for kind in OTHERS]


class Torture(Row):
    """One worker in a cluster is unfit, or one process of it is killed."""

    what = "clusters with an unfit worker of each kind, early and late; kills"
    passes_when = "it is named and left out, and the result equal"
    at_least = 20
    n_cases = len(CASES)
    n_share = 2
    seconds = 2 * HANG

    def __init__(self, shared: Path, seed: int) -> None:
        super().__init__(shared, seed)
        os.environ["STACKEDMOS_SECONDS_PER_CLIP"] = "none"
        small_cluster.warm_up()

    def prepare(self) -> None:
        """Write clips, plug-ins, and what one machine makes of the clips."""
        rng = np.random.default_rng(self.seed)
        (self.shared / "wav").mkdir()
        for k in range(N_CLIPS):
            sound = 0.1 * rng.normal(size=RATE)
            soundfile.write(self.shared / "wav" / f"{k}.wav", sound, RATE)
        texts = {
            "plugin": AFFINE,
            "other": AFFINE.replace("default_rng(0)", "default_rng(1)"),
            "broken": AFFINE.replace("import torch", "import no_such_library"),
        }
        for name, text in texts.items():
            folder = self.shared / name
            folder.mkdir()
            (folder / "affine.py").write_text(text)
            write_metadata(folder, "affine", plain="PLAIN")
        (self.shared / "nothing").mkdir()
        embed = functools.partial(_embed, self.shared, self.shared / "store", "local")
        small_cluster.ended(
            small_cluster.forked(embed, self.shared / "local.log"), HANG
        )

    def run(self, case: int, folder: Path, rng: np.random.Generator) -> Outcome:
        """Embed the clips on a cluster."""
        kind, late = CASES[case]
        name = f"{kind}, {'late' if late else 'early'}" if kind in KINDS else kind
        with small_cluster.small_cluster(folder) as cluster:
            if kind in KINDS:
                failure = self._with_unfit(cluster, KINDS[kind], late)
            else:
                failure = getattr(self, f"_{kind.replace(' ', '_')}")(cluster)
        return Outcome(name, failure)

    def _with_unfit(self, cluster: SmallCluster, kind: Unfit, late: bool) -> str:
        """One worker is fit, and one that joins early or late is not."""
        unfit = kind.disguises(self.shared, cluster.folder)
        if not late:
            cluster.add_worker("unfit", *unfit)
        else:
            cluster.add_worker("fit", *_installed(self.shared))
        slow = STANDING if kind is KINDS["stands still"] else SLOW
        head = self._head(cluster, slow)
        if late:
            small_cluster.wait_until(lambda: _n_stored(cluster.folder / "store") > 0)
            cluster.add_worker("unfit", *unfit)
        else:
            # It is alone when the command begins.
            time.sleep(0.7)
            cluster.add_worker("fit", *_installed(self.shared))
        return self._judge(cluster, small_cluster.ended(head, HANG), kind.named)

    def _a_worker_killed(self, cluster: SmallCluster) -> str:
        cluster.add_worker("first", *_installed(self.shared))
        head = self._head(cluster)
        small_cluster.wait_until(lambda: _n_stored(cluster.folder / "store") > 0)
        cluster.kill_worker("first")
        cluster.add_worker("second", *_installed(self.shared))
        return self._judge(cluster, small_cluster.ended(head, HANG))

    def _scheduler_killed(self, cluster: SmallCluster) -> str:
        cluster.add_worker("first", *_installed(self.shared))
        head = self._head(cluster)
        small_cluster.wait_until(lambda: _n_stored(cluster.folder / "store") > 0)
        cluster.kill_scheduler()
        small_cluster.ended(head, HANG)
        said = (cluster.folder / "said.txt").read_text()
        if "went away. Finished work is kept" not in said:
            return f"of a scheduler that was killed it is said: {said[-200:]}"
        cluster.start_scheduler()
        cluster.add_worker("second", *_installed(self.shared))
        head = self._head(cluster)
        return self._judge(cluster, small_cluster.ended(head, HANG))

    def _nobody_fit(self, cluster: SmallCluster) -> str:
        unfit = KINDS["other weights"].disguises(self.shared, cluster.folder)
        cluster.add_worker("unfit", *unfit)
        head = self._head(cluster)
        code = small_cluster.ended(head, HANG)
        said = (cluster.folder / "said.txt").read_text()
        words = said.strip().splitlines()[-1]
        if code == 0 or "is fit to work" not in words or len(words) > 500:
            return f"ended with {code} and: {words[-300:]}"
        return ""

    def _audio_seen_in_part(self, cluster: SmallCluster) -> str:
        """Neither end of the table is out of sight, so that a piece finds it out."""
        hidden = small_cluster.without_sight_of(self.shared / "wav" / "5.wav")
        cluster.add_worker("fit", *_installed(self.shared))
        cluster.add_worker("unfit", *_installed(self.shared), hidden)
        head = self._head(cluster)
        return self._judge(cluster, small_cluster.ended(head, HANG))

    def _head(self, cluster: SmallCluster, slow: float = SLOW) -> int:
        """Start a command that embeds the clips."""
        run = functools.partial(
            _embed, self.shared, cluster.folder / "store", cluster.engine, slow
        )
        return small_cluster.forked(run, cluster.folder / "said.txt")

    def _judge(self, cluster: SmallCluster, code: int, named: str = "") -> str:
        """What is wrong with the end of a command; "" where nothing is."""
        said = (cluster.folder / "said.txt").read_text()
        if code != 0:
            return f"ended with {code}: {said[-300:]}"
        expected = _stored(self.shared / "store")
        found = _stored(cluster.folder / "store")
        if found != expected:
            return f"{len(found)} embeddings, and {len(expected)} equal ones expected"
        if not named:
            return ""
        lines = [line for line in said.splitlines() if "is left out" in line]
        right = "Worker 'unfit' at 127.0.0.1:"
        if len(lines) != 1 or right not in lines[0] or named not in lines[0]:
            return f"of the unfit worker it is said: {lines or said[-200:]}"
        workers = json.loads((cluster.folder / "workers.json").read_text())
        if cluster.workers["unfit"] in workers:
            return "the unfit worker did a piece of work"
        return ""


def _stored(store: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(store)): path.read_bytes()
        for path in store.rglob("*.safetensors")
    }


def _n_stored(store: Path) -> int:
    return sum(1 for _ in store.rglob("*.safetensors"))


def _embed(shared: Path, store: Path, engine: str, slow: float = 0.0) -> None:
    """Embed the clips on an engine, as the head of a cluster."""
    from base_models.encoders import load_encoder
    from base_models.encoders.store import EmbeddingStore
    from ensemble.cluster import crew
    from ensemble.training import embed_on_engine

    logging.basicConfig(format="%(levelname)s %(message)s", force=True)
    crew.PROOF_PATIENCE = PATIENCE
    crew.LOOK_SECONDS = 0.2
    crew.GRACE = 4.0
    for disguise in _installed(shared):
        disguise()
    embed_on_engine.CLIPS_PER_PIECE = CLIPS_PER_PIECE
    workers: set[int] = set()
    embed_on_engine._embed_piece = functools.partial(
        slowly, slow, embed_on_engine._embed_piece
    )
    spread = embed_on_engine.spread

    def noted(*args: Any, **kwargs: Any) -> Any:
        for process, result in spread(*args, **kwargs):
            workers.add(process)
            yield result

    embed_on_engine.spread = noted
    paths = [str(shared / "wav" / f"{k}.wav") for k in range(N_CLIPS)]
    clips = pd.DataFrame({"clip_id": [f"c{k}" for k in range(N_CLIPS)], "audio": paths})
    encoder = load_encoder(ENCODER, device="cpu")
    filled = embed_on_engine.embed_chunks(
        clips,
        EmbeddingStore(store),
        (ENCODER, None),
        encoders=(encoder, None),
        device=DEVICE,
        engine=engine,
        placeholder="",
    )
    assert filled.kept == tuple(range(N_CLIPS)), filled.set_aside
    (store.parent / "workers.json").write_text(json.dumps(sorted(workers)))


def slowly(seconds: float, work: Callable[..., Any], *piece: Any) -> tuple[int, Any]:
    """The process that did a piece of work, and its result, after a while."""
    time.sleep(seconds)
    return os.getpid(), work(*piece)
