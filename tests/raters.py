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


DESIGNS = ("own", "shared", "nested", "pool")
"""Who rates: others on every clip; the same on all clips; a panel per system; or some
of a pool on each clip."""


def rated_systems(rng, design, systems=15, clips=20, raters=6, pool=24):
    """A listening test whose raters have habits, of one of `DESIGNS`.

    Returns
    -------
    ratings : DataFrame, unrounded, see `base_models.clips.ratings.read_ratings`
    truth : array of shape (clips in all,), true scores in the order of the ids
    system : the same, codes
    """
    system = np.repeat(np.arange(systems), clips)
    n = len(system)
    of_systems = rng.normal(0, 0.5, systems)
    truth = 3 + of_systems[system] + rng.normal(0, 0.4, n)
    if design == "own":
        rater = np.arange(n * raters)
    elif design == "shared":
        rater = np.tile(np.arange(raters), n)
    elif design == "nested":
        rater = (system[:, None] * raters + np.arange(raters)).ravel()
    else:
        rater = np.argsort(rng.random((n, pool)), axis=1)[:, :raters].ravel()

    # With these habits the true scores have a Spearman correlation with the labels of
    # about .90 over clips that share raters, and of .83 over systems with panels.
    clip = np.repeat(np.arange(n), raters)
    habit = rng.normal(0, 0.65 if design == "nested" else 0.8, rater.max() + 1)
    heard = truth[clip] + habit[rater] + rng.normal(0, 0.7, len(clip))
    ratings = pd.DataFrame(
        {
            "clip_id": [f"c{k:04d}" for k in clip],
            "rater_id": [f"r{k:05d}" for k in rater],
            "mi": heard,
        }
    )
    return ratings, truth, system
