"""Whether files with one header before their samples (AU, NIST, VOC, AVR) are whole."""

from __future__ import annotations

import os
import re
import struct

from base_models.clip_status import TRUNCATED, UNSUPPORTED
from base_models.clips.audio_files.containers.chunks import (
    check_trailing,
    is_placeholder,
)
from base_models.clips.audio_files.readable import AS_IT_IS, Readable
from base_models.errors import ClipError

_AU_UNKNOWN = 0xFFFF_FFFF
_AVR_HEADER_BYTES = 128
_VOC_SAMPLES = (1, 2, 9)


def check_au(handle: int, size: int) -> Readable:
    """Compare the length that an AU file (``.snd``) declares with what it holds."""
    head = os.pread(handle, 12, 0)
    # The same format exists with either order of bytes, told apart by its first word.
    order = ">" if head[:4] == b".snd" else "<"
    if len(head) < 12:
        raise ClipError("it holds no samples: the header is cut off", status=TRUNCATED)
    start, declared = struct.unpack(f"{order}4xII", head)
    if declared != _AU_UNKNOWN:
        _check_length(handle, start, declared, name="AU")
    return AS_IT_IS


def check_nist(handle: int, size: int) -> Readable:
    """Compare the length that a NIST SPHERE file declares with what it holds."""
    header = os.pread(handle, 1024, 0).decode("latin-1")
    first_lines = header.split("\n", 2)
    if len(first_lines) < 3 or not first_lines[1].strip().isdigit():
        raise ClipError("it holds no samples: the header is cut off", status=TRUNCATED)
    # Fields as "sample_count -i 16000": -i says that an integer follows.
    fields = dict(re.findall(r"^(\w+) -i (\d+)", header, re.MULTILINE))
    if re.search(r"^sample_coding -s\d+ (ulaw|mu-law|alaw)", header, re.MULTILINE):
        # Companded samples have a byte each, which some programs do not write down.
        fields.setdefault("sample_n_bytes", "1")

    names = ("sample_count", "channel_count", "sample_n_bytes")
    if missing := [name for name in names if name not in fields]:
        raise ClipError(
            f"its header does not say {missing[0]}; save it again as WAV or FLAC"
        )
    declared = 1
    for name in names:
        declared *= int(fields[name])
    _check_length(handle, int(first_lines[1]), declared, name="NIST")
    return AS_IT_IS


def check_avr(handle: int, size: int) -> Readable:
    """Compare the length that an AVR file declares with what it holds."""
    head = os.pread(handle, 30, 0)
    if len(head) < 30:
        raise ClipError("it holds no samples: the header is cut off", status=TRUNCATED)
    is_stereo, bits, n_frames = struct.unpack(">12xHH10xI", head)
    declared = n_frames * (2 if is_stereo else 1) * bits // 8
    _check_length(handle, _AVR_HEADER_BYTES, declared, name="AVR")
    return AS_IT_IS


def check_voc(handle: int, size: int) -> Readable:
    """Refuse a VOC file whose blocks are not whole, or that has several of samples."""
    head = os.pread(handle, 26, 0)
    if len(head) < 26:
        raise ClipError("it holds no samples: the header is cut off", status=TRUNCATED)
    # The header says where the first block is; each block has its kind and length.
    offset = int.from_bytes(head[20:22], "little")
    n_blocks = 0
    while block := os.pread(handle, 4, offset):
        kind = block[0]
        # The block that ends the file has no length.
        if kind == 0:
            break
        length = int.from_bytes(block[1:4], "little")
        if len(block) < 4 or offset + 4 + length > size:
            raise ClipError(
                f"cut off: it declares {length:,} bytes of samples "
                f"and holds {max(size - offset - 4, 0):,}",
                status=TRUNCATED,
            )
        n_blocks += kind in _VOC_SAMPLES
        offset += 4 + length
    if n_blocks > 1:
        raise ClipError(
            "a VOC file of several blocks, of which only the first would be read; "
            "convert it to WAV or FLAC",
            status=UNSUPPORTED,
        )
    return AS_IT_IS


def _check_length(handle: int, start: int, declared: int, name: str) -> None:
    """Refuse a file that holds fewer bytes of samples than it declares.

    Raises
    ------
    ClipError
        also when it holds more, which is then said of the file's end.
    """
    present = os.fstat(handle).st_size - start
    if declared <= present:
        check_trailing(handle, start + declared, name)
    # A program that wrote into a pipe could not know the length.
    elif not is_placeholder(declared, present):
        raise ClipError(
            f"cut off: it declares {declared:,} bytes of samples and holds "
            f"{max(present, 0):,}",
            status=TRUNCATED,
        )
