from dataclasses import replace

import numpy as np
import pytest
from builders import PREDICTORS, prediction_tables, rows_of_tables

from base_models.errors import DamagedArtifact
from base_models.predictions import PredictionTable
from meta.adaptation import adapt
from meta.regressor import MetaRegressor
from meta.uncertainty.clip_range import (
    FALSE_ALARMS,
    FEWEST_OF_CORPUS,
    WIDENING,
    ClipRange,
    RangeCheck,
)

REFERENCE = np.linspace(0.5, 1.5, 999)
OTHERS = {
    "good": PREDICTORS["good"],
    "noisy": PREDICTORS["opposed"],
    "biased": PREDICTORS["biased"],
}
"""How the models predict clips of another kind."""


def known(labels, name, predictors=("good", "noisy", "biased"), distances=None):
    """Prediction tables of clips called by name, and distances, if any."""
    ids = [f"{name}{k:04d}" for k in range(len(labels))]
    tables = prediction_tables(
        labels[:, None], predictors, ids=ids, aspects=("mos",), rng=len(labels)
    )
    if distances is None:
        return tables
    return [replace(table, distances=distances) for table in tables]


def stack(distances=True, n=250):
    """A calibrated stack of n clips, with or without distances."""
    rng = np.random.default_rng(0)
    labels = rng.uniform(1, 5, n)
    told = np.exp(rng.normal(0, 0.2, n)) if distances else None
    tables = known(labels, "a", distances=told)
    rows = rows_of_tables(tables, labels[:, None])
    return MetaRegressor("ridge").fit(tables, rows).calibrate(tables, rows)


def new_clips(distances=None, n=200, predictors=("good", "noisy", "biased")):
    labels = np.random.default_rng(1).uniform(1, 5, n)
    return labels, known(labels, "b", predictors, distances)


def test_a_marked_clip_has_no_narrower_interval_than_widened_typical_ones():
    # Errors grow with the disagreement of the base models; clips on which these agree
    # are narrow, but not where nothing is known of the errors.
    rng = np.random.default_rng(0)
    n = 400
    noise = np.where(np.arange(n) % 2, 0.05, 0.8)
    labels = rng.uniform(2, 4, n)
    ids = [f"a{k:04d}" for k in range(n)]
    scores = labels + noise * rng.normal(0, 1, (3, n))
    far = np.exp(rng.normal(0, 0.2, n))
    tables = [
        PredictionTable.from_scores(
            f"m{k}", ids, ["mos"], np.clip(of_model, 1, 5)[:, None]
        )
        for k, of_model in enumerate(scores)
    ]
    tables = [replace(table, distances=far) for table in tables]
    rows = rows_of_tables(tables, labels[:, None])
    regressor = MetaRegressor("mean").fit(tables, rows).calibrate(tables, rows)
    inside = regressor.error_scales(tables)[:, 0]
    assert inside.min() < 0.6 < 1 < inside.max()

    outside = [replace(table, distances=far * 50) for table in tables]
    check = regressor.check_range(outside)
    assert check.out_of_range.all()
    assert (regressor.error_scales(outside)[:, 0] >= check.widening).all()


def deviations(regressor, tables):
    """Standard deviations of the predicted distributions."""
    rows = regressor.predict_distribution(tables)[:, 0]
    centers = regressor.layout_.bins.centers
    return np.sqrt(rows @ centers**2 - (rows @ centers) ** 2)


# ---- single clips


@pytest.mark.parametrize("distances", [True, False])
def test_clips_like_those_learnt_from_are_marked_no_more_often_than_stated(distances):
    regressor = stack(distances)
    told = np.exp(np.random.default_rng(2).normal(0, 0.2, 2000))
    _, tables = new_clips(told if distances else None, n=2000)
    check = regressor.check_range(tables)
    assert check.false_alarms == FALSE_ALARMS
    assert check.out_of_range.mean() < 3 * FALSE_ALARMS
    assert not check.is_shifted
    assert (check.widening[~check.out_of_range] == 1).all()


