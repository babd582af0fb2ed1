"""Which container a file is, by its first bytes, and whether it is whole.

Names and suffixes of files are never asked. What libsndfile reads is read here where
the container lets us tell a whole file from one that was cut off.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

from base_models.clip_status import UNSUPPORTED
from base_models.clips.audio_files.containers import chunks, mpeg
from base_models.clips.audio_files.containers.chunks import check_chunks
from base_models.clips.audio_files.containers.flac import check_flac
from base_models.clips.audio_files.containers.headers import (
    check_au,
    check_avr,
    check_nist,
    check_voc,
)
from base_models.clips.audio_files.containers.ogg import check_ogg
from base_models.clips.audio_files.readable import AS_IT_IS, Readable
from base_models.clips.audio_files.unchanged import OfUnchangedFiles
from base_models.errors import ClipError

KINDS = "WAV, RF64, W64, FLAC, OGG, MP3, AIFF, CAF, AU, NIST, VOC, SVX or AVR"
"""What is read without other libraries, for messages."""

_Check = Callable[[int, int], Readable]

# First bytes, bytes from the ninth on, and the check.
_CHECKS: tuple[tuple[bytes, bytes, _Check], ...] = (
    (b"RIFF", b"WAVE", partial(check_chunks, layout=chunks.WAV)),
    (b"RIFX", b"WAVE", partial(check_chunks, layout=chunks.BIG_ENDIAN_WAV)),
    (b"RF64", b"WAVE", partial(check_chunks, layout=chunks.WAV)),
    (b"riff\x2e\x91\xcf\x11", b"", partial(check_chunks, layout=chunks.W64)),
    (b"FORM", b"AIFF", partial(check_chunks, layout=chunks.AIFF)),
    (b"FORM", b"AIFC", partial(check_chunks, layout=chunks.AIFF)),
    (b"FORM", b"8SVX", partial(check_chunks, layout=chunks.SVX)),
    (b"FORM", b"16SV", partial(check_chunks, layout=chunks.SVX)),
    (b"caff", b"", partial(check_chunks, layout=chunks.CAF)),
    (b".snd", b"", check_au),
    (b"dns.", b"", check_au),
    (b"NIST_1A", b"", check_nist),
    (b"Creative Voice File", b"", check_voc),
    (b"2BIT", b"", check_avr),
)

# Containers that libsndfile reads, but which do not say how long they are, or hold
# instruments or matrices.
_UNREAD = (
    (b"\x64\xa3", "IRCAM"),
    (b" paf", "PAF"),
    (b"fap ", "PAF"),
    (b"PVF1", "PVF"),
    (b"MATLAB 5.0", "MATLAB"),
    (b"Extended Instrument: ", "XI"),
    (b"ALawSoundFile", "Psion"),
    (b"\xf0\x7e", "MIDI sample dump"),
)

# Kinds that an optional reader decodes, by an offset and the bytes there.
_OPTIONAL = (
    (4, b"ftyp", "MP4 (M4A)"),
    (0, b"\x1a\x45\xdf\xa3", "WebM or Matroska"),
)

# Files of other kinds of audio.
_FOREIGN = (
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "Windows Media"),
    (0, b"ADIF", "ADIF (AAC)"),
    (0, b"#!AMR", "AMR"),
    (0, b"wvpk", "WavPack"),
    (0, b"MAC ", "APE"),
    (0, b"MPCK", "Musepack"),
    (0, b"MP+", "Musepack"),
    (0, b"TTA1", "TTA"),
    (0, b"DSD ", "DSF"),
    (0, b"FRM8", "DSDIFF"),
    (0, b"BW64", "BW64"),
    (0, b"FLV", "Flash video"),
)


_READABLE: OfUnchangedFiles[Readable] = OfUnchangedFiles()


def check_container(handle: int, size: int) -> Readable:
    """Refuse unknown containers, and those that hold less than they declare.

    Returns
    -------
    readable : Readable
        What the decoder is to be given.
    """
    # Segments of a file are many, and to check it may take a walk through all of it.
    return _READABLE.of(handle, lambda: _checked(handle, size))


def _checked(handle: int, size: int) -> Readable:
    head = os.pread(handle, 64, 0)
    for magic, form, check in _CHECKS:
        if head.startswith(magic) and head[8:].startswith(form):
            return check(handle, size)

    # FLAC and MP3 files may begin with a tag.
    start = mpeg.skip_id3(handle, 0)
    behind_tags = os.pread(handle, 4, start)
    if behind_tags == b"fLaC":
        return check_flac(handle, start)
    if behind_tags == b"OggS":
        check_ogg(handle, size)
        return AS_IT_IS

    foreign = _optional_kind(head)
    if foreign:
        return Readable(foreign=foreign)
    _refuse_known(head)
    readable = mpeg.check_mpeg(handle, size)
    if readable is None:
        raise ClipError(f"not audio of a known kind ({KINDS}), by its first bytes")
    return readable


def _optional_kind(head: bytes) -> str:
    """The kind of a file that only an optional reader decodes; "" for others."""
    # The header of a frame of AAC is that of MPEG but for its layer, which is 0.
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0:
        return "AAC"
    for at, magic, name in _OPTIONAL:
        if head[at:].startswith(magic):
            return name
    return ""


def _refuse_known(head: bytes) -> None:
    """Name what the file is, where it is known to be no audio that is read."""
    for magic, name in _UNREAD:
        if head.startswith(magic):
            raise ClipError(
                f"{name} files are not read, since a cut-off one cannot be told from a "
                "whole one; convert it to WAV or FLAC, e.g. by sox IN OUT.wav",
                status=UNSUPPORTED,
            )
    kinds = [name for at, magic, name in _FOREIGN if head[at:].startswith(magic)]
    if kinds:
        raise ClipError(
            f"{kinds[0]} audio is not read; convert it, e.g. by "
            f"ffmpeg -i IN OUT.flac (read are {KINDS})",
            status=UNSUPPORTED,
        )
