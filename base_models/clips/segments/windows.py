"""Windows over clips that are longer than what models read at once.

A model reads the first `USED_SECONDS` of a clip. A longer clip is divided into windows
of that length which start every `HOP_SECONDS` and overlap; the last one ends with the
clip. Each window is a segment, and as such a clip of its own.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from base_models.clips.audio import (
    LENGTH_TOLERANCE,
    USED_SECONDS,
    declared_seconds,
    powers_by_second,
)
from base_models.clips.audio_files.levels import SILENCE_DBFS
from base_models.clips.segments.reference import Segment, segment_of

HOP_SECONDS = 15.0
"""From the start of a window to that of the next one."""

DIVIDING = "windows"
"""Name of this step where progress is shown."""


@dataclass(frozen=True)
class Window:
    """A part of a clip.

    Parameters
    ----------
    audio : str
        Its name, as `base_models.clips.audio.load_audio` takes it.
    start, end : float
        In seconds from the start of the clip.
    weight : float
        Its share in the score of the clip; those of all windows sum to 1.
    is_silent : bool
        Whether it is below `SILENCE_DBFS`.
    """

    audio: str
    start: float
    end: float
    weight: float = 1.0
    is_silent: bool = False


def is_longer(seconds: float) -> bool:
    """Whether a clip of this length is longer than what is used of it."""
    return seconds > USED_SECONDS + LENGTH_TOLERANCE


def window_starts(seconds: float, hop: float = HOP_SECONDS) -> list[float]:
    """Starts of the windows over a clip, in seconds.

    They lie a hop apart, up to the last, which ends with the clip. That one may follow
    by a little more than a hop, where it overlaps with the one before nevertheless: a
    rest of less than `LENGTH_TOLERANCE` gets no window of its own.

    Parameters
    ----------
    seconds : float
        Length of the clip.
    hop : float
        At most `USED_SECONDS`.

    Examples
    --------
    >>> window_starts(30.3), window_starts(60), window_starts(70)
    ([0.0], [0.0, 15.0, 30.0], [0.0, 15.0, 30.0, 40.0])
    """
    if not is_longer(seconds):
        return [0.0]
    last = seconds - USED_SECONDS
    rest = min(LENGTH_TOLERANCE, USED_SECONDS - hop)
    n_before = max(1, int(np.ceil((last - rest) / hop)))
    return [hop * k for k in range(n_before)] + [last]


def window_weights(starts: ArrayLike, ends: ArrayLike) -> np.ndarray:
    """The share of each window in the whole, shape (n,), where each second counts once.

    A second that several windows hold is divided among them. Equal shares would count
    what lies in the middle of a clip more often than its ends, and where the last
    windows hardly differ, what lies there twice.

    >>> window_weights([0, 15, 30], [30, 45, 60]).round(3).tolist()
    [0.375, 0.25, 0.375]
    """
    first = np.asarray(starts)[:, None]
    last = np.asarray(ends)[:, None]
    times = np.unique(np.concatenate([first, last]))
    holds = (first <= times[:-1]) & (times[1:] <= last)
    shares = holds * (np.diff(times) / np.maximum(holds.sum(axis=0), 1))
    seconds: np.ndarray = shares.sum(axis=1)
    return seconds / seconds.sum()


def windows_of(
    audio: str | os.PathLike[str], hop: float = HOP_SECONDS
) -> tuple[Window, ...]:
    """Divide a clip into windows.

    A clip that is not longer than what is used of it is one window, itself, and is not
    decoded here; the first window of another has the name of the clip, and with it the
    stored embedding. A longer clip is read to its end, block by block.

    A silent window has a weight of 0, as there is nothing in it to be judged, unless
    all are silent.

    Parameters
    ----------
    audio : path-like
        As `base_models.clips.audio.load_audio` takes it.
    hop : float
        In seconds.

    Raises
    ------
    ClipError
        When a longer clip cannot be read to its end.
    """
    name = os.fspath(audio)
    declared = declared_seconds(name)
    # A clip that cannot be read is not longer: whoever scores it says why.
    if not is_longer(declared):
        return (Window(name, 0.0, declared),)

    powers, seconds = powers_by_second(name)
    starts = window_starts(seconds, hop)
    ends = [*(start + USED_SECONDS for start in starts[:-1]), seconds]
    is_silent = np.zeros(len(starts), dtype=bool)
    for place, start in enumerate(starts):
        power = powers[int(start) : int(np.ceil(ends[place]))].mean()
        is_silent[place] = power < 10 ** (SILENCE_DBFS / 10)

    weights = np.zeros(len(starts))
    counted = np.full(len(starts), True) if is_silent.all() else ~is_silent
    weights[counted] = window_weights(
        np.asarray(starts)[counted], np.asarray(ends)[counted]
    )

    clip = segment_of(name) or Segment(name, 0.0)
    windows = []
    for place, start in enumerate(starts):
        end = ends[place]
        windows.append(
            Window(
                audio=name if place == 0 else clip.part(start, end).reference,
                start=start,
                end=end,
                weight=float(weights[place]),
                is_silent=bool(is_silent[place]),
            )
        )
    return tuple(windows)
