"""Gram blocks of many Parquet files, or of one that is large: accumulated in pieces on an engine, then added up.

They are all that a ridge regression asks of rows, so tables that fit on no machine can be stacked: the files stay
where they are, and blocks of some hundred columns travel. The trap: sums of floats depend on their order and on the
threads that add, so pieces are cut by the files alone, added in their order, each by one thread: one machine and any
cluster give the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from base_models.errors import DamagedArtifact, UsageError
from ensemble.engine import LOCAL, spread
from meta.ridge_algebra.gram import Gram

PIECE_ROWS = 2**20
"""A piece takes row groups until it has so many rows: 1.5 GB for 180 columns of float64, read a chunk at a time."""


def gram_of_files(
    paths: Iterable[Path | str],
    features: Sequence[str],
    targets: Sequence[str],
    group: str | None = None,
    weight: str | None = None,
    engine: str = LOCAL,
    jobs: int = 1,
) -> Gram:
    """The blocks of all rows of some Parquet files.

    Parameters
    ----------
    paths : the files; their order moves the last digits
    features, targets, group, weight : columns, see `Gram.from_parquet`
    engine : where pieces are accumulated, see `ensemble.engine.check_engine`
    jobs : worker processes of the local engine

    Raises
    ------
    UsageError
        when no file is named, a column is missing, or a value is not finite.
    DamagedArtifact
        when a file cannot be read as Parquet.
    """
    paths = [Path(path).absolute() for path in paths]
    if not paths:
        raise UsageError("Name at least one Parquet file; got none.")
    pieces = [
        (path, part, features, targets, group, weight)
        for path in paths
        for part in _parts(path)
    ]
    grams = spread(_accumulate, pieces, engine, jobs, shared=paths[0].parent)
    total = next(grams)
    for gram in grams:  # as they come, in the order of the files: never all in memory
        total += gram
    return total


def _parts(path: Path) -> list[list[int]]:
    """Row groups of a file, in pieces; one empty piece where there are none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        about = pq.read_metadata(path)
    except (pa.ArrowException, OSError) as error:
        raise DamagedArtifact(
            f"{path} is not a readable Parquet table ({error})."
        ) from error
    parts, rows = [[]], 0
    for k in range(about.num_row_groups):
        if rows >= PIECE_ROWS:
            parts, rows = [*parts, []], 0
        parts[-1].append(k)
        rows += about.row_group(k).num_rows
    return parts


def _accumulate(path: Path, part: list[int], features, targets, group, weight) -> Gram:
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        return Gram.from_parquet(path, features, targets, group, weight, part)