def test_a_clip_far_from_those_learnt_from_is_marked_and_its_interval_widened():
    regressor = stack()
    told = np.ones(50)
    told[:3] = [2.5, 6, 100]
    _, tables = new_clips(told, n=50)
    check = regressor.check_range(tables)
    assert check.out_of_range.tolist() == [True] * 3 + [False] * 47
    assert check.widening[0] == WIDENING < check.widening[1] < check.widening[2] == 10
    near = [replace(table, distances=np.ones(50)) for table in tables]
    for level in (0.5, 0.9):
        low, high = regressor.predict_interval(tables, level=level)
        narrow_low, narrow_high = regressor.predict_interval(near, level=level)
        assert (low[:3] <= narrow_low[:3]).all()
        assert (high[:3] >= narrow_high[:3]).all()
        assert ((high - low)[:3] > 1.4 * (narrow_high - narrow_low)[:3]).all()
        np.testing.assert_array_equal(low[3:], narrow_low[3:])
    np.testing.assert_array_equal(regressor.predict(tables), regressor.predict(near))
    assert (deviations(regressor, tables)[:3] > deviations(regressor, near)[:3]).all()
    uncalibrated = MetaRegressor("mean").fit(
        near, rows_of_tables(near, np.full((50, 1), 3.0))
    )
    low, high = uncalibrated.predict_interval(tables)
    narrow_low, _ = uncalibrated.predict_interval(near)
    assert (low[:2] < narrow_low[:2]).all()


def test_without_distances_models_that_disagree_as_never_before_are_marked():
    regressor = stack(distances=False)
    labels, _ = new_clips()
    tables = prediction_tables(
        labels[:, None],
        OTHERS,
        ids=[f"b{k}" for k in range(len(labels))],
        aspects=("mos",),
    )
    check = regressor.check_range(tables)
    assert check.out_of_range.mean() > 0.2
    assert check.is_shifted
    # How good the clips are may differ as it likes.
    _, tables = new_clips()
    best = [table.take(table.clip_ids[:60]) for table in tables]
    assert not regressor.check_range(best).is_shifted


def test_distances_that_some_models_know_are_enough_and_none_are_unknown():
    regressor = stack()
    told = np.ones(30)
    told[0] = 50
    _, tables = new_clips(told, n=30)
    mixed = [replace(tables[0], distances=None), *tables[1:]]
    assert regressor.check_range(mixed).out_of_range.sum() == 1
    # A stack that knows distances falls back on the disagreement without them.
    plain = [replace(table, distances=None) for table in tables]
    assert regressor.check_range(plain).out_of_range.sum() == 0
    of_one = RangeCheck(np.array([np.nan, 9.0]), REFERENCE)
    assert of_one.out_of_range.tolist() == [False, True]
    assert of_one.ranks[0] == 1


def test_one_model_without_distances_tells_nothing():
    labels = np.linspace(1, 5, 40)
    tables = known(labels, "a", ("good",))
    regressor = MetaRegressor("mean").fit(
        tables, rows_of_tables(tables, labels[:, None])
    )
    assert regressor.check_range(tables) is None
    regressor.range_ = None
    assert regressor.check_range(tables) is None
    assert (regressor.error_scales(tables) == 1).all()


# ---- a corpus as a whole


def test_a_shifted_corpus_is_told_from_one_that_is_not():
    rng = np.random.default_rng(0)
    shifted = []
    for _ in range(300):
        alike = RangeCheck(rng.choice(REFERENCE, 60), REFERENCE)
        shifted.append(alike.is_shifted)
    assert np.mean(shifted) <= 0.01
    # Some clips far off, or all of them a little farther.
    some = rng.choice(REFERENCE, 60)
    some[:10] = 7
    assert RangeCheck(some, REFERENCE).is_shifted
    assert RangeCheck(rng.uniform(1.2, 1.5, 60), REFERENCE).is_shifted
    few = np.full(FEWEST_OF_CORPUS - 1, 7.0)
    assert not RangeCheck(few, REFERENCE).is_shifted


