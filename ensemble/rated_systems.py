"""Systems of clips that their predictions do not name: in ratings, or in ids."""

from __future__ import annotations

from collections.abc import Sequence

from base_models.clips.listening_tests.names_in_ids import names_in_ids
from base_models.clips.listening_tests.rating_options import RatingOptions
from base_models.clips.names import comparable_ids
from base_models.clips.read_clips import collect_clips
from base_models.errors import UsageError

ONE_SYSTEM = "all"
"""What clips without systems are said to be by."""


def systems_elsewhere(
    clip_ids: Sequence[str], ratings: str | None, options: RatingOptions
) -> tuple[list[str], str]:
    """The systems of clips whose own table names none.

    They are taken where they can be known of all clips: from the ratings, or from ids
    that contradict none of these. Else all clips are taken for one system's.

    Parameters
    ----------
    clip_ids : n unique ids
    ratings : a table of ratings, or an export of a listening test; None where there is
        none
    options : how it is read

    Returns
    -------
    systems : n names
    note : where they are from, or how they could be known, for people
    """
    rated = _systems_of_ratings(clip_ids, ratings, options) if ratings else []
    if rated and all(rated):
        return rated, f"systems are those that {ratings} names."

    in_ids = list(names_in_ids(clip_ids).systems)
    pairs = zip(rated, in_ids, strict=True) if rated else ()
    if all(in_ids) and all(own in ("", by_id) for own, by_id in pairs):
        return in_ids, "systems are those that the ids of the clips name."

    one = [ONE_SYSTEM] * len(clip_ids)
    n_known = sum(map(bool, rated))
    if n_known:
        return one, (
            f"{ratings} names the systems of {n_known} of {len(one)} predicted clips "
            "only: all are taken for one system's (--clips TABLE names the systems of "
            "all)."
        )
    return one, (
        "No clip has a system: all are taken for one system's (--clips TABLE names "
        "systems)."
    )


def _systems_of_ratings(
    clip_ids: Sequence[str], ratings: str, options: RatingOptions
) -> list[str]:
    """The system of each clip as the ratings name it, "" where they do not."""
    try:
        # Of single ratings a clip has many rows, each of which may name its system.
        table = collect_clips(ratings, labels=False, options=options).standard.table
    # What can be read as ratings need not be a table of clips.
    except UsageError:
        return [""] * len(clip_ids)
    wanted, given = comparable_ids(list(clip_ids), table.columns["clip_id"])
    named: dict[str, set[str]] = {}
    for clip, system in zip(given, table.columns["system_id"], strict=True):
        if system:
            named.setdefault(clip, set()).add(system)
    # A clip of two systems is of neither.
    return [
        next(iter(named[clip])) if len(named.get(clip, ())) == 1 else ""
        for clip in wanted
    ]
