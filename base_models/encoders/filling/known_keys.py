"""Keys of audio files, kept from run to run for as long as the files are unchanged.

To hash a hundred thousand files takes minutes, to ask for their times less than a
second. Whether a file has changed is told by its size, its times and its number in the
file system, as version control does it; of these the time of the last change of a file
cannot be set by its users.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

import numpy as np

from base_models.clips.audio import content_hash
from base_models.clips.audio_files.unchanged import is_settled_at, state_at
from base_models.clips.parquet.embedded_audio import row_of_reference
from base_models.clips.segments.reference import segment_of
from base_models.clips.undecodable_names import from_text
from base_models.errors import DamagedArtifact
from base_models.files import parse_tensors, read_bytes, write_tensors

FEWEST_KEPT = 1_000
"""Fewer files are hashed in no time."""
MOST_KEPT = 2_000_000
"""More are forgotten, but for those that were asked for last."""

_STATE_NUMBERS = 5
_DIGEST_BYTES = 32

_State = tuple[int, ...]


class KnownKeys:
    """Keys of audio files, as `base_models.clips.audio.content_hash` gives them.

    Parameters
    ----------
    path : Path or None
        File where they are kept; None keeps none. What is damaged there is forgotten.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._keys = {} if path is None else _read(path)
        self._asked: dict[_State, str] = {}
        self._n_new = 0

    def key(self, audio: str) -> str:
        """The key of a clip.

        Parameters
        ----------
        audio : str
            As `base_models.clips.audio.load_audio` takes it.

        Raises
        ------
        ClipError
            When the file is missing, not a regular file, empty or unreadable.
        """
        state = None if self._path is None else _state(audio)
        if state is None:
            return content_hash(audio)
        key = self._keys.get(state)
        if key is None:
            key = content_hash(audio)
            # It may have been replaced while it was read, or change again without
            # another time.
            if not is_settled_at(os.stat(from_text(audio))) or _state(audio) != state:
                return key
            self._n_new += 1
            self._keys[state] = key
        self._asked[state] = key
        return key

    def save(self) -> None:
        """Keep what was found, where it is worth a file."""
        if self._path is None or not self._n_new or len(self._keys) < FEWEST_KEPT:
            return
        kept = self._keys if len(self._keys) <= MOST_KEPT else self._asked
        states = np.array(list(kept), dtype=np.uint64)
        digests = bytes.fromhex("".join(kept.values()))
        keys = np.frombuffer(digests, dtype=np.uint8).reshape(-1, _DIGEST_BYTES)
        tensors: dict[str, np.ndarray] = {
            "states": states,
            "keys": keys,
            "sha256": _sum_of(states, keys),
        }
        write_tensors(self._path, tensors)
        self._n_new = 0


def _state(audio: str) -> _State | None:
    """What tells one state of a file from another; None where it cannot be told.

    That is so of a part of a file, and of what is not there or no file.
    """
    # Most names hold neither, which is quickly seen.
    if "#" in audio and (segment_of(audio) or row_of_reference(audio)):
        return None
    try:
        status = os.stat(from_text(audio) if "\\" in audio else audio)
    except (OSError, ValueError):
        return None
    state = state_at(status)
    # Times before 1970 are negative, and the kept numbers are not.
    return state if stat.S_ISREG(status.st_mode) and min(state) >= 0 else None


def _read(path: Path) -> dict[_State, str]:
    """Keys by the states of their files; none where the file is missing or damaged."""
    if not path.is_file():
        return {}
    try:
        tensors = parse_tensors(read_bytes(path), str(path))
    except DamagedArtifact:
        return {}
    states = tensors.get("states", np.zeros((0, _STATE_NUMBERS), dtype=np.uint64))
    keys = tensors.get("keys", np.zeros((0, _DIGEST_BYTES), dtype=np.uint8))
    stored = tensors.get("sha256", np.zeros(0))
    if stored.tobytes() != _sum_of(states, keys).tobytes():
        return {}
    digests = keys.tobytes().hex()
    n_digits = 2 * _DIGEST_BYTES
    starts = range(0, len(digests), n_digits)
    texts = [digests[start : start + n_digits] for start in starts]
    return dict(zip(map(tuple, states.tolist()), texts, strict=True))


def _sum_of(states: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """SHA-256 over both tables, as an array of bytes."""
    header = f"{states.dtype} {states.shape} {keys.dtype} {keys.shape} "
    digest = hashlib.sha256(header.encode() + states.tobytes() + keys.tobytes())
    return np.frombuffer(digest.digest(), dtype=np.uint8)
