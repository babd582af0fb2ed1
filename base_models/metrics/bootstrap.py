"""Metrics of resampled clips, systems and prompts, without repeating any row.

Clips of one system are not independent, so an interval from resampled clips would be
too narrow. Whole systems are resampled instead and, where systems share prompts,
prompts too. A resample is a row of integer weights, and every metric of all resamples
comes from sums over pairs of clips: nothing is approximated.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from base_models.clips.names import names_or_blank
from base_models.errors import UsageError

RESAMPLED_METRICS = ("mse", "lcc", "srcc", "ktau")
"""What `resample` and `resample_means` return, in this order."""

# About ten arrays of this many float64 exist at once: below 200 MB.
_BLOCK_NUMBERS = 2_000_000
# Resamples whose arrays stay in the processor's cache.
_CACHED_ROWS = 128


def prompt_codes(
    prompt_ids: Iterable[str] | None,
    n: int,
) -> np.ndarray:
    """A code per prompt, shape (n,); each clip without a prompt has a code of its own.

    Raises
    ------
    UsageError
        when there is not one prompt per clip.
    """
    if prompt_ids is None:
        return np.arange(n)
    names = names_or_blank(prompt_ids).tolist()
    if len(names) != n:
        raise UsageError(f"{len(names)} prompts for {n} clips; give one per clip.")

    # A tuple is no string, so it cannot collide with the name of a prompt.
    unique_names = [name or ("", row) for row, name in enumerate(names)]
    keys = pd.Series(unique_names, dtype=object)
    codes, _ = pd.factorize(keys)
    return codes


def crossed(system: ArrayLike, prompt: ArrayLike) -> bool:
    """Whether some prompt is shared by systems, which then are not independent."""
    by_prompt = pd.Series(system).groupby(np.asarray(prompt))
    is_shared = by_prompt.nunique() > 1
    return bool(is_shared.any())


def system_means(values: np.ndarray, system: np.ndarray) -> np.ndarray:
    """Unweighted mean over the clips of each system.

    Parameters
    ----------
    values : array of shape (n,)
    system : (n,) codes 0..systems - 1

    Returns
    -------
    means : array of shape (systems,), rounded to 10 decimals
    """
    sums = np.bincount(system, weights=values)
    n_clips = np.bincount(system)
    means = sums / n_clips

    # Sums of equal scores in another order or number differ in the last bit; rank
    # metrics would take that for a difference.
    return np.round(means, 10)


def bootstrap_weights(
    n_clusters: int,
    n_bootstrap: int,
    seed: int | Sequence[int],
) -> np.ndarray:
    """How often each cluster is drawn in each resample.

    Returns
    -------
    weights : float64 array of shape (n_bootstrap, n_clusters), rows sum to n_clusters

    Raises
    ------
    UsageError
        when `n_bootstrap` is negative.
    """
    if n_bootstrap < 0:
        raise UsageError(f"n_bootstrap counts resamples; got {n_bootstrap}.")
    if n_clusters < 1 or n_bootstrap < 1:
        return np.zeros((n_bootstrap, n_clusters))

    # As many draws as clusters, with replacement: only how often each is drawn counts.
    rng = np.random.default_rng(seed)
    probabilities = np.full(n_clusters, 1 / n_clusters)
    weights = rng.multinomial(n_clusters, probabilities, size=n_bootstrap)
    return weights.astype(np.float64)


def resample_crossed(
    y_true: np.ndarray,
    y_pred: np.ndarray,
    system: np.ndarray,
    prompt: np.ndarray,
    weights: np.ndarray,
    seed: int,
) -> dict[str, dict[str, np.ndarray]]:
    """Every metric at both levels, on resamples of systems and of prompts.

    Systems and prompts are drawn independently, and a clip counts as often as its
    system times its prompt (the pigeonhole bootstrap: Owen 2007, Annals of Applied
    Statistics 1).

    Parameters
    ----------
    y_true, y_pred : finite arrays of shape (n,)
    system : (n,) codes 0..systems - 1
    prompt : (n,) codes of any kind
    weights : array of shape (resamples, systems), from `bootstrap_weights`
    seed : int, from which prompts are drawn

    Returns
    -------
    metrics : level, to name, to array of shape (resamples,)
    """
    # Codes of prompts may have gaps, as some clips are unlabelled.
    _, prompt = np.unique(prompt, return_inverse=True)
    n_prompts = prompt.max() + 1
    # Of a generator of their own: prompts must not be drawn as the systems are.
    prompt_weights = bootstrap_weights(n_prompts, len(weights), [seed, 1])

    # Clips of one system and one prompt share their weight: one cluster per cell.
    pairs = np.column_stack([system, prompt])
    cells, cell_of_clip = np.unique(pairs, axis=0, return_inverse=True)
    system_of_cell = cells[:, 0]
    prompt_of_cell = cells[:, 1]
    cell_weights = weights[:, system_of_cell] * prompt_weights[:, prompt_of_cell]

    utterance = resample(y_true, y_pred, cell_weights, cluster=cell_of_clip)
    system_level = resample_means(
        y_true,
        y_pred,
        system,
        weights=weights,
        clip_weights=prompt_weights[:, prompt],
    )
    return {"utterance": utterance, "system": system_level}


def resample(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    weights: np.ndarray,
    cluster: ArrayLike | None = None,
) -> dict[str, np.ndarray]:
    """Every metric on every resample, equal to that of the physically repeated rows.

    Parameters
    ----------
    y_true, y_pred : finite arrays of shape (n,)
    weights : array of shape (resamples, clusters)
        Whole numbers >= 0 from `bootstrap_weights`, or any others >= 0.
    cluster : (n,) codes 0..clusters - 1, each present, or None
        None when every point is its own cluster.

    Returns
    -------
    metrics : name to array of shape (resamples,); NaN where undefined

    Notes
    -----
    With weights w and signs s_ij = sign(x_i - x_j), the centred mid-rank of a clip is
    half of sum_j w_j s_ij, which gives Spearman; tau-b is sum_ij w_i w_j sx_ij sy_ij
    over the root of the same sums of abs(sx) and abs(sy). These sums are whole numbers,
    hence exact, and a constant resample is one whose denominator is 0. Rows of the sign
    matrices (of pairs, columns too) are first added up per cluster, whose clips share a
    weight.
    """
    points = _SortedPoints.of(y_true, y_pred, weights, cluster=cluster)
    n = len(points.x)
    n_resamples = len(weights)

    # The sign matrices have n² entries, so they are made for some columns at a time.
    sums = np.zeros((9, n_resamples))
    step = max(1, _BLOCK_NUMBERS // (n + n_resamples))
    for first in range(0, n, step):
        block = slice(first, first + step)
        _add_block(sums, points, weights, block=block)

    squared_errors = (points.x - points.y) ** 2
    cluster_errors = np.add.reduceat(squared_errors, points.starts)
    mean_squared_error = weights @ cluster_errors / points.total
    return _metrics_from_sums(mean_squared_error, sums)


@dataclass(frozen=True)
class _SortedPoints:
    """The points of `resample`, sorted by cluster.

    Parameters
    ----------
    x, y : arrays of shape (n,)
    cluster : (n,) codes, ascending
    starts : (clusters,) the first point of each cluster
    total : (resamples,) number of points drawn; NaN for none
    mean_x, mean_y : arrays of shape (resamples,), weighted means
    """

    x: np.ndarray
    y: np.ndarray
    cluster: np.ndarray
    starts: np.ndarray
    total: np.ndarray
    mean_x: np.ndarray
    mean_y: np.ndarray

    @classmethod
    def of(
        cls,
        y_true: ArrayLike,
        y_pred: ArrayLike,
        weights: np.ndarray,
        cluster: ArrayLike | None,
    ) -> _SortedPoints:
        """Sort the arguments of `resample`."""
        x = np.asarray(y_true)
        y = np.asarray(y_pred)
        if cluster is None:
            cluster = np.arange(len(x))
        cluster = np.asarray(cluster)

        # Sorted by cluster, the points of each are neighbours, as `reduceat` needs.
        order = np.argsort(cluster, kind="stable")
        x = x[order]
        y = y[order]
        counts = np.bincount(cluster, minlength=weights.shape[1])
        starts = np.cumsum(counts) - counts

        # A resample that draws nothing has no metric.
        total = weights @ counts
        total = np.where(total > 0, total, np.nan)

        cluster_sums_x = np.add.reduceat(x, starts)
        cluster_sums_y = np.add.reduceat(y, starts)
        return cls(
            x=x,
            y=y,
            cluster=cluster[order],
            starts=starts,
            total=total,
            mean_x=weights @ cluster_sums_x / total,
            mean_y=weights @ cluster_sums_y / total,
        )


def _add_block(
    sums: np.ndarray,
    points: _SortedPoints,
    weights: np.ndarray,
    block: slice,
) -> None:
    """Add the terms of the points in `block` to `sums`, of shape (9, resamples).

    Rows of `sums` are the cross product and the two squares of the values, the same of
    the ranks, and the three sums over pairs of tau-b.
    """
    # Rows of the sign matrices added up per cluster: (clusters, points of the block).
    sign_x = _signs(points.x, block)
    sign_y = _signs(points.y, block)
    rank_x, rank_y, *pairs = (
        np.add.reduceat(sign, points.starts, axis=0, dtype=np.float64)
        for sign in _rank_and_pair_signs(sign_x, sign_y)
    )

    # For pairs, columns are added up per cluster too. No code is -1, so the block's
    # first point begins a cluster.
    cluster = points.cluster[block]
    steps = np.diff(cluster, prepend=-1)
    first_of_cluster = np.flatnonzero(steps)
    pairs = [np.add.reduceat(pair, first_of_cluster, axis=1) for pair in pairs]
    block_clusters = cluster[first_of_cluster]

    block_x = points.x[block]
    block_y = points.y[block]
    for start in range(0, len(weights), _CACHED_ROWS):
        rows = slice(start, start + _CACHED_ROWS)
        some_weights = weights[rows]
        point_weights = some_weights[:, cluster]
        cluster_weights = some_weights[:, block_clusters]

        # Values about the weighted means of each resample: (rows, points).
        centred_x = block_x - points.mean_x[rows, None]
        centred_y = block_y - points.mean_y[rows, None]
        value_moments = _moments(point_weights, centred_x, centred_y)
        sums[:3, rows] += value_moments

        # Weighted sums of signs are twice the centred mid-ranks.
        centred_rank_x = some_weights @ rank_x
        centred_rank_y = some_weights @ rank_y
        rank_moments = _moments(point_weights, centred_rank_x, centred_rank_y)
        sums[3:6, rows] += rank_moments

        for row, pair in enumerate(pairs, start=6):
            pair_terms = some_weights @ pair
            sums[row, rows] += _row_sums(cluster_weights, pair_terms)


def resample_means(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    system: ArrayLike,
    weights: np.ndarray,
    clip_weights: np.ndarray,
) -> dict[str, np.ndarray]:
    """Every metric of system means, on resamples that change the means themselves.

    Parameters
    ----------
    y_true, y_pred : finite arrays of shape (n,)
    system : (n,) codes 0..systems - 1
    weights : array of shape (resamples, systems), how often each system counts
    clip_weights : array of shape (resamples, n)
        How often each clip counts within its system. A system of which no clip counts
        is left out of that resample.

    Returns
    -------
    metrics : name to array of shape (resamples,); NaN where undefined
    """
    y_true = np.asarray(y_true)
    y_pred = np.asarray(y_pred)
    n_systems = weights.shape[1]
    # Which clip is of which system (n, systems): a product with it sums per system.
    one_hot = np.eye(n_systems)
    member = one_hot[np.asarray(system)]

    # Each resample has sign matrices of its own, so few are computed at a time.
    affordable = _BLOCK_NUMBERS // n_systems**2
    step = max(1, min(_CACHED_ROWS, affordable))
    parts = []
    for first in range(0, len(weights), step):
        rows = slice(first, first + step)
        within = clip_weights[rows]
        counts = within @ member
        is_counted = counts > 0
        divisor = np.where(is_counted, counts, 1)

        # Rounded as in `system_means`, so that equal means tie.
        means_true = (within * y_true) @ member / divisor
        means_pred = (within * y_pred) @ member / divisor
        means_true = np.round(means_true, 10)
        means_pred = np.round(means_pred, 10)
        used_weights = np.where(is_counted, weights[rows], 0)
        parts.append(_metrics_of_rows(means_true, means_pred, used_weights))

    # No resamples have metrics all the same, of shape (0,).
    if not parts:
        return {metric: np.empty(0) for metric in RESAMPLED_METRICS}
    return {
        metric: np.concatenate([part[metric] for part in parts])
        for metric in RESAMPLED_METRICS
    }


def _metrics_of_rows(
    x: np.ndarray,
    y: np.ndarray,
    weights: np.ndarray,
) -> dict[str, np.ndarray]:
    """`resample` where each resample has its own x, y and weights: (resamples, n)."""
    total = weights.sum(axis=1)
    total = np.where(total > 0, total, np.nan)

    # Sign matrices (resamples, n, n), whose weighted sums over rows are (resamples, n).
    sign_x = _pair_signs(x)
    sign_y = _pair_signs(y)
    row_weights = weights[:, None, :]
    rank_x, rank_y, *pairs = (
        (row_weights @ sign)[:, 0] for sign in _rank_and_pair_signs(sign_x, sign_y)
    )

    sum_x = (weights * x).sum(axis=1)
    sum_y = (weights * y).sum(axis=1)
    mean_x = sum_x / total
    mean_y = sum_y / total
    centred_x = x - mean_x[:, None]
    centred_y = y - mean_y[:, None]

    # In the order of `_add_block`: values, ranks, pairs.
    value_moments = _moments(weights, centred_x, centred_y)
    rank_moments = _moments(weights, rank_x, rank_y)
    pair_sums = [_row_sums(weights, pair) for pair in pairs]
    sums = np.concatenate([value_moments, rank_moments, pair_sums])

    weighted_squares = weights * (x - y) ** 2
    mean_squared_error = weighted_squares.sum(axis=1) / total
    return _metrics_from_sums(mean_squared_error, sums)


def _pair_signs(values: np.ndarray) -> np.ndarray:
    """sign(values[j] - values[i]) of each resample: (resamples, n) to (…, n, n)."""
    column_values = values[:, None, :]
    row_values = values[:, :, None]
    return np.sign(column_values - row_values)


def _rank_and_pair_signs(
    sign_x: np.ndarray,
    sign_y: np.ndarray,
) -> Iterator[np.ndarray]:
    """Matrices whose sums give the ranks of x and y, and the three sums of tau-b."""
    # One at a time, since each is as large as a block.
    yield sign_x
    yield sign_y
    yield sign_x * sign_y
    yield np.abs(sign_x)
    yield np.abs(sign_y)


def _moments(
    weights: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
) -> np.ndarray:
    """Weighted cross product and the two squares: (3, resamples)."""
    cross = _row_sums(weights, x * y)
    square_x = _row_sums(weights, x**2)
    square_y = _row_sums(weights, y**2)
    return np.array([cross, square_x, square_y])


def _row_sums(weights: np.ndarray, terms: np.ndarray) -> np.ndarray:
    """Weighted sum of each row: (resamples, points) to (resamples,)."""
    return np.einsum("ij,ij->i", weights, terms)


def _metrics_from_sums(
    mean_squared_error: np.ndarray,
    sums: np.ndarray,
) -> dict[str, np.ndarray]:
    """Metrics of each resample, from the sums of `_add_block`.

    Notes
    -----
    Each correlation is its cross product over the root of the product of its squares.
    """
    sums_of_metric = {
        "lcc": sums[:3],
        "srcc": sums[3:6],
        "ktau": sums[6:],
    }

    # The squares of pairs count the pairs that differ: whole numbers, so that 0 is
    # exact, which the squares of values are not.
    _, differing_x, differing_y = sums_of_metric["ktau"]
    defined = (differing_x > 0) & (differing_y > 0)

    metrics = {"mse": mean_squared_error}
    for metric, (cross, square_x, square_y) in sums_of_metric.items():
        # 1 stands in where there is no correlation, so as not to divide by 0.
        scale_x = np.sqrt(np.where(defined, square_x, 1))
        scale_y = np.sqrt(np.where(defined, square_y, 1))
        scale = scale_x * scale_y

        # The scale of values may underflow to 0 although the values differ; rounding
        # may put a correlation just beyond 1.
        positive_scale = np.where(scale > 0, scale, np.inf)
        correlation = np.clip(cross / positive_scale, -1, 1)
        metrics[metric] = np.where(defined, correlation, np.nan)
    return metrics


def _signs(values: np.ndarray, columns: slice) -> np.ndarray:
    """sign(values[j] - values[i]) for all rows i and the columns j, as int8."""
    # Comparisons viewed as int8 are several times faster than `np.sign`.
    row_values = values[:, None]
    column_values = values[columns]
    greater = (column_values > row_values).view(np.int8)
    return greater - (column_values < row_values).view(np.int8)


def percentiles(values: np.ndarray, level: float) -> tuple[float, float]:
    """Ends of the interval that holds the share `level` of resampled values.

    They claim too much of few systems; `base_models.metrics.intervals` allows for that.

    Undefined values are left out. The ends are NaN when all are undefined, or more than
    half.

    Raises
    ------
    UsageError
        when `level` does not lie between 0 and 1.
    """
    check_level(level)
    usable = values[~np.isnan(values)]
    is_minority = len(usable) * 2 < len(values)
    if len(usable) == 0 or is_minority:
        return float("nan"), float("nan")

    lower_tail = (1 - level) / 2
    upper_tail = (1 + level) / 2
    low, high = np.quantile(usable, [lower_tail, upper_tail])
    return float(low), float(high)


def check_level(level: float) -> None:
    """Refuse what is no coverage.

    Raises
    ------
    UsageError
        when `level` does not lie between 0 and 1.
    """
    if not 0 < level < 1:
        raise UsageError(f"The level of an interval lies between 0 and 1; got {level}.")
