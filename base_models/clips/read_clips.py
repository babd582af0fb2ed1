"""The clip table: one row per clip, read from a MusicEval tree or from a csv, tsv, jsonl or parquet table.

Everything is read as text, then checked, then converted: a system named ``06`` or ``NA`` stays that name. The trap: a
reader that guesses types, skips odd rows or accepts ``3,5`` changes labels without a word; here each such cell is an
error that names file, line, value and what is legal.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from base_models.bins import ScoreBins
from base_models.clips import musiceval
from base_models.clips.musiceval import TextTable, check_name, read_text
from base_models.errors import DamagedArtifact, UsageError, some
from base_models.files import from_json

SCALE = ScoreBins()
"""The scale of a mean opinion score, 1..5."""
COLUMNS = ("clip_id", "system_id", "prompt", "audio", "split")
ALIASES = {
    "clip_id": "clip_id id utt_id utterance utterance_id sample_id key",
    "audio": "audio path wav_path data_path file_path filename file audio_path wav",
    "prompt": "prompt caption text",
    "system_id": "system_id system sys_id sysid",
    "split": "split set subset partition",
}
_CANONICAL = {
    alias: name for name, aliases in ALIASES.items() for alias in aliases.split()
}
SPLITS = {
    "train": "train training",
    "dev": "dev valid val validation development",
    "test": "test eval evaluation",
}
_SPLIT = {word: name for name, words in SPLITS.items() for word in words.split()}

_TEXT_ASPECTS = (
    "ta",
    "text_alignment",
    "textual_alignment",
    "prompt_alignment",
    "prompt_adherence",
    "text_relevance",
)
_SPELLINGS = {
    form
    for name in _TEXT_ASPECTS
    for form in (name, name.replace("_", " "), name.replace("_", "-"))
}
TEXT_ASPECTS = frozenset(
    f(name)
    for name in _SPELLINGS
    for f in (str.lower, str.upper, str.title, str.capitalize)
)
"""Names of aspects that are judged against the prompt."""

_RATING_NAMES = _SPELLINGS | {
    *(
        "mi",
        "mos",
        "score",
        "avg_score",
        "mean_score",
        "rating",
        "overall",
        "quality",
        "overall_quality",
    ),
    *("music_impression", "musical_impression", "naturalness", "relevance"),
    *(
        "ce",
        "cu",
        "pc",
        "pq",
        "content_enjoyment",
        "content_usefulness",
        "production_complexity",
        "production_quality",
    ),
    *(
        "coherence",
        "musicality",
        "memorability",
        "clarity",
        "noisiness",
        "coloration",
        "discontinuity",
    ),
}
_BOOKKEEPING = re.compile(
    r"(n|num|nr|no|count|start|end|time|rater|listener|fold|duration|unnamed|ci)(_.*|\d*|s|ings)"
    r"|.*_(n|counts?|std|sd|var|se|sem|ci|ci95|ids?|idx|index|num|no|folds?|seed|year|seconds|rate|time|raters)"
    r"|id|idx|index|seed|seconds|length|year|month|day|date|age|bpm|tempo|std|sd|var|sem|sr|channels?|unnamed.*|fold.*|pred.*|answer"
)
MAX_ROWS = 10_000_000
_NOT_TEXT = re.compile(r"[\x00\ud800-\udfff]")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


@dataclass(frozen=True)
class SetAside:
    """A clip that cannot be used, and why."""

    clip_id: str
    reason: str


def read_clips(
    path: str | os.PathLike,
    aspects: Iterable[str] | None = None,
    bins: ScoreBins = SCALE,
    labels: bool = True,
) -> pd.DataFrame:
    """Read a clip table.

    Parameters
    ----------
    path : a MusicEval / AudioMOS 2025 track 1 folder, its eval-phase package or one of its label lists (.txt); or a
        table (.csv, .tsv, .jsonl, .parquet) with columns ``clip_id, audio, prompt, system_id, split`` (or their usual
        other names, see `ALIASES`) and one column per rated aspect. ``audio`` is relative to the table's folder.
    aspects : the rated columns. By default those with a known name of a rating; if there is none, all numeric columns
        that lie on the scale and do not look like counts or bookkeeping; if there is none, the table is unlabelled.
    bins : the scale on which labels must lie
    labels : False for a table that is to be scored: no column is read as a rating, and none is missed

    Returns
    -------
    clips : DataFrame with text columns ``clip_id, system_id, prompt, audio, split`` ("" where the data has none), one
        float64 column per aspect (NaN where unlabelled), and the other columns as text; ``attrs["aspects"]`` lists the
        aspects. Audio files need not exist: see `base_models.clips.check`.

    Raises
    ------
    UsageError
        when there is nothing to read, a row cannot be used (naming file and line), ids repeat, a clip is in two splits,
        or a clip of train or dev has no label.
    """
    path = Path(path)
    if path.is_dir() or path.suffix.lower() == ".txt":
        table = musiceval.read_tree(path)
    elif path.suffix.lower() in READERS:
        table = _with_standard_columns(READERS[path.suffix.lower()](path), path)
    elif path.exists():
        raise UsageError(
            f"{path}: clips are read from a MusicEval folder, a .txt label list, or {', '.join(READERS)}."
        )
    else:
        raise UsageError(f"There is no file or folder {path}.")
    if not table.places:
        raise UsageError(f"{path} holds no clips.")
    _check_names(table)
    chosen = _choose_aspects(table, aspects, bins, path) if labels else []
    columns = {name: table.columns[name] for name in COLUMNS} | {
        "split": _read_splits(table)
    }
    columns |= {name: read_scores(table, name, bins) for name in chosen}
    frame = pd.DataFrame(
        columns
        | {name: cells for name, cells in table.columns.items() if name not in columns}
    )
    frame.attrs["aspects"] = chosen
    validate_clips(frame, bins, labels)
    return frame


def validate_clips(
    frame: pd.DataFrame, bins: ScoreBins = SCALE, labels: bool = True
) -> None:
    """Check that `frame` is a clip table, wherever it came from; with labels=False, train and dev may have none.

    Raises
    ------
    UsageError
        when a column or ``attrs["aspects"]`` is missing, an id is empty or repeats, a clip is in two splits, a split
        has an unknown name, a label is not on the scale, or a clip of train or dev has no label.
    """
    missing = [name for name in COLUMNS if name not in frame.columns]
    aspects = frame.attrs.get("aspects")
    if (
        missing
        or aspects is None
        or any(aspect not in frame.columns for aspect in aspects)
    ):
        lack = (
            f"columns {some(missing)}"
            if missing
            else "attrs['aspects'], the list of its rated columns"
        )
        raise UsageError(f"Not a clip table: it lacks {lack}. Make it with read_clips.")
    if not all(isinstance(cell, str) for name in COLUMNS for cell in frame[name]):
        raise UsageError(
            f"Not a clip table: {', '.join(COLUMNS)} must be text ('' where there is none)."
        )
    if (frame["clip_id"] == "").any():
        raise UsageError(
            f"Row {int((frame['clip_id'] == '').argmax())} has an empty clip_id."
        )
    _check_once(frame)
    unknown, without = sorted(set(frame["split"]) - {*SPLITS, ""}), frame["split"] == ""
    if unknown:
        raise UsageError(
            f"Unknown split {some(unknown)}; legal are train, dev and test."
        )
    if 0 < without.sum() < len(frame):
        raise UsageError(
            f"{some(frame['clip_id'][without])} have no split while other clips have; fill in all or none."
        )
    scores = _score_matrix(frame, aspects)
    bad = ((scores < bins.low) | (scores > bins.high) | np.isinf(scores)).any(axis=1)
    if bad.any():
        raise UsageError(
            f"Labels of {some(frame['clip_id'][bad])} are off the scale {_range(bins)}."
        )
    bare = frame["split"].isin(["train", "dev"]).to_numpy() & np.isnan(scores).all(
        axis=1
    )
    if labels and bare.any():
        why = "" if aspects else " No rated column was found; name it with aspects."
        raise UsageError(
            f"Clips {some(frame['clip_id'][bare])} are in train or dev and have no label.{why}"
        )


def _score_matrix(frame: pd.DataFrame, aspects: Sequence[str]) -> np.ndarray:
    """Labels, shape (n, aspects)."""
    text = [aspect for aspect in aspects if frame[aspect].dtype.kind not in "fiu"]
    if text:
        raise UsageError(
            f"Not a clip table: the rated columns {some(text)} are not numbers."
        )
    return (
        np.array([frame[aspect].to_numpy(np.float64) for aspect in aspects])
        .reshape(len(aspects), len(frame))
        .T
    )


# ---- from cells to values


def _range(bins: ScoreBins) -> str:
    return f"{bins.low:g}..{bins.high:g}"


def _number(cell: str) -> float | None:
    """The number that a cell writes in plain ASCII, or None: no nan, inf, 1_0 or other scripts' digits."""
    return float(cell) if _NUMBER.fullmatch(cell) else None


