"""A large table of rated clips."""

from __future__ import annotations

import numpy as np
import pandas as pd


def rated_table(n):
    """A table of n rated clips of 20 systems, with prompts that hold quotes, commas and
    letters beyond ASCII.
    """
    rng = np.random.default_rng(0)
    k = np.arange(n)
    prompts = [f'slow "café" piano, number {number}' for number in range(200)]
    return pd.DataFrame(
        {
            "clip_id": [f"clip{number:06d}" for number in k],
            "audio": [f"wav/clip{number:06d}.wav" for number in k],
            "prompt": [prompts[number % 200] for number in k],
            "system_id": [f"S{number % 20:02d}" for number in k],
            "split": np.where(k % 10 < 8, "train", "test"),
            "mi": rng.uniform(1, 5, n).round(3),
            "ta": rng.uniform(1, 5, n).round(3),
        }
    )
