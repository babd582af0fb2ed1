"""What share of new ratings intervals hold: on 1,000 exchangeable tables, and on real
ratings of unseen systems.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from builders import SHARED_DATA
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GroupKFold

from base_models.bins import ScoreBins
from meta.uncertainty.calibration import Calibration

REAL = SHARED_DATA / "bvcc-predictions" / "val_half.csv"
TABLES, CLIPS, NEW, LEVELS, BINS = 1000, 165, 248, (0.5, 0.9, 0.95), ScoreBins()
"""Clips of each table: 40 % of a dev split of 413 teach the intervals, the others are
new.
"""


def shares(calibration, scores, truth):
    """Share of the truths in the intervals of each level."""
    bounds = [calibration.interval(scores, level) for level in LEVELS]
    return [np.mean((low <= truth) & (truth <= high)) for low, high in bounds]


def bench_intervals_of_exchangeable_clips():
    """Skewed errors, wider for better clips, and truths that fall onto the ends of the
    scale.
    """
    rng, found = np.random.default_rng(0), []
    for _ in range(TABLES):
        scores = rng.uniform(1.2, 4.8, CLIPS + NEW)
        truth = np.clip(
            scores + (0.2 + 0.1 * scores) * (0.75 - rng.gamma(1.5, 0.5, len(scores))),
            1,
            5,
        )
        calibration = Calibration.fit(scores[:CLIPS], truth[:CLIPS], BINS)
        found.append(shares(calibration, scores[CLIPS:], truth[CLIPS:]))
    held = dict(zip(LEVELS, np.mean(found, axis=0), strict=True))
    print(
        f"\n{TABLES} tables, {CLIPS} clips teach the intervals of {NEW} new ones; "
        f"truths held:",
        end=" ",
    )
    print(", ".join(f"{share:.1%} for {level:.0%}" for level, share in held.items()))
    assert 0.88 <= held[0.9] <= 0.92


@pytest.mark.skipif(not REAL.is_file(), reason="the real predictions are not here")
def bench_intervals_of_unseen_systems():
    """Ridge on 51 models' scores; systems are left out in 5 folds, and in 5 more to
    teach the intervals.
    """
    table = pd.read_csv(REAL)
    members, truth, systems = (
        table.iloc[:, 5:].to_numpy(),
        table["mos"].to_numpy(),
        table["system"].to_numpy(),
    )
    print(
        f"\n{len(truth)} clips of {len(set(systems))} systems; truths held for "
        f"{LEVELS}:"
    )
    found = []
    for train, test in folds(systems):
        unseen = np.empty(len(train))
        for inner, held in folds(systems[train]):
            unseen[held] = ridge(members[train][inner], truth[train][inner]).predict(
                members[train][held]
            )
        scores = ridge(members[train], truth[train]).predict(members[test])
        calibration = Calibration.fit(unseen, truth[train], BINS)
        found.append(shares(calibration, scores, truth[test]))
        print(
            f"fold {len(found)}, {len(test)} clips: "
            + ", ".join(f"{share:.1%}" for share in found[-1])
        )
    print(
        "mean of folds: "
        + ", ".join(f"{share:.1%}" for share in np.mean(found, axis=0))
    )


def folds(systems):
    return GroupKFold(5, shuffle=True, random_state=0).split(systems, groups=systems)


def ridge(members, truth):
    return RidgeCV(np.logspace(-2, 4, 25)).fit(members, truth)
