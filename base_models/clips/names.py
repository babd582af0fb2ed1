"""Names as people write them: which are missing, and which are the same.

A missing name is unknown: clips without a system, or without a prompt, have nothing in
common. Two spellings of one id look alike on a screen, and are one clip.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

AUDIO_SUFFIXES = (
    *(".wav", ".wave", ".w64", ".rf64", ".flac", ".ogg", ".oga", ".opus", ".mp3"),
    *(".aiff", ".aif", ".aifc", ".caf", ".au", ".snd", ".sph", ".voc"),
    *(".m4a", ".aac", ".webm"),
)
"""Suffixes, in lower case, of names that are taken for those of audio files."""

# A film is not looked for among audio files, but an id may end in its suffix.
_SUFFIXES_OF_IDS = (*AUDIO_SUFFIXES, ".mp4", ".wma")
_AUDIO_SUFFIX = re.compile(
    f"({'|'.join(map(re.escape, _SUFFIXES_OF_IDS))})$", re.IGNORECASE
)
_FOLDER_SEPARATOR = re.compile(r"[/\\]")


def is_audio_name(name: str) -> bool:
    """Whether a text ends like the name of an audio file.

    >>> is_audio_name("clips/a b.WAV"), is_audio_name("audio")
    (True, False)
    """
    return _AUDIO_SUFFIX.search(name.rstrip()) is not None


def names_or_blank(values: Iterable[Any]) -> np.ndarray:
    """Names as text in an object array, "" for None, NaN and other missing values.

    >>> names_or_blank(["a", None, float("nan"), 3]).tolist()
    ['a', '', '', '3']
    """
    given = list(values)
    names = np.empty(len(given), dtype=object)
    for row, name in enumerate(given):
        # Nearly all names are text, which pandas need not be asked about.
        if isinstance(name, str):
            names[row] = str(name)
            continue
        is_missing = name is None or bool(np.all(pd.isna(name)))
        names[row] = "" if is_missing else str(name)
    return names


def plain_id(clip_id: str) -> str:
    """An id without what a reader does not see, or does not tell apart.

    Letters are of one case and in one Unicode form (NFKC); marks without width, such as
    a byte order mark or a zero-width space, and blanks around the id are left out.

    >>> plain_id("Caf\\u00e9\\u200b ") == plain_id("cafe\\u0301")
    True
    """
    # ASCII has no such marks, and is in Unicode's form already.
    if clip_id.isascii():
        return clip_id.casefold().strip()
    visible = [c for c in clip_id if unicodedata.category(c) != "Cf"]
    folded = unicodedata.normalize("NFKC", "".join(visible)).casefold()
    return unicodedata.normalize("NFKC", folded).strip()


def twin_ids(clip_ids: Iterable[str]) -> list[list[str]]:
    """Groups of ids that differ in nothing but their spelling, see `plain_id`.

    >>> twin_ids(["a", "b", "A"])
    [['a', 'A']]
    """
    groups: dict[str, list[str]] = {}
    for clip in dict.fromkeys(clip_ids):
        groups.setdefault(plain_id(clip), []).append(clip)
    return [group for group in groups.values() if len(group) > 1]


# ---- ids in several files


def comparable_ids(wanted: list[str], given: list[str]) -> tuple[list[str], list[str]]:
    """Write two lists of ids alike, so that they can be compared.

    The suffix of an audio file is cut off, and so are folders where only one list has
    them. Both lists stay as they are where that would make one clip of two in `wanted`.

    Parameters
    ----------
    wanted : unique ids, such as those of the labels
    given : ids of the predictions

    Returns
    -------
    wanted, given : the two lists, in their order

    Examples
    --------
    >>> comparable_ids(["a", "b"], ["wavs/b.wav"])
    (['a', 'b'], ['b'])
    >>> comparable_ids(["a.wav", "a.mp3"], ["a.wav"])
    (['a.wav', 'a.mp3'], ['a.wav'])
    """
    # Lists that are equal as they stand stay so, and need no forms.
    if wanted == given:
        return wanted, given

    # Folders tell clips apart only where both sides write them.
    both_have_folders = _any_has_folder(wanted) and _any_has_folder(given)
    without_folder = not both_have_folders
    short_wanted = [short_id(clip, without_folder=without_folder) for clip in wanted]

    # a.wav and a.mp3, or x/a and y/a, may be two clips.
    if len(set(short_wanted)) < len(wanted):
        return wanted, given
    short_given = [short_id(clip, without_folder=without_folder) for clip in given]
    return short_wanted, short_given


def _any_has_folder(clip_ids: Iterable[str]) -> bool:
    return any(_FOLDER_SEPARATOR.search(clip) for clip in clip_ids)


def short_id(clip: str, *, without_folder: bool) -> str:
    """An id without the suffix of an audio file; other dots are part of the id.

    >>> short_id("x/a.v1.wav", without_folder=True)
    'a.v1'
    """
    if without_folder:
        clip = _FOLDER_SEPARATOR.split(clip)[-1]
    return _AUDIO_SUFFIX.sub("", clip)
