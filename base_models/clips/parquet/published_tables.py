"""Data sets published as Parquet: one table in several files, each named by its split.

MusicEval is published so: ``data/train-00000-of-00003.parquet`` and so on, with the
audio in the tables, ratings, and neither systems nor prompts. Both stand in the names
of its clips, the texts of the prompts in ``prompt_info.txt`` where that is at hand.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from base_models.clips import musiceval
from base_models.clips.columns import SPLIT_ALIASES, SPLITS
from base_models.clips.text_table import TextTable
from base_models.errors import UsageError, some

_SPLIT_OF_WORD = {
    word: split for split, words in SPLIT_ALIASES.items() for word in words
}


def find_shards(folder: Path) -> list[Path]:
    """The Parquet files of a data set, in a folder or in its ``data``.

    Returns
    -------
    shards : train, dev and test, each in the order of names; empty where no file is
        named after a split

    Raises
    ------
    UsageError
        when files named after splits stand among others.
    """
    for place in (folder, folder / "data"):
        files = sorted(place.glob("*.parquet")) if place.is_dir() else []
        if not any(split_of_name(file) for file in files):
            continue
        others = [file.name for file in files if not split_of_name(file)]
        if others:
            raise UsageError(
                f"{place} holds {some(others)} beside files named after splits, such "
                "as train-00000.parquet; move them away, or name one file."
            )
        return sorted(files, key=lambda file: SPLITS.index(split_of_name(file)))
    return []


def split_of_name(file: Path) -> str:
    """The split that a file is named after, or "".

    >>> split_of_name(Path("data/validation-00000-of-00001.parquet"))
    'dev'
    """
    match = re.fullmatch(r"([a-z]+)([-._].*)?", file.stem, re.IGNORECASE)
    return _SPLIT_OF_WORD.get(match[1].lower(), "") if match else ""


def joined(tables: Sequence[TextTable], shards: Sequence[Path]) -> TextTable:
    """One table of several files.

    Raises
    ------
    UsageError
        when they differ in their columns.
    """
    first = tables[0]
    for table, shard in zip(tables, shards, strict=True):
        differing = set(first.columns) ^ set(table.columns)
        if differing:
            raise UsageError(
                f"{shards[0]} and {shard.name} are to be one table and differ in the "
                f"columns {some(sorted(differing))}."
            )
    columns = {
        name: [cell for table in tables for cell in table.columns[name]]
        for name in first.columns
    }
    locations = [place for table in tables for place in table.locations]
    notes = dict.fromkeys(note for table in tables for note in table.notes)
    return replace(first, columns=columns, locations=locations, notes=tuple(notes))


def as_published(table: TextTable, shards: Sequence[Path]) -> TextTable:
    """The same table with what file names say of splits, systems and prompts.

    What a column says stays as it is.

    Parameters
    ----------
    table : with the columns of a clip table; "" where it has none
    shards : the files that it was read from
    """
    columns = dict(table.columns)
    if not any(columns["split"]):
        columns["split"] = _splits(table, shards)

    clip_ids = columns["clip_id"]
    if not any(columns["system_id"]) and musiceval.are_clip_ids(clip_ids):
        columns["system_id"] = [musiceval.system_of(clip) for clip in clip_ids]
        if not any(columns["prompt"]):
            prompts = musiceval.read_prompts(shards[0].parent)
            columns["prompt"] = [prompts.of_clip(clip) for clip in clip_ids]
    return replace(table, columns=columns)


def _splits(table: TextTable, shards: Sequence[Path]) -> list[str]:
    """The split of each row by the name of its file; "" where names say nothing."""
    split_of_file = {str(shard): split_of_name(shard) for shard in shards}
    # A data set without splits is published as "train", so this word alone is no split.
    if set(split_of_file.values()) == {"train"}:
        return [""] * table.n_rows
    return [split_of_file[file] for file, _ in table.locations]
