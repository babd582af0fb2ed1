"""The regressors of base models on pooled embeddings, and how they are tuned."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_selection import VarianceThreshold
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

from base_models.errors import UsageError

InnerFolds = Sequence[tuple[np.ndarray, np.ndarray]]
"""(training rows, left-out rows) of each inner fold."""


@dataclass(frozen=True)
class Recipe:
    """A regressor and the values of its parameters that are tried.

    Parameters
    ----------
    estimator : regressor
    grid : dict of str to list
        Parameter to values; empty where nothing is tuned.
    takes_weights : bool
        Whether its ``fit`` takes ``sample_weight``.
    """

    estimator: Any
    grid: dict[str, list[Any]]
    takes_weights: bool = True


def _svr(n_columns: int, seed: int) -> Recipe:
    # Wider kernels than 1 / columns, which is scikit-learn's "scale" after scaling.
    gammas = [factor / n_columns for factor in (0.1, 0.3, 1.0)]
    grid = {"C": [0.1, 0.3, 1.0, 3.0], "gamma": gammas}
    return Recipe(SVR(epsilon=0.1), grid)


def _ridge(n_columns: int, seed: int) -> Recipe:
    alphas = [float(alpha * n_columns) for alpha in 10.0 ** np.arange(-2, 2.1, 0.5)]
    return Recipe(Ridge(), {"alpha": alphas})


def _gaussian_process(n_columns: int, seed: int) -> Recipe:
    # Its parameters are those of the highest marginal likelihood.
    width = float(np.sqrt(n_columns))
    kernel = ConstantKernel(1.0, (1e-2, 1e2)) * RBF(
        width, (0.2 * width, 50 * width)
    ) + WhiteKernel(0.5, (1e-2, 1e1))
    estimator = GaussianProcessRegressor(kernel, normalize_y=True, random_state=seed)
    return Recipe(estimator, {}, takes_weights=False)


def _forest(n_columns: int, seed: int) -> Recipe:
    estimator = ExtraTreesRegressor(
        n_estimators=100,
        min_samples_leaf=3,
        max_features=0.3,
        random_state=seed,
    )
    return Recipe(estimator, {})


RECIPES: dict[str, Callable[[int, int], Recipe]] = {
    "svr": _svr,
    "ridge": _ridge,
    "gp": _gaussian_process,
    "forest": _forest,
}
"""Recipes by the name of the regressor; each takes the number of columns and a seed."""


def fit_regressor(
    name: str,
    X: np.ndarray,
    y: np.ndarray,
    weights: np.ndarray,
    folds: InnerFolds,
    seed: int,
) -> tuple[Pipeline, dict[str, Any]]:
    """Fit one regressor, with the parameters that are best in inner folds.

    Columns that are constant here are dropped, the others standardised.

    Parameters
    ----------
    name : str
        A key of `RECIPES`.
    X : float64 array of shape (n, columns)
    y : float64 array of shape (n,)
    weights : float64 array of shape (n,), positive
    folds : inner folds of the n rows
    seed : int

    Returns
    -------
    pipeline : fitted scikit-learn pipeline
    record : dict
        The chosen parameters, and the mean squared error in the inner folds where they
        were tuned.

    Raises
    ------
    UsageError
        when all columns are constant, or the regressor takes no weights and these
        differ.
    """
    # Rounding leaves a little variance in the standard deviations of equal numbers.
    selector = VarianceThreshold(1e-12)
    if not (X.var(axis=0) > selector.threshold).any():
        raise UsageError(
            "The embeddings of all training clips are equal, so nothing can be learnt "
            "from them; use another encoder, or check the audio with check_clips."
        )
    n_columns = int((X.var(axis=0) > selector.threshold).sum())
    recipe = RECIPES[name](n_columns, seed)
    if not recipe.takes_weights and np.ptp(weights) > 0:
        raise UsageError(
            f"The regressor '{name}' takes no weights, and those of the clips differ; "
            "use another one, or equal weights."
        )

    pipeline = make_pipeline(selector, StandardScaler(), recipe.estimator)
    step = pipeline.steps[-1][0]
    fit_params = {}
    if recipe.takes_weights:
        fit_params[f"{step}__sample_weight"] = weights
    if recipe.grid:
        grid = {f"{step}__{key}": values for key, values in recipe.grid.items()}
        search = GridSearchCV(
            pipeline, grid, cv=folds, scoring="neg_mean_squared_error"
        )
        search.fit(X, y, **fit_params)
        record = {
            "parameters": {
                key: search.best_params_[f"{step}__{key}"] for key in recipe.grid
            },
            "inner_mse": float(-search.best_score_),
        }
        return search.best_estimator_, record

    with warnings.catch_warnings():
        # A parameter at the end of its range: the kernel is as wide as it may be.
        warnings.simplefilter("ignore", ConvergenceWarning)
        pipeline.fit(X, y, **fit_params)
    parameters = {}
    if name == "gp":
        parameters["kernel"] = str(pipeline[-1].kernel_)
    return pipeline, {"parameters": parameters}
