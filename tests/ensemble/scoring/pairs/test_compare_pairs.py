"""Preferences are those of the distributions, whatever a table makes of the clips."""

import json

import numpy as np
import pandas as pd
import pytest
from pairs import predicted_stack

from base_models.errors import UsageError
from ensemble.formats import Distributions, Scores
from ensemble.scoring.pairs.best_of import best_of
from ensemble.scoring.pairs.compare_pairs import (
    checked_weights,
    compare_pairs,
    correlations_of,
)
from ensemble.scoring.pairs.layouts import mirex_lines, rewardbench_lines
from ensemble.scoring.pairs.pair_table import read_pairs
from meta.comparison.preference import preference
from meta.score_columns import distribution_table, scored_table

ASPECTS = ("mi", "ta")


@pytest.fixture(scope="module")
def known():
    """A stack of two aspects, and the scores of its new clips."""
    stack, tables, _ = predicted_stack(ASPECTS)
    ids = list(tables[0].clip_ids)
    regressor = stack.final_estimator_
    clips = pd.DataFrame({"clip_id": ids, "audio": [f"wav/{i}.wav" for i in ids]})
    frame = scored_table(regressor, tables, clips, ASPECTS, level=0.9)
    bins = distribution_table(regressor, tables, ids, ASPECTS)
    scores = Scores(
        frame,
        ASPECTS,
        left_out=(),
        set_aside=(),
        distributions=Distributions(bins, ASPECTS, stack.bins_),
    )
    return stack, scores, regressor.predict_distribution(tables, ids)


def pairs_of(folder, rows):
    path = folder / "pairs.csv"
    pd.DataFrame(rows, columns=["prompt", "clip_a", "clip_b"]).to_csv(path, index=False)
    return read_pairs(path, are_files=False)


def test_each_aspect_is_compared_by_its_distributions(known, tmp_path):
    stack, scores, distributions = known
    rows = [("", f"new-{k}", f"new-{k + 1}") for k in range(0, 20, 2)]
    found = compare_pairs(pairs_of(tmp_path, rows), scores, stack).frame
    for k, aspect in enumerate(ASPECTS):
        slow = preference(distributions[0:20:2, k], distributions[1:20:2, k])
        np.testing.assert_allclose(found[f"{aspect}_p"], slow)
    expected = np.where(found["overall_p"] > 0.5, "a", "b")
    assert (found["preferred"] == expected).all()


def test_swapping_the_sides_swaps_what_is_said(known, tmp_path):
    stack, scores, _ = known
    rows = [("p", f"new-{k}", f"new-{k + 30}") for k in range(25)]
    there = compare_pairs(pairs_of(tmp_path, rows), scores, stack).frame
    back = compare_pairs(
        pairs_of(tmp_path, [(p, b, a) for p, a, b in rows]), scores, stack
    ).frame
    np.testing.assert_allclose(there["overall_p"] + back["overall_p"], 1, atol=1e-9)
    assert (there["shown"] == back["shown"]).all()


def test_a_weight_of_one_aspect_alone_gives_its_own_preference(known, tmp_path):
    stack, scores, _ = known
    rows = [("", f"new-{k}", f"new-{k + 30}") for k in range(25)]
    table = pairs_of(tmp_path, rows)
    frame = compare_pairs(table, scores, stack, weights={"ta": 2.0}).frame
    np.testing.assert_allclose(frame["overall_p"], frame["ta_p"], atol=1e-9)


def test_aspects_that_agree_make_the_whole_surer_than_its_parts_at_most(known):
    stack, _, _ = known
    correlations = correlations_of(stack.final_estimator_, ASPECTS)
    assert correlations[0, 0] == 1
    assert 0 <= correlations[0, 1] < 0.5


def test_the_same_clip_twice_is_a_tie(known, tmp_path):
    stack, scores, _ = known
    pairs = compare_pairs(pairs_of(tmp_path, [("", "new-1", "new-1")]), scores, stack)
    assert pairs.frame[["overall_p", "preferred"]].to_numpy().tolist() == [[0.5, "tie"]]
    assert not pairs.frame["shown"].any()
    assert "the same clip on both sides" in " ".join(pairs.notes)


def test_clips_without_scores_keep_their_pairs(known, tmp_path):
    stack, scores, _ = known
    rows = [("", "new-1", "nobody"), ("", "", "new-2"), ("", "new-1", "new-2")]
    frame = compare_pairs(pairs_of(tmp_path, rows), scores, stack).frame
    assert frame["status"].tolist() == ["failed_b", "failed_a", "ok"]
    assert frame["preferred"].tolist()[:2] == ["", ""]
    assert frame["reason"].tolist() == [
        "b: nothing is predicted of this clip",
        "a: no file is named",
        "",
    ]
    assert frame["mi_a"].notna().tolist() == [True, False, True]


