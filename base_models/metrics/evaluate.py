"""MSE, LCC, SRCC and KTAU per clip and per system, with intervals over systems: convention, validate, metric, evaluate.

The trap: clips of one system are not independent, so an interval from resampled clips is too narrow; here whole systems
are resampled and, where systems share prompts, prompts too. A resample is a row of integer weights, and every metric of
all resamples comes from sums over pairs of clips, so that nothing is repeated physically and nothing is approximated.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from scipy import stats

from base_models.errors import UsageError, some

LEVELS = ("utterance", "system")
_BLOCK_NUMBERS = (
    2_000_000  # about ten arrays of this many float64 live at once: below 200 MB
)
_CACHED_ROWS = 128  # resamples whose arrays stay in the processor's cache


def _checked(y_true, y_pred) -> tuple[np.ndarray, np.ndarray]:
    y_true, y_pred = (
        np.asarray(y_true, dtype=np.float64),
        np.asarray(y_pred, dtype=np.float64),
    )
    if y_true.ndim != 1 or y_true.shape != y_pred.shape:
        raise UsageError(
            f"A metric compares two lists of one length; got shapes {y_true.shape} and {y_pred.shape}."
        )
    if not (np.isfinite(y_true).all() and np.isfinite(y_pred).all()):
        raise UsageError("A metric needs finite scores; found NaN or infinity.")
    return y_true, y_pred


def _correlation(coefficient: Callable, y_true, y_pred) -> float:
    y_true, y_pred = _checked(y_true, y_pred)
    if len(y_true) < 2 or np.ptp(y_true) == 0 or np.ptp(y_pred) == 0:
        return float("nan")
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # scipy warns of nearly constant input, and still answers
        return float(coefficient(y_true, y_pred).statistic)


def mse(y_true, y_pred) -> float:
    """Mean squared error of two arrays of shape (n,); NaN for fewer than 2 points, as for the correlations.

    >>> mse([1.0, 2.0], [1.0, 4.0])
    2.0
    """
    y_true, y_pred = _checked(y_true, y_pred)
    return float(np.mean((y_true - y_pred) ** 2)) if len(y_true) > 1 else float("nan")


def lcc(y_true, y_pred) -> float:
    """Pearson's linear correlation of two arrays of shape (n,); NaN when one is constant or n < 2."""
    return _correlation(stats.pearsonr, y_true, y_pred)


def srcc(y_true, y_pred) -> float:
    """Spearman's rank correlation (mid-ranks) of two arrays of shape (n,); NaN when one is constant or n < 2."""
    return _correlation(stats.spearmanr, y_true, y_pred)


def ktau(y_true, y_pred) -> float:
    """Kendall's tau-b of two arrays of shape (n,); NaN when one is constant or n < 2."""
    return _correlation(stats.kendalltau, y_true, y_pred)


METRICS: dict[str, Callable] = {"mse": mse, "lcc": lcc, "srcc": srcc, "ktau": ktau}


def evaluate(
    y_true,
    y_pred,
    system_ids,
    aspects: Sequence[str],
    n_bootstrap: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    prompt_ids=None,
) -> pd.DataFrame:
    """Every metric of every aspect at both levels, with a percentile interval from resampled systems.

    Rows whose truth is NaN are left out, per aspect. At system level, truth and prediction of a system are the
    unweighted means over its remaining clips. With one system, or without system ids, clips are resampled instead and
    the system level is NaN with n = 1. Resamples in which a correlation is undefined (constant scores) are left out of
    its interval; when they are more than half, the interval is NaN.

    With prompts of which some stand in several systems, systems and prompts are drawn independently and a clip counts
    as often as its system times its prompt (the pigeonhole bootstrap: Owen 2007, "The pigeonhole bootstrap", Annals of
    Applied Statistics 1), so that the interval speaks of other systems given other prompts.

    Parameters
    ----------
    y_true : array of shape (n, aspects), NaN where unlabelled
    y_pred : array of shape (n, aspects)
    system_ids : n system names; None or all "" when the data names no systems
    aspects : names of the columns
    n_bootstrap : int, number of resamples; 0 leaves the intervals NaN
    seed : int; one seed resamples the same systems for every model, so that models are compared like for like
    level : float, coverage of the intervals
    prompt_ids : n prompts, "" for a clip that shares its prompt with none; None resamples systems alone

    Returns
    -------
    table : DataFrame with columns aspect, level, metric, value, low, high, n (clips or systems counted)

    Raises
    ------
    UsageError
        when shapes disagree, a prediction is not finite, a truth is infinite, or some clips lack a system id.
    """
    rows = []
    for *facts, value, drawn, n in _measure(
        y_true, y_pred, system_ids, aspects, n_bootstrap, seed, prompt_ids
    ):
        rows.append((*facts, value, *percentiles(drawn, level), n))
    return pd.DataFrame(
        rows, columns=["aspect", "level", "metric", "value", "low", "high", "n"]
    )


