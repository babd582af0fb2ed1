"""Laws of full disks, closed pipes and signals: one line, and nothing is lost."""

from __future__ import annotations

import errno
import os
import re
import resource
import signal

import pytest
from commands import call, refused, start, wait_until

from base_models.errors import UsageError
from ensemble.cli.shared.exit_codes import run_command

pytestmark = pytest.mark.usefixtures("finished")

# Enough epochs that a run, or the models after the first, go on as the signal is sent.
EPOCHS = ("max_epochs=30", "patience=30")


def fit_base(place, *more, epochs=EPOCHS):
    """Words of a run that this process and another are to train alike."""
    return place.fit_base(place.tree, "--aspects", "mi", *more, "--set", *epochs)


def limit():
    """No file of the process may have more bytes than this.

    A checkpoint has a million; what measures coverage writes a quarter of that.
    """
    resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000))


@pytest.mark.parametrize("word", ["x" * 100_000, "a\nb\x1b[41m" * 10_000])
def test_an_error_is_one_line_of_at_most_500_characters(capsys, word):
    def refuse(argv):
        raise UsageError(f"'{word}' is no name. The cure comes last.")

    assert run_command(refuse, []) == 2
    said = capsys.readouterr().err
    assert len(said) <= 500
    assert said.count("\n") == 1
    assert said.startswith("error: '")
    assert said.endswith("' is no name. The cure comes last.\n")
    assert "\x1b" not in said


def test_a_full_disk_is_one_line_and_the_rerun_finishes(place):
    words = fit_base(place, "--jobs", 1, epochs=("max_epochs=2",))
    running = start(*words, preexec_fn=limit)
    out, err = running.communicate(timeout=100)
    assert running.returncode == 5
    assert out == ""
    assert re.search(
        "error: The machine failed at .*checkpoint.safetensors: File too large while "
        r"[\d,]{7,} bytes were written.* "
        "run the same command again",
        err,
    )
    assert "Traceback" not in err
    assert not list((place.tmp / "new").rglob("*.tmp"))
    code, _, err = call(*words)
    assert (code, "trained 1 of 1" in err) == (0, True)


def test_scores_that_do_not_fit_on_the_disk_leave_the_old_file(place, monkeypatch):
    target = place.tmp / "scores.csv"
    target.write_text("old")
    assert call(*place.predict(place.wav))[0] == 0

    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        refused(
            5,
            call(*place.predict(place.wav, "--out", target)),
            "No space left to write .*scores.csv",
        )
    assert target.read_text() == "old"


@pytest.mark.parametrize("command", ["fit_meta", "check_clips"])
def test_a_reader_that_goes_away_is_no_failure(place, command):
    running = start(
        *(place.fit_meta() if command == "fit_meta" else [command, place.tree])
    )
    with running, running.stderr:
        running.stdout.close()
        err = running.stderr.read()
        assert "error" not in err
        assert "Traceback" not in err
        assert running.wait(timeout=60) in (0, 3)


def test_sigterm_ends_a_command_as_ctrl_c_does(capsys):
    before = signal.getsignal(signal.SIGTERM)
    code = run_command(lambda _: signal.raise_signal(signal.SIGTERM))
    signal.signal(signal.SIGTERM, before)
    assert code == 143
    assert capsys.readouterr().err.startswith(
        "error: Interrupted. Finished work is kept"
    )


@pytest.fixture(scope="module")
def uninterrupted(finished):
    """Prediction tables of a run that nobody stopped."""
    assert call(*fit_base(finished, "--jobs", 1))[0] == 0
    return tables(finished.tmp / "new")


def tables(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.glob("base/*/predictions-*.parquet")
    }


@pytest.mark.parametrize(("number", "code"), [("SIGINT", 130), ("SIGKILL", -9)])
def test_a_stopped_run_goes_on_to_the_same_bytes(place, uninterrupted, number, code):
    words = fit_base(place, "--jobs", 1)
    running = start(*words)
    new = place.tmp / "new"
    wait_until(lambda: list(new.glob("base/*/progress.json")), running)
    os.killpg(running.pid, getattr(signal, number))
    out, err = running.communicate(timeout=60)
    assert running.returncode == code
    assert out == ""
    assert "Traceback" not in err
    if code > 0:
        assert err.endswith(
            "error: Interrupted. Finished work is kept; "
            "run the same command to go on.\n"
        )
    assert list((place.tmp / "new").glob("base/*/checkpoint.safetensors"))
    code, _, err = call(*words)
    assert (code, "trained 1 of 1" in err) == (0, True)
    assert len(uninterrupted) == 2
    assert tables(place.tmp / "new") == uninterrupted


def test_ctrl_c_with_worker_processes_keeps_what_is_finished(place):
    words = fit_base(place, "--models", "dora:3")
    running = start(*words, "--jobs", 2)
    new = place.tmp / "new"
    wait_until(lambda: list(new.glob("base/*/manifest.json")), running)
    os.killpg(running.pid, signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "Traceback" not in err
    assert err.endswith(
        "error: Interrupted. Finished work is kept; run the same command to go on.\n"
    )
    kept = {
        path: path.stat().st_mtime_ns
        for path in (place.tmp / "new").glob("base/*/manifest.json")
    }
    code, _, err = call(*words, "--jobs", 1)
    assert (code, f"trained {3 - len(kept)} of 3" in err) == (0, True)
    assert kept == {path: path.stat().st_mtime_ns for path in kept}
