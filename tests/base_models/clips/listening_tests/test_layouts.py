"""Whatever its layout, a listening test is read as the ratings that were given."""

import csv
import json

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, given, settings

from base_models.clips.listening_tests.rating_options import LAYOUTS, RatingOptions
from base_models.clips.listening_tests.read_listening_test import read_listening_test
from base_models.clips.ratings import find_ratings, rated_columns, read_ratings
from base_models.clips.read_clips import read_clips
from base_models.errors import UsageError

CLIPS = ["a__x", "a__y", "b__x", "b__y"]
RATERS = ["R1", "R2", "R3"]
RATINGS = {
    (clip, rater): 1 + (2 * row + column) % 5
    for row, clip in enumerate(CLIPS)
    for column, rater in enumerate(RATERS)
}


def rows_of(ratings):
    return [(clip, rater, value) for (clip, rater), value in ratings.items()]


def write_csv(path, names, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([names, *rows])
    return path


def long(folder, ratings):
    names = ["clip_id", "rater_id", "rating"]
    return write_csv(folder / "long.csv", names, rows_of(ratings))


def song_user(folder, ratings):
    names = ["SONG_ID", "USER_ID", "Rating (1-5)"]
    return write_csv(folder / "songs.csv", names, rows_of(ratings))


def conditions(folder, ratings):
    rows = [
        (rater, *clip.split("__"), value) for clip, rater, value in rows_of(ratings)
    ]
    names = ["Participant", "Stimulus", "Condition", "Score"]
    return write_csv(folder / "conditions.csv", names, rows)


def columns(folder, ratings):
    raters = sorted({rater for _, rater in ratings})
    clips = dict.fromkeys(clip for clip, _ in ratings)
    rows = [[c, *(ratings.get((c, r), "") for r in raters)] for c in clips]
    return write_csv(folder / "columns.csv", ["clip_id", *raters], rows)


def rows(folder, ratings):
    raters = sorted({rater for _, rater in ratings})
    clips = list(dict.fromkeys(clip for clip, _ in ratings))
    cells = [[r, *(ratings.get((c, r), "") for c in clips)] for r in raters]
    names = ["ResponseId", *(f"{clip}.wav" for clip in clips)]
    return write_csv(folder / "rows.csv", names, cells)


def qualtrics(folder, ratings):
    raters = sorted({rater for _, rater in ratings})
    clips = list(dict.fromkeys(clip for clip, _ in ratings))
    cells = [
        ["Start Date", "Response ID", *(f"How good is {c}.wav?" for c in clips)],
        ['{"ImportId":"startDate"}', '{"ImportId":"_recordId"}']
        + [f'{{"ImportId":"QID{k}"}}' for k in range(len(clips))],
        *(["2026-01-01", r, *(ratings.get((c, r), "") for c in clips)] for r in raters),
    ]
    names = ["StartDate", "ResponseId", *(f"Q{k}" for k in range(len(clips)))]
    return write_csv(folder / "qualtrics.csv", names, cells)


def webmushra(folder, ratings):
    rows = [
        ["t", "a@b.c", rater, *clip.split("__"), value, 1000, ""]
        for clip, rater, value in rows_of(ratings)
    ]
    names = ["session_test_id", "email", "session_uuid", "trial_id", "rating_stimulus"]
    names += ["rating_score", "rating_time", "rating_comment"]
    return write_csv(folder / "mushra.csv", names, rows)


def beaqlejs(folder, ratings):
    place = folder / "beaqle"
    place.mkdir(exist_ok=True)
    for rater in sorted({rater for _, rater in ratings}):
        tests = {}
        for clip, who, value in rows_of(ratings):
            if who == rater:
                test, label = clip.split("__")
                tests.setdefault(test, {})[label] = value
        records = [{"TestID": t, "Runtime": 9, "rating": r} for t, r in tests.items()]
        records.append({"UserName": "x", "UserComment": ""})
        (place / f"{rater}.txt").write_text(json.dumps(records))
    return place


def annotations(folder, ratings):
    songs = {}
    for clip, rater, value in rows_of(ratings):
        one = {"annotator_id": rater, "Coherence": value}
        songs.setdefault(clip, []).append(one)
    path = folder / "songs.json"
    records = [{"file_name": f"{c}.wav", "annotation": x} for c, x in songs.items()]
    path.write_text(json.dumps(records))
    return path


LAYOUT_OF = {
    long: "long",
    song_user: "long",
    conditions: "long",
    columns: "raters-in-columns",
    rows: "raters-in-rows",
    qualtrics: "raters-in-rows",
    webmushra: "webmushra",
    beaqlejs: "beaqlejs",
    annotations: "annotations",
}


def as_read(path):
    aspects = rated_columns(path)
    ratings = read_ratings(path, aspects, bins=None, columns=aspects)
    (aspect,) = aspects
    known = ratings.dropna(subset=[aspect])
    keys = zip(known["clip_id"], known["rater_id"], strict=True)
    return dict(zip(keys, known[aspect], strict=True))


@pytest.mark.parametrize("write", LAYOUT_OF, ids=lambda write: write.__name__)
def test_each_layout_is_recognised_and_read_back(write, tmp_path):
    path = write(tmp_path, RATINGS)
    test = read_listening_test(path)
    assert test is not None
    assert test.layout == LAYOUT_OF[write]
    assert test.notes[0].startswith(f"read as {LAYOUTS[test.layout]}: 3 raters, 12 ")
    assert "4 clips by 2 systems" in test.notes[0]
    assert as_read(path) == RATINGS
    assert find_ratings(path) == path


@pytest.mark.parametrize("write", LAYOUT_OF, ids=lambda write: write.__name__)
def test_each_layout_is_a_clip_table_of_means_and_no_rater_an_aspect(write, tmp_path):
    clips = read_clips(write(tmp_path, RATINGS)).set_index("clip_id")
    assert len(clips.attrs["aspects"]) == 1
    means = pd.Series(RATINGS).groupby(level=0).mean()
    labels = clips[clips.attrs["aspects"][0]]
    np.testing.assert_allclose(labels[means.index], means)
    assert clips.loc["a__y", "system_id"] == "y"


@pytest.mark.parametrize("write", LAYOUT_OF, ids=lambda write: write.__name__)
def test_a_layout_that_is_named_is_read_or_refused_by_name(write, tmp_path):
    path = write(tmp_path, RATINGS)
    own = LAYOUT_OF[write]
    forced = read_listening_test(path, RatingOptions(format=own))
    assert forced is not None
    assert forced.layout == own
    other = "voicemos" if own != "voicemos" else "long"
    if path.is_file():
        with pytest.raises(UsageError, match="expected system,utterance"):
            read_listening_test(path, RatingOptions(format=other))
    for name in ("webmushra", "votes", "lists"):
        if name != own:
            with pytest.raises(UsageError, match=str(path.name)):
                read_listening_test(path, RatingOptions(format=name))


NAMES = st.sampled_from([f"{c}__{s}" for c in "abc" for s in "xyz"])
MATRIX = st.dictionaries(
    st.tuples(NAMES, st.sampled_from(["R1", "R2", "R3", "R4"])),
    st.integers(1, 5),
    min_size=4,
)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(ratings=MATRIX, write=st.sampled_from(list(LAYOUT_OF)))
def test_any_ratings_that_are_written_and_named_are_read_back(ratings, write, tmp_path):
    # A single clip or rater makes no table with several columns of them.
    assume(all(len(set(names)) > 1 for names in zip(*ratings, strict=True)))
    path = write(tmp_path, ratings)
    if path.is_dir():
        for file in path.iterdir():
            if file.stem not in {rater for _, rater in ratings}:
                file.unlink()
    options = RatingOptions(format=LAYOUT_OF[write], anchors="keep")
    (aspect,) = rated_columns(path, options).values()
    frame = read_ratings(path, ["v"], bins=None, columns={"v": aspect}, options=options)
    frame = frame.dropna()
    keys = zip(frame["clip_id"], frame["rater_id"], strict=True)
    found = dict(zip(keys, frame["v"], strict=True))
    if write is conditions and set(found) != set(ratings):
        # Where nobody rated an item in two conditions, the item is the clip.
        found = {(clip, who): x for (clip, who), x in found.items()}
        ratings = {(clip.split("__")[0], who): x for (clip, who), x in ratings.items()}
    assert found == ratings


# ---- rows without raters, repeated ratings


def test_repeated_clips_without_raters_name_the_cure_and_it_works(tmp_path):
    path = write_csv(tmp_path / "r.csv", ["clip_id", "mos"], [("a", 4), ("a", 2)])
    with pytest.raises(UsageError, match=r"Duplicate clip ids.*--format long"):
        read_clips(path)
    clips = read_clips(path, options=RatingOptions(format="long"))
    assert clips["mos"].tolist() == [3.0]
    assert any("a rater of its own" in note for note in clips.attrs["notes"])


def test_a_rater_who_rates_a_clip_twice_is_refused_with_the_cure(tmp_path):
    names = ["clip_id", "rater", "mos"]
    path = write_csv(tmp_path / "r.csv", names, [("a", "r", 4), ("a", "r", 2)])
    with pytest.raises(UsageError, match=r"line 3: rater 'r' rates 'a' twice\."):
        read_clips(path)


def test_an_unknown_format_lists_the_legal_ones():
    with pytest.raises(UsageError, match=r"Unknown format 'webmusra'.*'webmushra'\?"):
        RatingOptions(format="webmusra")
    with pytest.raises(UsageError, match="Known: drop, keep"):
        RatingOptions(anchors="some")


def test_a_table_of_mean_ratings_is_no_listening_test(tmp_path):
    names = ["clip_id", "mos", "rater_1", "rater_2"]
    path = write_csv(tmp_path / "m.csv", names, [("a", 3, 2, 4), ("b", 4, 4, 4)])
    assert read_listening_test(path) is None
    assert read_clips(path).attrs["aspects"] == ["mos"]
    assert read_listening_test(path, RatingOptions(format="clips")) is None
    forced = read_clips(path, options=RatingOptions(format="raters-in-columns"))
    assert forced.attrs["aspects"] == ["rating"]


def test_columns_of_raters_may_name_aspects(tmp_path):
    names = ["audio", "mi (rater 1)", "mi (rater 2)", "ta (rater 1)", "ta (rater 2)"]
    path = write_csv(tmp_path / "m.csv", names, [("a.wav", 1, 3, 5, "")])
    clips = read_clips(path)
    assert clips.attrs["aspects"] == ["mi", "ta"]
    assert clips[["mi", "ta"]].to_numpy().tolist() == [[2, 5]]


# ---- VoiceMOS


def test_a_list_of_listeners_is_read_with_its_systems(tmp_path):
    (tmp_path / "sets").mkdir()
    (tmp_path / "wav").mkdir()
    (tmp_path / "wav" / "sysA-utt1.wav").write_bytes(b"")
    path = tmp_path / "sets" / "TRAINSET"
    path.write_text(
        "sysA,sysA-utt1.wav,4,_,{}_L1_30-39\nsysA,sysA-utt1.wav,2,_,{}_L2_20-29\n"
        "sysB,sysB-utt1.wav,5,_,{}_L1_30-39\n"
    )
    clips = read_clips(path)
    assert clips["system_id"].tolist() == ["sysA", "sysB"]
    assert clips["mos"].tolist() == [3.0, 5.0]
    assert clips["audio"].tolist()[0].endswith("wav/sysA-utt1.wav")
    path.write_text("sysA,sysA-utt1.wav,4,_,L1\nsysA;sysA-utt1.wav\n")
    with pytest.raises(UsageError, match="line 2: expected system,utterance"):
        read_clips(path)


def test_systems_of_voicemos_ids_are_read(tmp_path):
    names = ["clip_id", "mos"]
    path = write_csv(tmp_path / "l.csv", names, [("sys1-uttA", 3), ("sys2-uttA", 4)])
    assert read_clips(path)["system_id"].tolist() == ["sys1", "sys2"]


# ---- BeaqleJS and annotations that are broken


def test_broken_results_of_a_rater_are_named(tmp_path):
    path = beaqlejs(tmp_path, RATINGS)
    (path / "R9.txt").write_text('[{"TestID": "a", "rating": {"x": 3}')
    with pytest.raises(UsageError, match=r"R9\.txt"):
        read_listening_test(path)
    (path / "R9.txt").write_text('["TestID"]')
    with pytest.raises(UsageError, match="expected test sets"):
        read_listening_test(path)


def test_a_cell_that_lists_no_annotations_is_named(tmp_path):
    path = tmp_path / "s.jsonl"
    good = {"clip_id": "a", "annotation": [{"Coherence": 3}]}
    bad = {"clip_id": "b", "annotation": [3]}
    path.write_text(f"{json.dumps(good)}\n{json.dumps(bad)}\n")
    with pytest.raises(UsageError, match=r"line 2: annotation is '\[3\]'"):
        read_listening_test(path)
