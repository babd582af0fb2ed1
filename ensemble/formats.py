"""Scores, and every format that they are written in: name, suffix and encoder.

To add a format, write its encoder and an entry of `FORMATS`; the commands take it from
there.
"""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from base_models.bins import ScoreBins
from base_models.clip_status import OK
from base_models.clips.read_clips import SetAside
from base_models.clips.tables.formulas import safe_cell
from base_models.errors import UsageError, one_of
from base_models.files import nan_to_none, to_json
from base_models.optional_libraries import LazyLibrary, require
from base_models.scales import Scale
from meta.score_columns import KEPT, STATUS, bin_columns
from meta.uncertainty.clip_range import RangeCheck

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq
else:
    pa = LazyLibrary("pyarrow")
    pq = LazyLibrary("pyarrow.parquet")


@dataclass(frozen=True)
class Distributions:
    """What the stack, and perhaps its base models, make of each clip, bin by bin.

    Parameters
    ----------
    frame : DataFrame
        As of `meta.score_columns.distribution_table`: one row per clip and model.
    aspects : tuple of str
        In the order of the columns.
    bins : ScoreBins
        The scale that the distributions are over.
    scales : mapping of str to Scale
        Of the aspects whose bins span another scale.
    """

    frame: pd.DataFrame
    aspects: tuple[str, ...]
    bins: ScoreBins
    scales: Mapping[str, Scale] = field(default_factory=dict)

    def centers(self, aspect: str) -> np.ndarray:
        """Centres of the bins of an aspect, on the scale of its scores."""
        own = Scale.of(self.bins)
        return own.map(self.bins.centers, self.scales.get(aspect, own))

    def with_lists(self) -> pd.DataFrame:
        """The same with a list of bins per aspect, ``<aspect>_bins``."""
        table = self.frame[["clip_id", "model"]].copy()
        for aspect in self.aspects:
            own = self.frame[bin_columns(aspect, self.bins.count)]
            table[aspect] = self.frame[aspect]
            table[f"{aspect}_bins"] = own.to_numpy(dtype=float).tolist()
        return table


@dataclass(frozen=True)
class Scores:
    """Scores of clips: a row for each that was given, in the order of the input.

    Parameters
    ----------
    frame : DataFrame of n rows
        ``clip_id`` and ``audio``; the columns that were kept of the input, by default
        ``system_id`` and ``prompt``, as text; ``status``, ``"ok"`` or another word of
        `base_models.clip_status.STATUSES`; per aspect ``<aspect>``, ``<aspect>_low``
        and ``<aspect>_high`` (bounds of the interval), NaN where the status is not
        "ok", or an aspect needs a prompt and the clip has none. ``out_of_range`` marks
        clips unlike those that the stack has learnt from, where it can tell. ``flags``
        are words with spaces between them, of `ensemble.scoring.audio_flags`; of clips
        with audio, ``seconds``, ``source_hz``, ``channels`` and ``bandwidth_hz`` follow
        (of the file, as it is; unknown where the status is not "ok"). ``reason`` says
        why a clip has no scores, and is "" elsewhere.
    aspects : tuple of str
        Scored aspects.
    left_out : tuple of str
        Aspects that need a prompt, when no clip has one.
    set_aside : tuple of SetAside
        Clips that could not be used, in the order of the rows.
    distributions : Distributions, or None
        Around the scores, where they were asked for; of the usable clips alone.
    scales : mapping of str to Scale
        Of the scores of each aspect; 1..5 where it is not named.
    check : RangeCheck, or None
        How far the usable clips lie from those that the stack has learnt from; None
        where it cannot tell, or there are none.
    audio_notes : tuple of str
        What a reader of the scores must know of the audio, a line for each flag.
    kept : tuple of str
        Columns of the input that `frame` has where there was something in them.
    """

    frame: pd.DataFrame
    aspects: tuple[str, ...]
    left_out: tuple[str, ...]
    set_aside: tuple[SetAside, ...]
    distributions: Distributions | None = None
    scales: Mapping[str, Scale] = field(default_factory=dict)
    check: RangeCheck | None = None
    audio_notes: tuple[str, ...] = ()
    kept: tuple[str, ...] = KEPT

    @property
    def usable(self) -> pd.DataFrame:
        """The rows whose status is "ok", with a RangeIndex."""
        is_usable = self.frame[STATUS] == OK
        return self.frame[is_usable].reset_index(drop=True)

    @property
    def without_prompt(self) -> dict[str, tuple[str, ...]]:
        """Per aspect that some clips have no score of, for want of a prompt: their ids.

        Aspects that are left out as a whole are not among them.
        """
        usable = self.usable
        clips_of_aspect = {}
        for aspect in self.aspects:
            clips = tuple(usable["clip_id"][usable[aspect].isna()])
            if clips:
                clips_of_aspect[aspect] = clips
        return clips_of_aspect


