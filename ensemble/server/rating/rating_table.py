"""The ratings of a file as a table with a row per rater and clip, which commands read.

It has what ``--ratings`` of other commands looks for, see `base_models.clips.ratings`:
``rater_id``, ``clip_id``, ``system_id`` and a column per aspect, whose name has the
scale where it is not 1 to 5; and, since it has ``audio`` and ``prompt`` too, what
``--data`` looks for.
"""

from __future__ import annotations

import os
import sqlite3

import numpy as np
import pandas as pd

from base_models.errors import UsageError
from base_models.scales import Scale
from ensemble.server.rating.design import AnswerScale
from ensemble.server.rating.rating_file import fact, reading, understood

_ANSWERS = """
SELECT answers.number, raters.code, clips.clip_id, clips.audio,
    clips.system_id, clips.prompt, answers.status,
    answers.plays, answers.listened_seconds, answers.answer_seconds, counted.n,
    answers.given_at
FROM answers
JOIN (
    SELECT MAX(number) AS last, COUNT(*) AS n FROM answers GROUP BY rater, clip
) AS counted ON counted.last = answers.number
JOIN raters ON raters.number = answers.rater
JOIN clips ON clips.number = answers.clip
JOIN queue ON queue.rater = answers.rater AND queue.clip = answers.clip
ORDER BY answers.rater, queue.position
"""
"""The last answer of each rater to each clip."""

_HISTORY = """
SELECT answers.number, raters.code, clips.clip_id, clips.audio,
    clips.system_id, clips.prompt, answers.status,
    answers.plays, answers.listened_seconds, answers.answer_seconds, 1,
    answers.given_at
FROM answers
JOIN raters ON raters.number = answers.rater
JOIN clips ON clips.number = answers.clip
ORDER BY answers.number
"""
_COLUMNS = (
    "number",
    "rater_id",
    "clip_id",
    "audio",
    "system_id",
    "prompt",
    "status",
    "plays",
    "listened_seconds",
    "rating_time",
    "n_answers",
    "timestamp",
)
_FIRST_FACT = _COLUMNS.index("status")
"""Before it stands what a rating is of, behind it how it came."""


def read_rating_file(path: str | os.PathLike[str]) -> pd.DataFrame:
    """The ratings that count: of each rater and clip the last answer.

    Parameters
    ----------
    path : path-like
        File of ratings; a server may write to it meanwhile.

    Returns
    -------
    ratings : DataFrame
        ``rater_id, clip_id, audio``, ``system_id`` and ``prompt`` where clips have
        them, a float column for each aspect (NaN where it was not rated), ``status``
        (rated, cannot_judge, broken), ``plays``, ``listened_seconds``,
        ``rating_time`` (s from the page to the answer), ``n_answers`` (corrections
        included) and ``timestamp`` (UTC).
        ``attrs["scale"]`` are the ends of the scale, ``attrs["aspects"]`` maps aspects
        to their columns.

    Raises
    ------
    UsageError
        When there is no such file, or it is none of ratings.
    """
    with understood(path):
        return _table(path, _ANSWERS)


def read_history(path: str | os.PathLike[str]) -> pd.DataFrame:
    """All answers in the order in which they came, those corrected later included.

    See `read_rating_file`; without ``n_answers``.
    """
    with understood(path):
        return _table(path, _HISTORY).drop(columns="n_answers")


def _table(path: str | os.PathLike[str], query: str) -> pd.DataFrame:
    try:
        with reading(path) as connection:
            design = fact(connection, "design")
            rows = connection.execute(query).fetchall()
            ratings = connection.execute(
                "SELECT answer, aspect, rating FROM ratings"
            ).fetchall()
    except sqlite3.Error as error:
        raise UsageError(f"'{path}' cannot be read ({error}).") from error

    low, high = design["scale"]
    scale = AnswerScale(Scale(low, high), design["step"], ())
    answers = pd.DataFrame(rows, columns=list(_COLUMNS))
    values = {(answer, aspect): rating for answer, aspect, rating in ratings}
    columns = {aspect: scale.in_name(aspect) for aspect in design["aspects"]}
    table = answers[list(_COLUMNS[1:_FIRST_FACT])].copy()
    for aspect, column in columns.items():
        cells = [values.get((number, aspect), np.nan) for number in answers["number"]]
        table[column] = np.array(cells, dtype=np.float64)
    for name in _COLUMNS[_FIRST_FACT:]:
        table[name] = answers[name]
    for name in ("listened_seconds", "rating_time"):
        table[name] = table[name].astype(np.float64).round(2)
    for name in ("system_id", "prompt"):
        if not (table[name] != "").any():
            table = table.drop(columns=name)
    table.attrs["aspects"] = columns
    table.attrs["scale"] = (low, high)
    return table
