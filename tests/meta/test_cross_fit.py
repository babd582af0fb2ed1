"""Every clip is predicted by learners that had no rating of its system."""

import numpy as np
import pytest
from builders import Predictor, prediction_tables, rows_of_tables
from cross_fitted_systems import RatedCorpus, draws_of_kinds
from rated_systems import measure

from base_models.errors import DamagedArtifact, UsageError
from base_models.files import from_json, to_json
from meta.adaptation import adapt
from meta.cross_fitted_regressor import CrossFittedRegressor
from meta.learners import LEARNERS
from meta.regressor import MetaRegressor
from meta.regressor_state import cross_fits_of, restore_cross_fits
from meta.splits.meta_split import meta_folds

RNG = np.random.default_rng(3)
SYSTEMS = np.array([f"s{k % 7}" for k in range(70)], dtype=object)
LABELS = np.clip(RNG.normal(3, 0.8, (70, 2)), 1, 5)
TABLES = prediction_tables(
    LABELS, {"a": Predictor(noise=0.5), "b": Predictor(noise=0.9)}, aspects=["mi", "ta"]
)
IDS = list(TABLES[0].clip_ids)
SYSTEM_OF = dict(zip(IDS, SYSTEMS, strict=True))
KNOWN = 50
"""The first so many clips are labelled."""


def rated(**known):
    labels = LABELS.copy()
    labels[KNOWN:] = np.nan
    labels[:4, 1] = np.nan
    return rows_of_tables(TABLES, labels, systems=SYSTEMS, **known).usable()


def fitted(learner="ridge"):
    rows = rated()
    return MetaRegressor(learner).fit(TABLES, rows).calibrate(TABLES, rows)


def test_clips_of_a_system_are_predicted_by_a_fit_without_it():
    regressor = fitted()
    found = CrossFittedRegressor.of(regressor, SYSTEM_OF).predict(TABLES)
    for k in range(2):
        rows = rated().in_id_order().of_aspect(k)
        fold = meta_folds(rows)
        for number in np.unique(fold):
            without = MetaRegressor("ridge").fit(TABLES, rows.take(fold != number))
            expected = without.predict(TABLES)[:, 0]
            # Rated and unrated clips alike.
            own = np.isin(SYSTEMS, rows.systems[fold == number])
            np.testing.assert_allclose(found[own, k], expected[own], rtol=1e-12)


def test_out_of_fold_scores_are_those_of_the_rated_clips():
    regressor = fitted()
    table = regressor.out_of_fold_
    assert table.index.name == "clip_id"
    assert set(table.index) == set(IDS[:KNOWN])
    assert table["ta"].isna().sum() == 4
    crossed = CrossFittedRegressor.of(regressor, SYSTEM_OF)
    scores = crossed.predict(TABLES, list(table.index))
    is_known = table.notna().to_numpy()
    np.testing.assert_allclose(table.to_numpy()[is_known], scores[is_known])
    assert len(MetaRegressor().fit(TABLES, rated()).out_of_fold_) == 0


def test_a_system_that_no_fold_left_out_gets_the_mean_of_all_learners():
    known = fitted().cross_fits_[0]
    shares = np.bincount(known.fold) / len(known.fold)
    weights = known.weights(["new", IDS[60], IDS[0]], ["other", SYSTEMS[60], ""])
    np.testing.assert_allclose(weights[0], shares)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    assert sorted(weights[1]) == sorted(weights[2]) == [0, 0, 0, 0, 1]


def test_a_system_in_several_folds_gets_its_learners_by_its_clips():
    groups = np.arange(70) % 10
    rows = rated(groups=groups)
    known = MetaRegressor("ridge").fit(TABLES, rows).calibrate(TABLES, rows)
    crossed = known.cross_fits_[0]
    is_of_system = np.array(crossed.systems) == "s0"
    expected = np.bincount(crossed.fold[is_of_system], minlength=5) / is_of_system.sum()
    np.testing.assert_allclose(crossed.weights(["new"], ["s0"])[0], expected)