@dataclass(frozen=True)
class OutputFormat:
    """How scores are written.

    Parameters
    ----------
    suffix : str
        Of files in this format, with its dot.
    encode : callable
        Takes a table of scores and the scored aspects; returns the bytes of a file.
    encode_distributions : callable, or None
        The same of `Distributions`; None where the format has no place for them.
    holds_every_row : bool
        Whether rows without scores have a place in it.
    """

    suffix: str
    encode: Callable[[pd.DataFrame, Sequence[str]], bytes]
    encode_distributions: Callable[[Distributions], bytes] | None = None
    holds_every_row: bool = True


def csv_table(frame: pd.DataFrame, decimals: int | None = None) -> bytes:
    """Encode any table as csv, with a header and without the index.

    Text that a spreadsheet would run as a formula is written as
    `base_models.clips.tables.formulas.safe_cell` writes it.

    Parameters
    ----------
    frame : DataFrame
    decimals : int, optional
        Of floating-point columns; by default as many as tell them apart.
    """
    float_format = None if decimals is None else f"%.{decimals}f"
    safe = frame.rename(columns=_safe)
    has_returns = False
    for place, name in enumerate(frame.columns):
        if not is_numeric_dtype(frame[name]):
            cells = frame[name].map(_safe)
            has_returns |= any("\r" in cell for cell in cells if isinstance(cell, str))
            safe.isetitem(place, cells)
    # The writer would leave a carriage return bare, which ends a line to readers.
    quoting = csv.QUOTE_NONNUMERIC if has_returns else csv.QUOTE_MINIMAL
    text: str = safe.to_csv(index=False, float_format=float_format, quoting=quoting)
    return text.encode()


def _safe(value: object) -> object:
    return safe_cell(value) if isinstance(value, str) else value


def answer(predictions: pd.DataFrame, aspects: Sequence[str]) -> str:
    """Write scores as the ``answer.txt`` of AudioMOS 2025 track 1.

    One line ``id,MI,TA`` per clip, sorted by id, with 8 decimals, without a header and
    without the ``.wav`` that some ids end in. A missing score is an empty field.

    Examples
    --------
    >>> scores = {"clip_id": ["b", "a"], "mi": [3.0, 4.5], "ta": [1.0, 2.0]}
    >>> answer(pd.DataFrame(scores), ("mi", "ta"))
    'a,4.50000000,2.00000000\\nb,3.00000000,1.00000000\\n'
    """
    # Sorted by the id that is written, not by the one with a suffix.
    ids = [clip.removesuffix(".wav") for clip in predictions["clip_id"]]
    scores = predictions[list(aspects)].to_numpy(dtype=float).tolist()
    lines = []
    for clip, clip_scores in sorted(zip(ids, scores, strict=True)):
        cells = ["" if isnan(score) else f"{score:.8f}" for score in clip_scores]
        lines.append(",".join([clip, *cells]) + "\n")
    return "".join(lines)


def _encode_csv(frame: pd.DataFrame, aspects: Sequence[str]) -> bytes:
    return csv_table(frame, decimals=6)


def _encode_jsonl(frame: pd.DataFrame, aspects: Sequence[str]) -> bytes:
    # Strict JSON: an unknown number is null, not a word that few can read.
    lines = [
        json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n"
        for record in nan_to_none(frame)
    ]
    return "".join(lines).encode()


def _encode_parquet(frame: pd.DataFrame, aspects: Sequence[str]) -> bytes:
    encoded: bytes = frame.to_parquet(index=False)
    return encoded


def _encode_answer(frame: pd.DataFrame, aspects: Sequence[str]) -> bytes:
    return answer(frame, aspects).encode()


ANSWER_FILE = "answer.txt"
"""What the challenge demands that the file within a submission is called."""


