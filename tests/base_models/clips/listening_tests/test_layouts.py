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
    with pytest.raises(UsageError, match=r"clip id stands twice.*--format long"):
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


# ---- scales, systems and audio that a table does not spell out


@pytest.mark.parametrize(
    ("column", "cells", "scale"),
    [
        ("mushra", [20, 80], [0, 100]),
        ("MUSHRA score", [20, 80], [0, 100]),
        ("rating (0-100)", [20, 80], [0, 100]),
        ("Score [0..10]", [2, 8], [0, 10]),
        ("mushra", [2, 4], None),
        ("mos", [2, 4], None),
    ],
)
def test_a_scale_that_the_column_states_is_declared(column, cells, scale, tmp_path):
    names = ["clip_id", "rater_id", column]
    rows = [(clip, "R1", cell) for clip, cell in zip("ab", cells, strict=True)]
    path = write_csv(tmp_path / "r.csv", names, [*rows, *(("a", "R2", cells[0]),)])
    clips = read_clips(path)
    (aspect,) = clips.attrs["aspects"]
    assert clips.attrs.get("scales", {}).get(aspect) == scale
    assert clips[aspect].tolist() == cells
    # Who declares a scale is believed.
    declared = read_clips(path, scales=(0, 200))
    assert declared.attrs["scales"][aspect] == [0, 200]
    # Named for the ratings, the scale is that of the means no longer.
    mapped = read_clips(path, rating_scale=(0, 200))
    assert mapped[aspect][0] == pytest.approx(1 + 4 * cells[0] / 200)


def test_ids_name_systems_only_where_contents_and_systems_cross(tmp_path):
    crossed = write_csv(
        tmp_path / "c.csv", ["clip_id", "rater_id", "mos"], rows_of(RATINGS)
    )
    assert read_clips(crossed)["system_id"].tolist() == ["x", "y", "x", "y"]
    ratings = {("a__1", "R"): 3, ("b__2", "R"): 4, ("a__1", "S"): 3}
    single = write_csv(
        tmp_path / "s.csv", ["clip_id", "rater_id", "mos"], rows_of(ratings)
    )
    assert read_clips(single)["system_id"].tolist() == ["", ""]


def test_audio_lies_beside_the_table_under_the_ids_of_clips(tmp_path):
    path = long(tmp_path, RATINGS)
    (tmp_path / "wav").mkdir()
    (tmp_path / "wav" / "a__x.wav").write_bytes(b"")
    (tmp_path / "a__y.flac").write_bytes(b"")
    (tmp_path / "b__x.txt").write_bytes(b"")
    audio = read_clips(path).set_index("clip_id")["audio"]
    assert audio["a__x"] == str(tmp_path / "wav" / "a__x.wav")
    assert audio["a__y"] == str(tmp_path / "a__y.flac")
    assert audio["b__x"] == ""


def test_single_ratings_beside_a_clip_table_say_their_scale(tmp_path):
    clips = write_csv(tmp_path / "c.csv", ["clip_id"], [("a",), ("b",)])
    rows = [("a", "R", 20), ("a", "S", 40), ("b", "R", 100)]
    names = ["clip_id", "rater_id", "mushra"]
    ratings = write_csv(tmp_path / "r.csv", names, rows)
    table = read_clips(clips, ratings=ratings)
    assert table["mushra"].tolist() == [30, 100]
    assert table.attrs["scales"] == {"mushra": [0, 100]}
    assert any("read as" in note for note in table.attrs["notes"])
    on_labels = read_ratings(ratings, ["mushra"])
    assert on_labels["mushra"].tolist() == pytest.approx([1.8, 2.6, 5.0])


def test_a_table_to_be_scored_keeps_its_references(tmp_path):
    ratings = {(f"{c}__{s}", "R"): 3 for c in "ab" for s in ("reference", "x")}
    path = long(tmp_path, {**ratings, ("a__x", "S"): 2})
    assert len(read_clips(path, labels=False)) == 4
    assert len(read_clips(path)) == 2
    only = long(tmp_path, {("a__reference", "R"): 3, ("a__reference", "S"): 3})
    frame = pd.read_csv(only).assign(system="reference")
    frame.to_csv(only, index=False)
    with pytest.raises(UsageError, match=r"rates only reference and anchor.*keep"):
        read_clips(only)
