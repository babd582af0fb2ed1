"""Locks save work, and logs hold what sealed files do not."""

import json
import multiprocessing
import shutil
import time

import pytest

from base_models.errors import MachineFault
from base_models.files import append_to_log, locked, remove_stale_lock
from base_models.files.locks import LOCK
from base_models.files.logs import LOG


def _work(folder, n_times):
    for _ in range(n_times):
        with locked(folder):
            number = int((folder / "n").read_text())
            time.sleep(0.001)
            (folder / "n").write_text(str(number + 1))


def test_two_processes_never_work_in_one_folder_at_once(tmp_path):
    (tmp_path / "n").write_text("0")
    start = multiprocessing.get_context("spawn").Process
    workers = [start(target=_work, args=(tmp_path, 50)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    # Whoever waited for a file that is removed does not work beside its successor.
    assert (tmp_path / "n").read_text() == "100"
    assert not (tmp_path / LOCK).exists()


def test_a_lock_that_nobody_holds_is_removed_and_a_held_one_stays(tmp_path):
    with locked(tmp_path):
        remove_stale_lock(tmp_path)
        assert (tmp_path / LOCK).exists()
    (tmp_path / LOCK).touch()
    remove_stale_lock(tmp_path)
    assert not (tmp_path / LOCK).exists()
    remove_stale_lock(tmp_path / "none")


def test_the_folder_may_be_removed_while_it_is_held(tmp_path):
    folder = tmp_path / "run"
    with locked(folder):
        shutil.rmtree(folder)
    assert not folder.exists()


def test_a_log_grows_by_a_line_and_says_when_and_where(tmp_path):
    for seconds in (0.5, 1.5):
        append_to_log(tmp_path, {"seconds": seconds})
    records = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    assert [record["seconds"] for record in records] == [0.5, 1.5]
    assert set(records[0]) == {"at", "host", "seconds"}


def test_a_log_on_a_full_disk_stops_the_run_by_name(tmp_path):
    (tmp_path / LOG).symlink_to("/dev/full")
    with pytest.raises(MachineFault, match=r"log\.jsonl"):
        append_to_log(tmp_path, {"seconds": 0.5})
