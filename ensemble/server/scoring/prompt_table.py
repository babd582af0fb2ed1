"""An uploaded table of prompts: its rows are matched to uploaded clips by name.

Paths in it are names to compare and are never opened, whatever they point to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from base_models.clips.columns import ALIASES, WEAK_ALIASES, first_column
from base_models.clips.segments.reference import stem_of
from base_models.clips.tables.read_table import read_table
from base_models.clips.text_table import TextTable
from base_models.errors import UsageError, some
from ensemble.server.refusals import Refusal
from ensemble.server.scoring.uploads import UploadedClip

MOST_BYTES = 2_000_000
"""Of a table of prompts."""
LONGEST_PROMPT = 5_000
"""Characters of a prompt."""


@dataclass(frozen=True)
class ClipFacts:
    """What a table says of the clips: a value each, "" where it says nothing.

    Parameters
    ----------
    prompts, systems : lists of n str
    notes : tuple of str
        Clips without a row, and rows without a clip.
    """

    prompts: list[str]
    systems: list[str]
    notes: tuple[str, ...] = ()


def facts_from_table(path: Path, name: str, clips: Sequence[UploadedClip]) -> ClipFacts:
    """Read prompts and systems of uploaded clips from an uploaded table.

    Parameters
    ----------
    path : Path
        Where the table lies; its suffix says how it is read.
    name : str
        What its owner calls it.
    clips : sequence of n UploadedClip

    Raises
    ------
    Refusal
        When it cannot be read, names no clips, or has neither prompts nor systems.
    """
    if path.stat().st_size > MOST_BYTES:
        raise Refusal(
            413,
            "table",
            f"{name} has more than {MOST_BYTES / 1e6:g} MB; leave rows of other clips "
            "and long columns out.",
            clip=name,
        )
    try:
        table = read_table(path)
    except UsageError as error:
        message = str(error).replace(str(path), name)
        raise Refusal(422, "table", message, clip=name) from error

    keys = _column(table, "audio") or _column(table, "clip_id")
    prompts = _column(table, "prompt")
    systems = _column(table, "system_id")
    if keys is None or (prompts is None and systems is None):
        raise Refusal(
            422,
            "table",
            f"{name} has the columns {some(list(table.columns))}; it takes one with "
            "names of files (audio, file or clip_id), and prompt or system_id.",
            clip=name,
        )
    return _matched(name, keys, clips, prompts=prompts, systems=systems)


def _column(table: TextTable, standard: str) -> list[str] | None:
    """The cells of the column with a standard meaning, or None."""
    for aliases in (ALIASES, WEAK_ALIASES):
        found = first_column(table.columns, aliases.get(standard, ()))
        if found is not None:
            return table.columns[found]
    return None


def _matched(
    name: str,
    keys: Sequence[str],
    clips: Sequence[UploadedClip],
    *,
    prompts: Sequence[str] | None,
    systems: Sequence[str] | None,
) -> ClipFacts:
    row_of: dict[str, int] = {}
    for row, key in enumerate(keys):
        # As written, without its folder, and without its suffix.
        base = key.replace("\\", "/").rpartition("/")[2].strip()
        for spelled in (base, stem_of(base)):
            row_of.setdefault(spelled, row)
    rows = [row_of.get(clip.name, row_of.get(stem_of(clip.name))) for clip in clips]

    notes = []
    without = [clip.name for clip, row in zip(clips, rows, strict=True) if row is None]
    if without:
        notes.append(f"{name} has no row for {some(without)}.")
    n_others = len(keys) - len(set(rows) - {None})
    if n_others:
        notes.append(
            f"{n_others} of {len(keys)} rows of {name} are about clips that were not "
            "uploaded; they are left out."
        )
    return ClipFacts(
        prompts=[checked_prompt(_cell(prompts, row)) for row in rows],
        systems=[_cell(systems, row) for row in rows],
        notes=tuple(notes),
    )


def _cell(cells: Sequence[str] | None, row: int | None) -> str:
    return "" if cells is None or row is None else cells[row].strip()


def checked_prompt(prompt: str) -> str:
    """Return a prompt, if it is not too long.

    Raises
    ------
    Refusal
        Otherwise.
    """
    if len(prompt) > LONGEST_PROMPT:
        raise Refusal(
            413,
            "prompt",
            f"A prompt has {len(prompt)} characters ('{prompt[:40]}…'); at most "
            f"{LONGEST_PROMPT} are read: shorten it.",
        )
    return prompt