@pytest.mark.parametrize(
    "learner", [name for name in LEARNERS if name != "linear_pool"]
)
def test_stored_learners_of_folds_predict_bit_for_bit(learner):
    regressor = fitted(learner)
    facts, arrays = cross_fits_of(regressor)
    again = MetaRegressor.from_state(*regressor.state())
    assert again.cross_fits_ == [None, None]
    restore_cross_fits(again, from_json(to_json(facts), "facts"), arrays)
    expected = CrossFittedRegressor.of(regressor, SYSTEM_OF)
    found = CrossFittedRegressor.of(again, SYSTEM_OF)
    for method in ("predict", "predict_interval", "predict_distribution"):
        np.testing.assert_array_equal(
            getattr(found, method)(TABLES), getattr(expected, method)(TABLES)
        )
    assert again.out_of_fold_.equals(regressor.out_of_fold_)


def test_damaged_learners_of_folds_are_refused():
    regressor = fitted()
    facts, arrays = cross_fits_of(regressor)
    again = MetaRegressor.from_state(*regressor.state())
    first = facts[0]
    twice = [first["ids"][1], *first["ids"][1:]]
    damaged = [
        facts[:1],
        [3, None],
        [{}, None],
        [first | {"ids": first["ids"][1:]}, None],
        [first | {"ids": twice}, None],
        [first | {"ids": ["stranger", *first["ids"][1:]]}, None],
        [first | {"fold": [9] * len(first["fold"])}, None],
        [first | {"fold": ["x"] * len(first["fold"])}, None],
        [first | {"learners": first["learners"][1:]}, None],
    ]
    for wrong in damaged:
        with pytest.raises(DamagedArtifact, match="damaged"):
            restore_cross_fits(again, wrong, arrays)
    for name in list(arrays):
        less = {key: array for key, array in arrays.items() if key != name}
        with pytest.raises(DamagedArtifact, match="damaged"):
            restore_cross_fits(again, facts, less)
    infinite = {"0.scores": np.full(KNOWN, np.inf)}
    with pytest.raises(DamagedArtifact, match="finite out-of-fold score"):
        restore_cross_fits(again, facts, arrays | infinite)
    assert again.cross_fits_ == [None, None]


def test_without_learners_of_folds_nothing_is_cross_fitted():
    rows = rated()
    uncalibrated = MetaRegressor("ridge").fit(TABLES, rows)
    foreign = (
        MetaRegressor("KNeighborsRegressor").fit(TABLES, rows).calibrate(TABLES, rows)
    )
    assert foreign.out_of_fold_["mi"].notna().all()
    facts, arrays = cross_fits_of(foreign)
    restored = MetaRegressor.from_state(*foreign.state(), foreign.sklearn_estimators)
    restore_cross_fits(restored, facts, arrays)
    assert restored.out_of_fold_.equals(foreign.out_of_fold_)
    new = rows_of_tables(TABLES, LABELS, systems=SYSTEMS).take(np.arange(KNOWN, 70))
    adapted = adapt(fitted("ridge"), TABLES, new)
    for regressor in (uncalibrated, restored, adapted):
        with pytest.raises(
            UsageError, match=r"no learners of its folds for 'mi', 'ta'"
        ):
            CrossFittedRegressor.of(regressor, SYSTEM_OF)
    with pytest.raises(UsageError, match="keeps no learners of its folds"):
        restored.cross_fits_[0].predict(np.zeros((1, 40)), ["x"], [""])


def test_means_by_ratings_that_the_stack_was_fitted_on_are_held_if_cross_fitted():
    """Scores of two kinds of learners differ in level, which no rating reveals."""
    found = {
        kind: measure(samples)
        for kind, samples in draws_of_kinds(
            RatedCorpus(systems=5, rated=10, models=20), repeats=80, learner="stack"
        ).items()
    }
    assert found["cross-fitted"].systems[1] >= 0.93
    assert found["cross-fitted"].differences[1] >= 0.93
    assert found["cross-fitted"].errors[1] < 0.8 * found["cross-fitted"].errors[0]
    assert found["mixed"].systems[1] < 0.9
    assert found["mixed"].errors[1] > found["mixed"].errors[0]
