import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.neighbors import KNeighborsRegressor

from base_models.bins import ScoreBins
from base_models.errors import UsageError
from meta.columns.feature_table import Layout
from meta.learners.sklearn_learner import Wrapped, sklearn_regressor

BINS = ScoreBins()
LAYOUT = Layout(("a", "b"), (0.35, 0.35), BINS)


def stacked(n=40, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.uniform(1, 5, n)
    return np.concatenate(
        [BINS.soften(y + rng.normal(0, 0.5, n), 0.35) for _ in range(2)], axis=1
    ), y


@pytest.mark.parametrize("estimator", [LinearRegression(), KNeighborsRegressor(3)])
def test_a_whole_weight_is_a_row_repeated_whether_or_not_the_regressor_takes_weights(
    estimator,
):
    X, y = stacked()
    weight = np.random.default_rng(1).integers(0, 3, 40)
    rows = np.repeat(np.arange(40), weight)
    weighted = Wrapped(estimator).fit(X, y, LAYOUT, weight)
    np.testing.assert_allclose(
        weighted.predict(X[rows]),
        Wrapped(estimator).fit(X[rows], y[rows], LAYOUT).predict(X[rows]),
        rtol=1e-7,
    )


def test_weights_that_are_not_whole_need_a_regressor_that_takes_them():
    X, y = stacked()
    with pytest.raises(
        UsageError, match="KNeighborsRegressor takes no sample weights; only whole ones"
    ):
        Wrapped(KNeighborsRegressor()).fit(X, y, LAYOUT, np.full(40, 0.5))


def test_missing_models_can_be_filled_for_any_regressor():
    X, y = stacked()
    X[:5, :20] = np.nan
    with pytest.raises(UsageError, match="'a: 5' of 40 rows"):
        Wrapped(LinearRegression()).fit(X, y, LAYOUT)
    assert np.isfinite(
        Wrapped(LinearRegression(), missing="pool").fit(X, y, LAYOUT).predict(X)
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
