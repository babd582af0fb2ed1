"""A stack taught by rated clips of another corpus: from no change to a fresh fit."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from builders import Predictor, fit_measured, prediction_tables, rows_of_tables
from sklearn.linear_model import Ridge as PlainRidge

from base_models.errors import UsageError
from ensemble.estimator.stacked_mos import StackedMOS
from meta.adaptation import adapt
from meta.learners.ridge import Ridge
from meta.regressor import MetaRegressor
from meta.uncertainty.calibration import MIN_ROWS

ASPECTS = ("mi", "ta")
PREDICTORS = {"a": Predictor(noise=0.3), "b": Predictor(noise=0.6)}
SHIFTED = {
    "a": Predictor(noise=0.6, bias=0.8, gain=0.5),
    "b": Predictor(noise=0.2, bias=0.8),
}
"""The same base models on another corpus."""


def corpus(n, seed, predictors=PREDICTORS):
    """Tables of two base models, and labels."""
    rng = np.random.default_rng(seed)
    y = rng.uniform(1.5, 4.5, (n, 2))
    ids = [f"{seed}-{k}" for k in range(n)]
    return prediction_tables(y, predictors, ids=ids, rng=rng), y


def known(*args, **options):
    """The tables and the rows of a `corpus`."""
    tables, y = corpus(*args, **options)
    return tables, rows_of_tables(tables, y)


def fitted(learner="ridge", n=120):
    tables, y = corpus(n, 0)
    systems = [f"s{k % 8}" for k in range(n)]
    regressor = MetaRegressor(learner)
    fit_measured(regressor, tables, rows_of_tables(tables, y, systems=systems))
    return regressor


OLD = fitted()
UNSEEN, TRUTH = corpus(400, 99, SHIFTED)


def assert_same(one, other, tables=UNSEEN):
    for method in ("predict", "predict_distribution", "predict_interval"):
        np.testing.assert_array_equal(
            getattr(one, method)(tables), getattr(other, method)(tables)
        )


def test_no_labels_change_nothing_bit_for_bit():
    tables, y = corpus(6, 1, SHIFTED)
    none = [table.take([]) for table in tables]
    for adapted in (
        adapt(OLD, none, rows_of_tables(none, np.empty((0, 2)))),
        adapt(OLD, tables, rows_of_tables(tables, np.full((6, 2), np.nan))),
        adapt(OLD, tables, rows_of_tables(tables, y, weights=np.zeros(6))),
    ):
        assert adapted is not OLD
        assert adapted.fitted_on_ == OLD.fitted_on_
        assert_same(adapted, OLD)


def test_the_fitted_one_is_never_touched():
    before = OLD.state()
    adapt(OLD, *known(40, 1, SHIFTED))
    after = OLD.state()
    assert before[0] == after[0]
    for name, array in before[1].items():
        np.testing.assert_array_equal(after[1][name], array)


def test_more_clips_come_nearer_to_a_fresh_fit_and_to_the_truth():
    # With others to choose from, the fresh fit may have other columns.
    learner = Ridge(features="score")
    old = fitted(learner)
    apart = []
    errors = [np.mean((old.predict(UNSEEN) - TRUTH) ** 2)]
    for n in (4, 30, 300, 10_000):
        new = known(n, 5, SHIFTED)
        scores = adapt(old, *new).predict(UNSEEN)
        apart.append(
            np.abs(scores - MetaRegressor(learner).fit(*new).predict(UNSEEN)).mean()
        )
        errors.append(np.mean((scores - TRUTH) ** 2))
    assert sorted(errors, reverse=True) == errors
    assert apart[-1] < 0.01
    assert apart[-1] < 0.1 * apart[0]


@pytest.mark.parametrize("n", [3, 10, MIN_ROWS - 1, MIN_ROWS, 200])
def test_intervals_of_the_new_corpus_hold_what_they_say_and_the_old_ones_do_not(n):
    assert held(OLD) < 0.4
    shares = [held(adapt(OLD, *known(n, seed, SHIFTED))) for seed in range(1, 9)]
    assert (0.8 if n < MIN_ROWS - 1 else 0.87) < np.mean(shares) < 0.94


def held(regressor):
    low, high = regressor.predict_interval(UNSEEN, level=0.9)
    return np.mean((low <= TRUTH) & (high >= TRUTH))


def test_few_clips_stretch_the_old_residuals_and_keep_their_shape():
    few = adapt(OLD, *known(10, 1, SHIFTED))
    for old, new in zip(OLD.calibrations_, few.calibrations_, strict=True):
        assert new.rms > 1.2 * old.rms
        np.testing.assert_allclose(new.residuals / new.rms, old.residuals / old.rms)
    assert [
        len(found.residuals) for found in adapt(OLD, *known(64, 1)).calibrations_
    ] == [64, 64]


def test_each_aspect_learns_from_its_own_labels():
    tables, y = corpus(20, 1, SHIFTED)
    y[:, 1] = np.nan
    half = adapt(OLD, tables, rows_of_tables(tables, y))
    np.testing.assert_array_equal(half.predict(UNSEEN)[:, 1], OLD.predict(UNSEEN)[:, 1])
    assert (half.predict(UNSEEN)[:, 0] != OLD.predict(UNSEEN)[:, 0]).any()


def test_a_row_of_weight_zero_is_a_row_left_out():
    tables, y = corpus(12, 1, SHIFTED)
    weights = np.repeat([1.0, 0.0], 6)
    weighed = rows_of_tables(tables, y, weights=weights)
    half = rows_of_tables(tables, y, weights=np.ones(12)).take(slice(6))
    assert_same(adapt(OLD, tables, weighed), adapt(OLD, tables, half))


def test_the_order_of_the_new_clips_changes_nothing():
    tables, rows = known(47, 1, SHIFTED)
    order = np.random.default_rng(0).permutation(47)
    turned = adapt(OLD, tables, rows.take(order))
    assert_same(turned, adapt(OLD, tables, rows))


def test_clips_that_a_base_model_has_seen_are_refused():
    tables, y = corpus(5, 1)
    seen = [replace(tables[0], trained_on=frozenset({"1-3"})), tables[1]]
    with pytest.raises(
        UsageError, match=r"'1-3' were used to train 'a'; meta-training on them leaks"
    ):
        adapt(OLD, seen, rows_of_tables(seen, y))
    y[3] = np.nan
    adapt(OLD, seen, rows_of_tables(seen, y))


def test_learners_that_cannot_adapt_say_which_can():
    tables, rows = known(5, 1)
    for learner, name in (("mean", "Mean"), (PlainRidge(), "SklearnLearner")):
        with pytest.raises(
            UsageError, match=rf"{name} cannot be adapted; of the learners, 'ridge' can"
        ):
            adapt(MetaRegressor(learner).fit(*known(30, 0)), tables, rows)


def test_shapes_and_scale_are_checked():
    tables, y = corpus(5, 1)
    with pytest.raises(
        UsageError, match=r"Labels have shape \(4, 2\); expected \(5, 2\)"
    ):
        rows_of_tables(tables, y[:4])
    with pytest.raises(UsageError, match="5 clips need as many sample weights"):
        rows_of_tables(tables, y, weights=[1.0])
    with pytest.raises(UsageError, match=r"the scale is 1\.\.5"):
        adapt(OLD, tables, rows_of_tables(tables, 10 * y))
    with pytest.raises(UsageError, match="fitted with 'b', which is missing here"):
        adapt(OLD, tables[:1], rows_of_tables(tables, y))
    with pytest.raises(UsageError, match="no prediction for 'nobody'"):
        adapt(OLD, tables, rows_of_tables(tables, y[:1], ids=["nobody"]))


def test_an_adapted_stack_is_saved_and_adapted_again(tmp_path):
    tables, y = corpus(60, 0)
    stack = StackedMOS.from_predictions(tables, y)
    new, labels = corpus(8, 1, SHIFTED)
    adapted = stack.adapt(new, labels)
    assert adapted.validation_scores_ is None
    assert not hasattr(adapted, "join_")
    assert stack.validation_scores_ is not None
    with pytest.raises(AttributeError, match="needs meta-validation rows"):
        _ = adapted.verdict_
    adapted.save(tmp_path / "stack")
    again = StackedMOS.load(tmp_path / "stack")
    np.testing.assert_array_equal(again.predict(UNSEEN), adapted.predict(UNSEEN))
    np.testing.assert_array_equal(
        again.predict_distribution(UNSEEN), adapted.predict_distribution(UNSEEN)
    )
    twice = again.adapt(*corpus(8, 2, SHIFTED))
    assert twice.final_estimator_.describe()["mi"]["adapted_to"] == 16
    assert np.mean((twice.predict(UNSEEN) - TRUTH) ** 2) < np.mean(
        (stack.predict(UNSEEN) - TRUTH) ** 2
    )


def test_labels_of_predictions_are_joined_by_clip_id_and_none_is_lost():
    tables, y = corpus(60, 0)
    stack = StackedMOS.from_predictions(tables, y)
    new, labels = corpus(8, 1, SHIFTED)
    frame = pd.DataFrame(labels, index=list(new[0].clip_ids), columns=["mi", "ta"])
    expected = stack.adapt(new, labels).predict(UNSEEN)
    np.testing.assert_allclose(
        stack.adapt(new, frame.iloc[::-1, ::-1]).predict(UNSEEN), expected
    )
    some = stack.adapt(new, frame[:3]).predict(UNSEEN)
    np.testing.assert_allclose(
        some,
        stack.adapt([table.take(frame.index[:3]) for table in new], frame[:3]).predict(
            UNSEEN
        ),
    )
    with pytest.raises(UsageError, match="'a' has no prediction for 'lost'"):
        stack.adapt(
            new,
            pd.concat(
                [frame, pd.DataFrame({"mi": [3.0], "ta": [3.0]}, index=["lost"])]
            ),
        )
    with pytest.raises(
        UsageError, match=r"labels are of 'mi'; the stack predicts 'mi', 'ta'"
    ):
        stack.adapt(new, frame[["mi"]])


def test_a_frame_of_scores_adapts_a_stack_of_one_aspect():
    rng = np.random.default_rng(0)
    truth = pd.Series(rng.uniform(1.5, 4.5, 60), index=[f"c{k}" for k in range(60)])
    scores = pd.DataFrame({name: truth + rng.normal(0, 0.3, 60) for name in "ab"}).clip(
        1, 5
    )
    stack = StackedMOS.from_predictions(scores, truth)
    shifted = (truth - 0.5).clip(1, 5)
    adapted = stack.adapt(scores[:20], shifted[:20])
    assert adapted.predict(scores).shape == (60,)
    assert np.mean(adapted.predict(scores[20:]) - shifted[20:]) < 0.25
    np.testing.assert_array_equal(
        stack.adapt(scores[:0], shifted[:0]).predict(scores), stack.predict(scores)
    )


def test_a_matrix_adapts_a_stack_of_live_base_models():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, 3))
    y = np.clip(3 + X[:, 0], 1, 5)
    stack = StackedMOS(
        [("a", PlainRidge()), ("b", PlainRidge(alpha=100))], final_estimator=Ridge()
    ).fit(X[:60], y[:60])
    for none in (stack.adapt(X[:0], []), stack.adapt(X[:5], np.full(5, np.nan))):
        np.testing.assert_array_equal(none.predict(X), stack.predict(X))
    adapted = stack.adapt(
        X[60:80], np.clip(y[60:80] + 1, 1, 5), sample_weight=np.ones(20)
    )
    assert adapted.estimators_ is stack.estimators_
    assert np.mean(adapted.predict(X[80:]) - stack.predict(X[80:])) > 0.5
    with pytest.raises(UsageError, match="There are 5 clips but 4 rows of labels"):
        stack.adapt(X[:5], y[:4])
