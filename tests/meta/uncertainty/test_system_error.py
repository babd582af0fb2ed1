"""The error of mean predictions of systems that were left out of the fit."""

import json

import numpy as np
import pytest
from builders import prediction_tables, rows_of_tables
from scipy.special import stdtrit

from base_models.errors import DamagedArtifact
from meta.regressor import MetaRegressor
from meta.uncertainty.system_error import SystemLevelError


def errors_of(rng, n_systems, deviation, clips=10):
    systems = np.repeat(np.arange(n_systems), clips)
    errors = 0.4 + deviation * rng.normal(size=n_systems)[systems]
    return errors + 0.5 * rng.normal(size=len(systems)), systems


@pytest.mark.parametrize(("n_systems", "deviation"), [(8, 0.3), (20, 0.1), (20, 0.4)])
def test_differences_of_new_systems_lie_within_it_as_often_as_said(
    n_systems, deviation
):
    rng = np.random.default_rng(0)
    inside = []
    for _ in range(300):
        found = SystemLevelError.fit(*errors_of(rng, n_systems, deviation), width=4.0)
        reach = stdtrit(found.freedom, 0.975) * np.sqrt(2 * found.variance)
        true = deviation * (rng.normal() - rng.normal())
        inside.append(abs(true) <= reach)
    assert np.mean(inside) > 0.92


def test_many_systems_with_many_clips_give_the_true_deviation_and_bias():
    errors = errors_of(np.random.default_rng(1), 800, 0.3, clips=40)
    found = SystemLevelError.fit(*errors, width=4.0)
    assert np.sqrt(found.variance) == pytest.approx(0.3, rel=0.06)
    assert found.bias == pytest.approx(0.4, abs=0.04)
    assert found.freedom > 300


def test_it_is_never_said_to_be_nothing():
    errors, systems = errors_of(np.random.default_rng(2), 6, 0.0)
    # Means of systems that differ less than their clips alone would make them.
    means = np.bincount(systems, weights=errors) / 10
    found = SystemLevelError.fit(errors - means[systems], systems, width=4.0)
    assert 0 < found.variance < 0.2


def test_one_system_tells_nothing():
    assert SystemLevelError.fit(np.zeros(5), np.full(5, "a"), width=4.0) is None


def test_with_one_clip_of_each_system_all_error_counts_as_that_of_systems():
    errors = np.random.default_rng(3).normal(size=60)
    found = SystemLevelError.fit(errors, np.arange(60), width=20.0)
    assert found.variance == pytest.approx(errors.var(ddof=1), rel=0.05)


def test_on_another_scale_it_is_as_many_times_larger():
    found = SystemLevelError(variance=0.04, freedom=9.0, bias=-0.1, n_systems=12)
    other = found.on_scale(25.0)
    assert other.variance == pytest.approx(25.0)
    assert other.bias == pytest.approx(-2.5)
    assert (other.freedom, other.n_systems) == (9.0, 12)


def stack_of(systems):
    labels = np.random.default_rng(4).uniform(1, 5, (60, 2))
    tables = prediction_tables(labels, ["good", "noisy"])
    rows = rows_of_tables(tables, labels, systems=systems)
    return MetaRegressor("mean").fit(tables, rows).calibrate(tables, rows)


def test_a_stack_keeps_it_and_one_that_was_stored_without_has_none():
    stack = stack_of([f"s{k % 6}" for k in range(60)])
    assert all(known.n_systems == 6 for known in stack.system_errors_)
    facts, arrays = stack.state()
    facts = json.loads(json.dumps(facts))
    assert MetaRegressor.from_state(facts, arrays).system_errors_ == (
        stack.system_errors_
    )
    del facts["system_errors"]
    assert MetaRegressor.from_state(facts, arrays).system_errors_ == [None, None]


def test_clips_without_systems_leave_it_unknown():
    assert stack_of(None).system_errors_ == [None, None]


@pytest.mark.parametrize("value", [-1.0, float("nan"), "x"])
def test_a_damaged_one_is_refused(value):
    stack = stack_of([f"s{k % 6}" for k in range(60)])
    facts, arrays = stack.state()
    facts["system_errors"][0]["variance"] = value
    with pytest.raises(DamagedArtifact, match="stored stack is damaged"):
        MetaRegressor.from_state(facts, arrays)
