"""Metrics of resampled clips, systems and prompts, without repeating any row.

Clips of one system are not independent, so an interval from resampled clips would be
too narrow. Whole systems are resampled instead and, where systems share prompts,
prompts too. A resample is a row of integer weights, and every metric of all resamples
comes from sums over clips and pairs of clips, see the folder `resampling`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import sparse

from base_models.clips.names import names_or_blank
from base_models.errors import UsageError
from base_models.metrics.resampling.drawn_weights import (
    ClusterWeights,
    CrossedWeights,
    DrawnWeights,
    as_counts,
)
from base_models.metrics.resampling.mean_sums import FEW_POINTS, metrics_of_columns
from base_models.metrics.resampling.pair_sums import pair_sums
from base_models.metrics.resampling.rank_sums import SortedValues

RESAMPLED_METRICS = ("mse", "lcc", "srcc", "ktau")
"""What `resample` and `resample_means` return, in this order."""

# Draws that are made at a time.
_DRAWN_NUMBERS = 2**22
# Weights of points at a time: about six such arrays stay in the processor's cache.
_BLOCK_NUMBERS = 2**16
# Pairs of means of systems at a time.
_MEANS_NUMBERS = 2**19


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


def crossed(system: np.ndarray, prompt: np.ndarray) -> bool:
    """Whether some prompt is shared by systems, which then are not independent.

    Parameters
    ----------
    system, prompt : (n,) codes
    """
    _, first, code = np.unique(prompt, return_index=True, return_inverse=True)
    first_system = system[first][code]
    return bool((system != first_system).any())


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


def bootstrap_counts(
    n_clusters: int,
    n_bootstrap: int,
    seed: int | Sequence[int],
) -> np.ndarray:
    """How often each cluster is drawn in each resample.

    Returns
    -------
    counts : int32 array of shape (n_bootstrap, n_clusters), rows sum to n_clusters

    Raises
    ------
    UsageError
        when `n_bootstrap` is negative.
    """
    if n_bootstrap < 0:
        raise UsageError(f"n_bootstrap counts resamples; got {n_bootstrap}.")
    counts = np.zeros((n_bootstrap, n_clusters), dtype=np.int32)
    if n_clusters < 1:
        return counts

    # As many draws as clusters, with replacement: only how often each is drawn counts.
    # Some rows at a time, since they are drawn as int64.
    rng = np.random.default_rng(seed)
    probabilities = np.full(n_clusters, 1 / n_clusters)
    step = max(1, _DRAWN_NUMBERS // n_clusters)
    for first in range(0, n_bootstrap, step):
        rows = counts[first : first + step]
        rows[:] = rng.multinomial(n_clusters, probabilities, size=len(rows))
    return counts


def bootstrap_weights(
    n_clusters: int,
    n_bootstrap: int,
    seed: int | Sequence[int],
) -> np.ndarray:
    """`bootstrap_counts` as float64, for products with other numbers."""
    return bootstrap_counts(n_clusters, n_bootstrap, seed).astype(np.float64)


def resample_crossed(
    y_true: np.ndarray,
    predictions: Sequence[np.ndarray],
    system: np.ndarray,
    prompt: np.ndarray,
    weights: np.ndarray,
    seed: int,
) -> list[dict[str, dict[str, np.ndarray]]]:
    """Every metric at both levels, on resamples of systems and of prompts.

    Systems and prompts are drawn independently, and a clip counts as often as its
    system times its prompt (the pigeonhole bootstrap: Owen 2007, Annals of Applied
    Statistics 1).

    Parameters
    ----------
    y_true : finite array of shape (n,)
    predictions : finite arrays of shape (n,), one per model
    system : (n,) codes 0..systems - 1
    prompt : (n,) codes of any kind
    weights : array of shape (resamples, systems), from `bootstrap_counts`
    seed : int, from which prompts are drawn

    Returns
    -------
    metrics : for each model, level, to name, to array of shape (resamples,)
    """
    # Codes of prompts may have gaps, as some clips are unlabelled.
    _, prompt = np.unique(prompt, return_inverse=True)
    n_prompts = prompt.max() + 1
    # Of a generator of their own: prompts must not be drawn as the systems are.
    prompt_weights = bootstrap_counts(n_prompts, len(weights), [seed, 1])

    drawn = CrossedWeights(weights, system, prompt_weights, prompt)
    utterance = resample_models(y_true, predictions, drawn)
    system_level = resample_means(
        y_true,
        predictions,
        system,
        weights=weights,
        unit=prompt,
        unit_weights=prompt_weights,
    )
    return [
        {"utterance": of_clips, "system": of_systems}
        for of_clips, of_systems in zip(utterance, system_level, strict=True)
    ]


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
    hence exact, and a constant resample is one whose denominator is 0. Tau of more than
    `pair_sums.DIRECT_POINTS` points that share no weights, or of more than
    `pair_sums.MOST_CLUSTERS` clusters, is that of a grid, see `pair_sums`.
    """
    n = len(np.asarray(y_true))
    clusters = np.arange(n) if cluster is None else np.asarray(cluster)
    drawn = ClusterWeights(as_counts(weights), clusters)
    (metrics,) = resample_models(np.asarray(y_true), [np.asarray(y_pred)], drawn)
    return metrics


