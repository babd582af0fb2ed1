"""Ratings are kept whole, one by one, whoever rates and whatever happens."""

import contextlib
import os
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from builders import ROOT
from listening_pages import SECONDS, answer_to, clips_of, design, store_of, write_plan

from base_models.errors import UsageError
from ensemble.server.rating.rating_file import reading, writing
from ensemble.server.rating.rating_store import RatingStore
from ensemble.server.rating.rating_table import read_history, read_rating_file


def order_of(store, rater):
    return [store.place(rater, n).token for n in range(1, rater.n_clips + 1)]


def joined(store, code, **options):
    return store.rater(store.join(code, **options))


# ---- orders


def test_every_rater_has_all_clips_in_an_order_that_stays(tmp_path):
    with store_of(tmp_path, n=12) as store:
        orders = [order_of(store, joined(store, name)) for name in ("anna", "bob")]
        again = order_of(store, joined(store, "anna"))
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1]) == sorted(store.clips)
    assert again == orders[0]
    with store_of(tmp_path, n=12) as store:
        assert order_of(store, joined(store, " ANNA ")) == orders[0]


def test_the_seed_decides_on_the_orders(tmp_path):
    found = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        folder = tmp_path / name
        folder.mkdir()
        with store_of(folder, n=12, seed=seed) as store:
            rater = joined(store, "anna")
            found.append(
                [store.clips[token].clip_id for token in order_of(store, rater)]
            )
    assert found[0] == found[1]
    assert found[0] != found[2]


def test_clips_that_few_raters_have_go_first(tmp_path):
    with store_of(tmp_path, n=6, clips_per_rater=2) as store:
        given = [order_of(store, joined(store, f"r{n}")) for n in range(6)]
    assert all(len(set(order)) == 2 for order in given)
    counts = np.unique(np.concatenate(given), return_counts=True)[1]
    assert counts.tolist() == [2] * 6


# ---- raters


def test_only_a_cookie_that_was_given_is_somebody(tmp_path):
    with store_of(tmp_path) as store:
        cookie = store.join("anna")
        assert store.rater(cookie).code == "anna"
        for other in ("", "anna", cookie[:-1], cookie + "x", "' OR 1=1 --", "\udcff"):
            assert store.rater(other) is None
        store.leave(cookie)
        assert store.rater(cookie) is None


def test_the_file_does_not_hold_the_cookie(tmp_path):
    with store_of(tmp_path) as store:
        cookie = store.join("anna")
    assert cookie.encode() not in (tmp_path / "ratings.sqlite").read_bytes()


def test_where_codes_are_given_out_no_other_is_taken(tmp_path):
    with store_of(tmp_path) as store:
        assert joined(store, "r-17", allowed=("R-17", "r-18")).code == "r-17"
        with pytest.raises(UsageError, match="'r-19' is not among the codes"):
            store.join("r-19", allowed=("R-17", "r-18"))


def test_names_that_look_like_sql_are_names(tmp_path):
    name = "x'); DROP TABLE answers;--"
    with store_of(tmp_path) as store:
        rater = joined(store, name)
        store.save(rater, answer_to(order_of(store, rater)[0]))
    assert read_rating_file(tmp_path / "ratings.sqlite")["rater_id"].tolist() == [name]


# ---- answers


def test_an_answer_is_found_again_and_the_next_clip_comes(tmp_path):
    with store_of(tmp_path) as store:
        rater = joined(store, "anna")
        assert store.next_position(rater) == 1
        answer = answer_to(order_of(store, rater)[0])
        assert store.save(rater, answer)
        assert store.next_position(rater) == 2
    with store_of(tmp_path) as store:
        rater = joined(store, "anna")
        assert (rater.n_done, rater.n_clips) == (1, 3)
        assert store.next_position(rater) == 2
        assert store.place(rater, 1).answer == answer
        assert store.place(rater, 4) is None


def test_a_correction_counts_and_what_was_said_before_stays(tmp_path):
    with store_of(tmp_path) as store:
        rater = joined(store, "anna")
        token = order_of(store, rater)[0]
        store.save(rater, answer_to(token, {"mi": 1.0, "ta": 1.0}))
        # What has been heard need not be heard again.
        store.save(
            rater, answer_to(token, {"mi": 5.0, "ta": 1.0}, listened_seconds=0.0)
        )
    table = read_rating_file(tmp_path / "ratings.sqlite")
    assert table[["mi", "n_answers"]].to_numpy().tolist() == [[5.0, 2]]
    history = read_history(tmp_path / "ratings.sqlite")
    assert history["mi"].tolist() == [1.0, 5.0]


