"""Meta-training and meta-validation rows: the 60/40 split of labelled clips, and folds.

A random split may leave a system or a score band to one side, so splits and folds are
stratified by both.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from base_models.errors import UsageError

if TYPE_CHECKING:
    # Imported late: a command reads the usual share before it has anything to split.
    import numpy as np

    from meta.rows import Rows

VALIDATION_SHARE = 0.4
"""Share of the rows that measure (DORA-MOS, section III.D: 60 % to fit, 40 % to
measure, there at random)."""
MIN_ROWS = 5
"""Least number of rows on which a stack is fitted."""
MAX_FOLDS = 5
"""Number of folds, where there are as many rows or groups."""


def check_meta_rows(rows: Rows, what: str = "labelled clips") -> None:
    """Refuse rows on which a stack cannot be fitted and judged.

    Clips without any system id, or of one system, pass: they can be judged at utterance
    level only, and the verdict says so.

    Parameters
    ----------
    rows : labelled clips
    what : str, how a message calls the rows

    Raises
    ------
    UsageError
        when there are fewer than 5 rows.
    """
    if len(rows) < MIN_ROWS:
        raise UsageError(
            f"A stack needs at least {MIN_ROWS} {what}; got {len(rows)}. "
            "Label more clips."
        )


def meta_split(
    rows: Rows,
    validation: float = VALIDATION_SHARE,
    seed: int = 0,
) -> np.ndarray:
    """Which rows are meta-validation.

    Parameters
    ----------
    rows : n clips; the split is balanced over their systems and labels, and their
        groups stay on one side
    validation : float in (0, 1), share of the rows held out
    seed : int

    Returns
    -------
    held_out : bool array of shape (n,), True for meta-validation

    Raises
    ------
    UsageError
        when `validation` is not such a share, or there are fewer than 2 rows (or
        groups).
    """
    from base_models.clips.splits import stratified_holdout

    return stratified_holdout(
        rows.systems, rows.labels, validation, seed=seed, groups=rows.group_names
    )


def meta_folds(rows: Rows, seed: int = 0) -> np.ndarray:
    """Fold of each row, balanced as in `meta_split`, by which `Rows.together` stays.

    There are 5 folds, or as many as rows (or groups) when these are fewer.

    Parameters
    ----------
    rows : n clips
    seed : int

    Returns
    -------
    fold : int array of shape (n,)

    Raises
    ------
    UsageError
        when there are fewer than 2 rows (or groups).
    """
    from base_models.clips.splits import folds

    together = rows.together
    n_units = len(rows) if together is None else count_groups(together)

    # Never fewer than 2 folds: `folds` then says why a single row cannot be divided.
    n_folds = max(2, min(MAX_FOLDS, n_units))
    return folds(rows.systems, rows.labels, n_folds, seed=seed, groups=together)


def count_groups(groups: Iterable[object]) -> int:
    """Number of different groups; each missing name counts as one by itself."""
    from base_models.clips.names import names_or_blank

    names = names_or_blank(groups)
    known = names[names != ""]
    return len(set(known)) + len(names) - len(known)
