"""Learning curves of a listening test: repeated nested subsets, and what is refused."""

import dataclasses
import itertools

import numpy as np
import pandas as pd
import pytest
from builders import SHARED_DATA, clip_table, tones

from base_models.clips.read_clips import read_clips
from base_models.errors import UsageError
from ensemble.training.checks.learning_curve import (
    CurveSetup,
    _nested_subsets,
    learning_curve,
)


@pytest.fixture(scope="module")
def frame(tmp_path_factory):
    """48 clips whose label hangs on their pitch, of 12 contents."""
    pitch = np.arange(48) % 4
    noise = np.random.default_rng(0).normal(0, 0.2, 48)
    frame = clip_table(
        tmp_path_factory.mktemp("clips"),
        tones(48, seconds=0.3, noise=0.01),
        split="",
        content=[f"k{k // 4}" for k in range(48)],
        mos=2 + 0.5 * pitch + noise,
    )
    frame.attrs["aspects"] = ["mos"]
    return frame


@pytest.fixture(scope="module")
def curve(frame):
    return learning_curve(frame, CurveSetup(draws=2)).aspects[0]


def test_what_can_be_learnt_is_measured_and_better_than_a_constant(curve):
    assert curve.counts == (9, 18, 27, 36)
    errors = [mean.mean for mean in curve.measured["mse"]]
    assert errors[-1] < errors[0]
    assert errors[-1] < curve.constant.mean
    assert curve.measured["srcc"][-1].mean > 0.5
    assert "mos, the next 50 ratings (48 to 98 clips): MSE" in curve.sentence
    values = curve.to_json()
    assert values["next_ratings"][0]["later"] == 98
    assert len(values["measured"]["mse"]) == 4


def test_the_same_clips_give_the_same_curve_in_any_order(frame, curve):
    turned = frame.sample(frac=1, random_state=1).reset_index(drop=True)
    turned.attrs["aspects"] = ["mos"]
    assert learning_curve(turned, CurveSetup(draws=2)).aspects[0].to_json() == (
        curve.to_json()
    )
    other = learning_curve(frame, CurveSetup(draws=2, seed=1)).aspects[0]
    assert other.to_json() != curve.to_json()


def test_test_clips_take_no_part(frame, curve):
    test = frame.assign(
        clip_id=[f"t{k}" for k in range(48)], split="test", mos=5.0 - frame["mos"] % 1
    )
    both = pd.concat([frame.assign(split="train"), test], ignore_index=True)
    both.attrs["aspects"] = ["mos"]
    assert learning_curve(both, CurveSetup(draws=2)).aspects[0].to_json() == (
        curve.to_json()
    )


def test_subsets_are_nested_and_hold_groups_whole():
    units = np.repeat(np.arange(10), 5)
    rows = np.flatnonzero(units > 1)
    subsets = _nested_subsets(rows, units, np.random.default_rng(0))
    assert [len(one) for one in subsets] == [10, 20, 30, 40]
    for smaller, larger in itertools.pairwise(subsets):
        assert set(smaller) < set(larger)
    for subset in subsets:
        assert {np.count_nonzero(units[subset] == k) for k in units[subset]} == {5}


def test_clips_that_cannot_be_read_are_set_aside(frame, tmp_path):
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF, and no more")
    damaged = frame.copy()
    damaged.attrs["aspects"] = ["mos"]
    damaged.loc[3, "audio"] = str(broken)
    found = learning_curve(damaged, CurveSetup(draws=1))
    assert [clip.clip_id for clip in found.set_aside] == ["c03"]
    assert found.aspects[0].clips == 47


def test_an_aspect_judged_by_text_hears_the_prompt_too(frame):
    # The prompts alternate, and the label is theirs.
    judged = frame.assign(ta=np.where(frame["prompt"] == "slow piano", 2.0, 4.0))
    judged.loc[:3, "prompt"] = ""
    judged.attrs["aspects"] = ["mos", "ta"]
    mos, ta = learning_curve(judged, CurveSetup(draws=2)).aspects
    assert mos.clips == 48
    assert ta.clips == 44
    assert ta.measured["srcc"][-1].mean > 0.8


def test_what_has_no_curve_is_refused_before_anything_is_embedded(frame):
    setup = CurveSetup(audio_encoder="no such encoder")

    def refused(changed, message, **options):
        changed.attrs["aspects"] = ["mos"]
        with pytest.raises(UsageError, match=message):
            learning_curve(changed, dataclasses.replace(setup, **options))

    refused(frame.head(19), "at least 20 clips rated for mos.*; 19 can be used")
    refused(frame.assign(mos=3.0), "Every label of mos is 3: there is nothing to learn")
    refused(frame, "Unknown column for --group 'artist'", group="artist")
    refused(frame, "at least 8 groups.* 'system_id' has 4", group="system_id")
    refused(frame.copy(), "Unknown encoder 'no such encoder'")


@pytest.mark.skipif(
    not SHARED_DATA.is_dir(), reason="the shared data is not in this checkout"
)
def test_on_a_real_listening_test_more_clips_give_smaller_errors():
    frame = read_clips(SHARED_DATA / "codec-listening-test" / "clips.csv")
    setup = CurveSetup(group="content_id", draws=2)
    curve = learning_curve(frame, setup).aspects[0]
    assert curve.counts == (24, 48, 72, 96)
    errors = [mean.mean for mean in curve.measured["mse"]]
    assert errors[-1] < errors[0]
    assert errors[-1] < curve.constant.mean
    assert "the next 50 ratings (128 to 178 clips)" in curve.sentence
