"""Laws of what is written: nothing that is read is lost, and of seeds."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import re
import tempfile

import pandas as pd
import pytest
from commands import call, refused, start

from base_models.errors import UsageError
from ensemble import __version__
from ensemble.cli import COMMANDS
from ensemble.cli.shared.exit_codes import run_command
from ensemble.cli.shared.output.output_files import check_outputs, put_json
from ensemble.screen.streams import await_json

CLIPS = [f"S{k % 6:03d}_P{k:03d}" for k in range(24)]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Scores, labels and single ratings of 24 clips of six systems."""
    monkeypatch.chdir(tmp_path)
    scores = [1 + k % 7 / 2 for k in range(24)]
    clips = pd.DataFrame({"clip_id": CLIPS, "system_id": [c[:4] for c in CLIPS]})
    clips.assign(mos=scores).to_csv("scores.csv", index=False)
    clips.assign(mos=[1 + k % 5 for k in range(24)]).to_csv("labels.csv", index=False)
    ratings = [
        (c, f"r{j}", 1 + (k + j) % 5) for j in range(3) for k, c in enumerate(CLIPS)
    ]
    columns = ["clip_id", "rater_id", "mos"]
    pd.DataFrame(ratings, columns=columns).to_csv("ratings.csv", index=False)
    return tmp_path


@pytest.mark.parametrize(
    "words",
    [
        ("noise_ceiling", "ratings.csv", "--csv", "./ratings.csv"),
        (
            "noise_ceiling",
            "ratings.csv",
            "--clips",
            "labels.csv",
            "--json",
            "labels.csv",
        ),
        ("evaluate_mos", "scores.csv", "labels.csv", "--csv", "labels.csv"),
        ("evaluate_mos", "scores.csv:1-5", "labels.csv", "--json", "scores.csv"),
        ("rate_less", "scores.csv", "ratings.csv", "--out", "scores.csv"),
        ("rate_less", "scores.csv", "ratings.csv", "--differences", "ratings.csv"),
        ("rate_less", "scores.csv", "--plan", "--budget", "20", "--out", "scores.csv"),
        ("check_clips", "labels.csv", "--json", "labels.csv"),
        ("predict_mos", "--predictions", "m=scores.csv:1-5", "--out", "scores.csv"),
    ],
)
def test_no_file_that_is_read_is_written_over(folder, words):
    before = {path: path.read_bytes() for path in folder.iterdir()}
    refused(2, call(*words), "which is read; name another file")
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    "words",
    [
        ("noise_ceiling", "ratings.csv", "--csv", "new", "--json", "./new"),
        ("evaluate_mos", "scores.csv", "labels.csv", "--csv", "new", "--json", "new"),
        ("rate_less", "scores.csv", "ratings.csv", "--out", "n.csv", "--json", "n.csv"),
    ],
)
def test_two_outputs_are_two_files(folder, words):
    refused(2, call(*words), "each needs a file of its own")


@pytest.mark.parametrize("command", ["rate_less", "noise_ceiling", "evaluate_mos"])
def test_a_folder_that_takes_no_file_is_refused_before_the_work(folder, command):
    scores = () if command == "noise_ceiling" else ("scores.csv",)
    labels = "labels.csv" if command == "evaluate_mos" else "ratings.csv"
    result = call(command, *scores, labels, "--json", "labels.csv/new/facts.json")
    refused(2, result, "no file can be written to .*labels.csv .Not a directory")


def test_a_full_or_read_only_folder_is_said_and_nothing_is_left_in_others(
    folder, monkeypatch
):
    before = set(folder.iterdir())
    check_outputs({"--out": "new/deep/s.csv", "--json": "-", "--x": None}, inputs=())
    assert set(folder.iterdir()) == before

    def read_only(**_):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(tempfile, "TemporaryFile", read_only)
    with pytest.raises(UsageError, match=r"--out s\.csv: .*Read-only file system"):
        check_outputs({"--out": "s.csv"}, inputs=())


class FullFile(io.BytesIO):
    """A file on a full disk: it can be made, and nothing be put into it."""

    def flush(self):
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    "words",
    [
        ("predict_mos", "labels.csv", "--explain", "why"),
        ("predict_mos", "--predictions", "m=scores.csv:1-5", "--out", "s.csv"),
        ("fit_base", "--data", "labels.csv", "--artifacts", "art"),
        ("fit_meta", "--artifacts", "art"),
        ("reproduce", "table1", "--quick", "--artifacts", "art"),
    ],
)
def test_a_full_disk_is_found_before_the_work(folder, monkeypatch, words):
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda dir: FullFile())
    refused(5, call(*words), f"No space left to write .*{words[-1].split('.')[0]}")


def test_an_empty_name_is_no_silence(folder):
    result = call("rate_less", "scores.csv", "ratings.csv", "--out", "")
    refused(2, result, "--out takes a file; got ''")


