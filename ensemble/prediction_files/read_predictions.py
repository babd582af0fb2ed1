"""Predicted scores of one tool: its columns, its clip ids, and their labels.

A file of predictions is often the label table with one column added, so that the
column named like the aspect holds the truth; a column that says it is a prediction is
therefore preferred. A clip that a file leaves out is named, never dropped or filled in
unnoticed: a predictor that skips the hard clips would look better than it is.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from base_models.clips.columns import (
    ID_COLUMNS,
    PATH_COLUMNS,
    PREDICTION_COLUMNS,
    SCORE_COLUMNS,
    SPLITS,
    STANDARD_NAMES,
    fold_name,
)
from base_models.clips.labels import SCALE
from base_models.clips.musiceval import ASPECTS
from base_models.clips.tables.read_table import (
    TABLE_SUFFIXES,
    is_table,
    read_table,
    table_file,
)
from base_models.clips.text_table import (
    TextTable,
    check_is_file,
    check_name,
    parse_number,
)
from base_models.errors import UsageError, one_of, some
from base_models.predictions import PredictionTable
from base_models.scales import Scale
from meta.splits.label_copies import copied_labels

_AUDIO_SUFFIX = re.compile(
    r"\.(wav|flac|mp3|ogg|oga|opus|m4a|mp4|aac|aiff?|wma|webm|sph)$", re.IGNORECASE
)
_FOLDER_SEPARATOR = re.compile(r"[/\\]")


class NoPredictionColumn(UsageError):
    """A table has no column that is known to predict an aspect."""


def read_predictions(path: str | os.PathLike, aspects: Iterable[str]) -> pd.DataFrame:
    """Read predicted scores, whichever tool wrote them.

    Parameters
    ----------
    path : one of

        - a table (.csv, .tsv, .jsonl, .parquet) with a column of clip ids
          (`ID_COLUMNS`) or else of paths whose stem is the id (`PATH_COLUMNS`), and per
          aspect a column ``pred_<aspect>``, ``<aspect>_pred``, ``predicted_<aspect>``
          or ``<aspect>``, in this order, in any case. For a single aspect also one of
          `PREDICTION_COLUMNS` (before ``<aspect>``) or `SCORE_COLUMNS` (after it), or
          the only column left.
        - lines ``id,score,score…`` without a header, as in the challenge's
          ``answer.txt``: one score per aspect, in the order of `aspects` (mi and ta:
          always in this one)
        - the distributions of a base model (``predictions-test.parquet`` in its
          folder), which are decoded
    aspects : names

    Returns
    -------
    predictions : DataFrame of n rows with ``clip_id`` (text) and one float64 column per
        aspect, on any scale, NaN where a row is without a score of that aspect but has
        one of another (as ``predict_mos`` writes of a clip without a prompt);
        ``attrs["columns"]`` names the column of the file that each aspect was read
        from, ``attrs["file_columns"]`` all columns of the file, and
        ``attrs["own_scale"]`` the scale of decoded distributions

    Raises
    ------
    UsageError
        when there is nothing to read, no column or more than one fits, an id is empty
        or repeats, a row has no score, or one that is not a finite number (naming file
        and line).
    """
    path = Path(path)
    aspects = [aspects] if isinstance(aspects, str) else list(aspects)

    distributions = read_distributions(path)
    if distributions is not None:
        return _decode(distributions, aspects)

    table = _read_table(path)
    if not table.has_header:
        table, column_of = _name_scores(table, aspects)
    else:
        is_only = len(aspects) == 1
        column_of = {
            aspect: _score_column(table, aspect, is_only=is_only, path=path)
            for aspect in aspects
        }
    if table.n_rows == 0:
        raise UsageError(f"{path} holds no predictions.")

    scores = {aspect: _scores(table, column) for aspect, column in column_of.items()}
    _check_no_row_is_empty(table, scores)
    frame = pd.DataFrame({"clip_id": _clip_ids(table, path), **scores})
    frame.attrs["columns"] = column_of
    frame.attrs["file_columns"] = list(table.columns)
    return frame


def read_distributions(path: str | os.PathLike) -> PredictionTable | None:
    """The distributions that a base model wrote, or None for any other file."""
    path = Path(path)
    if path.suffix.lower() != ".parquet" or not path.is_file():
        return None
    try:
        metadata = pq.read_schema(path).metadata or {}
    except (pa.ArrowException, OSError):
        # The reader of plain tables will say what is wrong with the file.
        return None
    return PredictionTable.read(path) if b"stackedmos" in metadata else None


def _decode(table: PredictionTable, aspects: Sequence[str]) -> pd.DataFrame:
    scores = {
        aspect: table.bins.decode(table.of(aspect), table.sigma) for aspect in aspects
    }
    frame = pd.DataFrame({"clip_id": table.clip_ids, **scores})
    frame.attrs["columns"] = dict.fromkeys(aspects, f"{table.model}, distributions")
    frame.attrs["file_columns"] = []
    frame.attrs["own_scale"] = Scale.of(table.bins)
    return frame


# ---- predictions beside labels


def clips_of_split(clips: pd.DataFrame, split: str | None) -> pd.DataFrame:
    """The clips of one split of a clip table; all of them when `split` is None.

    Raises
    ------
    UsageError
        when the table names no splits, or has no clip of this one.
    """
    if split is None:
        return clips
    kept = clips[clips["split"] == one_of(split, SPLITS, "split")]
    if kept.empty:
        splits = [name for name in clips["split"].unique() if name]
        if splits:
            cure = f"it has {some(splits)}"
        else:
            cure = "the labels name no splits; leave the split out to take all clips"
        raise UsageError(f"No clip of the labels is in split '{split}': {cure}.")
    return kept


def join_predictions(
    predictions: pd.DataFrame, labels: pd.DataFrame
) -> tuple[pd.DataFrame, list[str], list[str]]:
    """Put each label beside its prediction.

    Ids are compared as `comparable_ids` writes them.

    Parameters
    ----------
    predictions : a table as `read_predictions` returns it
    labels : a clip table; its clips without any label are not used

    Returns
    -------
    joined : the labelled and predicted rows of `labels`, in their order: ``clip_id,
        system_id, prompt, split``, one column per aspect with the label, and
        ``pred_<aspect>``
    not_predicted : ids that are labelled but not predicted
    not_labelled : ids that are predicted but not labelled

    Raises
    ------
    UsageError
        when no clip is labelled, none is on both sides, or two predictions are for one
        clip.
    """
    aspects = labels.attrs["aspects"]
    labelled = _labelled_rows(labels, aspects)

    labelled_ids = list(labelled["clip_id"])
    predicted_ids = list(predictions["clip_id"])
    labelled_forms, predicted_forms = comparable_ids(labelled_ids, predicted_ids)
    row_of = _rows_by_id(predicted_forms, predicted_ids)

    # The row of each labelled clip among the predictions, -1 where it has none.
    rows = np.array([row_of.get(clip, -1) for clip in labelled_forms])
    is_predicted = rows >= 0
    if not is_predicted.any():
        raise UsageError(
            "No prediction is for a labelled clip: a label is for "
            f"'{labelled_ids[0]}', a prediction for '{predicted_ids[0]}'. "
            "Give both the same ids."
        )

    joined = _side_by_side(
        labelled[is_predicted], predictions.iloc[rows[is_predicted]], aspects
    )
    known = set(labelled_forms)
    not_predicted = list(labelled["clip_id"][~is_predicted])
    not_labelled = [
        clip
        for clip, form in zip(predicted_ids, predicted_forms, strict=True)
        if form not in known
    ]
    return joined, not_predicted, not_labelled


def _side_by_side(
    labelled: pd.DataFrame, predicted: pd.DataFrame, aspects: Sequence[str]
) -> pd.DataFrame:
    """Labels and predictions of the same clips, in the same order, as one table."""
    names = ["clip_id", "system_id", "prompt", "split", *aspects]
    joined = labelled[names].reset_index(drop=True)
    for aspect in aspects:
        predicted_name = f"pred_{aspect}"
        # The prediction would overwrite the label of the other column.
        if predicted_name in aspects:
            raise UsageError(
                f"Both '{aspect}' and '{predicted_name}' are rated columns; name one "
                "with aspects."
            )
        joined[predicted_name] = predicted[aspect].to_numpy()
    return joined


def _labelled_rows(labels: pd.DataFrame, aspects: Sequence[str]) -> pd.DataFrame:
    is_labelled = labels[list(aspects)].notna().any(axis=1)
    if not is_labelled.any():
        columns = ", ".join(aspects) or "no rated column was found"
        raise UsageError(f"The labels rate no clip ({columns}).")
    return labels[is_labelled]


def remarks(
    joined: pd.DataFrame,
    aspects: Sequence[str],
    scales: Mapping[str, Scale] | None = None,
) -> list[str]:
    """What a reader of the metrics must know about the predictions and systems.

    Predictions off the scale of the labels (`scales`, else 1..5), all equal, or equal
    to the labels make a metric mislead; so does a table of a single system.

    Examples
    --------
    >>> joined = pd.DataFrame({"system_id": ["A", "B"], "mos": [1.0, 2.0]})
    >>> (remark,) = remarks(joined.assign(pred_mos=[55.0, 4.0]), ["mos"])
    >>> remark.partition(": ")[0]
    "1 of 2 predictions of 'mos' lie off the scale 1..5 (4..55)"
    """
    notes = []
    for aspect in aspects:
        is_labelled = joined[aspect].notna()
        labels = joined.loc[is_labelled, aspect]
        scores = joined.loc[is_labelled, f"pred_{aspect}"]
        n_scores = len(scores)

        scale = (scales or {}).get(aspect, Scale.of(SCALE))
        is_off_scale = scale.is_off(scores)
        if is_off_scale.any():
            seen = f"{scores.min():.4g}..{scores.max():.4g}"
            notes.append(
                f"{is_off_scale.sum()} of {n_scores} predictions of '{aspect}' lie off "
                f"the scale {scale} ({seen}): this affects the MSE, but not the "
                "correlations."
            )
        # A single prediction is constant and may well equal its label.
        if n_scores > 1 and scores.nunique() == 1:
            notes.append(
                f"The predictions of '{aspect}' are all {scores.iloc[0]:g}: "
                "correlations are undefined."
            )
        elif n_scores > 1 and (scores == labels).all():
            notes.append(
                f"The predictions of '{aspect}' equal the labels in every clip: is "
                "their column the labels?"
            )
        else:
            systems = joined.loc[is_labelled, "system_id"].tolist()
            notes += _copy_remarks(aspect, scores, labels, systems=systems)

    if joined["system_id"].nunique() == 1:
        has_name = joined["system_id"].iloc[0] != ""
        cause = (
            "All clips are of one system" if has_name else "The labels name no systems"
        )
        notes.append(
            f"{cause}: there is no system level, and intervals resample clips."
        )
    return notes


def _copy_remarks(
    aspect: str, scores: pd.Series, labels: pd.Series, *, systems: list[str]
) -> list[str]:
    """That predictions are the labels in another form, if they are."""
    # A clip that has no score of the aspect tells nothing.
    is_known = scores.notna().to_numpy()
    known_systems = [
        name for name, known in zip(systems, is_known, strict=True) if known
    ]
    copied = copied_labels(
        scores.to_numpy(np.float64)[is_known],
        labels.to_numpy(np.float64)[is_known],
        known_systems,
    )
    if copied is None:
        return []
    return [
        f"The predictions of '{aspect}' are {copied[0]}, nearer than the noise of "
        "ratings lets any predictor come: were they computed from them?"
    ]


# ---- files without a header


def _read_table(path: Path) -> TextTable:
    check_is_file(table_file(path))
    if not is_table(path):
        raise UsageError(
            f"{path}: predictions are read from {', '.join(TABLE_SUFFIXES)}."
        )
    return read_table(path)


def _name_scores(
    table: TextTable, aspects: Sequence[str]
) -> tuple[TextTable, dict[str, str]]:
    """A table without a header under names for ids, and the column of each aspect.

    The columns are named ``clip_id``, ``field 2``, ``field 3`` and so on.
    """
    order = [aspect.lower() for aspect in aspects]
    # The challenge fixes id,MI,TA, whichever of the two are asked for, in any order.
    has_two_scores = len(table.columns) == 1 + len(ASPECTS)
    if has_two_scores and set(order) <= set(ASPECTS):
        order = list(ASPECTS)

    n_scores = len(order)
    if len(table.columns) != 1 + n_scores:
        plural = "s" if n_scores > 1 else ""
        first = ",".join(cells[0] for cells in table.columns.values())
        raise UsageError(
            f"{table.location(0)}: expected an id and {n_scores} score{plural} "
            f"({', '.join(order)}); got {first[:80]!r}. Without a header there must "
            "be one score per aspect."
        )

    # Numbered as in the file, where the id is field 1.
    names = [f"field {position}" for position in range(2, 2 + n_scores)]
    column_of = {aspect: names[order.index(aspect.lower())] for aspect in aspects}
    columns = zip(["clip_id", *names], table.columns.values(), strict=True)
    return replace(table, columns=dict(columns)), column_of


# ---- columns and rows


def _score_column(table: TextTable, aspect: str, *, is_only: bool, path: Path) -> str:
    """The column that predicts `aspect`.

    Names are tried in groups, from those that say they are predictions to those that
    may be labels; the first group of which the table has any name decides.
    """
    own_name = fold_name(aspect)
    predicted_names = (f"pred_{own_name}", f"{own_name}_pred", f"predicted_{own_name}")
    groups: list[tuple[str, ...]] = [predicted_names, (own_name,)]
    # A name such as "score" does not say which of several aspects it is of.
    if is_only:
        groups = [predicted_names, PREDICTION_COLUMNS, (own_name,), SCORE_COLUMNS]

    describes_clips = {*STANDARD_NAMES, *ID_COLUMNS, *PATH_COLUMNS}
    candidates = [
        name for name in table.columns if fold_name(name) not in describes_clips
    ]
    for group in groups:
        matches = [name for name in candidates if fold_name(name) in group]
        if len(matches) > 1:
            raise UsageError(
                f"{path}: columns {some(matches)} may all be the predictions of "
                f"'{aspect}'; rename one to 'pred_{own_name}'."
            )
        if matches:
            return matches[0]

    # The only column left needs no known name.
    if is_only and len(candidates) == 1:
        return candidates[0]
    raise NoPredictionColumn(
        f"{path} has no predictions of '{aspect}': no column '{own_name}', "
        f"{some(predicted_names)}; it has {some(table.columns, 20)}. Rename the "
        "column, or name the aspects that it does have."
    )


def _clip_ids(table: TextTable, path: Path) -> list[str]:
    """One id per row, each once: as written, or the stem where there are only paths."""
    column = _id_column(table, ID_COLUMNS, path)
    is_path = column is None
    # A table may have both; its paths are then of no interest.
    if column is None:
        column = _id_column(table, PATH_COLUMNS, path)
    if column is None:
        also_legal = ", ".join((*ID_COLUMNS[1:], *PATH_COLUMNS))
        raise UsageError(
            f"{path} has no clip ids; it has {some(table.columns, 20)}. Name their "
            f"column clip_id (also legal: {also_legal})."
        )

    first_row: dict[str, int] = {}
    for row, cell in enumerate(table.columns[column]):
        clip = cell.strip()
        if is_path:
            clip = _shorten(clip, without_folder=True)
        check_name(clip, table.location(row), "clip id")
        if not clip:
            raise UsageError(f"{table.location(row)}: the clip id is empty.")
        if clip in first_row:
            _, number = table.locations[first_row[clip]]
            raise UsageError(
                f"{table.location(row)}: '{clip}' is predicted twice, first in "
                f"{table.unit} {number}."
            )
        first_row[clip] = row
    return list(first_row)


def _id_column(table: TextTable, legal: Sequence[str], path: Path) -> str | None:
    matches = [name for name in table.columns if fold_name(name) in legal]
    if len(matches) > 1:
        raise UsageError(
            f"{path}: columns {some(matches)} may all be the clip id; drop or rename "
            "all but one."
        )
    return matches[0] if matches else None


def _scores(table: TextTable, column: str) -> np.ndarray:
    """Scores of one column, shape (n,); an empty cell is NaN."""
    scores = np.full(table.n_rows, np.nan)
    for row, cell in enumerate(table.columns[column]):
        if not cell.strip():
            continue
        number = parse_number(cell.strip())
        if number is None:
            raise UsageError(
                f"{table.location(row)}: {column} is {cell!r}; a prediction is a "
                "finite number."
            )
        scores[row] = number
    return scores


def _check_no_row_is_empty(table: TextTable, scores: Mapping[str, np.ndarray]) -> None:
    """Refuse a row without any score, of these aspects or of another."""
    is_empty = np.isnan(list(scores.values())).all(axis=0)
    for row in np.flatnonzero(is_empty).tolist():
        cells = [column[row].strip() for column in table.columns.values()]
        if not any(parse_number(cell) is not None for cell in cells):
            raise UsageError(
                f"{table.location(row)}: {' and '.join(scores)} is missing; a "
                "prediction is a finite number."
            )


# ---- ids


def comparable_ids(wanted: list[str], given: list[str]) -> tuple[list[str], list[str]]:
    """Write two lists of ids alike, so that they can be compared.

    The suffix of an audio file is cut off, and so are folders where only one list has
    them. Both lists stay as they are where that would make one clip of two in `wanted`.

    Parameters
    ----------
    wanted : unique ids, such as those of the labels
    given : ids of the predictions

    Returns
    -------
    wanted, given : the two lists, in their order

    Examples
    --------
    >>> comparable_ids(["a", "b"], ["wavs/b.wav"])
    (['a', 'b'], ['b'])
    >>> comparable_ids(["a.wav", "a.mp3"], ["a.wav"])
    (['a.wav', 'a.mp3'], ['a.wav'])
    """
    # Folders tell clips apart only where both sides write them.
    both_have_folders = _any_has_folder(wanted) and _any_has_folder(given)
    without_folder = not both_have_folders
    short_wanted = [_shorten(clip, without_folder=without_folder) for clip in wanted]

    # a.wav and a.mp3, or x/a and y/a, may be two clips.
    if len(set(short_wanted)) < len(wanted):
        return wanted, given
    short_given = [_shorten(clip, without_folder=without_folder) for clip in given]
    return short_wanted, short_given


def _any_has_folder(clip_ids: Iterable[str]) -> bool:
    return any(_FOLDER_SEPARATOR.search(clip) for clip in clip_ids)


def _shorten(clip: str, *, without_folder: bool) -> str:
    """An id without the suffix of an audio file; other dots are part of the id."""
    if without_folder:
        clip = _FOLDER_SEPARATOR.split(clip)[-1]
    return _AUDIO_SUFFIX.sub("", clip)


def _rows_by_id(forms: list[str], as_written: list[str]) -> dict[str, int]:
    """The row of each predicted clip, by the common form of its id."""
    row_of = {form: row for row, form in enumerate(forms)}
    if len(row_of) == len(forms):
        return row_of

    # Different ids may have one form: a and a.wav.
    repeated = next(form for form in forms if forms.count(form) > 1)
    same = [
        clip for clip, form in zip(as_written, forms, strict=True) if form == repeated
    ]
    raise UsageError(
        f"Predictions {some(same)} are all for the clip '{repeated}'; keep one."
    )
