"""Clip tables of audio that no table lists: a folder of files, or one file."""

from __future__ import annotations

from pathlib import Path

from base_models.clips.columns import CLIP_COLUMNS
from base_models.clips.names import AUDIO_SUFFIXES
from base_models.clips.rows.audio_paths import FoundAudio
from base_models.clips.rows.standard_columns import StandardTable
from base_models.clips.text_table import TextTable
from base_models.clips.undecodable_names import as_text


def audio_files(path: Path) -> list[Path]:
    """The audio files below a folder, hidden ones left out, or the file itself."""
    if path.is_file():
        return [path] if path.suffix.lower() in AUDIO_SUFFIXES else []
    return sorted(
        file
        for file in path.rglob("*")
        if file.suffix.lower() in AUDIO_SUFFIXES
        and not any(part.startswith(".") for part in file.relative_to(path).parts)
    )


def table_of_audio(path: Path) -> StandardTable | None:
    """A table with a row per audio file, or None where there is none.

    Parameters
    ----------
    path : a folder, searched with all folders in it, or one file

    Returns
    -------
    table : ids are the paths in the folder, without extensions where that leaves them
        unique
    """
    files = audio_files(path)
    if not files:
        return None
    folder = path.parent if path.is_file() else path
    names = [file.relative_to(folder) for file in files]
    clip_ids = [as_text(name.with_suffix("").as_posix()) for name in names]
    if len(set(clip_ids)) < len(clip_ids):
        clip_ids = [as_text(name.as_posix()) for name in names]
    places = [as_text(str(file)) for file in files]

    columns = {name: [""] * len(files) for name in CLIP_COLUMNS}
    columns["clip_id"] = clip_ids
    columns["audio"] = places
    found = [FoundAudio(place, place, exists=True, cell=place) for place in places]
    note = f"no table: {len(files)} audio files of {path}, named by their paths in it"
    table = TextTable(
        columns,
        [(place, 1) for place in places],
        unit="file",
        notes=() if path.is_file() else (note,),
    )
    return StandardTable(table, {"audio": "audio"}, tuple(found))
