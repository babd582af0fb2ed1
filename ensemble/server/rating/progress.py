"""How far a listening test is: counts by rater and clip, and how far raters agree."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from base_models.metrics.rater_agreement import RaterAgreement, rater_agreement
from ensemble.server.rating.answers import RATED
from ensemble.server.rating.rating_file import reading
from ensemble.server.rating.rating_store import RatingStore
from ensemble.server.rating.rating_table import read_rating_file

_RESAMPLES = 200
"""For an interval that is looked at while the test runs."""


@dataclass(frozen=True)
class Progress:
    """What the experimenter sees.

    Parameters
    ----------
    raters : DataFrame
        ``rater, clips, answered, rated, cannot_judge, broken, last``, and the mean
        rating of each aspect.
    clips : DataFrame
        ``clip_id, system_id, raters`` (who have it to rate), ``rated, cannot_judge,
        broken``, and the mean rating of each aspect.
    agreement : dict of str to RaterAgreement
        By aspect, of those with ratings.
    """

    raters: pd.DataFrame
    clips: pd.DataFrame
    agreement: dict[str, RaterAgreement]


def progress_of(store: RatingStore) -> Progress:
    """Count what is in a file of ratings.

    Raises
    ------
    UsageError
        When the file cannot be read any more.
    """
    table = read_rating_file(store.path)
    columns: dict[str, str] = table.attrs["aspects"]
    ratings = table.rename(columns={column: name for name, column in columns.items()})
    with reading(store.path) as connection:
        raters = connection.execute(
            "SELECT raters.code, COUNT(queue.clip) FROM raters "
            "LEFT JOIN queue ON queue.rater = raters.number "
            "GROUP BY raters.number ORDER BY raters.number"
        ).fetchall()
        clips = connection.execute(
            "SELECT clips.clip_id, clips.system_id, COUNT(queue.rater) FROM clips "
            "LEFT JOIN queue ON queue.clip = clips.number "
            "GROUP BY clips.number ORDER BY clips.number"
        ).fetchall()
    aspects = list(columns)
    of_raters = pd.DataFrame(raters, columns=["rater_id", "clips"])
    of_clips = pd.DataFrame(clips, columns=["clip_id", "system_id", "raters"])
    return Progress(
        raters=_counted(of_raters, ratings, aspects),
        clips=_counted(of_clips, ratings, aspects),
        agreement={
            aspect: rater_agreement(
                ratings, aspect, table.attrs["scale"], n_bootstrap=_RESAMPLES
            )
            for aspect in aspects
            if ratings[aspect].notna().any()
        },
    )


def _counted(
    names: pd.DataFrame, ratings: pd.DataFrame, aspects: list[str]
) -> pd.DataFrame:
    """Rows of raters or of clips, with what was answered for each."""
    key = names.columns[0]
    groups = ratings.groupby(key)
    counted = names.copy()
    counted["answered"] = _per_name(counted[key], groups.size())
    for status in (RATED, "cannot_judge", "broken"):
        found = ratings[ratings["status"] == status].groupby(key).size()
        counted[status] = _per_name(counted[key], found)
    for aspect in aspects:
        counted[aspect] = counted[key].map(groups[aspect].mean())
    last = groups["timestamp"].max().to_dict()
    counted["last"] = [last.get(name, "") for name in counted[key]]
    return counted


def _per_name(names: pd.Series, counts: pd.Series) -> pd.Series:
    return names.map(counts).fillna(0).astype(int)
