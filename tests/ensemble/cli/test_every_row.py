"""Every row of a table comes back from the command, with a record of how."""

import json
import os
import signal

import pandas as pd
import pyarrow.parquet as pq
import pytest
from builders import clip_table, tones
from commands import call, refused, start, wait_until
from saved_stack import Scored, saved_stack

from base_models.files import read_json, sha256
from ensemble import __version__
from ensemble.formats import RECORD
from ensemble.hub.stack_contents import stack_contents
from ensemble.scoring import score_clips as scoring
from ensemble.scoring.chunks import run_chunks

OWN = ["mi", "mi_low", "mi_high", "ta", "ta_low", "ta_high"]


@pytest.fixture(scope="module")
def module_place(tmp_path_factory):
    return saved_stack(tmp_path_factory.mktemp("rows"))


@pytest.fixture
def place(module_place, tmp_path):
    return Scored(module_place.folder, module_place.clips, module_place.art, tmp_path)


# ---- columns that are kept


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        ((), ["system_id", "prompt"]),
        (("--keep", "note", "prompt"), ["note", "prompt"]),
        (("--keep", "all"), ["system_id", "prompt", "note"]),
        (("--keep", "none"), []),
    ],
)
def test_the_columns_that_are_named_stand_beside_the_scores(place, words, kept):
    note = ["1.50", "007", "", "a, b", "=1+1"]
    scores, _ = place.scores("--clips", place.table(note=note), *words)
    names = list(scores)
    assert names[2 : names.index("status")] == kept
    if "note" in kept:
        # What a spreadsheet would run is written as text.
        assert scores["note"].tolist() == [*note[:4], "'=1+1"]


def test_a_column_that_is_not_there_is_said_before_anything_is_scored(place):
    out = place.tmp / "s.csv"
    words = ("--clips", place.table(), "--keep", "systemid", "-o", out)
    refused(2, place.predict(*words), "no column 'systemid'. Did you mean 'system_id'")
    assert not out.exists()


def test_scores_keep_their_names_before_columns_of_the_table(place):
    table = place.table(mi=list("abcde"))
    scores, err = place.scores("--clips", table, "--keep", "mi")
    assert scores["given_mi"].tolist() == list("abcde")
    assert (scores["mi"].astype(float) > 1).all()
    assert "column mi is kept as given_mi" in err


# ---- rows that cannot be scored


def spoiled(clips):
    """Many rows of few files, of which every seventh cannot be scored."""
    rows = clips.iloc[[k % len(clips) for k in range(300)]].reset_index(drop=True)
    rows["clip_id"] = [f"r{k:03d}" for k in range(300)]
    rows.loc[rows.index % 7 == 3, "audio"] = "nowhere.wav"
    rows.loc[[100, 299], "clip_id"] = "r000"
    rows.loc[[0, 257], "audio"] = ["", rows["audio"][5]]
    rows.loc[[20, 256], "clip_id"] = ""
    return rows


def test_three_hundred_rows_come_back_in_their_order(place):
    rows = spoiled(place.clips)
    out = place.tmp / "s.csv"
    code, _, err = place.predict("--clips", place.table(rows), "-o", out)
    assert code == 3, err
    scores = pd.read_csv(out, keep_default_na=False, dtype=str)
    assert scores["prompt"].tolist() == rows["prompt"].tolist()
    assert scores["clip_id"][1:256].tolist() == rows["clip_id"][1:256].tolist()
    is_ok = scores["status"] == "ok"
    assert (scores[OWN] != "").all(axis=1).tolist() == is_ok.tolist()
    assert (scores["reason"] == "").tolist() == is_ok.tolist()
    has_file = (rows["audio"] != "nowhere.wav").to_numpy()
    assert not is_ok[~has_file].any()
    others = scores["status"][~is_ok & has_file]
    assert others.index.tolist() == [0, 20, 100, 256, 299]
    assert others.tolist() == [
        *("duplicate", "bad_row", "duplicate", "bad_row", "duplicate"),
    ]
    # Each is the score that its file has alone.
    files = scores[is_ok].groupby(["audio", "prompt"])["mi"].nunique()
    assert (files == 1).all()
    assert f"{(~is_ok).sum()} clips set aside" in err


def test_workers_return_the_same_rows(place, monkeypatch):
    rows = spoiled(place.clips)[:40]
    table = place.table(rows)
    alone, _ = place.scores("--clips", table)

    def in_turn(function, pieces, engine, shared, needs):
        return (function(*piece) for piece in pieces)

    monkeypatch.setattr(scoring, "CLIPS_PER_CHUNK", 7)
    monkeypatch.setattr(run_chunks, "spread", in_turn)
    shared, _ = place.scores("--clips", table, "--engine", "dask://127.0.0.1:1")
    assert set(alone["status"]) == {"ok", "missing", "bad_row"}
    pd.testing.assert_frame_equal(shared, alone)


def test_a_file_that_is_named_twice_is_scored_once(place):
    file = place.clips["audio"][0]
    scores, err = place.scores(file, file, "--prompt", "slow piano")
    assert scores["status"].tolist() == ["ok", "duplicate"]
    assert "1 clip set aside" in err


