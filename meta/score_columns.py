"""The columns of scores: per aspect, the score and the bounds of its interval."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from base_models.predictions import PredictionTable
from meta.regressor import MetaRegressor


def score_columns(aspects: Sequence[str]) -> list[str]:
    """Names of the columns of scores, in order.

    Examples
    --------
    >>> score_columns(["mi"])
    ['mi', 'mi_low', 'mi_high']
    """
    columns = []
    for aspect in aspects:
        columns += [aspect, f"{aspect}_low", f"{aspect}_high"]
    return columns


def without_scores(
    scored: pd.DataFrame, aspects: Sequence[str], gaps: np.ndarray
) -> pd.DataFrame:
    """The same table, NaN where a score and its interval are not to be shown.

    Parameters
    ----------
    scored : DataFrame of n rows, as of `scored_table`
    aspects : names of the scored aspects
    gaps : bool array of shape (n, aspects)
    """
    kept = scored.copy()
    for aspect, is_gap in zip(aspects, gaps.T, strict=True):
        kept.loc[is_gap, score_columns([aspect])] = np.nan
    return kept


def scored_table(
    regressor: MetaRegressor,
    tables: Sequence[PredictionTable],
    clips: pd.DataFrame,
    aspects: Sequence[str],
    level: float,
) -> pd.DataFrame:
    """Predict clips, and put scores and intervals beside them.

    Parameters
    ----------
    regressor : MetaRegressor
        Fitted.
    tables : sequence of PredictionTable
        Predictions of the base models for these clips.
    clips : DataFrame of n rows
        With ``clip_id``.
    aspects : sequence of str
        Which of the regressor's aspects to score.
    level : float
        Nominal coverage of the intervals.

    Returns
    -------
    scored : DataFrame of n rows
        The columns of `clips`, and those of `score_columns`.
    """
    ids = clips["clip_id"].tolist()
    scores = regressor.predict(tables, ids)
    low, high = regressor.predict_interval(tables, ids, level)

    # The regressor may know more aspects than are scored.
    values = []
    for aspect in aspects:
        k = regressor.aspects_.index(aspect)
        values += [scores[:, k], low[:, k], high[:, k]]
    return clips.assign(**dict(zip(score_columns(aspects), values, strict=True)))
