"""Additive second moments of features and scores, one block per group.

They are all that a ridge regression needs of its rows. With Z = [X Y] (n, p + t),
weights w and a shift common to all blocks, a block holds the sums of w, w (z - shift)
and w (z - shift)(z - shift)'. Sums of rows add up and subtract, so that one pass over a
table serves every fold, hold-out and penalty; `meta.ridge_algebra.solution_path` solves
them.

Without the shift, and in float32, the squares of the means would drown what
distinguishes the columns: rows are shifted and summed in float64 whatever the input is.

>>> X = [[1.0, 0.0], [2.0, 1.0], [4.0, 1.0]]
>>> gram = Gram.from_rows(X, [1.0, 2.0, 3.0], groups=["a", "a", "b"])
>>> gram.names, gram.weight.tolist(), gram.total().weight.tolist()
(('a', 'b'), [2.0, 1.0], [3.0])
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from base_models.errors import UsageError, some

# Rows that are converted to float64 at once: 6 MB for 180 columns.
CHUNK_ROWS = 4_096


@dataclass(frozen=True, eq=False)
class Gram:
    """Weighted moments of p features and t targets about a shift, per group.

    Parameters
    ----------
    names : names of the B blocks, each once
    n_targets : int, t; the last t of the q = p + t columns are targets
    shift : float64 array (q,), subtracted from every row
    rows : int64 array (B,), rows of positive weight
    weight : float64 array (B,), sum of their weights
    sums : float64 array (B, q), weighted sums of the shifted rows
    outer : float64 array (B, q, q), weighted sums of their outer products
    """

    names: tuple[str, ...]
    n_targets: int
    shift: np.ndarray
    rows: np.ndarray
    weight: np.ndarray
    sums: np.ndarray
    outer: np.ndarray

    @classmethod
    def from_rows(
        cls,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        shift: ArrayLike | None = None,
    ) -> Gram:
        """Sum the rows of a table.

        Parameters
        ----------
        X : array of shape (n, p), of any float dtype
        y : array of shape (n,) or (n, t)
        sample_weight : array of shape (n,), not negative; rows of weight 0 are left out
            before anything else
        groups : n names, one block each; None makes one block called ""
        shift : array of shape (p + t,), or None for the mean of the first rows

        Raises
        ------
        UsageError
            when shapes disagree, a value is not finite, or a weight is negative.
        """
        rows = _check_rows(X, y, sample_weight=sample_weight, groups=groups)
        n_features = rows.X.shape[1]
        sums = _RunningSums(
            n_features=n_features,
            n_targets=rows.y.shape[1],
            shift=shift,
        )

        for first in range(0, len(rows.X), CHUNK_ROWS):
            chunk = slice(first, first + CHUNK_ROWS)
            codes = rows.codes[chunk]
            X_chunk = rows.X[chunk]
            y_chunk = rows.y[chunk]
            weight = rows.weight[chunk]
            # Sorted by group, so that each group's rows are one matrix product.
            if len(rows.names) > 1:
                order = np.argsort(codes, kind="stable")
                codes = codes[order]
                X_chunk = np.take(X_chunk, order, axis=0)
                y_chunk = y_chunk[order]
                weight = weight[order]

            # Features and scores side by side, in float64 whatever the input is.
            Z = np.empty((len(codes), sums.n_columns))
            Z[:, :n_features] = X_chunk
            Z[:, n_features:] = y_chunk
            sums.add(Z, weight=weight, codes=codes, names=rows.names)
        return sums.to_gram()

    @property
    def n_features(self) -> int:
        """p, the columns that are not targets."""
        return len(self.shift) - self.n_targets

    def __sub__(self, other: Gram) -> Gram:
        """Take away the rows of `other`, which stand here under the same names.

        Blocks without any row left are dropped.

        Raises
        ------
        UsageError
            when the columns differ, or a block of `other` has no name or more rows than
            here.
        """
        same_features = other.n_features == self.n_features
        same_targets = other.n_targets == self.n_targets
        if not (same_features and same_targets):
            raise UsageError(
                f"Grams of {self.n_features} + {self.n_targets} and {other.n_features} "
                f"+ {other.n_targets} columns cannot be subtracted; use the same "
                "features and targets."
            )
        # A name that is not here has no rows to take away.
        rows_here = self._rows_of_name()
        too_many = [
            name
            for name, n_rows in other._rows_of_name().items()
            if n_rows > rows_here.get(name, 0)
        ]
        if too_many:
            raise UsageError(
                f"Blocks {some(too_many)} have fewer rows than are to be taken away; "
                "were they ever added?"
            )

        # Sums can be subtracted only about the same shift.
        other = other.shifted(self.shift)
        blocks = [self.names.index(name) for name in other.names]
        rest = replace(
            self,
            rows=_take_away(self.rows, blocks, other.rows),
            weight=_take_away(self.weight, blocks, other.weight),
            sums=_take_away(self.sums, blocks, other.sums),
            outer=_take_away(self.outer, blocks, other.outer),
        )
        with_rows = np.flatnonzero(rest.rows)
        return rest.take_blocks(with_rows)

    def _rows_of_name(self) -> dict[str, int]:
        return dict(zip(self.names, self.rows.tolist(), strict=True))

    def shifted(self, shift: ArrayLike) -> Gram:
        """Return the same rows about another shift (q,)."""
        shift = np.asarray(shift, dtype=np.float64)
        move = self.shift - shift
        if not move.any():
            return self

        # (z + m)(z + m)' = zz' + zm' + mz' + mm', summed over the rows of a block.
        sum_zm = self.sums[:, :, None] * move
        sum_mz = sum_zm.transpose(0, 2, 1)
        sum_mm = self.weight[:, None, None] * np.outer(move, move)
        outer = self.outer + sum_zm + sum_mz + sum_mm

        moved_sums = self.weight[:, None] * move
        return replace(
            self,
            shift=shift,
            sums=self.sums + moved_sums,
            outer=outer,
        )

    def take_blocks(self, numbers: ArrayLike) -> Gram:
        """Return some of the blocks, by number."""
        numbers = np.asarray(numbers, dtype=np.int64)
        return replace(
            self,
            names=tuple(self.names[number] for number in numbers),
            rows=self.rows[numbers],
            weight=self.weight[numbers],
            sums=self.sums[numbers],
            outer=self.outer[numbers],
        )

    def regrouped(self, names: Sequence[str]) -> Gram:
        """Add blocks up under new names, one name per block.

        It makes folds of groups, for example.
        """
        name_of_block = np.asarray(names).astype(str)
        codes, new_names = pd.factorize(name_of_block)
        n_new = len(new_names)
        if len(codes) != len(self.names):
            raise UsageError(
                f"{len(self.names)} blocks need as many new names; got {len(codes)}."
            )
        return replace(
            self,
            names=tuple(map(str, new_names)),
            rows=_add_up(self.rows, codes, n_new),
            weight=_add_up(self.weight, codes, n_new),
            sums=_add_up(self.sums, codes, n_new),
            outer=_add_up(self.outer, codes, n_new),
        )

    def total(self) -> Gram:
        """Return one block of all rows, called ""."""
        if len(self.names) == 1:
            return replace(self, names=("",))
        return self.regrouped([""] * len(self.names))


def _take_away(
    values: np.ndarray,
    blocks: Sequence[int],
    other: np.ndarray,
) -> np.ndarray:
    """Values per block (B, ...) minus those of other blocks, by number."""
    difference = values.copy()
    difference[blocks] -= other
    return difference


def _add_up(
    values: np.ndarray,
    codes: np.ndarray,
    n_codes: int,
) -> np.ndarray:
    """Values per block (B, ...) added up per code: (n_codes, ...)."""
    shape_of_value = values.shape[1:]
    totals = np.zeros((n_codes, *shape_of_value), dtype=values.dtype)
    # `totals[codes] += values` would count a repeated code once.
    np.add.at(totals, codes, values)
    return totals


@dataclass(frozen=True, eq=False)
class _Rows:
    """Checked rows: features (n, p), scores (n, t), weights and groups (n,).

    `codes` are places in `names`, which stand in the order of their first rows.
    """

    X: np.ndarray
    y: np.ndarray
    weight: np.ndarray
    codes: np.ndarray
    names: Sequence[str]


def _check_rows(
    X: ArrayLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None,
    groups: ArrayLike | None,
) -> _Rows:
    """Check shapes, and leave rows of weight 0 out."""
    features = np.asarray(X)
    scores = np.asarray(y)
    if scores.ndim == 1:
        scores = scores[:, None]
    two_dimensional = features.ndim == 2 and scores.ndim == 2
    same_length = two_dimensional and len(features) == len(scores)
    if not same_length:
        raise UsageError(
            f"Expected features (n, p) and scores (n, t); got shapes {features.shape} "
            f"and {scores.shape}."
        )

    n = len(features)
    weight = np.ones(n)
    if sample_weight is not None:
        weight = np.asarray(sample_weight, dtype=np.float64)
    group_of_row = np.zeros(n) if groups is None else np.asarray(groups)
    one_weight_each = weight.shape == (n,)
    one_group_each = group_of_row.shape == (n,)
    if not (one_weight_each and one_group_each):
        raise UsageError(
            f"{n} rows need as many weights and groups; got {weight.shape}, "
            f"{group_of_row.shape}."
        )

    # Names are of all rows; those of rows of weight 0 alone make no block.
    names = [""]
    codes = np.zeros(n, dtype=np.intp)
    if groups is not None:
        codes, values = pd.factorize(group_of_row, use_na_sentinel=False)
        names = np.asarray(values).astype(str).tolist()
    # Negative weights stay in, to be refused where rows are added.
    kept = weight != 0
    if kept.all():
        # Without a copy: features are large.
        return _Rows(
            X=features,
            y=scores,
            weight=weight,
            codes=codes,
            names=names,
        )
    return _Rows(
        X=features[kept],
        y=scores[kept],
        weight=weight[kept],
        codes=codes[kept],
        names=names,
    )


class _BlockSums:
    """The running sums of one block."""

    def __init__(self, n_columns: int):
        self.rows = 0
        self.weight = 0.0
        self.sums = np.zeros(n_columns)
        self.outer = np.zeros((n_columns, n_columns))

    def add(self, rows: np.ndarray, weight: np.ndarray) -> None:
        """Add shifted rows (n, q) with their weights (n,)."""
        self.rows += len(rows)
        self.weight += float(weight.sum())
        with np.errstate(invalid="ignore"):
            self.sums += weight @ rows

        # A value that is not finite in any row makes its sum not finite.
        if not np.isfinite(self.sums).all():
            raise UsageError(
                "Features and scores must be finite; found NaN or infinity."
            )

        weighted = rows
        all_one = (weight == 1).all()
        if not all_one:
            root_weight = np.sqrt(weight)
            weighted = rows * root_weight[:, None]
        # Numpy recognises a matrix times its own transpose: half the work.
        self.outer += weighted.T @ weighted


class _RunningSums:
    """The sums of a `Gram` while rows are added, in the order given."""

    def __init__(
        self,
        n_features: int,
        n_targets: int,
        shift: ArrayLike | None,
    ):
        self.n_targets = n_targets
        self.n_columns = n_features + n_targets
        self.shift: np.ndarray | None = None
        if shift is not None:
            self.shift = np.asarray(shift, dtype=np.float64)
        self.blocks: dict[str, _BlockSums] = {}

    def add(
        self,
        Z: np.ndarray,
        weight: np.ndarray,
        codes: np.ndarray,
        names: Sequence[str],
    ) -> None:
        """Add a chunk of rows.

        Parameters
        ----------
        Z : float64 array (n, q), overwritten
        weight : array (n,)
        codes : int array (n,), places in `names`; equal codes stand side by side
        names : names of groups
        """
        if not len(Z):
            return
        has_negative = (weight < 0).any()
        is_finite = np.isfinite(weight).all()
        if has_negative or not is_finite:
            raise UsageError("Sample weights must be finite and not negative.")

        # Any point amid the rows will do: the mean of the first chunk is at hand.
        if self.shift is None:
            self.shift = Z.mean(axis=0)
        Z -= self.shift

        # Rows at which another group begins; no code is -1, so the first row is one.
        steps = np.diff(codes, prepend=-1)
        firsts = np.flatnonzero(steps)
        lasts = [*firsts[1:], len(Z)]
        for first, last in zip(firsts, lasts, strict=True):
            name = str(names[codes[first]])
            block = self.blocks.setdefault(name, _BlockSums(self.n_columns))
            of_block = slice(first, last)
            block.add(Z[of_block], weight[of_block])

    def to_gram(self) -> Gram:
        """Return the sums as they stand."""
        q = self.n_columns
        blocks = list(self.blocks.values())
        rows = [block.rows for block in blocks]
        weight = [block.weight for block in blocks]
        sums = np.array([block.sums for block in blocks])
        outer = np.array([block.outer for block in blocks])

        # Types and shapes are given because there may be no block at all.
        return Gram(
            names=tuple(self.blocks),
            n_targets=self.n_targets,
            shift=np.zeros(q) if self.shift is None else self.shift,
            rows=np.array(rows, dtype=np.int64),
            weight=np.array(weight, dtype=np.float64),
            sums=sums.reshape(-1, q),
            outer=outer.reshape(-1, q, q),
        )