def evaluate_difference(
    y_true,
    first,
    second,
    system_ids,
    aspects: Sequence[str],
    n_bootstrap: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    prompt_ids=None,
) -> pd.DataFrame:
    """Metric of `first` minus metric of `second`, with an interval from the same resamples for both.

    Two intervals of `evaluate` may overlap although one model is better on nearly every resample; this one answers
    whether it is. Parameters are those of `evaluate`, with two arrays of predictions.

    Returns
    -------
    table : DataFrame with columns aspect, level, metric, value, low, high, n
    """
    options = (system_ids, aspects, n_bootstrap, seed, prompt_ids)
    rows = []
    for a, b in zip(
        _measure(y_true, first, *options),
        _measure(y_true, second, *options),
        strict=True,
    ):
        rows.append((*a[:3], a[3] - b[3], *percentiles(a[4] - b[4], level), a[5]))
    return pd.DataFrame(
        rows, columns=["aspect", "level", "metric", "value", "low", "high", "n"]
    )


def evaluate_mean(
    y_true,
    predictions: Sequence,
    system_ids,
    aspects: Sequence[str],
    n_bootstrap: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    prompt_ids=None,
) -> pd.DataFrame:
    """Metrics averaged over repetitions of one model, with an interval for the average.

    Every repetition is measured on the same resamples, so the interval tells what other systems (and other prompts,
    where systems share them) would do to the average; what other seeds would do is the range beside it. Parameters are
    those of `evaluate`, with a list of arrays of predictions.

    Returns
    -------
    table : DataFrame with columns aspect, level, metric, value, least, most, low, high, n; least and most are the
        smallest and the largest value of a repetition
    """
    measured = [
        _measure(y_true, each, system_ids, aspects, n_bootstrap, seed, prompt_ids)
        for each in predictions
    ]
    rows = []
    for same in zip(*measured, strict=True):
        values, drawn = (
            np.array([one[3] for one in same]),
            np.mean([one[4] for one in same], axis=0),
        )
        rows.append(
            (
                *same[0][:3],
                values.mean(),
                values.min(),
                values.max(),
                *percentiles(drawn, level),
                same[0][5],
            )
        )
    names = ["aspect", "level", "metric", "value", "least", "most", "low", "high", "n"]
    return pd.DataFrame(rows, columns=names)


