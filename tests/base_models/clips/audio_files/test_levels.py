"""Silence, clipping and bandwidth are told from music by stated thresholds."""

from __future__ import annotations

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from base_models.clips.audio_files.bandwidth import SpectrumMeter
from base_models.clips.audio_files.levels import (
    PARTLY_SILENT,
    SILENCE_DBFS,
    LevelMeter,
)

RATE = 16_000


def music(seconds=3.0, rate=RATE, seed=0):
    """Noise whose spectrum falls off with frequency, as that of music does."""
    rng = np.random.default_rng(seed)
    n = round(seconds * rate)
    spectrum = np.fft.rfft(rng.normal(size=n))
    spectrum /= 1 + np.fft.rfftfreq(n, 1 / rate) / 500
    samples = np.fft.irfft(spectrum, n)
    return (0.1 * samples / samples.std()).astype(np.float32)


def measured(samples, rate=RATE, portion=20_000):
    samples = samples.reshape(len(samples), -1)
    levels = LevelMeter(rate)
    spectrum = SpectrumMeter(rate)
    for start in range(0, len(samples), portion):
        levels.add(samples[start : start + portion])
        spectrum.add(samples[start : start + portion])
    return levels.levels(), spectrum.bandwidth()


@settings(deadline=None)
@given(
    portion=st.integers(1, 20_000),
    n=st.integers(1, 30_000),
    channels=st.integers(1, 3),
)
def test_levels_do_not_depend_on_the_portions(portion, n, channels):
    samples = np.random.default_rng(n).normal(size=(n, channels)) * 0.1
    samples[n // 3 : n // 2] = 0
    samples = samples.astype(np.float32)
    meter = LevelMeter(RATE)
    for start in range(0, n, portion):
        meter.add(samples[start : start + portion])
    whole = LevelMeter(RATE)
    whole.add(samples)
    assert meter.levels().silent_fraction == whole.levels().silent_fraction
    assert meter.levels().rms == pytest.approx(whole.levels().rms)
    assert meter.levels().mix_decibels == pytest.approx(
        whole.levels().mix_decibels, abs=1e-3
    )


@pytest.mark.parametrize("level", [-110.0, SILENCE_DBFS - 1, SILENCE_DBFS + 1, -20.0])
def test_silence_is_a_level_of_the_whole_clip(level):
    samples = music() / np.sqrt(np.mean(music() ** 2)) * 10 ** (level / 20)
    levels, _ = measured(samples.astype(np.float32))
    assert levels.is_silent == (level < SILENCE_DBFS)


def test_digital_silence_is_silent_and_does_not_cancel():
    levels, bandwidth = measured(np.zeros((RATE, 2), dtype=np.float32))
    assert levels.is_silent
    assert levels.silent_fraction == 1
    assert not levels.is_cancelling
    assert not levels.is_partly_silent
    assert bandwidth == RATE / 2


@pytest.mark.parametrize("offset", [0.9, -0.3, 0.01, 0.0])
@pytest.mark.parametrize("portion", [700, 20_000, 100_000])
def test_a_constant_offset_is_neither_sound_nor_what_is_left_of_a_mix(offset, portion):
    zeros = np.zeros((2 * RATE, 2), dtype=np.float32)
    levels, _ = measured(zeros + np.float32(offset), portion=portion)
    assert levels.is_silent
    assert not levels.is_cancelling
    assert levels.silent_channels() == [0, 1]

    tune = music()
    turned = np.stack([tune, -0.9 * tune], axis=1) + np.float32(offset)
    levels, _ = measured(turned.astype(np.float32), portion=portion)
    assert levels.is_cancelling
    assert levels.silent_channels() == []

    equal = np.stack([tune, tune], axis=1) + np.float32(offset)
    levels, _ = measured(equal.astype(np.float32), portion=portion)
    assert levels.mix_decibels == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize(
    "share", [0.1, PARTLY_SILENT - 0.05, PARTLY_SILENT + 0.05, 0.9]
)
def test_partial_silence_is_a_share_of_the_clip(share):
    samples = music(10.0)
    samples[: round(share * len(samples))] = 0
    levels, _ = measured(samples)
    assert levels.silent_fraction == pytest.approx(share, abs=0.02)
    assert levels.is_partly_silent == (share >= PARTLY_SILENT)
    assert not levels.is_silent


@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000])
@pytest.mark.parametrize("source", [8_000, 11_025, 12_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_material_of_a_lower_rate_has_half_of_it_as_bandwidth(rate, source, channels):
    low = soxr.resample(music(rate=source), source, rate, quality="HQ")
    _, bandwidth = measured(np.stack([low] * channels, axis=1), rate)
    assert 0.88 * source / 2 <= bandwidth <= source / 2 + 250


@pytest.mark.parametrize("rate", [8_000, 16_000, 24_000, 44_100, 96_000])
def test_music_that_grows_faint_has_the_whole_bandwidth(rate):
    assert measured(music(rate=rate), rate)[1] == rate / 2


@pytest.mark.parametrize("hertz", [[440.0], [440.0, 880.0, 1320.0], [2_000.0]])
def test_the_gap_above_pure_tones_is_no_edge(hertz):
    time = np.arange(3 * RATE) / RATE
    samples = sum(np.sin(2 * np.pi * one * time) for one in hertz) * 0.1
    assert measured(samples.astype(np.float32))[1] == RATE / 2


@pytest.mark.parametrize("n", [1, 5, 100, 1_500])
def test_a_clip_too_short_for_a_spectrum_has_the_whole_bandwidth(n):
    assert measured(music()[:n])[1] == RATE / 2