def test_an_answer_that_is_sent_twice_counts_once(tmp_path):
    with store_of(tmp_path) as store:
        rater = joined(store, "anna")
        answer = answer_to(order_of(store, rater)[0])
        assert store.save(rater, answer)
        assert not store.save(rater, answer)
    assert len(read_history(tmp_path / "ratings.sqlite")) == 1


def test_another_answer_under_the_same_number_is_refused(tmp_path):
    with store_of(tmp_path) as store:
        rater = joined(store, "anna")
        tokens = order_of(store, rater)
        answer = answer_to(tokens[0], submission="0" * 32)
        store.save(rater, answer)
        others = (
            (rater, answer_to(tokens[0], {"mi": 1.0, "ta": 1.0}, submission="0" * 32)),
            (rater, answer_to(tokens[1], submission="0" * 32)),
            (joined(store, "bob"), answer),
        )
        for who, other in others:
            with pytest.raises(UsageError, match="Another answer was sent"):
                store.save(who, other)


def test_clips_that_are_not_the_raters_are_refused(tmp_path):
    with store_of(tmp_path, n=4, clips_per_rater=2) as store:
        anna = joined(store, "anna")
        others = set(store.clips) - set(order_of(store, anna))
        for token in (*others, "", "0" * 24, "' OR 1=1 --"):
            assert not store.has(anna, token)
            with pytest.raises(UsageError, match="not one of yours"):
                store.save(anna, answer_to(token))


def test_a_refused_answer_leaves_nothing_behind(tmp_path):
    with store_of(tmp_path) as store:
        rater = joined(store, "anna")
        token = order_of(store, rater)[0]
        with pytest.raises(UsageError, match="no rating"):
            store.save(rater, answer_to(token, {"mi": 6.0, "ta": 1.0}))
        with pytest.raises(UsageError, match="Listen first"):
            store.save(rater, answer_to(token, listened_seconds=SECONDS - 0.3))
        assert store.next_position(rater) == 1
    assert len(read_history(tmp_path / "ratings.sqlite")) == 0


def test_raters_at_the_same_time_lose_nothing(tmp_path):
    with store_of(tmp_path, n=4) as store:

        def rate(name):
            rater = joined(store, name)
            for token in order_of(store, rater):
                store.save(rater, answer_to(token))

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(rate, [f"r{n}" for n in range(8)]))
    table = read_rating_file(tmp_path / "ratings.sqlite")
    assert len(table) == 32
    assert not table.duplicated(["rater_id", "clip_id"]).any()


# ---- the file


def test_what_is_acknowledged_survives_a_killed_server(tmp_path):
    write_plan(tmp_path, 8)
    code = f"""
import os, signal
from pathlib import Path
from listening_pages import answer_to, store_of
with store_of(Path({str(tmp_path)!r}), n=8) as store:
    rater = store.rater(store.join("anna"))
    for position in range(1, 6):
        token = store.place(rater, position).token
        store.save(rater, answer_to(token))
        print(token, flush=True)
    # Killed amid the next one.
    from ensemble.server.rating.rating_file import writing
    with writing(store.path) as connection:
        connection.execute("DELETE FROM ratings")
        os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=100,
        # Where the helpers of tests are, which pytest alone knows otherwise.
        env=os.environ | {"PYTHONPATH": str(ROOT / "tests")},
    )
    assert done.returncode == -9, done.stderr
    told = done.stdout.split()
    assert len(told) == 5
    with store_of(tmp_path, n=8) as store:
        rater = joined(store, "anna")
        assert store.next_position(rater) == 6
        assert order_of(store, rater)[:5] == told
    table = read_rating_file(tmp_path / "ratings.sqlite")
    assert table["mi"].tolist() == [4.0] * 5


def test_half_of_a_journal_is_rolled_back_by_who_reads_next(tmp_path):
    """A crash after pages were written leaves a hot journal beside the file."""
    with store_of(tmp_path) as store:
        rater = joined(store, "anna")
        store.save(rater, answer_to(order_of(store, rater)[0]))
    code = f"""
import os, signal, sqlite3
connection = sqlite3.connect({str(tmp_path / "ratings.sqlite")!r}, isolation_level=None)
connection.execute("PRAGMA cache_size = 1")
connection.execute("BEGIN IMMEDIATE")
connection.execute("DELETE FROM ratings")
for n in range(2000):
    connection.execute("INSERT INTO facts VALUES (?, ?)", (str(n), "x" * 1000))
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code], timeout=100, check=False)
    assert (tmp_path / "ratings.sqlite-journal").exists()
    assert read_rating_file(tmp_path / "ratings.sqlite")["mi"].tolist() == [4.0]


