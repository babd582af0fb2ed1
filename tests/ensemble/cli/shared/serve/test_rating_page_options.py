"""The options of a listening test say what is rated, or are refused with words."""

import contextlib
import json
import math
from pathlib import Path

import pandas as pd
import pytest
from commands import call
from listening_pages import PROMPTS, answer_to, store_of, write_plan

from base_models.clips.ratings import read_ratings
from base_models.clips.read_clips import read_clips
from base_models.errors import UsageError
from base_models.scales import Scale
from ensemble.cli.serve_mos import _parser
from ensemble.cli.shared.serve.rating_page_options import rating_settings


@pytest.fixture
def plan(tmp_path, monkeypatch):
    """A table of three clips, in the folder in which the command is called."""
    monkeypatch.chdir(tmp_path)
    return write_plan(tmp_path)


@contextlib.contextmanager
def settings_of(*words):
    with contextlib.closing(rating_settings(_parser().parse_args(words))) as settings:
        yield settings


def test_a_plan_is_rated_on_five_points_and_to_the_end(plan, tmp_path):
    with settings_of("--rate", "plan.csv") as settings:
        store = settings.store
        assert [each.name for each in store.design.aspects] == ["mi", "ta"]
        assert store.design.scale.ends == Scale(1, 5)
        assert math.isinf(store.design.listen_seconds)
        assert len(store.clips) == 3
        assert settings.raters == ()
        assert store.path.resolve() == tmp_path / "ratings.sqlite"


def test_a_folder_of_audio_is_rated_without_prompts(plan):
    plan.unlink()
    with settings_of("--rate", ".", "--ratings-db", "x.sqlite") as settings:
        assert len(settings.store.clips) == 3
        assert [each.name for each in settings.store.design.aspects] == ["mi"]


def test_everything_can_be_said_otherwise(plan, tmp_path):
    (tmp_path / "words.txt").write_text("First.\r\n\r\nSecond.")
    (tmp_path / "codes.txt").write_text("r-1\n\nr-2\n")
    words = (
        *("--rate", "plan.csv", "--aspects", "mi", "groove"),
        *("--question", "groove=Does it groove = swing?", "--scale", "0-10"),
        *("--scale-step", "0.5", "--scale-labels", "none", "all", "--listen", "0.3"),
        *("--raters", "codes.txt", "--clips-per-rater", "2", "--seed", "7"),
        *("--instructions", "words.txt"),
    )
    with settings_of(*words) as settings:
        design = settings.store.design
        assert design.aspects[1].question == "Does it groove = swing?"
        assert design.scale.n_points == 21
        assert design.scale.labels == ("none", "all")
        assert (design.listen_seconds, design.clips_per_rater, design.seed) == (
            0.3,
            2,
            7,
        )
        assert design.instructions == "First.\n\nSecond."
        assert settings.raters == ("r-1", "r-2")


def test_without_rate_there_is_no_rating_page(plan):
    assert rating_settings(_parser().parse_args([])) is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--raters", "anna"), "--raters: only with --rate"),
        (("--scale", "0-10", "--seed", "1"), "--scale, --seed: only with --rate"),
        (("--columns", "id=x"), "--columns is about a table of clips"),
        (("-o", "x.csv"), "are of --export-ratings"),
        (("--history",), "are of --export-ratings"),
        (("--rate", "absent.csv"), "There is no 'absent.csv' to rate"),
        (("--rate", "plan.csv", "--listen", "most"), "--listen is a number of seconds"),
        (("--rate", "plan.csv", "--listen", "-1"), "--listen is a number of seconds"),
        (("--rate", "plan.csv", "--scale", "good"), "'good' is no scale"),
        (("--rate", "plan.csv", "--scale-step", "3"), "does not divide"),
        (("--rate", "plan.csv", "--scale-labels", "a", "b", "c"), "3 labels"),
        (("--rate", "plan.csv", "--question", "x=y"), "form ASPECT=TEXT"),
        (("--rate", "plan.csv", "--question", "mi="), "form ASPECT=TEXT"),
        (("--rate", "plan.csv", "--raters", "=x"), "starts with a letter"),
        (("--rate", "plan.csv", "--clips-per-rater", "0"), "one clip or more"),
        (("--rate", "plan.csv", "--instructions", "absent"), "cannot be read"),
        (("--rate", "plan.csv", "--instructions", "a.wav"), "not UTF-8 text"),
        (("--rate", "plan.csv", "--ratings-db", "no/x.sqlite"), "no folder 'no'"),
        (("--rate", "plan.csv", "--ratings-db", "plan.csv"), "not a database"),
    ],
)
def test_what_cannot_be_is_refused_with_words(plan, tmp_path, words, message):
    (tmp_path / "a.wav").write_bytes((tmp_path / "secret-oldest-0.wav").read_bytes())
    with pytest.raises(UsageError, match=message):
        rating_settings(_parser().parse_args(words))


