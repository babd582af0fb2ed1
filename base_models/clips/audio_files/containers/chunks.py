"""Whether a file made of chunks (WAV, RF64, W64, AIFF, CAF, SVX) is whole.

libsndfile shortens a chunk of samples that runs past the end of the file, without an
error. What the header declares is therefore compared with what is there.

A program that writes into a pipe cannot know the length beforehand: it writes a
placeholder and cannot return to correct it. Such a file is read to its end. The rule:
a declared length that is more than the file holds is a placeholder where it is one of
`PLACEHOLDERS`, or less than `PLACEHOLDER_MARGIN` bytes below one (some programs
subtract their header or round down to whole frames); in 64 bits, where it is at least
2**62. A length of 0 is one where what follows is not a chain of chunks up to the end of
the file. Any other length that the file does not hold means that the file was cut off.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass

from base_models.clip_status import EMPTY, TRUNCATED, UNSUPPORTED
from base_models.clips.audio_files.readable import AS_IT_IS, Patch, Readable
from base_models.errors import ClipError

PLACEHOLDERS = (
    0xFFFF_FFFF,
    0x8000_0000,
    # sox: in WAV, and in AIFF
    0x7FFF_F000,
    0x7F00_0008,
    2_000_000_000,
)
"""Lengths that programs write who do not know the length, in 32 bits."""
PLACEHOLDER_MARGIN = 512

_UNKNOWN_64 = 2**62

# Of WAV files: PCM, float, A-law, mu-law, two kinds of ADPCM, and extensible, whose
# real codec is in its subtype.
_WAV_CODECS = (1, 2, 3, 6, 7, 0x11, 0xFFFE)

# A file with more chunks than this before its samples is refused as damaged.
_MAX_HEADER_CHUNKS = 1_000

MAX_TRAILING = 1 << 16
"""Bytes of no known kind that may follow the samples, such as a tag."""

_JOINED = (b"RIFF", b"RF64", b"RIFX", b"FORM", b"riff", b"caff")


@dataclass(frozen=True)
class ChunkLayout:
    """How the chunks of a container are written.

    Parameters
    ----------
    name : str
        Of the container, for messages.
    header : struct.Struct
        Of a chunk: its name and its length.
    first : int
        Where the first chunk begins.
    samples_name : bytes
        Of the chunk with the samples.
    align : int
        Every chunk begins at a multiple of this many bytes.
    counts_header : bool
        Whether the length of a chunk includes its header.
    before_samples : int
        Bytes in the chunk before its first sample.
    """

    name: str
    header: struct.Struct
    first: int
    samples_name: bytes
    align: int = 2
    counts_header: bool = False
    before_samples: int = 0

    def length_field(self, length: int) -> bytes:
        """The bytes of a chunk's length field that say so many bytes of body."""
        if self.counts_header:
            length += self.header.size
        width = self.header.size - len(self.samples_name)
        in_order = length.to_bytes(width, "big")
        return in_order[::-1] if self.header.format.startswith("<") else in_order


WAV = ChunkLayout("WAV", struct.Struct("<4sI"), 12, samples_name=b"data")
BIG_ENDIAN_WAV = ChunkLayout("WAV", struct.Struct(">4sI"), 12, samples_name=b"data")
AIFF = ChunkLayout(
    "AIFF", struct.Struct(">4sI"), 12, samples_name=b"SSND", before_samples=8
)
SVX = ChunkLayout("SVX", struct.Struct(">4sI"), 12, samples_name=b"BODY")
CAF = ChunkLayout(
    "CAF", struct.Struct(">4sQ"), 8, samples_name=b"data", align=1, before_samples=4
)
# Names of W64 chunks are 16 bytes, of which the last 12 are the same in most.
W64 = ChunkLayout(
    "W64",
    struct.Struct("<16sQ"),
    40,
    samples_name=b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a",
    align=8,
    counts_header=True,
)


def check_chunks(handle: int, size: int, layout: ChunkLayout) -> Readable:
    """Compare the declared size of a file's samples with what it holds.

    Returns
    -------
    readable : Readable
        What the decoder is to be given: the file as it is, or one whose placeholder is
        replaced by the length.

    Raises
    ------
    ClipError
        When the file is cut off, holds no samples, or holds more than it declares.
    """
    offset = layout.first
    width = layout.header.size
    long_length: int | None = None
    long_at: int | None = None
    frames_at: int | None = None

    for _ in range(_MAX_HEADER_CHUNKS):
        # Lengths of 64 bits may lead beyond what can be asked for.
        header = os.pread(handle, width, min(offset, size))
        if len(header) < width:
            raise ClipError(
                "it holds no samples: the header is cut off", status=TRUNCATED
            )
        name, length = layout.header.unpack(header)
        body_at = offset + width
        body = os.pread(handle, 16, body_at)

        if name == b"ds64" and len(body) == 16:
            (long_length,) = struct.unpack("<Q", body[8:])
            long_at = body_at + 8
        if name == b"fmt " and len(body) == 16:
            _check_wav_codec(layout, body)
        if name == b"COMM":
            frames_at = body_at + 2

        if name == layout.samples_name:
            # RF64 has 0xFFFFFFFF here where the size in its ds64 chunk counts.
            if length == 0xFFFF_FFFF and long_length is not None:
                length = long_length
            elif layout.counts_header:
                length -= width
            samples = _Samples(
                body_at, length, size - body_at, long_at=long_at, frames_at=frames_at
            )
            return _check_samples(handle, layout, samples)

        if layout.counts_header:
            length = max(length - width, 0)
        offset = _next_chunk(layout, body_at + length)

    raise ClipError(
        f"it holds no samples among its first {_MAX_HEADER_CHUNKS} chunks", status=EMPTY
    )


