"""Systems and contents that the ids of clips name, where no column does."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_TRACK_2 = re.compile(r"audiomos2025-track2-(sys[^-]+)-utt.+")
_BVCC = re.compile(r"(sys[^-]+)-utt.+")


@dataclass(frozen=True)
class NamesInIds:
    """What the ids of n clips say.

    Parameters
    ----------
    systems : n names, "" where an id names none
    contents : n names, or () where ids name none
    note : what was taken, for people; "" for an established layout
    """

    systems: tuple[str, ...]
    contents: tuple[str, ...] = ()
    note: str = ""


def system_in_name(clip_id: str) -> str:
    """The system that a clip id of AudioMOS 2025 track 2 or of VoiceMOS names, or "".

    >>> system_in_name("audiomos2025-track2-sys0v1wm-utt0dJodp"), system_in_name("x-y")
    ('sys0v1wm', '')
    >>> system_in_name("sys64e2f-utt491a78a")
    'sys64e2f'
    """
    match = _TRACK_2.fullmatch(clip_id) or _BVCC.fullmatch(clip_id)
    return match.group(1) if match else ""


def names_in_ids(clip_ids: Sequence[str]) -> NamesInIds:
    """Read systems out of ids such as ``sysX-uttY`` or ``content__system``.

    The second is taken only where it holds of all clips: every id has one double
    underscore, each system comes with several contents, and each content with several
    systems.

    Examples
    --------
    >>> names_in_ids(["a__x", "a__y", "b__x", "b__y"]).systems
    ('x', 'y', 'x', 'y')
    """
    known = tuple(system_in_name(clip_id) for clip_id in clip_ids)
    if any(known):
        return NamesInIds(known)
    parts = [clip_id.split("__") for clip_id in clip_ids]
    if not parts or any(len(part) != 2 or not all(part) for part in parts):
        return NamesInIds(known)

    pairs = {(content, system) for content, system in parts}
    contents = {content for content, _ in pairs}
    systems = {system for _, system in pairs}
    if not (_all_repeat(pairs, _first) and _all_repeat(pairs, _second)):
        return NamesInIds(known)
    return NamesInIds(
        tuple(system for _, system in parts),
        tuple(content for content, _ in parts),
        note=(
            f"ids are read as content__system: {len(contents)} contents (content_id, "
            f"for --group) by {len(systems)} systems"
        ),
    )


def _first(pair: tuple[str, str]) -> str:
    return pair[0]


def _second(pair: tuple[str, str]) -> str:
    return pair[1]


def _all_repeat(
    pairs: set[tuple[str, str]], part: Callable[[tuple[str, str]], str]
) -> bool:
    """Whether that part of a pair comes in several pairs, whichever it is."""
    counts: dict[str, int] = {}
    for pair in pairs:
        counts[part(pair)] = counts.get(part(pair), 0) + 1
    return min(counts.values()) > 1
