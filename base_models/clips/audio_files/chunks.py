"""Whether a file made of chunks (WAV, RF64, AIFF) holds what it declares."""

from __future__ import annotations

import os
import struct

from base_models.errors import ClipError

# Of WAV files: PCM, float, and extensible, whose real codec is in its subtype.
_WAV_CODECS = (1, 3, 0xFFFE)

# A file with more chunks than this before its samples is refused as damaged.
_MAX_HEADER_CHUNKS = 1_000


def check_chunks(
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
