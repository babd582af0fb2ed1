"""Real schedulers and workers: the same bytes as one machine, also when a worker is
killed half-way.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import pieces
import pytest
from builders import ROOT
from commands import (
    call,
    finish,
    is_alive,
    plan_embedded,
    refused,
    two_epochs,
    wait_until,
)
from dask_cluster import Cluster

from base_models.errors import StackedMOSError, UsageError
from ensemble.cli.shared.exit_codes import run_command
from ensemble.cluster import crew, run_pieces
from ensemble.engine import check_engine, end_unused, spread, start_early
from ensemble.scoring import score_clips as scoring
from ensemble.scoring.stack_source import StackSource, load_stack
from ensemble.training.rated_clips import RatedClips
from ensemble.training.train_base_models import (
    train_base_models,
)
from ensemble.workspace import Workspace

MODELS = [("dora", 0), ("dora_l1", 0)]


@pytest.fixture(scope="module")
def one_cluster(tmp_path_factory):
    with contextlib.closing(Cluster(tmp_path_factory.mktemp("cluster"))) as cluster:
        yield cluster


@pytest.fixture
def cluster(one_cluster):
    """With two workers that live."""
    return one_cluster.fill()


def prepare(tree, root, engine):
    workspace = Workspace(root)
    longer = {"max_epochs": 8, "patience": 8}
    options = {"overrides": longer, "engine": engine}
    plan = plan_embedded(RatedClips.read(tree), MODELS, workspace, **options)
    return plan, workspace


def contents(folder):
    """What every run left, but for what tells the time."""
    files = {
        path.relative_to(folder): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    keep = ("weights.safetensors", ".parquet", "config.json")
    return {path: data for path, data in files.items() if path.name.endswith(keep)}


def test_results_come_in_the_order_of_the_pieces(cluster):
    powers = [(np.full(3, k), 2) for k in range(20)]
    for where in ("local", cluster.address):
        found = spread(np.power, powers, where)
        np.testing.assert_array_equal(
            list(found), [np.full(3, k**2) for k in range(20)]
        )


def said_pids(folder):
    return {int(path.name) for path in folder.iterdir()}


def test_processes_that_were_started_early_do_the_work(tmp_path):
    early = tmp_path / "early"
    early.mkdir()
    start_early(partial(pieces.say_pid, early), jobs=2, threads=1)
    found = set(spread(pieces.say_pid, [(tmp_path,)] * 4, jobs=2, threads=1))
    assert found == said_pids(early)
    assert os.getpid() not in found


def test_processes_that_nothing_is_left_to_do_for_end_without_a_word(tmp_path):
    start_early(partial(pieces.say_pid_and_wait, tmp_path, 0), jobs=2)
    wait_until(lambda: len(list(tmp_path.iterdir())) == 2)
    processes = [int(path.name.partition("-")[0]) for path in tmp_path.iterdir()]
    end_unused()
    wait_until(lambda: not any(map(is_alive, processes)))
    # Others take their place where there is work after all.
    assert list(spread(np.power, [(1, 2), (3, 2)], jobs=2)) == [1, 9]


def test_a_single_job_starts_no_process(tmp_path):
    start_early(partial(pieces.say_pid, tmp_path), jobs=1)
    end_unused()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name", ["dask", "dask://", "dask://here", "ray://here:1", "http://a:1", ""]
)
def test_an_engine_is_local_or_the_address_of_a_scheduler(name):
    with pytest.raises(UsageError, match="--engine is local, or dask://HOST:PORT"):
        check_engine(name)


def test_a_scheduler_that_does_not_answer_is_named(monkeypatch):
    monkeypatch.setattr(run_pieces, "TIMEOUT", "1s")
    with pytest.raises(
        StackedMOSError, match=r"No Dask scheduler answers at 127.0.0.1:9"
    ):
        list(spread(np.power, [(1, 2)], "dask://127.0.0.1:9"))


# ---- pieces of work


def test_results_have_the_same_bytes_wherever_and_when_a_worker_is_killed(
    cluster, tmp_path
):
    rng = np.random.default_rng(0)
    pieces_of_work = [(rng.normal(3, 1, (50, k)), 2) for k in range(1, 8)]
    alone = list(spread(np.power, pieces_of_work, "local"))
    marker = tmp_path / "died"
    found = {
        "processes": spread(np.power, pieces_of_work, "local", 2),
        "cluster": spread(np.power, pieces_of_work, cluster.address),
        "a worker killed": spread(
            pieces.die_once,
            [(marker, np.power, piece) for piece in pieces_of_work],
            cluster.address,
        ),
    }
    for where, results in found.items():
        expected = [array.tobytes() for array in alone]
        assert [array.tobytes() for array in results] == expected, where
    assert marker.exists()


# ---- what goes wrong


def test_what_a_worker_refuses_reaches_the_user_as_one_line(cluster, capsys):
    assert (
        run_command(
            lambda argv: len(list(spread(pieces.refuse, [(7,), (8,)], cluster.address)))
        )
        == 2
    )
    assert (
        capsys.readouterr().err == "error: Piece 7 cannot be used; cut it otherwise.\n"
    )


def test_a_worker_of_another_version_is_refused(cluster, monkeypatch):
    monkeypatch.setattr(crew, "GRACE", 0.0)
    monkeypatch.setattr(run_pieces, "__version__", "9.9")
    with pytest.raises(
        UsageError,
        match=r"runs stackedmos \d\S+, and this command 9.9; install the same version",
    ):
        next(spread(np.power, [(1, 2)], cluster.address))


def test_a_worker_that_does_not_see_the_folder_is_refused_by_name(
    cluster, tmp_path, monkeypatch
):
    assert list(
        spread(np.power, [(1, 2)], cluster.address, shared=tmp_path / "new")
    ) == [1]
    assert list((tmp_path / "new").iterdir()) == []
    with pytest.raises(UsageError, match="name artifacts by its absolute path"):
        next(spread(np.power, [(1, 2)], cluster.address, shared=Path("artifacts")))
    elsewhere = contextlib.nullcontext(str(tmp_path / "elsewhere" / "probe"))
    monkeypatch.setattr(crew, "GRACE", 0.0)
    monkeypatch.setattr(run_pieces, "_probe", lambda shared: elsewhere)
    with pytest.raises(
        UsageError,
        match=r"does not see \S+elsewhere as it is here; a cluster needs a file system",
    ):
        next(spread(np.power, [(1, 2)], cluster.address, shared=tmp_path))


def test_ctrl_c_keeps_finished_work_and_takes_back_what_was_not_begun(
    cluster, tmp_path, capsys
):
    work = [(tmp_path, k) for k in range(40)]
    stop = threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT))
    stop.start()
    assert (
        run_command(
            lambda argv: len(list(spread(pieces.leave_a_file, work, cluster.address)))
        )
        == 130
    )
    stop.join()
    assert (
        capsys.readouterr().err
        == "error: Interrupted. Finished work is kept; run the same command to go on.\n"
    )
    list(spread(np.power, [(1, 2)] * 4, cluster.address))  # after what was under way
    finished = len(list(tmp_path.iterdir()))
    assert 2 <= finished < 20
    time.sleep(0.6)
    assert len(list(tmp_path.iterdir())) == finished


def test_a_cluster_without_workers_and_one_that_goes_away_are_named(
    tmp_path, monkeypatch, capfd
):
    monkeypatch.setattr(crew, "PATIENCE", 1.0)
    with contextlib.closing(Cluster(tmp_path)) as cluster:
        with pytest.raises(
            StackedMOSError,
            match=r"No worker has joined the scheduler at 127.0.0.1:\d+ in 1 s",
        ):
            next(spread(np.power, [(1, 2)], cluster.address))
        monkeypatch.setattr(crew, "PATIENCE", 60.0)
        results = spread(
            pieces.leave_a_file,
            [(tmp_path, k) for k in range(40)],
            cluster.fill(1).address,
        )
        next(results)
        cluster.scheduler.kill()
        with pytest.raises(StackedMOSError, match=r"went away\. Finished work is kept"):
            list(results)
    assert capfd.readouterr().err == ""


KILLED_COMMAND = """
import sys
from pathlib import Path
import pieces
from ensemble.engine import spread
work = [(Path(sys.argv[1]), k) for k in range(4)]
list(spread(pieces.say_pid_and_wait, work, "local", jobs=2))
"""


def test_workers_of_a_command_that_is_killed_end_and_take_no_further_piece(tmp_path):
    tests = os.pathsep.join((str(ROOT), str(ROOT / "tests")))
    command = subprocess.Popen(
        [sys.executable, "-c", KILLED_COMMAND, tmp_path],
        env={**os.environ, "PYTHONPATH": tests},
    )
    wait_until(lambda: len(list(tmp_path.iterdir())) == 2, command)
    workers = {int(path.name.partition("-")[0]) for path in tmp_path.iterdir()}
    command.kill()
    command.wait()

    wait_until(lambda: not any(is_alive(worker) for worker in workers))
    assert len(list(tmp_path.iterdir())) == 2


# ---- scoring


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    with two_epochs():
        return finish(tmp_path_factory.mktemp("place"))


def test_scores_of_a_cluster_are_the_bytes_of_one_machine(
    cluster, place, tmp_path, monkeypatch
):
    monkeypatch.setattr(scoring, "CLIPS_PER_CHUNK", 3)
    monkeypatch.chdir(place.tree)
    (tmp_path / "bad.wav").write_bytes(b"RIFF")
    wavs = [
        f"wav/{path.name}"
        for path in sorted((place.tree / "wav").iterdir(), reverse=True)
    ][:7]
    asked = [wavs[0], tmp_path / "bad.wav", *wavs[1:], "nowhere.wav"]
    alone, together = tmp_path / "alone", tmp_path / "together"
    for art in (alone, together):
        shutil.copytree(place.art, art, ignore=shutil.ignore_patterns("embeddings"))
    there = ["--artifacts", os.path.relpath(together), "--engine", cluster.address]
    for words in (
        ["--prompt", "slow piano"],
        [],
    ):  # without a prompt, aspects are left out
        asking = ["predict_mos", *asked, *words]
        one, many = call(*asking, "--artifacts", alone), call(*asking, *there)
        # Workers are sent whole paths, which reasons then name.
        assert (one[0], one[1]) == (many[0], many[1].replace(f"{place.tree}/", ""))
        assert one[0] == 3
        assert ("left out" in one[2]) == ("left out" in many[2]) == (not words)
        rows = many[1].splitlines()[1:]
        assert [line.split(",")[1] for line in rows] == [str(name) for name in asked]
        assert "2 clips set aside" in many[2]
    one, many = (
        {p.name: p.read_bytes() for p in art.glob("embeddings/*/*/*")}
        for art in (alone, together)
    )
    assert one == many
    assert len(one) == 7 + 2
    # A head, and the row of the clip that is nowhere.
    assert call("predict_mos", "nowhere.wav", *there)[1].count("\n") == 2


def test_a_worker_reads_a_stack_anew_when_it_was_made_anew(place):
    source = StackSource.of(
        place.only("meta/*"), place.art / "embeddings", device="cpu"
    )
    assert load_stack(source) is load_stack(
        StackSource.of(source.folder, source.embeddings, device="cpu")
    )
    (place.tmp / "again").mkdir()
    again = shutil.copytree(source.folder, place.tmp / "again" / "stack")
    before = StackSource.of(again, source.embeddings)
    manifest = again / "manifest.json"
    manifest.write_bytes(manifest.read_bytes() + b"\n")
    assert StackSource.of(again, source.embeddings) != before
    with pytest.raises(UsageError, match="nowhere is not the folder of a stack"):
        StackSource.of("nowhere", "embeddings")


@pytest.mark.parametrize(
    "command", ["fit_base", "predict_mos a.wav", "reproduce table1 --quick"]
)
def test_every_command_with_an_engine_refuses_a_wrong_one(command):
    refused(
        2,
        call(*command.split(), "--engine", "ray://here:1"),
        "--engine is local, or dask://HOST:PORT",
    )


# ---- training


def test_a_cluster_that_loses_a_worker_trains_the_same_bytes_as_one_machine(
    cluster, place, tmp_path
):
    address, workers = cluster.address, cluster.workers
    alone, workspace = prepare(place.tree, tmp_path / "alone", "local")
    train_base_models(alone, workspace)
    plan, workspace = prepare(place.tree, tmp_path / "together", address)
    done = threading.Thread(
        target=train_base_models, args=(plan, workspace), kwargs={"engine": address}
    )
    done.start()
    wait_until(
        lambda: any((run.folder / "progress.json").is_file() for run in plan.runs)
    )
    workers[0].send_signal(signal.SIGKILL)
    done.join(timeout=120)
    assert not done.is_alive()
    assert workers[1].poll() is None
    for part in ("base", "embeddings"):
        one, many = (
            contents(tmp_path / "alone" / part),
            contents(tmp_path / "together" / part),
        )
        assert one.keys() == many.keys()
        assert one == many
    assert len(list((tmp_path / "together" / "base").glob("*/manifest.json"))) == len(
        MODELS
    )
