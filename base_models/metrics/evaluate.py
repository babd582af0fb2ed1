"""MSE, LCC, SRCC and KTAU per clip and per system, with intervals over systems.

`bootstrap` explains why whole systems are resampled, and does it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from base_models.clips.names import names_or_blank
from base_models.errors import UsageError, some
from base_models.metrics.bootstrap import check_level, prompt_codes
from base_models.metrics.levels import ComparedClips, Level
from base_models.metrics.measured_metric import MeasuredMetric

LEVELS = ("utterance", "system")


def _checked_pair(
    y_true: ArrayLike,
    y_pred: ArrayLike,
) -> tuple[np.ndarray, np.ndarray]:
    """The two as finite float64 arrays of shape (n,)."""
    y_true = np.asarray(y_true, dtype=np.float64)
    y_pred = np.asarray(y_pred, dtype=np.float64)
    is_list = y_true.ndim == 1
    same_shape = y_true.shape == y_pred.shape
    if not (is_list and same_shape):
        raise UsageError(
            "A metric compares two lists of one length; "
            f"got shapes {y_true.shape} and {y_pred.shape}."
        )

    finite_truth = np.isfinite(y_true).all()
    finite_prediction = np.isfinite(y_pred).all()
    if not (finite_truth and finite_prediction):
        raise UsageError("A metric needs finite scores; found NaN or infinity.")
    return y_true, y_pred


def _correlation(
    coefficient: Callable,
    y_true: ArrayLike,
    y_pred: ArrayLike,
) -> float:
    y_true, y_pred = _checked_pair(y_true, y_pred)
    if len(y_true) < 2:
        return float("nan")
    # By the range, as rounding may leave the variance of a constant above 0.
    is_constant = np.ptp(y_true) == 0 or np.ptp(y_pred) == 0
    if is_constant:
        return float("nan")

    # scipy warns of nearly constant input, but its result is usable.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(coefficient(y_true, y_pred).statistic)


def mse(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Mean squared error of two arrays of shape (n,).

    NaN for fewer than 2 points, as the correlations are.

    >>> mse([1.0, 2.0], [1.0, 4.0])
    2.0
    """
    y_true, y_pred = _checked_pair(y_true, y_pred)
    if len(y_true) < 2:
        return float("nan")
    squared_errors = (y_true - y_pred) ** 2
    return float(np.mean(squared_errors))