def _measure(
    y_true, y_pred, system_ids, aspects, n_bootstrap: int, seed: int, prompt_ids=None
):
    """Aspect, level, metric, value, its resampled values and n, for every combination."""
    y_true, y_pred, system_ids = validated(y_true, y_pred, system_ids, aspects)
    prompts = prompt_codes(prompt_ids, len(y_true))
    for k, aspect in enumerate(aspects):
        kept = ~np.isnan(y_true[:, k])
        truth, prediction = y_true[kept, k], y_pred[kept, k]
        _, system = np.unique(system_ids[kept], return_inverse=True)
        means = system_means(truth, system), system_means(prediction, system)
        clusters = system if len(means[0]) > 1 else np.arange(len(truth))
        weights = bootstrap_weights(clusters.max(initial=-1) + 1, n_bootstrap, seed)
        if len(means[0]) > 1 and crossed(system, prompts[kept]):
            drawn = _resample_crossed(
                truth, prediction, system, prompts[kept], weights, seed
            )
        else:
            pairs = zip(
                LEVELS, ((truth, prediction), means), (clusters, None), strict=True
            )
            drawn = {
                level: resample(*pair, weights, cluster)
                for level, pair, cluster in pairs
                if len(pair[0]) > 1
            }
        for name, pair in zip(LEVELS, ((truth, prediction), means), strict=True):
            for metric, function in METRICS.items():
                values = drawn[name][metric] if name in drawn else np.empty(0)
                yield aspect, name, metric, function(*pair), values, len(pair[0])


def prompt_codes(prompt_ids, n: int) -> np.ndarray:
    """A code per prompt, shape (n,); each clip without a prompt has a code of its own."""
    if prompt_ids is None:
        return np.arange(n)
    names = [str(name) for name in prompt_ids]
    if len(names) != n:
        raise UsageError(f"{len(names)} prompts for {n} clips; give one per clip.")
    return pd.factorize(
        pd.Series([name or ("", i) for i, name in enumerate(names)], dtype=object)
    )[0]


def crossed(system, prompt) -> bool:
    """Whether some prompt stands in several systems: then systems that share it are not independent."""
    return bool((pd.Series(system).groupby(np.asarray(prompt)).nunique() > 1).any())


