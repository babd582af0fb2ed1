"""Seeded splits that keep systems and score bands in proportion, and groups whole.

What is dealt is a unit: a clip, or a group of clips that stay together. The units are
laid out in a row, system by system and band by band, in random order within a band.
Along this row each unit goes to the part that is furthest behind its share. Every
stretch of the row, and so each system and each band, holds each part within about one
unit of its share, and what is left over in a tiny system carries on to the next.

Clips that share a prompt or a source are not independent: unless they are grouped, they
end up in several parts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from base_models.clips.columns import SPLITS, fold_name
from base_models.clips.labels import mean_label
from base_models.clips.names import names_or_blank
from base_models.errors import UsageError, one_of, some

# Bands of equal size into which the scores of a system are divided.
SCORE_BANDS = 3

# The stratum of units that span several systems, or are the only one of their system.
_SHARED_STRATUM = -1


def group_column(clips: pd.DataFrame, name: str, option: str = "--group") -> str:
    """The column of a clip table that a user names, also as the file called it.

    Parameters
    ----------
    clips : DataFrame
        Clip table. ``attrs["taken"]`` says which standard columns its file called
        otherwise.
    name : str
        A column of `clips` or of its file; case, spaces and punctuation do not matter.
    option : str
        Where the user names it, for messages.

    Returns
    -------
    column : str
        Of `clips`.

    Raises
    ------
    UsageError
        When there is no such column, or several are meant.

    Examples
    --------
    >>> clips = pd.DataFrame({"prompt": ["x"], "song": ["y"]})
    >>> clips.attrs["taken"] = {"prompt": "What was sung"}
    >>> group_column(clips, "what was sung"), group_column(clips, "Song")
    ('prompt', 'song')
    """
    if name in clips.columns:
        return name
    of_file = {own: column for column, own in clips.attrs.get("taken", {}).items()}
    if name in of_file:
        return of_file[name]
    column_of = {**{column: column for column in clips.columns}, **of_file}
    # One column may be known under two names that are alike.
    alike = {
        column
        for known, column in column_of.items()
        if fold_name(known) == fold_name(name)
    }
    if len(alike) == 1:
        return alike.pop()
    return one_of(name, column_of, f"column for {option}")


def assign_splits(
    frame: pd.DataFrame,
    sizes: Sequence[float] = (0.7, 0.15, 0.15),
    seed: int = 0,
    group: str | None = None,
) -> pd.Series:
    """Assign each clip to a split, in proportion within each system and score band.

    Parameters
    ----------
    frame : DataFrame of n rows
        Clip table. The bands are thirds of a system's clips by mean label; clips
        without a label come last.
    sizes : sequence of 3 floats
        Shares of train, dev and test. They sum to 1; a share of dev or test may be 0.
    seed : int
        Not negative.
    group : str, optional
        Column whose equal values stay together, such as ``"prompt_id"``; a missing
        value is like no other.

    Returns
    -------
    splits : Series of shape (n,)
        ``"train"``, ``"dev"`` or ``"test"``, with the index of `frame`. It depends on
        the clips, not on the order of the rows. No split with a share is empty as long
        as there are enough clips (or groups).

    Raises
    ------
    UsageError
        When the sizes are not shares, there is no such column, or the seed is not a
        non-negative integer.

    Notes
    -----
    DORA-MOS, section II.A, splits by system and score distribution; its published code
    splits by system alone.
    """
    shares = _checked_shares(sizes)
    if group is not None and group not in frame.columns:
        columns = some(frame.columns, 20)
        raise UsageError(f"No column '{group}' to group by; there are {columns}.")

    # Sorted by id, so that the result does not depend on the order of the rows.
    order = np.argsort(frame["clip_id"].to_numpy(dtype=object), kind="stable")
    ordered = frame.iloc[order]
    aspects = frame.attrs.get("aspects", [])
    part = _deal(
        system_ids=ordered["system_id"],
        scores=ordered[aspects],
        groups=None if group is None else ordered[group].to_numpy(dtype=object),
        shares=shares,
        seed=seed,
    )

    splits = np.empty(len(frame), dtype=object)
    splits[order] = np.array(SPLITS, dtype=object)[part]
    return pd.Series(splits, index=frame.index, name="split")


def _checked_shares(sizes: Sequence[float]) -> np.ndarray:
    shares = np.asarray(sizes, dtype=np.float64)
    is_legal = (
        shares.shape == (len(SPLITS),)
        and (shares >= 0).all()
        and abs(shares.sum() - 1) <= 1e-6
        and shares[0] > 0
    )
    if not is_legal:
        raise UsageError(
            "Split sizes are three shares (train > 0) that sum to 1; "
            f"got {tuple(shares.tolist())}."
        )
    return shares


def stratified_holdout(
    system_ids: Iterable[object],
    scores: ArrayLike,
    fraction: float,
    seed: int,
    groups: Iterable[object] | None = None,
) -> np.ndarray:
    """Choose clips to hold out, in proportion within each system and score band.

    Parameters
    ----------
    system_ids : array-like of shape (n,)
        Names of the systems.
    scores : array-like of shape (n,) or (n, aspects)
        NaN where a clip has no label.
    fraction : float
        Share to hold out, between 0 and 1 (both excluded).
    seed : int
        Not negative.
    groups : array-like of shape (n,), optional
        Clips with equal values stay together.

    Returns
    -------
    held_out : bool array of shape (n,)
        Contains both values.

    Raises
    ------
    UsageError
        When the fraction is not between 0 and 1, there are fewer than 2 clips (or
        groups), or the seed is not a non-negative integer.
    """
    if not 0 < fraction < 1:
        raise UsageError(f"The share to hold out lies between 0 and 1; got {fraction}.")
    part = _deal(
        system_ids=system_ids,
        scores=scores,
        groups=groups,
        shares=np.array([1 - fraction, fraction]),
        seed=seed,
    )
    if len(set(part.tolist())) < 2:
        raise UsageError(
            "Holding out needs at least 2 clips (or groups); there are fewer."
        )
    return part == 1


def folds(
    system_ids: Iterable[object],
    scores: ArrayLike,
    k: int,
    seed: int,
    groups: Iterable[object] | None = None,
) -> np.ndarray:
    """Assign each clip to a fold, in proportion within each system and score band.

    Parameters
    ----------
    system_ids, scores, seed, groups
        As in `stratified_holdout`.
    k : int
        Number of folds, at least 2.

    Returns
    -------
    fold : int array of shape (n,)
        Values 0 to k - 1, each of them used.

    Raises
    ------
    UsageError
        When k is below 2, there are fewer than k clips (or groups), or the seed is not
        a non-negative integer.
    """
    if k < 2:
        raise UsageError(f"At least 2 folds are needed; got {k}.")
    part = _deal(
        system_ids=system_ids,
        scores=scores,
        groups=groups,
        shares=np.full(k, 1 / k),
        seed=seed,
    )
    if len(set(part.tolist())) < k:
        raise UsageError(
            f"{k} folds need at least {k} clips (or groups); there are fewer."
        )
    return part


def reached(frame: pd.DataFrame) -> str:
    """Describe the proportions of a split, for people to read.

    >>> reached(pd.DataFrame({"split": ["train", "train", "train", "dev"]}))
    'train 3 (75.0 %), dev 1 (25.0 %), test 0 (0.0 %)'
    """
    counts = frame["split"].value_counts()
    total = max(len(frame), 1)

    descriptions = []
    for name in SPLITS:
        count = counts.get(name, 0)
        percent = 100 * count / total
        descriptions.append(f"{name} {count} ({percent:.1f} %)")
    return ", ".join(descriptions)


def joined_groups(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """A group per row, equal wherever rows are linked by either of two groupings.

    >>> joined_groups(np.array(["a", "a", "b", "c"]), np.array([1, 2, 2, 3])).tolist()
    [0, 0, 0, 1]
    """
    # Imported late, as commands that only say what they can do read this file too.
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    first_codes, first_names = pd.factorize(first)
    second_codes, second_names = pd.factorize(second)
    n_groups = len(first_names) + len(second_names)
    # Every row links its two groups; linked groups are one component of the graph.
    links = coo_array(
        (np.ones(len(first)), (first_codes, second_codes + len(first_names))),
        shape=(n_groups, n_groups),
    )
    _, component = connected_components(links, directed=False)
    return component[first_codes]


def _deal(
    system_ids: Iterable[object],
    scores: ArrayLike,
    groups: Iterable[object] | None,
    shares: np.ndarray,
    seed: int,
) -> np.ndarray:
    """Deal clips to parts of the given shares, in any number.

    Returns
    -------
    part : int array of shape (n,)
        Index into `shares` for each clip.
    """
    systems = _object_array(system_ids)
    n_clips = len(systems)
    unit_of_clip = _unit_of_clip(groups, n_clips)

    is_integer = isinstance(seed, int | np.integer) and not isinstance(seed, bool)
    if not is_integer or seed < 0:
        raise UsageError(f"A seed is an integer, not negative; got {seed!r}.")
    if n_clips == 0:
        return np.zeros(0, dtype=np.int64)

    labels = np.asarray(scores, dtype=np.float64).reshape(n_clips, -1)
    strata = _strata(systems, unit_of_clip)
    unit_scores = _unit_scores(mean_label(labels), unit_of_clip)

    rng = np.random.default_rng(seed)
    row = _lay_out(strata, unit_scores, rng)
    part_of_unit = _deal_along(row, np.bincount(unit_of_clip), shares)
    return part_of_unit[unit_of_clip]


def _object_array(values: Iterable[object]) -> np.ndarray:
    """Values as a one-dimensional array that keeps their types."""
    return np.array(list(values), dtype=object)


def _unit_of_clip(groups: Iterable[object] | None, n_clips: int) -> np.ndarray:
    """Number of the unit of each clip: its group, or the clip alone."""
    if groups is None:
        return np.arange(n_clips)

    group_values = _object_array(groups)
    if len(group_values) != n_clips:
        raise UsageError(f"{len(group_values)} groups for {n_clips} clips.")
    unit_of_clip, names = pd.factorize(group_values, use_na_sentinel=True)
    # Clips of unknown groups have nothing in common: each is a unit.
    unknown = names_or_blank(group_values) == ""
    unit_of_clip[unknown] = len(names) + np.arange(unknown.sum())
    _, units = np.unique(unit_of_clip, return_inverse=True)
    return units


def _strata(systems: np.ndarray, unit_of_clip: np.ndarray) -> np.ndarray:
    """The stratum of each unit: its system.

    Units that span several systems, and units that are the only one of their system,
    share one stratum: there is nothing to keep in proportion within a stratum of one.
    """
    system_codes, _ = pd.factorize(systems)
    n_units = unit_of_clip.max() + 1

    first = np.full(n_units, len(systems))
    np.minimum.at(first, unit_of_clip, system_codes)
    last = np.full(n_units, -1)
    np.maximum.at(last, unit_of_clip, system_codes)
    stratum = np.where(first == last, first, _SHARED_STRATUM)

    _, stratum_of_unit, n_in_stratum = np.unique(
        stratum, return_inverse=True, return_counts=True
    )
    is_alone = n_in_stratum[stratum_of_unit] == 1
    return np.where(is_alone, _SHARED_STRATUM, stratum)


def _unit_scores(scores: np.ndarray, unit_of_clip: np.ndarray) -> np.ndarray:
    """Mean score of each unit; NaN where no clip of it has one."""
    is_each_alone = np.array_equal(unit_of_clip, np.arange(len(scores)))
    if is_each_alone:
        return scores
    return pd.Series(scores).groupby(unit_of_clip).mean().to_numpy()


def _lay_out(
    strata: np.ndarray,
    scores: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Units in the order in which they are dealt.

    The strata, the bands within a stratum and the units within a band are shuffled.
    """
    # The empty stretch makes the result an array of integers where there are no units.
    stretches = [np.empty(0, dtype=np.int64)]
    for stratum in rng.permutation(np.unique(strata)):
        # Shuffled before the stable sort, so that equal scores come in random order.
        # NaN, the score of units without a label, sorts last.
        members = rng.permutation(np.flatnonzero(strata == stratum))
        ranked = members[np.argsort(scores[members], kind="stable")]

        # Bands of equal size (to within one unit), in a random order of their own.
        band_of_rank = np.arange(len(ranked)) * SCORE_BANDS // len(ranked)
        place_of_band = rng.permutation(SCORE_BANDS)
        place = place_of_band[band_of_rank]

        # The units of a band have the same place, and come there in random order.
        shuffled = rng.permutation(len(ranked))
        by_place = np.argsort(place[shuffled], kind="stable")
        stretches.append(ranked[shuffled[by_place]])
    return np.concatenate(stretches)


def _deal_along(
    row: np.ndarray,
    weights: np.ndarray,
    shares: np.ndarray,
) -> np.ndarray:
    """Deal the units of `row`, each to the part that is furthest behind its share."""
    part = np.zeros(len(row), dtype=np.int64)
    has_share = shares > 0

    behind = np.zeros(len(shares))
    for unit in row:
        behind += shares * weights[unit]
        # Rounded, so that ties do not hang on the last bits of a sum.
        lag = np.where(has_share, np.round(behind, 9), -np.inf)
        part[unit] = np.argmax(lag)
        behind[part[unit]] -= weights[unit]

    # With few units a part may be left empty: the largest part gives it its last unit.
    for empty in np.flatnonzero(has_share):
        counts = np.bincount(part, minlength=len(shares))
        if counts[empty] == 0 and counts.max(initial=0) > 1:
            largest = counts.argmax()
            last_of_largest = row[part[row] == largest][-1]
            part[last_of_largest] = empty
    return part
