"""Read an audio file as mono samples at one rate, or raise a `ClipError` with a reason.

What is damaged or cut off is never read in part; `base_models.clips.audio_files` has
the checks.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
import soxr

from base_models.clips.audio_files.decoder import (
    MIN_SECONDS,
    checked_chunks,
    open_audio,
)
from base_models.clips.audio_files.open_file import (
    digest_of,
    digest_of_source,
    regular_file,
)
from base_models.clips.segments.reference import segment_of
from base_models.errors import ClipError

__all__ = [
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

# Length that is used of a longer clip.
USED_SECONDS = 30.0

# `probe` reads at most this much of a file.
PROBE_SECONDS = 15 * 60.0

# A sample is clipped when it stands in a run of samples at this level.
CLIPPING_LEVEL = 0.999
CLIPPING_RUN = 3

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
    peak : float
        Largest magnitude over all channels; full scale is 1.
    rms : float
        Root mean square over all channels.
    clipped_fraction : float
        Share of samples that stand in runs of at least `CLIPPING_RUN` at full scale.
    sha256 : str
        Hex digest of the content, see `content_hash`.
    """

    seconds: float
    sample_rate: int
    channels: int
    peak: float
    rms: float
    clipped_fraction: float
    sha256: str


def load_audio(
    path: str | os.PathLike[str],
    sample_rate: int,
    max_seconds: float = USED_SECONDS,
) -> np.ndarray:
    """Load the first `max_seconds` of a clip as mono samples.

    Channels are averaged before resampling (soxr, quality HQ). The loudness is not
    normalised, and nothing is padded.

    Parameters
    ----------
    path : path-like
        WAV (also RF64), FLAC, OGG (Vorbis or Opus), MP3 or AIFF file; or such a file in
        a row of a Parquet table, see `base_models.clips.parquet.embedded_audio`; or a
        segment of either, see `base_models.clips.segments.reference`.
    sample_rate : int
        Sample rate of the result, in Hz.
    max_seconds : float
        Where the clip is cut.

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
    mono, rate = _decode(path, max_seconds + _MARGIN_SECONDS)
    mono = resample(mono, rate, sample_rate)
    cut = mono[: round(max_seconds * sample_rate)]
    return np.ascontiguousarray(cut, dtype=np.float32)


def decode_audio(
    path: str | os.PathLike[str], max_seconds: float = USED_SECONDS
) -> tuple[np.ndarray, int]:
    """Decode the first `max_seconds` of a clip as mono samples at the file's own rate.

    Returns
    -------
    samples : float32 array of shape (n_samples,)
        The mean of the channels.
    sample_rate : int
        In Hz.

    Raises
    ------
    ClipError
        For the reasons of `load_audio`.
    """
    mono, rate = _decode(path, max_seconds)
    return mono[: round(max_seconds * rate)], rate


def resample(samples: np.ndarray, rate: int, new_rate: int) -> np.ndarray:
    """Samples of shape (n_samples,) at another rate, in Hz (soxr, quality HQ)."""
    if rate == new_rate:
        return samples
    return np.asarray(soxr.resample(samples, rate, new_rate, quality="HQ"))


def _decode(path: str | os.PathLike[str], max_seconds: float) -> tuple[np.ndarray, int]:
    """Mono samples at the rate of the file, and that rate in Hz."""
    with open_audio(path) as (handle, sound):
        rate = sound.samplerate
        n_wanted = int(np.ceil(max_seconds * rate))
        chunks = checked_chunks(handle, sound, n_wanted)
        mono = np.concatenate([chunk.mean(axis=1) for chunk in chunks])
    return mono, rate


def probe(path: str | os.PathLike[str]) -> AudioInfo:
    """Read through a file (at most `PROBE_SECONDS` of it) and describe it.

    Raises
    ------
    ClipError
        For the reasons of `load_audio`.
    """
    with open_audio(path) as (handle, sound):
        rate = sound.samplerate
        channels = sound.channels
        n_declared = sound.frames
        n_wanted = int(PROBE_SECONDS * rate)

        n_frames = 0
        n_clipped = 0
        peak = 0.0
        energy = 0.0
        for chunk in checked_chunks(handle, sound, n_wanted):
            n_frames += len(chunk)
            n_clipped += _count_clipped(chunk)
            peak = max(peak, float(np.abs(chunk).max()))
            # In double precision: squares of 15 minutes do not add up in float32.
            energy += float(np.square(chunk, dtype=np.float64).sum())

        digest = _content_key(path, handle)

    n_samples = n_frames * channels
    return AudioInfo(
        seconds=max(n_frames, n_declared) / rate,
        sample_rate=rate,
        channels=channels,
        peak=peak,
        rms=float(np.sqrt(energy / n_samples)),
        clipped_fraction=n_clipped / n_samples,
        sha256=digest,
    )


def declared_seconds(path: str | os.PathLike[str]) -> float:
    """Length of a clip according to its file's header, without decoding it.

    The result is NaN where the clip cannot be read.
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


def _count_clipped(chunk: np.ndarray) -> int:
    """Samples in runs of at least `CLIPPING_RUN` at full scale, counted per channel."""
    if len(chunk) < CLIPPING_RUN:
        return 0
    at_full_scale = np.abs(chunk) >= CLIPPING_LEVEL

    # A lone peak is not clipping: only where three samples in a row are at full scale
    # does a run start, and then all three belong to it.
    starts_run = at_full_scale[2:] & at_full_scale[1:-1] & at_full_scale[:-2]
    in_run = np.zeros_like(at_full_scale)
    for shift in range(CLIPPING_RUN):
        in_run[shift : shift + len(starts_run)] |= starts_run
    return int(in_run.sum())
