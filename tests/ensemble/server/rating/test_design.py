"""What is asked of raters, and on what scale."""

import pytest
from listening_pages import design

from base_models.errors import UsageError
from base_models.scales import Scale
from ensemble.server.rating.design import AnswerScale, RatedAspect


def test_five_points_have_the_words_of_the_standard():
    scale = AnswerScale.of(Scale(1, 5))
    assert scale.buttons == [
        ("1", "Bad"),
        ("2", "Poor"),
        ("3", "Fair"),
        ("4", "Good"),
        ("5", "Excellent"),
    ]
    assert not scale.is_slider


def test_eleven_points_are_buttons_with_words_at_the_ends():
    scale = AnswerScale.of(Scale(0, 10))
    labelled = [(text, label) for text, label in scale.buttons if label]
    assert labelled == [("0", "Bad"), ("10", "Excellent")]
    assert scale.n_points == 11
    assert scale.keys == "0 to 9"


def test_a_hundred_points_are_a_slider():
    scale = AnswerScale.of(Scale(0, 100))
    assert scale.is_slider
    assert len(scale.labels) == 5
    assert scale.keys == ""


@pytest.mark.parametrize("ends", [(1, 5), (0, 10), (0, 100), (-2, 2)])
@pytest.mark.parametrize("step", [0.1, 0.5, 1])
def test_every_point_is_a_rating_and_nothing_between(ends, step):
    scale = AnswerScale(Scale(*ends), step, ())
    assert scale.points[0] == ends[0]
    assert scale.points[-1] == ends[1]
    assert not any(scale.refusal(value) for value in scale.points)
    for value in scale.points:
        assert scale.refusal(value + step / 3)
    assert scale.refusal(ends[0] - step)
    assert scale.refusal(ends[1] + step)


@pytest.mark.parametrize("step", [0, -1, 0.3, float("nan"), 1e-9])
def test_a_step_divides_the_scale(step):
    with pytest.raises(UsageError, match="does not divide the scale"):
        AnswerScale.of(Scale(1, 5), step)


def test_labels_are_one_for_each_rating_or_two_for_the_ends():
    assert AnswerScale.of(Scale(1, 5), labels=["low", "high"]).buttons[-1][1] == "high"
    with pytest.raises(UsageError, match="3 labels for the scale"):
        AnswerScale.of(Scale(1, 5), labels=["a", "b", "c"])


def test_an_aspect_that_is_judged_by_text_is_not_asked_without_a_prompt():
    both = design()
    assert [each.name for each in both.asked_of("piano")] == ["mi", "ta"]
    assert [each.name for each in both.asked_of("")] == ["mi"]


def test_a_question_may_be_given():
    assert RatedAspect.of("mi", {"mi": "Nice?"}).question == "Nice?"
    assert "musical impression" in RatedAspect.of("mi", {}).question
    assert "groove" in RatedAspect.of("groove", {}).question


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"aspects": ()}, "Name each aspect once"),
        ({"aspects": ("mi", "mi")}, "Name each aspect once"),
        ({"clips_per_rater": 0}, "one clip or more"),
        ({"listen_seconds": -1}, "number of seconds"),
        ({"listen_seconds": float("nan")}, "number of seconds"),
    ],
)
def test_a_design_that_cannot_be_is_refused(options, message):
    with pytest.raises(UsageError, match=message):
        design(**options)
