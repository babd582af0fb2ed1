"""Each sentence of a summary stands where it is so, and only there."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from answered import STACK_KNOWN, answer, compared, texts

from base_models.scales import Scale
from ensemble.reporting.answers.summary import (
    UNFAMILIAR_LEAD,
    certainty_sentences,
    limit_sentences,
    measured_sentences,
    summary_sections,
    verdict_sentences,
)
from ensemble.reporting.section import SUMMARY
from meta.score_columns import FLAGS, OUT_OF_RANGE


def flagged(content, **columns):
    return replace(content, frame=content.frame.assign(**columns))


def first(n_marked, content):
    """A mark for the first clips."""
    return np.arange(len(content)) < n_marked


@pytest.fixture(scope="module")
def three():
    """Three systems, well apart."""
    return compared(answer())


@pytest.fixture(scope="module")
def alike():
    """Three systems that score alike."""
    return compared(answer(gap=0.0))


# ---- what was measured


def test_clips_systems_prompts_and_the_stack_are_counted(three):
    assert measured_sentences(three) == [
        "36 clips of 3 systems for 12 prompts were scored for mos by a stack "
        "(stack-1), fitted on 120 clips with ratings.",
        "Scores go from 1 (worst) to 5 (best).",
    ]


def test_what_is_not_known_is_not_said():
    frame = pd.DataFrame({"clip_id": ["a"], "mos": [3.0]})
    bare = answer(frame=frame, background=replace(STACK_KNOWN, stack="", learnt_from=0))
    assert measured_sentences(bare)[0] == "1 clip was scored for mos."


def test_each_scale_is_named_where_they_differ(three):
    frame = three.frame.assign(pq=50.0)
    both = replace(
        three, frame=frame, aspects=("mos", "pq"), scales={"pq": Scale(0, 100)}
    )
    sentence = "Scores go from worst to best: mos 1 to 5, pq 0 to 100."
    assert measured_sentences(both)[-1] == sentence


def test_ratings_of_people_are_not_called_predictions(three):
    rated = replace(three, background=replace(STACK_KNOWN, is_rated=True))
    assert "rated by people for mos" in measured_sentences(rated)[0]
    assert not any("predictions" in text for text in limit_sentences(rated))


def test_without_a_score_nothing_is_answered():
    none = answer(n_systems=1, clips_each=0, unscored={"a": "no such file"})
    assert measured_sentences(none) == ["No clip could be scored."]
    assert verdict_sentences(none) == []
    assert certainty_sentences(none) == []
    assert next(iter(summary_sections(none))).reader == SUMMARY


# ---- the answer


def test_the_first_system_is_alone_where_no_other_may_be_as_good(three, alike):
    (clear,) = verdict_sentences(three)
    assert clear.startswith("For mos, v0 (mean 4.")
    assert ", and no other system is as good; v2 (mean 3." in clear
    (open_,) = verdict_sentences(alike)
    assert open_.startswith("Which system is best for mos is not shown: v")
    assert "each of the others may be as good or better" in open_


def test_of_two_systems_the_difference_is_the_answer():
    (sentence,) = verdict_sentences(compared(answer(n_systems=2)))
    assert sentence.startswith("v0 is better than v1 by 0.")
    assert sentence.endswith(".")
    (unshown,) = verdict_sentences(compared(answer(n_systems=2, gap=0.0)))
    assert unshown.startswith("No difference shown between v0 and v1")


def test_without_systems_the_answer_is_about_clips(three):
    no_systems = replace(three, comparison=None)
    assert verdict_sentences(no_systems)[0].startswith("The mean score for mos is 3.")
    one = replace(no_systems, frame=three.frame.head(1))
    score = f"{three.frame['mos'][0]:.2f}"
    assert verdict_sentences(one)[0].startswith(f"Its score for mos is {score} [")


# ---- how sure


def test_pairs_that_are_told_apart_are_counted(three, alike):
    assert "3 of 3 (100 %) pairs of systems differ" in certainty_sentences(three)[0]
    assert "no two of the systems differ" in certainty_sentences(alike)[0]
    two = certainty_sentences(compared(answer(n_systems=2)))[0]
    assert two == "For mos, the difference is larger than chance explains."


def test_the_width_of_single_clips_is_said_where_there_are_intervals(three):
    sentence = "typically ± 0.6 points (mos), with 90 % certainty"
    assert sentence in certainty_sentences(three)[-1]
    bare = replace(three, frame=three.frame.drop(columns=["mos_low", "mos_high"]))
    assert "single clip" not in " ".join(certainty_sentences(bare))


# ---- what must not be concluded


def has(content, words):
    return any(words in text for text in limit_sentences(content))


def test_a_demo_says_nothing_about_real_music(three):
    words = "Anything about real music"
    assert not has(three, words)
    assert has(replace(three, background=replace(STACK_KNOWN, demo=True)), words)


def test_predictions_are_not_ratings(three):
    assert has(three, "these are predictions")
    systems = three.comparison.systems.assign(n_rated=4)
    some_rated = replace(three, comparison=replace(three.comparison, systems=systems))
    assert has(some_rated, "of clips that nobody rated")
    assert not has(some_rated, "no rating of these clips counts")
    assert "People rated 12 of 36 (33 %) clips." in measured_sentences(some_rated)
    systems = three.comparison.systems.assign(n_rated=12)
    all_rated = replace(three, comparison=replace(three.comparison, systems=systems))
    assert not has(all_rated, "predictions")


def test_one_system_or_none_is_no_comparison(three):
    one = replace(three, frame=three.frame.head(12), comparison=None)
    assert has(one, "all clips are of one system, v0")
    none = replace(three, frame=three.frame.assign(system_id=""), comparison=None)
    assert has(none, "do not say which system made them")
    assert not has(three, "Which system is better")


def test_no_difference_shown_is_not_equality(three, alike):
    words = "That systems are equally good"
    assert has(alike, words)
    assert not has(three, words)


def test_few_clips_of_a_system_are_named(three):
    few = three.frame.drop(index=range(8))
    assert has(replace(three, frame=few), "Much about v0: with fewer than 10 clips")
    assert not has(three, "Much about")


def test_clips_out_of_range_are_counted_and_many_spoil_the_ranking(three):
    assert not has(three, "unfamiliar audio")
    some = flagged(three, **{OUT_OF_RANGE: first(3, three)})
    assert has(some, "3 of 36 (8 %) clips are unlike")
    assert not has(some, "the ranking of systems may be wrong")
    many = flagged(three, **{OUT_OF_RANGE: first(12, three)})
    assert has(many, "the ranking of systems may be wrong")
    assert UNFAMILIAR_LEAD not in texts(summary_sections(many))
    most = flagged(three, **{OUT_OF_RANGE: first(30, three)})
    assert UNFAMILIAR_LEAD in texts(summary_sections(most))


def test_silence_is_named(three):
    silent = np.where(first(2, three), "silent", "clipped")
    assert has(flagged(three, **{FLAGS: silent}), "2 clips have scores all the same")
    assert not has(flagged(three, **{FLAGS: "clipped"}), "nothing is heard")


def test_clips_without_a_score_are_counted(three):
    unscored = replace(three, unscored=dict.fromkeys("abcd", "empty file"))
    assert has(unscored, "4 of 40 (10 %) have no score")
    assert not has(three, "could not be scored")


def test_aspects_without_a_prompt_are_named(three):
    assert has(replace(three, left_out=("ta",)), "Anything about ta")
    assert not has(three, "judged against a prompt")


def test_what_is_known_of_the_stack_comes_last(three):
    noted = replace(three, background=replace(STACK_KNOWN, notes=("Seen before.",)))
    assert limit_sentences(noted)[-1] == "Seen before."
