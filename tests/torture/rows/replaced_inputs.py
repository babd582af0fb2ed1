"""An audio file is replaced between any two reads of it, and the store stays right."""

from __future__ import annotations

import hashlib
import io
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile
from torture.harness import Outcome, Row

from base_models.clips.audio_files import open_file
from base_models.clips.audio_files.apart.limits import NO_LIMITS, SECONDS_VARIABLE
from base_models.clips.audio_files.decoder_messages import QuietSoundFile
from base_models.clips.segments.reference import segment_of
from base_models.encoders import load_encoder
from base_models.encoders.store import EmbeddingStore

RATE = 24_000
_KINDS = ("WAV", "FLAC", "OGG", "segment", "large file", "table")
_MANNERS = ("renamed over", "written in place", "there and back", "cut")
_RACES = 4
"""Of so many rounds one races with the decoding process; in the others the file is
replaced before a certain read."""


class Torture(Row):
    """The first content is replaced by the second, and by nothing else."""

    what = "input replaced between any two reads"
    passes_when = "0 entries whose content is not their key"
    at_least = 200
    n_cases = 240
    n_share = 12
    # The first case of a worker waits for torch.
    seconds = 90.0

    def prepare(self) -> None:
        """Nothing: a case makes its files."""

    def run(self, case: int, folder: Path, rng: np.random.Generator) -> Outcome:
        """Fill a store while the file changes, and again when it rests."""
        kind = _KINDS[case % len(_KINDS)]
        manner = _MANNERS[case // len(_KINDS) % len(_MANNERS)]
        is_race = case // (len(_KINDS) * len(_MANNERS)) % _RACES == _RACES - 1
        word = "raced" if is_race else "before a read"
        clip = _Clip(folder, kind, manner, rng)
        store = EmbeddingStore(folder / "store")

        if is_race:
            with _racing(clip, rng):
                _fill(store, clip)
        else:
            os.environ[SECONDS_VARIABLE] = NO_LIMITS
            try:
                n_reads = _counted(clip, folder)
                with _replaced_before(int(rng.integers(n_reads)), clip):
                    _fill(store, clip)
            finally:
                del os.environ[SECONDS_VARIABLE]
        failure = _wrong_entries(store, clip)
        if not failure:
            # At rest, the store gets what is missing of it.
            clip.put(1)
            _fill(store, clip)
            failure = _wrong_entries(store, clip) or _missing(store, clip)
        return Outcome(f"{kind}, {manner}, {word}", failure)


class _Clip:
    """A clip with two contents, and another clip that stays as it is."""

    def __init__(
        self, folder: Path, kind: str, manner: str, rng: np.random.Generator
    ) -> None:
        self.is_large = kind == "large file"
        self._manner = manner
        form = kind if kind in ("WAV", "FLAC", "OGG") else "WAV"
        data = [_audio(form, rng) for _ in range(3)]
        suffix = ".parquet" if kind == "table" else ".wav"
        self.file = folder / f"clip{suffix}"
        self._contents = [
            _table(one, folder) if kind == "table" else one for one in data[:2]
        ]
        part = {"table": "#0", "segment": "#t=0.1,0.6"}.get(kind, "")
        other = folder / "other.wav"
        other.write_bytes(data[2])
        self.put(0)
        self.items = {"clip": f"{self.file}{part}", "other": str(other)}
        keys = [_key(one, self.items["clip"]) for one in data[:2]]
        keys.append(_key(data[2], str(other)))
        self.data_of = dict(zip(keys, data, strict=True))
        self.last_key = keys[1]

    def put(self, content: int) -> None:
        """Let the file have one of its contents."""
        beside = self.file.with_suffix(".new")
        beside.write_bytes(self._contents[content])
        beside.replace(self.file)

    def change(self, content: int) -> None:
        """The same, in the manner of the case."""
        data = self._contents[content]
        if self._manner == "renamed over":
            self.put(content)
            return
        if self._manner == "cut" and content == 1:
            with self.file.open("r+b") as file:
                file.truncate(len(data) // 2)
            return
        with self.file.open("r+b") as file:
            file.write(data)
            file.truncate()

    def steps(self) -> list[int]:
        """The contents that it gets one after the other."""
        return [1, 0] if self._manner == "there and back" else [1]


def _audio(form: str, rng: np.random.Generator) -> bytes:
    with io.BytesIO() as file:
        noise = 0.1 * rng.standard_normal(RATE)
        soundfile.write(file, noise, RATE, format=form)
        return file.getvalue()


def _table(audio: bytes, folder: Path) -> bytes:
    file = folder / "made.parquet"
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    cells = pa.array([{"bytes": audio, "path": "a.wav"}], type=kind)
    pq.write_table(pa.table({"audio": cells}), file)
    data = file.read_bytes()
    file.unlink()
    return data


def _key(data: bytes, item: str) -> str:
    """The slow obvious content key."""
    digest = hashlib.sha256(data).hexdigest()
    segment = segment_of(item)
    return digest if segment is None else segment.content_key(digest)


def _fill(store: EmbeddingStore, clip: _Clip) -> None:
    most = 0 if clip.is_large else open_file.MAX_HELD
    # Smaller portions, so that there are more reads to come between.
    with mock.patch.multiple(open_file, MAX_HELD=most, _BLOCK=16_384):
        store.fill(load_encoder("logmel"), clip.items)


def _wrong_entries(store: EmbeddingStore, clip: _Clip) -> str:
    """What is wrong with the entries of a store; "" where each is of its key."""
    encoder = load_encoder("logmel")
    assert store.folder is not None
    for entry in store.folder.glob("*/*/*.safetensors"):
        key = entry.stem
        if key not in clip.data_of:
            return f"an entry {key[:12]} of neither content"
        if not np.array_equal(store.get(encoder, key), _expected(clip, key)):
            return f"the entry {key[:12]} is not of its content"
    return ""


def _missing(store: EmbeddingStore, clip: _Clip) -> str:
    encoder = load_encoder("logmel")
    keys = {clip.last_key, list(clip.data_of)[-1]}
    n_missing = sum(not store.path(encoder.signature, key).is_file() for key in keys)
    return f"{n_missing} entries are missing at rest" if n_missing else ""


def _expected(clip: _Clip, key: str) -> np.ndarray:
    """The embedding of a content, from a file that nobody replaces."""
    folder = clip.file.parent / f"of-{key[:12]}"
    folder.mkdir(exist_ok=True)
    path = folder / "still.wav"
    path.write_bytes(clip.data_of[key])
    is_clip = key != list(clip.data_of)[-1]
    segment = segment_of(clip.items["clip"]) if is_clip else None
    item = f"{path}#t=0.1,0.6" if segment else str(path)
    store = EmbeddingStore()
    encoder = load_encoder("logmel")
    keys, _ = store.fill(encoder, {"x": item})
    return store.get(encoder, keys["x"])


# ---- when it is replaced


class _Reads:
    """Counts what reads files, and does something before one of these calls."""

    def __init__(self, at: int | None, act: Callable[[], None]) -> None:
        self.count = 0
        self._at = at
        self._act = act

    def __call__(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """Watch a function or method."""

        def watched(*args: Any, **options: Any) -> Any:
            if self.count == self._at:
                # Once, and what it does itself is not counted.
                self._at = None
                self._act()
            self.count += 1
            return call(*args, **options)

        return watched


def _counted(clip: _Clip, folder: Path) -> int:
    """How many reads there are while nobody replaces anything."""
    reads = _Reads(None, lambda: None)
    with _watching(reads):
        _fill(EmbeddingStore(folder / "counted"), clip)
    return reads.count


class _watching:
    def __init__(self, reads: _Reads) -> None:
        self._patches = [
            mock.patch.object(os, "open", reads(os.open)),
            mock.patch.object(os, "pread", reads(os.pread)),
            mock.patch.object(os, "fstat", reads(os.fstat)),
            mock.patch.object(QuietSoundFile, "read", reads(QuietSoundFile.read)),
        ]

    def __enter__(self) -> None:
        for patch in self._patches:
            patch.start()

    def __exit__(self, *_: object) -> None:
        for patch in self._patches:
            patch.stop()


def _replaced_before(read: int, clip: _Clip) -> _watching:
    """While this holds, the clip is replaced before a read, and maybe put back."""
    steps = clip.steps()
    reads = _Reads(read, lambda: clip.change(steps[0]))
    if len(steps) > 1:
        back = _Reads(read + 2, lambda: clip.change(steps[1]))
        return _watching(lambda call: back(reads(call)))  # type: ignore[arg-type]
    return _watching(reads)


class _racing:
    """A thread that replaces the clip every few milliseconds."""

    def __init__(self, clip: _Clip, rng: np.random.Generator) -> None:
        self._clip = clip
        self._pauses = rng.uniform(0, 0.03, 1_000)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._replace)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _replace(self) -> None:
        for place, pause in enumerate(self._pauses):
            if self._stop.is_set():
                return
            time.sleep(pause)
            self._clip.change((place + 1) % 2)