def lcc(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Pearson's linear correlation of two arrays of shape (n,).

    NaN when one is constant or n < 2.
    """
    return _correlation(stats.pearsonr, y_true, y_pred)


def srcc(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Spearman's rank correlation (mid-ranks) of two arrays of shape (n,).

    NaN when one is constant or n < 2.
    """
    return _correlation(stats.spearmanr, y_true, y_pred)


def ktau(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Kendall's tau-b of two arrays of shape (n,).

    NaN when one is constant or n < 2.
    """
    return _correlation(stats.kendalltau, y_true, y_pred)


METRICS: dict[str, Callable[[ArrayLike, ArrayLike], float]] = {
    "mse": mse,
    "lcc": lcc,
    "srcc": srcc,
    "ktau": ktau,
}


@dataclass(frozen=True, eq=False)
class Truth:
    """Labels of clips, and scores of systems that are known apart from them.

    Parameters
    ----------
    clips : array of shape (n, aspects), NaN where unlabelled
    systems : DataFrame
        A row per system, indexed by its name, and a column per aspect; NaN where a
        score is not known.
    """

    clips: ArrayLike
    systems: pd.DataFrame


def evaluate(
    y_true: ArrayLike | Truth,
    y_pred: ArrayLike,
    system_ids: Iterable[str] | None,
    aspects: Sequence[str],
    n_bootstrap: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    prompt_ids: Iterable[str] | None = None,
) -> pd.DataFrame:
    """Every metric of every aspect at both levels, with intervals over systems.

    Rows whose truth is NaN are left out, per aspect. At system level, truth and
    prediction of a system are the unweighted means over its remaining clips. With one
    system, or without system ids, clips are resampled instead and the system level is
    NaN with n = 1. Resamples in which a correlation is undefined (constant scores) are
    left out of its interval; when they are more than half, the interval is NaN.

    An interval is that of `base_models.metrics.intervals.metric_interval`, which holds
    for few systems. Below 5 systems there is none at either level, since what other
    systems would do cannot be told from so few; ``note`` says so.

    Where some prompts are shared by systems, systems and prompts are resampled
    independently (Owen 2007, "The pigeonhole bootstrap", Annals of Applied Statistics
    1), so that the interval covers other systems given other prompts.

    With a `Truth` the true score of a system is the one it states, as in the official
    script of AudioMOS 2025 track 1, and the predicted one is the mean over its labelled
    clips. Systems that the truth does not know are left out of the system level.

    Parameters
    ----------
    y_true : array of shape (n, aspects), NaN where unlabelled; or a `Truth`
    y_pred : array of shape (n, aspects)
    system_ids : n system names; None or all "" when the data names no systems
    aspects : names of the columns
    n_bootstrap : int, number of resamples; 0 leaves the intervals NaN
    seed : int
        One seed resamples the same systems for every model, so that models can be
        compared.
    level : float, coverage of the intervals
    prompt_ids : n prompts, or None
        "" for a clip that shares its prompt with no other; None resamples systems
        alone.

    Returns
    -------
    table : DataFrame
        Columns aspect, level, metric, value, low, high, n (clips or systems counted)
        and note: why a value or an interval is NaN, such as ``"too few systems"``, or
        "".

    Raises
    ------
    UsageError
        when shapes disagree, a prediction is not finite, a truth is infinite, some
        clips lack a system id, or `level` does not lie between 0 and 1.
    """
    (table,) = evaluate_models(
        y_true,
        [y_pred],
        system_ids,
        aspects=aspects,
        n_bootstrap=n_bootstrap,
        seed=seed,
        level=level,
        prompt_ids=prompt_ids,
    )
    return table


def evaluate_models(
    y_true: ArrayLike | Truth,
    predictions: Sequence[ArrayLike],
    system_ids: Iterable[str] | None,
    aspects: Sequence[str],
    n_bootstrap: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    prompt_ids: Iterable[str] | None = None,
) -> list[pd.DataFrame]:
    """`evaluate` for several models of the same clips, which costs less than one each.

    Parameters are those of `evaluate`, with a list of arrays of predictions; a table
    is returned for each of them.
    """
    check_level(level)
    measured = measure_models(
        y_true,
        predictions,
        system_ids,
        aspects=aspects,
        n_bootstrap=n_bootstrap,
        seed=seed,
        prompt_ids=prompt_ids,
    )
    columns = ["aspect", "level", "metric", "value", "low", "high", "n", "note"]
    return [
        pd.DataFrame(
            [_row_with_interval(cell, level) for cell in cells], columns=columns
        )
        for cells in measured
    ]


def _row_with_interval(cell: MeasuredMetric, level: float) -> dict[str, Any]:
    interval = cell.interval(level)
    return {
        "aspect": cell.aspect,
        "level": cell.level,
        "metric": cell.metric,
        "value": cell.value,
        "low": interval.low,
        "high": interval.high,
        "n": cell.n,
        "note": cell.note(interval),
    }


def evaluate_mean(
    y_true: ArrayLike | Truth,
    predictions: Sequence[ArrayLike],
    system_ids: Iterable[str] | None,
    aspects: Sequence[str],
    n_bootstrap: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    prompt_ids: Iterable[str] | None = None,
) -> pd.DataFrame:
    """Metrics averaged over repetitions of one model, with an interval of the average.

    Every repetition is measured on the same resamples, so the interval covers what
    other systems (and other prompts, where systems share them) would do to the average.
    What other seeds would do is the range beside it. Parameters are those of
    `evaluate`, with a list of arrays of predictions.

    Returns
    -------
    table : DataFrame
        Columns aspect, level, metric, value, least, most, low, high, n and note, as
        those of `evaluate`; least and most are the smallest and the largest value of a
        repetition.
    """
    check_level(level)
    measured = measure_models(
        y_true,
        predictions,
        system_ids,
        aspects=aspects,
        n_bootstrap=n_bootstrap,
        seed=seed,
        prompt_ids=prompt_ids,
    )

    # The n-th metric of every repetition, beside each other.
    rows = [
        _row_of_repetitions(repetitions, level)
        for repetitions in zip(*measured, strict=True)
    ]
    # Named because there may be no row at all.
    columns = ["aspect", "level", "metric", "value", "least", "most", "low", "high"]
    return pd.DataFrame(rows, columns=[*columns, "n", "note"])


def _row_of_repetitions(
    repetitions: Sequence[MeasuredMetric],
    level: float,
) -> dict[str, Any]:
    """One metric of every repetition, as a row of `evaluate_mean`."""
    first = repetitions[0]
    values = np.array([cell.value for cell in repetitions])

    # Averaged within each resample, so that the interval is that of the average.
    resampled = [cell.resampled for cell in repetitions]
    averages = {
        metric: float(np.mean([cell.values[metric] for cell in repetitions]))
        for metric in METRICS
    }
    average = replace(first, values=averages, resampled=np.mean(resampled, axis=0))
    interval = average.interval(level)
    return {
        "aspect": first.aspect,
        "level": first.level,
        "metric": first.metric,
        "value": average.value,
        "least": values.min(),
        "most": values.max(),
        "low": interval.low,
        "high": interval.high,
        "n": first.n,
        "note": average.note(interval),
    }


def measure(
    y_true: ArrayLike | Truth,
    y_pred: ArrayLike,
    system_ids: Iterable[str] | None,
    aspects: Sequence[str],
    n_bootstrap: int = 1000,
    seed: int = 0,
    prompt_ids: Iterable[str] | None = None,
) -> list[MeasuredMetric]:
    """Every metric with its resampled values, from which `evaluate` makes intervals.

    Parameters are those of `evaluate`.
    """
    (measured,) = measure_models(
        y_true,
        [y_pred],
        system_ids,
        aspects=aspects,
        n_bootstrap=n_bootstrap,
        seed=seed,
        prompt_ids=prompt_ids,
    )
    return measured


def measure_models(
    y_true: ArrayLike | Truth,
    predictions: Sequence[ArrayLike],
    system_ids: Iterable[str] | None,
    aspects: Sequence[str],
    n_bootstrap: int = 1000,
    seed: int = 0,
    prompt_ids: Iterable[str] | None = None,
) -> list[list[MeasuredMetric]]:
    """`measure` for several models, on the same resamples and ranks of the truth.

    Parameters
    ----------
    y_true, system_ids, aspects, n_bootstrap, seed, prompt_ids : see `evaluate`
    predictions : arrays of shape (n, aspects), one per model

    Returns
    -------
    measured : for each model, its metrics in the order of `evaluate`
    """
    if not len(predictions):
        return []
    labels = y_true.clips if isinstance(y_true, Truth) else y_true
    first, *others = predictions
    truths, checked, names = validated(labels, first, system_ids, aspects=aspects)
    # Names are checked once.
    checked_others = [
        validated(labels, y_pred, None, aspects=aspects)[1] for y_pred in others
    ]
    prompts = prompt_codes(prompt_ids, len(truths))
    # In the order of their names, so that draws do not follow the order of rows.
    systems, _ = pd.factorize(names, sort=True)
    clips = ComparedClips([checked, *checked_others], systems, prompts)
    of_systems = None
    if isinstance(y_true, Truth):
        of_systems = _truth_of_systems(y_true.systems, names, aspects)

    measured: list[list[MeasuredMetric]] = [[] for _ in predictions]
    for column, aspect in enumerate(aspects):
        by_model = clips.compare(truths[:, column], column, n_bootstrap, seed=seed)
        if of_systems is not None:
            # Each clip has the score of its system, so that the mean of a system is
            # that score, however its clips are resampled.
            is_labelled = ~np.isnan(truths[:, column])
            scores = np.where(is_labelled, of_systems[:, column], np.nan)
            known = clips.compare(scores, column, n_bootstrap, seed=seed)
            for levels, of_known in zip(by_model, known, strict=True):
                levels["system"] = of_known["system"]

        for of_model, levels in zip(measured, by_model, strict=True):
            for level in LEVELS:
                of_model += _metrics_of_level(aspect, level, levels[level])
    return measured


def _metrics_of_level(
    aspect: str, level: str, compared: Level
) -> Iterator[MeasuredMetric]:
    for metric in METRICS:
        yield MeasuredMetric(
            aspect=aspect,
            level=level,
            metric=metric,
            values=compared.values,
            # A single point has no correlation, so nothing to resample.
            resampled=compared.resampled.get(metric, np.empty(0)),
            n=compared.n,
            units=compared.units,
            of_systems=compared.of_systems,
        )


def _truth_of_systems(
    systems: pd.DataFrame, names: np.ndarray, aspects: Sequence[str]
) -> np.ndarray:
    """The true score of each clip's system, shape (n, aspects); NaN if not known."""
    lacking = [aspect for aspect in aspects if aspect not in systems]
    if lacking:
        raise UsageError(
            f"The scores of systems lack {some(lacking)}; they have "
            f"{some(systems.columns)}."
        )
    if not systems.index.is_unique:
        repeated = systems.index[systems.index.duplicated()]
        raise UsageError(f"Systems {some(repeated)} have more than one true score.")

    scores = systems.reindex(names)[list(aspects)].to_numpy(dtype=np.float64)
    _refuse_values("True system score", scores, np.isinf(scores), aspects=aspects)
    return scores


def validated(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    system_ids: Iterable[str] | None,
    aspects: Sequence[str],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Check the arguments of `evaluate` and bring them to a common form.

    Returns
    -------
    y_true, y_pred : float64 arrays of shape (n, aspects)
    system_ids : object array of shape (n,), "" where the data names no systems

    Raises
    ------
    UsageError
        as in `evaluate`.
    """
    y_true = np.asarray(y_true, dtype=np.float64)
    y_pred = np.asarray(y_pred, dtype=np.float64)
    # A single aspect may come as flat arrays.
    n_aspects = len(aspects)
    are_flat = y_true.ndim == y_pred.ndim == 1
    if n_aspects == 1 and are_flat:
        y_true = y_true[:, None]
        y_pred = y_pred[:, None]

    same_shape = y_true.shape == y_pred.shape
    column_per_aspect = y_true.ndim == 2 and y_true.shape[1] == n_aspects
    if not (same_shape and column_per_aspect):
        raise UsageError(
            f"Expected truth and prediction of shape (n, {n_aspects}); "
            f"got {y_true.shape} and {y_pred.shape}."
        )

    # A truth that is NaN is an unlabelled clip; a prediction must be there.
    bad_truths = np.isinf(y_true)
    bad_predictions = ~np.isfinite(y_pred)
    _refuse_values("Truth", y_true, bad_truths, aspects=aspects)
    _refuse_values("Prediction", y_pred, bad_predictions, aspects=aspects)
    return y_true, y_pred, _system_names(system_ids, len(y_true))


def _refuse_values(
    what: str,
    values: np.ndarray,
    bad: np.ndarray,
    aspects: Sequence[str],
) -> None:
    """Raise an error that names the first of the `bad` values, where there are any."""
    if not bad.any():
        return
    row, column = np.argwhere(bad)[0]
    aspect = aspects[column]
    value = values[row, column]
    raise UsageError(
        f"{what} of row {row}, aspect '{aspect}' is {value}; "
        f"{bad.sum()} such values in all. Only truths may be NaN (unlabelled); "
        "predict or drop these clips first."
    )


def _system_names(system_ids: Iterable[str] | None, n: int) -> np.ndarray:
    """System names as an object array of shape (n,); all named, or all ""."""
    if system_ids is None:
        return np.array([""] * n, dtype=object)

    names = names_or_blank(system_ids)
    if len(names) != n:
        raise UsageError(f"{len(names)} system ids for {n} clips; give one per clip.")
    # Clips without a name would count as one more system.
    unnamed = np.flatnonzero(names == "")
    if 0 < len(unnamed) < len(names):
        raise UsageError(
            f"Rows {some(map(str, unnamed))} have no system id, but others have one; "
            "name all systems or none."
        )
    return names
