"""Scores of a stack beside the clips that they are of."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from base_models.predictions import PredictionTable
from meta.regressor import MetaRegressor


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
        The columns of `clips`, and per aspect ``<aspect>``, ``<aspect>_low`` and
        ``<aspect>_high``.
    """
    ids = clips["clip_id"].tolist()
    scores = regressor.predict(tables, ids)
    low, high = regressor.predict_interval(tables, ids, level)

    columns = {}
    for aspect in aspects:
        k = regressor.aspects_.index(aspect)
        columns[aspect] = scores[:, k]
        columns[f"{aspect}_low"] = low[:, k]
        columns[f"{aspect}_high"] = high[:, k]
    return clips.assign(**columns)
