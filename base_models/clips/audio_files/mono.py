"""How the channels of a recording become one: the rules of ``--mono``.

- ``mix``: the mean of the channels. Where they cancel (`CANCELLING_DECIBELS`), as with
  one channel of reversed polarity, the mean is not what is heard: the loudest channel
  is taken instead.
- ``left``, ``right``: the first, the second channel.
- ``loudest``: the channel with the most energy, the first of equals.

The only channel of a recording is taken under every rule.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from base_models.clips.audio_files.levels import (
    CANCELLING_DECIBELS,
    mix_decibels,
    mix_energy,
)

MIX = "mix"
MONO_RULES = (MIX, "left", "right", "loudest")


class MonoMeter:
    """What has to be known of a recording before one of its channels is taken."""

    def __init__(self) -> None:
        self._mix_energy = 0.0
        self._energies: np.ndarray | float = 0.0

    def add(self, chunk: np.ndarray) -> None:
        """Take note of a portion of shape (n_frames, channels)."""
        self._mix_energy += mix_energy(chunk)
        self._energies += np.einsum("ij,ij->j", chunk, chunk, dtype=np.float64)

    @property
    def is_cancelling(self) -> bool:
        """Whether the mean of the channels is not what is heard."""
        mean = float(np.mean(self._energies))
        return mix_decibels(self._mix_energy, mean) < CANCELLING_DECIBELS

    @property
    def loudest(self) -> int:
        """The channel with the most energy."""
        return int(np.argmax(self._energies))


def mean_of_channels(chunks: Iterable[np.ndarray], meter: MonoMeter) -> np.ndarray:
    """The mean of the channels of portions of shape (n_frames, channels)."""
    means = []
    for chunk in chunks:
        # Of one channel there is nothing to compare.
        if chunk.shape[1] > 1:
            meter.add(chunk)
        means.append(chunk.mean(axis=1))
    return np.concatenate(means)


def one_channel(chunks: Iterable[np.ndarray], rule: str) -> np.ndarray:
    """One channel of portions of shape (n_frames, channels), by a rule but ``mix``."""
    samples = np.concatenate(list(chunks))
    place = 0
    if rule == "right":
        place = min(1, samples.shape[1] - 1)
    elif rule == "loudest":
        meter = MonoMeter()
        meter.add(samples)
        place = meter.loudest
    return np.ascontiguousarray(samples[:, place])
