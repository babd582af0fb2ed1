"""Laws of the regressors on pooled embeddings, and of what they are tuned by."""

import numpy as np
import pytest

from base_models.errors import UsageError
from base_models.pooled.regressors import (
    RECIPES,
    check_regressor,
    fit_regressor,
    predict_scores,
)
from base_models.pooled_config import POOLED_MODELS, REGRESSORS, PooledConfig


def problem(n=30, columns=6, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, columns))
    return X, 3 + 0.5 * X[:, 0] + 0.2 * rng.normal(size=n)


def folds_of(fold_of_row):
    fold_of_row = np.asarray(fold_of_row)
    return [
        (np.flatnonzero(fold_of_row != fold), np.flatnonzero(fold_of_row == fold))
        for fold in np.unique(fold_of_row)
    ]


def fit(name, X, y, weights=None, fold_of_row=None):
    weights = np.ones(len(y)) if weights is None else weights
    fold_of_row = np.arange(len(y)) % 3 if fold_of_row is None else fold_of_row
    folds = folds_of(fold_of_row)
    return fit_regressor(name, X, y, weights=weights, folds=folds, seed=0)


def test_every_regressor_has_a_recipe_and_a_preset():
    assert set(RECIPES) == set(REGRESSORS)
    presets = [PooledConfig.preset(name) for name in POOLED_MODELS]
    assert {preset.regressor for preset in presets} == set(REGRESSORS)
    assert [preset.name for preset in presets] == list(POOLED_MODELS)


def test_weight_2_is_the_clip_twice_for_ridge():
    X, y = problem()
    folds = np.arange(len(y)) % 3
    weights = np.where(np.arange(len(y)) < 10, 2.0, 1.0)
    twice = np.r_[np.arange(len(y)), np.arange(10)]
    weighted = fit("ridge", X, y, weights, folds)
    repeated = fit("ridge", X[twice], y[twice], fold_of_row=folds[twice])
    assert weighted.record["parameters"] == repeated.record["parameters"]
    np.testing.assert_allclose(
        weighted.estimator.predict(X), repeated.estimator.predict(X)
    )


@pytest.mark.parametrize("name", REGRESSORS)
def test_equal_weights_are_no_weights(name):
    X, y = problem()
    plain = fit(name, X, y)
    weighted = fit(name, X, y, np.full(len(y), 1.0))
    np.testing.assert_array_equal(
        plain.estimator.predict(X), weighted.estimator.predict(X)
    )


@pytest.mark.parametrize("name", ["svr", "ridge"])
def test_the_chosen_parameters_have_the_least_error_in_the_inner_folds(name):
    X, y = problem()
    fitted = fit(name, X, y)
    recipe = RECIPES[name](X.shape[1], 0)
    keys = list(recipe.grid)
    errors = {}
    values = [recipe.grid[key] for key in keys]
    for chosen in np.stack(np.meshgrid(*values), axis=-1).reshape(-1, len(keys)):
        estimator = recipe.estimator.set_params(**dict(zip(keys, chosen, strict=True)))
        folds = [
            np.mean((estimator.fit(X[a], y[a]).predict(X[b]) - y[b]) ** 2)
            for a, b in folds_of(np.arange(len(y)) % 3)
        ]
        errors[tuple(chosen)] = np.mean(folds)
    best = tuple(fitted.record["parameters"][key] for key in keys)
    assert fitted.record["inner_mse"] == pytest.approx(min(errors.values()))
    assert errors[best] == pytest.approx(min(errors.values()))


def test_only_the_gaussian_process_has_spreads():
    X, y = problem()
    for name in REGRESSORS:
        scores, spreads = predict_scores(fit(name, X, y).estimator, X)
        assert scores.shape == (len(y),)
        assert (spreads is not None) == (name == "gp")
        if spreads is not None:
            assert (spreads > 0).all()


def test_a_regressor_from_a_file_must_be_the_one_that_is_expected():
    X, y = problem()
    for name in REGRESSORS:
        check_regressor(name, fit(name, X, y).estimator, X.shape[1])
    ridge = fit("ridge", X, y).estimator
    with pytest.raises(ValueError, match="is a Ridge and not ExtraTreesRegressor"):
        check_regressor("forest", ridge, X.shape[1])
    with pytest.raises(ValueError, match="does not predict from 7 columns"):
        check_regressor("ridge", ridge, 7)
    ridge.coef_ = np.full(6, np.nan)
    with pytest.raises(ValueError, match="one number per clip"):
        check_regressor("ridge", ridge, 6)


def test_differing_weights_of_a_gaussian_process_are_refused():
    X, y = problem()
    with pytest.raises(UsageError, match="'gp' takes no weights"):
        fit("gp", X, y, np.arange(1.0, 31))
