"""Up to which frequency a recording has anything: its bandwidth.

Material that was recorded or encoded at a lower rate and resampled later has nothing
above half of that rate, whatever its file says. Dull music has little there too, but
its spectrum falls off gradually. The rule is therefore about an edge:

- levels are means over the clip, in bands of `BAND_HZ`, of the power of all channels;
- an edge is where the band below is at least `EDGE_DECIBELS` above every band from two
  bands above it to half of the sample rate (the band between holds the slope of a
  filter);
- so are at least `FILLED` of all bands below it, so that the gap above a few pure tones
  is no edge.

The bandwidth is at the lowest edge, and half of the sample rate where there is none.
"""

from __future__ import annotations

import numpy as np

BAND_HZ = 250.0
EDGE_DECIBELS = 30.0
FILLED = 0.8

# Below it an edge is that of an instrument.
_LEAST_HZ = 3_000.0

# Length of a frame, and how many of each portion of samples are looked at.
_FRAME_SECONDS = 0.09
_FRAMES_PER_CHUNK = 3

_FLOOR = 1e-20


class SpectrumMeter:
    """The mean spectrum of a recording that comes in portions.

    Parameters
    ----------
    rate : int
        Sample rate in Hz.
    """

    def __init__(self, rate: int) -> None:
        self.rate = rate
        # A multiple of 64, of which transforms are quick.
        self._width = max(round(_FRAME_SECONDS * rate / 64), 1) * 64
        self._window = np.hanning(self._width).astype(np.float32)
        self._power = np.zeros(self._width // 2 + 1)
        self._n_frames = 0

    def add(self, chunk: np.ndarray) -> None:
        """Take note of a portion of shape (n_frames, channels)."""
        n_fit = len(chunk) // self._width
        n_used = min(n_fit, _FRAMES_PER_CHUNK)
        # Two channels tell as much as many, and are quicker.
        channels = chunk[: n_fit * self._width, :2]
        frames = channels.reshape(n_fit, self._width, channels.shape[1])
        chosen = frames[np.arange(n_used) * n_fit // max(n_used, 1)].swapaxes(1, 2)
        if n_used:
            spectrum = np.fft.rfft(chosen * self._window)
            power = spectrum.real**2 + spectrum.imag**2
            self._power += power.sum(axis=(0, 1))
            self._n_frames += n_used

    def bandwidth(self) -> float:
        """The bandwidth in Hz, see the module."""
        half = self.rate / 2
        levels = self._levels()
        n_bands = len(levels)
        if self._n_frames == 0 or n_bands < 4:
            return half

        # The highest level from each band up to half of the sample rate.
        above = np.maximum.accumulate(levels[::-1])[::-1]
        for edge in range(int(_LEAST_HZ / BAND_HZ), n_bands - 2):
            limit = above[edge + 1] + EDGE_DECIBELS
            if levels[edge - 1] < limit:
                continue
            if np.mean(levels[:edge] >= limit) >= FILLED:
                return float(edge * BAND_HZ)
        return half

    def _levels(self) -> np.ndarray:
        """Level of each band in dB; the last band may be narrower than the others."""
        hertz = np.arange(len(self._power)) * (self.rate / self._width)
        bands = (hertz / BAND_HZ).astype(np.int64)
        n_bands = int(np.ceil(self.rate / 2 / BAND_HZ))
        bands = np.minimum(bands, n_bands - 1)
        counts = np.maximum(np.bincount(bands, minlength=n_bands), 1)
        power = np.bincount(bands, self._power, n_bands) / counts
        decibels: np.ndarray = 10 * np.log10(power + _FLOOR)
        return decibels
