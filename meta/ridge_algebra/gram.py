"""Additive second moments of features and scores, one block per group: all that a ridge regression ever asks of rows.

With Z = [X Y] (n, p + t), weights w and a shift common to all blocks, a block holds the sums of w, w (z - shift) and
w (z - shift)(z - shift)'. Sums of rows add up and subtract, so one pass over a table serves every fold, hold-out,
penalty and subset of columns; blocks of other files or machines are added to it.

The trap: without the shift, and in float32, the squares drown what distinguishes the columns; here chunks are shifted
and summed in float64 whatever the input is.

>>> gram = Gram.from_rows([[1.0, 0.0], [2.0, 1.0], [4.0, 1.0]], [1.0, 2.0, 3.0], groups=["a", "a", "b"])
>>> gram.names, gram.without(["b"]).total().weight.tolist(), gram.take([1]).n_features
(('a', 'b'), [2.0], 1)

What is made of it stands in `meta.ridge_algebra.solution_path`: ``holdout_mse(train, test, alphas)`` for two grams, e.g.
``holdout_mse(gram.without(held).take(columns), gram.select(held).take(columns), alphas)`` of shape (alphas, t).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from base_models.errors import DamagedArtifact, UsageError, some
from base_models.files import from_json, to_json

CHUNK_ROWS = 16_384
"""Rows that are float64 at once: 24 MB for 180 columns."""


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
    def from_rows(cls, X, y, sample_weight=None, groups=None, shift=None) -> Gram:
        """Blocks of a table in memory.

        Parameters
        ----------
        X : array of shape (n, p), of any float dtype
        y : array of shape (n,) or (n, t)
        sample_weight : array of shape (n,), not negative; rows of weight 0 are left out before anything else
        groups : n names, one block each; None makes one block called ""
        shift : array of shape (p + t,), or None for the mean of the first rows

        Raises
        ------
        UsageError
            when shapes disagree, a value is not finite, or a weight is negative.
        """
        X, y = np.asarray(X), np.asarray(y)
        y = y[:, None] if y.ndim == 1 else y
        if X.ndim != 2 or y.ndim != 2 or len(X) != len(y):
            raise UsageError(
                f"Expected features (n, p) and scores (n, t); got shapes {X.shape} and {y.shape}."
            )
        weight = (
            np.ones(len(X))
            if sample_weight is None
            else np.asarray(sample_weight, dtype=np.float64)
        )
        groups = (
            np.full(len(X), "") if groups is None else np.asarray(groups).astype(str)
        )
        if weight.shape != (len(X),) or groups.shape != weight.shape:
            raise UsageError(
                f"{len(X)} rows need as many weights and groups; got {weight.shape}, {groups.shape}."
            )
        codes, names = pd.factorize(groups)
        if not (weight > 0).all():
            kept = weight != 0
            X, y, weight, codes = X[kept], y[kept], weight[kept], codes[kept]
        total = _Sums(X.shape[1], y.shape[1], shift)
        for first in range(0, len(X), CHUNK_ROWS):
            rows = first + np.argsort(codes[first : first + CHUNK_ROWS], kind="stable")
            Z = np.empty((len(rows), total.q))
            Z[:, : X.shape[1]], Z[:, X.shape[1] :] = X[rows], y[rows]
            total.add(Z, weight[rows], codes[rows], names)
        return total.gram()

    @classmethod
    def from_parquet(
        cls,
        path: Path | str,
        features: Sequence[str],
        targets: Sequence[str],
        group: str | None = None,
        weight: str | None = None,
        row_groups: Sequence[int] | None = None,
    ) -> Gram:
        """Blocks of a Parquet table, read a chunk at a time: memory does not grow with its length.

        One core reads the next chunk while another multiplies: BLAS gets one thread in the whole process meanwhile,
        which also makes the sums the same, bit for bit, on any number of cores.

        Parameters
        ----------
        path : a Parquet file; row groups far above `CHUNK_ROWS` cost memory in proportion
        features, targets : names of numeric columns
        group, weight : names of the columns of groups and weights, or None
        row_groups : indices of the row groups to read; None reads all

        Raises
        ------
        UsageError
            when a column is missing, or as in `from_rows`.
        DamagedArtifact
            when the file cannot be read as Parquet.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq
        from threadpoolctl import threadpool_limits

        total, numeric = _Sums(len(features), len(targets), None), [*features, *targets]
        columns = [*numeric, *(name for name in (group, weight) if name is not None)]
        try:
            parquet = pq.ParquetFile(
                path, pre_buffer=False, page_checksum_verification=True
            )
            with parquet as file, threadpool_limits(1, "blas"):
                missing = [
                    name for name in columns if name not in file.schema_arrow.names
                ]
                if missing:
                    raise UsageError(
                        f"{path} has no column {some(missing)}; it has {some(file.schema_arrow.names)}."
                    )
                for batch in _ahead(file.iter_batches(CHUNK_ROWS, row_groups, columns)):
                    w = (
                        np.ones(len(batch))
                        if weight is None
                        else batch.column(weight).to_numpy(zero_copy_only=False)
                    )
                    codes, names = np.zeros(len(batch), dtype=np.int64), [""]
                    if group is not None:
                        encoded = (
                            batch.column(group)
                            .cast(pa.string())
                            .fill_null("")
                            .dictionary_encode()
                        )
                        codes, names = (
                            encoded.indices.to_numpy(),
                            encoded.dictionary.to_pylist(),
                        )
                    rows = np.argsort(codes, kind="stable")
                    rows = rows[w[rows] != 0]
                    Z = np.empty((len(numeric), len(rows)))
                    for values, name in zip(
                        Z, numeric, strict=True
                    ):  # a column at a time: it stays in the cache
                        values[:] = batch.column(name).to_numpy(zero_copy_only=False)[
                            rows
                        ]
                    total.add(Z.T, w[rows].astype(np.float64), codes[rows], names)
        except (pa.ArrowException, OSError) as error:
            raise DamagedArtifact(
                f"{path} is not a readable Parquet table ({error})."
            ) from error
        return total.gram()

    @property
    def n_features(self) -> int:
        """p, the columns that are not targets."""
        return len(self.shift) - self.n_targets

    def __add__(self, other: Gram) -> Gram:
        """All rows of both: blocks of one name are added up, others stand side by side; the shift is that of `self`."""
        return self._merged(other, 1)

    def __sub__(self, other: Gram) -> Gram:
        """`self` without the rows of `other`, which it holds under the same names; emptied blocks go.

        Raises
        ------
        UsageError
            when a block of `other` has no name or more rows than here.
        """
        held = dict(zip(self.names, self.rows.tolist(), strict=True))
        extra = [
            name
            for name, n in zip(other.names, other.rows.tolist(), strict=True)
            if n > held.get(name, 0)
        ]
        if extra:
            raise UsageError(
                f"Blocks {some(extra)} have fewer rows than are to be taken away; were they ever added?"
            )
        merged = self._merged(other, -1)
        return merged._pick(np.flatnonzero(merged.rows))

    def _merged(self, other: Gram, sign: int) -> Gram:
        if (other.n_features, other.n_targets) != (self.n_features, self.n_targets):
            raise UsageError(
                f"Grams of {self.n_features} + {self.n_targets} and {other.n_features} + {other.n_targets} columns do "
                "not add up; accumulate the same features and targets."
            )
        other = other.shifted(self.shift)
        names = tuple(dict.fromkeys(self.names + other.names))
        here, there = (
            [names.index(name) for name in gram.names] for gram in (self, other)
        )
        fields = {}
        for field in ("rows", "weight", "sums", "outer"):
            mine, theirs = getattr(self, field), getattr(other, field)
            fields[field] = np.zeros((len(names), *mine.shape[1:]), dtype=mine.dtype)
            fields[field][here] += mine
            fields[field][there] += sign * theirs
        return replace(self, names=names, **fields)

    def shifted(self, shift) -> Gram:
        """The same rows about another shift (q,)."""
        move = self.shift - shift
        if not move.any():
            return self
        cross = self.sums[:, :, None] * move
        outer = (
            self.outer
            + cross
            + cross.transpose(0, 2, 1)
            + self.weight[:, None, None] * np.outer(move, move)
        )
        sums = self.sums + self.weight[:, None] * move
        return replace(
            self, shift=np.asarray(shift, dtype=np.float64), sums=sums, outer=outer
        )

    def select(self, names: Iterable[str]) -> Gram:
        """The blocks of these names, in their order."""
        names = list(names)
        unknown = [name for name in names if name not in self.names]
        if unknown:
            raise UsageError(
                f"No block is called {some(unknown)}; there are {some(self.names)}."
            )
        return self._pick([self.names.index(name) for name in names])

    def without(self, names: Iterable[str]) -> Gram:
        """All blocks but those of these names."""
        dropped = set(self.select(names).names)
        return self._pick(
            [k for k, name in enumerate(self.names) if name not in dropped]
        )

    def _pick(self, which) -> Gram:
        which = np.asarray(which, dtype=np.int64)
        fields = {
            field: getattr(self, field)[which]
            for field in ("rows", "weight", "sums", "outer")
        }
        return replace(self, names=tuple(self.names[k] for k in which), **fields)

    def regrouped(self, names: Sequence[str]) -> Gram:
        """Blocks added up under new names, one per block of now: folds of systems from systems."""
        codes, found = pd.factorize(np.asarray(names).astype(str))
        if len(codes) != len(self.names):
            raise UsageError(
                f"{len(self.names)} blocks need as many new names; got {len(codes)}."
            )
        fields = {}
        for field in ("rows", "weight", "sums", "outer"):
            mine = getattr(self, field)
            fields[field] = np.zeros((len(found), *mine.shape[1:]), dtype=mine.dtype)
            np.add.at(fields[field], codes, mine)
        return replace(self, names=tuple(map(str, found)), **fields)

    def total(self) -> Gram:
        """One block of all rows, called ""."""
        return self.regrouped([""] * len(self.names))

    def take(self, columns) -> Gram:
        """The same rows with these features only, by index: the stack of fewer base models."""
        features = np.arange(self.n_features)[columns]
        kept = np.r_[features, np.arange(self.n_features, len(self.shift))]
        outer = self.outer[:, kept[:, None], kept]
        return replace(
            self, shift=self.shift[kept], sums=self.sums[:, kept], outer=outer
        )

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Named arrays for safetensors; the names of the blocks as bytes of JSON."""
        names = np.frombuffer(to_json(list(self.names)), dtype=np.uint8)
        fields = {
            field: getattr(self, field)
            for field in ("shift", "rows", "weight", "sums", "outer")
        }
        return fields | {"n_targets": np.array([self.n_targets]), "names": names}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Gram:
        """What `to_arrays` gave; DamagedArtifact when arrays are missing, of wrong shape, or cannot be such sums."""
        try:
            names = tuple(
                map(str, from_json(arrays["names"].tobytes(), "names of blocks"))
            )
            (t,) = arrays["n_targets"].tolist()
            fields = {
                field: arrays[field]
                for field in ("shift", "rows", "weight", "sums", "outer")
            }
            (q,), B = fields["shift"].shape, len(names)
            shapes = {
                "shift": (q,),
                "rows": (B,),
                "weight": (B,),
                "sums": (B, q),
                "outer": (B, q, q),
            }
            for field, array in fields.items():
                kind = np.int64 if field == "rows" else np.float64
                if (
                    array.shape != shapes[field]
                    or array.dtype != kind
                    or not np.isfinite(array).all()
                ):
                    raise ValueError(
                        f"'{field}' is not a finite {kind.__name__} array of shape {shapes[field]}"
                    )
            if (
                len(set(names)) != B
                or not 0 < t <= q
                or (fields["rows"] < 0).any()
                or (fields["weight"] < 0).any()
            ):
                raise ValueError("names, targets, rows or weights are impossible")
            return cls(names, int(t), **fields)
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise DamagedArtifact(
                f"The stored Gram blocks are damaged ({error})."
            ) from error


def _ahead(items: Iterator) -> Iterator:
    """The same items, each made in a thread while the one before is in use."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = pool.submit(next, items, None)
            yield item