def _encode_zip(frame: pd.DataFrame, aspects: Sequence[str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        # The usual date of such a file, so that equal scores are equal bytes.
        info = zipfile.ZipInfo(ANSWER_FILE, (1980, 1, 1, 0, 0, 0))
        info.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(info, answer(frame, aspects))
    return buffer.getvalue()


def _distributions_csv(distributions: Distributions) -> bytes:
    # Two digits more than scores have: 20 rounded bins still sum to 1.
    return csv_table(distributions.frame, decimals=8)


def _distributions_jsonl(distributions: Distributions) -> bytes:
    return _encode_jsonl(distributions.with_lists(), distributions.aspects)


def _distributions_parquet(distributions: Distributions) -> bytes:
    # Types are stated: without rows they cannot be told from the values.
    fields = [("clip_id", pa.string()), ("model", pa.string())]
    for aspect in distributions.aspects:
        fields += [(aspect, pa.float64()), (f"{aspect}_bins", pa.list_(pa.float64()))]
    known = {
        aspect: distributions.centers(aspect).round(10).tolist()
        for aspect in distributions.aspects
    }
    # One list where all aspects share a scale, else one for each.
    is_shared = len({tuple(centers) for centers in known.values()}) == 1
    centers = next(iter(known.values())) if is_shared else known
    columns = distributions.with_lists().to_dict("list")
    table = pa.table(columns, pa.schema(fields, {BIN_CENTERS: json.dumps(centers)}))
    return _parquet_bytes(table)


def _parquet_bytes(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


RECORD = b"stackedmos_scores"
"""Key of the metadata of a parquet file of scores: how these came about, as JSON."""
BIN_CENTERS = b"bin_centers"
"""Key of the metadata of a parquet file: a JSON list of the centres of the bins, or an
object with such a list for each aspect, where these are on different scales."""

FORMATS = {
    "csv": OutputFormat(".csv", _encode_csv, _distributions_csv),
    "jsonl": OutputFormat(".jsonl", _encode_jsonl, _distributions_jsonl),
    "parquet": OutputFormat(".parquet", _encode_parquet, _distributions_parquet),
    "answer": OutputFormat(".txt", _encode_answer, holds_every_row=False),
    "answer.zip": OutputFormat(".zip", _encode_zip, holds_every_row=False),
}


def check_format(name: str) -> str:
    """Return the name of an output format if files can be written in it here.

    Raises
    ------
    UsageError
        When there is no such format, or the library that writes it is not installed.
    """
    one_of(name, FORMATS, "output format")
    if name == "parquet":
        require("pyarrow")
    return name


def encode_scores(
    scores: Scores, name: str, record: Mapping[str, Any] | None = None
) -> bytes:
    """Encode scores in one of `FORMATS`.

    Parameters
    ----------
    scores : Scores
    name : str
        Of the format.
    record : mapping, optional
        How they came about. A parquet file has it as JSON in its metadata, under the
        key `RECORD`; other formats have no place for it.

    Raises
    ------
    UsageError
        As `check_format` does.
    """
    check_format(name)
    # The answer format has no place for rows without scores.
    frame = scores.frame if FORMATS[name].holds_every_row else scores.usable
    if name == "parquet" and record is not None:
        table = pa.Table.from_pandas(frame, preserve_index=False)
        metadata = {**table.schema.metadata, RECORD: to_json(nan_to_none(record))}
        return _parquet_bytes(table.replace_schema_metadata(metadata))
    return FORMATS[name].encode(frame, scores.aspects)


def encode_distributions(distributions: Distributions, name: str) -> bytes:
    """Encode distributions in one of the `FORMATS` that have a place for them."""
    encode = FORMATS[name].encode_distributions
    if encode is None:
        raise UsageError(f"The format '{name}' has no place for distributions.")
    return encode(distributions)


def format_of_distributions(path: str | Path) -> str:
    """Name of the format that the suffix of a file of distributions stands for.

    Raises
    ------
    UsageError
        When it stands for none, or for one that holds scores alone.
    """
    name_of = {
        output_format.suffix: name
        for name, output_format in FORMATS.items()
        if output_format.encode_distributions is not None
    }
    if Path(path).suffix in name_of:
        return check_format(name_of[Path(path).suffix])
    *others, last = name_of
    raise UsageError(
        f"--distributions {path}: name a {', '.join(others)} or {last} file; the "
        "answer format holds scores alone."
    )


def format_of_file(path: str | Path) -> str:
    """Name of the format that the suffix of a file stands for.

    Raises
    ------
    UsageError
        When it stands for none.

    Examples
    --------
    >>> format_of_file("scores.txt")
    'answer'
    """
    for name, output_format in FORMATS.items():
        if Path(path).suffix.lower() == output_format.suffix:
            return check_format(name)
    *others, last = [output_format.suffix for output_format in FORMATS.values()]
    raise UsageError(
        f"{path}: name a {', '.join(others)} or {last} file, or pass --format."
    )
