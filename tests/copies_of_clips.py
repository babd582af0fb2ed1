"""One recording in other containers, at other levels and rates, trimmed and noisy."""

from __future__ import annotations

import io

import numpy as np
import soundfile
import soxr


def encoded(samples, rate, kind="WAV", subtype="PCM_16", **options):
    """The bytes of an audio file."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind, subtype=subtype, **options)
    return file.getvalue()


def mp3(samples, rate, level):
    """An MP3 file of constant bit rate; level 0 is the highest rate, 1 the lowest."""
    return encoded(
        samples,
        rate,
        "MP3",
        "MPEG_LAYER_III",
        bitrate_mode="CONSTANT",
        compression_level=level,
    )


def trimmed(samples, rate, start, end=0.0):
    """Without so many seconds at the start and at the end."""
    return samples[round(start * rate) : len(samples) - round(end * rate)]


def noisy(samples, decibels, rng):
    """With white noise at this ratio of signal to noise."""
    size = np.sqrt(np.mean(np.square(samples))) * 10 ** (-decibels / 20)
    return samples + rng.normal(0, size, len(samples))


def _at_rate(samples, rate, new_rate):
    return encoded(soxr.resample(samples, rate, new_rate), new_rate)


def _all_at_once(samples, rate, rng):
    """Trimmed within a sample, quieter, at 16 kHz, with noise, and as MP3."""
    fine = soxr.resample(samples, rate, 48_000)
    cut = soxr.resample(trimmed(fine, 48_000, 0.123456, 0.2), 48_000, 16_000)
    return mp3(noisy(0.4 * cut, 25, rng), 16_000, 0.5)


COPIES = {
    "FLAC": lambda x, rate, rng: encoded(x, rate, "FLAC"),
    "24 bit": lambda x, rate, rng: encoded(x, rate, subtype="PCM_24"),
    "32 bit float": lambda x, rate, rng: encoded(x, rate, subtype="FLOAT"),
    "Vorbis": lambda x, rate, rng: encoded(x, rate, "OGG", "VORBIS"),
    "mp3, level 0": lambda x, rate, rng: mp3(x, rate, 0.0),
    "mp3, level 0.5": lambda x, rate, rng: mp3(x, rate, 0.5),
    "mp3, level 0.7": lambda x, rate, rng: mp3(x, rate, 0.7),
    "start - 10 ms": lambda x, rate, rng: encoded(trimmed(x, rate, 0.01), rate),
    "start - 100 ms": lambda x, rate, rng: encoded(trimmed(x, rate, 0.1), rate),
    "start - 500 ms": lambda x, rate, rng: encoded(trimmed(x, rate, 0.5), rate),
    "end - 500 ms": lambda x, rate, rng: encoded(trimmed(x, rate, 0, 0.5), rate),
    "both - 250 ms": lambda x, rate, rng: encoded(trimmed(x, rate, 0.25, 0.25), rate),
    "gain 0.1": lambda x, rate, rng: encoded(0.1 * x, rate),
    "gain 0.9": lambda x, rate, rng: encoded(0.9 * x, rate),
    "gain 2": lambda x, rate, rng: encoded(2 * x, rate, subtype="FLOAT"),
    "48 kHz": lambda x, rate, rng: _at_rate(x, rate, 48_000),
    "16 kHz": lambda x, rate, rng: _at_rate(x, rate, 16_000),
    "8 kHz": lambda x, rate, rng: _at_rate(x, rate, 8_000),
    "noise at 80 dB": lambda x, rate, rng: encoded(noisy(x, 80, rng), rate),
    "noise at 40 dB": lambda x, rate, rng: encoded(noisy(x, 40, rng), rate),
    "noise at 30 dB": lambda x, rate, rng: encoded(noisy(x, 30, rng), rate),
    "noise at 20 dB": lambda x, rate, rng: encoded(noisy(x, 20, rng), rate),
    "trim, gain, rate, noise, mp3": _all_at_once,
}
"""Copies that are the same recording: functions of samples, their rate and a source of
random numbers, which return the bytes of a file."""