def test_a_preference_is_shown_from_the_level_on(known, tmp_path):
    stack, scores, _ = known
    rows = [("", f"new-{k}", f"new-{k + 30}") for k in range(25)]
    for level in (0.6, 0.9):
        frame = compare_pairs(
            pairs_of(tmp_path, rows), scores, stack, level=level
        ).frame
        sure = np.maximum(frame["overall_p"], 1 - frame["overall_p"])
        assert (frame["shown"] == (sure >= level)).all()


def test_weights_are_of_known_aspects():
    assert checked_weights(None, ASPECTS) == {"mi": 1, "ta": 1}
    with pytest.raises(UsageError, match="Unknown aspect 'mo'"):
        checked_weights({"mo": 1}, ASPECTS)
    with pytest.raises(UsageError, match="0 or more; mi has -1"):
        checked_weights({"mi": -1}, ASPECTS)
    with pytest.raises(UsageError, match="weight above 0"):
        checked_weights({"mi": 0}, ASPECTS)


# ---- layouts


def lines(data):
    return [json.loads(line) for line in data.decode().splitlines()]


def test_mirex_gets_an_answer_for_every_pair(known, tmp_path):
    stack, scores, _ = known
    rows = [("", "new-1", "new-2"), ("", "new-1", "nobody"), ("", "new-2", "new-1")]
    pairs = compare_pairs(pairs_of(tmp_path, rows), scores, stack)
    first, failed, last = lines(mirex_lines(pairs))
    assert {first["preferred_candidate"], last["preferred_candidate"]} == {"A", "B"}
    assert failed == {
        "sample_id": "2",
        "preferred_candidate": "A",
        "preference_score": 0.5,
    }
    assert list(lines(mirex_lines(pairs, ("id", "winner")))[0]) == ["id", "winner"]
    with pytest.raises(UsageError, match="two or three fields"):
        mirex_lines(pairs, ("id",))


def test_rewardbench_rows_keep_what_they_had(known, tmp_path):
    stack, scores, _ = known
    rows = [("slow", "new-1", "new-2"), ("", "nobody", "new-2")]
    pairs = compare_pairs(pairs_of(tmp_path, rows), scores, stack)
    whole, failed = lines(rewardbench_lines(pairs))
    assert whole["prompt"] == "slow"
    side = "model_a" if pairs.frame["mi_p"][0] > 0.5 else "model_b"
    assert whole["predicted_preference-musicality"] == side
    assert whole["predicted_text-music alignment_b"] == pairs.frame["ta_b"][0]
    assert failed["inference_valid_b"]
    assert failed["predicted_preference"] is None


# ---- the best of many


def chosen(known, groups, **options):
    stack, scores, _ = known
    clips = scores.frame[["clip_id"]].assign(prompt=groups)
    return best_of(scores, clips, stack, group="prompt", **options)


def test_the_best_of_each_group_are_those_with_the_highest_mean(known):
    _, scores, _ = known
    groups = np.array([f"p{k % 20}" for k in range(len(scores.frame))])
    found = chosen(known, groups, number=2, weights={"mi": 1.0}).chosen
    assert found.columns[:6].tolist() == [
        *("clip_id", "audio", "group", "rank", "candidates", "p_best")
    ]
    for name in np.unique(groups):
        of_group = scores.frame[groups == name].sort_values("mi", ascending=False)
        own = found[found["group"] == name]
        assert own["clip_id"].tolist() == of_group["clip_id"].tolist()[:2]
        assert own["rank"].tolist() == [1, 2]


def test_chances_of_all_candidates_sum_to_one(known):
    _, scores, _ = known
    groups = [f"p{k % 20}" for k in range(len(scores.frame))]
    found = chosen(known, groups, number=1000).chosen
    np.testing.assert_allclose(found.groupby("group")["p_best"].sum(), 1)
    assert len(found) == len(scores.frame)


def test_small_groups_and_clips_without_one_are_said(known):
    _, scores, _ = known
    groups = [""] * len(scores.frame)
    groups[:3] = ["x", "x", "y"]
    found = chosen(known, groups, number=2)
    assert found.chosen["group"].tolist() == ["x", "x", "y"]
    text = " ".join(found.notes)
    assert "1 group has fewer than 2 candidates" in text
    assert f"{len(groups) - 3} clips name no prompt" in text


def test_columns_that_hold_no_groups_are_refused(known):
    stack, scores, _ = known
    clips = scores.frame[["clip_id"]].assign(prompt="")
    with pytest.raises(UsageError, match="there is no such column"):
        best_of(scores, clips, stack, number=1, group="song")
    with pytest.raises(UsageError, match="no clip has anything in that column"):
        best_of(scores, clips, stack, number=1, group="prompt")
