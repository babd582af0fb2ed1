"""A table of pairs: a prompt and two clips in each row, every clip scored once."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from base_models.clips.columns import fold_name
from base_models.clips.rows.audio_paths import AudioFolders, FoundAudio, way_notes
from base_models.clips.rows.pair_columns import (
    CLIP_WORDS,
    SYSTEM_WORDS,
    pair_of_columns,
)
from base_models.clips.rows.standard_columns import choose_columns
from base_models.clips.tables.read_table import read_table
from base_models.clips.text_table import TextTable
from base_models.errors import UsageError, one_of, some

MEANINGS = ("audio_a", "audio_b", "prompt", "id", "system_a", "system_b")
"""What a column of a table of pairs can be named to be."""
NOWHERE = -1
"""Place of a clip that a row does not name, or not clearly."""

# CMI-RewardBench calls the first of two files like that of a clip alone.
_UNEVEN = (("audio_path", "audio2"), ("audio", "audio2"), ("audio", "audio_b"))


@dataclass(frozen=True, eq=False)
class PairTable:
    """n pairs, and the m clips that they are of.

    Parameters
    ----------
    pairs : DataFrame of n rows
        Text: ``pair_id, prompt, audio_a, audio_b``, and ``system_a, system_b`` where
        the table names systems; files as the table writes them.
    clips : DataFrame of m rows
        ``clip_id, audio, prompt``, each file with each of its prompts once.
    first, second : int arrays of shape (n,)
        Places of the two clips in `clips`; `NOWHERE` where there is none.
    reasons : n texts, why a row has no clip at such a place; "" where it has both
    rows : n mappings, the cells of each row as the table has them
    notes : what was chosen in reading it, for people
    """

    pairs: pd.DataFrame
    clips: pd.DataFrame
    first: np.ndarray
    second: np.ndarray
    reasons: tuple[str, ...]
    rows: tuple[Mapping[str, str], ...]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.pairs)

    @property
    def same_system(self) -> np.ndarray:
        """Whether both clips are of one system, which has to be named."""
        if "system_a" not in self.pairs:
            return np.zeros(len(self), dtype=bool)
        first = self.pairs["system_a"].to_numpy()
        return (first == self.pairs["system_b"].to_numpy()) & (first != "")

    @property
    def same_prompt(self) -> np.ndarray:
        """Whether the pair has a prompt, which both of its clips share."""
        return self.pairs["prompt"].str.strip().to_numpy() != ""

    @property
    def one_clip_twice(self) -> np.ndarray:
        """Whether both sides of a pair are one clip."""
        return (self.first == self.second) & (self.first != NOWHERE)


def read_pairs(
    path: str | os.PathLike,
    columns: Iterable[str] | None = None,
    audio_root: str | None = None,
    are_files: bool = True,
) -> PairTable:
    """Read a table of pairs of any kind that `read_table` knows.

    Parameters
    ----------
    path : of the table
    columns : ``WHAT=COLUMN`` words for what names do not say, see `MEANINGS`
    audio_root : folder that audio paths are relative to, before the table's own
    are_files : whether clips are audio files; else they are ids of clips

    Raises
    ------
    UsageError
        when the table has no row, or no two columns of clips.
    """
    path = Path(path)
    table = read_table(path)
    if not table.n_rows:
        raise UsageError(f"{path} holds no pairs.")
    taken = _taken_columns(table, path, columns)
    n = table.n_rows

    cells = {
        name: [cell.strip() for cell in table.columns[column]]
        for name, column in taken.items()
    }
    prompts = table.columns[taken["prompt"]] if "prompt" in taken else [""] * n
    ids = cells.get("id", [""] * n)
    names = [own or str(row + 1) for row, own in enumerate(ids)]
    pairs = pd.DataFrame(
        {
            "pair_id": names,
            "prompt": list(prompts),
            "audio_a": cells["audio_a"],
            "audio_b": cells["audio_b"],
        },
        dtype=object,
    )
    for name in ("system_a", "system_b"):
        if "system_a" in taken and "system_b" in taken:
            pairs[name] = cells[name]

    notes = [*table.notes, *_about_columns(taken)]
    files = [*cells["audio_a"], *cells["audio_b"]]
    found = [FoundAudio(cell, cell, exists=True) for cell in files]
    if are_files:
        root = None if audio_root is None else Path(audio_root)
        found = AudioFolders(path.parent, root).find_all(files)
        notes += way_notes(found)
        found = [replace(one, path=_tidy(one.path)) for one in found]
    # What is predicted of an id is predicted, whatever its prompt.
    texts = [*prompts, *prompts] if are_files else [""] * (2 * n)
    clips, places = _clips_of(found, texts)
    unclear = [_unclear(one) for one in found]
    reasons = [
        "; ".join(f"{side}: {why}" for side, why in zip("ab", both, strict=True) if why)
        for both in zip(unclear[:n], unclear[n:], strict=True)
    ]
    rows = [{name: own[row] for name, own in table.columns.items()} for row in range(n)]
    return PairTable(
        pairs=pairs,
        clips=clips,
        first=places[:n],
        second=places[n:],
        reasons=tuple(reasons),
        rows=tuple(rows),
        notes=tuple(notes),
    )


def _taken_columns(
    table: TextTable, path: Path, words: Iterable[str] | None
) -> dict[str, str]:
    """Which column of the table is what: meaning to column."""
    taken = _named_columns(table, path, words)
    names = {fold_name(name): name for name in table.columns}
    if "audio_a" not in taken or "audio_b" not in taken:
        found = pair_of_columns(names, CLIP_WORDS)
        both = None if found is None else found[:2]
        for first, second in _UNEVEN:
            if both is None and first in names and second in names:
                both = (names[first], names[second])
        if both is None:
            raise UsageError(
                f"{path} has no two columns of clips (audio_a and audio_b, or clip_a, "
                f"audio_1, left …); it has {some(table.columns, 12)}. Say which they "
                "are: --columns audio_a=COLUMN audio_b=COLUMN."
            )
        taken.setdefault("audio_a", both[0])
        taken.setdefault("audio_b", both[1])
    systems = pair_of_columns(names, SYSTEM_WORDS)
    if systems is not None:
        taken.setdefault("system_a", systems[0])
        taken.setdefault("system_b", systems[1])

    # The rest are columns of any table of clips; an id is that of the pair.
    rest = choose_columns(table, path, list(taken.values()))
    for name, standard in (("prompt", "prompt"), ("id", "clip_id")):
        if standard in rest:
            taken.setdefault(name, rest[standard])
    by_pair = next((names[n] for n in ("pair_id", "pair") if n in names), None)
    if by_pair is not None and "id" not in taken:
        taken["id"] = by_pair
    return taken


def _named_columns(
    table: TextTable, path: Path, words: Iterable[str] | None
) -> dict[str, str]:
    """The columns that the user names, by what they are."""
    named: dict[str, str] = {}
    for word in words or ():
        meaning, equals, column = word.partition("=")
        if not equals:
            raise UsageError(
                "--columns of --pairs takes WHAT=COLUMN, e.g. audio_a='File 1' "
                f"prompt=text; got '{word}'."
            )
        one_of(meaning.strip(), MEANINGS, "meaning of a column of --pairs")
        if column not in table.columns:
            raise UsageError(
                f"{path} has no column '{column}' (--columns); it has "
                f"{some(table.columns, 12)}."
            )
        named[meaning.strip()] = column
    return named


def _about_columns(taken: Mapping[str, str]) -> list[str]:
    """Which columns were taken, where they are called otherwise."""
    others = {name: column for name, column in taken.items() if name != column}
    if not others:
        return []
    listed = ", ".join(f"{name} from '{column}'" for name, column in others.items())
    return [f"columns: {listed}"]


def _tidy(path: str) -> str:
    """A path in the form in which equal files are equal; "" stays."""
    return os.path.normpath(path) if path else ""


def _unclear(found: FoundAudio) -> str:
    """Why a cell leads to no clip, or ""."""
    if not found.path:
        return "no file is named"
    if found.choices:
        return f"the path fits {some(found.choices)}; write it in full"
    return ""


def _clips_of(
    found: list[FoundAudio], prompts: list[str]
) -> tuple[pd.DataFrame, np.ndarray]:
    """Each file with each of its prompts once, and the place of each cell in them."""
    place_of: dict[tuple[str, str], int] = {}
    places = []
    for one, prompt in zip(found, prompts, strict=True):
        if _unclear(one):
            places.append(NOWHERE)
            continue
        clip = (one.path, prompt)
        places.append(place_of.setdefault(clip, len(place_of)))

    # One file with two prompts is two clips, whose ids have to differ.
    times: dict[str, int] = {}
    ids = []
    for audio, _ in place_of:
        times[audio] = times.get(audio, 0) + 1
        number = times[audio]
        ids.append(audio if number == 1 else f"{audio} (prompt {number})")
    clips = pd.DataFrame(
        {
            "clip_id": ids,
            "audio": [audio for audio, _ in place_of],
            "prompt": [prompt for _, prompt in place_of],
        },
        dtype=object,
    )
    return clips, np.array(places, dtype=int)
