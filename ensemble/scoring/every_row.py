"""Every row that is given comes back, in order: scored, or with the reason why not.

Whoever asks about 11 clips and is told of 7 has to find out which four are missing, and
cannot put the answer beside the question.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from base_models.clip_status import DUPLICATE, NO_PREDICTION, OK
from base_models.clips.read_clips import SetAside
from base_models.errors import some
from base_models.predictions import PredictionTable
from ensemble.formats import Scores
from meta.score_columns import FLAGS, KEPT, OUT_OF_RANGE, REASON, STATUS

_OF_OTHERS: Mapping[str, object] = {OUT_OF_RANGE: False, FLAGS: ""}
"""What stands in columns that are no numbers, where a clip was not scored."""


def without_repeats(clips: pd.DataFrame) -> tuple[pd.DataFrame, dict[int, SetAside]]:
    """The rows whose id no earlier row has, and the others set aside.

    Parameters
    ----------
    clips : DataFrame of n rows
        With ``clip_id`` as text.

    Returns
    -------
    first : DataFrame
        With a RangeIndex.
    repeats : dict
        Number of each other row, from 0, to why it is not scored.
    """
    first_row: dict[str, int] = {}
    repeats = {}
    for row, clip in enumerate(clips["clip_id"]):
        if clip not in first_row:
            first_row[clip] = row
            continue
        reason = f"its id stands in row {first_row[clip] + 1} already"
        repeats[row] = SetAside(clip, reason, status=DUPLICATE)
    return clips.iloc[list(first_row.values())].reset_index(drop=True), repeats


def without_prediction(
    tables: Sequence[PredictionTable], clip_ids: Sequence[str]
) -> dict[int, SetAside]:
    """The rows of clips that some model has not predicted, and which."""
    held = {table.model: set(table.clip_ids) for table in tables}
    refused = {}
    for row, clip in enumerate(clip_ids):
        lacking = [name for name, ids in held.items() if clip not in ids]
        if lacking:
            reason = f"no prediction of {some(lacking)}"
            refused[row] = SetAside(clip, reason, status=NO_PREDICTION)
    return refused


def by_row(
    clip_ids: Sequence[str],
    set_aside: Iterable[SetAside],
    refused: Mapping[int, SetAside],
) -> dict[int, SetAside]:
    """The rows that have no scores, in order: those refused before, and of other clips.

    Parameters
    ----------
    clip_ids : sequence of n str
    set_aside : iterable of SetAside
        Each is of the row of its id that was not refused.
    refused : mapping of int to SetAside
        Rows that were never scored, by their number from 0.
    """
    row_of = {clip: row for row, clip in enumerate(clip_ids) if row not in refused}
    rows = {row_of[clip.clip_id]: clip for clip in set_aside} | dict(refused)
    return dict(sorted(rows.items()))


def among(
    scores: Scores, given: pd.DataFrame, refused: Mapping[int, SetAside]
) -> Scores:
    """Scores of some rows of a table, with its other rows among them.

    Parameters
    ----------
    scores : Scores
        Of all rows that were not refused, in their order.
    given : DataFrame of n rows
        ``clip_id`` as text, ``audio``, and the columns to keep, as of `kept_columns`.
    refused : mapping of int to SetAside
        The other rows, by their number from 0.
    """
    set_aside = by_row(given["clip_id"].tolist(), scores.set_aside, refused)
    scored = scores.usable[["clip_id", *own_columns(scores)]]
    return replace(
        scores,
        frame=every_row(given, scored, set_aside),
        set_aside=tuple(set_aside.values()),
    )


def own_columns(scores: Scores) -> list[str]:
    """The columns of scores that are not of the input."""
    names = list(scores.frame.columns)
    # Those of the input stand first.
    return names[names.index(STATUS) :]


def every_row(
    given: pd.DataFrame, scored: pd.DataFrame, set_aside: Mapping[int, SetAside]
) -> pd.DataFrame:
    """The rows that were given, with the scores of those that have some.

    Parameters
    ----------
    given : DataFrame of n rows
        ``clip_id``, ``audio``, and the columns to keep, which come back as they are.
    scored : DataFrame
        Some of these clips, by ``clip_id``; its other columns are added.
    set_aside : mapping of int to SetAside
        The other rows, by their number from 0.

    Returns
    -------
    frame : DataFrame of n rows
        The columns of `given`, `STATUS`, those of `scored`, and `REASON`. Numbers are
        NaN where a clip was not scored.
    """
    ids = given["clip_id"].tolist()
    rows = [row for row in range(len(ids)) if row not in set_aside]
    place_of = {clip: place for place, clip in enumerate(scored["clip_id"])}
    in_order = scored.iloc[[place_of[ids[row]] for row in rows]].set_axis(rows)

    status = [OK] * len(ids)
    reason = [""] * len(ids)
    for row, clip in set_aside.items():
        status[row] = clip.status
        reason[row] = clip.reason

    columns = {name: given[name].to_numpy() for name in given.columns}
    columns[STATUS] = np.array(status, dtype=object)
    others = [name for name in scored.columns if name not in (*given, STATUS, REASON)]
    for name in others:
        unknown = _OF_OTHERS.get(name, np.nan)
        columns[name] = in_order[name].reindex(range(len(ids)), fill_value=unknown)
    columns[REASON] = np.array(reason, dtype=object)
    return pd.DataFrame(columns)


def kept_columns(
    clips: pd.DataFrame, names: Sequence[str] | None = None
) -> pd.DataFrame:
    """The ids, the paths and some other columns of a clip table, as text.

    Parameters
    ----------
    clips : DataFrame of n rows
        With ``clip_id`` and ``audio``.
    names : sequence of str, optional
        Columns to keep; by default those of `KEPT` that have something in them.
    """
    kept = {"clip_id": clips["clip_id"].tolist(), "audio": clips["audio"].tolist()}
    for name in KEPT if names is None else names:
        if name not in clips:
            continue
        cells = ["" if pd.isna(cell) else str(cell) for cell in clips[name]]
        if names is not None or any(cells):
            kept[name] = cells
    # Without rows, the columns would be taken for numbers.
    return pd.DataFrame(kept, dtype=object)
