"""StackedMOS keeps scikit-learn's grammar, and never shows the meta level a row that a
base model has seen.
"""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    LeaveOneGroupOut,
    RepeatedKFold,
    cross_val_score,
)
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

from base_models.bins import ScoreBins
from base_models.errors import UsageError
from ensemble.estimator.base_model_list import default_estimators
from ensemble.estimator.stacked_mos import StackedMOS


def ridges():
    return [("a", Ridge()), ("b", Ridge(alpha=50))]


@pytest.fixture(scope="module")
def matrix():
    """A matrix, labels of two aspects on the scale, and groups of six rows."""
    X = np.random.default_rng(0).normal(size=(60, 3))
    y = np.clip(3 + X @ np.array([[1.0, 0.2], [0.0, 1.0], [0.3, 0.0]]), 1, 5)
    return X, y, np.repeat(np.arange(10), 6)


@pytest.fixture(scope="module")
def fitted(matrix):
    X, y, _ = matrix
    return StackedMOS(ridges()).fit(X, y)


# ---- what a fitted stack answers


def test_one_dimensional_labels_give_one_dimensional_predictions(matrix):
    X, y, _ = matrix
    flat, table = (
        StackedMOS(ridges()).fit(X, y[:, 0]),
        StackedMOS(ridges()).fit(X, y[:, :1]),
    )
    assert flat.predict(X).shape == (60,)
    assert table.predict(X).shape == (60, 1)
    np.testing.assert_array_equal(flat.predict(X), table.predict(X)[:, 0])
    assert flat.predict_distribution(X).shape == (60, 1, 20)


@pytest.mark.parametrize("kind", [list, np.float32, pd.Series, pd.DataFrame])
def test_labels_may_come_in_any_container(matrix, kind):
    X, y, _ = matrix
    expected = StackedMOS(ridges()).fit(X, y[:, 0]).predict(X)
    labels = (
        kind(y[:, 0])
        if kind in (list, np.float32)
        else kind(y[:, 0], index=range(100, 160))
    )
    np.testing.assert_allclose(
        StackedMOS(ridges()).fit(X, labels).predict(X).ravel(), expected, atol=1e-5
    )


def test_scores_lie_on_the_scale_and_decode_from_their_distributions(fitted, matrix):
    far = np.vstack([matrix[0], 100 * matrix[0]])
    scores, distributions = fitted.predict(far), fitted.predict_distribution(far)
    assert scores.shape == (120, 2)
    assert distributions.shape == (120, 2, 20)
    assert 1 <= scores.min() < scores.max() <= 5
    np.testing.assert_allclose(distributions.sum(-1), 1, atol=1e-12)
    means = fitted.final_estimator_.layout_.bins.decode(distributions, 0)
    calibrations = fitted.final_estimator_.calibrations_
    for mean, score, calibration in zip(means.T, scores.T, calibrations, strict=True):
        expected = calibration.expected(
            score
        )  # near the ends a wide distribution cannot reach it
        np.testing.assert_allclose(
            mean, np.clip(expected, mean.min(), mean.max()), atol=1e-9
        )
    assert means.min() < 1.3 < 4.7 < means.max()


def test_the_stack_predicts_new_rows_well(matrix):
    X, y, _ = matrix
    stack = StackedMOS(ridges()).fit(X[:45], y[:45])
    assert np.mean((stack.predict(X[45:]) - y[45:]) ** 2) < 0.1


def test_a_row_scores_the_same_alone_and_in_any_order(fitted, matrix):
    X, order, whole = (
        matrix[0],
        np.random.default_rng(1).permutation(60),
        fitted.predict(matrix[0]),
    )
    np.testing.assert_allclose(fitted.predict(X[order]), whole[order], atol=1e-12)
    np.testing.assert_allclose(fitted.predict(X[7:8]), whole[7:8], atol=1e-12)


