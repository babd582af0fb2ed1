"""Kendall's sum over pairs of resampled points: sum_ij w_i w_j sx_ij sy_ij.

Here s_ij is sign(v_j - v_i). Where points share weights (the clips of a system), the
signs are added up per pair of clusters once, and a resample is a quadratic form of few
numbers. Where every point has a weight of its own and points are many, the plane is cut
into a grid of cells, of which each resample adds up the weights.

The first is exact. In the second, pairs of one row or column of cells count as ties;
what that takes from the correlation of all points, each once, is given back to every
resample. What is left is far below the error of drawing resamples (`tests/benchmarks`,
``bench_metrics.py``).
"""

from __future__ import annotations

import numpy as np
from scipy import stats

from base_models.metrics.resampling.drawn_weights import DrawnWeights, EachOnce
from base_models.metrics.resampling.rank_sums import SortedValues

# Up to so many points all pairs are looked at: their signs take 16 MB.
DIRECT_POINTS = 2048
# For a single resample, sorting is faster from so many points on.
_FEW_POINTS = 256
# Up to so many clusters, the sums per pair of clusters are worth their making.
MOST_CLUSTERS = 512
# Sides of the grid of resamples, and most sides of that of clusters, of which there is
# one for each; numbers that the latter may hold.
GRID = 192
_CLUSTER_GRID = 256
_GRID_NUMBERS = 4_000_000
# Weights of points at a time.
_BLOCK_NUMBERS = 2**18
# Blocks that a matrix of pairs is taken in, and how wide they are at least.
_BLOCKS = 6
_NARROWEST = 64
# Whole numbers below this are exact in float32.
_EXACT_FLOAT32 = 2**24


def pair_sums(
    x: SortedValues,
    y: SortedValues,
    drawn: DrawnWeights,
) -> np.ndarray:
    """The sum over all ordered pairs in each resample, shape (resamples,)."""
    n = len(x.group)
    clusters = drawn.clusters
    if isinstance(drawn, EachOnce) and n > _FEW_POINTS:
        return np.array([_kendall_sum(x, y)])
    if clusters is None or clusters.max() + 1 == n:
        if n > DIRECT_POINTS:
            return _grid_sums(x, y, drawn)
        points = np.arange(n) if clusters is None else clusters
        return _quadratic_forms(_direct_matrix(x.group, y.group, points, n), drawn)

    n_clusters = int(clusters.max()) + 1
    if n > DIRECT_POINTS and n_clusters > MOST_CLUSTERS:
        return _grid_sums(x, y, drawn)
    return _quadratic_forms(cluster_matrix(x, y, clusters), drawn)


# ---- clusters: exact


def cluster_matrix(
    x: SortedValues, y: SortedValues, clusters: np.ndarray
) -> np.ndarray:
    """Signs of pairs of points, added up per pair of clusters: (clusters, clusters)."""
    n = len(clusters)
    n_clusters = int(clusters.max()) + 1
    if n <= DIRECT_POINTS:
        return _direct_matrix(x.group, y.group, clusters, n_clusters)

    side = int(min(_CLUSTER_GRID, np.sqrt(_GRID_NUMBERS / n_clusters), np.sqrt(n)))
    column = _strips(x, side)
    row = _strips(y, side)
    matrix = _between_strips(column, row, clusters, side=side)

    # What the grid leaves out: pairs of one column, and of one row but not one column.
    everywhere = np.zeros(n, dtype=np.intp)
    _add_within(matrix, x, y, clusters, strip=column, apart=everywhere, skip=False)
    _add_within(matrix, x, y, clusters, strip=row, apart=column, skip=True)
    return matrix


def _strips(values: SortedValues, side: int) -> np.ndarray:
    """A strip (n,) for each point, all points of one value in one strip."""
    if values.n_values <= side:
        return values.group
    strip_of_value = values.edges[:-1] * side // len(values.order)
    return strip_of_value[values.group]


def _direct_matrix(
    x: np.ndarray, y: np.ndarray, clusters: np.ndarray, n_clusters: int
) -> np.ndarray:
    """`cluster_matrix` from the signs of all pairs; x and y are whole numbers."""
    signs = _signs(x) * _signs(y)
    return _added_up(signs, clusters, n_clusters)


