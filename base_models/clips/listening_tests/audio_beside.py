"""Audio files beside a table that names clips and no files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from base_models.clips.names import AUDIO_SUFFIXES
from base_models.clips.rows.audio_paths import list_folder

_FOLDERS = ("", "wav", "wavs", "audio", "stimuli", "sounds", "clips")


def audio_beside(path: Path, clip_ids: Sequence[str]) -> list[str]:
    """The audio file of each clip, relative to the table; "" where there is none.

    It lies beside the table, or in a folder beside it that is called ``wav``,
    ``audio``, ``stimuli`` or the like, under the id of the clip with or without a
    suffix.

    Parameters
    ----------
    path : of the table
    clip_ids : n ids; parts of a path in them are allowed only below the table
    """
    found: dict[str, str] = {}
    for folder in _FOLDERS:
        for name in list_folder(str(path.parent / folder)):
            file = Path(name)
            if file.suffix.lower() in AUDIO_SUFFIXES:
                place = os.path.join(folder, name)
                found.setdefault(name, place)
                found.setdefault(file.stem, place)
    return [found.get(clip_id, "") for clip_id in clip_ids]
