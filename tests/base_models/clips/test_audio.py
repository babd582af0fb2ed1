"""Audio is read as it was recorded, and what is not whole is refused with a reason."""

from __future__ import annotations

import hashlib
import io
import os
import struct
import tracemalloc

import numpy as np
import pytest
import soundfile
import soxr

from base_models.clips.audio import MIN_SECONDS, content_hash, load_audio, probe
from base_models.errors import ClipError, UsageError

RATE = 16_000
KINDS = [("WAV", None), ("WAVEX", None), ("RF64", None), ("AIFF", None), ("FLAC", None)]
LOSSY = [("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", None)]


def tone(seconds=1.0, rate=RATE, channels=1, seed=0):
    samples = (
        np.random.default_rng(seed)
        .normal(size=(round(seconds * rate), channels))
        .astype(np.float32)
        * 0.05
    )
    return samples + 0.3 * np.sin(2 * np.pi * 440 * np.arange(len(samples)) / rate)[
        :, None
    ].astype(np.float32)


def encode(samples, rate=RATE, kind="WAV", subtype=None) -> bytes:
    with io.BytesIO() as file:
        soundfile.write(file, samples, rate, format=kind, subtype=subtype)
        return file.getvalue()


@pytest.fixture
def save(tmp_path):
    def save(data: bytes | np.ndarray, name="x.wav", **options):
        path = tmp_path / name
        path.write_bytes(data if isinstance(data, bytes) else encode(data, **options))
        return path

    return save


@pytest.mark.parametrize(("kind", "subtype"), KINDS)
def test_lossless_kinds_return_the_samples_that_were_written(save, kind, subtype):
    samples = tone()
    audio = load_audio(save(samples, kind=kind, subtype=subtype), RATE)
    assert audio.dtype == np.float32
    np.testing.assert_allclose(audio, samples[:, 0], atol=2**-15)


@pytest.mark.parametrize(("kind", "subtype"), LOSSY)
def test_lossy_kinds_are_read(save, kind, subtype):
    audio = load_audio(
        save(tone(rate=48_000), rate=48_000, kind=kind, subtype=subtype), 24_000
    )
    assert abs(len(audio) - 24_000) <= 1
    assert 0.1 < np.sqrt(np.mean(audio**2)) < 0.4


def test_channels_are_averaged_before_resampling(save):
    samples = tone(channels=3)
    path = save(samples, subtype="FLOAT")
    np.testing.assert_allclose(load_audio(path, RATE), samples.mean(axis=1), atol=1e-7)
    expected = soxr.resample(samples.mean(axis=1), RATE, 24_000, quality="HQ")
    np.testing.assert_allclose(load_audio(path, 24_000), expected, atol=1e-6)


@pytest.mark.parametrize("side", [0.0, 0.1, 0.2])
def test_of_channels_that_cancel_the_loudest_is_read(save, side):
    samples = tone()
    other = tone(seed=1)
    left = samples + side * other
    right = -0.8 * (samples - side * other)
    path = save(np.hstack([left, right]), subtype="FLOAT")
    np.testing.assert_allclose(load_audio(path, RATE), left[:, 0], atol=1e-6)
    assert probe(path).levels.is_cancelling


@pytest.mark.parametrize("share", [1.0, 0.5, 0.0, -0.5])
def test_channels_that_do_not_cancel_are_averaged(save, share):
    """Equal, independent and one silent channel, and all between."""
    left = tone()
    right = share * left + (1 - abs(share)) * tone(seed=1)
    path = save(np.hstack([left, right]), subtype="FLOAT")
    mean = (left + right)[:, 0] / 2
    np.testing.assert_allclose(load_audio(path, RATE), mean, atol=1e-6)
    assert not probe(path).levels.is_cancelling


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_a_rule_takes_the_channel_that_it_names(save, channels):
    samples = np.hstack([tone(seed=k) * level for k, level in enumerate((0.2, 0.1, 1))])
    samples = samples[:, :channels].copy()
    path = save(samples, subtype="FLOAT")
    loudest = np.square(samples).sum(axis=0).argmax()
    for rule, place in [("left", 0), ("right", min(1, channels - 1))]:
        read = load_audio(path, RATE, mono=rule)
        np.testing.assert_array_equal(read, samples[:, place])
    read = load_audio(path, RATE, mono="loudest")
    np.testing.assert_array_equal(read, samples[:, loudest])
    with pytest.raises(UsageError, match="Unknown rule for one channel 'both'"):
        load_audio(path, RATE, mono="both")


