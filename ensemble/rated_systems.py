"""Systems of clips that their predictions do not name: in ratings, or in ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from base_models.clips import musiceval
from base_models.clips.columns import fold_name
from base_models.clips.listening_tests.names_in_ids import names_in_ids
from base_models.clips.listening_tests.rating_options import (
    AS_THEY_ARE,
    RatingOptions,
)
from base_models.clips.names import comparable_ids
from base_models.clips.read_clips import collect_clips, read_clips
from base_models.clips.rows.reading import Reading
from base_models.clips.tables.read_table import is_table, read_table, table_file
from base_models.errors import UsageError
from ensemble.prediction_files.read_predictions import read_distributions

ONE_SYSTEM = "all"
"""What clips without systems are said to be by."""
NOTHING_SAID = Reading()
_DESCRIBING = ("system_id", "prompt", "audio")


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


def described_clips(
    predicted: pd.DataFrame,
    path: Path,
    clips: str | None,
    reading: Reading = NOTHING_SAID,
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Clip id, system, prompt and audio of every clip, and the notes of the reader.

    Parameters
    ----------
    predicted : the clips, in ``clip_id``
    path : file of their predictions, which may name systems itself
    clips : a table that names them, as `read_clips` takes it, or None
    reading : how the table is read; without one, how the predictions are, of which only
        columns that they have are meant
    """
    if clips is not None:
        options = replace(AS_THEY_ARE, reading=reading)
        table = read_clips(clips, labels=False, options=options)
        return table, tuple(table.attrs.get("notes", ()))

    own = None
    is_of_rows = is_table(path) and not musiceval.is_list(path)
    if is_of_rows and read_distributions(path) is None:
        # Their ids were read already, without anybody's words.
        columns = _columns_in(reading, _folded_names(str(path)))
        described = {name: columns[name] for name in _DESCRIBING if name in columns}
        options = replace(AS_THEY_ARE, reading=replace(reading, columns=described))
        own = read_clips(path, labels=False, options=options)
    if own is not None and (own["system_id"] != "").any():
        return own, ()
    if own is None:
        texts = dict.fromkeys(_DESCRIBING, "")
        own = predicted[["clip_id"]].assign(**texts)
    ids = [clip.removesuffix(".wav") for clip in own["clip_id"]]
    if musiceval.are_clip_ids(ids):
        own["system_id"] = [musiceval.system_of(clip) for clip in ids]
    return own, ()


def reading_beside(reading: Reading, table: str, other: str) -> Reading:
    """How a table is read whose columns are named together with those of another.

    Parameters
    ----------
    reading : how both are
    table, other : the files

    Returns
    -------
    own : without the columns that `other` alone has. One that neither has stays, and is
        refused by the reader
    """
    own = _folded_names(table)
    elsewhere = _folded_names(other)
    columns = _columns_in(reading, own)
    # What is in no plain table, such as a folder, has columns that nobody knows here.
    if own is not None and elsewhere is not None:
        columns |= {
            standard: name
            for standard, name in reading.columns.items()
            if fold_name(name) not in elsewhere
        }
    return replace(reading, columns=columns)


def _columns_in(reading: Reading, names: frozenset[str] | None) -> dict[str, str]:
    """The columns that a table has; all where its names are not known."""
    return {
        standard: name
        for standard, name in reading.columns.items()
        if names is None or not name or fold_name(name) in names
    }


def _folded_names(file: str) -> frozenset[str] | None:
    """The names of the columns of a table, folded; None of what is no table."""
    path = Path(file)
    if not is_table(path) or not table_file(path).is_file() or musiceval.is_list(path):
        return None
    return frozenset(fold_name(name) for name in read_table(path).columns)


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
