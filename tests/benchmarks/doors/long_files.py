"""Audio files of minutes to an hour."""

from __future__ import annotations

import time

import numpy as np
import soundfile

RATE = 16_000
BLOCK_SECONDS = 60


def write_long(folder, minutes, suffix):
    """Noise of some minutes, written block by block."""
    path = str(folder / f"{minutes}min.{suffix}")
    rng = np.random.default_rng(0)
    block = 0.1 * rng.standard_normal(BLOCK_SECONDS * RATE)
    with soundfile.SoundFile(path, "w", RATE, channels=1) as file:
        for _ in range(minutes):
            file.write(block)
    # What is found of a file is kept once its times are this old.
    time.sleep(2.1)
    return path
