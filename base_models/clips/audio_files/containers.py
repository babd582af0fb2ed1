"""Which container a file is, by its first bytes, and whether it is whole."""

from __future__ import annotations

import os

from base_models.clips.audio_files import mpeg
from base_models.clips.audio_files.chunks import check_chunks
from base_models.clips.audio_files.ogg import check_last_page
from base_models.errors import ClipError


def check_container(handle: int, size: int) -> None:
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
        check_chunks(handle, size, byte_order="<", samples_name=b"data")
    elif is_aiff:
        check_chunks(handle, size, byte_order=">", samples_name=b"SSND")
    elif is_ogg:
        check_last_page(handle, size)
    elif not (is_flac or is_mpeg):
        raise ClipError(
            "not audio of a known kind (WAV, FLAC, OGG, MP3, AIFF), by its first bytes"
        )
