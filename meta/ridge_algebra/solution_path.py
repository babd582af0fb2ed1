"""Every ridge solution of some Gram blocks, and its exact error on rows left out.

One eigendecomposition gives the solutions of all penalties. Penalties are absolute
here, alpha ||w||^2 beside a weighted sum of squares, so that folds share one;
`mean_eigenvalue` is the unit that makes them comparable between tables. The intercept
is free unless said otherwise.

Each model's bins sum to 1, so the Gram matrix is singular, and what rounding leaves of
its null directions would explode for a small alpha. Directions below 1e-12 of the
largest eigenvalue are cut: alpha = 0 gives the solution of least norm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from base_models.errors import UsageError
from meta.ridge_algebra.gram import Gram

# Relative penalties, 1e-8 to 1e3 with four a decade, in units of the mean eigenvalue
# of the centred Gram matrix.
GRID = np.logspace(-8, 3, 45)

# Eigenvalues, and sums of squares, of less than this share of the largest are rounding.
CUT = 1e-12


@dataclass(frozen=True, eq=False)
class RidgePath:
    """All ridge solutions on the rows of some blocks.

    Parameters
    ----------
    weight : float, W, sum of the rows' weights
    mean_x, mean_y : arrays (p,) and (t,)
    values : array (r,), eigenvalues l of the centred Gram matrix that are not cut,
        ascending
    vectors : array (p, r), V, their eigenvectors
    cross : array (r, t), ``V' Xc' W Yc``
    unexplained : array (t,), sum of squares that no coefficients explain
    intercept_penalty : float, see `of`
    """

    weight: float
    mean_x: np.ndarray
    mean_y: np.ndarray
    values: np.ndarray
    vectors: np.ndarray
    cross: np.ndarray
    unexplained: np.ndarray
    intercept_penalty: float = 0.0

    @classmethod
    def of(cls, gram: Gram, intercept_penalty: float = 0.0) -> RidgePath:
        """Solve all blocks together.

        Parameters
        ----------
        gram : the blocks
        intercept_penalty : r, which adds ``alpha r level^2`` for the level, the
            prediction at the mean of these rows; 0 leaves the intercept free. For
            r > 0, predictions tend to 0 as alpha grows

        Raises
        ------
        UsageError
            when the blocks hold no row.
        """
        p = gram.n_features
        weight, mean, moments = centred(gram)
        mean_x = mean[:p]
        moments_x = moments[:p, :p]
        moments_xy = moments[:p, p:]
        squares_y = np.diag(moments)[p:]

        # Null directions are cut: rounding would explode there for a small alpha.
        values, vectors = np.linalg.eigh(moments_x)
        smallest = CUT * values.max(initial=0)
        # Constant columns leave rounding errors of this size instead of 0.
        largest_square = np.square(mean_x).max(initial=0)
        rounding = 1e-28 * weight * largest_square
        kept = values > max(smallest, rounding)
        values = values[kept]
        vectors = vectors[:, kept]

        # Sums of squares of each target, along each direction and left over (t,).
        cross = vectors.T @ moments_xy
        explained = cross**2 / values[:, None]
        unexplained = squares_y - explained.sum(axis=0)
        # A remainder in the size of rounding is 0.
        beyond_rounding = unexplained > CUT * squares_y
        unexplained = np.where(beyond_rounding, unexplained, 0.0)
        return cls(
            weight=weight,
            mean_x=mean_x,
            mean_y=mean[p:],
            values=values,
            vectors=vectors,
            cross=cross,
            unexplained=unexplained,
            intercept_penalty=intercept_penalty,
        )

    def coef(self, alphas: ArrayLike) -> np.ndarray:
        """Return the coefficients of some penalties.

        Parameters
        ----------
        alphas : array (A,), or (1, t) for a penalty of its own for each target

        Returns
        -------
        coef : array (A, p, t)
        """
        return self.vectors @ self._rotated_coef(alphas)

    def intercept(self, alphas: ArrayLike) -> np.ndarray:
        """Return the intercepts of some penalties, shape (A, t)."""
        slopes_at_mean = np.einsum("p,apt->at", self.mean_x, self.coef(alphas))
        return self._level(alphas) - slopes_at_mean

    def predict(self, X: ArrayLike, alphas: ArrayLike) -> np.ndarray:
        """Predict rows, or means of rows, X (n, p): shape (n, A, t)."""
        features = np.asarray(X, dtype=np.float64)
        centred_features = features - self.mean_x
        rotated_features = centred_features @ self.vectors

        # (n, r) times (A, r, t), summed over the r directions.
        coef = self._rotated_coef(alphas)
        slopes = np.tensordot(rotated_features, coef, axes=(1, 1))
        return self._level(alphas) + slopes

    def _rotated_coef(self, alphas: ArrayLike) -> np.ndarray:
        """Coefficients in the basis of the eigenvectors, (A, r, t)."""
        # A new axis for the directions: (A, 1, 1 or t) beside values (r, 1).
        penalties = _per_target(alphas)[:, None, :]
        penalised_values = self.values[:, None] + penalties
        return self.cross / penalised_values

    def _kept_level(self, alphas: ArrayLike) -> np.ndarray:
        """Share of the mean score that the penalised level keeps, (A, 1 or t)."""
        penalty = self.intercept_penalty * _per_target(alphas)
        return self.weight / (self.weight + penalty)

    def _level(self, alphas: ArrayLike) -> np.ndarray:
        """Predictions at the mean of the rows, (A, t)."""
        return self._kept_level(alphas) * self.mean_y

    def squared_error(self, gram: Gram, alphas: ArrayLike) -> np.ndarray:
        """Weighted sum of squared errors on the rows of other blocks: shape (A, t).

        Notes
        -----
        With z = x - mean_x and r = y - mean_y, coefficients b and a level offset d
        (0 for a free intercept), the error is ``sum w (r - z'b - d)^2``, expanded into
        the second moments of z and r and terms in d.
        """
        p = len(self.mean_x)
        fitted_mean = np.concatenate([self.mean_x, self.mean_y])
        rows = gram.total().shifted(fitted_mean)
        weight = rows.weight[0]
        sums_x = rows.sums[0][:p]
        sums_y = rows.sums[0][p:]
        outer = rows.outer[0]
        outer_x = outer[:p, :p]
        outer_xy = outer[:p, p:]
        squares_y = np.diag(outer)[p:]

        # |r - Z b|^2 = r'r - 2 b'Z'r + b'Z'Z b, in the basis of the eigenvectors.
        coef = self._rotated_coef(alphas)
        moments_x = self.vectors.T @ outer_x @ self.vectors
        moments_xy = self.vectors.T @ outer_xy
        rotated_products = coef * moments_xy
        rotated_squares = coef * (moments_x @ coef)
        products = rotated_products.sum(axis=1)
        squares = rotated_squares.sum(axis=1)
        error = squares_y - 2 * products + squares

        # What a penalised level adds: d (W d - 2 sum(r) + 2 sum(z'b)).
        level_offset = self._level(alphas) - self.mean_y
        rotated_sums = sums_x @ self.vectors
        slope_sums = np.einsum("r,art->at", rotated_sums, coef)
        offset_sums = weight * level_offset
        offset_terms = offset_sums - 2 * sums_y + 2 * slope_sums
        error += level_offset * offset_terms

        # Rounding may leave an error of 0 slightly negative.
        return np.maximum(error, 0.0)

    def evidence(self, alphas: ArrayLike) -> np.ndarray:
        """Log evidence of each penalty, up to a constant: shape (A, t).

        Scores are taken for the sum of a free level, of coefficients that are normal
        about 0, and of normal noise; the penalty is the ratio of the two variances, and
        the size of both is the likeliest. Weights should be of mean 1.

        Notes
        -----
        With ``q = y'(I + X X' / alpha)^-1 y`` of centred scores and columns, it is
        ``-((W - 1) log q + sum(log(1 + l / alpha))) / 2`` (MacKay 1992, "Bayesian
        interpolation", with the noise maximised out and the level integrated out).
        """
        penalties = _per_target(alphas)[:, None, :]
        values = self.values[:, None]
        left = (self.cross**2 * penalties / (values * (values + penalties))).sum(axis=1)
        squares = left + self.unexplained
        # A perfect fit has the largest evidence there is, not an infinite one.
        total = self.unexplained + (self.cross**2 / values).sum(axis=0)
        squares = np.maximum(squares, CUT * total)
        squares = np.maximum(squares, np.finfo(float).tiny)
        complexity = np.log1p(values / penalties).sum(axis=1)
        return -((self.weight - 1) * np.log(squares) + complexity) / 2

    def gcv(self, alphas: ArrayLike) -> np.ndarray:
        """Generalised cross-validation, a mean squared error: shape (A, t).

        Rows count by their weights, so that a row of weight 2 is two rows. NaN where as
        many parameters as rows are free.

        Notes
        -----
        ``W RSS / (W - df)^2`` (Golub, Heath and Wahba 1979) with the total weight W for
        the number of rows, and the effective number of parameters ``df = sum(l / (l +
        alpha))`` plus what is kept of the level.
        """
        # Written without differences of nearly equal numbers: `shrunk` is the share of
        # each direction that the penalty takes away, not 1 minus the share it leaves.
        penalties = _per_target(alphas)[:, None]
        values = self.values[:, None]
        shrunk = penalties / (values + penalties)
        level_lost = 1 - self._kept_level(alphas)

        # W - df. Weights below 1 may add up to less than the number of directions.
        n_directions = len(self.values)
        surplus_rows = np.maximum(self.weight - 1 - n_directions, 0)
        free_rows = surplus_rows + level_lost + shrunk.sum(axis=1)
        free_rows = np.where(free_rows > 0, free_rows, np.nan)

        # RSS: what no coefficients explain, and what the penalties take away.
        lost_level = level_lost * self.mean_y
        level_squares = self.weight * lost_level**2
        explained = self.cross**2 / values
        lost_squares = (shrunk**2 * explained).sum(axis=1)
        squares = self.unexplained + level_squares + lost_squares
        return self.weight * squares / free_rows**2


def _per_target(alphas: ArrayLike) -> np.ndarray:
    """Penalties (A,) as (A, 1), one for all targets; (1, t) stays."""
    alphas = np.asarray(alphas, dtype=np.float64)
    if alphas.ndim == 1:
        return alphas[:, None]
    return alphas


def centred(gram: Gram) -> tuple[float, np.ndarray, np.ndarray]:
    """Return the centred moments of all blocks together.

    Returns
    -------
    weight : float, sum of weights
    mean : array (q,)
    moments : array (q, q), weighted sums of squares and products about the mean

    Raises
    ------
    UsageError
        when the blocks hold no row of positive weight.
    """
    total = gram.total()
    has_block = len(total.names) > 0
    if not has_block or total.weight[0] <= 0:
        raise UsageError(
            "No row of positive weight is left to fit on; keep some rows in."
        )

    # The mean about the shift: its square is small beside the moments.
    weight = float(total.weight[0])
    shifted_mean = total.sums[0] / total.weight[0]
    mean_squares = np.outer(shifted_mean, shifted_mean)
    moments = total.outer[0] - weight * mean_squares
    return weight, shifted_mean + total.shift, moments


def mean_eigenvalue(gram: Gram, columns: int | None = None) -> float:
    """Return ``trace(centred Gram) / p``, the unit of relative penalties.

    It follows the number of rows and the spread of the features.

    Parameters
    ----------
    gram : the blocks
    columns : p; None takes that of the blocks, which may be fewer columns that span the
        same
    """
    p = gram.n_features
    _, _, moments = centred(gram)
    moments_x = moments[:p, :p]
    trace = float(np.trace(moments_x))
    n_columns = p if columns is None else columns
    # Rounding may leave the trace of constant columns below 0.
    return max(trace, 0.0) / max(n_columns, 1)


@dataclass(frozen=True, eq=False)
class LeftOut:
    """The errors of every penalty when each block in turn is left out.

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
        """Mean squared error, each row predicted without its block: shape (A, t)."""
        total_squares = self.squares.sum(axis=0)
        return total_squares / self.weight.sum()


def leave_blocks_out(
    gram: Gram,
    alphas: ArrayLike,
    intercept_penalty: float = 0.0,
) -> LeftOut:
    """Run exact cross-validation in which each block is a fold.

    `Gram.regrouped` makes folds of groups.

    Parameters
    ----------
    gram : the blocks
    alphas : array (A,), absolute penalties
    intercept_penalty : see `RidgePath.of`

    Raises
    ------
    UsageError
        when there is a single block.
    """
    if len(gram.names) < 2:
        raise UsageError(
            f"Leaving groups out needs at least 2 of them; got {len(gram.names)}."
        )

    # Each block is taken away from the sum of all, instead of adding up the others.
    whole = gram.total()
    paths = []
    squares = []
    for number in range(len(gram.names)):
        held_out = gram.take_blocks([number]).total()
        path = RidgePath.of(whole - held_out, intercept_penalty)
        paths.append(path)
        squares.append(path.squared_error(held_out, alphas))
    return LeftOut(
        weight=gram.weight,
        squares=np.stack(squares),
        paths=paths,
    )
