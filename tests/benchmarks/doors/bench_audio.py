"""What reading a clip costs: against soundfile and soxr alone, of a description against
the samples, and of a file that was written into a pipe. Times are of CPU, the least of
several runs.
"""

from __future__ import annotations

import time

import numpy as np
import soundfile
import soxr
from builders import music
from timing import timed

from base_models.clips.audio import load_audio, probe

RATE = 44_100
WANTED_RATE = 16_000
SECONDS = 30
REPEATS = 7
SUBTYPES = {"wav": "PCM_16", "flac": "PCM_16", "mp3": None, "ogg": "VORBIS"}


def stereo():
    """A tune of 30 s with another on its other channel."""
    left = music(SECONDS, RATE)
    return np.stack([left, music(SECONDS, RATE, seed=2)], axis=1)


def write_all(folder):
    paths = {}
    for suffix, subtype in SUBTYPES.items():
        paths[suffix] = str(folder / f"clip.{suffix}")
        soundfile.write(paths[suffix], stereo(), RATE, subtype=subtype)
    return paths


def plainly(path):
    """The same samples without a check."""
    samples, rate = soundfile.read(path, dtype="float32")
    return soxr.resample(samples.mean(axis=1), rate, WANTED_RATE, quality="HQ")


def least(work):
    return min(timed(work, clock=time.process_time)[0] for _ in range(REPEATS))


def bench_audio_against_soundfile(tmp_path):
    print(f"\n{SECONDS} s, stereo, {RATE} Hz, to mono at {WANTED_RATE} Hz")
    for suffix, path in write_all(tmp_path).items():
        ours = load_audio(path, WANTED_RATE)
        np.testing.assert_allclose(ours, plainly(path), atol=1e-6)
        plain = least(lambda path=path: plainly(path))
        loaded = least(lambda path=path: load_audio(path, WANTED_RATE))
        probed = least(lambda path=path: probe(path))
        print(
            f"{suffix}: {1000 * loaded:.0f} ms; load_audio against soundfile, mean and "
            f"soxr: {loaded / plain:.2f} x; probe against load_audio: "
            f"{probed / loaded:.2f} x"
        )


def bench_streamed_wav_against_plain(tmp_path):
    """The lengths in the header of a streamed file stand for "not known"."""
    plain = write_all(tmp_path)["wav"]
    streamed = str(tmp_path / "streamed.wav")
    with open(plain, "rb") as file:
        data = bytearray(file.read())
    data[4:8] = data[40:44] = b"\xff" * 4
    with open(streamed, "wb") as file:
        file.write(data)
    expected = load_audio(plain, WANTED_RATE)
    np.testing.assert_array_equal(load_audio(streamed, WANTED_RATE), expected)
    ratio = least(lambda: load_audio(streamed, WANTED_RATE)) / least(
        lambda: load_audio(plain, WANTED_RATE)
    )
    print(f"\nload_audio of a streamed WAV against a plain one: {ratio:.2f} x the time")