def _signs(values: np.ndarray) -> np.ndarray:
    """sign(values[j] - values[i]) as int8, shape (n, n)."""
    row = values[None, :]
    column = values[:, None]
    # Comparisons viewed as int8 are several times faster than `np.sign`.
    return (row > column).view(np.int8) - (row < column).view(np.int8)


def _added_up(signs: np.ndarray, clusters: np.ndarray, n_clusters: int) -> np.ndarray:
    """Signs (m, m) added up per pair of clusters."""
    m = len(clusters)
    if n_clusters == m:
        matrix = np.empty((m, m))
        matrix[np.ix_(clusters, clusters)] = signs
        return matrix

    # Products with a matrix of 0 and 1, whose whole numbers float32 holds exactly.
    member = np.zeros((n_clusters, m), dtype=np.float32)
    member[clusters, np.arange(m)] = 1
    per_cluster = member @ signs.astype(np.float32)
    return per_cluster.astype(np.float64) @ member.T.astype(np.float64)


def _between_strips(
    column: np.ndarray, row: np.ndarray, clusters: np.ndarray, *, side: int
) -> np.ndarray:
    """`cluster_matrix` of the pairs that differ in both their column and their row."""
    n_clusters = int(clusters.max()) + 1
    cell = (clusters * side + column) * side + row
    counts = np.bincount(cell, minlength=n_clusters * side * side)
    grid = counts.reshape(n_clusters, side, side).astype(np.float64)

    # Points of each cluster in lower columns and lower rows, with an empty first edge.
    below = np.zeros((n_clusters, side + 1, side + 1))
    np.cumsum(grid, axis=1, out=below[:, 1:, 1:])
    np.cumsum(below[:, 1:, 1:], axis=2, out=below[:, 1:, 1:])
    all_rows = below[:, :, -1:]
    all_columns = below[:, -1:, :]

    # Points in agreement with a cell (both lower or both higher), less the others.
    lower = below[:, :-1, :-1]
    agree = lower + all_columns[:, :, -1:] - all_rows[:, 1:] - all_columns[:, :, 1:]
    agree += below[:, 1:, 1:]
    agree -= all_rows[:, :-1] - below[:, :-1, 1:]
    agree -= all_columns[:, :, :-1] - below[:, 1:, :-1]
    flat = (n_clusters, side * side)
    return agree.reshape(flat) @ grid.reshape(flat).T


def _add_within(
    matrix: np.ndarray,
    x: SortedValues,
    y: SortedValues,
    clusters: np.ndarray,
    *,
    strip: np.ndarray,
    apart: np.ndarray,
    skip: bool,
) -> None:
    """Add the pairs of each strip to the matrix.

    With `skip`, only those whose numbers in `apart` differ.
    """
    order = np.argsort(strip, kind="stable")
    edges = np.flatnonzero(np.diff(strip[order], prepend=-1))
    for points in np.split(order, edges[1:]):
        of_x = x.group[points]
        of_y = y.group[points]
        # Points of one value are tied with each other.
        if np.ptp(of_x) == 0 or np.ptp(of_y) == 0:
            continue
        signs = _signs(of_x) * _signs(of_y)
        if skip:
            signs *= apart[points][None, :] != apart[points][:, None]
        present, local = np.unique(clusters[points], return_inverse=True)
        sums = _added_up(signs, local, len(present))
        matrix[np.ix_(present, present)] += sums


