"""Mean scores of systems, their differences, and what both are as sure as."""

import numpy as np
import pandas as pd
import pytest
from compared_systems import NO_RATINGS, table_of
from scipy import stats

from meta.comparison.systems.mean_scores import MeanScores, Part, estimate_of
from meta.powered_means.rated_sample import RatedSample


def means_of(clips):
    return MeanScores(RatedSample.from_tables(clips, NO_RATINGS, "mos"))


def scores(*shape, seed=0):
    return 3 + 0.5 * np.random.default_rng(seed).normal(size=shape)


def test_two_systems_with_the_same_prompts_are_compared_as_in_a_paired_t_test():
    values = scores(2, 9)
    found = means_of(table_of(values)).difference(0, 1)
    expected = stats.ttest_rel(values[1], values[0])
    estimate = estimate_of(found.value, [found.part])
    assert (found.paired, found.n_pairs) == (True, 9)
    assert estimate.p_value == pytest.approx(expected.pvalue)
    low, high = expected.confidence_interval(0.95)
    assert estimate.interval(0.95) == pytest.approx((low, high))


def test_systems_without_shared_prompts_are_compared_as_in_welchs_test():
    clips = table_of(np.where(np.arange(40) < 17, scores(2, 40), np.nan), shared=False)
    found = means_of(clips).difference(0, 1)
    groups = [of["prediction"] for _, of in clips.groupby("system_id")]
    expected = stats.ttest_ind(groups[1], groups[0], equal_var=False)
    assert (found.paired, found.n_pairs) == (False, 0)
    estimate = estimate_of(found.value, [found.part])
    assert estimate.p_value == pytest.approx(expected.pvalue, rel=0.02)


def test_several_clips_of_a_prompt_count_as_their_mean():
    values = scores(2, 6)
    clips = table_of(values)
    spread = pd.concat(
        [
            clips.assign(clip_id=clips["clip_id"] + f"t{k}").assign(
                prediction=clips["prediction"] + step
            )
            for k, step in enumerate((-0.4, 0.0, 0.4))
        ]
    )
    once = means_of(clips).difference(0, 1)
    often = means_of(spread).difference(0, 1)
    assert often.value == pytest.approx(once.value)
    assert often.part.variance == pytest.approx(once.part.variance)
    assert often.part.freedom == once.part.freedom == 5


def test_the_variance_of_a_mean_counts_prompts_and_not_clips():
    values = scores(1, 8)
    clips = table_of(values)
    doubled = pd.concat([clips, clips.assign(clip_id=clips["clip_id"] + "again")])
    expected = values.var(ddof=1) / 8
    for of in (clips, doubled):
        assert means_of(of).parts[0].variance == pytest.approx(expected)


def test_what_few_shared_prompts_bring_to_both_means_is_no_difference():
    # 4 prompts of 20 are shared, with large effects.
    rng = np.random.default_rng(1)
    wins = []
    for _ in range(200):
        of_a = rng.normal(size=20)
        of_b = np.concatenate([of_a[:4], rng.normal(size=16)])
        a = pd.DataFrame({"prediction": of_a, "prompt": [f"p{k}" for k in range(20)]})
        b = pd.DataFrame(
            {
                "prediction": of_b,
                "prompt": [f"p{k if k < 4 else k + 90}" for k in range(20)],
            }
        )
        clips = pd.concat([a.assign(system_id="a"), b.assign(system_id="b")])
        clips = clips.assign(clip_id=[f"c{k}" for k in range(40)])
        found = means_of(clips).difference(0, 1)
        assert (found.paired, found.n_pairs) == (False, 4)
        wins.append(found.part.variance)
    # 2 / 20 without any sharing; each shared prompt takes 2 / 400 of it.
    assert np.mean(wins) == pytest.approx(0.1 - 4 * 2 / 400, rel=0.1)


def test_a_system_with_one_clip_borrows_from_several_others_and_not_from_one():
    values = scores(4, 10)
    values[3, 1:] = np.nan
    borrowed = means_of(table_of(values, shared=False)).parts[3]
    assert borrowed.variance > 0
    alone = means_of(table_of(values[2:], shared=False)).parts[1]
    assert np.isnan(alone.variance)


def test_equal_differences_have_no_error_and_say_so():
    values = scores(1, 5)
    found = means_of(table_of(np.vstack([values, values + 0.2]))).difference(0, 1)
    estimate = estimate_of(found.value, [Part(0.0, found.part.freedom)])
    assert np.isnan(estimate.deviation)
    assert np.isnan(estimate.p_value)


def test_parts_that_are_known_for_sure_leave_the_normal_distribution():
    estimate = estimate_of(1.0, [Part(0.04), Part(0.05)])
    assert estimate.interval(0.95) == pytest.approx(stats.norm(1, 0.3).interval(0.95))
