"""Decode an audio file portion by portion, and check what comes out.

Many damaged files decode without an error: a WAV file cut in half reads as a shorter
clip, and NaN samples pass through. A model would score what is left. The container is
therefore checked before the decoder sees the file, and the samples after decoding.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import numpy as np
import soundfile

from base_models.clip_status import EMPTY, TOO_SHORT, TRUNCATED, UNSUPPORTED
from base_models.clips.audio_files.containers import mpeg
from base_models.clips.audio_files.containers.check_container import check_container
from base_models.clips.audio_files.containers.other_formats import (
    MAX_SECONDS,
    decoded,
    is_start_alone,
)
from base_models.clips.audio_files.decoder_messages import QuietSoundFile
from base_models.clips.audio_files.open_file import held_file, regular_file
from base_models.clips.audio_files.readable import AS_IT_IS, Readable
from base_models.clips.segments.reference import segment_of
from base_models.clips.segments.sound_part import SoundPart
from base_models.errors import ClipError, machine_fault

# Frames per read; fixed, since decoding MP3 in portions of another size differs in the
# last bits.
FRAMES_PER_READ = 65_536

# Length that a clip has at least.
MIN_SECONDS = 0.1

MIN_RATE = 1_000
MAX_RATE = 384_000
MAX_CHANNELS = 32

# Largest magnitude of a sample; full scale is 1.
MAX_VALUE = 1e4

# Tolerance in MPEG frames, about 0.2 s: encoder delay and padding, and the rounding of
# an estimated length.
_SLACK_FRAMES = 8

_UNKNOWN_LENGTH = 2**62
_SUBTYPES = (
    "PCM_",
    "FLOAT",
    "DOUBLE",
    "ULAW",
    "ALAW",
    "IMA_ADPCM",
    "MS_ADPCM",
    "ALAC_",
    "VORBIS",
    "OPUS",
    "MPEG_",
)


@contextlib.contextmanager
def open_audio(
    path: str | os.PathLike[str],
    is_held: bool = False,
) -> Iterator[tuple[int, QuietSoundFile | SoundPart]]:
    """Descriptor of an audio file with a checked container, and a decoder that uses it.

    The decoder of a segment gives the frames of the segment alone.
    Whatever the decoder raises while the file is open becomes a `ClipError`. What is
    held cannot change meanwhile, see `open_file.held_file`.
    """
    opened = held_file if is_held else regular_file
    with opened(path) as (handle, size):
        name = os.fspath(path)
        try:
            readable = check_container(handle, size)
            with _decoder(handle, readable) as sound:
                _check_format(sound)
                segment = segment_of(name)
                yield handle, sound if segment is None else SoundPart(sound, segment)
        except ClipError as error:
            raise ClipError(f"{name!r}: {error}", status=error.status) from error
        except (
            soundfile.SoundFileError,
            RuntimeError,
            ValueError,
            TypeError,
            MemoryError,
        ) as error:
            # A reason goes into tables and reports, so it has to be one line.
            reason = " ".join(str(getattr(error, "error_string", error)).split())
            raise machine_fault(error, name) or ClipError(
                f"{name!r} cannot be decoded: {reason}"
            ) from error


@contextlib.contextmanager
def _decoder(handle: int, readable: Readable) -> Iterator[QuietSoundFile]:
    """A decoder of an open file, or of its mended copy."""
    with contextlib.ExitStack() as stack:
        if readable.foreign:
            source = stack.enter_context(decoded(handle, readable.foreign))
        else:
            source = stack.enter_context(readable.opened(handle))
        try:
            sound = QuietSoundFile(source)
        except soundfile.LibsndfileError:
            tagged = mpeg.behind_empty_tag(handle) if readable == AS_IT_IS else None
            if tagged is None:
                raise
            source = stack.enter_context(tagged.opened(handle))
            sound = QuietSoundFile(source)
        if readable.foreign:
            sound.is_start_alone = is_start_alone(sound.frames, sound.samplerate)
        yield stack.enter_context(sound)


def _check_format(sound: soundfile.SoundFile) -> None:
    """Refuse a codec, rate, number of channels or length outside the legal range."""
    is_mpeg_elsewhere = sound.subtype.startswith("MPEG_") and sound.format != "MP3"
    if is_mpeg_elsewhere or not sound.subtype.startswith(_SUBTYPES):
        raise ClipError(
            f"codec {sound.format} {sound.subtype} is not supported; "
            "convert it to PCM, float or FLAC",
            status=UNSUPPORTED,
        )
    if not MIN_RATE <= sound.samplerate <= MAX_RATE:
        raise ClipError(
            f"a sample rate of {sound.samplerate} Hz is not supported; "
            f"legal are {MIN_RATE} to {MAX_RATE} Hz",
            status=UNSUPPORTED,
        )
    if not 1 <= sound.channels <= MAX_CHANNELS:
        raise ClipError(
            f"{sound.channels} channels are not supported; "
            f"legal are 1 to {MAX_CHANNELS}",
            status=UNSUPPORTED,
        )
    if sound.frames == 0:
        raise ClipError("it holds no samples", status=EMPTY)
    # soundfile cannot read a file of unknown length to its end.
    if sound.frames >= _UNKNOWN_LENGTH:
        raise ClipError(
            "its header does not declare a length, as if written to a pipe; "
            "save it again as a regular file",
            status=UNSUPPORTED,
        )


# ---- the checks while it is decoded


def checked_chunks(
    handle: int,
    sound: QuietSoundFile | SoundPart,
    n_wanted: int,
) -> Iterator[np.ndarray]:
    """Yield float32 portions of shape (n_frames, channels), each of them checked.

    They hold `n_wanted` frames in all, or as many as there are. Memory grows with what
    is decoded, never with what the header declares.
    """
    if sound.is_start_alone and n_wanted > sound.frames:
        raise ClipError(
            f"only its first {MAX_SECONDS / 60:g} minutes can be read; convert it, "
            "e.g. by ffmpeg -i IN OUT.flac",
            status=UNSUPPORTED,
        )
    if isinstance(sound, SoundPart):
        n_to_end = sound.start + min(n_wanted, sound.frames)
        tolerance = _length_tolerance(handle, sound.whole, n_to_end)
    else:
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
        raise ClipError("it holds no samples", status=EMPTY)
    if n_read < n_expected:
        raise ClipError(
            f"cut off: it declares {sound.frames:,} frames and decodes to {n_read:,}",
            status=TRUNCATED,
        )
    if n_read < min(n_wanted, MIN_SECONDS * sound.samplerate):
        raise ClipError(
            f"too short: {n_read / sound.samplerate:.3f} s; "
            f"at least {MIN_SECONDS} s are needed",
            status=TOO_SHORT,
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
    if counted.is_joined:
        raise ClipError(
            "MPEG frames of another format or sample rate follow the first ones, as in "
            "joined files; re-encode it, e.g. as FLAC"
        )
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
    # Both are NaN where any sample is.
    largest = max(float(chunk.max()), -float(chunk.min()))
    if not np.isfinite(largest):
        raise ClipError(f"NaN or infinite samples near {start_seconds:.1f} s")
    if largest > MAX_VALUE:
        raise ClipError(f"sample values up to {largest:.3g}; full scale is 1")