def test_transform_has_the_columns_that_it_names(fitted, matrix):
    array, features = (
        fitted.transform(matrix[0][:4]),
        clone(fitted).set_output(transform="pandas"),
    )
    features = features.fit(*matrix[:2]).transform(matrix[0][:4])
    assert array.shape == features.shape == (4, 2 * 2 * 20)
    assert list(features.columns) == list(fitted.get_feature_names_out())
    np.testing.assert_array_equal(array, features)
    assert features.columns[0] == "y0__a__b00"
    np.testing.assert_allclose(features.to_numpy().sum(axis=1), 4)


def test_the_same_seed_gives_the_same_stack(matrix):
    X, y, _ = matrix
    one, two, other = (
        StackedMOS(ridges(), random_state=seed).fit(X, y).predict(X)
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, two)
    assert (one != other).any()


def test_point_predictions_do_not_depend_on_the_validation_share(matrix):
    X, y, _ = matrix
    none, three, four = (
        StackedMOS(ridges(), validation=share).fit(X, y) for share in (None, 0.3, 0.4)
    )
    for other in (three, four):
        np.testing.assert_array_equal(none.predict(X), other.predict(X))
    assert none.validation_scores_ is None
    assert set(four.validation_scores_["model"]) == {
        "stack",
        "mean",
        "constant",
        "a",
        "b",
    }
    assert four.validation_scores_["n"].max() == 24


def test_the_meta_level_sees_predictions_of_unseen_rows():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(300, 4)), rng.uniform(1, 5, 300)
    stack = StackedMOS([("memory", KNeighborsRegressor(1))]).fit(X, y)
    np.testing.assert_allclose(
        stack.estimators_[0][1].predict(X), y
    )  # it knows every training row by heart
    board = stack.validation_scores_.set_index(["model", "level", "metric"])["value"]
    assert abs(board["memory", "utterance", "srcc"]) < 0.25
    assert np.ptp(stack.predict(X)) < 1  # so the stack does not trust it


# ---- scikit-learn's grammar


def test_an_unfitted_stack_says_so(matrix):
    stack = StackedMOS(ridges())
    for use in (
        stack.predict,
        stack.predict_distribution,
        stack.transform,
        stack.save,
        stack.get_feature_names_out,
    ):
        with pytest.raises(NotFittedError):
            use(matrix[0])


def test_a_fit_that_fails_leaves_nothing_to_predict_with(matrix):
    X, y, _ = matrix
    stack = StackedMOS(ridges(), bins=ScoreBins()).fit(X, y)
    with pytest.raises(UsageError, match="off the scale"):
        stack.fit(X, y + 10)
    with pytest.raises(NotFittedError):
        stack.predict(X)


def test_a_clone_has_the_parameters_and_nothing_learnt(fitted):
    copy = clone(fitted)
    assert copy.get_params()["b__alpha"] == 50
    assert not hasattr(copy, "estimators_")
    assert clone(StackedMOS()).estimators is None


def test_fit_leaves_the_given_base_models_alone(matrix):
    given = ridges()
    StackedMOS(given).fit(*matrix[:2])
    assert not hasattr(given[0][1], "coef_")


def test_cross_validation_and_pipelines_work(matrix):
    X, y, _ = matrix
    assert (
        cross_val_score(StackedMOS(ridges(), cv=3, validation=None), X, y, cv=3).min()
        > 0.8
    )
    pipeline = Pipeline(
        [("scale", StandardScaler()), ("stack", StackedMOS(ridges(), cv=3))]
    ).fit(X, y)
    assert pipeline.predict(X[:5]).shape == (5, 2)


def test_a_grid_reaches_base_models_and_the_final_estimator(matrix):
    X, y, _ = matrix
    grid = {"a__alpha": [1.0, 1e6], "final_estimator": ["mean", "ridge"]}
    search = GridSearchCV(
        StackedMOS([("a", Ridge())], cv=3, validation=None), grid, cv=3
    ).fit(X, y)
    assert len(search.cv_results_["params"]) == 4
    assert search.best_params_["a__alpha"] == 1.0