def resample_models(
    y_true: np.ndarray, predictions: Sequence[np.ndarray], drawn: DrawnWeights
) -> list[dict[str, np.ndarray]]:
    """`resample` for several models, which share the truth and its ranks.

    Parameters
    ----------
    y_true : finite array of shape (n,)
    predictions : finite arrays of shape (n,), one per model
    drawn : the weights of the resamples

    Returns
    -------
    metrics : for each model, name to array of shape (resamples,)
    """
    n_resamples = len(drawn)
    # All sums of every resample; of pairs, the product is added further down.
    sums = np.zeros((len(predictions), 9, n_resamples))
    mean_squared_error = np.empty((len(predictions), n_resamples))
    if n_resamples:
        truth = SortedValues.of(y_true)
        models = [SortedValues.of(y_pred) for y_pred in predictions]
        moments = _Moments.of(y_true, predictions)
        step = max(1, _BLOCK_NUMBERS // len(y_true))
        for first in range(0, n_resamples, step):
            rows = slice(first, first + step)
            weights = drawn.of_points(rows)
            mean_squared_error[:, rows] = moments.add(sums[:, :3, rows], weights)
            _add_ranks(sums[:, 3:, rows], weights, truth, models)
        for of_model, y_pred in zip(sums, models, strict=True):
            of_model[6] = pair_sums(truth, y_pred, drawn)
    return [
        _metrics_from_sums(error, of_model)
        for error, of_model in zip(mean_squared_error, sums, strict=True)
    ]


def _add_ranks(
    sums: np.ndarray,
    weights: np.ndarray,
    truth: SortedValues,
    models: Sequence[SortedValues],
) -> None:
    """Set the sums of ranks, and those of pairs that differ, of some resamples.

    Parameters
    ----------
    sums : array of shape (models, 6, rows): product and squares of the ranks, then
        those of pairs, of which the product is left as it is
    weights : array of shape (rows, n)
    """
    of_truth = truth.ranked(weights)
    weighted = weights * of_truth.ranks
    for of_model, values in zip(sums, models, strict=True):
        ranked = values.ranked(weights)
        of_model[0] = _row_sums(weighted, ranked.ranks)
        of_model[1] = of_truth.squares
        of_model[2] = ranked.squares
        of_model[4] = of_truth.differing
        of_model[5] = ranked.differing


@dataclass(frozen=True, eq=False)
class _Moments:
    """Values of the points whose weighted sums give MSE and linear correlation.

    Parameters
    ----------
    of_truth : array of shape (n, 3): 1, the centred truth and its square
    of_models : array of shape (n, 4 models): of each model its centred predictions,
        their squares, their products with the truth, and the squared errors
    """

    of_truth: np.ndarray
    of_models: np.ndarray

    @classmethod
    def of(cls, y_true: np.ndarray, predictions: Sequence[np.ndarray]) -> _Moments:
        """The values of all models."""
        # Centred on all points, so that little is lost when each resample is.
        truth = y_true - y_true.mean()
        columns = []
        for y_pred in predictions:
            centred = y_pred - y_pred.mean()
            columns += [centred, centred**2, truth * centred, (y_true - y_pred) ** 2]
        of_truth = np.column_stack([np.ones(len(truth)), truth, truth**2])
        return cls(of_truth, np.column_stack(columns))

    def add(self, sums: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Set products and squares about the means of each resample; give the MSE.

        Parameters
        ----------
        sums : array of shape (models, 3, rows)
        weights : array of shape (rows, n)

        Returns
        -------
        mean_squared_error : array of shape (models, rows); NaN where nothing is drawn
        """
        weights = weights.astype(np.float64, copy=False)
        total, sum_x, square_x = (weights @ self.of_truth).T
        total = np.where(total > 0, total, np.nan)
        of_models = (weights @ self.of_models).T.reshape(len(sums), 4, len(weights))
        sum_y, square_y, cross, errors = of_models.transpose(1, 0, 2)
        sums[:, 0] = cross - sum_x * sum_y / total
        sums[:, 1] = np.maximum(square_x - sum_x**2 / total, 0)
        sums[:, 2] = np.maximum(square_y - sum_y**2 / total, 0)
        return np.asarray(errors / total)


def resample_means(
    y_true: ArrayLike,
    predictions: Sequence[ArrayLike],
    system: ArrayLike,
    *,
    weights: np.ndarray,
    unit: np.ndarray,
    unit_weights: np.ndarray,
) -> list[dict[str, np.ndarray]]:
    """Every metric of system means, on resamples that change the means themselves.

    Parameters
    ----------
    y_true : finite array of shape (n,)
    predictions : finite arrays of shape (n,), one per model
    system : (n,) codes 0..systems - 1
    weights : array of shape (resamples, systems), how often each system counts
    unit : (n,) codes 0..units - 1
    unit_weights : array of shape (resamples, units)
        How often the clips of each unit count within their systems. A system of which
        no clip counts is left out of that resample.

    Returns
    -------
    metrics : for each model, name to array of shape (resamples,); NaN where undefined
    """
    system = np.asarray(system)
    values = [np.asarray(y_true), *map(np.asarray, predictions)]
    shape = (weights.shape[1], unit_weights.shape[1])
    # Sums of each unit's clips per system: a product with weights sums per resample.
    ones = np.ones(len(system))
    per_unit = [
        sparse.csr_array((value, (system, unit)), shape=shape)
        for value in (ones, *values)
    ]

    # The means of each resample have pairs of their own, so few are made at a time.
    n_systems = weights.shape[1]
    step = max(1, _MEANS_NUMBERS // (n_systems * min(n_systems, FEW_POINTS)))
    parts: list[list[dict[str, np.ndarray]]] = [[] for _ in predictions]
    for first in range(0, len(weights), step):
        rows = slice(first, first + step)
        drawn = unit_weights[rows].T
        counts, *sums = (matrix @ drawn for matrix in per_unit)
        is_counted = counts > 0
        divisor = np.where(is_counted, counts, 1)

        # Rounded as in `system_means`, so that equal means tie.
        means = [np.round(total / divisor, 10) for total in sums]
        used_weights = np.where(is_counted, weights[rows].T, 0)
        found = metrics_of_columns(means[0], means[1:], used_weights)
        for of_model, errors_and_sums in zip(parts, found, strict=True):
            of_model.append(_metrics_from_sums(*errors_and_sums))

    # No resamples have metrics all the same, of shape (0,).
    return [
        {
            metric: np.concatenate([np.empty(0), *(part[metric] for part in of_model)])
            for metric in RESAMPLED_METRICS
        }
        for of_model in parts
    ]


def _row_sums(weights: np.ndarray, terms: np.ndarray) -> np.ndarray:
    """Weighted sum of each row: (resamples, points) to (resamples,)."""
    return np.einsum("ij,ij->i", weights, terms)


def _metrics_from_sums(
    mean_squared_error: np.ndarray,
    sums: np.ndarray,
) -> dict[str, np.ndarray]:
    """Metrics of each resample, from the sums of `resample_models`.

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
        square_x = np.where(defined, square_x, 1)
        square_y = np.where(defined, square_y, 1)
        scale = np.sqrt(square_x) * np.sqrt(square_y)
        # The product of two roots is off by a digit, and equal ranks correlate to 1.
        scale = np.where(square_x == square_y, square_x, scale)

        # The scale of values may underflow to 0 although the values differ; rounding
        # may put a correlation just beyond 1.
        positive_scale = np.where(scale > 0, scale, np.inf)
        correlation = np.clip(cross / positive_scale, -1, 1)
        metrics[metric] = np.where(defined, correlation, np.nan)
    return metrics


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
