"""What so many rated clips can carry is said before anything is trained on them."""

import re

import numpy as np
import pandas as pd
import pytest

from base_models.metrics.expected_interval import expected_srcc_interval
from ensemble.training.checks.advice import SMALL_BELOW, Advice


def clips(splits, *, systems=4, rated=None, **columns):
    """A table of clips by systems in turn, of which the first `rated` are rated."""
    of_clip = np.repeat(list(splits), list(splits.values()))
    n = len(of_clip)
    scores = np.linspace(1, 5, n)
    scores[n if rated is None else rated :] = np.nan
    frame = pd.DataFrame(
        {
            "clip_id": [f"c{k:04d}" for k in range(n)],
            "system_id": [f"s{k % systems}" if systems else "" for k in range(n)],
            "split": of_clip,
            "prompt": "",
            "mos": scores,
        }
    ).assign(**columns)
    frame.attrs["aspects"] = ["mos"]
    return frame


def text(frame, aspects=("mos",)):
    return "\n".join(Advice.of(frame, aspects).lines)


def test_few_training_clips_are_advised_the_small_models():
    few = clips({"train": SMALL_BELOW - 1, "dev": 5, "test": 20})
    many = clips({"train": SMALL_BELOW, "dev": 5, "test": 20})
    assert "499 rated training clips: below 500, fit_base --models small" in text(few)
    assert "500 rated training clips: fit_base without --models" in text(many)
    assert Advice.of(few, ["mos"]).to_json()["models"] == "small"
    assert Advice.of(many, ["mos"]).to_json()["models"] == "paper"


def test_clips_without_a_rating_do_not_count():
    frame = clips({"train": 600, "dev": 20, "test": 20}, rated=100)
    assert "100 rated training clips: below 500" in text(frame)


def test_intervals_are_those_of_the_test_clips_and_systems():
    advice = Advice.of(clips({"train": 60, "dev": 10, "test": 30}, systems=6), ["mos"])
    (judging,) = advice.to_json()["judging"]
    assert (judging["clips"], judging["systems"]) == (30, 6)
    expected = expected_srcc_interval(0.5, 30)
    assert judging["utterance_srcc"][0]["interval"] == [expected.low, expected.high]
    assert f"[{expected.low:.2f}, {expected.high:.2f}] for 0.50" in "\n".join(
        advice.lines
    )
    assert judging["utterance_srcc"][0]["half_width"] == expected.half_width
    expected = expected_srcc_interval(0.8, 6)
    assert judging["system_srcc"][1]["interval"] == [expected.low, expected.high]


def test_splits_that_are_not_given_are_those_that_fit_base_makes():
    few = Advice.of(clips({"": 100}), ["mos"])
    assert (few.training, few.stacking) == (85, 85)
    assert few.judging[0].clips == 15
    assert "fit_base will make the splits: train 85" in "\n".join(few.lines)
    many = Advice.of(clips({"": 1000}), ["mos"])
    assert (many.training, many.stacking) == (700, 150)
    assert many.judging[0].clips == 150


def test_without_test_clips_what_no_fit_has_seen_judges():
    frame = clips({"train": 60, "dev": 50})
    advice = Advice.of(frame, ["mos"])
    assert advice.judging[0].clips == 50
    line = "no rated test clip: a stack is judged by the dev split"
    assert line in advice.lines
    advice = Advice.of(frame, ["mos"], folds=False)
    assert advice.judging[0].clips == 20
    line = "no rated test clip: a stack is judged by 40% of the dev split"
    assert line in advice.lines
    advice = Advice.of(clips({"train": 60}), ["mos"])
    assert advice.judging[0].clips == 24
    line = "no rated test clip: a stack is judged by 40% of the train split"
    assert line in advice.lines


@pytest.mark.parametrize(
    ("systems", "said"),
    [
        (0, "no systems are named"),
        (1, "one rated system: nothing can be said of any other system"),
        (1, "one system to judge by: no ranking"),
        (2, "2 systems to judge by: chance ranks them right once in 2 times"),
        (4, "chance ranks them right once in 24 times, and below 5 systems no interv"),
        (5, "5 systems to judge by: a measured SRCC has the 95 % interval"),
        (100, "one clip per system: a system cannot be told from its clip"),
        (60, r"systems with one rated clip: 's40', 's41', .* and 15 more"),
    ],
)
def test_each_kind_of_systems_has_a_line(systems, said):
    frame = clips({"train": 60, "dev": 20, "test": 20}, systems=systems)
    assert re.search(said, text(frame))


def test_enough_clips_of_enough_systems_have_no_warning():
    advice = Advice.of(clips({"train": 60, "dev": 20, "test": 20}, systems=10), ["mos"])
    assert advice.system_lines == []


def test_aspects_are_named_only_where_their_clips_differ():
    frame = clips({"train": 60, "dev": 20, "test": 20})
    alike = text(frame.assign(other=frame["mos"]), ("mos", "other"))
    assert alike.count("rated clips to judge by") == 1
    other = frame["mos"].where(frame.index < 90)
    apart = text(frame.assign(other=other), ("mos", "other"))
    assert "mos: 20 rated clips to judge by" in apart
    assert "other: 10 rated clips to judge by" in apart


def test_too_few_clips_to_train_or_to_stack_are_said():
    few = Advice.of(clips({"train": 3, "dev": 4, "test": 20}), ["mos"], folds=False)
    line = "3 rated training clips: too few to learn from; 4 are the fewest"
    assert few.models_line == line
    line = "4 rated clips to fit a stack on: it needs at least 5; add clips, or fit it"
    assert few.stacking_line.startswith(line)
    few = Advice.of(clips({"train": 3, "test": 20}), ["mos"], folds=True)
    line = "3 rated clips to fit a stack on: it needs at least 5; add clips"
    assert few.stacking_line == line
    enough = Advice.of(clips({"train": 4, "dev": 5, "test": 20}), ["mos"], folds=False)
    assert "too few" not in enough.models_line
    assert enough.stacking_line == ""


def test_the_aspect_with_the_fewest_ratings_decides():
    frame = clips({"train": 600, "dev": 20, "test": 20})
    other = frame["mos"].where(frame.index < 2)
    assert "2 rated training clips: too few" in text(
        frame.assign(other=other), ("mos", "other")
    )


def test_ratings_of_what_is_judged_by_text_count_only_with_a_prompt():
    frame = clips({"train": 60, "dev": 20, "test": 20})
    frame["prompt"] = np.where(frame.index < 10, "slow piano", " ")
    frame["ta"] = frame["mos"]
    assert Advice.of(frame, ["ta"]).training == 10
    assert Advice.of(frame, ["ta"], needs_text=[False]).training == 60
    assert Advice.of(frame, ["mos"]).training == 60


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_a_handful_of_clips_is_said_to_show_nothing(n):
    lines = text(clips({"": n}))
    assert "below 5 no interval can be given, and nothing be shown" in lines


def test_aspects_are_named_where_they_are_judged_by_different_clips():
    frame = clips({"train": 40, "test": 20})
    frame["nat"] = frame["mos"].where(frame.index % 2 == 0)
    both = Advice.of(frame, ["mos", "nat"]).clip_lines
    assert [line.split(" to judge")[0] for line in both] == [
        "mos: 20 rated clips",
        "nat: 10 rated clips",
    ]
    (one,) = Advice.of(frame, ["mos"]).clip_lines
    assert one.startswith("20 rated clips")
