"""The length of an MPEG file is counted, and a file that would be cut is refused."""

from __future__ import annotations

import io
import os

import numpy as np
import pytest
import soundfile

from base_models.clips.audio import load_audio, probe
from base_models.clips.audio_files import mpeg
from base_models.errors import ClipError

RATES = [8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000]


def mp3(seconds, level, rate=44_100, channels=1) -> bytes:
    """Noise at a constant bit rate; soundfile's level 0 is the highest rate."""
    samples = (
        np.random.default_rng(0).normal(size=(round(seconds * rate), channels)) * 0.1
    )
    with io.BytesIO() as file:
        try:
            options = {
                "format": "MP3",
                "compression_level": level,
                "bitrate_mode": "CONSTANT",
            }
            soundfile.write(file, samples.astype(np.float32), rate, **options)
        except (TypeError, ValueError, soundfile.SoundFileError) as error:
            pytest.skip(f"this soundfile writes no MP3 of a chosen bit rate ({error})")
        return file.getvalue()


def frames(data: bytes, rate=44_100) -> bytes:
    """The frames without the first, which may declare the length."""
    return (
        data[mpeg._frame_size(data)[0] :]
        if any(tag in data[:64] for tag in (b"Info", b"Xing"))
        else data
    )


def measured(path, limit=10**9):
    handle = os.open(path, os.O_RDONLY)
    try:
        return mpeg.measure(handle, limit)
    finally:
        os.close(handle)


@pytest.fixture
def save(tmp_path):
    def save(data):
        (tmp_path / "x.mp3").write_bytes(data)
        return tmp_path / "x.mp3"

    return save


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("level", [0.0, 0.5, 0.99])
def test_counted_frames_hold_the_samples_that_were_written(save, rate, level):
    found = measured(save(mp3(1.0, level, rate, channels=2)))
    assert found.whole
    assert found.per_frame == (1152 if rate >= 32_000 else 576)
    assert 0 <= found.samples - rate <= 6 * found.per_frame
    assert len(
        load_audio(save(mp3(1.0, level, rate, channels=2)), rate)
    ) == pytest.approx(rate, abs=6 * 1152)


def test_tags_before_and_after_are_no_samples_and_other_bytes_end_the_count(save):
    data = mp3(2.0, 0.5)
    plain = measured(save(data))
    assert plain.declared
    tagged = b"ID3\x04\0\0\0\0\x02\x01" + bytes(257) + data + b"TAG" + bytes(125)
    assert measured(save(tagged)) == plain
    assert load_audio(save(tagged), 16_000).shape == (32_000,)
    assert not measured(save(data + b"something else")).whole
    assert measured(save(data), limit=44_100).samples == pytest.approx(44_100, abs=1152)
    assert measured(save(b"\xff\xfb\x00\x00" + data)).samples == 0  # free format


@pytest.mark.parametrize(("first", "second"), [(0.0, 0.99), (0.99, 0.0)])
@pytest.mark.parametrize("read", [lambda path: load_audio(path, 16_000), probe])
def test_variable_bit_rate_without_a_length_is_refused(save, first, second, read):
    """By an estimate from its start, such a file is cut, or seems to be cut off."""
    path = save(frames(mp3(4.0, first)) + frames(mp3(4.0, second)))
    assert measured(path).samples == pytest.approx(8.0 * 44_100, abs=8 * 1152)
    with pytest.raises(
        ClipError,
        match=r"variable bit rate without a length header; re-encode it, e.g. as FLAC",
    ):
        read(path)


def test_what_lies_beyond_the_cut_is_not_judged(save):
    path = save(frames(mp3(4.0, 0.5)) + frames(mp3(4.0, 0.0)))
    assert len(load_audio(path, 16_000, max_seconds=2.0)) == 32_000


@pytest.mark.parametrize("level", [0.0, 0.5, 0.99])
def test_constant_bit_rate_needs_no_length(save, level):
    audio = load_audio(save(frames(mp3(4.0, level)) + b"TAG" + bytes(125)), 16_000)
    assert len(audio) == pytest.approx(4.0 * 16_000, abs=0.1 * 16_000)


def test_joined_files_of_which_only_the_first_would_be_read_are_refused(save):
    with pytest.raises(
        ClipError, match="holds more than its header declares, as joined files do"
    ):
        load_audio(save(mp3(2.0, 0.5) + mp3(2.0, 0.5)), 16_000)


def test_a_file_cut_off_below_its_declared_length_is_refused_as_such(save):
    data = mp3(2.0, 0.5)
    with pytest.raises(ClipError, match="cut off: it declares"):
        load_audio(save(data[: len(data) // 2]), 16_000)