class _Sums:
    """The running sums behind `Gram`; chunks are added in the order given."""

    def __init__(self, n_features: int, n_targets: int, shift):
        self.n_targets, self.q = n_targets, n_features + n_targets
        self.shift = None if shift is None else np.asarray(shift, dtype=np.float64)
        self.blocks: dict[str, list] = {}

    def add(self, Z, weight, codes, names) -> None:
        """Float64 rows (n, q), overwritten, their weights (n,) and codes (n,): places in `names`, equals adjacent."""
        if not len(Z):
            return
        if (weight < 0).any() or not np.isfinite(weight).all():
            raise UsageError("Sample weights must be finite and not negative.")
        if self.shift is None:
            self.shift = Z.mean(axis=0)
        Z -= self.shift
        starts = np.flatnonzero(np.diff(codes, prepend=-1))
        for code, first, last in zip(
            codes[starts], starts, [*starts[1:], len(Z)], strict=True
        ):
            block = self.blocks.setdefault(
                str(names[code]), [0, 0.0, np.zeros(self.q), np.zeros((self.q, self.q))]
            )
            rows, w = Z[first:last], weight[first:last]
            root = rows if (w == 1).all() else rows * np.sqrt(w)[:, None]
            block[0] += len(rows)
            block[1] += float(w.sum())
            with np.errstate(invalid="ignore"):
                block[2] += w @ rows
            if not np.isfinite(
                block[2]
            ).all():  # what is not finite in any row is not in the sum
                raise UsageError(
                    "Features and scores must be finite; found NaN or infinity."
                )
            block[3] += (
                root.T @ root
            )  # numpy sees one matrix and its own transpose: half the work

    def gram(self) -> Gram:
        shift = np.zeros(self.q) if self.shift is None else self.shift
        columns = list(zip(*self.blocks.values(), strict=True)) or [
            (),
            (),
            np.empty((0, self.q)),
            (),
        ]
        outer = np.array(columns[3], dtype=np.float64).reshape(-1, self.q, self.q)
        rows, weight = (
            np.array(columns[0], dtype=np.int64),
            np.array(columns[1], dtype=np.float64),
        )
        return Gram(
            tuple(self.blocks),
            self.n_targets,
            shift,
            rows,
            weight,
            np.array(columns[2]),
            outer,
        )
