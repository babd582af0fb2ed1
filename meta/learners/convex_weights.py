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

# Clips whose differences are held at once.
_CLIPS_AT_ONCE = 4096

# Pull towards equal weights, in units of the mean squared residual of a model.
_TIE_PULL = 1e-9

# The log score's search stops when less than this is left to gain, in nats.
_LOG_SCORE_TOLERANCE = 1e-10
_MOST_STEPS = 200
# Fractions of a Newton step that are tried; 0 keeps the weights as they are.
_HALVINGS = 0.5 ** np.arange(12)
_STEP_SIZES = np.append(_HALVINGS, 0)


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


def pulled_weights(
    scores: ArrayLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None,
    prior: np.ndarray,
    prior_rows: float,
) -> np.ndarray:
    """Find weights with a small mean squared error that are near to others.

    Parameters
    ----------
    scores, y, sample_weight : see `least_squares_weights`
    prior : array of shape (models,), the weights to be near to, not negative, sum 1
    prior_rows : what the squared distance to them counts, in rows that have the mean
        squared error of `prior`

    Returns
    -------
    weights : array of shape (models,), not negative, sum 1
    """
    triangle = _residual_triangle(scores, y, sample_weight)
    error = np.linalg.norm(triangle @ prior)
    if error == 0:
        return prior
    # Of weights w of any sum, w - prior * sum(w) is what lies off the prior.
    off_prior = np.eye(len(prior)) - prior[:, None]
    pull = np.sqrt(prior_rows / len(np.asarray(y))) * off_prior
    return _convex_weights(np.vstack([triangle / error, pull]))


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
    # Weighted products of residuals (models, models): the error of every ensemble
    # follows from them.
    triangle = _residual_triangle(scores, y, sample_weight)
    gram = triangle.T @ triangle
    n_models = len(gram)

    # Rounded errors, so that equal models keep their order. The least divisor is for
    # models without any error.
    errors = np.diag(gram)
    largest_error = max(errors.max(), 1e-300)
    relative_errors = np.round(errors / largest_error, 12)
    ranked = np.argsort(relative_errors, kind="stable")

    # Row k of `starts` counts the k + 1 best models, each once.
    rank_of_model = np.argsort(ranked)
    ones = np.ones((n_models, n_models))
    starts_by_rank = np.tril(ones)
    starts = starts_by_rank[:, rank_of_model]
    counts = _first_best_ensemble(gram, starts)

    # An ensemble is kept as how often it has each model (models,).
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
    on ordered bins.

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

    Notes
    -----
    The CRPS is the sum of ``width (F_b - T_b)^2`` over the bins, for the cumulative
    probabilities F of the prediction and T of the truth that `ScoreBins.split` places
    (Gneiting and Raftery 2007, Eq. 20). For a truth between two centres, the placed
    truth changes the score by a term that no weight changes.
    """
    n_clips, n_models, _ = distributions.shape
    shares = _shares(n_clips, sample_weight)
    placed_truth = bins.split(y)

    # A block of clips at a time, since differences take several times the memory of
    # the distributions.
    triangle = np.empty((0, n_models))
    for start in range(0, n_clips, _CLIPS_AT_ONCE):
        block = slice(start, start + _CLIPS_AT_ONCE)
        cumulative_truth = np.cumsum(placed_truth[block], axis=1)
        cumulative = np.cumsum(distributions[block], axis=2)
        differences = cumulative - cumulative_truth[:, None]

        # Least squares with one row per clip and bin, one column per model.
        by_bin = differences.transpose(0, 2, 1)
        residuals = by_bin.reshape(-1, n_models)
        bin_shares = np.repeat(shares[block], bins.count)
        rows = _weighted(np.sqrt(bins.width) * residuals, bin_shares)
        triangle = _factor(np.concatenate([triangle, rows]))

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
    largest = masses.max(axis=1, keepdims=True)
    masses = masses / largest

    n_models = masses.shape[1]
    weights = np.full(n_models, 1 / n_models)
    for _ in range(_MOST_STEPS):
        gains = shares @ _relative_masses(masses, weights)
        if gains.max() - 1 < _LOG_SCORE_TOLERANCE:
            break

        # EM step.
        weights = weights * gains / (weights @ gains)

        weights = _newton_step(masses, shares, weights)

    gains = shares @ _relative_masses(masses, weights)
    gap = float(gains.max() - 1)
    return weights, max(gap, 0.0)


def _newton_step(
    masses: np.ndarray,
    shares: np.ndarray,
    weights: np.ndarray,
) -> np.ndarray:
    """Weights (models,) after one Newton step of `log_score_weights`.

    Parameters
    ----------
    masses : array of shape (n, models)
    shares : array of shape (n,), sum 1
    weights : array of shape (models,), where the step starts
    """
    residuals = 2 - _relative_masses(masses, weights)
    triangle = _triangle(residuals, shares)
    newton = _weights_of_least_norm(triangle)

    # Shortened to the length that gains most; candidates are (steps, models).
    step = newton - weights
    candidates = weights + _STEP_SIZES[:, None] * step
    pooled_masses = masses @ candidates.T
    log_scores = shares @ np.log(pooled_masses)
    best = np.argmax(log_scores)
    return candidates[best]


def _relative_masses(masses: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Masses (n, models) relative to those of the pool with these weights."""
    pooled_masses = masses @ weights
    return masses / pooled_masses[:, None]


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
    return _factor(_weighted(columns, shares))


