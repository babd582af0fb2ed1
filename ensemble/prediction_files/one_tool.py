"""Anybody's predictions: which column is the score, which clip a row is about, and which clips it leaves out.

The traps: a predictions file is often the label table with one column added, so that the column named like the aspect
holds the truth (a column that says it is a prediction goes first); and a clip that a file leaves out must not be
dropped or filled in without a word, for a predictor that skips the hard clips would look better than it is.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from base_models.bins import ScoreBins
from base_models.clips.columns import ALIASES
from base_models.clips.musiceval import ASPECTS
from base_models.clips.read_clips import SCALE
from base_models.clips.text_table import READERS, TextTable, check_name, read_text
from base_models.errors import UsageError, one_of, some
from base_models.predictions import PredictionTable

ID_COLUMNS = (*ALIASES["clip_id"], "wav_id", "wavid", "utt")
PATH_COLUMNS = (*ALIASES["audio"], "wav_file", "deg", "filepath_deg")
PREDICTED = (
    "answer",
    "prediction",
    "predictions",
    "predicted",
    "pred",
    "predicted_mos",
    "mos_pred",
    "pred_mos",
)
PREDICTED += ("predicted_score", "pred_score", "score_pred")
SCORES = ("score", "scores", "mos")
_ABOUT_CLIPS = {
    *ID_COLUMNS,
    *PATH_COLUMNS,
    *(n for key in ("prompt", "system_id", "split") for n in ALIASES[key]),
}
_AUDIO_SUFFIX = re.compile(
    r"\.(wav|flac|mp3|ogg|oga|opus|m4a|mp4|aac|aiff?|wma|webm|sph)$", re.IGNORECASE
)
_FOLDER = re.compile(r"[/\\]")


def read_predictions(path: str | os.PathLike, aspects: Iterable[str]) -> pd.DataFrame:
    """Read predicted scores, whichever tool wrote them.

    Parameters
    ----------
    path : .csv, .tsv, .jsonl or .parquet table with a column of clip ids (`ID_COLUMNS`) or else of paths whose stem is
        the id (`PATH_COLUMNS`), and per aspect a column ``pred_<aspect>``, ``<aspect>_pred``, ``predicted_<aspect>``
        or ``<aspect>``, in this order, in any case. For a single aspect also one of `PREDICTED` (before ``<aspect>``)
        or `SCORES` (after it), or the only column left. Or lines ``id,score,score…`` without a header, as in the
        challenge's ``answer.txt``: one score per aspect, in the order of `aspects` (mi and ta: always in this one). Or
        the distributions of a base model (``predictions-test.parquet`` in its folder), which are decoded.
    aspects : names

    Returns
    -------
    predictions : DataFrame of n rows with ``clip_id`` (text) and one float64 column per aspect, finite, on any scale;
        ``attrs["columns"]`` says which column of the file each aspect was read from

    Raises
    ------
    UsageError
        when there is nothing to read, no column or more than one fits, an id is empty or stands twice, or a score is
        missing or not a finite number (naming file and line).
    """
    path, aspects = Path(path), [aspects] if isinstance(aspects, str) else list(aspects)
    distributions = read_distributions(path)
    if distributions is not None:
        return _decoded(distributions, aspects)
    bare, separator = _layout(path)
    if bare:
        table, columns = _read_bare(path, separator, aspects)
    else:
        table = READERS[
            ".tsv"
            if separator == "\t"
            else ".csv"
            if separator
            else path.suffix.lower()
        ](path)
        columns = {
            aspect: _score_column(table, aspect, len(aspects) == 1, path)
            for aspect in aspects
        }
    if not table.locations:
        raise UsageError(f"{path} holds no predictions.")
    scores = {aspect: _scores(table, column) for aspect, column in columns.items()}
    frame = pd.DataFrame({"clip_id": _clip_ids(table, path), **scores})
    frame.attrs["columns"] = columns
    return frame


def read_distributions(path: str | os.PathLike) -> PredictionTable | None:
    """The table of distributions that a base model wrote, or None when the file is anything else."""
    path = Path(path)
    if path.suffix.lower() != ".parquet" or not path.is_file():
        return None
    try:
        written = pq.read_schema(path).metadata or {}
    except (pa.ArrowException, OSError):
        return None  # whoever reads it as a plain table says what is wrong
    return PredictionTable.read(path) if b"stackedmos" in written else None


def _decoded(table: PredictionTable, aspects: Sequence[str]) -> pd.DataFrame:
    scores = {}
    for aspect in aspects:
        scores[aspect] = table.bins.decode(table.of(aspect), table.sigma)
    frame = pd.DataFrame({"clip_id": table.clip_ids, **scores})
    frame.attrs["columns"] = dict.fromkeys(aspects, f"{table.model}, distributions")
    return frame


def of_split(clips: pd.DataFrame, split: str | None) -> pd.DataFrame:
    """The clips of one split of a clip table; all of them when `split` is None.

    Raises
    ------
    UsageError
        when the table names no splits, or has no clip of this one.
    """
    if split is None:
        return clips
    kept = clips[clips["split"] == one_of(split, ("train", "dev", "test"), "split")]
    if kept.empty:
        has = [name for name in clips["split"].unique() if name]
        cure = (
            f"it has {some(has)}"
            if has
            else "the labels name no splits; leave the split out to take all clips"
        )
        raise UsageError(f"No clip of the labels is in split '{split}': {cure}.")
    return kept


def join_predictions(
    predictions: pd.DataFrame, labels: pd.DataFrame
) -> tuple[pd.DataFrame, list[str], list[str]]:
    """Put each label beside its prediction.

    Ids are compared without the suffix of an audio file, and without folders where only one side has them; unless two
    labelled clips would then be one.

    Parameters
    ----------
    predictions : as `read_predictions` returns it
    labels : a clip table; its clips without any label are left aside

    Returns
    -------
    joined : the labelled and predicted rows of `labels`, in their order: ``clip_id, system_id, prompt, split``, one
        column per aspect with the label, and ``pred_<aspect>``
    not_predicted : ids that are labelled but not predicted
    not_labelled : ids that are predicted but not labelled

    Raises
    ------
    UsageError
        when no clip is labelled, none is on both sides, or two predictions are for one clip.
    """
    aspects = labels.attrs["aspects"]
    labelled = labels[labels[aspects].notna().any(axis=1)]
    if labelled.empty:
        raise UsageError(
            f"The labels rate no clip ({', '.join(aspects) or 'no rated column was found'})."
        )
    wanted, given = common_form(list(labelled["clip_id"]), list(predictions["clip_id"]))
    row_of = _rows_of(given, predictions["clip_id"])
    rows = np.array([row_of.get(clip, -1) for clip in wanted])
    if (rows < 0).all():
        raise UsageError(
            f"No prediction is for a labelled clip: a label is for '{labelled['clip_id'].iloc[0]}', a prediction for "
            f"'{predictions['clip_id'].iloc[0]}'. Give both the same ids."
        )
    joined = labelled.loc[
        rows >= 0, ["clip_id", "system_id", "prompt", "split", *aspects]
    ].reset_index(drop=True)
    for aspect in aspects:
        if f"pred_{aspect}" in aspects:
            raise UsageError(
                f"Both '{aspect}' and 'pred_{aspect}' are rated columns; name one with aspects."
            )
        joined[f"pred_{aspect}"] = predictions[aspect].to_numpy()[rows[rows >= 0]]
    known = set(wanted)
    extra = [
        name
        for name, short in zip(predictions["clip_id"], given, strict=True)
        if short not in known
    ]
    return joined, list(labelled["clip_id"][rows < 0]), extra


def remarks(
    joined: pd.DataFrame, aspects: Sequence[str], bins: ScoreBins = SCALE
) -> list[str]:
    """What a reader of the metrics must know: predictions off the scale, all equal, or equal to the labels; no systems.

    >>> remarks(pd.DataFrame({"system_id": ["A", "B"], "mos": [1.0, 2.0], "pred_mos": [55.0, 4.0]}), ["mos"])
    ["1 of 2 predictions of 'mos' lie off the scale 1..5 (4..55): correlations do not mind, the MSE does."]
    """
    said = []
    for aspect in aspects:
        truth, score = (
            joined.loc[joined[aspect].notna(), name]
            for name in (aspect, f"pred_{aspect}")
        )
        off = int(((score < bins.low) | (score > bins.high)).sum())
        if off:
            said.append(
                f"{off} of {len(score)} predictions of '{aspect}' lie off the scale {bins.low:g}..{bins.high:g} "
                f"({score.min():.4g}..{score.max():.4g}): correlations do not mind, the MSE does."
            )
        if len(score) > 1 and score.nunique() == 1:
            said.append(
                f"The predictions of '{aspect}' are all {score.iloc[0]:g}: correlations are undefined."
            )
        elif len(score) > 1 and (score == truth).all():
            said.append(
                f"The predictions of '{aspect}' equal the labels in every clip: is their column the labels?"
            )
    systems = joined["system_id"].nunique()
    if systems == 1:
        what = (
            "All clips are of one system"
            if joined["system_id"].iloc[0]
            else "The labels name no systems"
        )
        said.append(f"{what}: there is no system level, and intervals resample clips.")
    return said


# ---- columns and rows


def _layout(path: Path) -> tuple[bool, str]:
    """Whether a file is lines without a header, and what separates its fields ("" when it is no text table)."""
    suffix = path.suffix.lower()
    if suffix not in {*READERS, ".txt"}:
        if not path.is_file():
            raise UsageError(
                f"{path} is not a file."
                if path.exists()
                else f"There is no file {path}."
            )
        raise UsageError(
            f"{path}: predictions are read from {', '.join(READERS)}, or a .txt of lines id,score."
        )
    if suffix not in {".csv", ".tsv", ".txt"}:
        return False, ""
    first = next(line for line in _lines(path) if line.strip())
    separator = (
        "\t" if suffix == ".tsv" or (suffix == ".txt" and "\t" in first) else ","
    )
    cells = _fields(first, separator)
    if any(_plain(cell) in {*ID_COLUMNS, *PATH_COLUMNS} for cell in cells):
        return False, separator
    return suffix == ".txt" or any(
        _number(cell) is not None for cell in cells[1:]
    ), separator


def _lines(path: Path) -> list[str]:
    return re.split(r"\r\n|\n|\r", read_text(path))


def _fields(line: str, separator: str) -> list[str]:
    return [cell.strip().strip('"') for cell in line.split(separator)]


def _read_bare(
    path: Path, separator: str, aspects: Sequence[str]
) -> tuple[TextTable, dict[str, str]]:
    """Lines ``id,score,score…`` as columns ``clip_id``, ``field 2``, ``field 3``…, and the column of each aspect."""
    lines = [
        (number, line)
        for number, line in enumerate(_lines(path), start=1)
        if line.strip()
    ]
    rows = [_fields(line, separator) for _, line in lines]
    order = [aspect.lower() for aspect in aspects]
    if len(rows[0]) == 1 + len(ASPECTS) and set(order) <= set(ASPECTS):
        order = list(
            ASPECTS
        )  # the challenge fixes id,MI,TA, whichever of the two are asked for and in which order
    for (number, line), cells in zip(lines, rows, strict=True):
        if len(cells) != 1 + len(order):
            raise UsageError(
                f"{path}, line {number}: expected an id and {len(order)} score{'s' * (len(order) > 1)} "
                f"({', '.join(order)}); got {line[:80]!r}. Without a header there must be one score per aspect."
            )
    names = [f"field {k + 2}" for k in range(len(order))]
    columns = {aspect: names[order.index(aspect.lower())] for aspect in aspects}
    return TextTable.from_rows(
        ["clip_id", *names], rows, [(str(path), number) for number, _ in lines]
    ), columns


def _plain(name: str) -> str:
    return re.sub(r"[\s-]+", "_", name.strip().lower())


def _score_column(table: TextTable, aspect: str, alone: bool, path: Path) -> str:
    """The column that predicts `aspect`; the first group of names of which the table has any decides."""
    free = [name for name in table.columns if _plain(name) not in _ABOUT_CLIPS]
    own = _plain(aspect)
    named, general = (
        (f"pred_{own}", f"{own}_pred", f"predicted_{own}"),
        PREDICTED if alone else (),
    )
    for legal in (named, general, (own,), SCORES if alone else ()):
        found = [name for name in free if _plain(name) in legal]
        if len(found) > 1:
            raise UsageError(
                f"{path}: columns {some(found)} may all be the predictions of '{aspect}'; rename one to 'pred_{own}'."
            )
        if found:
            return found[0]
    if alone and len(free) == 1:
        return free[0]
    raise UsageError(
        f"{path} has no predictions of '{aspect}': no column '{own}', {some(named)}; it has {some(table.columns, 20)}. "
        "Rename the column, or name the aspects that it does have."
    )


def _clip_ids(table: TextTable, path: Path) -> list[str]:
    """One id per row, each once: as written, or the stem where there are only paths."""
    for legal in (ID_COLUMNS, PATH_COLUMNS):
        found = [name for name in table.columns if _plain(name) in legal]
        if len(found) > 1:
            raise UsageError(
                f"{path}: columns {some(found)} may all be the clip id; drop or rename all but one."
            )
        if found:
            break
    else:
        raise UsageError(
            f"{path} has no clip ids; it has {some(table.columns, 20)}. Name their column clip_id (also legal: "
            f"{', '.join((*ID_COLUMNS[1:], *PATH_COLUMNS))})."
        )
    first: dict[str, int] = {}
    for row, cell in enumerate(table.columns[found[0]]):
        clip = cell.strip() if legal is ID_COLUMNS else _short(cell.strip(), True)
        check_name(clip, table.location(row), "clip id")
        if not clip:
            raise UsageError(f"{table.location(row)}: the clip id is empty.")
        if first.setdefault(clip, row) != row:
            before = f"{table.unit} {table.locations[first[clip]][1]}"
            raise UsageError(
                f"{table.location(row)}: '{clip}' is predicted twice, first in {before}."
            )
    return list(first)


def _scores(table: TextTable, column: str) -> np.ndarray:
    """Scores of one column, shape (n,), all finite."""
    scores = [_number(cell.strip()) for cell in table.columns[column]]
    if None in scores:
        row = scores.index(None)
        seen = (
            repr(table.columns[column][row])
            if table.columns[column][row].strip()
            else "missing"
        )
        raise UsageError(
            f"{table.location(row)}: {column} is {seen}; a prediction is a finite number."
        )
    return np.array(scores, dtype=np.float64)


def _number(cell: str) -> float | None:
    """The finite number that a cell writes in plain ASCII, or None."""
    try:
        number = float(cell)
    except ValueError:
        return None
    return (
        number if math.isfinite(number) and cell.isascii() and "_" not in cell else None
    )


# ---- ids


def _short(clip: str, without_folder: bool) -> str:
    return _AUDIO_SUFFIX.sub("", _FOLDER.split(clip)[-1] if without_folder else clip)


def common_form(wanted: list[str], given: list[str]) -> tuple[list[str], list[str]]:
    """Both lists of ids written alike, without making one clip of two that are wanted."""
    without_folder = not all(
        any(map(_FOLDER.search, names)) for names in (wanted, given)
    )
    shortened = [_short(clip, without_folder) for clip in wanted]
    if len(set(shortened)) < len(wanted):
        return wanted, given
    return shortened, [_short(clip, without_folder) for clip in given]


def _rows_of(given: list[str], as_written: Iterable[str]) -> dict[str, int]:
    """Where each predicted clip stands."""
    row_of = {clip: row for row, clip in enumerate(given)}
    if len(row_of) < len(given):
        clip = next(clip for row, clip in enumerate(given) if row_of[clip] != row)
        same = [
            name for name, short in zip(as_written, given, strict=True) if short == clip
        ]
        raise UsageError(
            f"Predictions {some(same)} are all for the clip '{clip}'; keep one."
        )
    return row_of
