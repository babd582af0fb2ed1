import numpy as np
import pytest
import sklearn.linear_model
from builders import feature_matrix, labelled_features

from base_models.bins import ScoreBins
from base_models.errors import DamagedArtifact, UsageError
from base_models.files import to_json
from meta.columns.feature_table import Layout
from meta.learners import LEARNERS
from meta.learners.lightgbm import LightGBM
from meta.learners.ridge import Ridge
from meta.learners.sklearn_learner import SklearnLearner
from meta.learners.weighted_scores import Mean

BINS = ScoreBins()
LAYOUT = Layout(("good", "noisy", "biased"), (0.25, 0.35, 0.35), BINS)


def error(learner, seed=1):
    X, y, _ = labelled_features(LAYOUT, 400, seed=seed)
    return np.mean((learner.predict(X) - y) ** 2)


@pytest.mark.parametrize("name", LEARNERS)
def test_a_learner_kept_as_arrays_predicts_bit_for_bit(name):
    X, y, _ = labelled_features(LAYOUT, 150)
    fitted = LEARNERS[name]().fit(X, y, LAYOUT)
    again = LEARNERS[name].from_arrays(
        fitted.to_arrays(), LAYOUT, fitted.facts_, fitted.get_params()
    )
    np.testing.assert_array_equal(again.predict(X), fitted.predict(X))
    assert to_json(again.describe()) == to_json(fitted.describe())


@pytest.mark.parametrize("name", LEARNERS)
def test_a_row_is_predicted_alike_whatever_stands_beside_it(name):
    X, y, _ = labelled_features(LAYOUT, 150)
    fitted = LEARNERS[name]().fit(X, y, LAYOUT)
    alone = np.concatenate([fitted.predict(X[k : k + 1]) for k in range(9)])
    np.testing.assert_allclose(
        alone, fitted.predict(X)[:9], rtol=0 if name in ("ridge", "lightgbm") else 1e-12
    )


@pytest.mark.parametrize("name", LEARNERS)
@pytest.mark.parametrize("n", [1, 2, 3, 11])
def test_a_handful_of_rows_can_be_learnt_from(name, n):
    X, y, _ = labelled_features(LAYOUT, n)
    assert np.isfinite(LEARNERS[name]().fit(X, y, LAYOUT).predict(X)).all()


@pytest.mark.parametrize("name", LEARNERS)
def test_the_same_seed_learns_the_same(name):
    X, y, _ = labelled_features(LAYOUT, 150)
    first, second = (LEARNERS[name]().fit(X, y, LAYOUT).predict(X) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("name", ["ridge", "lightgbm"])
def test_a_row_of_weight_0_is_a_row_left_out(name):
    X, y, _ = labelled_features(LAYOUT, 150)
    weight = np.r_[np.ones(100), np.zeros(50)]
    kept = LEARNERS[name]().fit(X[:100], y[:100], LAYOUT, np.ones(100))
    np.testing.assert_allclose(
        LEARNERS[name]().fit(X, y, LAYOUT, weight).predict(X),
        kept.predict(X),
        rtol=1e-9,
    )


@pytest.mark.parametrize("learner", [Ridge("ridge"), LightGBM()])
@pytest.mark.parametrize("what", ["features", "scores"])
def test_constant_input_answers_the_mean_score(learner, what):
    X, y, _ = labelled_features(LAYOUT, 150)
    X, y = (
        (np.tile(X[:1], (150, 1)), y) if what == "features" else (X, np.full(150, 3.25))
    )
    fitted = learner.fit(X, y, LAYOUT)
    unseen = labelled_features(LAYOUT, 20, seed=5)[0]
    np.testing.assert_allclose(fitted.predict(unseen), y.mean(), atol=1e-6)
    if what == "features":
        assert "predicts their mean" in fitted.warnings_[0]


def test_fitted_learners_beat_the_mean_when_a_model_is_biased():
    X, y, _ = labelled_features(LAYOUT, 300)
    plain = error(Mean().fit(X, y, LAYOUT))
    assert error(Ridge().fit(X, y, LAYOUT)) < 0.5 * plain
    assert error(LightGBM().fit(X, y, LAYOUT)) < 0.5 * plain


def test_the_good_model_gets_the_most_splits_and_weight():
    X, y, _ = labelled_features(LAYOUT, 300)
    assert LightGBM().fit(X, y, LAYOUT).describe()["splits_on"]["noisy"] == min(
        LightGBM().fit(X, y, LAYOUT).describe()["splits_on"].values()
    )
    assert set(Ridge().fit(X, y, LAYOUT).describe()["weight_of"]) == set(LAYOUT.models)


def test_the_mean_decodes_each_model_with_its_own_sigma():
    X = feature_matrix([[4.9]] * 3, LAYOUT.sigmas)
    assert Mean().fit(X, [1.0], LAYOUT).predict(X) == pytest.approx([4.9], abs=1e-3)


def test_a_foreign_estimator_is_cloned():
    X, y, _ = labelled_features(LAYOUT, 150)
    given = sklearn.linear_model.LinearRegression()
    fitted = SklearnLearner(given).fit(X, y, LAYOUT, np.ones(150))
    assert not hasattr(given, "coef_")
    assert fitted.predict(X).shape == (150,)
    assert fitted.describe()["estimator"] == "LinearRegression()"
    again = SklearnLearner.from_fitted(
        fitted.estimator_, LAYOUT, fitted.facts_, "refuse"
    )
    np.testing.assert_array_equal(again.predict(X), fitted.predict(X))
    assert again.describe() == fitted.describe()


@pytest.mark.parametrize("name", LEARNERS)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"X": np.zeros((5, 40))},
            r"shape \(5, 40\); expected \(n, 60\): 3 models of 20 bins",
        ),
        (
            {"X": np.where([[k == 7 for k in range(60)]] * 5, np.nan, 0.05)},
            "Features must be finite",
        ),
        ({"y": np.zeros(4)}, "5 rows of features need as many scores"),
        ({"y": np.full(5, np.nan)}, "leave unlabelled rows out"),
        ({"sample_weight": np.zeros(5)}, "not all 0"),
        ({"sample_weight": -np.ones(5)}, "not negative"),
    ],
)
def test_rows_that_cannot_be_learnt_from_are_refused(name, change, message):
    X, y, _ = labelled_features(LAYOUT, 5)
    with pytest.raises(UsageError, match=message):
        LEARNERS[name]().fit(**{"X": X, "y": y, "layout": LAYOUT} | change)


def test_damaged_arrays_are_refused():
    X, y, _ = labelled_features(LAYOUT, 150)
    fitted = Ridge(features="bins").fit(X, y, LAYOUT)
    ridge, trees = fitted.to_arrays(), LightGBM().fit(X, y, LAYOUT).to_arrays()
    for change in (
        {"coef": np.zeros(59)},
        {"coef": np.full(60, np.nan)},
        {"intercept": np.zeros(1, np.float32)},
    ):
        with pytest.raises(DamagedArtifact, match=next(iter(change))):
            Ridge.from_arrays(ridge | change, LAYOUT, fitted.facts_, {})
    with pytest.raises(DamagedArtifact, match="'coef'"):
        Ridge.from_arrays({}, LAYOUT, fitted.facts_, {})
    with pytest.raises(DamagedArtifact, match="features 'None' and penalty 'to_mean'"):
        Ridge.from_arrays(ridge, LAYOUT, {}, {})
    with pytest.raises(DamagedArtifact, match="look at 61 features; the stack has 60"):
        LightGBM.from_arrays(trees | {"n_features": np.array([61])}, LAYOUT, {}, {})
