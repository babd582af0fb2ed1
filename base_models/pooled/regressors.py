"""The regressors of base models on pooled embeddings, and how they are tuned.

Grids are short on purpose: with some hundred clips the best of many settings in the
inner folds is the luckiest one.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

from base_models.errors import UsageError, machine_fault

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
    grid: dict[str, list[float]]
    takes_weights: bool = True


class FittedRegressor(NamedTuple):
    """A fitted regressor, and how it was tuned.

    Parameters
    ----------
    estimator : fitted scikit-learn regressor
    record : dict
        The chosen parameters, and the mean squared error in the inner folds where they
        were tuned.
    """

    estimator: Any
    record: dict[str, Any]


def _svr(n_columns: int, seed: int) -> Recipe:
    # The tube of epsilon is in standard deviations of the labels.
    estimator = TransformedTargetRegressor(
        SVR(epsilon=0.3), transformer=StandardScaler()
    )
    grid = {
        "regressor__C": [1.0, 3.0, 10.0],
        "regressor__gamma": [0.1 / n_columns, 0.3 / n_columns],
    }
    return Recipe(estimator, grid)


def _ridge(n_columns: int, seed: int) -> Recipe:
    return Recipe(Ridge(), {"alpha": [0.3 * n_columns, n_columns, 3.0 * n_columns]})


def _gaussian_process(n_columns: int, seed: int) -> Recipe:
    # Standardised columns put two clips about this far apart.
    distance = float(np.sqrt(n_columns))
    # Bounded: where a free kernel explains everything, or nothing, by noise, the
    # process fails on clips that it has not seen.
    kernel = RBF(1.5 * distance, (distance, 10 * distance)) + WhiteKernel(
        0.5, (0.1, 3.0)
    )
    estimator = GaussianProcessRegressor(
        kernel, alpha=1e-6, normalize_y=True, random_state=seed
    )
    # Its parameters are those of the highest marginal likelihood.
    return Recipe(estimator, {}, takes_weights=False)


def _forest(n_columns: int, seed: int) -> Recipe:
    estimator = ExtraTreesRegressor(
        n_estimators=100,
        min_samples_leaf=3,
        max_features=0.33,
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
    *,
    weights: np.ndarray,
    folds: InnerFolds,
    seed: int,
) -> FittedRegressor:
    """Fit one regressor, with the parameters that are best in inner folds.

    Parameters
    ----------
    name : str
        A key of `RECIPES`.
    X : float64 array of shape (n, columns), standardised
    y : float64 array of shape (n,)
    weights : float64 array of shape (n,), positive
    folds : inner folds of the n rows
    seed : int

    Raises
    ------
    UsageError
        when the regressor takes no weights and these differ.
    """
    recipe = RECIPES[name](X.shape[1], seed)
    if not recipe.takes_weights and np.ptp(weights) > 0:
        raise UsageError(
            f"The regressor '{name}' takes no weights, and those of the clips differ; "
            "use another one, or equal weights."
        )
    fit_params = {"sample_weight": weights} if recipe.takes_weights else {}

    if recipe.grid:
        search = GridSearchCV(
            recipe.estimator, recipe.grid, cv=folds, scoring="neg_mean_squared_error"
        )
        search.fit(X, y, **fit_params)
        record = {
            "parameters": dict(search.best_params_),
            "inner_mse": float(-search.best_score_),
        }
        return FittedRegressor(search.best_estimator_, record)

    estimator = recipe.estimator
    with warnings.catch_warnings():
        # A parameter of the kernel at an end of its range, which is meant to hold it.
        warnings.simplefilter("ignore", ConvergenceWarning)
        estimator.fit(X, y, **fit_params)
    parameters = {"kernel": str(estimator.kernel_)} if name == "gp" else {}
    return FittedRegressor(estimator, {"parameters": parameters})


def predict_scores(
    regressor: Any, X: np.ndarray
) -> tuple[np.ndarray, np.ndarray | None]:
    """Scores of n clips, and their standard deviations where a regressor has them.

    Returns
    -------
    scores : float64 array of shape (n,), which may leave the scale
    spreads : float64 array of shape (n,), or None
    """
    if isinstance(regressor, GaussianProcessRegressor):
        scores, spreads = regressor.predict(X, return_std=True)
        return scores, spreads
    return regressor.predict(X), None


def check_regressor(name: str, regressor: Any, n_columns: int) -> None:
    """Check a regressor that comes from a file.

    Parameters
    ----------
    name : str
        A key of `RECIPES`.
    regressor : any object
    n_columns : int
        Columns that it must take.

    Raises
    ------
    ValueError
        when it is another regressor, not fitted, or of other columns.
    """
    made = _types_of(regressor)
    expected = _types_of(RECIPES[name](1, 0).estimator)
    if made != expected:
        sought = " with ".join(expected)
        raise ValueError(f"the regressor is a {' with '.join(made)} and not {sought}")
    try:
        # A row of zeros is the mean clip: whatever does not fit fails here.
        predicted = predict_scores(regressor, np.zeros((1, n_columns)))
    # Fitted attributes that do not fit each other fail in any way.
    except Exception as error:
        raise machine_fault(error) or ValueError(
            f"the regressor does not predict from {n_columns} columns"
        ) from error
    for values in predicted:
        is_one_number = values is None or (
            np.shape(values) == (1,) and bool(np.isfinite(values).all())
        )
        if not is_one_number:
            raise ValueError("the regressor does not predict one number per clip")


def _types_of(estimator: Any) -> list[str]:
    """Names of the types of an estimator and of those within it."""
    names = [type(estimator).__name__]
    attributes = [("regressor_", "regressor"), ("transformer_", "transformer")]
    for fitted, unfitted in attributes:
        part = getattr(estimator, fitted, getattr(estimator, unfitted, None))
        if part is not None:
            names += _types_of(part)
    return names
