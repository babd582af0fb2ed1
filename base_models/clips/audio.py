"""Read an audio file as mono samples at one rate, or raise a `ClipError` with a reason.

What is damaged or cut off is never read in part; `base_models.clips.audio_files` has
the checks.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass

import numpy as np
import soxr

from base_models.clips.audio_files.bandwidth import SpectrumMeter
from base_models.clips.audio_files.decoder import (
    MIN_SECONDS,
    checked_chunks,
    open_audio,
)
from base_models.clips.audio_files.levels import LevelMeter, Levels
from base_models.clips.audio_files.mono import (
    mean_of_channels,
    one_channel,
)
from base_models.clips.audio_files.open_file import (
    digest_of,
    digest_of_source,
    regular_file,
)
from base_models.clips.segments.reference import segment_of
from base_models.errors import ClipError, one_of
from base_models.mono_rules import MIX, MONO_RULES

__all__ = [
    "LENGTH_TOLERANCE",
    "MIN_SECONDS",
    "USED_SECONDS",
    "AudioInfo",
    "content_hash",
    "declared_seconds",
    "decode_audio",
    "load_audio",
    "probe",
    "resample",
]

log = logging.getLogger(__name__)

# Length that is used of a longer clip, and by how much one may exceed it before it is
# said: encoders of MP3 and other formats add up to some frames at both ends.
USED_SECONDS = 30.0
LENGTH_TOLERANCE = 0.5

# `probe` reads at most this much of a file.
PROBE_SECONDS = 15 * 60.0

# Read beyond the cut, so that the resampler's filter sees what follows it.
_MARGIN_SECONDS = 0.25


@dataclass(frozen=True)
class AudioInfo:
    """Description of an audio file.

    Parameters
    ----------
    seconds : float
        Length as the file declares it. At least the first `PROBE_SECONDS` of it have
        been found in the file.
    sample_rate : int
        In Hz, as in the file.
    channels : int
        Number of channels in the file.
    levels : Levels
        Of what was read: silence, clipping, channels that cancel.
    bandwidth : float
        In Hz: above it there is nothing; half of the sample rate at most.
    sha256 : str
        Hex digest of the content, see `content_hash`.
    messages : tuple of str
        What the decoder has to say about the file, such as bytes that it skipped.
    """

    seconds: float
    sample_rate: int
    channels: int
    levels: Levels
    bandwidth: float
    sha256: str
    messages: tuple[str, ...] = ()


def load_audio(
    path: str | os.PathLike[str],
    sample_rate: int,
    max_seconds: float = USED_SECONDS,
    mono: str = MIX,
) -> np.ndarray:
    """Load the first `max_seconds` of a clip as mono samples.

    Channels become one before resampling (soxr, quality HQ). The loudness is not
    normalised, and nothing is padded.

    Parameters
    ----------
    path : path-like
        File of a kind that `base_models.clips.audio_files.containers` knows; or such a
        file in a row of a Parquet table, see
        `base_models.clips.parquet.embedded_audio`; or a segment of either, see
        `base_models.clips.segments.reference`.
    sample_rate : int
        Sample rate of the result, in Hz.
    max_seconds : float
        Where the clip is cut.
    mono : str
        One of `base_models.mono_rules.MONO_RULES`.

    Returns
    -------
    samples : float32 array of shape (n_samples,)
        Finite, at most ``round(max_seconds * sample_rate)`` long.

    Raises
    ------
    ClipError
        When the file is missing, is not a regular file, is not audio of a kind above,
        is damaged or cut off (as far as it is read), is longer than its header
        declares, is shorter than `MIN_SECONDS`, or holds samples that are not finite
        or are absurdly large.
    """
    # Decoded past the cut, so that the resampler's filter sees what follows it.
    samples, rate = _decode(path, max_seconds + _MARGIN_SECONDS, mono)
    samples = resample(samples, rate, sample_rate)
    cut = samples[: round(max_seconds * sample_rate)]
    return np.ascontiguousarray(cut, dtype=np.float32)


def decode_audio(
    path: str | os.PathLike[str],
    max_seconds: float = USED_SECONDS,
    mono: str = MIX,
) -> tuple[np.ndarray, int]:
    """Decode the first `max_seconds` of a clip as mono samples at the file's own rate.

    Returns
    -------
    samples : float32 array of shape (n_samples,)
        By the rule `mono`, see `load_audio`.
    sample_rate : int
        In Hz.

    Raises
    ------
    ClipError
        For the reasons of `load_audio`.
    """
    samples, rate = _decode(path, max_seconds, mono)
    return samples[: round(max_seconds * rate)], rate


def resample(samples: np.ndarray, rate: int, new_rate: int) -> np.ndarray:
    """Samples of shape (n_samples,) at another rate, in Hz (soxr, quality HQ)."""
    if rate == new_rate:
        return samples
    return np.asarray(soxr.resample(samples, rate, new_rate, quality="HQ"))


def _decode(
    path: str | os.PathLike[str], max_seconds: float, rule: str
) -> tuple[np.ndarray, int]:
    """Mono samples at the rate of the file, and that rate in Hz."""
    one_of(rule, MONO_RULES, "rule for one channel")
    with open_audio(path) as (handle, sound):
        rate = sound.samplerate
        n_wanted = int(np.ceil(max_seconds * rate))
        chunks = checked_chunks(handle, sound, n_wanted)
        if rule == MIX:
            samples = mean_of_channels(chunks)
        else:
            samples = one_channel(chunks, rule)
        for message in sound.messages:
            log.info("%s: the decoder says: %s", os.fspath(path), message)

    # Rare, so that it is decoded once more rather than all channels of all clips kept.
    if samples is None:
        log.info("%s: its channels cancel; the loudest is taken", os.fspath(path))
        return _decode(path, max_seconds, "loudest")
    return samples, rate


def probe(path: str | os.PathLike[str], max_seconds: float | None = None) -> AudioInfo:
    """Read through a file (at most `PROBE_SECONDS` of it) and describe it.

    Parameters
    ----------
    path : path-like
        As of `load_audio`.
    max_seconds : float, optional
        How much to read instead.

    Raises
    ------
    ClipError
        For the reasons of `load_audio`.
    """
    seconds = PROBE_SECONDS if max_seconds is None else max_seconds
    with open_audio(path) as (handle, sound):
        rate = sound.samplerate
        n_declared = sound.frames
        n_wanted = int(seconds * rate)

        n_frames = 0
        levels = LevelMeter(rate)
        spectrum = SpectrumMeter(rate)
        for chunk in checked_chunks(handle, sound, n_wanted):
            n_frames += len(chunk)
            levels.add(chunk)
            spectrum.add(chunk)

        return AudioInfo(
            seconds=max(n_frames, n_declared) / rate,
            sample_rate=rate,
            channels=sound.channels,
            levels=levels.levels(),
            bandwidth=spectrum.bandwidth(),
            sha256=_content_key(path, handle),
            messages=tuple(sound.messages),
        )


def declared_seconds(path: str | os.PathLike[str]) -> float:
    """Length of a clip according to its file's header, without decoding it.

    The result is NaN where the file cannot be opened.
    """
    try:
        with open_audio(path) as (_, sound):
            return float(sound.frames / sound.samplerate)
    except ClipError:
        return float("nan")


def content_hash(path: str | os.PathLike[str]) -> str:
    """Hex SHA-256 of a file's bytes; of a segment, of these and its times.

    Raises
    ------
    ClipError
        When the file is missing, not a regular file, empty or unreadable.
    """
    with regular_file(path) as (handle, _):
        return _content_key(path, handle)


def _content_key(path: str | os.PathLike[str], handle: int) -> str:
    segment = segment_of(os.fspath(path))
    if segment is None:
        return digest_of(handle)
    return segment.content_key(digest_of_source(handle))
