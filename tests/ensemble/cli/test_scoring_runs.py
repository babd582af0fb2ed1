"""A stopped run, several processes and shards: all come to the bytes of one run."""

import os
import re

import numpy as np
import pandas as pd
import pytest
from commands import refused
from saved_stack import Scored, saved_stack

from ensemble.scoring import score_clips as scoring
from ensemble.scoring.chunks import run_chunks, score_chunk
from ensemble.training import progress


@pytest.fixture(scope="module")
def module_place(tmp_path_factory):
    return saved_stack(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def place(module_place, tmp_path, monkeypatch):
    """Chunks of four clips, of a table of 24 with one that is missing."""
    monkeypatch.setattr(scoring, "CLIPS_PER_CHUNK", 4)
    return Scored(module_place.folder, module_place.clips, module_place.art, tmp_path)


@pytest.fixture
def table(place):
    clips = place.clips.copy()
    clips.loc[7, "audio"] = "nowhere.wav"
    return place.table(clips)


@pytest.fixture
def whole(place, table):
    """The bytes of a run in one go."""
    return written(place, table, "whole")


def outputs(place, name):
    return place.tmp / f"{name}.jsonl", place.tmp / f"{name}.bins.jsonl"


def run(place, table, name, *words):
    out, bins = outputs(place, name)
    asked = ["--clips", table, "-o", out, "--distributions", bins, "--members"]
    return place.predict(*asked, *words)


def written(place, table, name, *words):
    """The bytes of scores and distributions, and that nothing else is left."""
    code, _, err = run(place, table, name, *words)
    assert code == 3, err
    assert not pieces(place, name).exists()
    return [path.read_bytes() for path in outputs(place, name)]


def pieces(place, name):
    return place.tmp / f"{name}.jsonl.pieces"


def names(place, name):
    return sorted(path.name for path in pieces(place, name).iterdir())


class Counted:
    """How many chunks were scored; the run may be stopped after some."""

    def __init__(self, monkeypatch):
        self.chunks = 0
        self.most = np.inf
        monkeypatch.setattr(run_chunks, "score_chunk", self.score)

    def score(self, *words, **options):
        if self.chunks >= self.most:
            raise KeyboardInterrupt
        self.chunks += 1
        return score_chunk.score_chunk(*words, **options)


@pytest.fixture
def counted(whole, monkeypatch):
    return Counted(monkeypatch)


# ---- stopped and resumed


def test_a_stopped_run_goes_on_with_the_chunks_that_are_kept(
    place, table, whole, counted
):
    counted.most = 4
    code, _, err = run(place, table, "stopped")
    assert (code, counted.chunks) == (130, 4), err
    assert not outputs(place, "stopped")[0].exists()
    assert len(names(place, "stopped")) == 4

    counted.most = np.inf
    assert written(place, table, "stopped") == whole
    assert counted.chunks == 6


def test_a_damaged_chunk_and_one_whose_audio_was_changed_are_scored_again(
    place, table, whole, counted, caplog
):
    counted.most = 5
    run(place, table, "stopped")
    first = place.clips.iloc[0]
    damaged = next(
        path
        for path in pieces(place, "stopped").iterdir()
        if f'"{first["clip_id"]}"' not in path.read_text()
    )
    damaged.write_bytes(damaged.read_bytes().replace(b"1", b"2", 1))
    os.utime(first["audio"])

    counted.most = np.inf
    code, _, err = run(place, table, "stopped")
    # The sixth, which was never scored, and these two.
    assert (code, counted.chunks) == (3, 5 + 3), err
    assert "SHA-256 differs). Its clips are scored again." in caplog.text
    assert [path.read_bytes() for path in outputs(place, "stopped")] == whole


@pytest.mark.parametrize("prompt", [None, "fast drums"])
def test_chunks_of_other_options_or_clips_are_not_taken(place, table, counted, prompt):
    counted.most = 5
    run(place, table, "stopped")
    words = ["--level", "0.8"]
    if prompt:
        rows = pd.read_csv(table)
        rows.assign(prompt=prompt).to_csv(table, index=False)
        words = []
    counted.chunks = 0
    counted.most = np.inf
    written(place, table, "stopped", *words)
    assert counted.chunks == 6


def test_a_file_in_the_place_of_the_pieces_is_refused(place, table):
    pieces(place, "blocked").write_text("mine")
    refused(2, run(place, table, "blocked"), "is to be the folder of the scores")


def test_other_files_among_the_pieces_stay(place, table, counted):
    counted.most = 2
    run(place, table, "stopped")
    (pieces(place, "stopped") / "notes.txt").write_text("mine")
    counted.most = np.inf
    assert run(place, table, "stopped")[0] == 3
    assert names(place, "stopped") == ["notes.txt"]


# ---- several processes


def test_processes_make_the_same_bytes(place, table, whole, monkeypatch):
    asked = []

    def in_turn(function, pieces, jobs, threads):
        asked.append((function.__name__, len(pieces), jobs, threads))
        return (function(*piece) for piece in pieces)

    monkeypatch.setattr(run_chunks, "spread", in_turn)
    monkeypatch.setattr(run_chunks, "CLIPS_PER_EMBEDDING", 3)
    assert written(place, table, "jobs", "--jobs", "2", "--threads", "1") == whole
    # Few chunks would keep one of them waiting, so that clips are embedded first.
    assert asked == [("embed_in_worker", 12, 2, 1), ("score_in_worker", 6, 2, 1)]


def test_progress_is_one_count_of_clips_that_never_falls(place, table, monkeypatch):
    told = []

    class Told:
        def __enter__(self):
            return lambda *count: told.append(count)

        def __exit__(self, *_):
            return None

    monkeypatch.setattr(progress, "encoding", Told)
    written(place, table, "told")
    steps, done, total = zip(*told, strict=True)
    assert set(steps) == {"scoring"}
    assert set(total) == {24}
    assert list(done) == sorted(set(done))
    assert (done[0], done[-1]) == (0, 24)


# ---- shards


def shard(place, table, number, count, name="shared", *words):
    return run(place, table, name, "--shard", f"{number}/{count}", *words)


@pytest.mark.parametrize("count", [1, 3])
def test_joined_shards_are_the_bytes_of_one_run(place, table, whole, counted, count):
    """One shard has the six chunks; three of them embed their share of the clips."""
    for number in reversed(range(1, count + 1)):
        code, out, err = shard(place, table, number, count)
        # The missing clip is among the first third.
        assert code == (3 if number == 1 else 0), err
        assert out == ""
        assert f"shard {number}/{count}: {24 // count} clips" in err
    assert counted.chunks == (6 if count == 1 else 0)
    assert not outputs(place, "shared")[0].exists()

    assert written(place, table, "shared", "--join") == whole
    assert counted.chunks == 6


def test_shards_of_many_chunks_score_every_nth_of_them(
    place, table, whole, counted, monkeypatch
):
    monkeypatch.setattr("ensemble.scoring.score_shard.CHUNKS_PER_SHARD", 1)
    for number in (2, 1, 3):
        counted.chunks = 0
        shard(place, table, number, 3)
        assert counted.chunks == 2
    counted.chunks = 0
    assert written(place, table, "shared", "--join") == whole
    assert counted.chunks == 0


def test_what_is_wrong_with_shards_is_named_in_one_line(place, table, counted):
    join = ("shared", "--join")
    refused(2, run(place, table, *join), "holds no finished shard; .* --shard 1/N")
    shard(place, table, 2, 4)
    refused(
        2,
        run(place, table, *join),
        r"lacks 3 of 4 shards; .* --shard 1/4 \(and 3/4, 4/4\) in place of --join",
    )
    shard(place, table, 1, 2)
    refused(2, run(place, table, *join), r"more than once.*\(1/2, 2/4\); delete")

    (pieces(place, "shared") / "shard-2-of-4.json").unlink()
    shard(place, table, 2, 2, "shared", "--level", "0.8")
    refused(
        2,
        run(place, table, *join),
        "Shard 2/2 in .* is of another run, with other options; run --shard 2/2 again",
    )
    record = pieces(place, "shared") / "shard-2-of-2.json"
    record.write_bytes((pieces(place, "shared") / "shard-1-of-2.json").read_bytes())
    refused(2, run(place, table, *join), "is the record of shard 1/2 under another")
    record.write_bytes(b"{}")
    refused(2, run(place, table, *join), "Run --shard 2/2 again")


def test_shards_that_computed_otherwise_are_not_joined(place, table, counted):
    shard(place, table, 1, 2)
    shard(place, table, 2, 2, "shared", "--threads", "2")
    refused(
        2,
        run(place, table, "shared", "--join"),
        "Shard 2/2 was computed with 2 threads on cpu, and shard 1/2 with",
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--shard", "0/4"], "I/N with I from 1 to N"),
        (["--shard", "5/4"], "got '5/4'"),
        (["--shard", "2"], "got '2'"),
        (["--shard", "1/2", "--join"], "name one"),
        (["--shard", "1/2", "--windows", "all"], "leave --windows all out"),
        (["--join", "--engine", "dask://h:1"], "--join runs on this machine"),
        (["--jobs", "0"], "--jobs must be at least 1"),
        (["--threads", "-1"], "--threads 0 or more"),
        (["--jobs", "2", "--engine", "dask://h:1"], "Leave them out, or --engine"),
        (["--jobs", "2", "--cross-fit"], "leave --jobs out"),
    ],
)
def test_options_that_do_not_go_together_are_refused(place, table, words, message):
    refused(2, run(place, table, "refused", *words), re.escape(message))


def test_a_shard_needs_clips_and_a_file_to_write(place, table):
    refused(2, place.predict("--clips", table, "--shard", "1/2"), "needs -o FILE")
    words = ["--predictions", table, "-o", place.tmp / "a.csv", "--join"]
    refused(2, place.predict(*words), "scored from their audio")