def test_the_cut_is_the_start_of_the_whole_clip_exactly_as_long_as_asked(save):
    path = save(tone(4.0), subtype="FLOAT")
    whole = load_audio(path, 24_000)
    for seconds in (0.5, 1.0, 2.345):
        cut = load_audio(path, 24_000, max_seconds=seconds)
        assert len(cut) == round(seconds * 24_000)
        np.testing.assert_allclose(cut, whole[: len(cut)], atol=1e-5)


def test_a_clip_longer_than_one_portion_is_read_in_order(save):
    samples = tone(9.0)
    np.testing.assert_array_equal(
        load_audio(save(samples, subtype="FLOAT"), RATE), samples[:, 0]
    )


@pytest.mark.parametrize(
    ("kind", "subtype"),
    [
        *KINDS,
        *LOSSY,
        ("WAV", "FLOAT"),
        ("WAV", "PCM_24"),
        ("WAV", "PCM_U8"),
        ("FLAC", "PCM_24"),
    ],
)
@pytest.mark.parametrize("left", [0.25, 0.5, 0.97])
def test_a_file_that_was_cut_off_is_refused(save, kind, subtype, left):
    data = encode(tone(2.0), kind=kind, subtype=subtype)
    path = save(data[: int(len(data) * left)])
    for read in (lambda: load_audio(path, RATE), lambda: probe(path)):
        with pytest.raises(ClipError, match=r"cut off|cannot be decoded|no samples"):
            read()


def test_a_cut_between_two_pages_of_an_ogg_is_noticed(save):
    data = encode(tone(4.0), kind="OGG", subtype="VORBIS")
    with pytest.raises(
        ClipError, match="cut off: an OGG file ends with a page marked as the last"
    ):
        load_audio(save(data[: data.rfind(b"OggS")]), RATE)


def test_chunks_of_odd_length_are_followed_by_a_pad_byte(save):
    data = encode(tone())
    odd = data[:36] + b"note" + struct.pack("<I", 3) + b"abc\0" + data[36:]
    assert len(load_audio(save(odd), RATE)) == RATE


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"R", "not audio of a known kind"),
        (b"<html>not found</html>" * 9, "not audio of a known kind"),
        (b"\x89PNG\r\n\x1a\n" * 9, "not audio of a known kind"),
        (b"\xff\xff\xff\xff" * 9, "not audio of a known kind"),
        (b"RIFF\x24\0\0\0WAVE", "header is cut off"),
        (
            b"RIFF\x24\0\0\0WAVE" + b"JUNK\0\0\0\0" * 2000,
            "no samples among its first 1000 chunks",
        ),
        (b"ID3\x03\0\0\0\0\0\0", "not audio of a known kind"),
        (b"fLaC" + bytes(90), "cut off"),
        (b"OggS" + bytes(90), "the checksum of page 0 does not fit it"),
    ],
)
def test_what_is_no_audio_is_refused(save, data, reason):
    with pytest.raises(ClipError, match=reason):
        load_audio(save(data), RATE)


def test_rare_codecs_are_refused_before_the_decoder_sees_them(save):
    with pytest.raises(ClipError, match=r"WAV codec 49 is not supported"):
        load_audio(save(tone(), subtype="GSM610"), RATE)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e4])
@pytest.mark.parametrize("place", [0, 8000, -1])
def test_samples_that_are_no_sound_are_refused(save, value, place):
    samples = tone()
    samples[place] = value
    with pytest.raises(
        ClipError, match=r"NaN or infinite samples near|sample values up to 3e"
    ):
        load_audio(save(samples, subtype="FLOAT"), RATE)


def test_samples_that_are_not_used_are_not_judged(save):
    samples = tone(3.0)
    samples[-1] = np.nan
    assert (
        len(load_audio(save(samples, subtype="FLOAT"), RATE, max_seconds=1.0)) == RATE
    )


@pytest.mark.parametrize("length", [0, 1, round(MIN_SECONDS * RATE) - 1])
def test_a_clip_that_is_too_short_is_refused(save, length):
    with pytest.raises(ClipError, match=r"too short|no samples"):
        load_audio(save(tone()[:length]), RATE)
    assert len(load_audio(save(tone()[: round(MIN_SECONDS * RATE)]), RATE)) == round(
        MIN_SECONDS * RATE
    )


@pytest.mark.parametrize(
    ("offset", "form", "value", "reason"),
    [
        (22, "<H", 0, "channels|cannot be decoded"),
        (22, "<H", 65_535, "channels|cannot be decoded"),
        (24, "<I", 0, "sample rate|cannot be decoded"),
        (24, "<I", 999, "sample rate of 999 Hz"),
        (24, "<I", 2**31 - 1, "sample rate of 2147483647 Hz"),
        (
            40,
            "<I",
            64_000,
            "cut off: it declares 64,000 bytes of samples and holds 32,000",
        ),
        (40, "<I", 0xFFFF_F000, "cut off"),
    ],
)
def test_a_header_that_lies_is_refused(save, offset, form, value, reason):
    data = bytearray(encode(tone()))
    struct.pack_into(form, data, offset, value)
    with pytest.raises(ClipError, match=reason):
        load_audio(save(bytes(data)), RATE)


