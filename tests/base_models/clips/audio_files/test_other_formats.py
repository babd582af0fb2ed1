"""M4A, AAC and WebM are read whole where PyAV is installed, and named where not."""

from __future__ import annotations

import importlib.util
import io
import math

import numpy as np
import pytest

from base_models.clips.audio import load_audio, probe
from base_models.clips.audio_files.containers import other_formats
from base_models.clips.segments.reference import Segment
from base_models.errors import ClipError

RATE = 44_100
SECONDS = 2.0
KINDS = [("mp4", "aac"), ("mp4", "alac"), ("adts", "aac"), ("matroska", "aac")]


def tone(channels=2):
    time = np.arange(round(SECONDS * RATE)) / RATE
    wave = 0.3 * np.sin(2 * np.pi * 440 * time)
    return np.stack([wave] * channels).astype(np.float32)


def encode(container, codec) -> bytes:
    av = pytest.importorskip("av", reason="PyAV (stackedmos[av]) is not installed")
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=RATE, layout="stereo")
        wave = av.AudioFrame.from_ndarray(tone(), format="fltp", layout="stereo")
        wave.rate = RATE
        fitting = av.AudioResampler(
            format=stream.codec_context.format,
            layout="stereo",
            rate=RATE,
            frame_size=stream.codec_context.frame_size or 1024,
        )
        for frame in [*fitting.resample(wave), *fitting.resample(None)]:
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return file.getvalue()


@pytest.fixture
def save(tmp_path):
    def save(data):
        (tmp_path / "clip.bin").write_bytes(data)
        return tmp_path / "clip.bin"

    return save


@pytest.mark.parametrize(("container", "codec"), KINDS)
def test_they_are_read_whole(save, container, codec):
    path = save(encode(container, codec))
    read = load_audio(path, RATE)
    assert len(read) / RATE == pytest.approx(SECONDS, abs=0.06)
    assert np.sqrt(np.mean(read**2)) == pytest.approx(0.3 / np.sqrt(2), rel=0.02)
    info = probe(path)
    assert (info.sample_rate, info.channels) == (RATE, 2)


@pytest.mark.parametrize(("container", "codec"), KINDS)
@pytest.mark.parametrize("left", [0.3, 0.6, 0.9, 0.99])
def test_cut_off_ones_are_refused(save, container, codec, left):
    data = encode(container, codec)
    with pytest.raises(ClipError, match=r"cut off|cannot be decoded"):
        load_audio(save(data[: int(left * len(data))]), RATE)


@pytest.mark.parametrize(("container", "codec"), [("mp4", "aac"), ("matroska", "aac")])
def test_ones_whose_packets_are_missing_are_refused(save, container, codec):
    av = pytest.importorskip("av", reason="PyAV (stackedmos[av]) is not installed")
    whole = io.BytesIO(encode(container, codec))
    file = io.BytesIO()
    with av.open(whole) as source, av.open(file, "w", format=container) as output:
        stream = output.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(audio=0):
            if packet.dts is None:
                continue
            seconds = float(packet.pts * packet.time_base)
            if 0.5 < seconds < 0.7:
                continue
            packet.stream = stream
            output.mux(packet)
    with pytest.raises(ClipError, match=r"damaged: what follows 0\.\d+ s is of"):
        load_audio(save(file.getvalue()), RATE)


@pytest.mark.parametrize(
    "head", [b"\0\0\0\x20ftypM4A ", b"\x1a\x45\xdf\xa3", b"\xff\xf1\x50\x80"]
)
def test_damaged_ones_are_refused(save, head):
    pytest.importorskip("av", reason="PyAV (stackedmos[av]) is not installed")
    with pytest.raises(ClipError, match=r"cut off|cannot be decoded|damaged|no audio"):
        load_audio(save(head.ljust(4_000, b"\1")), RATE)


@pytest.mark.usefixtures("decoded_here")
def test_of_longer_ones_what_cannot_be_read_is_refused(save, monkeypatch):
    monkeypatch.setattr(other_formats, "MAX_SECONDS", 1.0)
    path = save(encode("mp4", "alac"))
    part = Segment(str(path), 0.2, 0.8).reference
    assert len(load_audio(path, RATE, max_seconds=0.5)) == RATE // 2
    assert len(load_audio(part, RATE)) == round(0.6 * RATE)

    # Not taken for a file of one second.
    for wanted in (path, Segment(str(path), 0.2).reference):
        with pytest.raises(ClipError, match=r"only its first .* minutes can be read"):
            load_audio(wanted, RATE)
    for start, end in [(1.5, 1.8), (0.5, 1.8), (1.5, math.inf)]:
        with pytest.raises(ClipError, match="is not in the first 1 s, all that can"):
            load_audio(Segment(str(path), start, end).reference, RATE)


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\0\0\0\x20ftypM4A ", r"MP4 \(M4A\)"),
        (b"\x1a\x45\xdf\xa3", "WebM or Matroska"),
        (b"\xff\xf1\x50\x80", "AAC"),
    ],
)
@pytest.mark.usefixtures("decoded_here")
def test_without_the_reader_the_cure_is_named(save, monkeypatch, head, kind):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "av" else find(name, *rest),
    )
    with pytest.raises(
        ClipError,
        match=rf"{kind} audio needs an optional reader: pip install 'stackedmos\[av\]'",
    ):
        load_audio(save(head.ljust(400, b"\0")), RATE)
