"""What can be wrong with the levels of a recording: silence, clipping, cancelling.

The thresholds stand here alone; whoever checks clips or scores them asks `Levels`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SILENCE_DBFS = -60.0
"""A clip or a part of one below this level is silent; digital full scale is 0.

The level is the root mean square over all channels, without what does not oscillate: a
constant offset is heard by nobody. A soft passage of music lies above -50, the noise of
a good recording chain below -70.
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
    channel_rms : tuple of float
        Root mean square of each channel; of each part of `PART_SECONDS` without its
        mean.
    clipped_fraction : float
        Share of samples in runs of at least `CLIPPING_RUN` at full scale.
    silent_fraction : float
        Share of the parts of `PART_SECONDS` that are silent.
    mix_decibels : float
        Power of the mean of the channels relative to their mean power, without constant
        offsets; 0 in digital silence.
    """

    peak: float
    channel_rms: tuple[float, ...]
    clipped_fraction: float
    silent_fraction: float
    mix_decibels: float

    @property
    def rms(self) -> float:
        """Root mean square over all channels; full scale is 1."""
        return float(np.sqrt(np.mean(np.square(self.channel_rms))))

    @property
    def is_silent(self) -> bool:
        """Whether the whole lies below `SILENCE_DBFS`."""
        return bool(_is_silence(np.array(self.rms**2)))

    def silent_channels(self) -> list[int]:
        """The channels that lie below `SILENCE_DBFS`."""
        return np.flatnonzero(_is_silence(np.square(self.channel_rms))).tolist()

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
        self._mix = MixMeter()
        # Energies of the parts that are whole, of shape (n_parts, n_channels), and the
        # frames behind them.
        self._energies: list[np.ndarray] = []
        self._rest: np.ndarray | None = None

    def add(self, chunk: np.ndarray) -> None:
        """Take note of a portion."""
        peak = max(float(chunk.max()), -float(chunk.min()))
        self._n_frames += len(chunk)
        self._n_samples += chunk.size
        self._peak = max(self._peak, peak)
        if peak >= CLIPPING_LEVEL:
            self._n_clipped += count_clipped(chunk)
        self._mix.add(chunk)

        if self._rest is not None:
            chunk = np.concatenate([self._rest, chunk])
        n_parts = len(chunk) // self._part
        whole = chunk[: n_parts * self._part]
        self._energies.append(
            _energies(whole.reshape(n_parts, self._part, chunk.shape[1]))
        )
        self._rest = chunk[n_parts * self._part :]

    def levels(self) -> Levels:
        """What was found so far; at least one frame is needed."""
        energies = np.concatenate(self._energies)
        n_channels = energies.shape[1]
        means = energies.sum(axis=1) / (self._part * n_channels)
        totals = energies.sum(axis=0)
        if self._rest is not None and len(self._rest):
            left = _energies(self._rest[np.newaxis])[0]
            totals += left
            # A last part of a few samples says nothing, unless there is no other.
            if not len(means) or 2 * len(self._rest) >= self._part:
                means = np.append(means, left.sum() / self._rest.size)

        channel_rms = np.sqrt(totals / self._n_frames)
        return Levels(
            peak=self._peak,
            channel_rms=tuple(channel_rms.tolist()),
            clipped_fraction=self._n_clipped / self._n_samples,
            silent_fraction=float(_is_silence(means).mean()),
            mix_decibels=self._mix.decibels(),
        )


def _is_silence(powers: np.ndarray) -> np.ndarray:
    """Whether mean squares lie below `SILENCE_DBFS`."""
    below: np.ndarray = powers < 10 ** (SILENCE_DBFS / 10)
    return below


def _energies(parts: np.ndarray) -> np.ndarray:
    """Of parts of shape (n_parts, n_frames, n_channels) those of each channel."""
    deviations = parts - _means(parts)
    means = _means(np.square(deviations))[:, 0]
    energies: np.ndarray = means.astype(np.float64) * parts.shape[1]
    return energies


def _means(parts: np.ndarray) -> np.ndarray:
    """Of parts of shape (n_parts, n_frames, n_channels) those over the frames."""
    # By a product of matrices, which takes a fraction of the time of `mean`.
    n_frames = parts.shape[1]
    shares = np.full((1, n_frames), 1 / n_frames, dtype=parts.dtype)
    means: np.ndarray = shares @ parts
    return means


def mix_of(chunk: np.ndarray) -> np.ndarray:
    """The mean of the channels of a portion of shape (n_frames, channels)."""
    # As `mean` has it to the last bit, which takes many times as long.
    if chunk.shape[1] == 1:
        return chunk[:, 0]
    if chunk.shape[1] == 2:
        sums: np.ndarray = chunk[:, 0] + chunk[:, 1]
        return sums * np.float32(0.5)
    means: np.ndarray = chunk.mean(axis=1)
    return means


def energy(samples: np.ndarray) -> float:
    """Sum of the squares of samples of any shape."""
    flat = samples.reshape(-1)
    return float(np.dot(flat, flat))


class MixMeter:
    """How far the mean of the channels lies below them, in portions.

    What counts are deviations from the mean of each channel over the recording: a
    constant offset is not heard, and would be left where channels cancel.
    """

    def __init__(self) -> None:
        self._n_frames = 0
        self._offsets: np.ndarray | None = None
        self._sums = np.zeros(1)
        self._energy = 0.0
        self._mix_energy = 0.0

    def add(self, chunk: np.ndarray) -> np.ndarray:
        """Take note of a portion of shape (n_frames, channels), and mix it.

        Returns
        -------
        mix : array of shape (n_frames,)
            See `mix_of`.
        """
        mix = mix_of(chunk)
        # Of one channel there is nothing to compare.
        if chunk.shape[1] == 1:
            return mix

        means = _means(chunk[np.newaxis])[0, 0]
        # Sums of squares are exact only where the offset is about 0.
        if self._offsets is None:
            self._offsets = means
        self._n_frames += len(chunk)
        self._sums = self._sums + len(chunk) * (means - self._offsets).astype(float)
        self._energy += energy(chunk - self._offsets)
        self._mix_energy += energy(mix - self._offsets.mean())
        return mix

    def decibels(self) -> float:
        """Power of the mean of the channels relative to their mean power; at most 0."""
        if self._n_frames == 0:
            return 0.0
        left = self._sums / self._n_frames
        offsets = float(np.mean(left**2))
        of_channels = self._energy / len(left) - self._n_frames * offsets
        of_mix = self._mix_energy - self._n_frames * float(np.mean(left)) ** 2
        return mix_decibels(of_mix, of_channels)


def mix_decibels(mix: float, channels: float) -> float:
    """Energy of a mix relative to the mean energy of its channels, in dB.

    >>> mix_decibels(0.5, 1.0), mix_decibels(0.0, 0.0)
    (-3.010299956639812, 0.0)
    """
    if channels <= 0:
        return 0.0
    return float(10 * np.log10(max(mix / channels, 1e-12)))


def count_clipped(chunk: np.ndarray) -> int:
    """Samples in runs of at least `CLIPPING_RUN` at full scale, counted per channel."""
    if len(chunk) < CLIPPING_RUN:
        return 0
    at_full_scale = np.abs(chunk) >= CLIPPING_LEVEL

    # A lone peak is not clipping: only where three samples in a row are at full scale
    # does a run start, and then all three belong to it.
    starts_run = at_full_scale[2:] & at_full_scale[1:-1] & at_full_scale[:-2]
    in_run = np.zeros_like(at_full_scale)
    for shift in range(CLIPPING_RUN):
        in_run[shift : shift + len(starts_run)] |= starts_run
    return int(in_run.sum())