def _quadratic_forms(matrix: np.ndarray, drawn: DrawnWeights) -> np.ndarray:
    """w' matrix w of each resample, of a symmetric matrix."""
    largest = np.abs(matrix).sum(axis=0).max(initial=0)
    # Pairs of blocks are taken once, and count twice: little more than half the work.
    n = len(matrix)
    width = max(_NARROWEST, -(-n // _BLOCKS))
    block = np.arange(n) // width
    doubled = matrix * np.where(block[:, None] == block, 1.0, 2.0)
    single = doubled.astype(np.float32)

    sums = np.zeros(len(drawn))
    step = max(1, _BLOCK_NUMBERS // max(1, n))
    for first in range(0, len(drawn), step):
        rows = slice(first, first + step)
        weights = drawn.of_clusters(rows)
        # float32 is half the work again, where nothing is lost.
        is_whole = weights.dtype == np.int32
        is_exact = is_whole and 2 * weights.max(initial=0) * largest < _EXACT_FLOAT32
        half = single if is_exact else doubled
        weights = weights.astype(half.dtype)
        for start in range(0, n, width):
            some = slice(start, start + width)
            products = weights[:, some] @ half[some, start:]
            # Their sums are not exact in float32.
            wide = products.astype(np.float64)
            sums[rows] += np.einsum("ij,ij->i", wide, weights[:, start:])
    return sums


# ---- a grid of cells


def _grid_sums(x: SortedValues, y: SortedValues, drawn: DrawnWeights) -> np.ndarray:
    """`pair_sums` of many points with weights of their own."""
    n = len(x.group)
    column = _strips(x, GRID)
    row = _strips(y, GRID)
    # In the order of the cells the weights of each are neighbours.
    cell = column * GRID + row
    order = np.argsort(cell, kind="stable")
    starts = np.flatnonzero(np.diff(cell[order], prepend=-1))
    cells = cell[order][starts]

    sums = np.empty(len(drawn))
    step = max(1, _BLOCK_NUMBERS // n)
    for first in range(0, len(drawn), step):
        rows = slice(first, first + step)
        weights = np.take(drawn.of_points(rows), order, axis=1)
        sums[rows] = _sums_of_cells(np.add.reduceat(weights, starts, axis=1), cells)

    # What rows and columns of cells hide from all points, each once.
    once = np.diff(np.append(starts, n)).astype(np.float64)
    seen = _sums_of_cells(once[None, :], cells)[0]
    exact = _kendall_sum(x, y)
    if exact == seen:
        return sums
    # As a difference of correlations, since resamples differ in their ties.
    all_pairs = float(n) ** 2
    totals = _totals(drawn)
    return sums + (exact - seen) / all_pairs * totals**2


def _totals(drawn: DrawnWeights) -> np.ndarray:
    """The weight of all points in each resample."""
    if isinstance(drawn.clusters, np.ndarray):
        counts = np.bincount(drawn.clusters)
        return drawn.of_clusters(slice(None)) @ counts
    step = 16
    starts = range(0, len(drawn), step)
    parts = [drawn.of_points(slice(k, k + step)).sum(axis=1) for k in starts]
    return np.concatenate([np.empty(0), *parts])


def _kendall_sum(x: SortedValues, y: SortedValues) -> float:
    """The sum over all ordered pairs of points, each counted once."""
    n = len(x.group)
    differing = [
        float(n) ** 2 - (np.diff(values.edges).astype(np.float64) ** 2).sum()
        for values in (x, y)
    ]
    if min(differing) == 0:
        return 0.0
    tau = stats.kendalltau(x.group, y.group).statistic
    return float(np.round(tau * np.sqrt(differing[0]) * np.sqrt(differing[1])))


def _sums_of_cells(weights: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """The sum over pairs of cells that share no row and no column.

    Parameters
    ----------
    weights : array of shape (rows, occupied cells)
    cells : (occupied cells,) column * GRID + row
    """
    n_rows = len(weights)
    flat = np.zeros((n_rows, GRID * GRID))
    flat[:, cells] = weights
    grid = flat.reshape(n_rows, GRID, GRID)
    of_columns = grid.sum(axis=2)
    of_rows = grid.sum(axis=1)

    # Weight in lower columns and lower rows of each cell.
    below = np.zeros((n_rows, GRID, GRID))
    np.cumsum(grid[:, :-1, :-1], axis=1, out=below[:, 1:, 1:])
    np.cumsum(below[:, 1:, 1:], axis=2, out=below[:, 1:, 1:])
    agreeing = np.einsum("ijk,ijk->i", grid, below)

    # Unordered pairs that differ in both, by inclusion and exclusion.
    both = (
        of_columns.sum(axis=1) ** 2
        - (of_columns**2).sum(axis=1)
        - (of_rows**2).sum(axis=1)
        + np.einsum("ijk,ijk->i", grid, grid)
    ) / 2
    return 2 * (2 * agreeing - both)
