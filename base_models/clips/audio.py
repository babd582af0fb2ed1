"""From an audio file to mono samples at one rate, or a `ClipError` that says why not.

Many damaged files decode without an error: a WAV cut in half reads as a shorter clip, NaN samples pass through, and a
model would score what is left. So the container is checked before the decoder sees it, and the samples after. The trap:
``SoundFile.blocks()`` ignores short reads and repeats stale samples; only a loop of ``read()`` tells the truth.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import soundfile
import soxr

from base_models.clips import mpeg
from base_models.errors import ClipError

CHUNK = 65_536
"""Frames per read; fixed, since decoding MP3 in other portions differs in the last bits."""
MIN_SECONDS, USED_SECONDS = 0.1, 30.0
MAX_RATE, MIN_RATE, MAX_CHANNELS = 384_000, 1_000, 32
MAX_VALUE = 1e4
PROBE_SECONDS = 15 * 60.0
CLIPPED, CLIPPED_RUN = 0.999, 3
_MARGIN_SECONDS = (
    0.25  # read beyond the cut, so that the resampler's filter sees what follows it
)
_SLACK_FRAMES = 8  # MPEG frames, about 0.2 s: encoder delay and padding, and the rounding of an estimate
_UNKNOWN_LENGTH = 2**62
_SUBTYPES = ("PCM_", "FLOAT", "DOUBLE", "VORBIS", "OPUS", "MPEG_")
_WAV_CODECS = {1: "PCM", 3: "float", 0xFFFE: "extensible"}


@dataclass(frozen=True)
class AudioInfo:
    """What is in an audio file.

    Parameters
    ----------
    seconds : length, as declared by a file of which at least the first `PROBE_SECONDS` are really there
    sample_rate, channels : as in the file, Hz and count
    peak, rms : largest magnitude and root mean square over all channels, full scale is 1
    clipped_fraction : share of samples within runs of at least 3 at full scale
    sha256 : of the file's bytes
    """

    seconds: float
    sample_rate: int
    channels: int
    peak: float
    rms: float
    clipped_fraction: float
    sha256: str


def load_audio(
    path: str | os.PathLike, sample_rate: int, max_seconds: float = USED_SECONDS
) -> np.ndarray:
    """The first `max_seconds` of a clip as mono samples.

    Channels are averaged before resampling (soxr, HQ); no loudness normalisation, no padding.

    Parameters
    ----------
    path : WAV (RF64 too), FLAC, OGG (Vorbis, Opus), MP3 or AIFF file
    sample_rate : Hz, of the result
    max_seconds : float, where the clip is cut

    Returns
    -------
    samples : float32 array of shape (samples,), finite, at most ``round(max_seconds * sample_rate)`` long

    Raises
    ------
    ClipError
        when the file is missing, not a regular file, not audio of a kind above, damaged or cut off (as far as it is
        read), longer than its header makes believe, shorter than 0.1 s, or holds samples that are not finite or
        absurdly large.
    """
    with _opened(path) as (handle, sound):
        wanted = int(np.ceil((max_seconds + _MARGIN_SECONDS) * sound.samplerate))
        mono = np.concatenate(
            [chunk.mean(axis=1) for chunk in _chunks(handle, sound, wanted)]
        )
        rate = sound.samplerate
    if rate != sample_rate:
        mono = soxr.resample(mono, rate, sample_rate, quality="HQ")
    return np.ascontiguousarray(
        mono[: round(max_seconds * sample_rate)], dtype=np.float32
    )


def probe(path: str | os.PathLike) -> AudioInfo:
    """Walk through a file (at most its first 15 minutes) and describe it.

    Raises
    ------
    ClipError
        for the reasons of `load_audio`.
    """
    with _opened(path) as (handle, sound):
        rate, channels, declared = sound.samplerate, sound.channels, sound.frames
        limit = int(PROBE_SECONDS * rate)
        frames, peak, energy, clipped = 0, 0.0, 0.0, 0
        for chunk in _chunks(handle, sound, limit):
            frames += len(chunk)
            peak = max(peak, float(np.abs(chunk).max()))
            energy += float(np.square(chunk, dtype=np.float64).sum())
            clipped += _count_clipped(chunk)
        length = max(frames, declared)
        digest = _digest(handle)
    samples = frames * channels
    rms = float(np.sqrt(energy / samples))
    return AudioInfo(
        length / rate, rate, channels, peak, rms, clipped / samples, digest
    )


def declared_seconds(path: str | os.PathLike) -> float:
    """Length of a file as its header has it, without decoding; NaN where that cannot be read."""
    try:
        return soundfile.info(os.fspath(path)).duration
    except (soundfile.SoundFileError, OSError):
        return float("nan")


def content_hash(path: str | os.PathLike) -> str:
    """Hex SHA-256 of a file's bytes.

    Raises
    ------
    ClipError
        when it is missing, not a regular file, empty or unreadable.
    """
    with _regular_file(path) as (handle, _):
        return _digest(handle)


# ---- before decoding


@contextlib.contextmanager
def _regular_file(path: str | os.PathLike) -> Iterator[tuple[int, int]]:
    """File descriptor and size of a regular file that is not empty; never waits (a FIFO would block for ever)."""
    name = os.fspath(path)
    if not name or "\0" in name:
        raise ClipError(
            "it has no audio file"
            if not name
            else f"the file name {name!r} holds a NUL"
        )
    try:
        handle = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise ClipError(f"there is no file {name!r}") from None
    except (OSError, UnicodeEncodeError) as error:
        raise ClipError(
            f"{name!r} cannot be opened: {getattr(error, 'strerror', None) or error}"
        ) from error
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise ClipError(f"{name!r} is not a regular file")
        if status.st_size == 0:
            raise ClipError(f"{name!r} is empty (0 bytes)")
        yield handle, status.st_size
    except OSError as error:
        raise ClipError(
            f"{name!r} cannot be read: {error.strerror or error}"
        ) from error
    finally:
        os.close(handle)


@contextlib.contextmanager
def _opened(path: str | os.PathLike) -> Iterator[tuple[int, soundfile.SoundFile]]:
    """The decoder of a file whose container has been checked, and the descriptor that it reads from."""
    with _regular_file(path) as (handle, size):
        try:
            _check_container(handle, size)
            with soundfile.SoundFile(handle, closefd=False) as sound:
                _check_format(sound)
                yield handle, sound
        except ClipError as error:
            raise ClipError(f"{os.fspath(path)!r}: {error}") from error
        except (
            soundfile.SoundFileError,
            RuntimeError,
            ValueError,
            TypeError,
            MemoryError,
        ) as error:
            reason = " ".join(str(getattr(error, "error_string", error)).split())
            raise ClipError(
                f"{os.fspath(path)!r} cannot be decoded: {reason}"
            ) from error


def _check_container(handle: int, size: int) -> None:
    """Refuse what is no known audio container, and containers that hold less than they declare."""
    head = os.pread(handle, 12, 0)
    if head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE":
        _check_chunks(handle, size, "<", b"data")
    elif head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        _check_chunks(handle, size, ">", b"SSND")
    elif head[:4] == b"OggS":
        _check_last_page(handle, size)
    elif not (head[:4] == b"fLaC" or head[:3] == b"ID3" or mpeg.is_frame(head)):
        raise ClipError(
            "not audio of a known kind (WAV, FLAC, OGG, MP3, AIFF), by its first bytes"
        )


def _check_chunks(handle: int, size: int, order: str, wanted: bytes) -> None:
    """Walk the chunks of a RIFF or AIFF file up to its samples, and compare their declared size with the file's.

    libsndfile silently shortens a sample chunk that runs past the end of the file.
    """
    at, long_size = 12, None
    for _ in range(1_000):
        header = os.pread(handle, 8, at)
        if len(header) < 8:
            raise ClipError("it holds no samples: the header is cut off")
        name, length = struct.unpack(f"{order}4sI", header)
        body = os.pread(handle, 16, at + 8)
        if name == b"ds64" and len(body) == 16:
            long_size = struct.unpack("<Q", body[8:])[0]
        if name == b"fmt " and len(body) == 16:
            codec = struct.unpack("<H", body[:2])[0]
            if codec not in _WAV_CODECS:
                raise ClipError(
                    f"WAV codec {codec} is not read; convert it to PCM or float"
                )
        if name == wanted:
            length = (
                long_size if length == 0xFFFFFFFF and long_size is not None else length
            )
            if at + 8 + length > size:
                there = size - at - 8
                raise ClipError(
                    f"cut off: it declares {length:,} bytes of samples and holds {there:,}"
                )
            return
        at += 8 + length + length % 2
    raise ClipError("it holds no samples among its first 1000 chunks")


def _check_last_page(handle: int, size: int) -> None:
    """An OGG stream ends with a page that is whole and marked as last; a cut file decodes to less without an error."""
    tail = os.pread(
        handle, 65_536 + 282, max(0, size - 65_536 - 282)
    )  # more than the largest page
    at = tail.rfind(b"OggS")
    while at >= 0:
        segments = tail[at + 26] if at + 27 <= len(tail) else None
        if segments is not None and len(tail) >= at + 27 + segments:
            end = at + 27 + segments + sum(tail[at + 27 : at + 27 + segments])
            if end == len(tail) and tail[at + 5] & 4:
                return
        at = tail.rfind(b"OggS", 0, at)
    raise ClipError(
        "cut off: an OGG file ends with a page marked as the last, and this one does not"
    )


def _check_format(sound: soundfile.SoundFile) -> None:
    if not sound.subtype.startswith(_SUBTYPES):
        raise ClipError(
            f"codec {sound.format} {sound.subtype} is not read; convert it to PCM, float or FLAC"
        )
    if not MIN_RATE <= sound.samplerate <= MAX_RATE:
        raise ClipError(
            f"a sample rate of {sound.samplerate} Hz; legal are {MIN_RATE}..{MAX_RATE}"
        )
    if not 1 <= sound.channels <= MAX_CHANNELS:
        raise ClipError(f"{sound.channels} channels; legal are 1..{MAX_CHANNELS}")
    if sound.frames == 0:
        raise ClipError("it holds no samples")
    if sound.frames >= _UNKNOWN_LENGTH:  # soundfile cannot read such a file to its end
        raise ClipError(
            "its header does not declare a length, as if written to a pipe; write it anew"
        )


# ---- while decoding


def _length_error(handle: int, sound: soundfile.SoundFile, wanted: int) -> int:
    """By how many frames the length that soundfile declares may be off; ClipError where it is off by more.

    Where an MPEG file declares none, soundfile estimates it, and reads no further.
    """
    if not sound.subtype.startswith("MPEG_"):
        return 0
    real = mpeg.measure(handle, wanted)
    slack = _SLACK_FRAMES * real.per_frame
    more = min(real.samples, wanted) > sound.frames + slack
    if more and real.declared:
        raise ClipError(
            "it holds more than its header declares, as joined files do; re-encode it, e.g. as FLAC"
        )
    if more or (
        real.whole
        and not real.declared
        and real.samples < min(wanted, sound.frames) - slack
    ):
        raise ClipError(
            "variable bit rate without a length header; re-encode it, e.g. as FLAC"
        )
    return 0 if real.declared else slack


def _chunks(
    handle: int, sound: soundfile.SoundFile, wanted: int
) -> Iterator[np.ndarray]:
    """Float32 portions of shape (frames, channels), `wanted` frames in all or as many as there are, each checked.

    Memory follows what is decoded, never what the header declares.
    """
    expected = min(wanted, sound.frames) - _length_error(handle, sound, wanted)
    got = 0
    while got < wanted:
        chunk = sound.read(min(CHUNK, wanted - got), dtype="float32", always_2d=True)
        if len(chunk) == 0:
            break
        if not np.isfinite(chunk).all():
            raise ClipError(
                f"NaN or infinite samples near {got / sound.samplerate:.1f} s"
            )
        largest = np.abs(chunk).max()
        if largest > MAX_VALUE:
            raise ClipError(f"sample values up to {largest:.3g}; full scale is 1")
        got += len(chunk)
        yield chunk
    if got == 0:
        raise ClipError("it holds no samples")
    if got < expected:
        raise ClipError(
            f"cut off: it declares {sound.frames:,} frames and decodes to {got:,}"
        )
    if got < min(wanted, MIN_SECONDS * sound.samplerate):
        raise ClipError(
            f"too short: {got / sound.samplerate:.3f} s; at least {MIN_SECONDS} s are needed"
        )


def _count_clipped(chunk: np.ndarray) -> int:
    """Samples within runs of at least 3 at full scale, per channel; a lone peak is no clipping."""
    full = np.abs(chunk) >= CLIPPED
    inside = np.zeros_like(full)
    run = full[2:] & full[1:-1] & full[:-2] if len(full) >= CLIPPED_RUN else full[:0]
    for shift in range(CLIPPED_RUN):
        inside[shift : shift + len(run)] |= run
    return int(inside.sum())


def _digest(handle: int) -> str:
    digest, at = hashlib.sha256(), 0
    while block := os.pread(handle, 1 << 20, at):
        digest.update(block)
        at += len(block)
    return digest.hexdigest()
