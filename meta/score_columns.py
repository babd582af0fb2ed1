"""The columns of scores, and of the distributions around them."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd

from base_models.errors import one_of
from base_models.predictions import PredictionTable, bin_column
from meta.comparison.compared_rows import STACK
from meta.regressor import MetaRegressor

DISTRIBUTIONS = ("none", "stack", "members")
"""Whose distributions are wanted; of members, those of the stack come too."""
OUT_OF_RANGE = "out_of_range"
"""Column that marks the clips unlike those that a stack has learnt from."""
SOURCE_HZ = "source_hz"
"""Column of the sample rate of a clip's file."""
BANDWIDTH_HZ = "bandwidth_hz"
"""Column of the frequency above which there is nothing in a clip."""
SECONDS = "seconds"
"""Column of the length of a clip, as its file declares it."""
CHANNELS = "channels"
"""Column of the number of channels in a clip's file."""
AUDIO_COLUMNS = (SECONDS, SOURCE_HZ, CHANNELS, BANDWIDTH_HZ)
"""Columns about the audio of clips, where audio was scored."""
COUNT_COLUMNS = (SOURCE_HZ, CHANNELS, BANDWIDTH_HZ)
"""Those of whole numbers, which may be unknown."""
FLAGS = "flags"
"""Column of words, with spaces between them, that say what to mind about a score."""
STATUS = "status"
"""Column that says whether a clip was scored, of `base_models.clip_status.STATUSES`."""
REASON = "reason"
"""Column that says why a clip was not scored; the last one."""
KEPT = ("system_id", "prompt")
"""Columns of a clip table that stand beside scores where nobody names others."""


def score_columns(
    aspects: Sequence[str], with_disagreement: Collection[str] = ()
) -> list[str]:
    """Names of the columns of scores, in order.

    Parameters
    ----------
    aspects : names
    with_disagreement : those of them whose single ratings are predicted

    Examples
    --------
    >>> score_columns(["mi", "ta"], ["ta"])
    ['mi', 'mi_low', 'mi_high', 'ta', 'ta_low', 'ta_high', 'ta_sd']
    """
    columns = []
    for aspect in aspects:
        columns += [aspect, f"{aspect}_low", f"{aspect}_high"]
        if aspect in with_disagreement:
            columns.append(f"{aspect}_sd")
    return columns


def without_scores(
    scored: pd.DataFrame, aspects: Sequence[str], gaps: np.ndarray
) -> pd.DataFrame:
    """The same table, NaN where a score and what stands beside it are not to be shown.

    Parameters
    ----------
    scored : DataFrame of n rows, as of `scored_table`
    aspects : names of the scored aspects
    gaps : bool array of shape (n, aspects)
    """
    kept = scored.copy()
    for aspect, is_gap in zip(aspects, gaps.T, strict=True):
        columns = [*score_columns([aspect]), f"{aspect}_sd"]
        kept.loc[is_gap, [name for name in columns if name in kept]] = np.nan
    return kept


def without_distributions(
    distributions: pd.DataFrame,
    clip_ids: Sequence[str],
    aspects: Sequence[str],
    gaps: np.ndarray,
) -> pd.DataFrame:
    """The same table, NaN where a distribution is not to be shown.

    Parameters
    ----------
    distributions : as of `distribution_table`
    clip_ids : n ids, the rows of `gaps`
    aspects : names of the scored aspects
    gaps : bool array of shape (n, aspects)
    """
    kept = distributions.copy()
    for aspect, is_gap in zip(aspects, gaps.T, strict=True):
        without = {clip for clip, gap in zip(clip_ids, is_gap, strict=True) if gap}
        is_of_gap = kept["clip_id"].isin(without)
        bins = [name for name in kept.columns if _is_bin_of(aspect, name)]
        kept.loc[is_of_gap, [aspect, *bins]] = np.nan
    return kept


def _is_bin_of(aspect: str, name: str) -> bool:
    """Whether a column is of a bin of an aspect, whose name may begin another's."""
    return re.fullmatch(rf"{re.escape(aspect)}_b\d+", name) is not None


def aspects_with_disagreement(regressor: MetaRegressor) -> tuple[str, ...]:
    """Aspects for which a base model of the stack predicts single ratings."""
    known = zip(regressor.aspects_, regressor.disagreements_, strict=True)
    return tuple(aspect for aspect, disagreement in known if disagreement is not None)


