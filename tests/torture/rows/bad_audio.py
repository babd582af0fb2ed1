"""Bad and odd audio by name, each among good clips."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from torture.harness import Outcome, Row
from torture.named_audio import EITHER, READ, named_audio
from torture.sound_files import sound_file

from base_models.clip_status import OK, STATUSES
from base_models.clips.audio_files.apart.limits import SECONDS_VARIABLE
from base_models.encoders import load_encoder
from base_models.encoders.store import EmbeddingStore

_SECONDS_PER_CLIP = 2
_NAMED = named_audio()


class Torture(Row):
    """Every case is one bad file between two good ones."""

    what = "bad audio: by name, through the killable decoder"
    passes_when = "each decoded or set aside with a code; good clips bit-equal"
    at_least = 150
    n_cases = len(_NAMED)
    n_share = 12
    seconds = 60.0

    def prepare(self) -> None:
        """The good clips and their embeddings."""
        store = EmbeddingStore()
        encoder = load_encoder("logmel")
        for name in ("first", "last"):
            path = self.shared / f"{name}.wav"
            path.write_bytes(sound_file(seed=len(name)))
            keys, _ = store.fill(encoder, {name: str(path)})
            np.save(self.shared / f"{name}.npy", store.get(encoder, keys[name]))

    def run(self, case: int, folder: Path, rng: np.random.Generator) -> Outcome:
        """Embed the good and the bad clip together."""
        named = _NAMED[case]
        os.environ[SECONDS_VARIABLE] = str(_SECONDS_PER_CLIP)
        place = folder / "clips"
        place.mkdir()
        audio = named.make(place / "bad.wav")
        items = {
            "first": str(self.shared / "first.wav"),
            "bad": audio,
            "last": str(self.shared / "last.wav"),
        }
        store = EmbeddingStore(folder / "store")
        encoder = load_encoder("logmel")
        keys, set_aside = store.fill(encoder, items)

        for name in ("first", "last"):
            expected = np.load(self.shared / f"{name}.npy")
            if name not in keys:
                return Outcome(named.expected, f"{named.name}: {name} is set aside")
            if not np.array_equal(store.get(encoder, keys[name]), expected):
                return Outcome(named.expected, f"{named.name}: {name} differs")
        is_read = "bad" in keys
        if named.expected != EITHER and is_read != (named.expected == READ):
            words = set_aside[0].reason if set_aside else "it was read"
            return Outcome(named.expected, f"{named.name}: {words}")
        for clip in set_aside:
            if clip.status not in STATUSES or clip.status == OK:
                return Outcome(named.expected, f"{named.name}: code {clip.status}")
            if "\n" in clip.reason or len(clip.reason) > 500:
                return Outcome(named.expected, f"{named.name}: {clip.reason[:300]!r}")
        return Outcome(named.expected)
