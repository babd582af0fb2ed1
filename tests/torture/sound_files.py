"""Audio files of every kind that is read, which rows of the torture damage."""

from __future__ import annotations

import functools
import io
import struct

import numpy as np
import soundfile

RATE = 16_000
SECONDS = 0.5
KINDS: tuple[tuple[str, str], ...] = (
    ("WAV", "PCM_U8"),
    ("WAV", "PCM_16"),
    ("WAV", "PCM_24"),
    ("WAV", "PCM_32"),
    ("WAV", "FLOAT"),
    ("WAV", "DOUBLE"),
    ("WAV", "ULAW"),
    ("WAV", "ALAW"),
    ("WAV", "IMA_ADPCM"),
    ("WAV", "MS_ADPCM"),
    ("WAVEX", "PCM_16"),
    ("RF64", "PCM_16"),
    ("W64", "PCM_16"),
    ("AIFF", "PCM_16"),
    ("CAF", "PCM_16"),
    ("CAF", "ALAC_16"),
    ("AU", "PCM_16"),
    ("NIST", "PCM_16"),
    ("VOC", "PCM_16"),
    ("SVX", "PCM_16"),
    ("AVR", "PCM_16"),
    ("FLAC", "PCM_16"),
    ("FLAC", "PCM_24"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
    ("MP3", "MPEG_LAYER_III"),
)
"""Format and codec, as soundfile names them."""
LOSSLESS = {"PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ALAC_16"}


def noise(n_frames: int, channels: int = 1, seed: int = 0) -> np.ndarray:
    """Noise of shape (n_frames, channels), far below full scale."""
    return 0.1 * np.random.default_rng(seed).standard_normal((n_frames, channels))


@functools.lru_cache(maxsize=128)
def sound_file(
    form: str = "WAV",
    codec: str = "PCM_16",
    *,
    seconds: float = SECONDS,
    rate: int = RATE,
    channels: int = 1,
    seed: int = 0,
) -> bytes:
    """A whole file of noise."""
    samples = noise(round(seconds * rate), channels, seed)
    return encoded(samples, form, codec, rate)


def encoded(
    samples: np.ndarray, form: str = "WAV", codec: str = "PCM_16", rate: int = RATE
) -> bytes:
    """A file of these samples."""
    with io.BytesIO() as file:
        soundfile.write(file, samples, rate, format=form, subtype=codec)
        return file.getvalue()


def chunk(name: bytes, data: bytes, length: int | None = None) -> bytes:
    """A chunk of RIFF, which may lie about its length."""
    size = len(data) if length is None else length
    return name + struct.pack("<I", size) + data + bytes(len(data) % 2)


def riff(*chunks: bytes, length: int | None = None) -> bytes:
    """A WAV file of these chunks, which may lie about its length."""
    body = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body) if length is None else length) + body


def fmt(
    tag: int = 1,
    *,
    channels: int = 1,
    rate: int = RATE,
    bits: int = 16,
    align: int | None = None,
) -> bytes:
    """The chunk of a WAV file that says what the samples are."""
    block = channels * bits // 8 if align is None else align
    data = struct.pack(
        "<HHIIHH",
        tag,
        channels,
        rate,
        (rate * block) % 2**32,
        block % 2**16,
        bits,
    )
    return chunk(b"fmt ", data)


def pcm(n_frames: int, channels: int = 1) -> bytes:
    """Samples of 16 bits."""
    samples = noise(n_frames, channels)
    return (samples * 32_767).astype("<i2").tobytes()
