import numpy as np
import pytest
from builders import Predictor, labelled_features
from sklearn.linear_model import LinearRegression
from sklearn.neighbors import KNeighborsRegressor

from base_models.bins import ScoreBins
from base_models.errors import UsageError
from meta.columns.feature_table import Layout
from meta.learners.sklearn_learner import SklearnLearner, sklearn_regressor

BINS = ScoreBins()
LAYOUT = Layout(("a", "b"), (0.35, 0.35), BINS)
PREDICTORS = dict.fromkeys(LAYOUT.models, Predictor(noise=0.5))


@pytest.mark.parametrize("estimator", [LinearRegression(), KNeighborsRegressor(3)])
def test_a_whole_weight_is_a_row_repeated_whether_or_not_the_regressor_takes_weights(
    estimator,
):
    X, y, _ = labelled_features(LAYOUT, 40, predictors=PREDICTORS)
    weight = np.random.default_rng(1).integers(0, 3, 40)
    rows = np.repeat(np.arange(40), weight)
    weighted = SklearnLearner(estimator).fit(X, y, LAYOUT, weight)
    np.testing.assert_allclose(
        weighted.predict(X[rows]),
        SklearnLearner(estimator).fit(X[rows], y[rows], LAYOUT).predict(X[rows]),
        rtol=1e-7,
    )


def test_weights_that_are_not_whole_need_a_regressor_that_takes_them():
    X, y, _ = labelled_features(LAYOUT, 40, predictors=PREDICTORS)
    with pytest.raises(
        UsageError, match="KNeighborsRegressor takes no sample weights; only whole ones"
    ):
        SklearnLearner(KNeighborsRegressor()).fit(X, y, LAYOUT, np.full(40, 0.5))


def test_missing_models_can_be_filled_for_any_regressor():
    X, y, _ = labelled_features(LAYOUT, 40, predictors=PREDICTORS)
    X[:5, :20] = np.nan
    with pytest.raises(UsageError, match="'a: 5' of 40 rows"):
        SklearnLearner(LinearRegression()).fit(X, y, LAYOUT)
    assert np.isfinite(
        SklearnLearner(LinearRegression(), missing="pool").fit(X, y, LAYOUT).predict(X)
    ).all()


def test_a_regressor_can_be_had_by_its_class_name():
    assert type(sklearn_regressor("KNeighborsRegressor")) is KNeighborsRegressor
    with pytest.raises(UsageError, match="Did you mean 'HuberRegressor'"):
        sklearn_regressor("HuberRegresor")
    with pytest.raises(
        UsageError,
        match=r"MultiOutputRegressor cannot be built by name .* pass an instance",
    ):
        sklearn_regressor("MultiOutputRegressor")
