"""Ids of clips, compared across files that write them with or without a path."""

from __future__ import annotations

import re
from collections.abc import Iterable

_AUDIO_SUFFIX = re.compile(
    r"\.(wav|flac|mp3|ogg|oga|opus|m4a|mp4|aac|aiff?|wma|webm|sph)$", re.IGNORECASE
)
_FOLDER_SEPARATOR = re.compile(r"[/\\]")


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
