"""Rows of a trial that refits the meta level alone: by share, or as given.

Trials that refit base models are split in `ensemble.estimator.row_splits`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from base_models.errors import UsageError, some
from meta.rows import Rows
from meta.splits.meta_split import meta_split


def split_rows(
    rows: Rows,
    validation: float | tuple[ArrayLike, ArrayLike],
    seed: int,
) -> tuple[Rows, Rows]:
    """The labelled rows to fit on and those to measure on, each in the order of ids.

    Parameters
    ----------
    rows : the clips
    validation : share held out, see `meta.splits.meta_split.meta_split`; or two arrays
        of places in `rows`, to fit on and to measure on
    seed : of the split by share

    Raises
    ------
    UsageError
        when the two arrays overlap, leave the rows, or hold no labelled row; or as in
        `meta_split`.
    """
    if isinstance(validation, tuple | list):
        return _given_split(rows, validation)

    # In id order, so that the same clips are held out whatever the table's order.
    usable = rows.in_id_order().usable()
    held_out = meta_split(usable, validation, seed)
    return usable.take(~held_out), usable.take(held_out)


def _given_split(rows: Rows, sides: Sequence[ArrayLike]) -> tuple[Rows, Rows]:
    """The sides of a split that is given as places."""
    if len(sides) != 2:
        raise UsageError(
            "validation takes two lists of row numbers, to fit and to measure; got "
            f"{len(sides)}."
        )
    training = _places(sides[0], len(rows))
    held_out = _places(sides[1], len(rows))
    both = np.intersect1d(training, held_out)
    if len(both):
        raise UsageError(
            f"Rows {some(both)} are on both sides of validation; a row that fits "
            "cannot measure."
        )

    training_rows = rows.take(training).in_id_order().usable()
    held_out_rows = rows.take(held_out).in_id_order().usable()
    for side, purpose in ((training_rows, "fit on"), (held_out_rows, "measure on")):
        if not len(side):
            raise UsageError(
                f"validation has no labelled row to {purpose}; give each side some."
            )
    return training_rows, held_out_rows


def _places(side: ArrayLike, n: int) -> np.ndarray:
    """One side of a given split as distinct places in n rows."""
    places = np.asarray(side)
    if places.ndim != 1 or (places.size and places.dtype.kind not in "iu"):
        raise UsageError(
            f"A side of validation is a list of row numbers; got {places.dtype} of "
            f"shape {places.shape}."
        )
    outside = places[(places < 0) | (places >= n)]
    if len(outside):
        raise UsageError(
            f"Row {some(outside)} of validation is not among the {n} rows 0..{n - 1}."
        )
    # Which rows stand on a side counts, not how often or in which order.
    return np.unique(places.astype(np.int64))
