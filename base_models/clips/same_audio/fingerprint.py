"""What a clip sounds like, small enough to compare thousands of clips with each other.

A fingerprint is taken of the samples that are heard, not of the file: of the mean of
the channels, after decoding, over the seconds that models use. It keeps the waveform at
a low rate, since only waveforms tell a copy from another rendering of the same words or
notes, and the levels of the bands above it.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike
from scipy import fft
from scipy.ndimage import uniform_filter1d

from base_models.clips.audio import USED_SECONDS, decode_audio, resample
from base_models.clips.same_audio.stretches import Stretch

SIGNAL_RATE = 4_000
"""Rate of the waveform that is kept, in Hz."""
SPECTRUM_STEP = 2.0
"""Width of the bins of the fine spectrum, in Hz."""
ENVELOPE_RATE = 50
"""Values of the envelope per second."""

# Below this a clip has too little signal to be aligned with another.
_MIN_SECONDS = 0.5
_SILENCE = 1e-5
# A single tone has this share of its power within so many bins of the strongest one;
# of 420 clips of the demo corpus the barest has 0.81.
_TONE = 0.9
_LINE_BINS = 2
# Level of the stronger of the two bands below 2 kHz, in dB. Treble that is cut off has
# -70; of real clips and the demo corpus the least is far above.
_LEAST_LOW = -40.0

# Bins over which the fine spectrum is flattened: what is left are its lines, which are
# of the recording, and not its shape, which is of the voice or instrument.
_FLAT_BINS = 31

# Bands of 1 kHz from 0 to 10 kHz; above, lossy formats differ from what they encode.
N_BANDS = 10
"""Number of bands whose levels are kept."""
_BAND_HZ = 1_000
_FRAME_SECONDS = 0.032
# Resamplers pass frequencies up to here, as a share of the sample rate.
_PASSED = 0.45
_TINY_POWER = 1e-20


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """What is kept of a clip.

    Parameters
    ----------
    digest : str
        SHA-256 of the decoded mono samples and of their rate.
    signal : int16 array of shape (n,)
        The waveform at `SIGNAL_RATE`, scaled to the range of its type. Empty where the
        clip is silent or very short; then only digests are compared.
    band_levels : float32 array of shape (10,)
        Mean power of each band of 1 kHz, in dB relative to all of them; NaN for bands
        that the file's rate does not hold.
    band_spreads : float32 array of shape (10,)
        Standard deviation over time of the level of each band, in dB; NaN likewise.
    stretch : Stretch, or None
        Which part of which file the clip is, where that is known.
    """

    digest: str
    signal: np.ndarray
    band_levels: np.ndarray
    band_spreads: np.ndarray
    stretch: Stretch | None = None

    @cached_property
    def spectrum(self) -> np.ndarray:
        """Lines of the spectrum, float32 of shape (1000,) and length 1.

        The power in bins of 2 Hz, compressed and flattened. It hardly changes with the
        level of a clip, where it is cut, or noise; two recordings share few lines.
        """
        lines = self._power**0.25
        flat = lines - uniform_filter1d(lines, _FLAT_BINS, mode="nearest")
        size = np.linalg.norm(flat)
        return (flat / size if size > 0 else flat).astype(np.float32)

    @property
    def is_comparable(self) -> bool:
        """Whether there is enough in the signal to recognise the recording by.

        In silence, very short clips and a single tone there is not: any other tone of
        that pitch would fit. Nor is there where hardly anything sounds below 2 kHz:
        what is left there is how treble starts and stops, a click for all of it.
        """
        if not len(self.signal) or self.band_levels[:2].max() < _LEAST_LOW:
            return False
        power = self._power
        peak = int(power.argmax())
        # A tone that starts and ends spreads over the bins beside its own.
        line = power[max(peak - _LINE_BINS, 0) : peak + _LINE_BINS + 1]
        return bool(line.sum() < _TONE * power.sum())

    @cached_property
    def _power(self) -> np.ndarray:
        """Mean power in bins of `SPECTRUM_STEP`, shape (1000,)."""
        samples = self.signal.astype(np.float32)
        n_bins = round(SIGNAL_RATE / 2 / SPECTRUM_STEP)
        n = fft.next_fast_len(max(len(samples), 2 * n_bins), real=True)
        power = np.abs(fft.rfft(samples, n)).astype(np.float64) ** 2
        frequencies = np.arange(len(power)) * (SIGNAL_RATE / n)
        bins = np.minimum((frequencies / SPECTRUM_STEP).astype(np.int64), n_bins - 1)
        counts = np.maximum(np.bincount(bins, minlength=n_bins), 1)
        return np.bincount(bins, power, n_bins) / counts

    @cached_property
    def envelope(self) -> np.ndarray:
        """Root mean square in steps of 20 ms, float32 of shape (m,)."""
        step = SIGNAL_RATE // ENVELOPE_RATE
        n_steps = len(self.signal) // step
        blocks = self.signal[: n_steps * step].astype(np.float32).reshape(-1, step)
        return np.sqrt(np.mean(blocks**2, axis=1))


def read_fingerprint(path: str | os.PathLike[str]) -> Fingerprint:
    """The fingerprint of an audio file.

    Raises
    ------
    ClipError
        For the reasons of `base_models.clips.audio.load_audio`.
    """
    samples, rate = decode_audio(path, USED_SECONDS)
    return fingerprint_of(samples, rate)


def fingerprint_of(samples: ArrayLike, rate: int) -> Fingerprint:
    """The fingerprint of mono samples of shape (n_samples,), at a rate in Hz."""
    mono = np.ascontiguousarray(samples, dtype=np.float32)
    # Adding 0 turns -0 into 0: they sound the same, but their bytes differ.
    digest = hashlib.sha256(f"{rate} ".encode() + (mono + 0.0).tobytes()).hexdigest()
    levels, spreads = _bands(mono, rate)
    return Fingerprint(digest, _signal(mono, rate), levels, band_spreads=spreads)


def _signal(mono: np.ndarray, rate: int) -> np.ndarray:
    """The waveform at `SIGNAL_RATE` as int16; empty where it is silent or short."""
    if len(mono) < _MIN_SECONDS * rate:
        return np.zeros(0, dtype=np.int16)
    low = resample(mono, rate, SIGNAL_RATE)
    # A constant offset is not heard, and would correlate with that of any clip.
    low = low - low.mean()
    peak = float(np.abs(low).max(initial=0))
    if peak < _SILENCE:
        return np.zeros(0, dtype=np.int16)
    return np.round(low * (np.iinfo(np.int16).max / peak)).astype(np.int16)


def _bands(mono: np.ndarray, rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Level and spread over time of each band, see `Fingerprint`."""
    levels = np.full(N_BANDS, np.nan, dtype=np.float32)
    spreads = np.full(N_BANDS, np.nan, dtype=np.float32)
    width = round(_FRAME_SECONDS * rate)
    n_frames = len(mono) // width
    n_held = min(N_BANDS, int(_PASSED * rate // _BAND_HZ))
    if not n_frames or not n_held:
        return levels, spreads

    # Frames do not overlap: means over time need no more.
    frames = mono[: n_frames * width].reshape(n_frames, width)
    window = np.hanning(width).astype(np.float32)
    power = np.abs(fft.rfft(frames * window, axis=1)) ** 2
    edges = np.round(np.arange(n_held + 1) * _BAND_HZ * width / rate).astype(np.int64)
    in_bands = np.add.reduceat(power[:, : edges[-1]], edges[:-1], axis=1)

    mean = in_bands.mean(axis=0) + _TINY_POWER
    levels[:n_held] = 10 * np.log10(mean / mean.sum())
    spreads[:n_held] = np.std(10 * np.log10(in_bands + _TINY_POWER), axis=0)
    return levels, spreads
