"""Files that libsndfile does not read (M4A, AAC, WebM), by PyAV where it is installed.

PyAV brings FFmpeg's decoders, which are large; it is therefore an extra, ``av``. What
it decodes is put into a file in memory, from where everything else goes its usual way.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterator
from typing import Any

from base_models.clip_status import EMPTY, TRUNCATED, UNSUPPORTED
from base_models.clips.audio_files.readable import file_in_memory, write_all
from base_models.errors import ClipError
from base_models.optional_libraries import (
    EXTRA_OF_LIBRARY,
    LazyLibrary,
    install_command_of,
    is_installed,
)

MAX_SECONDS = 15 * 60.0
"""More is not decoded, as it is kept in memory; see `is_start_alone`."""

# Encoders of these formats pad the last frame, and containers round the length.
_SLACK_SECONDS = 0.1

# Times of frames are rounded, in live recordings to where they were heard. The shortest
# usual packet that is missed has 20 ms, and a few of them are.
_GAP_SECONDS = 0.05

_SEGMENT = b"\x18\x53\x80\x67"

_AU_FLOAT = 6
_AU_UNKNOWN = 0xFFFF_FFFF


@contextlib.contextmanager
def decoded(handle: int, kind: str) -> Iterator[int]:
    """A descriptor of the same audio as an AU file of float samples.

    Parameters
    ----------
    handle : int
        Of the file.
    kind : str
        What it is, for messages.

    Raises
    ------
    ClipError
        When PyAV is not installed, the file holds no audio, cannot be decoded or holds
        less than it declares.
    """
    if not is_installed("av"):
        command = install_command_of(EXTRA_OF_LIBRARY["av"])
        raise ClipError(
            f"{kind} audio needs an optional reader: {command}; or convert it, e.g. by "
            "ffmpeg -i IN OUT.flac",
            status=UNSUPPORTED,
        )
    if kind.startswith("MP4"):
        _check_boxes(handle)
    elif kind == "AAC":
        _check_adts(handle)
    else:
        _check_segment(handle)
    copy = file_in_memory()
    try:
        _decode_into(handle, copy)
        os.lseek(copy, 0, os.SEEK_SET)
        yield copy
    finally:
        os.close(copy)


def _decode_into(handle: int, copy: int) -> None:
    """Write what PyAV decodes of a file into another one."""
    # Without types, as it may not be installed where types are checked.
    av: Any = LazyLibrary("av")
    with os.fdopen(os.dup(handle), "rb") as file:
        file.seek(0)
        try:
            with av.open(file) as container:
                _write_stream(av, container, copy)
        except av.error.FFmpegError as error:
            reason = " ".join(str(error.strerror or error).split())
            raise ClipError(f"it cannot be decoded: {reason}") from error


def _write_stream(av: Any, container: Any, copy: int) -> None:
    if not container.streams.audio:
        raise ClipError("it holds no audio", status=EMPTY)
    stream = container.streams.audio[0]
    rate = int(stream.rate)
    n_channels = int(stream.codec_context.channels)
    header = (b".snd", 24, _AU_UNKNOWN, _AU_FLOAT, rate, n_channels)
    write_all(copy, struct.pack(">4s5I", *header))

    # Planar or not, of whatever type: made to float samples, frame by frame.
    as_float = av.AudioResampler(format="flt")
    n_frames = 0
    expected: float | None = None
    for frame in container.decode(stream):
        if n_frames > MAX_SECONDS * rate:
            return
        _check_time(frame, expected)
        expected = _end_of(frame)
        for piece in as_float.resample(frame):
            samples = piece.to_ndarray().reshape(-1, n_channels)
            n_frames += len(samples)
            write_all(copy, samples.astype(">f4").tobytes())

    declared = _declared_seconds(av, container, stream)
    if n_frames / rate < declared - _SLACK_SECONDS:
        raise ClipError(
            f"cut off: it declares {declared:.2f} s and decodes to "
            f"{n_frames / rate:.2f} s",
            status=TRUNCATED,
        )


def is_start_alone(n_frames: int, rate: int) -> bool:
    """Whether what `decoded` gives is the start of a file that goes on.

    Parameters
    ----------
    n_frames : int
        Length of what it gives.
    rate : int
        In Hz.
    """
    return n_frames > MAX_SECONDS * rate


def _check_time(frame: Any, expected: float | None) -> None:
    """Refuse a frame that does not follow the one before it.

    Decoders leave out packets that are damaged, and what is left sounds whole.

    Parameters
    ----------
    frame : av.AudioFrame
    expected : float or None
        When the one before it ends, in seconds.
    """
    if expected is None or frame.time is None:
        return
    if abs(frame.time - expected) > _GAP_SECONDS:
        raise ClipError(
            f"damaged: what follows {expected:.2f} s is of {frame.time:.2f} s; "
            "export it again, or re-encode it, e.g. by ffmpeg -i IN OUT.flac"
        )


def _end_of(frame: Any) -> float | None:
    if frame.time is None:
        return None
    return float(frame.time + frame.samples / frame.sample_rate)


def _declared_seconds(av: Any, container: Any, stream: Any) -> float:
    """Length that the file declares; 0 where it declares none."""
    # Of AAC without a container the length is but estimated.
    if container.format.name == "aac":
        return 0.0
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    if container.duration is not None:
        return float(container.duration / av.time_base)
    return 0.0


def _check_boxes(handle: int) -> None:
    """Refuse an MP4 file whose boxes do not end with the file."""
    size = os.fstat(handle).st_size
    offset = 0
    while offset < size:
        head = os.pread(handle, 16, offset)
        if len(head) < 8:
            break
        length = int.from_bytes(head[:4], "big")
        if length == 1 and len(head) == 16:
            length = int.from_bytes(head[8:], "big")
        if length == 0:
            # The last box may say that it goes on to the end.
            return
        if length < 8:
            break
        offset += length
    if offset != size:
        raise ClipError(
            f"cut off: its boxes declare {offset:,} bytes, and the file holds {size:,}",
            status=TRUNCATED,
        )


def _check_segment(handle: int) -> None:
    """Refuse a Matroska file whose segment is longer than the file."""
    head = os.pread(handle, 4_096, 0)
    at = head.find(_SEGMENT)
    if at < 0 or at + 12 > len(head):
        return
    # The number of leading zeros of a length is that of its further bytes.
    n_bytes = 9 - head[at + 4].bit_length()
    length = int.from_bytes(head[at + 4 : at + 4 + n_bytes], "big")
    value_bits = 7 * n_bytes
    length &= (1 << value_bits) - 1
    # All ones: unknown, of a file that was written into a pipe.
    if length == (1 << value_bits) - 1:
        return
    end = at + 4 + n_bytes + length
    size = os.fstat(handle).st_size
    if end > size:
        raise ClipError(
            f"cut off: its segment declares {end:,} bytes, and the file holds {size:,}",
            status=TRUNCATED,
        )


def _check_adts(handle: int) -> None:
    """Refuse a file of AAC frames that ends within a frame."""
    size = os.fstat(handle).st_size
    offset = 0
    while head := os.pread(handle, 7, offset):
        if len(head) == 7 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0:
            length = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
            offset += max(length, 7)
            continue
        # A tag may follow.
        if head[:3] in (b"TAG", b"APE", b"ID3"):
            return
        raise ClipError("damaged: there are bytes among its AAC frames that are none")
    if offset > size:
        raise ClipError("cut off: it ends within its last frame", status=TRUNCATED)