def read_scores(
    table: TextTable, name: str, bins: ScoreBins, cure: str = ""
) -> np.ndarray:
    """Labels or ratings of one aspect, shape (n,); an empty cell is NaN.

    Raises
    ------
    UsageError
        when a cell is no number on the scale, naming its place; `cure` says what to do.
    """
    scores = np.full(len(table.places), math.nan)
    for row, cell in enumerate(table.columns[name]):
        cell = cell.strip()
        number = _number(cell)
        if cell and (number is None or not bins.low <= number <= bins.high):
            cure = (
                cure
                or f"If '{name}' is not a rating, name the rated columns with aspects."
            )
            raise UsageError(
                f"{table.place(row)}: {name} is {cell!r}; a label is a number in {_range(bins)}, or empty. {cure}"
            )
        scores[row] = math.nan if number is None else number
    return scores


def _read_splits(table: TextTable) -> list[str]:
    splits = [
        _SPLIT.get(cell.lower(), "" if not cell else None)
        for cell in table.columns["split"]
    ]
    if None in splits:
        row = splits.index(None)
        raise UsageError(
            f"{table.place(row)}: unknown split {table.columns['split'][row]!r}; legal: {', '.join(_SPLIT)}."
        )
    return splits


def _check_names(table: TextTable) -> None:
    for column, what in (
        ("clip_id", "clip id"),
        ("system_id", "system"),
        ("audio", "audio file"),
    ):
        for row, name in enumerate(table.columns[column]):
            check_name(name, table.place(row), what)
            if column == "clip_id" and not name:
                raise UsageError(f"{table.place(row)}: the clip id is empty.")
    for row, prompt in enumerate(table.columns["prompt"]):
        if _NOT_TEXT.search(prompt):
            raise UsageError(
                f"{table.place(row)}: the prompt holds a NUL or half a surrogate pair: it is not text."
            )


