"""Read an audio file as mono samples at one rate, or raise a `ClipError` with a reason.

What is damaged or cut off is never read in part; `base_models.clips.audio_files` has
the checks. Files are decoded in a process of its own, see `audio_files.apart`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from base_models.clips.audio_files.apart.decoding_process import ask
from base_models.clips.audio_files.decoder import MIN_SECONDS
from base_models.clips.audio_files.levels import Levels
from base_models.clips.audio_files.open_file import MAX_HELD, naming, regular_file
from base_models.clips.audio_files.read_keys import is_noting, note_key
from base_models.clips.audio_files.tasks import Answer, content_key, resample
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
    "powers_by_second",
    "probe",
    "resample",
    "write_pcm",
]

# Length that is used of a longer clip, and by how much one may exceed it before it is
# said: encoders of MP3 and other formats add up to some frames at both ends.
USED_SECONDS = 30.0
LENGTH_TOLERANCE = 0.5

# `probe` reads at most this much of a file.
PROBE_SECONDS = 15 * 60.0


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
    one_of(mono, MONO_RULES, "rule for one channel")
    answer = ask(
        "load",
        os.fspath(path),
        sample_rate=sample_rate,
        max_seconds=max_seconds,
        mono=mono,
        is_keyed=is_noting(),
    )
    note_key(answer.facts["key"])
    return _samples(answer)


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
    one_of(mono, MONO_RULES, "rule for one channel")
    answer = ask(
        "decode",
        os.fspath(path),
        max_seconds=max_seconds,
        mono=mono,
        is_keyed=is_noting(),
    )
    note_key(answer.facts["key"])
    return _samples(answer), answer.facts["sample_rate"]


def _samples(answer: Answer) -> np.ndarray:
    assert answer.array is not None
    return answer.array


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
    facts = ask("describe", os.fspath(path), max_seconds=seconds).facts
    levels = facts["levels"]
    # JSON has lists in place of tuples.
    facts["levels"] = Levels(**levels | {"channel_rms": tuple(levels["channel_rms"])})
    facts["messages"] = tuple(facts["messages"])
    return AudioInfo(**facts)


def declared_seconds(path: str | os.PathLike[str]) -> float:
    """Length of a clip according to its file's header, without decoding it.

    The result is NaN where the file cannot be opened.
    """
    try:
        return float(ask("measure", os.fspath(path)).facts["seconds"])
    except ClipError:
        return float("nan")


def powers_by_second(path: str | os.PathLike[str]) -> tuple[np.ndarray, float]:
    """Power of all channels in each second of a clip, and its length in seconds.

    Returns
    -------
    powers : float64 array of shape (n_seconds,)
        Without constant offsets, which are not heard.
    seconds : float

    Raises
    ------
    ClipError
        When the clip cannot be read to its end.
    """
    answer = ask("powers_by_second", os.fspath(path))
    return _samples(answer), answer.facts["seconds"]


def write_pcm(
    path: str | os.PathLike[str], target: str | os.PathLike[str], max_seconds: float
) -> None:
    """Write the first `max_seconds` of a clip as 16-bit PCM, rate and channels kept.

    Raises
    ------
    ClipError
        For the reasons of `load_audio`.
    """
    ask("write_pcm", os.fspath(path), target=os.fspath(target), max_seconds=max_seconds)


def content_hash(path: str | os.PathLike[str]) -> str:
    """Hex SHA-256 of a file's bytes; of a segment, of these and its times.

    Raises
    ------
    ClipError
        When the file is missing, not a regular file, empty or unreadable.
    """
    name = os.fspath(path)
    with regular_file(name) as (handle, size):
        if size > MAX_HELD:
            # What is no audio is refused before all of it is read.
            ask("measure", name)
        with naming(name):
            return content_key(name, handle)
