"""Who is left out of a listening test: by the letter of the rule, and by name."""

import numpy as np
import pandas as pd
import pytest

from base_models.clips.listening_tests.conditions import (
    ANCHOR,
    MID_ANCHOR,
    REFERENCE,
    role_of_condition,
)
from base_models.clips.listening_tests.rating_options import RatingOptions
from base_models.clips.listening_tests.screening import screen_raters
from base_models.clips.ratings import read_ratings
from base_models.clips.read_clips import read_clips
from base_models.errors import UsageError

GRADES = {"reference": 100, "anchor70": 40, "anchor35": 10, "x": 60, "y": 80}


def mushra(folder, change=None, n_raters=5, n_items=20):
    """A MUSHRA test, in which `change` alters the grade of a rater, item and system."""
    random = np.random.default_rng(0)
    rows = []
    for rater in range(n_raters):
        for item in range(n_items):
            for system, grade in GRADES.items():
                grade = grade - int(random.integers(0, 9))
                if change is not None:
                    grade = change(rater, item, system, grade)
                rows.append((f"i{item}__{system}", f"R{rater}", grade))
    path = folder / "m.csv"
    frame = pd.DataFrame(rows, columns=["clip_id", "rater_id", "mushra"])
    frame.to_csv(path, index=False)
    return path


def left_out(path, screen):
    kept = read_ratings(path, ["mushra"], bins=None)["rater_id"]
    options = RatingOptions(anchors="keep", screen=screen)
    ratings = read_ratings(path, ["mushra"], bins=None, options=options)
    return sorted({*kept} - {*ratings["rater_id"]}), ratings.attrs["notes"]


# ---- names of conditions


@pytest.mark.parametrize(
    ("role", "names"),
    [
        (REFERENCE, ["reference", "Ref", "hidden reference", "Hidden_Ref"]),
        (MID_ANCHOR, ["anchor70", "mid anchor", "LP7000", "Anchor-Mid", "anchor_7kHz"]),
        (ANCHOR, ["anchor35", "anchor", "low_anchor", "lp35", "Anchor 3500 Hz"]),
        ("", ["C1", "referencer", "anchorage", "refnet", "lp", "reference_v2", ""]),
    ],
)
def test_references_and_anchors_are_known_by_their_whole_names(role, names):
    assert [role_of_condition(name) for name in names] == [role] * len(names)


# ---- BS.1534-3, clause 4.1.2


@pytest.mark.parametrize(("n_low", "expected"), [(3, []), (4, ["R2"])])
def test_a_reference_below_90_in_more_than_15_percent_of_items(
    n_low, expected, tmp_path
):
    # 3 of 20 items are 15 %, which is not more.
    def change(rater, item, system, grade):
        is_missed = rater == 2 and system == "reference" and item < n_low
        return 89 if is_missed else grade

    names, notes = left_out(mushra(tmp_path, change), "bs1534")
    assert names == expected
    if expected:
        assert any(
            "rater 'R2' (100 ratings): rates the hidden reference below 90 in 4 of 20"
            in note
            for note in notes
        )
    else:
        assert any("4.1.2: no rater is left out" in note for note in notes)


def test_a_grade_of_exactly_90_is_not_below_90(tmp_path):
    def change(rater, item, system, grade):
        return 90 if system == "reference" else grade

    assert left_out(mushra(tmp_path, change), "bs1534")[0] == []


@pytest.mark.parametrize(("n_high", "expected"), [(3, []), (4, ["R1"])])
def test_a_mid_anchor_above_90_in_more_than_15_percent_of_items(
    n_high, expected, tmp_path
):
    def change(rater, item, system, grade):
        is_high = rater == 1 and system == "anchor70" and item < n_high
        return 95 if is_high else grade

    assert left_out(mushra(tmp_path, change), "bs1534")[0] == expected


def test_items_whose_anchor_many_rate_high_exclude_nobody(tmp_path):
    # Two of five raters are more than 25 %: the item was hardly degraded.
    def change(rater, item, system, grade):
        return 95 if system == "anchor70" and rater < 2 else grade

    assert left_out(mushra(tmp_path, change), "bs1534")[0] == []


def test_without_reference_and_anchor_there_is_nothing_to_screen_by(tmp_path):
    path = mushra(tmp_path)
    frame = pd.read_csv(path)
    frame[frame["clip_id"].str.endswith(("x", "y"))].to_csv(path, index=False)
    with pytest.raises(UsageError, match="hidden reference and the mid-range anchor"):
        read_clips(path, options=RatingOptions(screen="bs1534"))


def test_a_screening_that_leaves_out_everybody_is_refused(tmp_path):
    def change(rater, item, system, grade):
        return 50 if system == "reference" else grade

    with pytest.raises(UsageError, match="would leave out all 5 raters"):
        read_clips(mushra(tmp_path, change), options=RatingOptions(screen="bs1534"))


def test_means_are_those_of_the_raters_who_are_kept(tmp_path):
    def change(rater, item, system, grade):
        return 0 if rater == 0 and system != "anchor70" else grade

    path = mushra(tmp_path, change)
    clips = read_clips(path, options=RatingOptions(screen="bs1534"))
    frame = pd.read_csv(path)
    others = frame[frame["rater_id"] != "R0"].groupby("clip_id")["mushra"].mean()
    np.testing.assert_allclose(clips["mushra"], others[clips["clip_id"]])
    assert set(clips["mushra_n"]) == {4}
    assert set(clips["system_id"]) == {"x", "y"}


# ---- in the manner of P.808


def test_constant_and_contrary_raters_are_left_out(tmp_path):
    def change(rater, item, system, grade):
        return {1: 70, 2: 100 - grade}.get(rater, grade)

    names, notes = left_out(mushra(tmp_path, change), "p808")
    assert names == ["R1", "R2"]
    text = " ".join(notes)
    assert "gives all 100 clips the same rating" in text
    assert "with the means of the others (less than 0.25)" in text


def frame_of(values, **columns):
    """Ratings of one rater and of three others who agree, on 0..1."""
    rows = []
    for rater in range(4):
        for clip, value in enumerate(values):
            row = {
                name: cells[clip] if rater == 0 else np.nan
                for name, cells in columns.items()
            }
            rows.append(
                {
                    "clip_id": f"c{clip}",
                    "rater_id": f"R{rater}",
                    "item": "i",
                    "role": "",
                    "value": value,
                    **row,
                }
            )
    frame = pd.DataFrame(rows)
    for name in ("seconds", "expected"):
        frame[name] = frame.get(name, np.nan)
    return frame


def test_control_questions_and_haste_decide_first():
    values = np.linspace(0, 1, 8)
    nothing = [np.nan] * 7
    right = frame_of(values, expected=[0.25, *nothing])
    assert screen_raters(right, "p808") == []
    (wrong,) = screen_raters(frame_of(values, expected=[0.3, *nothing]), "p808")
    assert wrong.rater_id == "R0"
    assert wrong.reason == "answers 1 of 1 control questions wrongly"
    assert screen_raters(frame_of(values, seconds=[1.0] * 8), "p808") == []
    (hasty,) = screen_raters(frame_of(values, seconds=[0.4] * 8), "p808")
    assert "0.4 s per rating" in hasty.reason


def test_few_ratings_are_not_judged():
    assert screen_raters(frame_of([0.5] * 5), "p808") == []
