"""How the channels of a recording become one, by a rule of `base_models.mono_rules`."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from base_models.clips.audio_files.levels import (
    CANCELLING_DECIBELS,
    energy,
    mix_decibels,
    mix_of,
)


def mean_of_channels(chunks: Iterable[np.ndarray]) -> np.ndarray | None:
    """The mean of the channels of portions of shape (n_frames, channels).

    None where the channels cancel, so that it is not what is heard.
    """
    means = []
    of_channels = 0.0
    of_mean = 0.0
    for chunk in chunks:
        mean = mix_of(chunk)
        means.append(mean)
        # Of one channel there is nothing to compare.
        if chunk.shape[1] > 1:
            of_channels += energy(chunk) / chunk.shape[1]
            of_mean += energy(mean)
    if mix_decibels(of_mean, of_channels) < CANCELLING_DECIBELS:
        return None
    return np.concatenate(means)


def one_channel(chunks: Iterable[np.ndarray], rule: str) -> np.ndarray:
    """One channel of portions of shape (n_frames, channels), by a rule but ``mix``."""
    samples = np.concatenate(list(chunks))
    place = 0
    if rule == "right":
        place = min(1, samples.shape[1] - 1)
    elif rule == "loudest":
        energies = np.einsum("ij,ij->j", samples, samples, dtype=np.float64)
        place = int(np.argmax(energies))
    return np.ascontiguousarray(samples[:, place])
