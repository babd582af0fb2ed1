"""Laws of labels on scales of their own: read as they stand, mapped at the door."""

import numpy as np
import pandas as pd
import pytest
from builders import write_file

from base_models.clips.labels import label_scales, labels_onto
from base_models.clips.ratings import check_against_labels, read_ratings
from base_models.clips.read_clips import read_clips
from base_models.errors import UsageError
from base_models.scales import Scale

TABLE = "clip_id,system_id,mos,pq\na,A,0,1\nb,A,25,5.5\nc,B,100,10\nd,B,,4\n"


@pytest.fixture
def table(tmp_path):
    return write_file(tmp_path / "labels.csv", TABLE)


def test_labels_are_read_as_they_stand_and_mapped_onto_one_scale(table):
    clips = read_clips(table, scales={"mos": (0, 100), "pq": (1, 10)})
    assert clips["mos"].tolist()[:3] == [0, 25, 100]
    assert label_scales(clips) == {"mos": Scale(0, 100), "pq": Scale(1, 10)}
    mapped = labels_onto(clips)
    np.testing.assert_allclose(mapped["mos"], [1, 2, 5, np.nan])
    np.testing.assert_allclose(mapped["pq"], [1, 3, 5, 1 + 4 / 3])
    assert set(label_scales(mapped).values()) == {Scale(1, 5)}
    # Mapped once, and not again.
    pd.testing.assert_frame_equal(labels_onto(mapped), mapped)


def test_one_scale_is_that_of_every_aspect(table):
    clips = read_clips(table, scales=(0, 100))
    assert set(label_scales(clips).values()) == {Scale(0, 100)}
    clips = read_clips(table, aspects=["pq"], scales=[1, 10])
    assert label_scales(clips) == {"pq": Scale(1, 10)}


def test_labels_off_the_scale_are_refused_with_the_option_that_declares_another(table):
    with pytest.raises(
        UsageError,
        match=r"3 of 4 rows: mos is off the scale 1\.\.5 \(first in line 2: '0'\)\. .*"
        r"\(--scale LOW HIGH\).* 2 of 4 rows: pq is off the scale",
    ):
        read_clips(table)
    with pytest.raises(UsageError, match=r"line 4: pq is '10'; .* 1\.\.7"):
        read_clips(table, aspects=["pq"], scales=(1, 7))


def test_a_scale_of_an_unknown_aspect_is_refused(table):
    with pytest.raises(UsageError, match="declared for 'quality'; the rated aspects"):
        read_clips(table, scales={"pq": (1, 10), "quality": (0, 100)})


def test_columns_are_found_by_their_range_on_the_declared_scale(tmp_path):
    path = write_file(tmp_path / "t.csv", "clip_id,groove\na,10\nb,90\n")
    assert read_clips(path).attrs["aspects"] == []
    clips = read_clips(path, scales=(0, 100))
    assert clips.attrs["aspects"] == ["groove"]


def test_labels_that_use_little_of_their_declared_scale_are_noted(tmp_path):
    rows = "".join(f"{clip},{1 + k}\n" for k, clip in enumerate("abcde"))
    path = write_file(tmp_path / "t.csv", f"clip_id,mos\n{rows}")
    (note,) = read_clips(path, scales=(0, 100)).attrs["notes"]
    assert note == (
        "all labels of 'mos' lie in 1..5, which is little of the declared scale "
        "0..100: is it theirs?"
    )
    assert "notes" not in read_clips(path, scales=(0, 10)).attrs


def test_single_ratings_are_on_the_scale_of_the_labels_unless_another_is_named(
    tmp_path,
):
    rows = "".join(
        f"{clip},r{rater},{20 * k + rater}\n"
        for k, clip in enumerate("abcd")
        for rater in range(3)
    )
    path = write_file(tmp_path / "r.csv", f"clip_id,rater,mos\n{rows}")
    clips = read_clips(path, scales=(0, 100))
    np.testing.assert_allclose(clips["mos"], [1, 21, 41, 61])
    assert (clips["mos_low"] >= 0).all()
    mapped = labels_onto(clips)
    np.testing.assert_allclose(mapped["mos_high"], 1 + clips["mos_high"] / 25)

    # Ratings from 0 to 200 of a test whose means are published on 0..100.
    halved = read_clips(path, scales=(0, 100), rating_scale=(0, 200))
    np.testing.assert_allclose(halved["mos"], [0.5, 10.5, 20.5, 30.5])
    ratings = read_ratings(path, ["mos"], {"mos": Scale(0, 100)})
    np.testing.assert_allclose(ratings["mos"][:3], 1 + np.arange(3) / 25)


def test_the_distance_of_ratings_from_labels_is_counted_in_points_of_1_to_5():
    labels = pd.DataFrame({"clip_id": ["a", "b"], "mos": [50.0, 60.0]})
    ratings = labels.assign(rater_id="r", mos=labels["mos"] + 20)
    bins = {"mos": Scale(0, 100)}
    assert check_against_labels(ratings, labels, ["mos"], bins) == pytest.approx(0.8)
    far = ratings.assign(mos=ratings["mos"] + 20)
    with pytest.raises(UsageError, match=r"lie 1\.60 points from its labels"):
        check_against_labels(far, labels, ["mos"], bins)
