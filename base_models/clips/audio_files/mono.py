"""How the channels of a recording become one, by a rule of `base_models.mono_rules`."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from base_models.clips.audio_files.levels import CANCELLING_DECIBELS, MixMeter
from base_models.mono_rules import named_channel


def mean_of_channels(chunks: Iterable[np.ndarray]) -> np.ndarray | None:
    """The mean of the channels of portions of shape (n_frames, channels).

    None where the channels cancel, so that it is not what is heard.
    """
    meter = MixMeter()
    means = [meter.add(chunk) for chunk in chunks]
    if meter.decibels() < CANCELLING_DECIBELS:
        return None
    return np.concatenate(means)


def one_channel(chunks: Iterable[np.ndarray], rule: str) -> np.ndarray:
    """One channel of portions of shape (n_frames, channels), by a rule but ``mix``."""
    samples = np.concatenate(list(chunks))
    place = named_channel(rule, samples.shape[1])
    if place is None:
        # A constant offset is not heard.
        place = int(np.argmax(samples.var(axis=0, dtype=np.float64)))
    return np.ascontiguousarray(samples[:, place])