def test_a_base_model_can_be_dropped_and_replaced(matrix):
    X, y, _ = matrix
    stack = StackedMOS(ridges()).set_params(b="drop").fit(X, y)
    assert [name for name, _ in stack.estimators_] == ["a"]
    stack.set_params(b=LinearRegression(), a__alpha=7.0).fit(X, y)
    assert isinstance(dict(stack.estimators_)["b"], LinearRegression)
    assert dict(stack.estimators_)["a"].alpha == 7.0


@pytest.mark.parametrize("final", ["ridge", "lightgbm", "mean", Ridge(alpha=0.1)])
def test_final_estimators_by_name_or_as_a_regressor(matrix, final):
    X, y, _ = matrix
    assert (
        np.mean((StackedMOS(ridges(), final, cv=3).fit(X, y).predict(X) - y) ** 2) < 0.3
    )


@pytest.mark.parametrize("base", [SVR(), make_pipeline(StandardScaler(), SVR())])
def test_base_models_that_know_one_target_get_one_clone_per_aspect(matrix, base):
    X, y, _ = matrix
    assert StackedMOS([("svr", base), ("a", Ridge())], cv=3).fit(X, y).predict(
        X
    ).shape == (60, 2)


def test_default_base_models_fit_the_kind_of_data(matrix):
    X, y, _ = matrix
    assert [name for name, _ in StackedMOS(cv=2).fit(X, y[:, 0]).estimators_] == [
        "ridge",
        "tree",
    ]
    clips = pd.DataFrame({"clip_id": ["x"], "audio": ["x.wav"]})
    names = [name for name, _ in default_estimators(clips)]
    assert (len(names), names[0], len(set(names))) == (9, "dora-s0", 9)


def test_a_table_of_numbers_keeps_its_column_names_for_the_base_models(matrix):
    X, y, _ = matrix
    frame = pd.DataFrame(X, columns=["p", "q", "r"], index=range(100, 160))
    picks = make_pipeline(make_column_transformer(("passthrough", ["p", "r"])), Ridge())
    stack = StackedMOS([("picks", picks), ("a", Ridge())]).fit(frame, y)
    assert stack.predict(frame.iloc[::-1]).shape == (60, 2)
    assert list(stack.feature_names_in_) == ["p", "q", "r"]
    with pytest.raises(ValueError, match="feature names"):
        stack.predict(frame[["r", "q", "p"]])
    np.testing.assert_allclose(
        StackedMOS(ridges()).fit(frame, y).predict(frame),
        StackedMOS(ridges()).fit(X, y).predict(X),
        atol=1e-9,
    )


def test_base_models_that_take_missing_values_get_them(matrix):
    X, y, _ = matrix
    holes = np.where(np.random.default_rng(0).random(X.shape) < 0.1, np.nan, X)
    trees = HistGradientBoostingRegressor(max_iter=5, min_samples_leaf=5)
    assert StackedMOS([("trees", trees)], cv=2).fit(holes, y[:, 0]).predict(
        holes
    ).shape == (60,)
    with pytest.raises(ValueError, match="NaN"):
        StackedMOS(ridges()).fit(holes, y)


# ---- labels with gaps


def test_rows_without_a_label_are_left_out_of_base_models_and_stack(matrix):
    X, y, _ = matrix
    gaps = y[:, 0].copy()
    gaps[::5] = np.nan
    splits = [(rows, other) for rows, other in KFold(3).split(X)]
    rated = np.isfinite(gaps)
    number = np.cumsum(rated) - 1
    fewer = [(number[a[rated[a]]], number[b[rated[b]]]) for a, b in splits]
    one = StackedMOS(ridges(), cv=splits).fit(X, gaps).predict(X)
    two = StackedMOS(ridges(), cv=fewer).fit(X[rated], gaps[rated]).predict(X)
    np.testing.assert_allclose(one, two, atol=1e-9)


