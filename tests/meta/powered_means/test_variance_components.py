"""Laws of the components of the variance of ratings."""

from dataclasses import replace

import numpy as np
import pytest
from rated_systems import World

from meta.powered_means.variance_components import VarianceComponents

CROSSED = World(
    systems=6,
    rated=12,
    raters=15,
    per_clip=5,
    of_raters=0.5,
    of_raters_in_system=0.4,
    of_prompts=0.3,
    clips=12,
    correlation=0.0,
)
"""True variances: prompts .09, clips .36, raters .25 and .16, the rest .25."""


def mean_components(world, slope=0.0, repeats=60):
    rng = np.random.default_rng(0)
    found = [VarianceComponents.fit(world.draw(rng)[0], slope) for _ in range(repeats)]
    names = ("prompt", "clip", "rater", "rater_in_system", "error")
    return {name: np.mean([getattr(one, name) for one in found]) for name in names}


def test_the_components_of_crossed_ratings_are_found():
    found = mean_components(CROSSED)
    assert found["prompt"] == pytest.approx(0.09, abs=0.02)
    assert found["clip"] == pytest.approx(0.36, abs=0.02)
    assert found["rater"] == pytest.approx(0.25, abs=0.03)
    assert found["rater_in_system"] == pytest.approx(0.16, abs=0.02)
    assert found["error"] == pytest.approx(0.25, abs=0.01)


def test_they_are_those_of_the_table_of_variances_where_it_is_balanced():
    # One system, every rater rates every clip: expected mean squares by hand.
    rng = np.random.default_rng(1)
    sample, _, _ = World(systems=1, rated=8, raters=5, per_clip=5).draw(rng)
    table = np.empty((8, 5))
    clips = np.unique(sample.clip_of, return_inverse=True)[1]
    table[clips, sample.rater] = rng.normal(size=40) + clips + 0.5 * sample.rater
    sample = replace(sample, ratings=table[clips, sample.rater])

    rows = table.mean(axis=1, keepdims=True)
    columns = table.mean(axis=0, keepdims=True)
    rest = table - rows - columns + table.mean()
    error = np.sum(rest**2) / (7 * 4)
    clip = (5 * np.var(rows, ddof=1) - error) / 5
    rater = (8 * np.var(columns, ddof=1) - error) / 8

    found = VarianceComponents.fit(sample, 0.0)
    assert found.clip == pytest.approx(clip)
    assert found.of_raters == pytest.approx(rater)
    assert found.error == pytest.approx(error)


def test_what_the_prediction_explains_is_no_scatter_of_clips():
    world = World(systems=8, rated=20, clips=20, per_clip=3, correlation=0.9)
    alone = mean_components(world, repeats=20)
    # True scores lie .75 on a point of prediction.
    powered = mean_components(world, slope=0.75, repeats=20)
    assert alone["clip"] == pytest.approx(0.36, abs=0.03)
    assert powered["clip"] == pytest.approx(0.36 * (1 - 0.81), abs=0.02)


def test_one_rating_of_each_clip_does_not_tell_noise_from_clips():
    found = VarianceComponents.fit(World().draw(np.random.default_rng(0))[0], 0.0)
    assert found.clip is None
    assert found.clip_share(1.0) == 0.0
    assert found.error > 0.3


def test_the_shares_of_the_variance_of_a_clip_follow_from_the_components():
    parts = VarianceComponents(0.1, 0.3, 0.2, 0.1, 0.5)
    assert parts.clip_share(4) == pytest.approx(0.4 / (0.4 + 0.8 / 4))
    assert parts.prompt_share(4) == pytest.approx(0.1 / (0.4 + 0.8 / 4))
    assert VarianceComponents(0, 0.0, 0, 0, 1.0).clip_share(1) == 0.0
    assert VarianceComponents(0, None, 0, 0, 1.0).prompt_share(1) == 0.0
