"""webMUSHRA: results with their configuration, and configurations that do harm."""

import csv

import pytest
import yaml

from base_models.clips.listening_tests.layouts.webmushra_config import (
    MAX_CHARACTERS,
    read_configuration,
)
from base_models.clips.listening_tests.rating_options import RatingOptions
from base_models.clips.listening_tests.read_listening_test import read_listening_test
from base_models.clips.ratings import read_ratings
from base_models.clips.read_clips import read_clips
from base_models.errors import UsageError

HEAD = ["session_test_id", "email", "session_uuid"]
MUSHRA = [
    "trial_id",
    "rating_stimulus",
    "rating_score",
    "rating_time",
    "rating_comment",
]
STIMULI = {"reference": 98, "anchor35": 10, "anchor70": 30, "C1": 70, "C2": 40}


def results(folder, names, rows):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "mushra.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([names, *rows])
    return path


def tree(folder, raters=("u1", "u2"), trials=("t1", "t2"), test="My Test"):
    """A folder of webMUSHRA with a configuration and the results of a test."""
    (folder / "configs").mkdir(parents=True)
    (folder / "audio").mkdir()
    pages = [
        {
            "type": "mushra",
            "id": trial,
            "reference": f"audio/{trial}_ref.wav",
            "stimuli": {name: f"audio/{trial}_{name}.wav" for name in ("C1", "C2")},
        }
        for trial in trials
    ]
    for page in pages:
        for file in (page["reference"], *page["stimuli"].values()):
            (folder / file).write_bytes(b"")
    content = {"testId": test, "pages": [{"type": "generic"}, ["random", *pages]]}
    (folder / "configs" / "mine.yaml").write_text(yaml.safe_dump(content))
    other = {"testId": "other", "pages": pages}
    (folder / "configs" / "default.yaml").write_text(yaml.safe_dump(other))
    rows = [
        ["my-test", "a@b.c", rater, trial, stimulus, score + row, 41234, ""]
        for row, rater in enumerate(raters)
        for trial in trials
        for stimulus, score in STIMULI.items()
    ]
    return results(folder / "results" / "my-test", [*HEAD, *MUSHRA], rows)


def test_a_test_is_read_with_its_audio_and_without_its_anchors(tmp_path):
    clips = read_clips(tree(tmp_path))
    assert clips["clip_id"].tolist() == ["t1__C1", "t1__C2", "t2__C1", "t2__C2"]
    assert clips["system_id"].tolist() == ["C1", "C2", "C1", "C2"]
    assert clips["content_id"].tolist() == ["t1", "t1", "t2", "t2"]
    assert clips["mushra"].tolist() == [70.5, 40.5, 70.5, 40.5]
    assert clips.attrs["scales"] == {"mushra": [0, 100]}
    assert clips["audio"][0] == str(tmp_path / "audio" / "t1_C1.wav")
    notes = " | ".join(clips.attrs["notes"])
    assert "read as a webMUSHRA export: 2 raters, 20 ratings of 10 clips" in notes
    assert "mine.yaml, which names none for 'anchor35', 'anchor70'" in notes
    assert "'anchor70' (mid-range anchor), 12 ratings" in notes


def test_anchors_are_kept_on_demand_with_the_reference_file(tmp_path):
    clips = read_clips(tree(tmp_path), options=RatingOptions(anchors="keep"))
    assert clips["system_id"].nunique() == 5
    reference = clips.set_index("clip_id").loc["t1__reference"]
    assert reference["audio"].endswith("t1_ref.wav")
    assert reference["mushra"] == 98.5


def test_sessions_without_ids_are_told_apart_by_answers_and_repeats(tmp_path):
    rows = [
        ["t", who, "t1", stimulus, score]
        for who in ("a", "a", "b")
        for stimulus, score in (("C1", 50), ("C2", 60))
    ]
    names = ["session_test_id", "name", *MUSHRA[:3]]
    path = results(tmp_path, names, rows)
    ratings = read_ratings(path, ["mushra"], bins=None)
    assert ratings["rater_id"].nunique() == 3
    assert len(ratings) == 6


def test_training_pages_are_left_out_and_said(tmp_path):
    rows = [["t", "", "u", t, "C1", 50, 1, ""] for t in ("training", "t1")]
    test = read_listening_test(results(tmp_path, [*HEAD, *MUSHRA], rows))
    assert test.table.columns["clip_id"] == ["t1__C1"]
    assert any("1 ratings of training pages ('training')" in n for n in test.notes)


def test_other_pages_are_read_or_named(tmp_path):
    likert = ["trial_id", "stimuli_rating", "stimuli", "rating_time"]
    path = results(tmp_path, [*HEAD, *likert], [["t", "", "u", "t1", " 4 ", "C1", 1]])
    assert read_clips(path)["rating"].tolist() == [4.0]
    bs1116 = ["trial_id", "rating_reference", "rating_non_reference"]
    bs1116 += ["rating_reference_score", "rating_non_reference_score"]
    row = ["t", "", "u", "t1", "reference", "C1", 5.0, 3.2]
    path = results(tmp_path, [*HEAD, *bs1116], [row])
    assert read_clips(path)["impairment"].tolist() == [3.2]
    pairs = ["trial_id", "choice_reference", "choice_non_reference", "choice_answer"]
    path = results(tmp_path, [*HEAD, *pairs], [["t", "", "u", "t1", "a", "b", "a"]])
    with pytest.raises(UsageError, match=r"no ratings that can.*a, b and winner"):
        read_clips(path)


# ---- configurations


def test_two_configurations_that_differ_are_not_chosen_between(tmp_path):
    path = tree(tmp_path)
    page = {"id": "t1", "stimuli": {"C1": "else.wav"}}
    second = yaml.safe_dump({"testId": "my test", "pages": [page]})
    (tmp_path / "configs" / "second.yaml").write_text(second)
    with pytest.raises(UsageError, match="name different audio files"):
        read_clips(path)


def test_without_a_configuration_audio_is_looked_for_beside_the_results(tmp_path):
    path = tree(tmp_path, test="another")
    (path.parent / "wav").mkdir()
    (path.parent / "wav" / "t1__C1.wav").write_bytes(b"")
    clips = read_clips(path)
    assert clips["audio"][0] == str(path.parent / "wav" / "t1__C1.wav")
    assert any("no configuration" in note for note in clips.attrs["notes"])


HOSTILE = {
    "object": ("!!python/object/apply:os.system ['true']", "no YAML of plain data"),
    "laughs": ("a: &a [x, x]\nb: &b [*a, *a]\npages: [*b, *b]", "aliases of YAML"),
    "deep": ("pages: " + "[" * 60 + "]" * 60, "nested more than"),
    "deeper": ("pages: " + "[" * 20_000, "nested more than"),
    "broken": ("pages: [", "no YAML of plain data"),
    "time": ("testId: 2026-99-99", "no YAML of plain data"),
    "long": ("#" * (MAX_CHARACTERS + 1), "has at most"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_configuration_is_refused_in_one_line(kind, tmp_path):
    text, message = HOSTILE[kind]
    file = tmp_path / "c.yaml"
    file.write_text(text)
    with pytest.raises(UsageError, match=message) as caught:
        read_configuration(file)
    assert len(str(caught.value)) < 500
    assert "\n" not in str(caught.value)


def test_what_is_no_configuration_names_nothing(tmp_path):
    file = tmp_path / "c.yaml"
    for text in ("[1, 2]", "a: 1", "pages: 3", "pages: [{id: a, stimuli: [1]}]"):
        file.write_text(text)
        assert read_configuration(file)[1] == {}
