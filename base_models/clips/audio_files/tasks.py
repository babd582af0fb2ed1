"""What is done with an audio file, in the process that decodes it.

`base_models.clips.audio` asks for these tasks by their names. Arguments are what JSON
holds, and an answer is a record of that kind and at most one array.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np
import soundfile
import soxr

from base_models.clips.audio_files.bandwidth import SpectrumMeter
from base_models.clips.audio_files.decoder import checked_chunks, open_audio
from base_models.clips.audio_files.levels import LevelMeter
from base_models.clips.audio_files.mono import mean_of_channels, one_channel
from base_models.clips.audio_files.open_file import digest_of, digest_of_source
from base_models.clips.segments.reference import segment_of
from base_models.mono_rules import MIX

log = logging.getLogger(__name__)

# Read beyond the cut, so that the resampler's filter sees what follows it.
_MARGIN_SECONDS = 0.25

# More frames than a file has.
_ALL_FRAMES = 2**62


class Answer(NamedTuple):
    """What comes out of a task.

    Parameters
    ----------
    facts : dict
        What JSON holds.
    array : array or None
        float32 or float64.
    """

    facts: dict[str, Any]
    array: np.ndarray | None = None


def load(
    path: str, sample_rate: int, max_seconds: float, mono: str, is_keyed: bool
) -> Answer:
    """Mono samples at a rate, see `base_models.clips.audio.load_audio`.

    Facts: ``key``, the content key of the bytes that were decoded, "" unless
    `is_keyed`.
    """
    # Decoded past the cut, so that the resampler's filter sees what follows it.
    samples, rate, key = _decode(path, max_seconds + _MARGIN_SECONDS, mono, is_keyed)
    samples = resample(samples, rate, sample_rate)
    cut = samples[: round(max_seconds * sample_rate)]
    return Answer({"key": key}, np.ascontiguousarray(cut, dtype=np.float32))


def decode(path: str, max_seconds: float, mono: str, is_keyed: bool) -> Answer:
    """Mono samples at the file's own rate; facts: ``sample_rate`` and ``key``."""
    samples, rate, key = _decode(path, max_seconds, mono, is_keyed)
    return Answer(
        {"sample_rate": rate, "key": key}, samples[: round(max_seconds * rate)]
    )


def resample(samples: np.ndarray, rate: int, new_rate: int) -> np.ndarray:
    """Samples of shape (n_samples,) at another rate, in Hz (soxr, quality HQ)."""
    if rate == new_rate:
        return samples
    return np.asarray(soxr.resample(samples, rate, new_rate, quality="HQ"))


def _decode(
    path: str, max_seconds: float, rule: str, is_keyed: bool
) -> tuple[np.ndarray, int, str]:
    """Mono samples at the rate of the file, that rate in Hz, and the content key."""
    with open_audio(path, is_held=is_keyed) as (handle, sound):
        rate = sound.samplerate
        n_wanted = int(np.ceil(max_seconds * rate))
        chunks = checked_chunks(handle, sound, n_wanted)
        if rule == MIX:
            samples = mean_of_channels(chunks)
        else:
            samples = one_channel(chunks, rule)
        for message in sound.messages:
            log.info("%s: the decoder says: %s", path, message)
        key = content_key(path, handle) if is_keyed and samples is not None else ""

    # Rare, so that it is decoded once more rather than all channels of all clips kept.
    if samples is None:
        log.info("%s: its channels cancel; the loudest is taken", path)
        return _decode(path, max_seconds, "loudest", is_keyed)
    return samples, rate, key


def describe(path: str, max_seconds: float) -> Answer:
    """Facts are those of `base_models.clips.audio.AudioInfo`."""
    with open_audio(path, is_held=True) as (handle, sound):
        rate = sound.samplerate
        n_declared = sound.frames
        n_wanted = int(max_seconds * rate)

        n_frames = 0
        levels = LevelMeter(rate)
        spectrum = SpectrumMeter(rate)
        for chunk in checked_chunks(handle, sound, n_wanted):
            n_frames += len(chunk)
            levels.add(chunk)
            spectrum.add(chunk)

        facts = {
            "seconds": max(n_frames, n_declared) / rate,
            "sample_rate": rate,
            "channels": sound.channels,
            "levels": asdict(levels.levels()),
            "bandwidth": spectrum.bandwidth(),
            "sha256": content_key(path, handle),
            "messages": list(sound.messages),
        }
    return Answer(facts)


def measure(path: str) -> Answer:
    """Declared length; facts: ``seconds``. Nothing is decoded."""
    with open_audio(path) as (_, sound):
        return Answer({"seconds": float(sound.frames / sound.samplerate)})


def powers_by_second(path: str) -> Answer:
    """Power of all channels in each second of a clip; facts: ``seconds``, its length.

    The clip is decoded to its end, and one portion of it is in memory at a time.
    """
    energies: list[float] = []
    # Constant offsets are not heard, see `levels.SILENCE_DBFS`.
    sums: list[np.ndarray] = []
    counts: list[int] = []
    n_frames = 0
    with open_audio(path) as (handle, sound):
        rate = sound.samplerate
        for portion in checked_chunks(handle, sound, _ALL_FRAMES):
            place_of = (n_frames + np.arange(len(portion))) // rate
            for second in np.unique(place_of):
                if second == len(energies):
                    energies.append(0.0)
                    sums.append(np.zeros(portion.shape[1]))
                    counts.append(0)
                inside = portion[place_of == second]
                squares = np.square(inside, dtype=np.float64)
                energies[second] += float(squares.sum()) / portion.shape[1]
                sums[second] += inside.sum(axis=0, dtype=np.float64)
                counts[second] += len(inside)
            n_frames += len(portion)

    offsets = np.array(sums) / np.array(counts)[:, np.newaxis]
    powers = np.array(energies) / np.array(counts) - np.square(offsets).mean(axis=1)
    return Answer({"seconds": n_frames / rate}, powers)


def write_pcm(path: str, target: str, max_seconds: float) -> Answer:
    """Write the audio of a file as 16-bit PCM, at its own rate and channels."""
    with open_audio(path) as (handle, sound):
        rate = sound.samplerate
        n_wanted = int(max_seconds * rate)
        with soundfile.SoundFile(
            target,
            mode="w",
            samplerate=rate,
            channels=sound.channels,
            subtype="PCM_16",
            format="WAV",
        ) as written:
            for chunk in checked_chunks(handle, sound, n_wanted):
                written.write(chunk)
    return Answer({})


def content_key(path: str | os.PathLike[str], handle: int) -> str:
    """Hex SHA-256 of the bytes of an open file; of a segment, also of its times."""
    segment = segment_of(os.fspath(path))
    if segment is None:
        return digest_of(handle)
    return segment.content_key(digest_of_source(handle))


TASKS: Mapping[str, Callable[..., Answer]] = {
    task.__name__: task
    for task in (load, decode, describe, measure, powers_by_second, write_pcm)
}
"""All that the decoding process does."""
