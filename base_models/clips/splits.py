"""Seeded splits that keep systems and score bands in proportion, and keep groups whole.

Units (clips, or groups of clips) are laid out system by system, band by band, in random order within a band, and dealt
along that walk: each goes to the part that is furthest behind its share. So every stretch of the walk, each system and
each band, holds each part within about one unit of its share, and what is left over in a tiny system carries on to the
next. The trap: clips that share a prompt or a source are not independent; without `group` they end up on both sides.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from base_models.errors import UsageError, some

SPLITS = ("train", "dev", "test")
BANDS = 3


def assign_splits(
    frame: pd.DataFrame,
    sizes: Sequence[float] = (0.7, 0.15, 0.15),
    seed: int = 0,
    group: str | None = None,
) -> pd.Series:
    """A split for each clip, in proportion within each system and score band.

    Parameters
    ----------
    frame : clip table of n rows; bands are thirds of a system's clips by mean label (unlabelled clips come last)
    sizes : shares of train, dev and test; they sum to 1, and a share may be 0
    seed : int, not negative
    group : column whose equal values stay together (``"prompt_id"``, ``"system_id"`` …)

    Returns
    -------
    splits : Series of n ``"train"``, ``"dev"`` or ``"test"`` with the index of `frame`. It depends on the clips, not on
        the order of rows; no split with a share is empty as long as there are enough clips (or groups).

    Raises
    ------
    UsageError
        when the sizes are not shares, or there is no such column.

    Notes
    -----
    DORA-MOS, section III.B, splits by system and score distribution; its published code by system alone.
    """
    sizes = np.asarray(sizes, dtype=np.float64)
    if (
        sizes.shape != (3,)
        or not (sizes >= 0).all()
        or abs(sizes.sum() - 1) > 1e-6
        or sizes[0] == 0
    ):
        raise UsageError(
            f"Split sizes are three shares (train > 0) that sum to 1; got {tuple(sizes.tolist())}."
        )
    if group is not None and group not in frame.columns:
        raise UsageError(
            f"No column '{group}' to group by; there are {some(frame.columns, 20)}."
        )
    rows = np.argsort(frame["clip_id"].to_numpy(dtype=object), kind="stable")
    ordered = frame.iloc[rows]
    groups = None if group is None else ordered[group].to_numpy(dtype=object)
    part = _deal(
        ordered["system_id"],
        ordered[frame.attrs.get("aspects", [])],
        groups,
        sizes,
        seed,
    )
    splits = np.empty(len(frame), dtype=object)
    splits[rows] = np.array(SPLITS, dtype=object)[part]
    return pd.Series(splits, index=frame.index, name="split")


def stratified_holdout(
    system_ids, scores, fraction: float, seed: int, groups=None
) -> np.ndarray:
    """Which clips to hold out, in proportion within each system and score band.

    Parameters
    ----------
    system_ids : n names
    scores : array of shape (n,) or (n, aspects); NaN where unlabelled
    fraction : float in (0, 1), the share held out
    seed : int, not negative
    groups : n values; clips with equal values stay together

    Returns
    -------
    held_out : bool array of shape (n,), with both values in it

    Raises
    ------
    UsageError
        when the fraction is not in (0, 1), or there are fewer than 2 clips (or groups).
    """
    if not 0 < fraction < 1:
        raise UsageError(f"The share to hold out lies between 0 and 1; got {fraction}.")
    part = _deal(system_ids, scores, groups, np.array([1 - fraction, fraction]), seed)
    if len(set(part.tolist())) < 2:
        raise UsageError(
            "Holding out needs at least 2 clips (or groups); there are fewer."
        )
    return part == 1


def folds(system_ids, scores, k: int, seed: int, groups=None) -> np.ndarray:
    """A fold number for each clip, in proportion within each system and score band.

    Parameters
    ----------
    system_ids, scores, seed, groups : see `stratified_holdout`
    k : int, at least 2

    Returns
    -------
    fold : int array of shape (n,), values 0 … k - 1, each of them used

    Raises
    ------
    UsageError
        when k is below 2, or there are fewer than k clips (or groups).
    """
    if k < 2:
        raise UsageError(f"At least 2 folds are needed; got {k}.")
    part = _deal(system_ids, scores, groups, np.full(k, 1 / k), seed)
    if len(set(part.tolist())) < k:
        raise UsageError(
            f"{k} folds need at least {k} clips (or groups); there are fewer."
        )
    return part


def reached(frame: pd.DataFrame) -> str:
    """The proportions that a split has reached, for people.

    >>> reached(pd.DataFrame({"split": ["train", "train", "train", "dev"]}))
    'train 3 (75.0 %), dev 1 (25.0 %), test 0 (0.0 %)'
    """
    counts = frame["split"].value_counts()
    total = max(len(frame), 1)
    return ", ".join(
        f"{name} {counts.get(name, 0)} ({100 * counts.get(name, 0) / total:.1f} %)"
        for name in SPLITS
    )


def _deal(system_ids, scores, groups, sizes: np.ndarray, seed: int) -> np.ndarray:
    """Part of each clip, shape (n,): the whole method, for any number of parts."""
    systems = np.array(list(system_ids), dtype=object)
    n = len(systems)
    scores = (
        np.asarray(scores, dtype=np.float64).reshape(n, -1) if n else np.empty((0, 0))
    )
    if groups is not None and len(groups) != n:
        raise UsageError(f"{len(groups)} groups for {n} clips.")
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise UsageError(f"A seed is an integer, not negative; got {seed!r}.")
    unit = (
        np.arange(n)
        if groups is None
        else pd.factorize(np.array(list(groups), dtype=object), use_na_sentinel=False)[
            0
        ]
    )
    rng = np.random.default_rng(seed)
    table = _units(systems, _row_means(scores), unit)
    walk = _walk(table["stratum"].to_numpy(), table["score"].to_numpy(), rng)
    part = _along(walk, table["weight"].to_numpy(), sizes)
    return part[unit]


def _row_means(scores: np.ndarray) -> np.ndarray:
    """Mean of the labels that are there, NaN where there is none: shape (n, aspects) to (n,)."""
    there = ~np.isnan(scores)
    sums = np.where(there, scores, 0).sum(axis=1)
    return np.where(there.any(axis=1), sums / np.maximum(there.sum(axis=1), 1), np.nan)


def _units(systems: np.ndarray, scores: np.ndarray, unit: np.ndarray) -> pd.DataFrame:
    """Weight, stratum and mean score of each unit.

    The stratum is the unit's system; units that span systems, and those that are the only one of theirs, share one.
    """
    clips = pd.DataFrame(
        {"unit": unit, "system": pd.factorize(systems)[0], "score": scores}
    )
    table = clips.groupby("unit").agg(
        weight=("unit", "size"),
        first=("system", "min"),
        last=("system", "max"),
        score=("score", "mean"),
    )
    table["stratum"] = table["first"].where(table["first"] == table["last"], -1)
    alone = table.groupby("stratum")["weight"].transform("size") == 1
    table["stratum"] = table["stratum"].where(~alone, -1)
    return table


def _walk(
    strata: np.ndarray, scores: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Units in the order in which they are dealt: strata, bands within one, and units within a band, each shuffled."""
    walk = []
    for stratum in rng.permutation(np.unique(strata)):
        members = rng.permutation(np.flatnonzero(strata == stratum))
        ranked = members[
            np.argsort(scores[members], kind="stable")
        ]  # NaN last; equal scores in random order
        band = rng.permutation(BANDS)[np.arange(len(ranked)) * BANDS // len(ranked)]
        shuffled = rng.permutation(len(ranked))
        walk.append(ranked[shuffled[np.argsort(band[shuffled], kind="stable")]])
    return np.concatenate(walk) if walk else np.empty(0, dtype=np.int64)


def _along(walk: np.ndarray, weights: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Deal the units of `walk`, each to the part that is furthest behind its share of the clips so far."""
    part = np.zeros(len(walk), dtype=np.int64)
    behind = np.zeros(len(sizes))
    for unit in walk:
        behind += sizes * weights[unit]
        part[unit] = np.argmax(np.where(sizes > 0, np.round(behind, 9), -np.inf))
        behind[part[unit]] -= weights[unit]
    for empty in np.flatnonzero(sizes > 0):
        counts = np.bincount(part, minlength=len(sizes))
        if counts[empty] == 0 and counts.max(initial=0) > 1:
            part[walk[part[walk] == counts.argmax()][-1]] = empty
    return part