def test_each_aspect_may_miss_labels_of_its_own(matrix):
    X, y, groups = matrix
    gaps = y.copy()
    gaps[::4, 0], gaps[1::4, 1], gaps[2::12] = np.nan, np.nan, np.nan
    stack = StackedMOS(
        [*ridges(), ("forest", RandomForestRegressor(10, random_state=0))], cv=3
    )
    assert np.nanmean((stack.fit(X, gaps, groups=groups).predict(X) - y) ** 2) < 0.1
    assert set(stack.validation_scores_["aspect"]) == {"y0", "y1"}


def test_a_split_that_leaves_an_aspect_unlabelled_is_refused(matrix):
    X, y, _ = matrix
    gaps = y.copy()
    gaps[10:, 1] = np.nan
    splits = [(np.arange(10, 60), np.arange(10))]
    with pytest.raises(
        UsageError, match=r"leaves no label of aspect 'y1' to fit 'a' on"
    ):
        StackedMOS(ridges(), cv=splits).fit(X, gaps)


# ---- cv


def test_folds_of_groups_keep_groups_together(matrix):
    X, y, groups = matrix
    named = StackedMOS(ridges(), cv=5, random_state=3).fit(X, y, groups=groups)
    splitter = GroupKFold(5, shuffle=True, random_state=3)
    np.testing.assert_array_equal(
        named.predict(X),
        StackedMOS(ridges(), cv=splitter, random_state=3)
        .fit(X, y, groups=groups.tolist())
        .predict(X),
    )
    assert StackedMOS(ridges(), cv=LeaveOneGroupOut()).fit(X, y, groups=groups).predict(
        X
    ).shape == (60, 2)


def test_numpy_numbers_count_as_folds_and_shares(matrix):
    X, y, groups = matrix
    for ours, theirs in ((4, np.int64(4)), (0.5, np.float32(0.5)), (5, None)):
        a, b = (
            StackedMOS(ridges(), cv=cv, validation=None)
            .fit(X, y, groups=groups)
            .predict(X)
            for cv in (ours, theirs)
        )
        np.testing.assert_array_equal(a, b)


def test_a_holdout_keeps_the_base_models_that_never_saw_it(matrix):
    X, y = matrix[0], np.random.default_rng(0).uniform(1, 5, 60)
    stack = StackedMOS([("memory", KNeighborsRegressor(1))], cv=0.5).fit(X, y)
    known = stack.estimators_[0][1].predict(X) == y
    assert known.sum() == 30
    assert set(stack.final_estimator_.fitted_on_) == {
        str(row) for row in np.flatnonzero(~known)
    }


def test_splits_given_as_rows_or_masks_mean_the_same(matrix):
    X, y, _ = matrix
    splits = list(KFold(3).split(X))
    masks = [(np.isin(np.arange(60), a), np.isin(np.arange(60), b)) for a, b in splits]
    expected = StackedMOS(ridges(), cv=KFold(3)).fit(X, y).predict(X)
    for cv in (splits, masks, [(a.tolist(), b.tolist()) for a, b in splits]):
        np.testing.assert_array_equal(
            StackedMOS(ridges(), cv=cv).fit(X, y).predict(X), expected
        )


def test_rows_that_no_split_predicts_do_not_reach_the_meta_level(matrix):
    X, y, _ = matrix
    stack = StackedMOS(ridges(), cv=[(np.arange(30), np.arange(30, 50))]).fit(X, y)
    assert stack.final_estimator_.fitted_on_ == tuple(str(row) for row in range(30, 50))


def test_prefit_base_models_are_taken_as_they_are(matrix):
    X, y, _ = matrix
    bases = [(name, model.fit(X[:30], y[:30])) for name, model in ridges()]
    stack = StackedMOS(bases, cv="prefit").fit(X[30:], y[30:])
    assert stack.estimators_[0][1] is bases[0][1]
    with pytest.raises(NotFittedError):
        StackedMOS(ridges(), cv="prefit").fit(X, y)
    with pytest.raises(
        UsageError, match=r"'a' predicts shape \(30, 2\); expected \(30, 1\)"
    ):
        StackedMOS(bases, cv="prefit").fit(X[30:], y[30:, 0])