@dataclass(frozen=True)
class _Samples:
    """Where the samples begin, how many bytes are declared, and how many are there.

    `long_at` and `frames_at` are the places of other fields that say the length: in
    64 bits in RF64, and as a number of frames in AIFF.
    """

    start: int
    declared: int
    present: int
    long_at: int | None
    frames_at: int | None


def _check_samples(handle: int, layout: ChunkLayout, samples: _Samples) -> Readable:
    """What to decode of a file, once its samples are found; see `check_chunks`."""
    end = samples.start + samples.declared
    behind = _next_chunk(layout, end)
    is_empty = samples.declared <= layout.before_samples
    if is_empty and samples.present > layout.before_samples:
        is_streamed = not _are_chunks(handle, layout, behind)
    else:
        is_streamed = is_placeholder(samples.declared, samples.present)

    if is_streamed:
        if is_empty:
            refuse_joined(os.pread(handle, 16, behind), layout.name)
        return _with_length(layout, samples)
    if not 0 <= samples.declared <= samples.present:
        raise ClipError(
            f"cut off: it declares {samples.declared:,} bytes of samples "
            f"and holds {samples.present:,}",
            status=TRUNCATED,
        )
    if not _are_chunks(handle, layout, behind):
        check_trailing(handle, end, layout.name)
    return AS_IT_IS


def is_placeholder(declared: int, present: int) -> bool:
    """Whether a length was written by a program that did not know it.

    >>> is_placeholder(0xFFFF_FFFF, 1000), is_placeholder(0xFFFF_FFDB, 1000)
    (True, True)
    >>> is_placeholder(64_000, 1000)
    False
    """
    if declared <= present:
        return False
    if declared >= _UNKNOWN_64:
        return True
    return any(0 <= known - declared < PLACEHOLDER_MARGIN for known in PLACEHOLDERS)


def _with_length(layout: ChunkLayout, samples: _Samples) -> Readable:
    """The same file with its real length in place of the placeholder."""
    width = layout.header.size - len(layout.samples_name)
    if samples.long_at is not None:
        length = samples.present.to_bytes(8, "little")
        return Readable(patches=(Patch(samples.long_at, length),))
    # libsndfile itself reads a WAV file to its end that declares too much, so that
    # only a length of 0 has to be mended, and that in 32 bits.
    is_wav = layout.samples_name == b"data" and width == 4
    if is_wav and (samples.declared > 0 or samples.present >= 0xFFFF_FFFF):
        return AS_IT_IS
    patches = [Patch(samples.start - width, layout.length_field(samples.present))]
    # libsndfile takes the lesser of both lengths of an AIFF file, so that the largest
    # number leaves it to the chunk of samples.
    if layout is AIFF and samples.frames_at is not None:
        patches.append(Patch(samples.frames_at, b"\x7f\xff\xff\xff"))
    return Readable(patches=tuple(patches))


def _next_chunk(layout: ChunkLayout, end: int) -> int:
    """Where the chunk behind one that ends at `end` begins."""
    return end + -end % layout.align


def _are_chunks(handle: int, layout: ChunkLayout, offset: int) -> bool:
    """Whether there are only whole chunks from an offset up to the end of the file."""
    size = os.fstat(handle).st_size
    width = layout.header.size
    while offset + width <= size:
        name, length = layout.header.unpack(os.pread(handle, width, offset))
        is_name = all(32 <= byte < 127 for byte in name[:4])
        if not is_name or name[:4] in _JOINED:
            return False
        length = max(length - width, 0) if layout.counts_header else length
        offset = _next_chunk(layout, offset + width + length)
    # The pad byte of the last chunk is left out by many programs.
    return offset - layout.align <= size <= offset + width


def check_trailing(handle: int, end: int, name: str) -> None:
    """Refuse a file that holds more than it declares; a tag or padding may follow.

    Parameters
    ----------
    handle : int
    end : int
        Where what is declared ends.
    name : str
        Of the container.
    """
    n_left = os.fstat(handle).st_size - end
    # Some chunks are followed by a pad byte.
    start = os.pread(handle, 17, end)
    refuse_joined(start, name)
    refuse_joined(start[1:], name)
    if n_left > MAX_TRAILING and not _is_padding(handle, end):
        raise ClipError(
            f"{n_left:,} bytes follow the samples that its header declares, as in "
            "joined files; save it again, e.g. as FLAC"
        )


def refuse_joined(start: bytes, name: str) -> None:
    """Refuse a file in which another one begins with these bytes."""
    if start.startswith((*_JOINED, b".snd", b"dns.")):
        raise ClipError(
            f"a second {name} file follows the first, and only that would be read; "
            "join their samples instead, e.g. by sox FIRST SECOND OUT.wav",
            status=UNSUPPORTED,
        )


def _is_padding(handle: int, offset: int) -> bool:
    """Whether there are only zeros from an offset to the end of the file."""
    while block := os.pread(handle, 1 << 20, offset):
        if block.strip(b"\0"):
            return False
        offset += len(block)
    return True


def _check_wav_codec(layout: ChunkLayout, format_body: bytes) -> None:
    order = layout.header.format[0]
    (codec,) = struct.unpack(f"{order}H", format_body[:2])
    if codec not in _WAV_CODECS:
        raise ClipError(
            f"WAV codec {codec} is not supported; convert it to PCM or float",
            status=UNSUPPORTED,
        )
