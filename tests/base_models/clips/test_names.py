"""Missing names are unknown, and spellings of one id are one clip."""

import numpy as np
import pandas as pd
import pytest

from base_models.clips.names import names_or_blank, plain_id, twin_ids
from base_models.clips.splits import assign_splits, folds, joined_groups
from base_models.metrics.bootstrap import prompt_codes
from base_models.metrics.evaluate import evaluate
from meta.rows import Rows
from meta.splits.meta_split import count_groups


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Clip1", "clip1"),
        ("caf\u00e9", "cafe\u0301"),
        ("clip\u200b1", "clip1"),
        ("\ufeffclip1", "clip1"),
        ("clip1 ", "clip1"),
        ("STRASSE", "stra\u00dfe"),
    ],
)
def test_spellings_of_one_id_are_alike(first, second):
    assert plain_id(first) == plain_id(second)
    assert twin_ids([first, "other", second]) == [[first, second]]


def test_other_ids_stay_apart():
    assert twin_ids(["clip1", "clip2", "clip_1", "clip-1", "clip11"]) == []


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, pd.NaT, ""])
def test_missing_names_are_blank(missing):
    assert names_or_blank(["a", missing, 3]).tolist() == ["a", "", "3"]


@pytest.mark.parametrize("missing", [None, np.nan, ""])
def test_clips_of_unknown_groups_are_apart_in_every_split(missing):
    groups = ["a", "a", *[missing] * 10]
    rows = Rows.of([f"c{k}" for k in range(12)], np.ones(12), ["mi"], groups=groups)
    assert len(set(rows.group_names)) == 11
    assert count_groups(groups) == 11
    fold = folds(["s"] * 12, np.ones(12), 5, seed=0, groups=groups)
    assert len(set(fold[2:])) == 5
    assert fold[0] == fold[1]


def test_made_splits_keep_no_unknown_groups_together():
    frame = pd.DataFrame({"clip_id": [f"c{k}" for k in range(40)]})
    frame = frame.assign(system_id="s", content=["", *["a", "b"] * 2, *[""] * 35])
    splits = assign_splits(frame, group="content")
    assert splits.value_counts().to_dict() == {"train": 28, "dev": 6, "test": 6}


def test_unknown_prompts_and_systems_are_not_one():
    assert len(set(prompt_codes(["a", None, float("nan"), ""], 4))) == 4
    scores = np.linspace(1, 5, 6)
    given = {"aspects": ["mi"], "n_bootstrap": 10}
    board = evaluate(scores, scores[::-1], [np.nan] * 6, **given)
    unnamed = evaluate(scores, scores[::-1], [""] * 6, **given)
    pd.testing.assert_frame_equal(board, unnamed)


def test_rows_that_are_linked_by_either_grouping_are_one_group():
    joined = joined_groups(np.array(["a", "b", "c", "a"]), np.array([1, 2, 2, 3]))
    assert joined.tolist() == [0, 1, 1, 0]