def flac_claiming(frames: int) -> bytes:
    """A FLAC of 1 s whose header declares `frames` (36 bits across bytes 21..25)."""
    data = bytearray(encode(tone(), kind="FLAC"))
    data[21:26] = ((data[21] >> 4 << 36) | frames).to_bytes(5, "big")
    return bytes(data)


def test_nothing_is_allocated_by_a_declared_length(save):
    path = save(flac_claiming(2**36 - 1))
    tracemalloc.start()
    with pytest.raises(ClipError, match=r"cut off|cannot be decoded"):
        load_audio(path, RATE)
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()


def test_what_is_no_file_is_refused_at_once(tmp_path, save):
    os.mkfifo(tmp_path / "fifo.wav")
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "loop.wav").symlink_to("loop.wav")
    (tmp_path / "zero.wav").symlink_to("/dev/zero")
    real = save(tone(), "ok.wav")
    for name, reason in [
        ("none.wav", "there is no file"),
        ("fifo.wav", "not a regular file"),
        ("folder.wav", "not a regular file"),
        ("loop.wav", "cannot be opened"),
        ("zero.wav", "not a regular file"),
        ("x" * 300, "cannot be opened"),
    ]:
        for read in (lambda path: load_audio(path, RATE), probe, content_hash):
            with pytest.raises(ClipError, match=reason):
                read(tmp_path / name)
    for name, reason in [
        (f"{real}\0.wav", "contains a NUL"),
        ("", "no audio file"),
        (f"{real}\ud800", "cannot be opened"),
    ]:
        with pytest.raises(ClipError, match=reason):
            load_audio(name, RATE)


@pytest.mark.parametrize(
    "name", ["a b.wav", "-x.wav", "naïve é.wav", "%s.wav", "*.wav", "x", "flac.wav"]
)
def test_names_do_not_matter(save, name):
    kind = "FLAC" if name.startswith("flac") else "WAV"
    assert len(load_audio(save(tone(), name, kind=kind), RATE)) == RATE


def test_a_reason_is_one_line(save, tmp_path):
    for path in (save(b"fLaC" + bytes(90), "line\nbreak.wav"), tmp_path / "none\n.wav"):
        with pytest.raises(ClipError) as caught:
            load_audio(path, RATE)
        assert "\n" not in str(caught.value)


def test_probe_tells_what_is_in_the_file(save):
    data = encode(tone(2.0, channels=2), subtype="FLOAT")
    samples = tone(2.0, channels=2)
    info = probe(save(data))
    assert (info.seconds, info.sample_rate, info.channels) == (2.0, RATE, 2)
    assert info.levels.peak == pytest.approx(np.abs(samples).max())
    assert info.levels.rms == pytest.approx(
        np.sqrt(np.mean(samples.astype(float) ** 2)), rel=1e-3
    )
    assert info.levels.clipped_fraction == 0
    assert info.sha256 == content_hash(save(data)) == hashlib.sha256(data).hexdigest()


def test_clipping_is_runs_at_full_scale_not_a_lone_peak(save):
    samples = tone()
    samples[100:102] = 1.0
    assert probe(save(samples, subtype="FLOAT")).levels.clipped_fraction == 0
    samples[500:540] = -1.0
    assert probe(
        save(samples, subtype="FLOAT")
    ).levels.clipped_fraction == pytest.approx(40 / RATE)


def test_a_long_file_is_probed_in_part_and_its_length_is_told(save, monkeypatch):
    monkeypatch.setattr("base_models.clips.audio.PROBE_SECONDS", 0.5)
    samples = tone(2.0)
    samples[RATE:] = 1.0
    info = probe(save(samples))
    assert info.seconds == 2.0
    assert info.levels.clipped_fraction == 0


def test_random_damage_to_headers_ends_in_samples_or_a_reason(save):
    rng = np.random.default_rng(0)
    for kind, subtype in [*KINDS, *LOSSY]:
        whole = encode(tone(0.3), kind=kind, subtype=subtype)
        for _ in range(25):
            data = bytearray(whole)
            for position in rng.integers(0, 80, size=3):
                data[position] = rng.integers(0, 256)
            try:
                audio = load_audio(save(bytes(data)), RATE)
            except ClipError:
                continue
            assert np.isfinite(audio).all()
            assert 0 < len(audio) <= 30 * RATE
