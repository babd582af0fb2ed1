"""Meta-training and meta-validation rows: the 60/40 split of the clips that the base models have not seen, and folds.

The trap: a random split may leave a system or a score band to one side, and rows of a single system cannot answer a
question about systems at all; the first is for `stratified_holdout`, the second for `check_meta_rows`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from base_models.clips.splits import folds, stratified_holdout
from base_models.errors import UsageError

MIN_ROWS = 5
MAX_FOLDS = 5


def check_meta_rows(system_ids: Sequence[str], what: str = "labelled clips") -> None:
    """Refuse rows on which a stack cannot be fitted and judged; `what` names them in the message.

    Clips without any system id pass: they can be judged at utterance level only.

    Raises
    ------
    UsageError
        when there are fewer than 5 rows, or all are of one named system.
    """
    systems = [str(name) for name in system_ids]
    if len(systems) < MIN_ROWS:
        raise UsageError(
            f"A stack needs at least {MIN_ROWS} {what}; got {len(systems)}. Label more clips."
        )
    if len(set(systems)) == 1 and systems[0]:
        raise UsageError(
            f"The {len(systems)} {what} are of one system ('{systems[0]}'); system-level correlations need at least 2. "
            "Pass a split with clips of several systems."
        )


def meta_split(
    system_ids: Sequence[str],
    scores,
    validation: float = 0.4,
    seed: int = 0,
    groups: Sequence[str] | None = None,
) -> np.ndarray:
    """Which rows are meta-validation (DORA-MOS, section III.D: 60/40, there at random).

    Parameters
    ----------
    system_ids : n system names
    scores : array of shape (n,) or (n, aspects), NaN where unlabelled; the split is balanced over them
    validation : float in (0, 1), share of the rows held out
    seed : int
    groups : n names whose rows must stay on one side (e.g. prompts), or None

    Returns
    -------
    held_out : bool array of shape (n,), True for meta-validation

    Raises
    ------
    UsageError
        when `validation` is not such a share, or there are fewer than 2 rows (or groups).
    """
    return stratified_holdout(system_ids, scores, validation, seed, groups=groups)


def meta_folds(
    system_ids: Sequence[str],
    scores,
    seed: int = 0,
    groups: Sequence[str] | None = None,
) -> np.ndarray:
    """Fold of each row, balanced as `meta_split`: 5 folds, or as many as there are rows (or groups) when fewer.

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
    units = len(scores) if groups is None else count_groups(groups)
    return folds(system_ids, scores, max(2, min(MAX_FOLDS, units)), seed, groups=groups)


def count_groups(groups: Sequence[str]) -> int:
    """Number of different groups, a missing name being one of them."""
    return len(
        pd.factorize(np.array(list(groups), dtype=object), use_na_sentinel=False)[1]
    )
