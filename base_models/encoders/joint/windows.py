"""Windows of fixed length, for encoders that give one vector for each."""

from __future__ import annotations

import numpy as np


def consecutive_windows(
    samples: np.ndarray,
    length: int,
    least: int = 1,
) -> list[np.ndarray]:
    """Cut a clip into windows without overlap; the last may be shorter.

    Parameters
    ----------
    samples : array of shape (samples,)
    length : int
        Number of samples in a window.
    least : int
        A rest that is shorter than this, after a whole window, is left out.

    Examples
    --------
    >>> [len(window) for window in consecutive_windows(np.zeros(25), 10, least=3)]
    [10, 10, 5]
    >>> [len(window) for window in consecutive_windows(np.zeros(22), 10, least=3)]
    [10, 10]
    """
    starts = range(0, len(samples), length)
    windows = [samples[start : start + length] for start in starts]

    # Repeated to fill a window, a short rest would be a buzz that weighs as much as
    # whole seconds of music.
    if len(windows) > 1 and len(windows[-1]) < least:
        windows.pop()
    return windows
