"""Bad and odd audio by name: empty, lying, damaged, of other kinds, and bombs."""

from __future__ import annotations

import io
import json
import os
import pickle
import socket
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
from torture.sound_files import (
    KINDS,
    RATE,
    chunk,
    encoded,
    fmt,
    noise,
    pcm,
    riff,
    sound_file,
)

READ = "read"
REFUSED = "refused"
EITHER = "read or refused"


class NamedAudio(NamedTuple):
    """A file that is bad or odd.

    Parameters
    ----------
    name : what it is
    make : callable
        Makes it at a path in an empty folder, and returns the name of the clip's audio.
    expected : what has to become of it
    """

    name: str
    make: Callable[[Path], str]
    expected: str


def named_audio() -> list[NamedAudio]:
    """All of them, always in the same order."""
    return [
        *_empty_ones(),
        *_lying_ones(),
        *_cut_ones(),
        *_damaged_ones(),
        *_other_kinds(),
        *_odd_ones(),
        *_odd_samples(),
        *_bombs(),
        *_odd_names(),
        *_no_files(),
    ]


def _of(name: str, data: bytes, expected: str = REFUSED) -> NamedAudio:
    def make(path: Path) -> str:
        path.write_bytes(data)
        return str(path)

    return NamedAudio(name, make, expected)


def _empty_ones() -> Iterator[NamedAudio]:
    header = riff(fmt(), chunk(b"data", b""))
    yield _of("no byte", b"")
    for size in (1, 4, 11, 12, 43):
        yield _of(f"{size} bytes of a header", header[:size])
    yield _of("header only", header)
    yield _of("junk only", riff(chunk(b"JUNK", bytes(100))))
    yield _of("no fmt", riff(chunk(b"data", pcm(RATE))))
    yield _of("id3 only", b"ID3\4\0\0\0\0\0\x7f" + bytes(127))
    yield _of("zeros", bytes(100_000))
    yield _of("ones", b"\xff" * 100_000)
    ogg = sound_file("OGG", "VORBIS")
    second_page = ogg.index(b"OggS", 4)
    third_page = ogg.index(b"OggS", second_page + 4)
    yield _of("ogg with its first page only", ogg[:second_page])
    yield _of("ogg with headers only", ogg[:third_page])
    yield _of("flac with its header only", sound_file("FLAC")[:42])


def _lying_ones() -> Iterator[NamedAudio]:
    samples = pcm(RATE)
    n_bytes = len(samples)
    # The last two stand for unknown, as in streams.
    lengths = (2 * n_bytes, n_bytes + 2, 0x7FFF_FFFF, 0xFFFF_FFF0)
    for place, length in enumerate(lengths):
        data = chunk(b"data", samples, length=length)
        expected = READ if place > 1 else REFUSED
        yield _of(f"data of {length:,} declared", riff(fmt(), data), expected)
    for length in (0, 4, 100, 0x7FFF_FFFF):
        data = riff(fmt(), chunk(b"data", samples), length=length)
        yield _of(f"riff of {length:,} declared", data, EITHER)
    yield _of("odd length", riff(fmt(), chunk(b"data", samples[:-1])), EITHER)
    yield _of("align 0", riff(fmt(align=0), chunk(b"data", samples)), EITHER)
    yield _of("align 7", riff(fmt(align=7), chunk(b"data", samples)), EITHER)
    for channels in (0, 33, 1024, 65_535):
        header = fmt(channels=channels, align=2)
        yield _of(f"{channels} channels", riff(header, chunk(b"data", samples)))
    for rate in (0, 1, 999, 384_001, 2**31 - 1, 2**32 - 1):
        header = fmt(rate=rate)
        yield _of(f"{rate:,} Hz", riff(header, chunk(b"data", samples)))
    for bits in (0, 1, 7, 64, 65_535):
        header = fmt(bits=bits, align=2)
        yield _of(f"{bits} bits", riff(header, chunk(b"data", samples)), EITHER)
    for tag in (0, 2, 0x50, 0x55, 0xFFFE, 0xFFFF):
        header = fmt(tag)
        yield _of(f"codec {tag:#x}", riff(header, chunk(b"data", samples)), EITHER)
    data = chunk(b"data", samples)
    yield _of("two data", riff(fmt(), data, data), EITHER)
    yield _of("two fmt", riff(fmt(), fmt(channels=2), data), EITHER)
    yield _of("fmt behind data", riff(data, fmt()), EITHER)
    junk = chunk(b"JUNK", b"")
    yield _of("100,000 chunks of junk", riff(fmt(), junk * 100_000, data), EITHER)
    nested = riff(fmt(), chunk(b"LIST", b"INFO" * 10_000), data)
    yield _of("a list of nothing", nested, EITHER)
    flac = sound_file("FLAC")
    for frames in (0, 5_000_000, 2**36 - 1):
        yield _of(
            f"flac of {frames:,} declared",
            _flac_declaring(flac, frames),
            EITHER if frames == 0 else REFUSED,
        )
    for name in ("RF64", "W64"):
        lie = bytearray(sound_file(name))
        at = lie.find(b"ds64") + 16 if name == "RF64" else 16
        lie[at : at + 8] = struct.pack("<Q", 2**62)
        # As of streams, whose length is unknown.
        yield _of(f"{name} of 2^62 bytes", bytes(lie), READ)