def test_a_second_server_is_refused(tmp_path):
    with (
        store_of(tmp_path) as store,
        pytest.raises(UsageError, match="Another server keeps ratings in"),
    ):
        RatingStore(store.path, store.design, list(store.clips.values()))
    with store_of(tmp_path):
        assert len(read_rating_file(tmp_path / "ratings.sqlite")) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": "0-100"}, r"test whose scale are \[1.0, 5.0\]"),
        ({"aspects": ("mi",)}, "test whose aspects are"),
    ],
)
def test_a_file_of_another_test_is_refused(tmp_path, options, message):
    with store_of(tmp_path):
        pass
    with pytest.raises(UsageError, match=message), store_of(tmp_path, **options):
        pass


def test_a_file_of_other_clips_or_other_audio_is_refused(tmp_path):
    plan = write_plan(tmp_path)
    clips = clips_of(plan)
    file = tmp_path / "ratings.sqlite"
    RatingStore(file, design(), clips).close()
    with pytest.raises(UsageError, match="ratings of other clips"):
        RatingStore(file, design(), clips[:2])
    (tmp_path / "secret-oldest-0.wav").write_bytes(
        (tmp_path / "secret-newest-1.wav").read_bytes()
    )
    with pytest.raises(UsageError, match="audio or the prompt of 'secret-oldest-0'"):
        RatingStore(file, design(), clips_of(plan))


def test_a_system_that_was_corrected_in_the_plan_is_the_one_exported(tmp_path):
    clips = clips_of(write_plan(tmp_path))
    with store_of(tmp_path) as store:
        rater = joined(store, "anna")
        store.save(rater, answer_to(order_of(store, rater)[0]))
    corrected = [replace(clip, system_id="right") for clip in clips]
    RatingStore(store.path, design(), corrected).close()
    assert read_rating_file(store.path)["system_id"].tolist() == ["right"]


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM facts",
        "UPDATE facts SET value = 'null'",
        "UPDATE facts SET value = '{'",
        "UPDATE facts SET value = '[1]'",
        "UPDATE ratings SET rating = 'loud'",
        "UPDATE answers SET listened_seconds = 'x'",
        "CREATE VIEW more AS SELECT 1",
        "CREATE TRIGGER t AFTER INSERT ON answers BEGIN DELETE FROM answers; END",
    ],
)
def test_a_file_that_another_program_changed_is_refused_in_words(tmp_path, change):
    with store_of(tmp_path) as store:
        rater = joined(store, "anna")
        store.save(rater, answer_to(order_of(store, rater)[0]))
    with contextlib.closing(sqlite3.connect(store.path)) as connection:
        connection.execute(change)
        connection.commit()
    for read in (read_rating_file, read_history):
        with pytest.raises(UsageError, match="a copy"):
            read(store.path)


def _text(path):
    path.write_text("rater,clip,rating\n" * 100)


def _other_database(path):
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE cookies (name)")
    connection.close()


def _newer(path):
    with writing(path) as connection:
        connection.execute(f"PRAGMA application_id = {0x4D4F5331}")
        connection.execute("PRAGMA user_version = 9")
        connection.execute("CREATE TABLE facts (name)")


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (_text, "not a database"),
        (_other_database, "database of something else"),
        (_newer, "version 9 of files of ratings"),
    ],
)
def test_what_is_no_file_of_ratings_is_left_alone(tmp_path, write, message):
    file = tmp_path / "ratings.sqlite"
    write(file)
    before = file.read_bytes()
    with pytest.raises(UsageError, match=message), store_of(tmp_path):
        pass
    with pytest.raises(UsageError, match=message):
        read_rating_file(file)
    assert file.read_bytes() == before


def test_a_missing_file_or_folder_is_named(tmp_path):
    with pytest.raises(UsageError, match="no file of ratings"):
        read_rating_file(tmp_path / "ratings.sqlite")
    with pytest.raises(UsageError, match="no folder"):
        RatingStore(tmp_path / "absent" / "r.sqlite", design(), [])


def test_who_reads_cannot_write(tmp_path):
    with (
        store_of(tmp_path) as store,
        reading(store.path) as connection,
        pytest.raises(sqlite3.OperationalError, match="readonly"),
    ):
        connection.execute("DELETE FROM clips")
