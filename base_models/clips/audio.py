"""Read an audio file as mono samples at one rate, or raise a `ClipError` with a reason.

Many damaged files decode without an error: a WAV file cut in half reads as a shorter
clip, and NaN samples pass through. A model would score what is left. The container is
therefore checked before the decoder sees the file, and the samples after decoding.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import struct
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import soundfile
import soxr

from base_models.clips import mpeg
from base_models.clips.parquet.embedded_audio import read_embedded, row_of_reference
from base_models.errors import ClipError

# Frames per read; fixed, since decoding MP3 in portions of another size differs in the
# last bits.
FRAMES_PER_READ = 65_536

# Length that a clip has at least, and the length that is used of a longer one.
MIN_SECONDS = 0.1
USED_SECONDS = 30.0

MIN_RATE = 1_000
MAX_RATE = 384_000
MAX_CHANNELS = 32

# Largest magnitude of a sample; full scale is 1.
MAX_VALUE = 1e4

# `probe` reads at most this much of a file.
PROBE_SECONDS = 15 * 60.0

# A sample is clipped when it stands in a run of samples at this level.
CLIPPING_LEVEL = 0.999
CLIPPING_RUN = 3

# Read beyond the cut, so that the resampler's filter sees what follows it.
_MARGIN_SECONDS = 0.25

# Tolerance in MPEG frames, about 0.2 s: encoder delay and padding, and the rounding of
# an estimated length.
_SLACK_FRAMES = 8

_UNKNOWN_LENGTH = 2**62
_SUBTYPES = ("PCM_", "FLOAT", "DOUBLE", "VORBIS", "OPUS", "MPEG_")

# Of WAV files: PCM, float, and extensible, whose real codec is in its subtype.
_WAV_CODECS = (1, 3, 0xFFFE)

# A file with more chunks than this before its samples is refused as damaged.
_MAX_HEADER_CHUNKS = 1_000

# More than the largest page: 27 bytes of header, 255 segment sizes, and 255 segments of
# 255 bytes.
_LARGEST_OGG_PAGE = 65_536 + 282
_OGG_HEADER_BYTES = 27
_OGG_LAST_PAGE = 4


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
        Hex digest of the file's bytes.
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
        a row of a Parquet table, see `base_models.clips.parquet.embedded_audio`.
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
    with _opened(path) as (handle, sound):
        rate = sound.samplerate
        n_wanted = int(np.ceil(max_seconds * rate))
        chunks = _checked_chunks(handle, sound, n_wanted)
        mono = np.concatenate([chunk.mean(axis=1) for chunk in chunks])
    return mono, rate


def probe(path: str | os.PathLike[str]) -> AudioInfo:
    """Read through a file (at most `PROBE_SECONDS` of it) and describe it.

    Raises
    ------
    ClipError
        For the reasons of `load_audio`.
    """
    with _opened(path) as (handle, sound):
        rate = sound.samplerate
        channels = sound.channels
        n_declared = sound.frames
        n_wanted = int(PROBE_SECONDS * rate)

        n_frames = 0
        n_clipped = 0
        peak = 0.0
        energy = 0.0
        for chunk in _checked_chunks(handle, sound, n_wanted):
            n_frames += len(chunk)
            n_clipped += _count_clipped(chunk)
            peak = max(peak, float(np.abs(chunk).max()))
            # In double precision: squares of 15 minutes do not add up in float32.
            energy += float(np.square(chunk, dtype=np.float64).sum())

        digest = _digest(handle)

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
    """Length of a file according to its header, without decoding it.

    The result is NaN where the header cannot be read.
    """
    try:
        with (
            _regular_file(path) as (handle, _),
            soundfile.SoundFile(handle, closefd=False) as sound,
        ):
            return float(sound.frames / sound.samplerate)
    except (soundfile.SoundFileError, ClipError):
        return float("nan")


def content_hash(path: str | os.PathLike[str]) -> str:
    """Hex SHA-256 of a file's bytes.

    Raises
    ------
    ClipError
        When the file is missing, not a regular file, empty or unreadable.
    """
    with _regular_file(path) as (handle, _):
        return _digest(handle)


# ---- opening a file, and the checks before it is decoded


@contextlib.contextmanager
def _regular_file(path: str | os.PathLike[str]) -> Iterator[tuple[int, int]]:
    """File descriptor and size in bytes of a regular file that is not empty."""
    name = os.fspath(path)
    row = row_of_reference(name)
    handle = _open_without_waiting(name) if row is None else _open_row(*row)
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise ClipError(f"{name!r} is not a regular file")
        if status.st_size == 0:
            raise ClipError(f"{name!r} is empty (0 bytes)")
        yield handle, status.st_size
    except OSError as error:
        reason = error.strerror or error
        raise ClipError(f"{name!r} cannot be read: {reason}") from error
    finally:
        os.close(handle)


def _open_without_waiting(name: str) -> int:
    """Open the file `name` for reading.

    Without O_NONBLOCK, opening a FIFO would block until somebody writes to it.
    """
    if not name:
        raise ClipError("it has no audio file")
    if "\0" in name:
        raise ClipError(f"the file name {name!r} contains a NUL character")

    try:
        return os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise ClipError(f"there is no file {name!r}") from None
    except (OSError, UnicodeEncodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ClipError(f"{name!r} cannot be opened: {reason}") from error


def _open_row(table: str, row: int) -> int:
    """A descriptor of the audio file in a row of a table, which is nowhere on disk."""
    data = read_embedded(table, row)
    if hasattr(os, "memfd_create"):
        handle = os.memfd_create("clip", os.MFD_CLOEXEC)
    else:
        # A file without a name, where the system knows no files in memory.
        with tempfile.TemporaryFile() as file:
            handle = os.dup(file.fileno())

    rest = memoryview(data)
    while rest:
        rest = rest[os.write(handle, rest) :]
    os.lseek(handle, 0, os.SEEK_SET)
    return handle


@contextlib.contextmanager
def _opened(
    path: str | os.PathLike[str],
) -> Iterator[tuple[int, soundfile.SoundFile]]:
    """Descriptor of an audio file with a checked container, and a decoder that uses it.

    Whatever the decoder raises while the file is open becomes a `ClipError`.
    """
    with _regular_file(path) as (handle, size):
        name = os.fspath(path)
        try:
            _check_container(handle, size)
            with soundfile.SoundFile(handle, closefd=False) as sound:
                _check_format(sound)
                yield handle, sound
        except ClipError as error:
            raise ClipError(f"{name!r}: {error}") from error
        except (
            soundfile.SoundFileError,
            RuntimeError,
            ValueError,
            TypeError,
            MemoryError,
        ) as error:
            # A reason goes into tables and reports, so it has to be one line.
            reason = " ".join(str(getattr(error, "error_string", error)).split())
            raise ClipError(f"{name!r} cannot be decoded: {reason}") from error


def _check_container(handle: int, size: int) -> None:
    """Refuse unknown containers, and those that hold less than they declare."""
    head = os.pread(handle, 12, 0)

    magic = head[:4]
    form = head[8:12]

    is_wav = magic in (b"RIFF", b"RF64") and form == b"WAVE"
    is_aiff = magic == b"FORM" and form in (b"AIFF", b"AIFC")
    is_ogg = magic == b"OggS"
    is_flac = magic == b"fLaC"
    # An MP3 file begins with a tag or with its first frame.
    is_mpeg = head[:3] == b"ID3" or mpeg.is_frame(head)

    if is_wav:
        _check_chunks(handle, size, byte_order="<", samples_name=b"data")
    elif is_aiff:
        _check_chunks(handle, size, byte_order=">", samples_name=b"SSND")
    elif is_ogg:
        _check_last_page(handle, size)
    elif not (is_flac or is_mpeg):
        raise ClipError(
            "not audio of a known kind (WAV, FLAC, OGG, MP3, AIFF), by its first bytes"
        )


def _check_chunks(
    handle: int,
    size: int,
    byte_order: str,
    samples_name: bytes,
) -> None:
    """Compare the declared size of a RIFF or AIFF file's samples with the file's size.

    libsndfile shortens a chunk of samples that runs past the end of the file, without
    an error.
    """
    offset = 12
    rf64_length: int | None = None

    for _ in range(_MAX_HEADER_CHUNKS):
        header = os.pread(handle, 8, offset)
        if len(header) < 8:
            raise ClipError("it holds no samples: the header is cut off")
        name, length = struct.unpack(f"{byte_order}4sI", header)
        body = os.pread(handle, 16, offset + 8)

        if name == b"ds64" and len(body) == 16:
            (rf64_length,) = struct.unpack("<Q", body[8:])

        if name == b"fmt " and len(body) == 16:
            _check_wav_codec(body)

        if name == samples_name:
            # RF64 has 0xFFFFFFFF here where the size in its ds64 chunk counts.
            if length == 0xFFFFFFFF and rf64_length is not None:
                length = rf64_length
            n_present = size - offset - 8
            if length > n_present:
                raise ClipError(
                    f"cut off: it declares {length:,} bytes of samples "
                    f"and holds {n_present:,}"
                )
            return

        # A chunk of odd length is followed by a pad byte.
        offset += 8 + length + length % 2

    raise ClipError(f"it holds no samples among its first {_MAX_HEADER_CHUNKS} chunks")


def _check_wav_codec(format_body: bytes) -> None:
    (codec,) = struct.unpack("<H", format_body[:2])
    if codec not in _WAV_CODECS:
        raise ClipError(
            f"WAV codec {codec} is not supported; convert it to PCM or float"
        )


def _check_last_page(handle: int, size: int) -> None:
    """Refuse an OGG file that does not end with a whole page marked as the last.

    A file that was cut decodes to fewer samples without an error.
    """
    tail = os.pread(handle, _LARGEST_OGG_PAGE, max(0, size - _LARGEST_OGG_PAGE))

    # From the end backwards, since "OggS" may also occur by chance within a page.
    start = tail.rfind(b"OggS")
    while start >= 0:
        if _is_last_page(tail[start:]):
            return
        start = tail.rfind(b"OggS", 0, start)

    raise ClipError(
        "cut off: an OGG file ends with a page marked as the last, "
        "and this one does not"
    )


def _is_last_page(page: bytes) -> bool:
    """Whether the bytes are exactly one whole OGG page, marked as the last."""
    if len(page) < _OGG_HEADER_BYTES:
        return False

    n_segments = page[_OGG_HEADER_BYTES - 1]
    body_start = _OGG_HEADER_BYTES + n_segments
    if len(page) < body_start:
        return False

    segment_sizes = page[_OGG_HEADER_BYTES:body_start]
    is_whole = len(page) == body_start + sum(segment_sizes)
    is_marked = bool(page[5] & _OGG_LAST_PAGE)
    return is_whole and is_marked


def _check_format(sound: soundfile.SoundFile) -> None:
    """Refuse a codec, rate, number of channels or length outside the legal range."""
    if not sound.subtype.startswith(_SUBTYPES):
        raise ClipError(
            f"codec {sound.format} {sound.subtype} is not supported; "
            "convert it to PCM, float or FLAC"
        )
    if not MIN_RATE <= sound.samplerate <= MAX_RATE:
        raise ClipError(
            f"a sample rate of {sound.samplerate} Hz is not supported; "
            f"legal are {MIN_RATE} to {MAX_RATE} Hz"
        )
    if not 1 <= sound.channels <= MAX_CHANNELS:
        raise ClipError(
            f"{sound.channels} channels are not supported; "
            f"legal are 1 to {MAX_CHANNELS}"
        )
    if sound.frames == 0:
        raise ClipError("it holds no samples")
    # soundfile cannot read a file of unknown length to its end.
    if sound.frames >= _UNKNOWN_LENGTH:
        raise ClipError(
            "its header does not declare a length, as if written to a pipe; "
            "save it again as a regular file"
        )


# ---- the checks while it is decoded


def _checked_chunks(
    handle: int,
    sound: soundfile.SoundFile,
    n_wanted: int,
) -> Iterator[np.ndarray]:
    """Yield float32 portions of shape (n_frames, channels), each of them checked.

    They hold `n_wanted` frames in all, or as many as there are. Memory grows with what
    is decoded, never with what the header declares.
    """
    tolerance = _length_tolerance(handle, sound, n_wanted)
    n_expected = min(n_wanted, sound.frames) - tolerance

    # A loop of `read`, since `SoundFile.blocks` ignores short reads and repeats the
    # samples of the block before.
    n_read = 0
    while n_read < n_wanted:
        n_next = min(FRAMES_PER_READ, n_wanted - n_read)
        chunk = sound.read(n_next, dtype="float32", always_2d=True)
        if len(chunk) == 0:
            break
        _check_values(chunk, start_seconds=n_read / sound.samplerate)
        n_read += len(chunk)
        yield chunk

    if n_read == 0:
        raise ClipError("it holds no samples")
    if n_read < n_expected:
        raise ClipError(
            f"cut off: it declares {sound.frames:,} frames and decodes to {n_read:,}"
        )
    if n_read < min(n_wanted, MIN_SECONDS * sound.samplerate):
        raise ClipError(
            f"too short: {n_read / sound.samplerate:.3f} s; "
            f"at least {MIN_SECONDS} s are needed"
        )


def _length_tolerance(
    handle: int,
    sound: soundfile.SoundFile,
    n_wanted: int,
) -> int:
    """Frames by which the decoded length may fall short of the declared one.

    Where an MPEG file declares no length, soundfile estimates one and does not read
    beyond it, so the frames of such a file are counted.

    Raises
    ------
    ClipError
        When the length that soundfile states is wrong by more than the tolerance.
    """
    if not sound.subtype.startswith("MPEG_"):
        return 0

    counted = mpeg.measure(handle, n_wanted)
    tolerance = _SLACK_FRAMES * counted.per_frame
    holds_more = min(counted.samples, n_wanted) > sound.frames + tolerance

    if counted.declared:
        if holds_more:
            raise ClipError(
                "it holds more than its header declares, as joined files do; "
                "re-encode it, e.g. as FLAC"
            )
        return 0

    n_estimated = min(n_wanted, sound.frames)
    holds_less = counted.whole and counted.samples < n_estimated - tolerance
    if holds_more or holds_less:
        raise ClipError(
            "variable bit rate without a length header; re-encode it, e.g. as FLAC"
        )
    return tolerance


def _check_values(chunk: np.ndarray, start_seconds: float) -> None:
    if not np.isfinite(chunk).all():
        raise ClipError(f"NaN or infinite samples near {start_seconds:.1f} s")
    largest = np.abs(chunk).max()
    if largest > MAX_VALUE:
        raise ClipError(f"sample values up to {largest:.3g}; full scale is 1")


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


def _digest(handle: int) -> str:
    digest = hashlib.sha256()
    offset = 0
    while block := os.pread(handle, 1 << 20, offset):
        digest.update(block)
        offset += len(block)
    return digest.hexdigest()