def _flac_declaring(flac: bytes, frames: int) -> bytes:
    data = bytearray(flac)
    # 36 bits behind rate, channels and width.
    packed = int.from_bytes(data[18:26], "big")
    packed = packed >> 36 << 36 | frames
    data[18:26] = packed.to_bytes(8, "big")
    return bytes(data)


def _cut_ones() -> Iterator[NamedAudio]:
    for form, codec in (
        ("WAV", "PCM_16"),
        ("FLAC", "PCM_16"),
        ("OGG", "VORBIS"),
        ("MP3", "MPEG_LAYER_III"),
        ("AIFF", "PCM_16"),
        ("W64", "PCM_16"),
    ):
        whole = sound_file(form, codec, seconds=2.0)
        for share in (0.1, 0.5, 0.9):
            cut = whole[: int(share * len(whole))]
            yield _of(f"{form} cut at {share:.0%}", cut)


def _damaged_ones() -> Iterator[NamedAudio]:
    rng = np.random.default_rng(5)
    for form, codec in KINDS[::3]:
        data = bytearray(sound_file(form, codec))
        for _ in range(20):
            data[int(rng.integers(12, len(data)))] ^= 1 << int(rng.integers(8))
        yield _of(f"{form} {codec} with 20 flips", bytes(data), EITHER)
    for form, codec in (("FLAC", "PCM_16"), ("MP3", "MPEG_LAYER_III")):
        whole = sound_file(form, codec)
        other = sound_file(form, codec, rate=44_100, seed=1)
        yield _of(f"two {form} in one", whole + other)
        yield _of(f"{form} spliced", whole[: len(whole) // 2] + other[99:])
    ogg = sound_file("OGG", "VORBIS")
    other = sound_file("OGG", "VORBIS", rate=8_000, seed=1)
    yield _of("chained ogg of two rates", ogg + other)
    tail = sound_file() + b"\0" * 100
    yield _of("padding behind a wav", tail, EITHER)


def _other_kinds() -> Iterator[NamedAudio]:
    text = b"This is no sound. " * 1_000
    yield _of("text", text)
    yield _of("html", b"<!DOCTYPE html><html><title>404</title></html>" * 50)
    yield _of("png", b"\x89PNG\r\n\x1a\n" + bytes(5_000))
    yield _of("jpeg", b"\xff\xd8\xff\xe0\0\x10JFIF" + bytes(5_000))
    yield _of("pickle", pickle.dumps(list(range(5_000))))
    yield _of("json", json.dumps(list(range(5_000))).encode())
    yield _of("elf", b"\x7fELF" + bytes(5_000))
    yield _of("midi", b"MThd\0\0\0\6\0\1\0\1\0\x60" + bytes(500))
    with io.BytesIO() as file:
        np.save(file, np.zeros(5_000))
        yield _of("npy", file.getvalue())
    with io.BytesIO() as file:
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("a.wav", sound_file())
        yield _of("zip", file.getvalue())
    for magic, name in (
        (b"\x64\xa3\1\0", "ircam"),
        (b"PVF1\n", "pvf"),
        (b"MATLAB 5.0 MAT-file", "matlab"),
        (b"Extended Instrument: ", "xi"),
        (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "windows media"),
        (b"#!AMR\n", "amr"),
        (b"wvpk", "wavpack"),
        (b"MAC ", "ape"),
        (b"DSD ", "dsf"),
        (b"FLV\1", "flash"),
        (b"\0\0\0\x20ftypM4A ", "m4a that is none"),
        (b"\x1a\x45\xdf\xa3", "webm that is none"),
        (b"\xff\xf1\x50\x80", "aac that is none"),
    ):
        yield _of(name, magic + bytes(5_000))


def _odd_ones() -> Iterator[NamedAudio]:
    for form, codec in KINDS:
        yield _of(f"{form} {codec}", sound_file(form, codec), READ)
    for rate in (8_000, 11_025, 44_100, 96_000, 192_000, 384_000):
        yield _of(f"wav of {rate:,} Hz", sound_file(rate=rate), READ)
    for channels in (2, 6, 8, 32):
        yield _of(f"wav of {channels} channels", sound_file(channels=channels), READ)
    yield _of("one sample", encoded(noise(1)))
    yield _of("10 ms", encoded(noise(RATE // 100)))
    yield _of("0.1 s", encoded(noise(RATE // 10)), EITHER)
    yield _of("five minutes", sound_file(seconds=300), READ)
    extra = riff(chunk(b"JUNK", bytes(99)), fmt(), chunk(b"data", pcm(RATE)))
    yield _of("junk before fmt", extra, READ)


def _odd_samples() -> Iterator[NamedAudio]:
    n_frames = RATE

    def of(name: str, samples: np.ndarray, expected: str) -> NamedAudio:
        return _of(name, encoded(samples, codec="FLOAT"), expected)

    quiet = noise(n_frames)[:, 0].astype(np.float32)
    yield of("digital silence", np.zeros(n_frames), READ)
    yield of("constant offset", np.ones(n_frames), READ)
    yield of("square at full scale", np.sign(quiet), READ)
    for size in (1e-30, 1e-42, 1.5):
        yield of(f"samples of {size:g}", quiet * np.float32(size * 10), READ)
    for size in (1e5, 1e30, 1e38):
        yield of(f"samples of {size:g}", quiet * np.float32(size), REFUSED)
    for value in (np.nan, np.inf, -np.inf):
        for place in (0, n_frames // 2, n_frames - 1):
            samples = quiet.copy()
            samples[place] = value
            yield of(f"{value} at {place}", samples, REFUSED)
    with io.BytesIO() as file:
        stereo = np.stack([quiet, -quiet], axis=1)
        soundfile.write(file, stereo, RATE, format="WAV", subtype="FLOAT")
        yield _of("channels that cancel", file.getvalue(), READ)


def _bombs() -> Iterator[NamedAudio]:
    silence = encoded(np.zeros((600 * 44_100, 2), np.int16), "FLAC", rate=44_100)
    yield _of("ten minutes of silence in a small flac", silence, READ)

    def sparse(name: str, header: bytes, size: int, expected: str) -> NamedAudio:
        def make(path: Path) -> str:
            path.write_bytes(header)
            os.truncate(path, size)
            return str(path)

        return NamedAudio(name, make, expected)

    n_bytes = 2**31 - 2**10
    header = riff(fmt(), chunk(b"data", b"", length=n_bytes - 44), length=n_bytes - 8)
    yield sparse("2 GB of silence with a hole", header, n_bytes, EITHER)
    yield sparse("20 GB of silence that is no audio", b"", 20 << 30, REFUSED)
    yield sparse("20 GB behind a wav", sound_file(), 20 << 30, REFUSED)
    yield sparse("20 GB behind an ogg", sound_file("OGG", "VORBIS"), 20 << 30, REFUSED)
    mp3 = sound_file("MP3", "MPEG_LAYER_III")
    yield sparse("20 GB behind an mp3", mp3, 20 << 30, REFUSED)
    yield sparse(
        "20 GB behind an id3 tag", b"ID3\4\0\0\x7f\x7f\x7f\x7f", 20 << 30, REFUSED
    )


def _odd_names() -> Iterator[NamedAudio]:
    names = {
        "space": b"a b.wav",
        "dash": b"-rf.wav",
        "quotes": b"'\".wav",
        "newline": b"a\nb.wav",
        "tab": b"a\tb.wav",
        "escape": b"a\x1b[31mb.wav",
        "bell": b"a\x07.wav",
        "emoji": "a\N{GRINNING FACE}.wav".encode(),
        "right to left": "a\N{RIGHT-TO-LEFT OVERRIDE}vaw.b.wav".encode(),
        "zero width": "a\N{ZERO WIDTH SPACE}b.wav".encode(),
        "decomposed": "e\N{COMBINING ACUTE ACCENT}.wav".encode(),
        "latin-1": b"caf\xe9.wav",
        "bytes": bytes(range(128, 250)) + b".wav",
        "255 bytes": b"x" * 251 + b".wav",
        "glob": b"*.wav",
        "per cent": b"%s%n.wav",
        "markup": b"[b]x[.wav",
        "html": b"<script>x<.wav",
        "formula": b"=cmd|x.wav",
        "no suffix": b"audio",
        "dots": b"...wav",
        "hash": b"a#1.wav",
        "tilde": b"~.wav",
        "device": b"CON.wav",
    }
    for name, raw in names.items():

        def make(path: Path, raw: bytes = raw) -> str:
            item = os.path.join(os.fsencode(path.parent), raw)
            with open(item, "wb") as file:
                file.write(sound_file())
            return os.fsdecode(item)

        yield NamedAudio(f"name with {name}", make, READ)
    yield NamedAudio("name of nothing", lambda _: "", REFUSED)
    yield NamedAudio("name with NUL", lambda path: f"{path}\0.wav", REFUSED)
    yield NamedAudio("name too long", lambda path: f"{path}{'x' * 5_000}", REFUSED)
    yield NamedAudio("part that is not there", _part_beyond, REFUSED)
    yield NamedAudio("row of no table", _row_of_no_table, REFUSED)


def _part_beyond(path: Path) -> str:
    path.write_bytes(sound_file())
    return f"{path}#t=100,200"


def _row_of_no_table(path: Path) -> str:
    table = path.with_suffix(".parquet")
    table.write_bytes(sound_file())
    return f"{table}#0"


def _no_files() -> Iterator[NamedAudio]:
    def nothing(path: Path) -> str:
        return str(path)

    def folder(path: Path) -> str:
        path.mkdir()
        return str(path)

    def fifo(path: Path) -> str:
        os.mkfifo(path)
        return str(path)

    def bound_socket(path: Path) -> str:
        # A socket has a short path.
        place = os.getcwd()
        os.chdir(path.parent)
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
        os.chdir(place)
        return str(path)

    def link_to(target: str) -> Callable[[Path], str]:
        def make(path: Path) -> str:
            path.symlink_to(target)
            return str(path)

        return make

    yield NamedAudio("no file", nothing, REFUSED)
    yield NamedAudio("folder", folder, REFUSED)
    yield NamedAudio("fifo", fifo, REFUSED)
    yield NamedAudio("socket", bound_socket, REFUSED)
    for target in ("/dev/zero", "/dev/urandom", "/dev/null", "nowhere", "bad.wav"):
        yield NamedAudio(f"link to {target}", link_to(target), REFUSED)
    yield NamedAudio("file of proc", link_to("/proc/self/status"), REFUSED)
