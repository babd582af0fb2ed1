"""Meta-training and meta-validation rows: the 60/40 split of labelled clips, and folds.

A random split may leave a system or a score band to one side, so splits and folds are
stratified by both.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from base_models.clips.splits import folds, stratified_holdout
from base_models.errors import UsageError

MIN_ROWS = 5
"""Least number of rows on which a stack is fitted."""
MAX_FOLDS = 5
"""Number of folds, where there are as many rows or groups."""


def check_meta_rows(system_ids: Sequence[str], what: str = "labelled clips") -> None:
    """Refuse rows on which a stack cannot be fitted and judged.

    Clips without any system id pass: they can be judged at utterance level only.

    Parameters
    ----------
    system_ids : n system names
    what : str, how a message calls the rows

    Raises
    ------
    UsageError
        when there are fewer than 5 rows, or all are of one named system.
    """
    systems = [str(name) for name in system_ids]
    if len(systems) < MIN_ROWS:
        raise UsageError(
            f"A stack needs at least {MIN_ROWS} {what}; got {len(systems)}. "
            "Label more clips."
        )

    # The name "" stands for no system at all, not for a single one.
    if len(set(systems)) == 1 and systems[0]:
        raise UsageError(
            f"The {len(systems)} {what} are of one system ('{systems[0]}'); "
            "system-level correlations need at least 2. "
            "Pass a split with clips of several systems."
        )


def meta_split(
    system_ids: Sequence[str] | np.ndarray,
    scores: ArrayLike,
    validation: float = 0.4,
    seed: int = 0,
    groups: Sequence[str] | None = None,
) -> np.ndarray:
    """Which rows are meta-validation (DORA-MOS, section III.D: 60/40, there at random).

    Parameters
    ----------
    system_ids : n system names
    scores : array of shape (n,) or (n, aspects), NaN where unlabelled
        The split is balanced over them.
    validation : float in (0, 1), share of the rows held out
    seed : int
    groups : n names whose rows must stay on one side (e.g. prompts), or None

    Returns
    -------
    held_out : bool array of shape (n,), True for meta-validation

    Raises
    ------
    UsageError
        when `validation` is not such a share, or there are fewer than 2 rows (or
        groups).
    """
    return stratified_holdout(system_ids, scores, validation, seed=seed, groups=groups)


def meta_folds(
    system_ids: Sequence[str] | np.ndarray,
    scores: ArrayLike,
    seed: int = 0,
    groups: Sequence[str] | None = None,
) -> np.ndarray:
    """Fold of each row, balanced as in `meta_split`.

    There are 5 folds, or as many as rows (or groups) when these are fewer.

    Parameters
    ----------
    system_ids, scores, seed, groups : see `meta_split`

    Returns
    -------
    fold : int array of shape (n,)

    Raises
    ------
    UsageError
        when there are fewer than 2 rows (or groups).
    """
    n_units = len(np.asarray(scores)) if groups is None else count_groups(groups)

    # Never fewer than 2 folds: `folds` then says why a single row cannot be divided.
    n_folds = max(2, min(MAX_FOLDS, n_units))
    return folds(system_ids, scores, n_folds, seed=seed, groups=groups)


def count_groups(groups: Sequence[str]) -> int:
    """Number of different groups; a missing name counts as one of them."""
    names = np.array(list(groups), dtype=object)
    _, unique_names = pd.factorize(names, use_na_sentinel=False)
    return len(unique_names)
