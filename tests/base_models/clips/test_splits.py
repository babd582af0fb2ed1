"""Shares hold overall and within systems, groups stay whole, and row order is moot."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from base_models.clips.splits import assign_splits, folds, reached, stratified_holdout
from base_models.errors import UsageError


def clips(counts, seed=0, **columns):
    """A clip table with ``counts[i]`` clips of system i."""
    rng = np.random.default_rng(seed)
    system = np.repeat([f"S{i:02d}" for i in range(len(counts))], counts)
    frame = pd.DataFrame(
        {"clip_id": [f"c{i:04d}" for i in range(len(system))], "system_id": system}
    )
    frame["mos"] = np.round(np.clip(rng.normal(3, 1, len(system)), 1, 5), 1)
    for name, values in columns.items():
        frame[name] = values
    frame.attrs["aspects"] = ["mos"]
    return frame


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "counts", [[40] * 6, [100, 3, 1, 1, 2, 57], [1] * 30, [2] * 20]
)
def test_shares_hold_overall_and_within_each_system_within_two_clips(counts, seed):
    frame = clips(counts)
    split = assign_splits(frame, (0.7, 0.15, 0.15), seed=seed)
    for name, share in zip(("train", "dev", "test"), (0.7, 0.15, 0.15), strict=True):
        assert abs((split == name).sum() - share * len(frame)) <= 1
        per_system = (split == name).groupby(frame["system_id"]).sum()
        assert (per_system - share * np.array(counts)).abs().max() < 2


def test_score_bands_are_alike_in_every_split():
    frame = clips([60] * 5)
    split = assign_splits(frame, seed=3)
    means = frame["mos"].groupby(split).mean()
    random = frame["mos"].groupby(np.random.default_rng(3).permutation(split)).mean()
    assert np.ptp(means) < 0.2
    assert np.ptp(means) < np.ptp(random)


def test_row_order_does_not_matter_and_a_seed_is_a_split():
    frame = clips(
        [50, 30, 2, 1, 37], prompt_id=[f"p{i % 15}" for i in range(120)]
    )  # many equal scores
    shuffled = frame.sample(frac=1, random_state=1)
    for group in (None, "prompt_id"):
        split = assign_splits(frame, seed=5, group=group)
        pd.testing.assert_series_equal(
            split, assign_splits(shuffled, seed=5, group=group).sort_index()
        )
    assert (assign_splits(frame, seed=5) != assign_splits(frame, seed=6)).any()


def test_groups_stay_whole_and_shares_still_hold():
    prompts = [f"P{i % 50:02d}" for i in range(400)]
    frame = clips([50] * 8, prompt_id=prompts)
    split = assign_splits(frame, seed=2, group="prompt_id")
    assert split.groupby(frame["prompt_id"]).nunique().max() == 1
    for name, share in zip(("train", "dev", "test"), (0.7, 0.15, 0.15), strict=True):
        assert abs((split == name).mean() - share) <= 8 / 400


def test_whole_systems_can_be_held_apart():
    frame = clips([20] * 20)
    split = assign_splits(frame, group="system_id")
    assert split.groupby(frame["system_id"]).nunique().max() == 1
    assert set(split) == {"train", "dev", "test"}


@pytest.mark.parametrize("n", [3, 4, 5, 7])
def test_no_split_is_empty_when_there_are_three_clips(n):
    assert set(assign_splits(clips([1] * n))) == {"train", "dev", "test"}
    assert set(assign_splits(clips([n]))) == {"train", "dev", "test"}
    assert set(assign_splits(clips([n]), (0.9, 0.1, 0.0))) == {"train", "dev"}


def test_one_clip_trains_and_no_clips_are_no_splits():
    assert assign_splits(clips([1])).tolist() == ["train"]
    assert assign_splits(clips([0])).tolist() == []


def test_every_clip_of_a_small_system_is_as_likely_to_be_tested_as_another():
    frame = clips([2] * 30)
    lower = frame.groupby("system_id")["mos"].transform("min") == frame["mos"]
    share = np.mean(
        [lower[assign_splits(frame, seed=s) == "test"].mean() for s in range(60)]
    )
    assert abs(share - lower.mean()) < 0.06


def test_unlabelled_clips_and_clips_without_a_system_are_split_too():
    frame = clips([10, 10], mos=[np.nan] * 15 + [3.0] * 5).assign(system_id="")
    frame.attrs["aspects"] = ["mos"]
    assert assign_splits(frame).value_counts().to_dict() == {
        "train": 14,
        "dev": 3,
        "test": 3,
    }
    frame.attrs["aspects"] = []
    assert assign_splits(frame).value_counts().to_dict() == {
        "train": 14,
        "dev": 3,
        "test": 3,
    }


def test_a_holdout_is_a_share_of_each_system():
    frame = clips([20, 40, 10])
    held = stratified_holdout(frame["system_id"], frame[["mos", "mos"]], 0.4, seed=0)
    assert held.dtype == bool
    assert pd.Series(held).groupby(frame["system_id"]).sum().tolist() == [8, 16, 4]


def test_a_holdout_keeps_groups_whole():
    frame = clips([20, 20])
    groups = np.arange(40) % 10
    held = stratified_holdout(
        frame["system_id"], frame["mos"], 0.3, seed=1, groups=groups
    )
    assert sorted(pd.Series(held).groupby(groups).mean()) == [0.0] * 7 + [1.0] * 3


def test_folds_are_equal_within_one_and_cover_each_system():
    frame = clips([25, 10, 3, 1])
    fold = folds(frame["system_id"], frame["mos"], 5, seed=0)
    assert np.ptp(np.bincount(fold, minlength=5)) <= 1
    per_system = pd.crosstab(frame["system_id"], fold)
    assert (per_system.max(axis=1) - per_system.min(axis=1)).max() <= 1
    grouped = folds(
        frame["system_id"], frame["mos"], 3, seed=0, groups=frame["system_id"]
    )
    assert pd.Series(grouped).groupby(frame["system_id"]).nunique().max() == 1
    assert set(grouped) == {0, 1, 2}


def test_what_was_reached_is_told():
    frame = clips([20]).assign(split=["train"] * 14 + ["dev"] * 3 + ["test"] * 3)
    assert reached(frame) == "train 14 (70.0 %), dev 3 (15.0 %), test 3 (15.0 %)"


@pytest.mark.parametrize(
    "sizes",
    [(0.7, 0.3), (0.5, 0.2, 0.2), (1.2, -0.1, -0.1), (0, 0.5, 0.5), (np.nan, 0.5, 0.5)],
)
def test_sizes_are_shares(sizes):
    with pytest.raises(UsageError, match="three shares"):
        assign_splits(clips([10]), sizes)


def test_what_cannot_be_split_is_refused():
    frame = clips([3])
    systems = frame["system_id"]
    scores = frame["mos"]
    with pytest.raises(UsageError, match="No column 'prompt_id'"):
        assign_splits(frame, group="prompt_id")
    with pytest.raises(UsageError, match="A seed is an integer, not negative; got -1"):
        assign_splits(frame, seed=-1)
    with pytest.raises(UsageError, match="between 0 and 1"):
        stratified_holdout(systems, scores, 1.0, seed=0)
    with pytest.raises(UsageError, match="at least 2 clips"):
        stratified_holdout(systems, scores, 0.5, seed=0, groups=["g"] * 3)
    with pytest.raises(UsageError, match="4 folds need at least 4"):
        folds(systems, scores, 4, seed=0)
    with pytest.raises(UsageError, match="At least 2 folds"):
        folds(systems, scores, 1, seed=0)
    with pytest.raises(UsageError, match="2 groups for 3 clips"):
        folds(systems, scores, 2, seed=0, groups=["a", "b"])