def test_the_sentences_say_how_many_clips_and_the_corpus_comes_first():
    far = RangeCheck(np.r_[np.full(12, 7.0), np.ones(8)], REFERENCE)
    corpus, marked = far.sentences
    assert corpus.startswith(
        "warning: these 20 clips as a whole lie outside of what the stack learnt from "
        "(12 marked, 0.1 expected by chance)"
    )
    assert marked.startswith("note: 12 of 20 clips are unlike those")
    assert "at most 0.5 % would be marked); their intervals are widened to" in marked
    assert marked.endswith(
        "at least 4.7 times that of a typical clip, or to the ends of the scale"
    )
    one = RangeCheck(np.r_[7.0, np.ones(8)], REFERENCE)
    assert "1 of 9 clips is unlike" in one.sentences[0]
    assert "; its interval is widened to" in one.sentences[0]
    assert "reference" not in repr(one)
    (one,) = RangeCheck(np.array([7.0]), REFERENCE).sentences
    assert one.startswith("note: 1 of 1 clip is unlike those")
    assert RangeCheck(np.ones(50), REFERENCE).sentences == []
    assert RangeCheck.joined([]) is None
    both = RangeCheck.joined([far, far])
    assert len(both.ranks) == 40


# ---- stored, and adapted


@pytest.mark.parametrize("distances", [True, False])
def test_a_saved_range_answers_bit_for_bit_and_a_damaged_one_is_refused(distances):
    regressor = stack(distances)
    facts, arrays = regressor.state()
    again = MetaRegressor.from_state(facts, arrays)
    told = np.linspace(0.1, 5, 200) if distances else None
    _, tables = new_clips(told)
    np.testing.assert_array_equal(
        again.check_range(tables).distances, regressor.check_range(tables).distances
    )
    older = {name: value for name, value in facts.items() if name != "range"}
    assert MetaRegressor.from_state(older, arrays).range_ is None

    for name in [name for name in arrays if name.startswith("r.")]:
        with pytest.raises(DamagedArtifact, match="damaged"):
            MetaRegressor.from_state(facts, arrays | {name: -np.ones(1)})
        less = {key: array for key, array in arrays.items() if key != name}
        with pytest.raises(DamagedArtifact, match="damaged"):
            MetaRegressor.from_state(facts, less)


@pytest.mark.parametrize("distances", [True, False])
def test_clips_that_were_adapted_to_are_in_range(distances):
    regressor = stack(distances)
    labels = np.random.default_rng(3).uniform(1, 5, 60)
    tables = prediction_tables(
        np.clip(labels + 1, 1, 5)[:, None],
        OTHERS,
        ids=[f"n{k:03d}" for k in range(60)],
        aspects=("mos",),
    )
    if distances:
        tables = [replace(table, distances=np.full(60, 4.0)) for table in tables]
    before = regressor.check_range(tables)
    assert before.is_shifted
    assert before.out_of_range.mean() > 0.2
    adapted = adapt(regressor, tables, rows_of_tables(tables, labels[:, None]))
    assert adapted.adaptation_[0].kept
    after = adapted.check_range(tables)
    assert after.out_of_range.mean() < 0.05
    assert regressor.check_range(tables).out_of_range.sum() == before.out_of_range.sum()


def test_few_clips_leave_no_range():
    tables = known(np.linspace(1, 5, 12), "a", distances=np.ones(12))
    regressor = MetaRegressor("mean").fit(
        tables, rows_of_tables(tables, np.linspace(1, 5, 12)[:, None])
    )
    assert regressor.range_.reference is None
    assert regressor.range_.patterns is None
    assert regressor.check_range(tables) is None
    facts, arrays = regressor.range_.to_state()
    assert ClipRange.from_state(facts, arrays, 3).patterns is None
