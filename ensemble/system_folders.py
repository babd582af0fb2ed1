"""Two folders of clips, one of each system, and nothing else: as one clip table.

Files of the same name are taken to answer the same prompt, since that is how people
keep what two versions of a system made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from base_models.clips.names import AUDIO_SUFFIXES
from base_models.clips.read_clips import read_clips
from base_models.clips.rows.audio_tables import audio_files
from base_models.clips.segments.reference import stem_of
from base_models.errors import UsageError, some


@dataclass(frozen=True, eq=False)
class SystemFolders:
    """The clips of two folders.

    Parameters
    ----------
    clips : DataFrame of n rows
        ``clip_id`` (``system/name``), ``system_id``, ``audio`` and ``prompt``, the text
        that the clip was made for, "" where it is not known.
    pairs : list of n str
        Equal for clips that answer the same prompt: that prompt, or else the name of
        the file.
    notes : tuple of str
    """

    clips: pd.DataFrame
    pairs: list[str]
    notes: tuple[str, ...]

    @property
    def paired_clips(self) -> pd.DataFrame:
        """The clips with their pairs as prompts."""
        return self.clips.assign(prompt=self.pairs)


def read_system_folders(
    folders: Sequence[str],
    names: Sequence[str] | None = None,
    prompts: str | None = None,
) -> SystemFolders:
    """Find the clips of two systems.

    Parameters
    ----------
    folders : two paths
        All audio files in each, and in folders in it, are clips of one system.
    names : two names of the systems; by default those of the folders
    prompts : a table with the prompt of each file name, as `read_clips` takes it

    Raises
    ------
    UsageError
        When a folder is none or holds no audio, both are the same, names are equal, or
        no file has a prompt in the table.
    """
    files = [_files_of(folder) for folder in folders]
    if Path(folders[0]).resolve() == Path(folders[1]).resolve():
        raise UsageError(
            f"--a and --b are one folder, {folders[0]}; name the folders of two "
            "systems."
        )
    systems = _system_names(folders, names)

    tables = []
    for folder, system, found in zip(folders, systems, files, strict=True):
        keys = [file.relative_to(folder) for file in found]
        stems = [key.with_suffix("").as_posix() for key in keys]
        # Takes in two formats are two clips.
        if len(set(stems)) < len(stems):
            stems = [key.as_posix() for key in keys]
        tables.append(
            pd.DataFrame(
                {
                    "clip_id": [f"{system}/{stem}" for stem in stems],
                    "system_id": system,
                    "audio": [str(file) for file in found],
                    "key": stems,
                }
            )
        )
    clips = pd.concat(tables, ignore_index=True)
    keys = clips.pop("key").tolist()
    texts = [""] * len(keys)
    if prompts is not None:
        texts = _prompts_of(keys, prompts)
    pairs = [text or key for text, key in zip(texts, keys, strict=True)]
    return SystemFolders(
        clips.assign(prompt=texts), pairs, _notes(clips, pairs, systems)
    )


def _files_of(folder: str) -> list[Path]:
    """The audio files of a folder."""
    path = Path(folder)
    if not path.is_dir():
        what = "is a file" if path.exists() else "does not exist"
        raise UsageError(
            f"{folder} {what}; name the folder that holds the clips of one system."
        )
    found = audio_files(path)
    if not found:
        suffixes = ", ".join(sorted(AUDIO_SUFFIXES))
        raise UsageError(f"{folder} holds no audio file ({suffixes}).")
    return found


def _system_names(folders: Sequence[str], names: Sequence[str] | None) -> list[str]:
    """The names of the systems: given, or those of the folders."""
    if names is None:
        found = [Path(folder).resolve().name or folder for folder in folders]
        # Such as v1/wav and v2/wav.
        if found[0] == found[1]:
            found = [str(folder) for folder in folders]
        return found
    if len(names) != 2 or names[0] == names[1] or not all(names):
        raise UsageError(
            f"--names takes two different names, of --a and of --b; got {some(names)}."
        )
    return list(names)


def _prompts_of(keys: Sequence[str], prompts: str) -> list[str]:
    """The prompt of each file, by its path in the folder or by its name; "" if none."""
    table = read_clips(prompts, labels=False)
    prompt_of: dict[str, str] = {}
    for clip, prompt in zip(table["clip_id"], table["prompt"], strict=True):
        prompt_of[clip] = prompt
        prompt_of.setdefault(stem_of(clip), prompt)
    texts = [prompt_of.get(key) or prompt_of.get(stem_of(key), "") for key in keys]
    if not any(texts):
        raise UsageError(
            f"{prompts} has no prompt of any file: it names "
            f"{some(table['clip_id'].tolist())}, the folders hold {some(keys)}. Give "
            "its rows the names of the files."
        )
    return texts


def _notes(
    clips: pd.DataFrame, pairs: Sequence[str], systems: Sequence[str]
) -> tuple[str, ...]:
    """How many clips are compared with one of the other folder."""
    keys = pd.Series(pairs)
    sides = [set(keys[clips["system_id"] == system]) for system in systems]
    shared = sides[0] & sides[1]
    if not shared:
        return (
            "no file of one folder has the name of one of the other, so that clips are "
            "not compared in pairs: give clips of one prompt the same name, or "
            "--prompts TABLE",
        )
    n_alone = len(sides[0] ^ sides[1])
    if not n_alone:
        return ()
    return (f"{len(shared)} prompts are in both folders, {n_alone} in one alone",)
