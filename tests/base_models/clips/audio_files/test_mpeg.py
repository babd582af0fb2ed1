"""The length of an MPEG file is counted, and a file that would be cut is refused."""

from __future__ import annotations

import io
import os

import numpy as np
import pytest
import soundfile

from base_models.clips.audio import load_audio, probe
from base_models.clips.audio_files.containers import mpeg
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


TAG = b"TAG" + bytes(125)
ID3 = b"ID3\x04\0\0\0\0\x02\x01" + bytes(257)
JUNK = np.random.default_rng(1).integers(0, 256, 3000, dtype=np.uint8).tobytes()
APE_FIELDS = (2000).to_bytes(4, "little") + (40).to_bytes(4, "little") + bytes(4)
APE = (
    b"APETAGEX"
    + APE_FIELDS
    + b"\0\0\0\xa0"
    + bytes(8)
    + b"itemdata"
    + b"APETAGEX"
    + APE_FIELDS
    + b"\0\0\0\x80"
    + bytes(8)
)


@pytest.mark.parametrize("before", [b"", ID3, ID3 + ID3])
@pytest.mark.parametrize("behind", [b"", TAG, APE, APE + TAG, JUNK, bytes(9_000)])
def test_tags_and_other_bytes_around_the_frames_are_no_samples(save, before, behind):
    data = mp3(2.0, 0.5)
    plain = measured(save(data))
    assert plain.declared
    found = measured(save(before + data + behind))
    assert found.whole
    assert found.samples == plain.samples
    assert load_audio(save(before + data + behind), 16_000).shape == (32_000,)


def test_a_count_stops_at_its_limit_and_at_free_format(save):
    data = mp3(2.0, 0.5)
    assert measured(save(data), limit=44_100).samples == pytest.approx(44_100, abs=1152)
    assert measured(save(b"\xff\xfb\x00\x00" + bytes(90_000))).samples == 0


@pytest.mark.parametrize("junk", [bytes(1), bytes(5_000), JUNK, ID3 + JUNK, ID3 + TAG])
@pytest.mark.parametrize("is_declared", [True, False])
def test_what_stands_before_the_first_frame_changes_no_sample(save, junk, is_declared):
    data = mp3(2.0, 0.5)
    data = data if is_declared else frames(data)
    plain = load_audio(save(data), 16_000)
    np.testing.assert_array_equal(load_audio(save(junk + data), 16_000), plain)


def test_bytes_that_look_like_one_frame_are_no_mpeg_file(save):
    with pytest.raises(ClipError, match="not audio of a known kind"):
        load_audio(save(b"\0" + JUNK + mp3(1.0, 0.0)[:400] + JUNK), 16_000)


@pytest.mark.parametrize(("first", "second"), [(0.0, 0.99), (0.99, 0.0)])
@pytest.mark.parametrize("behind", [b"", TAG, JUNK])
def test_variable_bit_rate_without_a_length_is_read_whole(save, first, second, behind):
    """By an estimate from its start, such a file is cut, or seems to be cut off."""
    path = save(frames(mp3(4.0, first)) + frames(mp3(4.0, second)) + behind)
    counted = measured(path).samples
    assert counted == pytest.approx(8.0 * 44_100, abs=8 * 1152)
    assert probe(path).seconds == pytest.approx(counted / 44_100, abs=0.03)
    assert len(load_audio(path, 44_100)) == pytest.approx(counted, abs=1152)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("channels", [1, 2])
def test_a_stream_without_a_length_is_as_long_as_its_frames(save, rate, channels):
    path = save(frames(mp3(1.0, 0.5, rate, channels), rate))
    counted = measured(path)
    assert not counted.declared
    n_read = len(load_audio(path, rate))
    # Decoders leave out their own delay of 529 samples.
    assert counted.samples - n_read in (0, 529)


@pytest.mark.parametrize("level", [0.0, 0.5, 0.99])
def test_constant_bit_rate_needs_no_length(save, level):
    audio = load_audio(save(frames(mp3(4.0, level)) + TAG), 16_000)
    assert len(audio) == pytest.approx(4.0 * 16_000, abs=0.1 * 16_000)


@pytest.mark.parametrize("between", [b"", TAG, ID3, APE, JUNK])
def test_joined_files_of_which_only_the_first_would_be_read_are_refused(save, between):
    with pytest.raises(
        ClipError, match="holds more than its header declares, as joined files do"
    ):
        load_audio(save(mp3(2.0, 0.5) + between + mp3(2.0, 0.5)), 16_000)


@pytest.mark.parametrize("between", [b"", TAG, JUNK])
def test_joined_files_of_different_rates_are_refused(save, between):
    data = mp3(2.0, 0.5) + between + mp3(2.0, 0.5, rate=16_000)
    with pytest.raises(ClipError, match="MPEG frames of another format"):
        load_audio(save(data), 16_000)


def test_a_file_cut_off_below_its_declared_length_is_refused_as_such(save):
    data = mp3(2.0, 0.5)
    with pytest.raises(ClipError, match="cut off: it declares"):
        load_audio(save(data[: len(data) // 2]), 16_000)


def test_a_stream_that_ends_within_a_frame_is_refused(save):
    data = frames(mp3(2.0, 0.5))
    with pytest.raises(ClipError, match="cut off: it ends within its last frame"):
        load_audio(save(data[:-7]), 16_000)
