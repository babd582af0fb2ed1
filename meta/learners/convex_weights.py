"""Convex weights of base models, with a bound on what better weights could still gain.

Convex weights are not negative and sum to 1. With residual columns E (n, models), the
weighted sum of models has the residuals E w, so least squares on the simplex is the
point of smallest norm in the hull of the columns, and one non-negative least-squares
problem finds it exactly. The CRPS is the same problem on cumulative distributions, and
a Newton step of the log score is one as well.

Equal models, or more models than rows, leave the weights open, and rounding would
choose; a tiny pull towards equal weights chooses instead.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import nnls

from base_models.bins import ScoreBins

# Least mass that a model is taken to give the truth: a row in which no model gives it
# any mass favours none of them.
MASS_FLOOR = 1e-12

# Pull towards equal weights, in units of the mean squared residual of a model.
_TIE_PULL = 1e-9

# The log score's search stops when less than this is left to gain, in nats.
_LOG_SCORE_TOLERANCE = 1e-10
_MOST_STEPS = 200
# Fractions of a Newton step that are tried; 0 keeps the weights as they are.
_STEP_SIZES = np.append(0.5 ** np.arange(12), 0)


def least_squares_weights(
    scores: ArrayLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
) -> tuple[np.ndarray, float]:
    """Find the weights with the least mean squared error.

    Breiman (1996), "Stacked regressions", with weights that sum to 1.

    Parameters
    ----------
    scores : array of shape (n, models)
    y : array of shape (n,)
    sample_weight : array of shape (n,), or None

    Returns
    -------
    weights : array of shape (models,), not negative, sum 1
    gap : float, no convex weights have an error lower by more than this, in squared
        score points
    """
    triangle = _residual_triangle(scores, y, sample_weight)
    weights = _weights_of_least_norm(triangle)
    return weights, _optimality_gap(triangle, weights)


def greedy_weights(
    scores: ArrayLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
    rounds: int = 100,
) -> tuple[np.ndarray, float]:
    """Find weights by greedy ensemble selection with replacement.

    Caruana et al. (2004), "Ensemble selection from libraries of models". The search
    starts from the best models, as many as are best together, adds the model that helps
    most in each round, and returns the best ensemble on the way, the first of equals.
    Of equally good models the earlier one is added.

    Parameters
    ----------
    scores, y, sample_weight : see `least_squares_weights`
    rounds : int, models added after the start

    Returns
    -------
    weights, gap : see `least_squares_weights`
    """
    triangle = _residual_triangle(scores, y, sample_weight)
    gram = triangle.T @ triangle

    n_models = len(gram)

    # Rounded errors, so that equal models keep their order.
    errors = np.diag(gram)
    largest_error = max(errors.max(), 1e-300)
    relative_errors = np.round(errors / largest_error, 12)
    ranked = np.argsort(relative_errors, kind="stable")

    # Row k of `starts` counts the k + 1 best models, each once.
    rank_of_model = np.argsort(ranked)
    by_rank = np.tril(np.ones((n_models, n_models)))
    starts = by_rank[:, rank_of_model]
    counts = _first_best_ensemble(gram, starts)

    # An ensemble is kept as how often it has each model.
    ensembles = [counts]
    for _ in range(rounds):
        one_more = counts + np.eye(n_models)
        counts = _first_best_ensemble(gram, one_more)
        ensembles.append(counts)

    best = _first_best_ensemble(gram, np.array(ensembles))
    weights = best / best.sum()
    return weights, _optimality_gap(triangle, weights)


def crps_weights(
    distributions: np.ndarray,
    bins: ScoreBins,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
) -> tuple[np.ndarray, float]:
    """Find the weights whose linear pool has the least mean CRPS.

    The score is that of `meta.uncertainty.distribution_scores.crps`, a convex quadratic
    on ordered bins. Between two centres it is the CRPS of the placed truth but for a
    term that no weight changes.

    Parameters
    ----------
    distributions : array of shape (n, models, bins)
    bins : the scale
    y : array of shape (n,), scores
    sample_weight : array of shape (n,), or None

    Returns
    -------
    weights : array of shape (models,), not negative, sum 1
    gap : float, no convex weights have a CRPS lower by more than this, in score points
    """
    shares = _shares(len(distributions), sample_weight)
    cumulative_truth = np.cumsum(bins.split(y), axis=1)
    cumulative = np.cumsum(distributions, axis=2)
    differences = cumulative - cumulative_truth[:, None]

    # One row per clip and bin, one column per model.
    n_models = differences.shape[1]
    by_bin = differences.transpose(0, 2, 1).reshape(-1, n_models)
    bin_shares = np.repeat(shares, bins.count)
    triangle = _triangle(np.sqrt(bins.width) * by_bin, bin_shares)
    weights = _weights_of_least_norm(triangle)
    return weights, _optimality_gap(triangle, weights)


def log_score_weights(
    distributions: np.ndarray,
    bins: ScoreBins,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
) -> tuple[np.ndarray, float]:
    """Find the weights whose linear pool has the highest mean log mass of the truth.

    Yao et al. (2018), "Using stacking to average Bayesian predictive distributions".
    The mass at the truth is that of `meta.uncertainty.distribution_scores.log_score`,
    at least `MASS_FLOOR`: unlike the mass of the bin around the truth, it does not jump
    at edges, and it needs no kernel width as a softened truth would.

    Parameters
    ----------
    distributions, bins, y, sample_weight : see `crps_weights`

    Returns
    -------
    weights : array of shape (models,), not negative, sum 1
    gap : float, no convex weights have a mean log mass higher by more than this, in
        nats: ``max_k mean(r_k) - 1``

    Notes
    -----
    Steps of EM, which never fail, alternate with Newton steps, which end the search.
    With masses relative to the pool's, r = p / (p w), minus the log score of weights v
    is, up to a constant and to second order about w, ``mean((2 - r v)^2) / 2``: least
    squares on the simplex again.
    """
    shares = _shares(len(distributions), sample_weight)
    masses = np.einsum("nkb,nb->nk", distributions, bins.split(y))
    masses = np.maximum(masses, MASS_FLOOR)
    # Only ratios of a row's masses matter.
    masses = masses / masses.max(axis=1, keepdims=True)

    n_models = masses.shape[1]
    weights = np.full(n_models, 1 / n_models)
    for _ in range(_MOST_STEPS):
        gains = shares @ _relative_masses(masses, weights)
        if gains.max() - 1 < _LOG_SCORE_TOLERANCE:
            break

        # EM step.
        weights = weights * gains / (weights @ gains)

        # Newton step, shortened to the length that gains most.
        newton = _weights_of_least_norm(
            _triangle(2 - _relative_masses(masses, weights), shares)
        )
        candidates = weights + _STEP_SIZES[:, None] * (newton - weights)
        log_scores = shares @ np.log(masses @ candidates.T)
        weights = candidates[np.argmax(log_scores)]

    gains = shares @ _relative_masses(masses, weights)
    return weights, max(float(gains.max() - 1), 0.0)


def _relative_masses(masses: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Masses (n, models) relative to those of the pool with these weights."""
    return masses / (masses @ weights)[:, None]


