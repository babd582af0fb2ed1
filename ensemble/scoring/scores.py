"""Scores: what scoring returns, whatever it was computed from."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from base_models.clips.read_clips import SetAside


@dataclass(frozen=True)
class Scores:
    """Scores of the clips that could be used, in the order in which they were given.

    Parameters
    ----------
    frame : DataFrame
        ``clip_id``, ``audio``, and per aspect ``<aspect>``, ``<aspect>_low`` and
        ``<aspect>_high`` (bounds of the interval).
    aspects : tuple of str
        Scored aspects.
    left_out : tuple of str
        Aspects that need a prompt, when no clip has one.
    set_aside : tuple of SetAside
        Clips that could not be used.
    """

    frame: pd.DataFrame
    aspects: tuple[str, ...]
    left_out: tuple[str, ...]
    set_aside: tuple[SetAside, ...]
