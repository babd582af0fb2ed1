"""Which clips are one recording, kept for as long as they are the same clips.

To compare a hundred thousand clips takes minutes, and their fingerprints fill the
memory of a machine; which of them are copies is a few lines.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from base_models.clips.same_audio import fingerprint_store
from base_models.clips.same_audio.matches import SamePair, groups_of
from base_models.clips.same_audio.recordings import Recordings
from base_models.errors import MISFITS, DamagedArtifact
from base_models.files import atomic_write, from_guarded_json, guarded_json, read_bytes

VERSION = "r1"
"""Raised whenever other clips count as one recording."""

_KEYS = ("pairs", "unread")
_IdsAndAudio = Iterable[tuple[str, str]]


def recordings_of(
    audio: Mapping[str, str],
    keys: Mapping[str, str],
    folder: Path,
    track: Callable[[_IdsAndAudio], _IdsAndAudio] = iter,
) -> Recordings:
    """Compare clips whose contents are known, unless these were compared before.

    Parameters
    ----------
    audio, track : as in `Recordings.of_audio`
    keys : clip id to what its audio hashes to
    folder : where fingerprints are kept, and what was found of them
    """
    path = folder / fingerprint_store.VERSION / "recordings" / f"{_name(keys)}.json"
    if path.is_file():
        # What is damaged is found anew, and written over.
        with contextlib.suppress(DamagedArtifact):
            return _read(path, list(audio))

    found = Recordings.of_audio(audio, folder, track)
    unread = [clip for clip in audio if clip not in found.contents]
    pairs = [_to_json(pair) for pair in found.pairs]
    atomic_write(path, guarded_json({"pairs": pairs, "unread": unread}))
    return found


def _name(keys: Mapping[str, str]) -> str:
    """What these clips are, in their order."""
    named = json.dumps([VERSION, list(keys.items())])
    return hashlib.sha256(named.encode()).hexdigest()


def _read(path: Path, clips: list[str]) -> Recordings:
    values = from_guarded_json(read_bytes(path), str(path), known=_KEYS)
    try:
        pairs = tuple(_from_json(pair) for pair in values["pairs"])
        unread = set(values["unread"])
    except MISFITS as error:
        raise DamagedArtifact(f"{path} holds no recordings.") from error
    compared = [clip for clip in clips if clip not in unread]
    return Recordings(groups_of(compared, pairs), pairs)


def _to_json(pair: SamePair) -> list[Any]:
    # JSON has no infinity, which is the end of a file.
    common = None if math.isinf(pair.common_seconds) else pair.common_seconds
    return [pair.first, pair.second, pair.similarity, common]


def _from_json(values: list[Any]) -> SamePair:
    first, second, similarity, common = values
    return SamePair(
        first,
        second,
        similarity=similarity,
        common_seconds=math.inf if common is None else common,
    )
