"""A real scheduler and two real workers: the same bytes as one machine, also when a worker is killed half-way."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from base_models.demo import write_demo
from base_models.errors import StackedMOSError, UsageError
from base_models.files import read_json
from ensemble.artifacts import Workspace
from ensemble.engine import check_engine, spread
from ensemble.level0 import prepare_level0, train_level0
from ensemble.rated_clips import RatedClips

MODELS = [("dora", 0), ("dora_l1", 0)]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Address of a scheduler, and its two worker processes."""
    folder = tmp_path_factory.mktemp("cluster")
    environment = os.environ | {"DASK_DISTRIBUTED__DASHBOARD__LINK": "", "PYTHONPATH": os.pathsep.join(sys.path)}

    def start(*words):
        command = [sys.executable, "-m", "dask", *words]
        with (folder / f"{words[0]}.log").open("ab") as log:
            return subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)

    about = folder / "scheduler.json"
    workers: list = []
    scheduler = start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", about)
    options = ("--scheduler-file", about, "--nthreads", "1", "--no-nanny", "--no-dashboard", "--host", "127.0.0.1")
    try:
        _until(about.is_file, scheduler)
        workers = [start("worker", *options) for _ in range(2)]
        yield read_json(about)["address"].replace("tcp://", "dask://"), workers
    finally:
        for process in (*workers, scheduler):
            process.kill()
            process.wait()


def _until(true, process=None, seconds=90):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited too long"
        assert process is None or process.poll() is None, "the process has ended"
        time.sleep(0.02)


def prepare(tree, root, engine):
    rated, workspace = RatedClips.read(tree), Workspace(root)
    options = {"settings": "embedded", "device": "cpu", "jobs": 1, "overrides": {"max_epochs": 12, "patience": 12}}
    level0 = prepare_level0(rated, MODELS, workspace, "logmel", "hashed_text", engine=engine, **options)
    return level0, workspace


def contents(folder):
    """What every run left, but for what tells the time."""
    files = {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
    keep = ("weights.safetensors", ".parquet", "config.json")
    return {path: data for path, data in files.items() if path.name.endswith(keep)}


def test_a_cluster_that_loses_a_worker_trains_the_same_bytes_as_one_machine(cluster, tmp_path):
    address, workers = cluster
    tree = write_demo(tmp_path / "tree", n_systems=4, n_prompts=8)
    alone, workspace = prepare(tree, tmp_path / "alone", "local")
    train_level0(alone, workspace)
    level0, workspace = prepare(tree, tmp_path / "together", address)
    done = threading.Thread(target=train_level0, args=(level0, workspace), kwargs={"engine": address})
    done.start()
    _until(lambda: any((run.folder / "progress.json").is_file() for run in level0.runs))
    workers[0].send_signal(signal.SIGKILL)
    done.join(timeout=120)
    assert not done.is_alive()
    assert workers[1].poll() is None
    for part in ("base", "embeddings"):
        one, many = contents(tmp_path / "alone" / part), contents(tmp_path / "together" / part)
        assert one.keys() == many.keys()
        assert one == many
    assert len(list((tmp_path / "together" / "base").glob("*/manifest.json"))) == len(MODELS)


def test_results_come_in_the_order_of_the_pieces(cluster):
    pieces = [(np.full(3, k), 2) for k in range(20)]
    for engine in ("local", cluster[0]):
        found = spread(np.power, pieces, engine)
        np.testing.assert_array_equal(list(found), [np.full(3, k**2) for k in range(20)])


@pytest.mark.parametrize("name", ["dask", "dask://", "dask://here", "ray://here:1", "http://a:1", ""])
def test_an_engine_is_local_or_the_address_of_a_scheduler(name):
    with pytest.raises(UsageError, match="--engine is local, or dask://HOST:PORT"):
        check_engine(name)


def test_a_scheduler_that_does_not_answer_is_named(monkeypatch):
    monkeypatch.setattr("ensemble.engine.TIMEOUT", "1s")
    with pytest.raises(StackedMOSError, match=r"No Dask scheduler answers at 127.0.0.1:9"):
        list(spread(np.power, [(1, 2)], "dask://127.0.0.1:9"))
