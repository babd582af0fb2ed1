"""Simulated single ratings around the labels of a table of clips."""

from __future__ import annotations

import numpy as np
import pandas as pd

from base_models.config import BaseConfig


def ratings_of(clips, aspects, raters=4):
    """Whole ratings by so many raters of every clip."""
    rng = np.random.default_rng(0)
    rows = []
    for clip, *labels in clips[["clip_id", *aspects]].itertuples(index=False):
        for rater in range(raters):
            heard = np.array(labels, dtype=float) + rng.normal(0, 0.7, len(aspects))
            rows.append((clip, f"R{rater}", *np.clip(np.rint(heard), 1, 5)))
    return pd.DataFrame(rows, columns=["clip_id", "rater_id", *aspects])


def ratings_for(preset, clips, aspects):
    """What `fit` is to be given: ratings where the preset reads them, else None."""
    if BaseConfig.preset(preset).reads_ratings:
        return ratings_of(clips, aspects)
    return None
