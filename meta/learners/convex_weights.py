"""Convex weights of base models: none negative, sum 1, each with a bound on what better weights could still gain.

With residual columns E (n, models) the weighted sum of models has the residuals E w, so least squares on the simplex is
the point of smallest norm in the hull of the columns, and one non-negative least-squares problem finds it exactly. The
CRPS is the same problem on cumulative distributions, and a Newton step of the log score is one as well. The trap: equal
or many models leave the weights open, and rounding would choose; a tiny pull towards equal weights chooses instead.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import nnls

from base_models.bins import ScoreBins

MASS_FLOOR = 1e-12
"""Least mass that a model is taken to give the truth: a row on which every model has none favours nobody."""
_TIE = (
    1e-9  # pull towards equal weights, in units of the mean squared residual of a model
)
_CLOSE = 1e-10  # the log score stops here, in nats
_STEPS = 200
_HALVINGS = 0.5 ** np.arange(12)


def least_squares_weights(scores, y, sample_weight=None) -> tuple[np.ndarray, float]:
    """Weights with the least mean squared error (Breiman 1996, "Stacked regressions", with sum 1).

    Parameters
    ----------
    scores : array of shape (n, models)
    y : array of shape (n,)
    sample_weight : array of shape (n,), or None

    Returns
    -------
    weights : array of shape (models,), not negative, sum 1
    gap : float, no convex weights have an error lower by more than this, in squared score points
    """
    triangle = _triangle(
        np.asarray(scores) - np.asarray(y)[:, None], _shares(len(scores), sample_weight)
    )
    weights = _nearest(triangle)
    return weights, _gap(triangle, weights)


def greedy_weights(
    scores, y, sample_weight=None, rounds: int = 100
) -> tuple[np.ndarray, float]:
    """Weights by greedy ensemble selection with replacement (Caruana et al. 2004, "Ensemble selection from libraries").

    It starts from the best models, as many as are best together, adds the model that helps most in each round, and
    takes the best ensemble on the way, the first of equals. Of equally good models the earlier one is added.

    Parameters
    ----------
    scores, y, sample_weight : see `least_squares_weights`
    rounds : int, models added after the start

    Returns
    -------
    weights, gap : see `least_squares_weights`
    """
    triangle = _triangle(
        np.asarray(scores) - np.asarray(y)[:, None], _shares(len(scores), sample_weight)
    )
    gram = triangle.T @ triangle
    ranked = np.argsort(
        np.round(np.diag(gram) / max(np.diag(gram).max(), 1e-300), 12), kind="stable"
    )
    started = np.tril(np.ones((len(ranked), len(ranked))))[
        :, np.argsort(ranked)
    ]  # row k: the k + 1 best, once each
    counts = started[_first_least(_error(gram, started))]
    path = [counts]
    for _ in range(rounds):
        longer = counts + np.eye(len(counts))
        counts = longer[_first_least(_error(gram, longer))]
        path.append(counts)
    best = path[_first_least(_error(gram, np.array(path)))]
    weights = best / best.sum()
    return weights, _gap(triangle, weights)


def crps_weights(
    distributions, bins: ScoreBins, y, sample_weight=None
) -> tuple[np.ndarray, float]:
    """Weights whose linear pool has the least mean `meta.uncertainty.distribution_scores.crps`, a convex quadratic on ordered bins.

    Between two centres, the CRPS is that of the placed truth but for a term that no weight changes.

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
    shares = _shares(len(y), sample_weight)
    off = np.cumsum(distributions, axis=2) - np.cumsum(bins.split(y), axis=1)[:, None]
    columns = np.sqrt(bins.width) * off.transpose(0, 2, 1).reshape(-1, off.shape[1])
    triangle = _triangle(columns, np.repeat(shares, bins.count))
    weights = _nearest(triangle)
    return weights, _gap(triangle, weights)