BROKEN = {
    "check_clips": ("check_clips", "no.csv"),
    "fit_base": ("fit_base", "--data", "no.csv"),
    "fit_meta": ("fit_meta", "--predictions", "no.csv", "--labels", "labels.csv"),
    "predict_mos": ("predict_mos", "no.csv"),
    "compare_systems": ("compare_systems", "no.csv"),
    "evaluate_mos": ("evaluate_mos", "scores.csv", "no.csv"),
    "noise_ceiling": ("noise_ceiling", "no.csv"),
    "rate_less": ("rate_less", "scores.csv", "no.csv"),
    "list_models": ("list_models", "dorra"),
    "list_encoders": ("list_encoders", "no_encoder"),
    "list_runs": ("list_runs", "--remove", "no_run"),
    "verify_run": ("verify_run", "no_folder"),
    "reproduce": ("reproduce", "no_table"),
    "serve_mos": ("serve_mos", "no_stack"),
    "inspect_stack": ("inspect_stack", "no_stack"),
}


def test_every_command_is_broken_in_some_way():
    assert BROKEN.keys() == COMMANDS.keys()


@pytest.mark.parametrize("more", [(), ("--no-such-option",)], ids=["word", "option"])
@pytest.mark.parametrize("command", COMMANDS)
def test_an_error_is_json_where_standard_output_is_to_be_json(folder, command, more):
    words = (*BROKEN[command], *more)
    for option in (("--json", "-"), ("--json=-",)):
        code, out, err = call(*words, *option)
        facts = json.loads(out)
        assert code != 0
        assert (facts["command"], facts["version"]) == (command, __version__)
        assert facts["error"]["code"] == code
        assert f"error: {facts['error']['message']}\n" in err


@pytest.mark.parametrize("command", COMMANDS)
def test_an_error_leaves_the_file_of_json_as_it_was(folder, command):
    (folder / "facts.json").write_text("old")
    code, out, _ = call(*BROKEN[command], "--json", "facts.json")
    assert (code != 0, out) == (True, "")
    assert (folder / "facts.json").read_text() == "old"


def test_unusable_rows_are_an_error_in_json_too(folder):
    (folder / "bad.csv").write_text("clip_id,mos\na,4\nb,five\nc,six\n")
    code, out, _ = call("evaluate_mos", "scores.csv", "bad.csv", "--json", "-")
    assert code == 3
    assert json.loads(out)["error"]["code"] == 3


def test_an_error_keeps_its_code_where_its_json_cannot_be_written(folder):
    with open("/dev/full", "w") as full:
        running = start(*BROKEN["evaluate_mos"], "--json", "-", stdout=full)
        _, err = running.communicate(timeout=100)
    assert (running.returncode, "Traceback" in err) == (2, False)
    assert "error: There is no file or folder no.csv" in err


def test_an_error_after_the_json_adds_no_second_document(folder):
    def command(_):
        await_json("list_runs")
        put_json({"runs": []}, "-", "list_runs")
        raise ValueError("later")

    out = io.TextIOWrapper(io.BytesIO(), "utf-8")
    with contextlib.redirect_stdout(out):
        assert run_command(command) == 1
    assert json.loads(out.buffer.getvalue())["runs"] == []


@pytest.mark.parametrize("columns", ["20", "60", "80"])
@pytest.mark.parametrize(
    "words",
    [
        ("rate_less", "scores.csv", "ratings.csv", "--compare", "S000", "S001"),
        ("rate_less", "scores.csv", "--plan", "--budget", "20", "--out", "p.csv"),
        ("noise_ceiling", "ratings.csv", "--bootstrap", "50"),
        ("evaluate_mos", "scores.csv", "labels.csv", "--bootstrap", "50"),
    ],
)
def test_no_number_is_cut_on_a_narrow_screen(folder, monkeypatch, columns, words):
    monkeypatch.setenv("COLUMNS", "200")
    wide = call(*words)[1]
    monkeypatch.setenv("COLUMNS", columns)
    code, narrow, err = call(*words)
    assert code == 0, err
    # What is shown is whole; what is not is named, with where to find it.
    number = r"[0-9]+\.[0-9]+"
    shown = re.findall(number, narrow)
    assert shown
    assert not set(shown) - set(re.findall(number, wide))
    if len(shown) < len(re.findall(number, wide)):
        assert "not shown at this width: " in " ".join(narrow.split())
    if words[0] == "rate_less":
        assert "S000" in narrow


def test_a_folder_is_refused_before_anything_is_computed(folder):
    code, out, err = call("noise_ceiling", "ratings.csv", "--json", folder)
    assert (code, out) == (2, "")
    assert "--json takes a file" in err


@pytest.mark.parametrize(
    "words",
    [
        ("noise_ceiling", "ratings.csv", "--seed"),
        ("evaluate_mos", "scores.csv", "labels.csv", "--seed"),
        ("rate_less", "scores.csv", "--plan", "--budget=20", "--out=p.csv", "--seed"),
        ("fit_meta", "--predictions", "scores.csv", "--seed"),
        ("fit_base", "--data", "labels.csv", "--split-seed"),
    ],
)
@pytest.mark.parametrize("word", ["-1", "1.5", "4294967296", "x"])
def test_a_seed_is_a_whole_number_of_32_bits(folder, words, word):
    refused(2, call(*words, word), "whole number in 0..4294967295")