def test_a_run_that_ctrl_c_stopped_goes_on_to_the_same_bytes(place, tmp_path):
    (tmp_path / "wav").mkdir()
    clips = clip_table(tmp_path / "wav", tones(150, seconds=2, noise=0.01))
    table = place.table(pd.concat([clips, clips.head(1)]))
    whole, stopped = tmp_path / "whole.csv", tmp_path / "stopped.csv"
    words = ["--clips", table, "--stack", place.folder]
    assert call("predict_mos", *words, "--artifacts", place.art, "-o", whole)[0] == 3

    words += ["--artifacts", tmp_path / "new", "-o", stopped]
    running = start("predict_mos", *words)
    embeddings = tmp_path / "new" / "embeddings"
    wait_until(lambda: list(embeddings.rglob("*.safetensors")), running)
    os.killpg(running.pid, signal.SIGINT)
    _, err = running.communicate(timeout=100)
    assert running.returncode == 130, err
    assert err.endswith("run the same command to go on.\n")
    assert not stopped.exists()
    kept = {path: path.stat().st_mtime_ns for path in embeddings.rglob("*.safetensors")}
    assert call("predict_mos", *words)[0] == 3
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert stopped.read_bytes() == whole.read_bytes()


# ---- the record


def test_a_record_beside_the_scores_says_how_they_came_about(place):
    table = place.table(pd.concat([place.clips[:4], place.clips[:1]]))
    out = place.tmp / "s.csv"
    assert place.predict("--clips", table, "-o", out, "--level", 0.8)[0] == 3
    record = read_json(f"{out}.meta.json")
    assert record["version"] == __version__
    assert record["command"].startswith("predict_mos")
    assert record["date"].endswith(" UTC")
    assert (record["data"], record["data_hash"]) == (
        str(table),
        sha256(table.read_bytes()),
    )
    # The identity that inspect_stack shows, too.
    assert record["stack"] == "stack"
    assert record["stack_hash"] == stack_contents(place.folder).identity
    assert record["settings"]["level"] == 0.8
    assert record["aspects"] == ["mi", "ta"]
    assert record["statuses"] == {"ok": 4, "duplicate": 1}
    assert record["predictions"] == {}


def test_equal_rows_have_equal_hashes_and_equal_bytes(place):
    table = place.table()
    written = []
    for name in ("a.csv", "b.csv"):
        assert place.predict("--clips", table, "-o", place.tmp / name)[0] == 0
        written.append((place.tmp / name).read_bytes())
    assert written[0] == written[1]
    table = place.table(place.clips[:4])
    assert place.predict("--clips", table, "-o", place.tmp / "c.csv")[0] == 0
    hashes = [
        read_json(place.tmp / f"{name}.csv.meta.json")["rows_hash"] for name in "abc"
    ]
    assert hashes[0] == hashes[1] != hashes[2]


def test_each_output_has_its_record_where_it_has_a_place(place):
    wav, parquet, facts = (
        place.clips["audio"][0],
        place.tmp / "s.parquet",
        place.tmp / "s.json",
    )
    words = (wav, "--prompt", "slow piano")
    assert place.predict(*words, "-o", parquet, "--json", facts)[0] == 0
    within = json.loads(pq.read_schema(parquet).metadata[RECORD])
    assert within["statuses"] == {"ok": 1}
    assert read_json(facts)["run"] == within
    assert pd.read_parquet(parquet)["status"].tolist() == ["ok"]
    # Standard output has none, and leaves none.
    assert place.predict(*words, "-o", "-")[0] == 0
    left = {path.name for path in place.tmp.iterdir()}
    assert left == {"s.parquet", "s.json"}
    assert place.predict(*words, "-o", place.tmp / "answer.zip")[0] == 0
    assert read_json(place.tmp / "answer.zip.meta.json")["rows_hash"]


def test_no_record_is_written_over_a_file_that_is_read(place):
    table = place.table()
    meta = place.tmp / "s.csv.meta.json"
    words = ("--clips", table, "-o", place.tmp / "s.csv", "--json", meta)
    refused(2, place.predict(*words), "each needs a file of its own")


# ---- answers to a list


@pytest.fixture
def eval_list(place):
    (place.tmp / "list.txt").write_text("c00.wav\nc01,x\nc02\n")
    return place.tmp / "list.txt"


def test_an_answer_to_a_list_is_written_and_passes_the_check(place, eval_list):
    answer = place.tmp / "answer.zip"
    table = place.table(place.clips[:3])
    words = ("--clips", table, "-o", answer, "--eval-list", eval_list)
    code, _, err = place.predict(*words)
    assert code == 0, err
    code, _, err = call("evaluate_mos", answer, "--eval-list", eval_list)
    assert (code, "with every clip scored" in err) == (0, True)
    eval_list.write_text("c00\nc01\nc09\n")
    code, _, err = call("evaluate_mos", answer, "--eval-list", eval_list)
    assert code == 3
    assert "1 clip is missing, though the list has them ('c09')" in err
    assert "1 clip is not in the list ('c02')" in err
    result = call("evaluate_mos", answer, table, "--eval-list", eval_list)
    refused(2, result, "without labels")


def test_other_clips_than_those_of_the_list_are_refused_before_they_are_scored(
    place, eval_list, monkeypatch
):
    monkeypatch.setattr(scoring, "score_clips", None)
    answer = place.tmp / "answer.zip"
    words = ("--clips", place.table(place.clips[1:5]), "-o", answer)
    result = place.predict(*words, "--eval-list", eval_list)
    refused(2, result, "missing, though the list has them .'c00'.*not in the list")
    assert not answer.exists()


def test_a_clip_of_the_list_without_scores_is_named_and_nothing_is_written(
    place, eval_list
):
    clips = place.clips[:3].copy()
    clips.loc[1, "audio"] = "nowhere.wav"
    answer = place.tmp / "answer.zip"
    words = ("--clips", place.table(clips), "-o", answer, "--eval-list", eval_list)
    refused(2, place.predict(*words), "missing, though the list has them .'c01'")
    assert not answer.exists()
    assert not (place.tmp / "answer.zip.meta.json").exists()


def test_a_list_is_for_answers(place, eval_list):
    words = ("--clips", place.table(), "--eval-list", eval_list, "-o")
    result = place.predict(*words, place.tmp / "s.csv")
    refused(2, result, "write them with -o answer.zip")