def _shares(n: int, sample_weight: ArrayLike | None) -> np.ndarray:
    """Sample weights (n,) that sum to 1."""
    if sample_weight is None:
        weight = np.ones(n)
    else:
        weight = np.asarray(sample_weight, dtype=np.float64)
    return weight / weight.sum()


def _residual_triangle(
    scores: ArrayLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None,
) -> np.ndarray:
    """`_triangle` of the models' residuals."""
    truth = np.asarray(y)[:, None]
    residuals = np.asarray(scores) - truth
    shares = _shares(len(residuals), sample_weight)
    return _triangle(residuals, shares)


def _triangle(columns: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """R of shape (<= models, models) with R'R = E' diag(shares) E, E the columns.

    A factor keeps the digits that the product E'E would lose.
    """
    weighted = np.sqrt(shares)[:, None] * columns
    # numpy's types do not know that mode="r" returns the array alone.
    return np.asarray(np.linalg.qr(weighted, mode="r"))


def _weights_of_least_norm(triangle: np.ndarray) -> np.ndarray:
    """Convex weights w with the least ``|R w|``.

    With u = t w, t > 0, ``|R u|^2 + c^2 (sum(u) - 1)^2`` is least in t at
    ``q c^2 / (q + c^2)``, q = ``|R w|^2``: it grows with q, so that non-negative least
    squares in u finds w exactly (Lawson and Hanson 1974, chapter 23).
    """
    n_models = triangle.shape[1]
    scale = np.sqrt((triangle**2).sum() / n_models)
    if scale == 0:
        return np.full(n_models, 1 / n_models)

    pull_to_equal = np.sqrt(_TIE_PULL) * np.eye(n_models)
    sum_to_one = np.ones(n_models)
    system = np.vstack([triangle / scale, pull_to_equal, sum_to_one])
    target = np.zeros(len(system))
    target[-1] = 1.0
    weights, _ = nnls(system, target, maxiter=100 * n_models)
    return weights / weights.sum()


def _optimality_gap(triangle: np.ndarray, weights: np.ndarray) -> float:
    """Frank-Wolfe bound on ``|R w|^2`` minus its least value on the simplex."""
    gradient = 2 * triangle.T @ (triangle @ weights)
    return max(float(gradient @ weights - gradient.min()), 0.0)


def _first_best_ensemble(gram: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The ensemble with the least mean squared error, the first of equals.

    Parameters
    ----------
    gram : array of shape (models, models), weighted products of residuals
    counts : array of shape (ensembles, models), how often each has each model

    Returns
    -------
    counts : array of shape (models,), of the best ensemble
    """
    squares = ((counts @ gram) * counts).sum(axis=1)
    sizes = counts.sum(axis=1)
    errors = squares / sizes**2

    # Errors that differ by rounding count as equal.
    tolerance = 1e-12 * np.abs(errors).max()
    is_least = errors <= errors.min() + tolerance
    return counts[np.argmax(is_least)]