def _weighted(columns: np.ndarray, shares: np.ndarray) -> np.ndarray:
    root_shares = np.sqrt(shares)
    return root_shares[:, None] * columns


def _factor(rows: np.ndarray) -> np.ndarray:
    # numpy's types do not know that mode="r" returns the array alone.
    return np.asarray(np.linalg.qr(rows, mode="r"))


def _weights_of_least_norm(triangle: np.ndarray) -> np.ndarray:
    """Convex weights w with the least ``|R w|``; equal ones where many have it."""
    # Scaled by the root mean squared residual of a model, the unit of the pull.
    n_models = triangle.shape[1]
    total_squares = (triangle**2).sum()
    scale = np.sqrt(total_squares / n_models)
    if scale == 0:
        return np.full(n_models, 1 / n_models)

    # Rows of the system: R u = 0 and a little of u = 0.
    pull_to_equal = np.sqrt(_TIE_PULL) * np.eye(n_models)
    return _convex_weights(np.vstack([triangle / scale, pull_to_equal]))


def _convex_weights(system: np.ndarray) -> np.ndarray:
    """Convex weights w with the least ``|A w|`` for rows A of size about 1.

    Notes
    -----
    With u = t w, t > 0, ``|R u|^2 + c^2 (sum(u) - 1)^2`` is least in t at
    ``q c^2 / (q + c^2)``, q = ``|R w|^2``: it grows with q, so that non-negative least
    squares in u finds w exactly (Lawson and Hanson 1974, chapter 23).
    """
    n_models = system.shape[1]
    system = np.vstack([system, np.ones(n_models)])
    target = np.zeros(len(system))
    target[-1] = 1.0

    most_iterations = 100 * n_models
    scaled_weights, _ = nnls(system, target, maxiter=most_iterations)
    return scaled_weights / scaled_weights.sum()


def _optimality_gap(triangle: np.ndarray, weights: np.ndarray) -> float:
    """Frank-Wolfe bound on ``|R w|^2`` minus its least value on the simplex.

    Notes
    -----
    A convex function lies above its tangent, whose least value on the simplex is at one
    of the corners: the gap is at most ``g'w - min(g)`` for the gradient g (Jaggi 2013,
    Eq. 2).
    """
    residuals = triangle @ weights
    gradient = 2 * triangle.T @ residuals
    gap = float(gradient @ weights - gradient.min())
    return max(gap, 0.0)


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
    # c'Gc of each row c of counts, for the mean of as many models as it counts.
    products = (counts @ gram) * counts
    squares = products.sum(axis=1)
    sizes = counts.sum(axis=1)
    errors = squares / sizes**2

    # Errors that differ by rounding count as equal.
    tolerance = 1e-12 * np.abs(errors).max()
    is_least = errors <= errors.min() + tolerance
    first_best = np.argmax(is_least)
    return counts[first_best]
