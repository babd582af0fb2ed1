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
            UsageError,
            match=rf"{name} cannot be adapted; of the learners, 'stack', 'ridge', 'pa",
        ):
            adapt(MetaRegressor(learner).fit(*known(30, 0)), tables, rows)


# ---- what is kept


def one_aspect(n, seed=1, predictors=SHIFTED, **known_of_rows):
    """The tables of a corpus and its rows, labelled for ``mi`` alone."""
    tables, y = corpus(n, seed, predictors)
    y[:, 1] = np.nan
    return tables, rows_of_tables(tables, y, **known_of_rows)


def left_out_errors(tables, rows, groups):
    """MSE on clips left out, with and without adapting: the slow, obvious way."""
    with_it, y = [], rows.labels[:, 0]
    ids = rows.ids
    for k, clip in enumerate(ids):
        others = np.flatnonzero(groups != groups[k])
        learnt = adapt(OLD, tables, rows.take(others), safe=False)
        with_it.append((learnt.predict(tables, [clip])[0, 0] - y[k]) ** 2)
    without = (OLD.predict(tables, ids.tolist())[:, 0] - y) ** 2
    return np.mean(with_it), np.mean(without)


@pytest.mark.parametrize("known_as", ["clips", "systems", "groups"])
@pytest.mark.parametrize("predictors", [PREDICTORS, SHIFTED], ids=["same", "shifted"])
def test_an_aspect_is_adapted_where_clips_left_out_say_so(predictors, known_as):
    kept = set()
    for seed in range(1, 6):
        names = np.array([f"s{k % 4}" for k in range(12)], dtype=object)
        given = {} if known_as == "clips" else {known_as: names}
        tables, rows = one_aspect(12, seed, predictors, **given)
        adapted = adapt(OLD, tables, rows)
        mi, ta = adapted.adaptation_
        by = np.arange(12) if known_as == "clips" else names
        with_it, without = left_out_errors(tables, rows, by)
        assert mi.error_adapted == pytest.approx(with_it, rel=1e-9)
        assert mi.error_none == pytest.approx(without, rel=1e-9)
        assert mi.kept == (with_it < without)
        assert mi.left_out == ("clip" if known_as == "clips" else "group")
        assert (ta.kept, ta.clips, ta.reason) == (False, 0, "no clip is labelled")
        kept.add(mi.kept)

        always = adapt(OLD, tables, rows, safe=False)
        assert_same(adapted, always if mi.kept else OLD)
        note = f"mi: not adapted: {mi.reason}"
        assert (note in adapted.warnings_) == (not mi.kept)
    assert predictors is PREDICTORS or kept == {True}


def test_few_clips_of_the_same_test_are_kept_less_often_and_harm_less():
    """What the rule is for: nothing is to be learnt from clips of the same test."""
    unseen, truth = corpus(400, 99)
    none = np.mean((OLD.predict(unseen)[:, 0] - truth[:, 0]) ** 2)
    harm = {True: [], False: []}
    for seed in range(1, 31):
        tables, rows = one_aspect(5, seed, PREDICTORS)
        for safe, found in harm.items():
            scores = adapt(OLD, tables, rows, safe=safe).predict(unseen)[:, 0]
            found.append(np.mean((scores - truth[:, 0]) ** 2) - none)
    assert np.mean(harm[True]) < np.mean(harm[False])
    shares = {safe: np.mean(np.array(found) > 0) for safe, found in harm.items()}
    assert shares[True] < 0.7 * shares[False]


@pytest.mark.parametrize(
    ("n", "known_of_rows", "reason"),
    [
        (1, {}, "1 labelled clip leaves none to try it on; 2 are the fewest"),
        (5, {"systems": ["s"] * 5}, "all 5 labelled clips are of one system or group"),
        (5, {"groups": [7] * 5}, "all 5 labelled clips are of one system or group"),
    ],
)
def test_where_nothing_can_be_left_out_nothing_is_adapted(n, known_of_rows, reason):
    adapted = adapt(OLD, *one_aspect(n, **known_of_rows))
    assert_same(adapted, OLD)
    found = adapted.adaptation_[0]
    assert reason in found.reason
    assert (found.kept, found.error_none, found.error_adapted) == (False, None, None)
    assert any(reason in warning for warning in adapted.warnings_)
    one = adapt(OLD, *one_aspect(n, **known_of_rows), safe=False)
    assert (one.predict(UNSEEN)[:, 0] != OLD.predict(UNSEEN)[:, 0]).any()


@pytest.mark.parametrize("n", [2, 5, 80])
@pytest.mark.parametrize("safe", [True, False])
def test_labels_that_are_all_equal_are_refused(n, safe):
    tables, y = corpus(n, 1)
    y[:, 1] = 5.0
    with pytest.raises(UsageError, match=f"All {n} labels of 'ta' are 5, which says"):
        adapt(OLD, tables, rows_of_tables(tables, y), safe=safe)


@pytest.mark.parametrize("label", [0.9, 5.1, 50, -1, np.inf])
def test_labels_off_the_scale_are_refused(label):
    tables, y = corpus(5, 1)
    y[2, 1] = label
    with pytest.raises(UsageError, match=r"clip '1-2', aspect 'ta' is .* 1\.\.5"):
        adapt(OLD, tables, rows_of_tables(tables, y))


def test_the_stack_takes_systems_and_groups_from_what_it_is_given():
    tables, y = corpus(60, 0)
    stack = StackedMOS.from_predictions(tables, y)
    new, labels = corpus(8, 1, SHIFTED)
    names = [f"s{k % 3}" for k in range(8)]
    frame = pd.DataFrame(labels, index=list(new[0].clip_ids), columns=["mi", "ta"])

    def found(*args, **options):
        return stack.adapt(*args, **options).final_estimator_.adaptation_

    by_clip = found(new, frame)
    by_group = found(new, frame, groups=names)
    assert [one.left_out for one in (*by_clip, *by_group)] == ["clip"] * 2 + [
        "group"
    ] * 2
    assert found(new, frame.assign(system_id=names)) == by_group
    assert all(one.kept for one in found(new, frame, safe=False))
    with pytest.raises(UsageError, match="8 rows of labels need as many groups"):
        found(new, frame, groups=names[:3])


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