def validated(
    y_true, y_pred, system_ids, aspects
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth and prediction of shape (n, aspects) and n system names, or UsageError as in `evaluate`."""
    y_true, y_pred = (
        np.asarray(y_true, dtype=np.float64),
        np.asarray(y_pred, dtype=np.float64),
    )
    if len(aspects) == 1 and y_true.ndim == y_pred.ndim == 1:
        y_true, y_pred = y_true[:, None], y_pred[:, None]
    if (
        y_true.ndim != 2
        or y_true.shape != y_pred.shape
        or y_true.shape[1] != len(aspects)
    ):
        shapes = f"{y_true.shape} and {y_pred.shape}"
        raise UsageError(
            f"Expected truth and prediction of shape (n, {len(aspects)}); got {shapes}."
        )
    for what, values, bad in (
        ("Truth", y_true, np.isinf(y_true)),
        ("Prediction", y_pred, ~np.isfinite(y_pred)),
    ):
        if bad.any():
            row, column = np.argwhere(bad)[0]
            raise UsageError(
                f"{what} of row {row}, aspect '{aspects[column]}' is {values[row, column]}; {bad.sum()} such in all. "
                "Only truths may be NaN (unlabelled); predict or drop these clips first."
            )
    names = np.array(
        [""] * len(y_true)
        if system_ids is None
        else [str(name) for name in system_ids],
        dtype=object,
    )
    if len(names) != len(y_true):
        raise UsageError(
            f"{len(names)} system ids for {len(y_true)} clips; give one per clip."
        )
    unnamed = np.flatnonzero(names == "")
    if 0 < len(unnamed) < len(names):
        raise UsageError(
            f"Rows {some(map(str, unnamed))} have no system id, others have; name all systems or none."
        )
    return y_true, y_pred, names


def system_means(values, system) -> np.ndarray:
    """Unweighted mean of `values` (n,) over the clips of each system; `system` holds (n,) codes 0..systems - 1.

    Rounded to 10 decimals: sums of equal scores in other orders or numbers differ in the last bit, and would rank.
    """
    return np.round(np.bincount(system, weights=values) / np.bincount(system), 10)


def bootstrap_weights(
    n_clusters: int, n_bootstrap: int, seed: int | Sequence[int]
) -> np.ndarray:
    """How often each cluster is drawn in each resample: (n_bootstrap, n_clusters), rows sum to n_clusters."""
    if n_bootstrap < 0:
        raise UsageError(f"n_bootstrap counts resamples; got {n_bootstrap}.")
    if n_clusters < 1 or n_bootstrap < 1:
        return np.zeros((n_bootstrap, n_clusters))
    drawn = np.random.default_rng(seed).multinomial(
        n_clusters, np.full(n_clusters, 1 / n_clusters), size=n_bootstrap
    )
    return drawn.astype(np.float64)


def _resample_crossed(
    y_true, y_pred, system, prompt, weights, seed: int
) -> dict[str, dict[str, np.ndarray]]:
    """Both levels on resamples of systems (`weights`) and, independently, of prompts."""
    _, prompt = np.unique(prompt, return_inverse=True)
    drawn = bootstrap_weights(prompt.max() + 1, len(weights), [seed, 1])
    cells, cell = np.unique(
        np.column_stack([system, prompt]), axis=0, return_inverse=True
    )
    in_cells = weights[:, cells[:, 0]] * drawn[:, cells[:, 1]]
    return {
        "utterance": resample(y_true, y_pred, in_cells, cell),
        "system": resample_means(y_true, y_pred, system, weights, drawn[:, prompt]),
    }


def resample(y_true, y_pred, weights, cluster=None) -> dict[str, np.ndarray]:
    """Every metric on every resample, equal to the metric of the physically repeated rows.

    With weights w and signs s_ij = sign(x_i - x_j), the centred mid-rank of a clip is half of sum_j w_j s_ij, which
    gives Spearman; tau-b is sum_ij w_i w_j sx_ij sy_ij over the root of the same sums of abs(sx) and abs(sy). These
    sums are whole numbers, hence exact, and a constant resample is one whose denominator is 0. Rows of the sign
    matrices (of pairs, columns too) are first added up per cluster, whose clips share a weight.

    Parameters
    ----------
    y_true, y_pred : finite arrays of shape (n,)
    weights : array of shape (resamples, clusters), whole numbers >= 0 from `bootstrap_weights`, or any others >= 0
    cluster : (n,) codes 0..clusters - 1, each present; None when every point is its own cluster

    Returns
    -------
    metrics : name to array of shape (resamples,); NaN where undefined
    """
    cluster = np.arange(len(y_true)) if cluster is None else np.asarray(cluster)
    order = np.argsort(cluster, kind="stable")
    x, y, cluster = np.asarray(y_true)[order], np.asarray(y_pred)[order], cluster[order]
    counts = np.bincount(cluster, minlength=weights.shape[1])
    starts = np.cumsum(counts) - counts
    total = weights @ counts
    total = np.where(total > 0, total, np.nan)  # nothing drawn
    mean_x, mean_y = (weights @ np.add.reduceat(v, starts) / total for v in (x, y))
    sums = np.zeros((9, len(weights)))
    step = max(1, _BLOCK_NUMBERS // (len(x) + len(weights)))
    for first in range(0, len(x), step):
        block = slice(first, first + step)
        here, sign_x, sign_y = cluster[block], _signs(x, block), _signs(y, block)
        signs = sign_x, sign_y, sign_x * sign_y, np.abs(sign_x), np.abs(sign_y)
        of_x, of_y, *of_pairs = (
            np.add.reduceat(s, starts, axis=0, dtype=np.float64) for s in signs
        )
        heads = np.flatnonzero(np.diff(here, prepend=-1))
        of_pairs = [np.add.reduceat(s, heads, axis=1) for s in of_pairs]
        for start in range(0, len(weights), _CACHED_ROWS):
            rows = slice(start, start + _CACHED_ROWS)
            w = weights[rows]
            centred = x[block] - mean_x[rows, None], y[block] - mean_y[rows, None]
            sums[:6, rows] += _sums(w[:, here], *centred, w @ of_x, w @ of_y)
            sums[6:, rows] += [
                np.einsum("ij,ij->i", w[:, here[heads]], w @ s) for s in of_pairs
            ]
    return _from_sums(weights @ np.add.reduceat((x - y) ** 2, starts) / total, sums)


def resample_means(
    y_true, y_pred, system, weights, clip_weights
) -> dict[str, np.ndarray]:
    """Every metric of system means, on resamples that change the means themselves.

    Parameters
    ----------
    y_true, y_pred : finite arrays of shape (n,)
    system : (n,) codes 0..systems - 1
    weights : array of shape (resamples, systems), how often each system counts
    clip_weights : array of shape (resamples, n), how often each clip counts within its system; a system of which no
        clip counts is left out of that resample

    Returns
    -------
    metrics : name to array of shape (resamples,); NaN where undefined
    """
    y_true, y_pred, system = np.asarray(y_true), np.asarray(y_pred), np.asarray(system)
    found = []
    step = max(1, min(_CACHED_ROWS, _BLOCK_NUMBERS // weights.shape[1] ** 2))
    member = np.eye(weights.shape[1])[system]
    for first in range(0, len(weights), step):
        within = clip_weights[first : first + step]
        counts = within @ member
        w = np.where(counts > 0, weights[first : first + step], 0)
        x, y = (
            np.round((within * v) @ member / np.where(counts > 0, counts, 1), 10)
            for v in (y_true, y_pred)
        )
        found.append(_metrics_of_rows(x, y, w))
    return {
        metric: np.concatenate([part[metric] for part in found] or [np.empty(0)])
        for metric in METRICS
    }


def _metrics_of_rows(x, y, weights) -> dict[str, np.ndarray]:
    """`resample` where each resample has values of its own: x, y and weights of shape (resamples, n)."""
    total = weights.sum(axis=1)
    total = np.where(total > 0, total, np.nan)
    sign_x, sign_y = (np.sign(v[:, None, :] - v[:, :, None]) for v in (x, y))
    signs = sign_x, sign_y, sign_x * sign_y, np.abs(sign_x), np.abs(sign_y)
    ranks_and_pairs = [(weights[:, None, :] @ s)[:, 0] for s in signs]
    centred = [v - ((weights * v).sum(axis=1) / total)[:, None] for v in (x, y)]
    return _from_sums(
        (weights * (x - y) ** 2).sum(axis=1) / total,
        _sums(weights, *centred, *ranks_and_pairs),
    )


def _sums(w, from_x, from_y, rank_x, rank_y, *pairs) -> np.ndarray:
    """Cross product and two squares, for values, ranks and pairs: (9, resamples) from arrays (resamples, points)."""
    terms = (
        from_x * from_y,
        from_x**2,
        from_y**2,
        rank_x * rank_y,
        rank_x**2,
        rank_y**2,
        *pairs,
    )
    return np.array([np.einsum("ij,ij->i", w, term) for term in terms])


def _from_sums(squared_error, sums) -> dict[str, np.ndarray]:
    defined = (sums[7] > 0) & (sums[8] > 0)
    found = {"mse": squared_error}
    for metric, (cross, xx, yy) in zip(
        ("lcc", "srcc", "ktau"), sums.reshape(3, 3, -1), strict=True
    ):
        scale = np.sqrt(np.where(defined, xx, 1)) * np.sqrt(np.where(defined, yy, 1))
        found[metric] = np.where(
            defined, np.clip(cross / np.where(scale > 0, scale, np.inf), -1, 1), np.nan
        )
    return found


def _signs(values, block: slice) -> np.ndarray:
    """sign(values[j] - values[i]) for all i (rows) and the j of a block: int8, several times faster than `np.sign`."""
    rows, columns = values[:, None], values[block]
    return (columns > rows).view(np.int8) - (columns < rows).view(np.int8)


def percentiles(values, level: float) -> tuple[float, float]:
    """Ends of the interval that holds the share `level` of resampled values; NaN when half of them are undefined."""
    if not 0 < level < 1:
        raise UsageError(f"The level of an interval lies between 0 and 1; got {level}.")
    usable = values[~np.isnan(values)]
    if len(usable) == 0 or len(usable) * 2 < len(values):
        return float("nan"), float("nan")
    low, high = np.quantile(usable, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
