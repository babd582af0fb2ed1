"""What can be wrong with the levels of a recording: silence, clipping, cancelling.

The thresholds stand here alone; whoever checks clips or scores them asks `Levels`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SILENCE_DBFS = -60.0
"""A clip or a part of one below this level is silent; digital full scale is 0.

The level is the root mean square over all channels. A soft passage of music lies above
-50, the noise of a good recording chain below -70.
"""
PARTLY_SILENT = 0.5
"""Share of silent parts from which on a clip counts as partly silent.

Dry speech with its pauses reaches 0.41 (codec-listening-test), music far less.
"""
PART_SECONDS = 0.1
"""Length of the parts."""

CLIPPING_LEVEL = 0.999
CLIPPING_RUN = 3
"""A sample is clipped when it stands in a run of so many samples at this level."""
CLIPPED_SHARE = 1e-3
"""Above this share of clipped samples, a clip is reported."""

CANCELLING_DECIBELS = -10.0
"""Channels cancel when the power of their mean is so far below their mean power.

It is 0 for equal channels, -3 for independent ones and where one is silent. Of two
equally loud channels with correlation r it is ``10 log10((1 + r) / 2)``, so that -10 is
r = -0.8: no stereo recording, but one with a channel of reversed polarity.
"""


@dataclass(frozen=True)
class Levels:
    """Levels of a recording, or of the part of it that was read.

    Parameters
    ----------
    peak : float
        Largest magnitude over all channels; full scale is 1.
    rms : float
        Root mean square over all channels.
    clipped_fraction : float
        Share of samples in runs of at least `CLIPPING_RUN` at full scale.
    silent_fraction : float
        Share of the parts of `PART_SECONDS` that are silent.
    mix_decibels : float
        Power of the mean of the channels relative to their mean power; 0 in digital
        silence.
    """

    peak: float
    rms: float
    clipped_fraction: float
    silent_fraction: float
    mix_decibels: float

    @property
    def is_silent(self) -> bool:
        """Whether the whole lies below `SILENCE_DBFS`."""
        return self.rms < 10 ** (SILENCE_DBFS / 20)

    @property
    def is_partly_silent(self) -> bool:
        """Whether much of it is silent, but not the whole."""
        return self.silent_fraction >= PARTLY_SILENT and not self.is_silent

    @property
    def is_clipped(self) -> bool:
        """Whether more than `CLIPPED_SHARE` of its samples are clipped."""
        return self.clipped_fraction > CLIPPED_SHARE

    @property
    def is_cancelling(self) -> bool:
        """Whether the mean of its channels is not what is heard."""
        return self.mix_decibels < CANCELLING_DECIBELS and not self.is_silent


class LevelMeter:
    """The levels of a recording that comes in portions of shape (n_frames, channels).

    Parameters
    ----------
    rate : int
        Sample rate in Hz.
    """

    def __init__(self, rate: int) -> None:
        self._part = max(round(PART_SECONDS * rate), 1)
        self._n_frames = 0
        self._n_samples = 0
        self._n_clipped = 0
        self._peak = 0.0
        self._mix_energy = 0.0
        self._energy = 0.0
        # Energy and length of the parts that are finished, and of the one that is not.
        self._part_means: list[np.ndarray] = []
        self._open_energy = 0.0
        self._open_frames = 0

    def add(self, chunk: np.ndarray) -> None:
        """Take note of a portion."""
        # In double precision: squares of 15 minutes do not add up in float32.
        squares = np.einsum("ij,ij->i", chunk, chunk, dtype=np.float64)
        self._n_frames += len(chunk)
        self._n_samples += chunk.size
        self._n_clipped += count_clipped(chunk)
        self._peak = max(self._peak, float(np.abs(chunk).max()))
        self._energy += float(squares.sum())
        self._mix_energy += mix_energy(chunk)
        self._add_parts(squares / chunk.shape[1])

    def _add_parts(self, squares: np.ndarray) -> None:
        """Divide mean squares of the channels, one per frame, into parts."""
        n_missing = self._part - self._open_frames
        if len(squares) < n_missing:
            self._open_energy += float(squares.sum())
            self._open_frames += len(squares)
            return
        first = self._open_energy + float(squares[:n_missing].sum())
        rest = squares[n_missing:]
        n_parts = len(rest) // self._part
        whole = rest[: n_parts * self._part].reshape(n_parts, self._part)
        energies = np.concatenate([[first], whole.sum(axis=1)])
        self._part_means.append(energies / self._part)
        left = rest[n_parts * self._part :]
        self._open_energy = float(left.sum())
        self._open_frames = len(left)

    def levels(self) -> Levels:
        """What was found so far; at least one frame is needed."""
        parts = [*self._part_means]
        # A last part of a few samples says nothing, unless there is no other.
        if self._open_frames and (not parts or 2 * self._open_frames >= self._part):
            parts.append(np.array([self._open_energy / self._open_frames]))
        means = np.concatenate(parts)
        is_silent = means < 10 ** (SILENCE_DBFS / 10)

        n_channels = self._n_samples // self._n_frames
        channel_energy = self._energy / n_channels
        return Levels(
            peak=self._peak,
            rms=float(np.sqrt(self._energy / self._n_samples)),
            clipped_fraction=self._n_clipped / self._n_samples,
            silent_fraction=float(is_silent.mean()),
            mix_decibels=mix_decibels(self._mix_energy, channel_energy),
        )


def mix_energy(chunk: np.ndarray) -> float:
    """Energy of the mean of the channels of a portion."""
    if chunk.shape[1] == 1:
        mix = chunk[:, 0]
    else:
        mix = chunk.mean(axis=1)
    return float(np.dot(mix, mix))


def mix_decibels(mix: float, channels: float) -> float:
    """Energy of a mix relative to the mean energy of its channels, in dB.

    >>> mix_decibels(0.5, 1.0), mix_decibels(0.0, 0.0)
    (-3.010299956639812, 0.0)
    """
    if channels == 0:
        return 0.0
    return float(10 * np.log10(max(mix / channels, 1e-12)))


def count_clipped(chunk: np.ndarray) -> int:
    """Samples in runs of at least `CLIPPING_RUN` at full scale, counted per channel."""
    if len(chunk) < CLIPPING_RUN:
        return 0
    at_full_scale = np.abs(chunk) >= CLIPPING_LEVEL
    if not at_full_scale.any():
        return 0

    # A lone peak is not clipping: only where three samples in a row are at full scale
    # does a run start, and then all three belong to it.
    starts_run = at_full_scale[2:] & at_full_scale[1:-1] & at_full_scale[:-2]
    in_run = np.zeros_like(at_full_scale)
    for shift in range(CLIPPING_RUN):
        in_run[shift : shift + len(starts_run)] |= starts_run
    return int(in_run.sum())
