"""Files of every kind, damaged at random, through the decoding process."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torture.harness import Outcome, Row
from torture.sound_files import KINDS, RATE, sound_file

from base_models.clip_status import CRASHED, OK, STATUSES
from base_models.clips.audio import load_audio
from base_models.errors import ClipError

PER_CASE = 40
_EXTREMES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1)


class Torture(Row):
    """A case damages one kind of file in `PER_CASE` ways, and then reads a good one."""

    what = "bad audio: mutants, through the killable decoder"
    passes_when = "each decoded or set aside with a code; good clips bit-equal"
    at_least = 10_000
    n_cases = 10 * len(KINDS)
    n_share = len(KINDS) // 2
    seconds = 120.0

    def prepare(self) -> None:
        """The good file, and what is read of it."""
        good = self.shared / "good.flac"
        good.write_bytes(sound_file("FLAC", seed=7))
        np.save(self.shared / "good.npy", load_audio(good, RATE))

    def run(self, case: int, folder: Path, rng: np.random.Generator) -> Outcome:
        """Read mutants, and look at every answer."""
        form, codec = KINDS[case % len(KINDS)]
        whole = sound_file(form, codec)
        other = sound_file(*KINDS[int(rng.integers(len(KINDS)))], seed=1)
        path = folder / "mutant"
        failure = ""
        for place in range(PER_CASE):
            path.write_bytes(_mutant(whole, other, rng))
            failure = failure or _judged(path, place)
        expected = np.load(self.shared / "good.npy")
        if not np.array_equal(load_audio(self.shared / "good.flac", RATE), expected):
            failure = failure or "the good clip reads differently"
        return Outcome(f"{form} {codec}", failure, tried=PER_CASE)


def _judged(path: Path, place: int) -> str:
    """What is wrong with how a mutant is treated; "" where nothing is."""
    try:
        samples = load_audio(path, RATE)
    except ClipError as error:
        reason = str(error)
        if error.status not in STATUSES or error.status == OK:
            return f"mutant {place}: no code of a clip: {error.status}"
        if error.status == CRASHED:
            print(f"{path} crashes the decoder: {reason}")
        if "\n" in reason or len(reason) > 500:
            return f"mutant {place}: no line of 500 characters: {reason[:200]!r}"
        return ""
    if samples.ndim != 1 or samples.dtype != np.float32:
        return f"mutant {place}: {samples.dtype} of shape {samples.shape}"
    if not len(samples) or not np.isfinite(samples).all():
        return f"mutant {place}: samples that are no sound"
    return ""


def _mutant(whole: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    """A file with one to three damages, most of them near its start."""
    data = bytearray(whole)
    for _ in range(int(rng.integers(1, 4))):
        _damage(data, other, rng)
    return bytes(data)


def _damage(data: bytearray, other: bytes, rng: np.random.Generator) -> None:
    if not data:
        return
    at = _place(len(data), rng)
    match int(rng.integers(8)):
        case 0:
            data[at] ^= 1 << int(rng.integers(8))
        case 1:
            for _ in range(int(rng.integers(2, 40))):
                data[_place(len(data), rng)] = int(rng.integers(256))
        case 2:
            del data[at:]
        case 3:
            del data[at : at + int(rng.integers(1, 64))]
        case 4:
            data[at:at] = rng.bytes(int(rng.integers(1, 64)))
        case 5:
            # A field of two or four bytes, in either order.
            size = int(rng.choice([2, 4]))
            value = int(rng.choice(_EXTREMES)) % 256**size
            order = "little" if rng.integers(2) else "big"
            data[at : at + size] = value.to_bytes(size, order)
        case 6:
            data[at:] = other[_place(len(other), rng) :]
        case _:
            size = int(rng.integers(4, 200))
            data[at:at] = data[at : at + size]


def _place(size: int, rng: np.random.Generator) -> int:
    """A place in a file, in three of four cases where its headers are."""
    return int(rng.integers(size if rng.random() < 0.25 else min(size, 128)))
