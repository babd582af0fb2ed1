"""Clips in windows of fixed length, for encoders that give one vector for each.

The trap: the feature extractor of CLAP cuts ten seconds at random out of a longer clip, so a clip's score changes from
call to call. Here windows follow one another, whole, and nothing is random.
"""

from __future__ import annotations

import numpy as np


def consecutive_windows(
    samples: np.ndarray, length: int, least: int = 1
) -> list[np.ndarray]:
    """Windows that follow one another without overlap; the last may be shorter.

    Parameters
    ----------
    samples : array of shape (samples,)
    length : int, samples in a window
    least : int, a rest shorter than this after a whole window is left out: repeated to fill a window it would be a
        buzz that weighs as much as ten seconds of music

    >>> [len(window) for window in consecutive_windows(np.zeros(25), 10, least=3)]
    [10, 10, 5]
    >>> [len(window) for window in consecutive_windows(np.zeros(22), 10, least=3)]
    [10, 10]
    """
    windows = [
        samples[start : start + length] for start in range(0, len(samples), length)
    ]
    return windows[:-1] if len(windows) > 1 and len(windows[-1]) < least else windows
