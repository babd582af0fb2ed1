"""What safety costs: ratios of time with and without it, into tests/torture/RESULTS.md.

Every ratio is of one piece of work done in both ways, turn by turn, so that what else
the machine does falls on both; the median of the turns is written.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
from timing import timed

from base_models.clips.audio import content_hash, load_audio
from base_models.clips.audio_files.apart.limits import NO_LIMITS, SECONDS_VARIABLE
from base_models.clips.audio_files.read_keys import noted_keys
from base_models.encoders import known_encoders, load_encoder
from base_models.encoders.filling import prepared_items
from base_models.encoders.libraries import missing_libraries
from base_models.encoders.store import EmbeddingStore
from base_models.encoders.weights import missing_files
from base_models.files import parse_tensors

RESULTS = Path(__file__).parents[1] / "torture" / "RESULTS.md"
HEADING = "## What safety costs"
_ENCODERS = ("logmel", "distillmos")
"""Of which the whole is measured, where their weights are here."""
_N_CLIPS = 12
_N_TURNS = 7
_RATE = 44_100
_SECONDS = 10
_Work = Callable[[], object]


def bench_what_safety_costs() -> None:
    """Measure, print and write the table."""
    with tempfile.TemporaryDirectory() as folder:
        clips = _clips(Path(folder))
        rows = [
            ("decoding in a process of its own", *_decoding_apart(clips)),
            ("hashing the bytes that are decoded", *_hashing_what_is_decoded(clips)),
            ("verifying an embedding that is read", *_verifying(clips, Path(folder))),
        ]
        for name in _ENCODERS:
            if _is_here(name):
                what = f"the whole: files to embeddings by {name} on the disk"
                rows.append((what, *_whole(clips, Path(folder) / name, name)))
    lines = [
        HEADING,
        "",
        f"From `make bench` (`tests/benchmarks/bench_safety.py`): {_N_CLIPS} stereo "
        f"clips of {_SECONDS} s, median of {_N_TURNS} turns. The encoder logmel is the "
        "lightest there is; with heavier ones safety is a smaller share.",
        "",
        "| what | without, ms a clip | with, ms a clip | ratio |",
        "|---|---|---|---|",
    ]
    for name, without, safe in rows:
        times = f"{without * 1e3:.2f} | {safe * 1e3:.2f}"
        lines.append(f"| {name} | {times} | {safe / without:.2f} |")
    table = "\n".join(lines) + "\n"
    print(table)
    _write(table)


def _write(table: str) -> None:
    kept = RESULTS.read_text().partition(HEADING)[0] if RESULTS.exists() else ""
    RESULTS.write_text(kept + table)


def _clips(folder: Path) -> dict[str, str]:
    rng = np.random.default_rng(0)
    clips = {}
    for place in range(_N_CLIPS):
        path = folder / f"{place}.wav"
        noise = 0.1 * rng.standard_normal((_SECONDS * _RATE, 2))
        soundfile.write(path, noise, _RATE)
        clips[str(place)] = str(path)
    return clips


def _turns(without: _Work, safe: _Work) -> tuple[float, float]:
    """Seconds per clip of both ways: medians over turns."""
    times: list[tuple[float, float]] = []
    for turn in range(_N_TURNS + 1):
        pair = (timed(without)[0], timed(safe)[0])
        # The first turn starts processes and reads files for the first time.
        if turn:
            times.append(pair)
    first, second = np.median(np.array(times), axis=0) / _N_CLIPS
    return float(first), float(second)


def _here(work: _Work) -> _Work:
    """The work with audio decoded in this process."""

    def done() -> object:
        os.environ[SECONDS_VARIABLE] = NO_LIMITS
        try:
            return work()
        finally:
            del os.environ[SECONDS_VARIABLE]

    return done


def _load_all(clips: dict[str, str]) -> None:
    for path in clips.values():
        load_audio(path, 24_000)


def _decoding_apart(clips: dict[str, str]) -> tuple[float, float]:
    def work() -> None:
        _load_all(clips)

    return _turns(_here(work), work)


def _hashing_what_is_decoded(clips: dict[str, str]) -> tuple[float, float]:
    def noted() -> None:
        with noted_keys():
            _load_all(clips)

    return _turns(_here(lambda: _load_all(clips)), _here(noted))


def _verifying(clips: dict[str, str], folder: Path) -> tuple[float, float]:
    store = EmbeddingStore(folder / "verified")
    encoder = load_encoder("logmel")
    keys, _ = store.fill(encoder, clips)

    def unverified() -> None:
        for key in keys.values():
            data = store.path(encoder.signature, key).read_bytes()
            parse_tensors(data, key)

    def verified() -> None:
        for key in keys.values():
            store.get(encoder, key)

    return _turns(unverified, verified)


def _is_here(name: str) -> bool:
    spec = known_encoders().specs[name]
    return not (missing_libraries(spec) or missing_files(spec))


def _whole(clips: dict[str, str], folder: Path, name: str) -> tuple[float, float]:
    encoder = load_encoder(name)
    n_made = 0

    def fill() -> None:
        nonlocal n_made
        n_made += 1
        EmbeddingStore(folder / f"whole{n_made}").fill(encoder, clips)

    def trusting() -> None:
        # As before: the file is hashed, and opened again to be decoded, unseen.
        prepared = prepared_items.prepared_item
        prepared_items.prepared_item = lambda encoder, key, item: encoder.prepare(item)
        try:
            fill()
        finally:
            prepared_items.prepared_item = prepared

    for path in clips.values():
        content_hash(path)
    return _turns(_here(trusting), fill)
