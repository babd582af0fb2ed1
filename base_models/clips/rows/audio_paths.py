r"""Where the audio files of a table are, however their paths were written.

Tables are written on other computers: with ``\`` for ``/``, with the folders of that
computer, as links (``file://``, ``%20``), in another case or Unicode form, without
extensions. A file is found when exactly one fits; two that fit are a problem, and a
path that fits none stays as it is written, for its clip to be set aside by name.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from urllib.parse import unquote

from base_models.clips.names import AUDIO_SUFFIXES
from base_models.errors import raise_machine_fault

_DRIVE = re.compile(r"[A-Za-z]:/")
_LINK = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")

# How a path was read, for people, in the order in which they are listed.
_AS_LINK = "links (file://) read as paths"
_BACKSLASH = r"'\' read as '/'"
_PERCENT = "percent-encoding decoded"
_FOLDER_WAV = "found in the folder wav beside the table"
_SPELLING = "found in another case or Unicode form"
_EXTENSION = "found by adding the extension"
_ELSEWHERE = (
    "found by the ends of the paths, which begin with folders that are not here"
)

ListFolder = Callable[[str], Sequence[str]]

# Number of folders left out at the start of a path, and the folders that are then to be
# searched for its file.
_Candidates = list[tuple[int, list[str]]]


def list_folder(folder: str) -> list[str]:
    """The names in a folder; none where it cannot be listed.

    Raises
    ------
    MachineFault
        when the machine failed: clips that are there would be missing.
    """
    try:
        return sorted(os.listdir(folder))
    except OSError as error:
        raise_machine_fault(error, folder)
        return []


def is_there(path: str) -> bool:
    """Whether there is a file or folder; raises as `list_folder` does."""
    try:
        os.stat(path)
    # A name that no file can have, as with a NUL, is a ValueError.
    except (OSError, ValueError) as error:
        raise_machine_fault(error, path)
        return False
    return True


@dataclass(frozen=True, slots=True)
class FoundAudio:
    """What the path of one row led to.

    Parameters
    ----------
    path : the file, or where it would be if it existed
    written : the path as it was read, with ``/`` between folders
    exists : whether there is such a file
    ways : in which ways the path had to be read otherwise than it is written
    dropped : the folders at its start that had to be left out
    choices : the files that fit it equally well; empty where at most one does
    cell : the path as it stands in the table
    """

    path: str
    written: str
    exists: bool = False
    ways: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    cell: str = ""


@dataclass
class AudioFolders:
    """Finds audio files in some folders.

    Parameters
    ----------
    table_folder : where the table lies; its paths are relative to it, or to ``wav`` in
        it
    root : folder that is searched first, or None
    exists, list_folder : the file system
    """

    table_folder: Path
    root: Path | None = None
    exists: Callable[[str], bool] = is_there
    list_folder: ListFolder = list_folder
    _names: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    _stems: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    _with_folder: dict[str, list[tuple[str, bool]]] = field(default_factory=dict)
    _candidates: dict[tuple[bool, tuple[str, ...]], _Candidates] = field(
        default_factory=dict
    )

    @cached_property
    def places(self) -> list[Path]:
        """The folders, in the order in which they are searched."""
        own = [self.table_folder, self.table_folder / "wav"]
        return own if self.root is None else [self.root, *own]

    @cached_property
    def _place_texts(self) -> list[str]:
        return [str(place) for place in self.places]

    @cached_property
    def _table_text(self) -> str:
        return str(self.table_folder)

    @cached_property
    def _place_names(self) -> list[str]:
        return [place.resolve().name for place in self.places]

    def find_all(self, cells: Iterable[str]) -> list[FoundAudio]:
        """The audio file of each cell.

        A folder of another computer that was found here, at its place, is not looked
        for elsewhere: ``/data/v2/a.wav`` is missing, and not ``a.wav``, where
        ``/data/v1/a.wav`` is ``v1/a.wav``.
        """
        found: dict[str, FoundAudio] = {}
        for cell in cells:
            if cell not in found:
                found[cell] = self.find(cell)
        elsewhere = {cell: one for cell, one in found.items() if one.dropped}
        starts = {one.dropped for one in elsewhere.values()}
        for cell, one in elsewhere.items():
            dropped = one.dropped
            if any(dropped[:n_parts] in starts for n_parts in range(1, len(dropped))):
                found[cell] = self._missing(cell, one.written)
        return [found[cell] for cell in cells]

    def find(self, cell: str) -> FoundAudio:
        """The audio file that a cell names."""
        if not cell:
            return FoundAudio("", "")
        # As text, and all that depends on the folder alone once for each folder, since
        # a table may have a million rows.
        spelled = _spellings(cell)
        for written, ways in spelled:
            folder, slash, file = written.rpartition("/")
            for place, is_wav in self._places_with(folder + slash):
                path = place + file
                if self.exists(path):
                    ways = (*ways, _FOLDER_WAV) if is_wav else ways
                    return FoundAudio(
                        _tidy(path), written, exists=True, ways=ways, cell=cell
                    )

        for written, ways in spelled:
            parts = _parts(written)
            is_elsewhere = _is_full(written)
            for start, folders in self._folders_of(parts[:-1], is_elsewhere):
                fitting = self._files_in(folders, parts[-1]) if parts else []
                if fitting:
                    one = self._found(fitting, written, ways)
                    if not is_elsewhere and start == 0:
                        return replace(one, cell=cell)
                    dropped = ("/", *parts[:start])
                    ways = (*one.ways, _ELSEWHERE)
                    return replace(one, dropped=dropped, ways=ways, cell=cell)
        return self._missing(cell, spelled[-1][0])

    def _places_with(self, folder: str) -> list[tuple[str, bool]]:
        """A folder in all places that have it, and whether the place is ``wav``."""
        if folder not in self._with_folder:
            # A path with its folders in full is in none of these places.
            is_full = os.path.isabs(folder)
            last = self._place_texts[-1]
            there = [
                (os.path.join(place, folder), place == last and not is_full)
                for place in self._place_texts
            ]
            self._with_folder[folder] = [
                one for one in there if self.exists(os.path.dirname(one[0]))
            ]
        return self._with_folder[folder]

    def _missing(self, cell: str, written: str) -> FoundAudio:
        # As it would be read, so that its name without folders is right.
        path = _tidy(os.path.join(self._table_text, cell))
        return FoundAudio(path, written, cell=cell)

    def _found(
        self, fitting: Sequence[str], written: str, ways: tuple[str, ...]
    ) -> FoundAudio:
        files = tuple(dict.fromkeys(os.path.normpath(path) for path in fitting))
        # Without "./" at the start.
        first = str(Path(fitting[0]))
        if len(files) > 1:
            return FoundAudio(first, written, choices=files)
        ways = (*ways, *self._differences(first, written))
        return FoundAudio(first, written, exists=True, ways=ways)

    @staticmethod
    def _differences(path: str, written: str) -> list[str]:
        """In what a file that was found by likeness differs from its path."""
        ways = []
        if _key(Path(path).name) != _key(_parts(written)[-1]):
            ways.append(_EXTENSION)
        here = Path(path).parts[-len(_parts(written)) :]
        own = list(_parts(written)[-len(here) :])
        if _EXTENSION in ways:
            own[-1] += Path(path).suffix
        if any(
            one != other and _key(one) == _key(other)
            for one, other in zip(here, own, strict=False)
        ):
            ways.append(_SPELLING)
        return ways

    def _folders_of(self, parts: Sequence[str], is_elsewhere: bool) -> _Candidates:
        """Where the files of a folder may be, the longest end of its path first."""
        key = (is_elsewhere, tuple(parts))
        if key not in self._candidates:
            candidates = []
            for start in range(len(parts) + 1):
                folders = []
                places = zip(self._place_texts, self._place_names, strict=True)
                for place, name in places:
                    # The folders at the start of a relative path are left out up to
                    # the one that is searched: in "songs", "data/songs/a.wav" is
                    # "a.wav".
                    if is_elsewhere or start == 0 or parts[start - 1] == name:
                        folders += self._alike(place, parts[start:])
                if folders:
                    candidates.append((start, folders))
            self._candidates[key] = candidates
        return self._candidates[key]

    def _alike(self, place: str, parts: Sequence[str]) -> list[str]:
        """Folders below a folder whose path has these parts, in some spelling."""
        folders = [place]
        for part in parts:
            if part == "..":
                folders = [os.path.join(folder, part) for folder in folders]
                continue
            folders = [
                os.path.join(folder, name)
                for folder in folders
                for name in self._named(folder, part)
            ]
        return folders

    def _files_in(self, folders: Sequence[str], file: str) -> list[str]:
        """Files of that name in some folders, in some spelling."""
        files = []
        for folder in folders:
            names = self._named(folder, file)
            stems = [] if names else self._stems[folder].get(_key(file), [])
            if stems and Path(file).suffix.lower() not in AUDIO_SUFFIXES:
                names = stems
            files += [os.path.join(folder, name) for name in names]
        return files

    def _named(self, folder: str, name: str) -> list[str]:
        """What a folder holds of that name: exactly so, else in other spellings."""
        if folder not in self._names:
            self._list(folder)
        if not self._names[folder]:
            return []
        alike = self._names[folder].get(_key(name), [])
        return [name] if name in alike else alike

    def _list(self, folder: str) -> None:
        names: dict[str, list[str]] = {}
        stems: dict[str, list[str]] = {}
        for name in self.list_folder(folder):
            names.setdefault(_key(name), []).append(name)
            stem, suffix = os.path.splitext(name)
            if suffix.lower() in AUDIO_SUFFIXES:
                stems.setdefault(_key(stem), []).append(name)
        self._names[folder] = names
        self._stems[folder] = stems


def _tidy(path: str) -> str:
    """The text of ``Path(path)``: without ``.`` and doubled or last slashes."""
    tidy = path.removeprefix("./")
    # Making a Path costs more than all other steps, and few paths need it.
    if tidy and not ("//" in path or "./" in tidy or tidy.endswith((".", "/"))):
        return tidy
    return str(Path(path))


def _key(name: str) -> str:
    """A file name without case and Unicode form."""
    if name.isascii():
        return name.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _parts(written: str) -> list[str]:
    """The folders and the file of a path; a drive is the first of them."""
    return [part for part in written.split("/") if part not in ("", ".")]


def _spellings(cell: str) -> list[tuple[str, tuple[str, ...]]]:
    """A path in the ways in which it can be read, the written one first."""
    spelled: list[tuple[str, tuple[str, ...]]] = [(cell, ())]
    if not (":" in cell or "\\" in cell or "%" in cell):
        return spelled

    def add(text: str, way: str) -> None:
        last, ways = spelled[-1]
        if text != last:
            spelled.append((text, (*ways, way)))

    if cell.lower().startswith("file:"):
        path = re.sub(r"(?i)^file:(//(localhost)?(?=/))?(//)?", "", cell)
        # file:///C:/x.wav has a slash before the drive.
        add(re.sub(r"^/(?=[A-Za-z]:)", "", path), _AS_LINK)
    elif _LINK.match(cell):
        return spelled
    add(spelled[-1][0].replace("\\", "/"), _BACKSLASH)
    if re.search(r"%[0-9A-Fa-f]{2}", spelled[-1][0]):
        decoded = unquote(spelled[-1][0], errors="replace")
        if not re.search("[\x00-\x1f\x7f\ufffd]", decoded):
            add(decoded, _PERCENT)
    return spelled


def _is_full(written: str) -> bool:
    """Whether a path begins at the root of some computer."""
    return written.startswith(("/", "~/")) or _DRIVE.match(written) is not None


def same_file_twice(found: Sequence[FoundAudio]) -> list[int]:
    """Rows whose paths are different and led to one file, not as they were written.

    One of such paths may be of a file that is not here.
    """
    guessed = {_SPELLING, _EXTENSION, _ELSEWHERE}
    if not any(one.ways and guessed & set(one.ways) for one in found):
        return []
    rows_of: dict[str, list[int]] = {}
    for row, one in enumerate(found):
        if one.exists:
            rows_of.setdefault(os.path.normpath(one.path), []).append(row)
    suspicious = []
    for rows in rows_of.values():
        are_different = len({found[row].written for row in rows}) > 1
        if are_different and any(guessed & set(found[row].ways) for row in rows):
            suspicious += rows
    return sorted(suspicious)


def way_notes(found: Sequence[FoundAudio]) -> list[str]:
    """How paths were read otherwise than they are written, each way once."""
    order = (
        _AS_LINK,
        _BACKSLASH,
        _PERCENT,
        _FOLDER_WAV,
        _SPELLING,
        _EXTENSION,
        _ELSEWHERE,
    )
    counts = Counter(way for one in found for way in one.ways)
    n_paths = sum(bool(one.written) for one in found)
    return [
        f"{counts[way]:,} of {n_paths:,} audio paths: {way}"
        for way in order
        if counts[way]
    ]
