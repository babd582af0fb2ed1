"""Laws of scales: a straight line from end to end, and nothing is clipped."""

import numpy as np
import pytest

from base_models.bins import ScoreBins
from base_models.errors import UsageError
from base_models.scales import LabelScales, Scale, as_scale


def test_ends_go_to_ends_and_what_lies_beyond_stays_beyond():
    values = np.array([-5, 0, 25, 100, 104])
    mapped = Scale(0, 100).map(values, Scale(1, 5))
    np.testing.assert_allclose(mapped, [0.8, 1, 2, 5, 5.16])
    np.testing.assert_allclose(Scale(1, 5).map(mapped, ScoreBins(0, 100)), values)


def test_values_of_an_equal_scale_stay_what_they_are_to_the_last_bit():
    values = np.random.default_rng(0).uniform(1, 5, 100)
    np.testing.assert_array_equal(Scale(1, 5).map(values, ScoreBins()), values)


def test_distinct_values_stay_distinct_and_in_their_order():
    values = np.random.default_rng(0).uniform(1, 10, 200).round(2)
    mapped = Scale(1, 10).map(values, Scale(1, 5))
    assert len(np.unique(mapped)) == len(np.unique(values))
    np.testing.assert_array_equal(np.argsort(mapped), np.argsort(values))


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("0-100", (0, 100)),
        ("1..10", (1, 10)),
        ("-1-1", (-1, 1)),
        ("-.5-4.5", (-0.5, 4.5)),
        ("-20--10", (-20, -10)),
    ],
)
def test_a_scale_is_written_with_a_hyphen_or_dots(text, ends):
    assert Scale.parse(text) == Scale(*ends)
    assert Scale.parse(Scale(*ends).option) == Scale(*ends)


@pytest.mark.parametrize("text", ["100", "a-b", "1-", "1-2-3", "", "nan-5"])
def test_what_is_no_scale_is_refused(text):
    with pytest.raises(UsageError, match="is no scale; write its lowest and highest"):
        Scale.parse(text)


@pytest.mark.parametrize("ends", [(5, 1), (1, 1), (0, np.inf), (np.nan, 1)])
def test_ends_in_the_wrong_order_or_not_finite_are_refused(ends):
    with pytest.raises(UsageError, match="lowest rating of a scale must be below"):
        Scale(*ends)


def test_two_numbers_are_a_scale_and_anything_else_is_none():
    assert as_scale([0, 7]) == Scale(0, 7)
    for wrong in (3, [1], [1, 2, 3], ["a", "b"]):
        with pytest.raises(UsageError, match=r"lowest and highest rating, as \(0, 100"):
            as_scale(wrong)


def test_scales_of_labels_are_read_from_the_words_of_an_option():
    scales = LabelScales.parse(["0", "100", "pq=1-10"])
    assert scales.of("mos") == Scale(0, 100)
    assert scales.of("pq") == Scale(1, 10)
    assert LabelScales.parse(["-1", "1"]).default == Scale(-1, 1)
    assert LabelScales.parse(["0-10"]).default == Scale(0, 10)
    assert LabelScales.parse("0-10") == LabelScales.parse([0, 10])
    assert LabelScales.parse(None) == LabelScales()
    assert LabelScales.of_any(scales) is scales


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["0"], r"takes the lowest and the highest rating \(--scale 0 100\).*got 0"),
        (["0", "50", "100"], "got 0 50 100"),
        (["low", "high"], "got low high"),
        (["mos=100"], "'100' is no scale"),
        (["mos=1-5", "mos=1-7"], "--scale names 'mos' twice"),
    ],
)
def test_wrong_words_are_refused_with_what_is_legal(words, message):
    with pytest.raises(UsageError, match=message):
        LabelScales.parse(words)


def test_a_scale_of_an_aspect_that_there_is_not_is_refused():
    with pytest.raises(UsageError, match="declared for 'pq'; the rated aspects are 'm"):
        LabelScales.parse(["pq=1-10"]).check_aspects(["mos"])