def scored_table(
    regressor: MetaRegressor,
    tables: Sequence[PredictionTable],
    clips: pd.DataFrame,
    aspects: Sequence[str],
    level: float,
    systems: Sequence[str] | None = None,
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
    systems : sequence of n names, or None
        Systems with enough rated clips get intervals of their own, see
        `MetaRegressor.predict_interval`.

    Returns
    -------
    scored : DataFrame of n rows
        The columns of `clips` and those of `score_columns`; and `OUT_OF_RANGE`, where
        the stack can tell.
    """
    ids = clips["clip_id"].tolist()
    scores = regressor.predict(tables, ids)
    low, high = regressor.predict_interval(tables, ids, level, systems)
    with_disagreement = aspects_with_disagreement(regressor)
    deviations = np.empty((len(ids), 0))
    if with_disagreement:
        deviations = regressor.predict_disagreement(tables, ids)

    # The regressor may know more aspects than are scored.
    values = []
    for aspect in aspects:
        k = regressor.aspects_.index(aspect)
        values += [scores[:, k], low[:, k], high[:, k]]
        if aspect in with_disagreement:
            values.append(deviations[:, k])
    columns = score_columns(aspects, with_disagreement)
    scored = clips.assign(**dict(zip(columns, values, strict=True)))
    check = regressor.check_range(tables, ids)
    if check is not None:
        scored[OUT_OF_RANGE] = check.out_of_range
    return scored


def distribution_columns(aspects: Sequence[str], count: int) -> list[str]:
    """Names of the columns of distributions over `count` bins, in order.

    Examples
    --------
    >>> distribution_columns(["mi"], 3)
    ['clip_id', 'model', 'mi', 'mi_b00', 'mi_b01', 'mi_b02']
    """
    columns = ["clip_id", "model"]
    for aspect in aspects:
        columns += [aspect, *bin_columns(aspect, count)]
    return columns


def bin_columns(aspect: str, count: int) -> list[str]:
    """Names of the columns of one aspect's bins."""
    return [f"{aspect}_{bin_column(k)}" for k in range(count)]


def distribution_table(
    regressor: MetaRegressor,
    tables: Sequence[PredictionTable],
    clip_ids: Sequence[str],
    aspects: Sequence[str],
    wanted: str = "stack",
) -> pd.DataFrame:
    """The distribution of each clip over the bins of the scale, model by model.

    Parameters
    ----------
    regressor, tables, aspects : see `scored_table`
    clip_ids : n ids
    wanted : one of `DISTRIBUTIONS`

    Returns
    -------
    distributions : DataFrame with the columns of `distribution_columns`
        For each clip in turn a row of the stack, called ``"stack"``, and with
        ``"members"`` one of each base model that has a prediction for it. ``<aspect>``
        is the score that the model makes of its distribution.

    Raises
    ------
    UsageError
        When `wanted` is none of `DISTRIBUTIONS`.
    """
    one_of(wanted, DISTRIBUTIONS, "distributions")
    bins = regressor.layout_.bins
    columns = distribution_columns(aspects, bins.count)
    if wanted == "none":
        return pd.DataFrame(columns=columns)

    clip_ids = list(clip_ids)
    chosen = [regressor.aspects_.index(aspect) for aspect in aspects]
    scores = regressor.predict(tables, clip_ids)[:, chosen]
    distributions = regressor.predict_distribution(tables, clip_ids)[:, chosen]
    frames = [
        _model_frame(
            STACK, clip_ids, columns, scores=scores, distributions=distributions
        )
    ]
    if wanted == "members":
        for table in regressor.layout_.align(tables, regressor.accepts_missing):
            # A model may lack clips that the stack fills in from the others.
            held = set(table.clip_ids)
            own = table.take([clip for clip in clip_ids if clip in held])
            known = [own.aspects.index(aspect) for aspect in aspects]
            frames.append(
                _model_frame(
                    table.model,
                    own.clip_ids,
                    columns,
                    scores=own.scores[:, known],
                    distributions=own.distributions[:, known],
                )
            )

    # Clip by clip, so that chunks of clips can be put one below the other.
    table_of_all = pd.concat(frames, ignore_index=True)
    place_of = {clip: place for place, clip in enumerate(clip_ids)}
    order = table_of_all["clip_id"].map(place_of).argsort(kind="stable")
    return table_of_all.iloc[order].reset_index(drop=True)


def _model_frame(
    model: str,
    clip_ids: Sequence[str],
    columns: Sequence[str],
    scores: np.ndarray,
    distributions: np.ndarray,
) -> pd.DataFrame:
    """Rows of one model: scores (n, aspects), distributions (n, aspects, bins)."""
    values = np.concatenate([scores[:, :, None], distributions], axis=2)
    flat = values.reshape(len(values), -1)
    frame = pd.DataFrame(flat, columns=list(columns[2:]))
    frame.insert(0, "clip_id", list(clip_ids))
    frame.insert(1, "model", model)
    return frame
