"""Every container is read whole, or refused; never in part."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import soundfile

from base_models.clips.audio import load_audio, probe
from base_models.clips.audio_files.containers.chunks import PLACEHOLDERS
from base_models.errors import ClipError

RATE = 16_000
N = 4_000
CHUNKED = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "CAF")
LOSSLESS = (*CHUNKED, "AU", "NIST", "VOC", "AVR", "FLAC")
CODECS = [
    *((kind, "ULAW") for kind in ("WAV", "WAVEX", "W64", "AIFF", "CAF", "AU", "NIST")),
    *((kind, "ALAW") for kind in ("WAV", "WAVEX", "W64", "AIFF", "CAF", "AU", "NIST")),
    ("WAV", "IMA_ADPCM"),
    ("WAV", "MS_ADPCM"),
    ("CAF", "ALAC_16"),
    ("CAF", "ALAC_24"),
    ("SVX", "PCM_16"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
]


def noise(channels=2, n=N):
    draws = np.random.default_rng(0).normal(size=(n, channels))
    return (np.cumsum(draws, axis=0) * 0.003).clip(-0.9, 0.9).astype(np.float32)


def encode(samples, kind="WAV", subtype=None) -> bytes:
    with io.BytesIO() as file:
        soundfile.write(file, samples, RATE, format=kind, subtype=subtype)
        return file.getvalue()


def streamed_wav(riff, data, samples=None) -> bytes:
    made = bytearray(encode(noise() if samples is None else samples))
    struct.pack_into("<I", made, 4, riff)
    struct.pack_into("<I", made, 40, data)
    return bytes(made)


@pytest.fixture
def save(tmp_path):
    def save(data: bytes):
        path = tmp_path / "clip.xyz"
        path.write_bytes(data)
        return path

    return save


@pytest.mark.parametrize("kind", LOSSLESS)
def test_lossless_containers_return_what_was_written(save, kind):
    samples = noise()
    path = save(encode(samples, kind, "PCM_16"))
    np.testing.assert_allclose(
        load_audio(path, RATE), samples.mean(axis=1), atol=2**-15
    )
    assert probe(path).seconds == N / RATE


@pytest.mark.parametrize(("kind", "codec"), CODECS)
def test_other_codecs_return_nearly_what_was_written(save, kind, codec):
    samples = noise(channels=1)
    read = load_audio(save(encode(samples, kind, codec)), RATE)
    assert 0 <= len(read) - N <= 600
    if kind != "OGG":
        error = read[:N] - samples[:, 0]
        assert np.sqrt(np.mean(error**2)) < 0.05 * np.sqrt(np.mean(samples**2))


@pytest.mark.parametrize(
    ("kind", "codec"), [*((kind, None) for kind in LOSSLESS), *CODECS]
)
def test_a_file_that_was_cut_anywhere_is_refused(save, kind, codec):
    whole = encode(noise(channels=1), kind, codec)
    n_all = len(load_audio(save(whole), RATE))
    places = np.unique(np.geomspace(1, len(whole) - 1, 14).astype(int))
    for n_lost in places:
        path = save(whole[: len(whole) - n_lost])
        try:
            # Only what stands behind the samples may be lacking.
            assert len(load_audio(path, RATE)) == n_all, n_lost
            assert n_lost <= 2, n_lost
        except ClipError:
            continue


@pytest.mark.parametrize("kind", LOSSLESS)
def test_damage_ends_in_samples_or_a_reason(save, kind):
    rng = np.random.default_rng(0)
    whole = encode(noise(), kind)
    for _ in range(20):
        data = bytearray(whole)
        for place in rng.integers(0, 120, size=2):
            data[place] ^= 1 << int(rng.integers(8))
        try:
            read = load_audio(save(bytes(data)), RATE)
        except ClipError:
            continue
        assert np.isfinite(read).all()


# ---- streams


@pytest.mark.parametrize(
    "length", [*PLACEHOLDERS, 0x7FFF_FFFF, 0xFFFF_FFDB, 0x7FFF_F000 - 24, 0]
)
@pytest.mark.parametrize("riff", [0xFFFF_FFFF, 0, 36, 0x7FFF_F024])
def test_a_streamed_wav_is_read_to_its_end(save, length, riff):
    samples = noise()
    path = save(streamed_wav(riff, length))
    read = load_audio(path, RATE)
    np.testing.assert_allclose(read, samples.mean(axis=1), atol=2**-15)
    assert probe(path).seconds == N / RATE


@pytest.mark.parametrize("length", [4 * N + 4, 8 * N, 1 << 20, 0xFFFF_F000, 3 << 30])
def test_any_other_length_that_is_not_there_means_cut_off(save, length):
    with pytest.raises(ClipError, match=f"cut off: it declares {length:,} bytes"):
        load_audio(save(streamed_wav(length + 36, length)), RATE)


def test_a_wav_without_samples_before_its_last_chunk_is_no_stream(save):
    empty = encode(noise()[:0])
    listed = empty + b"LIST" + struct.pack("<I", 8) + b"INFOabcd"
    with pytest.raises(ClipError, match="no samples"):
        load_audio(save(listed), RATE)


@pytest.mark.parametrize("length", [0, 0xFFFF_FFFF_FFFF_FFFF])
def test_a_streamed_rf64_is_read_to_its_end(save, length):
    data = bytearray(encode(noise(), "RF64"))
    struct.pack_into("<QQ", data, 20, length, length)
    assert len(load_audio(save(bytes(data)), RATE)) == N


@pytest.mark.parametrize("length", [0xFFFF_FFFF_FFFF_FFFF, 2**63 - 1])
def test_a_streamed_w64_is_read_to_its_end(save, length):
    data = bytearray(encode(noise(), "W64"))
    struct.pack_into("<Q", data, data.find(b"data") + 16, length)
    assert len(load_audio(save(bytes(data)), RATE)) == N


def test_a_streamed_caf_is_read_to_its_end(save):
    data = bytearray(encode(noise(), "CAF"))
    struct.pack_into(">q", data, data.find(b"data") + 4, -1)
    assert len(load_audio(save(bytes(data)), RATE)) == N


@pytest.mark.parametrize("length", [0, 0x7F00_0008])
def test_a_streamed_aiff_is_read_to_its_end(save, length):
    data = bytearray(encode(noise(), "AIFF"))
    struct.pack_into(">I", data, data.find(b"SSND") + 4, length)
    struct.pack_into(">I", data, data.find(b"COMM") + 10, length // 4)
    assert len(load_audio(save(bytes(data)), RATE)) == N


def test_a_streamed_au_is_read_to_its_end(save):
    data = bytearray(encode(noise(), "AU"))
    struct.pack_into(">I", data, 8, 0xFFFF_FFFF)
    assert len(load_audio(save(bytes(data)), RATE)) == N


def streamed_flac(n=N) -> bytes:
    """A FLAC that declares 0 samples: the last 36 bits of bytes 21..25."""
    data = bytearray(encode(noise(n=n), "FLAC"))
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    return bytes(data)


@pytest.mark.parametrize("n", [1_700, 4_096, 8_192, 30_001])
@pytest.mark.parametrize("tag", [b"", b"TAG" + bytes(125)])
def test_a_streamed_flac_is_as_long_as_its_last_frame_says(save, n, tag):
    path = save(streamed_flac(n) + tag)
    expected = noise(n=n).mean(axis=1)
    np.testing.assert_allclose(load_audio(path, RATE), expected, atol=2**-15)


def test_a_streamed_flac_that_was_cut_is_refused(save):
    data = streamed_flac(30_001)
    for n_lost in (1, 2, 7, 100, 5_000, len(data) // 2, len(data) - 200):
        with pytest.raises(ClipError, match=r"cut off|cannot be decoded"):
            load_audio(save(data[:-n_lost]), RATE)


# ---- joined files


@pytest.mark.parametrize("kind", ["WAV", "RF64", "W64", "AIFF", "CAF", "AU", "FLAC"])
def test_a_second_file_behind_the_first_is_refused(save, kind):
    data = encode(noise(), kind)
    with pytest.raises(ClipError, match=r"a second .* file follows the first"):
        load_audio(save(data + data), RATE)


@pytest.mark.parametrize("codec", ["VORBIS", "OPUS"])
def test_a_chain_of_ogg_streams_is_refused(save, codec):
    data = encode(noise(), "OGG", codec)
    with pytest.raises(ClipError, match="a chain of several OGG streams"):
        load_audio(save(data + data), RATE)


def test_a_missing_page_of_ogg_is_noticed(save):
    data = encode(noise(n=160_000), "OGG", "VORBIS")
    pages = [at for at in range(len(data)) if data[at : at + 4] == b"OggS"]
    assert len(pages) > 4
    lacking = data[: pages[3]] + data[pages[4] :]
    with pytest.raises(ClipError, match="page 3 of an OGG stream is missing"):
        load_audio(save(lacking), RATE)


@pytest.mark.parametrize("codec", ["VORBIS", "OPUS"])
def test_a_damaged_page_of_ogg_is_noticed(save, codec):
    """The decoder leaves it out, and reads a shorter clip."""
    rng = np.random.default_rng(0)
    whole = encode(noise(n=40_000), "OGG", codec)
    for place in rng.integers(0, len(whole), size=30):
        data = bytearray(whole)
        data[place] ^= 1 << int(rng.integers(8))
        with pytest.raises(ClipError, match=r"damaged|cut off|a chain|known kind"):
            load_audio(save(bytes(data)), RATE)


@pytest.mark.parametrize("kind", ["WAV", "AIFF", "FLAC", "AU"])
@pytest.mark.parametrize("behind", [b"TAG" + bytes(125), bytes(200_000)])
def test_a_tag_or_padding_behind_the_samples_is_no_second_file(save, kind, behind):
    assert len(load_audio(save(encode(noise(), kind) + behind), RATE)) == N


def test_much_more_than_is_declared_is_refused(save):
    with pytest.raises(ClipError, match="bytes follow the samples that its header"):
        load_audio(save(encode(noise()) + b"\1\2" * 100_000), RATE)


# ---- what is not read


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"wvpk", "WavPack audio is not read; convert it, e.g. by ffmpeg"),
        (b"MAC ", "APE audio is not read"),
        (b"PVF1\n", "PVF files are not read, since a cut-off one cannot be told"),
        (b"\x64\xa3\x03\0", "IRCAM files are not read"),
        (b"\0" * 200_000, "not audio of a known kind"),
    ],
)
def test_other_kinds_are_named_with_the_cure(save, data, reason):
    with pytest.raises(ClipError, match=reason):
        load_audio(save(data.ljust(400, b"\0")), RATE)