def test_prefit_base_models_that_list_no_training_clips_are_named_in_the_log(
    matrix, caplog
):
    X, y, _ = matrix
    bases = [
        (name, model.fit(X[:30], y[:30]))
        for name, model in (*ridges(), ("listed", Ridge()))
    ]
    bases[2][1].trained_on_ = frozenset()
    stack = StackedMOS(bases, cv="prefit").fit(X[30:], y[30:])
    stack.predict(X)
    (message,) = [
        record.getMessage()
        for record in caplog.records
        if record.name == "ensemble.estimator.leaks.base_models"
    ]
    assert message.startswith(
        "Prefit base models 'a', 'b' carry no ids of their training clips"
    )
    assert "cannot be checked for leaks" in message
    caplog.clear()
    StackedMOS(bases[2:], cv="prefit").fit(X[30:], y[30:])
    StackedMOS(ridges(), cv=2).fit(X, y)
    assert not caplog.records


@pytest.mark.parametrize(
    "cv", [1, 0, -3, True, False, "prefitt", 0.0, 1.0, 1.5, float("nan")]
)
def test_a_number_of_folds_or_a_share_that_is_none_is_refused(matrix, cv):
    said = (
        "lies between 0 and 1"
        if isinstance(cv, float)
        else f"cv is a number of folds .* got {cv!r}"
    )
    with pytest.raises(UsageError, match=said):
        StackedMOS(ridges(), cv=cv).fit(*matrix[:2])


def test_a_cv_that_leaks_or_repeats_is_refused(matrix):
    X, y, _ = matrix
    rows = np.arange(60)
    for cv, message in (
        (RepeatedKFold(n_splits=2, n_repeats=2), "cv predicts a row twice"),
        ([(rows[:30], rows[[40, 41, 40]])], "cv predicts a row twice"),
        ([(rows[:30], rows[20:])], "Row 20 is in both sides of a split"),
        ([(rows[30:], np.append(rows[:30], -1))], "Row 59 is in both sides of a split"),
        ([], "cv predicts no row"),
    ):
        with pytest.raises(UsageError, match=message):
            StackedMOS(ridges(), cv=cv).fit(X, y)


# ---- what is refused


class Broken(RegressorMixin, BaseEstimator):
    """Predicts NaN for the last row."""

    def fit(self, X, y):
        self.fitted_ = True
        return self

    def predict(self, X):
        return np.append(np.full(len(X) - 1, 3.0), np.nan)


def test_a_base_model_that_predicts_nan_is_refused_by_name(matrix):
    with pytest.raises(UsageError, match="Base model 'bad' predicted NaN"):
        StackedMOS([("a", Ridge()), ("bad", Broken())]).fit(matrix[0], matrix[1][:, 0])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"estimators": []}, "estimators is empty"),
        ({"estimators": [("a", "drop")]}, "estimators is empty"),
        (
            {"estimators": [("stack", Ridge())]},
            "may be called 'stack', which names a row",
        ),
        ({"final_estimator": "rigde"}, "Did you mean 'ridge'"),
        ({"final_estimator": 3}, "Unknown learner"),
        ({"validation": 1.0}, "validation is a share"),
        ({"validation": 0}, "validation is a share"),
    ],
)
def test_parameters_that_cannot_be_meant_are_refused_before_anything_is_fitted(
    matrix, parameters, message
):
    with pytest.raises(UsageError, match=message):
        StackedMOS(**({"estimators": [("bad", Broken())]} | parameters)).fit(
            matrix[0], matrix[1][:, 0]
        )


@pytest.mark.parametrize("names", [("a", "a"), ("a__b", "c"), ("cv", "c")])
def test_names_that_scikit_learn_refuses_are_refused(matrix, names):
    with pytest.raises(ValueError, match=r"[Nn]ames"):
        StackedMOS([(name, Ridge()) for name in names]).fit(*matrix[:2])
