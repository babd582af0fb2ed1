"""Fingerprints of many clips, each computed once and kept beside the embeddings."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from base_models.clip_status import CHANGED
from base_models.clips.audio import content_hash
from base_models.clips.audio_files.read_keys import noted_keys
from base_models.clips.same_audio.fingerprint import (
    N_BANDS,
    Fingerprint,
    read_fingerprint,
)
from base_models.clips.same_audio.stretches import Stretch
from base_models.errors import ClipError, DamagedArtifact
from base_models.files import parse_tensors, read_bytes, write_tensors

VERSION = "v1"
"""Part of the path of every entry; raised whenever fingerprints change."""

_IdsAndAudio = Iterable[tuple[str, str]]


class FingerprintStore:
    """Fingerprints by the content of the audio files.

    Parameters
    ----------
    folder : path or None
        Where entries are kept, as ``v1/<2 hex>/<SHA-256 of the file>.safetensors``,
        about 8 kB per second of audio; None keeps none.
    """

    def __init__(self, folder: Path | str | None = None):
        self.folder = None if folder is None else Path(folder)

    def read(
        self,
        audio: Mapping[str, str],
        track: Callable[[_IdsAndAudio], _IdsAndAudio] = iter,
    ) -> dict[str, Fingerprint]:
        """The fingerprints of some clips; one whose audio cannot be used has none.

        Parameters
        ----------
        audio : mapping from str to str
            Clip id → audio, as `base_models.clips.audio.load_audio` takes it.
        track : callable
            Wraps the (clip id, audio) pairs, for instance to show progress.
        """
        prints: dict[str, Fingerprint] = {}
        for clip, path in track(list(audio.items())):
            try:
                prints[clip] = self._read_one(path)
            except ClipError:
                # Whoever trains on the clips or checks them says why.
                continue
        return prints

    def _read_one(self, path: str) -> Fingerprint:
        key = content_hash(path)
        return replace(self._of_content(path, key), stretch=Stretch.of(path, key))

    def _of_content(self, path: str, key: str) -> Fingerprint:
        if self.folder is None:
            return read_fingerprint(path)

        entry = self.folder / VERSION / key[:2] / f"{key}.safetensors"
        if entry.is_file():
            try:
                tensors = parse_tensors(read_bytes(entry), str(entry))
                return _of_tensors(tensors, key)
            except DamagedArtifact:
                # It is computed again, and written over.
                pass
        with noted_keys() as read:
            made = read_fingerprint(path)
        if read != {key}:
            raise ClipError(f"{path!r} was changed while it was read", status=CHANGED)
        # One that a power cut spoils is found when it is read, and made again.
        write_tensors(entry, _to_tensors(made, key), durable=False)
        return made


def _to_tensors(made: Fingerprint, key: str) -> dict[str, np.ndarray]:
    # Files of tensors hold no NaN: bands that the clip does not hold are left out.
    is_held = ~np.isnan(made.band_levels)
    tensors = {
        "digest": np.frombuffer(bytes.fromhex(made.digest), dtype=np.uint8),
        "signal": made.signal,
        "band_levels": made.band_levels[is_held],
        "band_spreads": made.band_spreads[is_held],
    }
    return tensors | {"sha256": _sum_of(tensors, key)}


def _of_tensors(tensors: Mapping[str, np.ndarray], key: str) -> Fingerprint:
    names = ("digest", "signal", "band_levels", "band_spreads")
    stored = tensors.get("sha256", np.zeros(0))
    own = {name: tensors[name] for name in names if name in tensors}
    # To safetensors a flipped bit is still a valid tensor.
    is_whole = len(own) == len(names)
    if not is_whole or stored.tobytes() != _sum_of(own, key).tobytes():
        raise DamagedArtifact("A stored fingerprint was changed after it was written.")

    n_missing = N_BANDS - len(own["band_levels"])
    padding = np.full(n_missing, np.nan, dtype=np.float32)
    return Fingerprint(
        digest=own["digest"].tobytes().hex(),
        signal=own["signal"],
        band_levels=np.concatenate([own["band_levels"], padding]),
        band_spreads=np.concatenate([own["band_spreads"], padding]),
    )


def _sum_of(tensors: Mapping[str, np.ndarray], key: str) -> np.ndarray:
    """SHA-256 over which entry it is and its tensors, as an array of bytes."""
    digest = hashlib.sha256(key.encode())
    for name, array in tensors.items():
        digest.update(f"{name} {array.dtype} {array.shape} ".encode())
        digest.update(array.tobytes())
    return np.frombuffer(digest.digest(), dtype=np.uint8)