def log_score_weights(
    distributions, bins: ScoreBins, y, sample_weight=None
) -> tuple[np.ndarray, float]:
    """Weights whose linear pool gives the truths the highest mean log mass (Yao et al. 2018, stacking of densities).

    The mass at the truth is that of `meta.uncertainty.distribution_scores.log_score`: unlike the mass of the bin around the truth,
    it does not jump at edges, and it needs no kernel width as a softened truth would. It counts as `MASS_FLOOR` at
    least. Steps of EM, which never fail, alternate with Newton steps, which end the search: with masses relative to the
    pool's, r = p / (p w), minus the log score of weights v is, up to a constant and to second order about w,
    ``mean((2 - r v)^2) / 2``: least squares on the simplex again.

    Parameters
    ----------
    distributions, bins, y, sample_weight : see `crps_weights`

    Returns
    -------
    weights : array of shape (models,), not negative, sum 1
    gap : float, no convex weights have a mean log mass higher by more than this, in nats: ``max_k mean(r_k) - 1``
    """
    shares = _shares(len(y), sample_weight)
    masses = np.maximum(
        np.einsum("nkb,nb->nk", distributions, bins.split(y)), MASS_FLOOR
    )
    masses = masses / masses.max(axis=1, keepdims=True)
    weights = np.full(masses.shape[1], 1 / masses.shape[1])
    for _ in range(_STEPS):
        gains = shares @ (masses / (masses @ weights)[:, None])
        if gains.max() - 1 < _CLOSE:
            break
        weights = weights * gains / (weights @ gains)
        newton = _nearest(_triangle(2 - masses / (masses @ weights)[:, None], shares))
        steps = np.r_[_HALVINGS, 0][:, None]
        reached = weights + steps * (newton - weights)
        weights = reached[np.argmax(shares @ np.log(masses @ reached.T))]
    gains = shares @ (masses / (masses @ weights)[:, None])
    return weights, max(float(gains.max() - 1), 0.0)


def _shares(n: int, sample_weight) -> np.ndarray:
    """Sample weights that sum to 1."""
    weight = (
        np.ones(n)
        if sample_weight is None
        else np.asarray(sample_weight, dtype=np.float64)
    )
    return weight / weight.sum()


def _triangle(columns: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """R of shape (<= models, models) with R'R = E' diag(shares) E; a factor keeps the digits that E'E would lose."""
    return np.linalg.qr(np.sqrt(shares)[:, None] * columns, mode="r")


def _nearest(triangle: np.ndarray) -> np.ndarray:
    """Convex weights w with the least ``|R w|``.

    With u = t w, t > 0, ``|R u|^2 + c^2 (sum(u) - 1)^2`` is least in t at ``q c^2 / (q + c^2)``, q = ``|R w|^2``: it
    grows with q, so that non-negative least squares in u finds w exactly (Lawson and Hanson 1974, chapter 23).
    """
    models = triangle.shape[1]
    scale = np.sqrt((triangle**2).sum() / models)
    if scale == 0:
        return np.full(models, 1 / models)
    system = np.vstack(
        [triangle / scale, np.sqrt(_TIE) * np.eye(models), np.ones(models)]
    )
    weights, _ = nnls(
        system, np.r_[np.zeros(len(system) - 1), 1.0], maxiter=100 * models
    )
    return weights / weights.sum()


def _gap(triangle: np.ndarray, weights: np.ndarray) -> float:
    """Frank-Wolfe bound on ``|R w|^2`` minus its least value on the simplex."""
    slope = 2 * triangle.T @ (triangle @ weights)
    return max(float(slope @ weights - slope.min()), 0.0)


def _error(gram: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Mean squared error of ensembles given by how often each has each model: (ensembles, models) to (ensembles,)."""
    return ((counts @ gram) * counts).sum(axis=1) / counts.sum(axis=1) ** 2


def _first_least(values: np.ndarray) -> int:
    """Index of the first value that is least, up to rounding."""
    return int(np.argmax(values <= values.min() + 1e-12 * np.abs(values).max()))