def _check_once(frame: pd.DataFrame) -> None:
    repeated = frame[frame["clip_id"].duplicated(keep=False)]
    if repeated.empty:
        return
    splits = repeated.groupby("clip_id")["split"].nunique()
    torn = splits.index[splits > 1]
    if len(torn):
        raise UsageError(
            f"Clips {some(torn)} are in more than one split; a clip that is trained on cannot test."
        )
    raise UsageError(
        f"Duplicate clip ids: {some(splits.index)}. Each clip stands in one row."
    )


def _choose_aspects(
    table: TextTable, asked: Iterable[str] | None, bins: ScoreBins, path: Path
) -> list[str]:
    candidates = [name for name in table.columns if name not in {*COLUMNS, "prompt_id"}]
    if asked is not None:
        asked = [asked] if isinstance(asked, str) else list(asked)
        absent = [name for name in asked if name not in candidates]
        if absent or len(set(asked)) < len(asked) or not asked:
            raise UsageError(
                f"{path} has no rated columns {some(absent or asked)} (each once); it has {some(candidates, 20)}."
            )
        return asked
    named = [
        name for name in candidates if name.lower().replace(" ", "_") in _RATING_NAMES
    ]
    return named or [
        name
        for name in candidates
        if not _is_bookkeeping(name) and _on_scale(table.columns[name], bins)
    ]


def _is_bookkeeping(name: str) -> bool:
    return _BOOKKEEPING.fullmatch(name.lower().replace(" ", "_")) is not None


def _on_scale(cells: Iterable[str], bins: ScoreBins) -> bool:
    numbers = [_number(cell.strip()) for cell in cells if cell.strip()]
    return bool(numbers) and all(
        number is not None and bins.low <= number <= bins.high for number in numbers
    )


# ---- plain tables


def _with_standard_columns(table: TextTable, path: Path) -> TextTable:
    """Columns under their standard names; an absent one is filled with "", clip ids from the names of audio files."""
    columns: dict[str, list[str]] = {}
    origin: dict[str, str] = {}
    for name, cells in table.columns.items():
        standard = _CANONICAL.get(name.lower(), name)
        if standard in origin:
            raise UsageError(
                f"{path}: columns '{origin[standard]}' and '{name}' both mean {standard}; drop or rename one."
            )
        origin[standard] = name
        columns[standard] = (
            cells
            if standard not in COLUMNS or standard == "prompt"
            else [cell.strip() for cell in cells]
        )
    if "clip_id" not in columns and "audio" not in columns:
        raise UsageError(
            f"{path} has neither a clip_id nor an audio column (also: {', '.join(_CANONICAL)})."
        )
    n = len(table.places)
    columns = {name: [""] * n for name in COLUMNS} | columns
    if "clip_id" not in origin:
        columns["clip_id"] = [Path(audio).stem for audio in columns["audio"]]
        ids = pd.Series(columns["clip_id"], dtype=object)
        if ids.duplicated().any():
            raise UsageError(
                f"{path}: audio files share the names {some(ids[ids.duplicated()].unique())}; add a clip_id column."
            )
    columns["audio"] = [
        str(path.parent / audio) if audio else "" for audio in columns["audio"]
    ]
    return TextTable(columns, table.places, table.unit)