def test_text_is_not_asked_about_where_no_clip_has_a_prompt(plan, tmp_path):
    table = pd.read_csv(plan).drop(columns="prompt")
    table.to_csv(plan, index=False)
    with pytest.raises(UsageError, match="'ta' is judged against the prompt"):
        rating_settings(_parser().parse_args(["--rate", "plan.csv", "--aspects", "ta"]))


def test_clips_that_cannot_be_played_are_set_aside_by_name(plan, tmp_path, capsys):
    (tmp_path / "secret-oldest-0.wav").write_bytes(b"RIFF")
    with settings_of("--rate", "plan.csv") as settings:
        assert len(settings.store.clips) == 2
    assert "1 clip set aside:\n  secret-oldest-0: " in capsys.readouterr().err


def test_where_no_clip_can_be_played_nothing_is_served(plan, tmp_path):
    for file in tmp_path.glob("*.wav"):
        file.write_bytes(b"RIFF")
    with pytest.raises(UsageError, match="There is no clip to rate: "):
        rating_settings(_parser().parse_args(["--rate", "plan.csv"]))


# ---- the ratings as a table


def rate_two(folder, scale="1-5", ratings=None):
    with store_of(folder, scale=scale) as store:
        for code in ("anna", "bob"):
            rater = store.rater(store.join(code))
            store.save(rater, answer_to(store.place(rater, 1).token, ratings))
            corrected = answer_to(store.place(rater, 1).token, ratings)
            store.save(rater, corrected)


def test_ratings_are_exported_as_other_commands_read_them(tmp_path):
    rate_two(tmp_path)
    file = tmp_path / "ratings.sqlite"
    code, out, err = call(
        "serve_mos",
        *("--export-ratings", file, "-o", tmp_path / "ratings.csv"),
        *("--json", tmp_path / "facts.json"),
    )
    assert (code, out) == (0, "")
    assert "2 answers of 2 raters to " in err
    ratings = read_ratings(tmp_path / "ratings.csv")
    assert ratings["rater_id"].tolist() == ["anna", "bob"]
    assert ratings[["mi", "ta"]].to_numpy().tolist() == [[4, 2], [4, 2]]
    facts = json.loads((tmp_path / "facts.json").read_text())
    assert (facts["answers"], facts["raters"]) == (2, 2)


def test_ratings_are_a_clip_table_with_audio_too(tmp_path):
    rate_two(tmp_path)
    table = tmp_path / "elsewhere" / "ratings.csv"
    table.parent.mkdir()
    call("serve_mos", "--export-ratings", tmp_path / "ratings.sqlite", "-o", table)
    clips = read_clips(table)
    assert clips["mi"].tolist() == [4.0] * len(clips)
    assert all(Path(audio).is_file() for audio in clips["audio"])
    assert set(clips["prompt"]) <= set(PROMPTS)
    assert set(clips["system_id"]) <= {"oldest", "newest"}


def test_every_answer_can_be_had_and_as_csv_on_standard_output(tmp_path):
    rate_two(tmp_path)
    file = tmp_path / "ratings.sqlite"
    code, out, _ = call("serve_mos", "--export-ratings", file, "--history")
    assert code == 0
    assert len(out.splitlines()) == 5
    _, out, _ = call("serve_mos", "--export-ratings", file)
    assert len(out.splitlines()) == 3


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_another_scale_is_named_in_the_table_and_read_there(tmp_path, suffix):
    rate_two(tmp_path, scale="0-100", ratings={"mi": 75.0, "ta": 0.0})
    table = tmp_path / f"ratings{suffix}"
    code, _, err = call(
        "serve_mos", "--export-ratings", tmp_path / "ratings.sqlite", "-o", table
    )
    assert code == 0, err
    ratings = read_ratings(table)
    assert ratings[["mi", "ta"]].to_numpy().tolist() == [[4, 1], [4, 1]]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--export-ratings", "absent.sqlite"), "no file of ratings"),
        (("--export-ratings", "plan.csv"), "cannot be read as a file of ratings"),
        (("--export-ratings", "x.sqlite", "--rate", "plan.csv"), "leave out --rate"),
        (("--export-ratings", "plan.csv", "-o", "plan.csv"), "would write over"),
    ],
)
def test_an_export_that_cannot_be_is_refused(plan, words, message):
    code, _, err = call("serve_mos", *words)
    assert code == 2
    assert message in err


def test_a_file_without_answers_is_said(tmp_path):
    with store_of(tmp_path):
        pass
    code, _, err = call("serve_mos", "--export-ratings", tmp_path / "ratings.sqlite")
    assert code == 2
    assert "holds no ratings yet" in err
