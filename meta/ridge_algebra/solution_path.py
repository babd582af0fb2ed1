"""Every ridge solution of some Gram blocks from one eigendecomposition, and its exact error on rows left out.

Penalties are absolute here, alpha ||w||^2 beside a weighted sum of squares, so that folds share one; `relative_alphas`
says which are sensible for given rows. The intercept is free unless said otherwise.

The trap: each model's bins sum to 1, so the Gram matrix is singular, and what rounding leaves of its null directions
explodes for small alpha. Directions below 1e-12 of the largest eigenvalue are cut: alpha = 0 is the solution of least
norm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from base_models.errors import UsageError
from meta.ridge_algebra.gram import CHUNK_ROWS, Gram

GRID = np.logspace(-8, 3, 45)
"""Relative penalties, 1e-8 to 1e3 with four a decade, in units of the mean eigenvalue
of the centred Gram matrix."""
CUT = 1e-12


@dataclass(frozen=True, eq=False)
class RidgePath:
    """All ridge solutions on the rows of some blocks.

    Parameters
    ----------
    weight : float, W, sum of the rows' weights
    mean_x, mean_y : arrays (p,) and (t,)
    values : array (r,), eigenvalues l of the centred Gram matrix that are not cut, ascending
    vectors : array (p, r), V, their eigenvectors
    cross : array (r, t), ``V' Xc' W Yc``
    left : array (t,), sum of squares that no coefficients explain
    intercept_penalty : float, see `of`
    """

    weight: float
    mean_x: np.ndarray
    mean_y: np.ndarray
    values: np.ndarray
    vectors: np.ndarray
    cross: np.ndarray
    left: np.ndarray
    intercept_penalty: float = 0.0

    @classmethod
    def of(cls, gram: Gram, intercept_penalty: float = 0.0) -> RidgePath:
        """The path on all blocks together.

        Parameters
        ----------
        gram : the blocks
        intercept_penalty : r, which adds ``alpha r level^2`` for the level, the prediction at the mean of these rows;
            0 leaves the intercept free. For r > 0, predictions tend to 0 as alpha grows.

        Raises
        ------
        UsageError
            when the blocks hold no row.
        """
        p, (weight, mean, C) = gram.n_features, centred(gram)
        values, vectors = np.linalg.eigh(C[:p, :p])
        rounding = (
            1e-28 * weight * np.square(mean[:p]).max(initial=0)
        )  # what constant columns leave
        kept = values > max(CUT * values.max(initial=0), rounding)
        values, vectors = values[kept], vectors[:, kept]
        cross, total = vectors.T @ C[:p, p:], np.diag(C)[p:]
        left = total - (cross**2 / values[:, None]).sum(axis=0)
        left = np.where(left > CUT * total, left, 0.0)
        return cls(
            weight, mean[:p], mean[p:], values, vectors, cross, left, intercept_penalty
        )

    def coef(self, alphas) -> np.ndarray:
        """Coefficients for penalties (A,), shape (A, p, t); for one penalty per target, shape (1, t): (1, p, t)."""
        return self.vectors @ self._rotated(alphas)

    def intercept(self, alphas) -> np.ndarray:
        """Intercepts, shape (A, t)."""
        return self._level(alphas) - np.einsum(
            "p,apt->at", self.mean_x, self.coef(alphas)
        )

    def predict(self, X, alphas) -> np.ndarray:
        """Predictions for rows, or for means of rows, X (n, p): shape (n, A, t)."""
        turned = (np.asarray(X, dtype=np.float64) - self.mean_x) @ self.vectors
        return self._level(alphas) + np.tensordot(turned, self._rotated(alphas), (1, 1))

    def _rotated(self, alphas) -> np.ndarray:
        """Coefficients in the basis of the eigenvectors, (A, r, t)."""
        return self.cross / (self.values[:, None] + _columns(alphas)[:, None, :])

    def _kept_level(self, alphas) -> np.ndarray:
        return self.weight / (self.weight + self.intercept_penalty * _columns(alphas))

    def _level(self, alphas) -> np.ndarray:
        """Predictions at the mean of the rows, (A, t)."""
        return self._kept_level(alphas) * self.mean_y

    def squared_error(self, gram: Gram, alphas) -> np.ndarray:
        """Weighted sum of squared errors on the rows of other blocks: shape (A, t)."""
        p, gram = (
            len(self.mean_x),
            gram.total().shifted(np.concatenate([self.mean_x, self.mean_y])),
        )
        sums, outer = gram.sums[0], gram.outer[0]
        u, off = (
            self._rotated(alphas),
            self._level(alphas) - self.mean_y,
        )  # off is 0 for a free intercept
        inner, turned = (
            self.vectors.T @ outer[:p, :p] @ self.vectors,
            self.vectors.T @ outer[:p, p:],
        )
        error = (
            np.diag(outer)[p:]
            - 2 * (u * turned).sum(axis=1)
            + (u * (inner @ u)).sum(axis=1)
        )
        error += off * (
            gram.weight[0] * off
            - 2 * sums[p:]
            + 2 * np.einsum("r,art->at", sums[:p] @ self.vectors, u)
        )
        return np.maximum(error, 0.0)

    def gcv(self, alphas) -> np.ndarray:
        """Generalised cross-validation (Golub, Heath & Wahba, 1979), a mean squared error: shape (A, t).

        Rows count by their weights, so that a row of weight 2 is two rows. Written without differences of near-equal
        numbers; NaN where as many parameters as rows are free.
        """
        alphas = _columns(alphas)
        shrunk, lost = (
            alphas[:, None] / (self.values[:, None] + alphas[:, None]),
            1 - self._kept_level(alphas),
        )
        free = (
            np.maximum(self.weight - 1 - len(self.values), 0)
            + lost
            + shrunk.sum(axis=1)
        )
        squares = self.left + self.weight * (lost * self.mean_y) ** 2
        squares = squares + (shrunk**2 * (self.cross**2 / self.values[:, None])).sum(
            axis=1
        )
        return self.weight * squares / np.where(free > 0, free, np.nan) ** 2

    def leave_one_out(self, X, y, alphas, sample_weight=None) -> np.ndarray:
        """Error on each row of the path when it is left out, in a second pass over those rows: (n, A, t).

        ``e_i / (1 - h_i)`` with ``h_i = w_i (1 / W + sum_k z_ik^2 / (l_k + alpha))`` is exact for a free intercept, and
        a penalised one adds what it takes from the mean of the other rows. NaN where nothing else would be left.
        """
        X, y = np.asarray(X), np.asarray(y, dtype=np.float64).reshape(len(X), -1)
        weight = (
            np.ones(len(X))
            if sample_weight is None
            else np.asarray(sample_weight, dtype=np.float64)
        )
        alphas = _columns(alphas)
        errors = np.empty((len(X), len(alphas), y.shape[1]))
        damped = 1 / (self.values[:, None] + alphas[:, None])  # (A, r, 1 or t)
        for first in range(0, len(X), CHUNK_ROWS):
            part = slice(first, first + CHUNK_ROWS)
            w, turned = weight[part, None, None], (X[part] - self.mean_x) @ self.vectors
            away = 1 - w * (1 / self.weight + np.tensordot(turned**2, damped, (1, 1)))
            residual = (y[part] - self.mean_y)[:, None] - np.tensordot(
                turned, self._rotated(alphas), (1, 1)
            )
            errors[part] = residual / np.where(away > CUT, away, np.nan)
            if self.intercept_penalty:
                others = self.weight - w
                mean = (self.weight * self.mean_y - w * y[part, None]) / np.where(
                    others > 0, others, np.nan
                )
                grip = self.intercept_penalty * alphas
                errors[part] += mean * grip / (others + grip)
        return errors


def _columns(alphas) -> np.ndarray:
    """Penalties (A,) as (A, 1): one for all targets."""
    alphas = np.asarray(alphas, dtype=np.float64)
    return alphas[:, None] if alphas.ndim == 1 else alphas


def centred(gram: Gram) -> tuple[float, np.ndarray, np.ndarray]:
    """Sum of weights, mean (q,) and centred second moments (q, q) of all blocks together."""
    gram = gram.total()
    if not len(gram.names) or gram.weight[0] <= 0:
        raise UsageError(
            "No row of positive weight is left to fit on; keep some rows in."
        )
    weight, mean = float(gram.weight[0]), gram.sums[0] / gram.weight[0]
    return weight, mean + gram.shift, gram.outer[0] - weight * np.outer(mean, mean)


def mean_eigenvalue(gram: Gram, columns: int | None = None) -> float:
    """``trace(centred Gram) / p``, the unit of relative penalties: it follows the rows and the features' spread.

    Parameters
    ----------
    gram : the blocks
    columns : p; None takes that of the blocks, which may be fewer columns that span the same
    """
    p, (_, _, C) = gram.n_features, centred(gram)
    return max(float(np.trace(C[:p, :p])), 0.0) / max(
        p if columns is None else columns, 1
    )


def relative_alphas(gram: Gram, relative=GRID) -> np.ndarray:
    """Penalties, multiples `relative` of the `mean_eigenvalue`."""
    return np.asarray(relative, dtype=np.float64) * mean_eigenvalue(gram)


def holdout_mse(train: Gram, test: Gram, alphas) -> np.ndarray:
    """Mean squared error on the blocks of `test` of the solutions on those of `train`: shape (A, t).

    >>> gram = Gram.from_rows([[1.0], [2.0], [3.0], [5.0]], [1.0, 2.0, 3.0, 7.0], groups=["a", "a", "a", "b"])
    >>> holdout_mse(gram.without(["b"]), gram.select(["b"]), [0.0]).round(9).tolist()
    [[4.0]]
    """
    return RidgePath.of(train).squared_error(test, alphas) / test.weight.sum()


@dataclass(frozen=True, eq=False)
class LeftOut:
    """What leaving out each block in turn tells of every penalty.

    Parameters
    ----------
    weight : array (B,), of each block
    squares : array (B, A, t), weighted sums of squared errors on each block
    paths : the solutions without each block
    """

    weight: np.ndarray
    squares: np.ndarray
    paths: list[RidgePath]

    @property
    def mse(self) -> np.ndarray:
        """Mean squared error over all rows, each predicted without its block: shape (A, t)."""
        return self.squares.sum(axis=0) / self.weight.sum()


def leave_blocks_out(gram: Gram, alphas, intercept_penalty: float = 0.0) -> LeftOut:
    """Exact cross-validation in which each block is a fold; `Gram.regrouped` makes folds of groups.

    Raises
    ------
    UsageError
        when there is a single block.
    """
    if len(gram.names) < 2:
        raise UsageError(
            f"Leaving groups out needs at least 2 of them; got {len(gram.names)}."
        )
    whole, paths, squares = gram.total(), [], []
    for k in range(len(gram.names)):
        held = gram._pick([k]).total()
        paths.append(RidgePath.of(whole - held, intercept_penalty))
        squares.append(paths[-1].squared_error(held, alphas))
    return LeftOut(gram.weight, np.stack(squares), paths)