def _check_header(header: Sequence[str], path: Path) -> list[str]:
    names = [name.strip() or f"unnamed_{k}" for k, name in enumerate(header)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(f"{path} has two columns named {some(twice)}.")
    return names


def _check_delimiter(names: Sequence[str], delimiter: str, path: Path) -> None:
    """Refuse a header whose only name holds another separator."""
    for mark, said in ((";", "';'"), ("\t", "tabs"), (",", "commas")):
        if len(names) == 1 and mark != delimiter and mark in names[0]:
            cure = "tabs, or as .csv" if delimiter == "\t" else "commas, or as .tsv"
            raise UsageError(f"{path} is separated by {said}; save it with {cure}.")


def _read_delimited(path: Path, delimiter: str) -> TextTable:
    lines = csv.reader(
        io.StringIO(read_text(path), newline=""), delimiter=delimiter, strict=True
    )
    names, rows, places, last = None, [], [], 0
    try:
        for cells in lines:
            start, last = last + 1, lines.line_num
            # A stray quote swallows the rows up to the next one; a prompt with a line break looks the same.
            if last > start:
                raise UsageError(
                    f"{path}, line {start}: a quoted cell runs on to line {last}; close it on its own line."
                )
            if not any(cell.strip() for cell in cells) and len(cells) <= 1:
                continue
            if names is None:
                names = _check_header(cells, path)
                _check_delimiter(names, delimiter, path)
            elif len(cells) != len(names):
                raise UsageError(
                    f"{path}, line {start}: {len(cells)} cells; the header has {len(names)}."
                )
            else:
                rows.append(cells)
                places.append((str(path), start))
    except csv.Error as error:
        raise UsageError(
            f"{path}, line {last + 1}: not a well-formed row ({error})."
        ) from error
    return TextTable.from_rows(names, rows, places)


def _as_text(value) -> str:
    """The text of a JSON or Parquet value; what is absent is ""."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return (
        json.dumps(value, ensure_ascii=False, default=str)
        if isinstance(value, (list, dict))
        else str(value)
    )


def _read_jsonl(path: Path) -> TextTable:
    records, places, names = [], [], {}
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = from_json(line.encode(), f"{path}, line {number}")
        except DamagedArtifact as error:
            raise UsageError(str(error)) from error
        if not isinstance(record, dict):
            raise UsageError(
                f'{path}, line {number}: expected an object like {{"clip_id": …}}; got {line[:40]!r}.'
            )
        names |= dict.fromkeys(record)
        records.append(record)
        places.append((str(path), number))
    rows = [[_as_text(record.get(name)) for name in names] for record in records]
    return TextTable.from_rows(_check_header(list(names), path), rows, places)


def _read_parquet(path: Path) -> TextTable:
    if not path.is_file():
        raise UsageError(f"There is no file {path}.")
    try:
        file = pq.ParquetFile(path, page_checksum_verification=True)
        if file.metadata.num_rows > MAX_ROWS:
            raise UsageError(
                f"{path} declares {file.metadata.num_rows:,} rows; more than {MAX_ROWS:,} are not read."
            )
        table = file.read()
    except (pa.ArrowException, OSError) as error:
        raise UsageError(
            f"{path} is not a readable Parquet file ({str(error).splitlines()[0]})."
        ) from error
    embedded = [
        field.name
        for field in table.schema
        if re.search("binary|struct", str(field.type))
    ]
    if embedded:
        raise UsageError(
            f"{path}: columns {some(embedded)} hold embedded data; write it to files and give their paths."
        )
    columns = [
        [_as_text(value) for value in column.to_pylist()] for column in table.columns
    ]
    places = [(str(path), row) for row in range(table.num_rows)]
    return TextTable(
        dict(zip(_check_header(table.column_names, path), columns, strict=True)),
        places,
        "row",
    )


READERS: dict[str, Callable[[Path], TextTable]] = {
    ".csv": lambda path: _read_delimited(path, ","),
    ".tsv": lambda path: _read_delimited(path, "\t"),
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
}
