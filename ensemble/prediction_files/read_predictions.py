"""Predicted scores of one tool: its columns, its clip ids, and their labels.

A file of predictions is often the label table with one column added, so that the
column named like the aspect holds the truth; a column that says it is a prediction is
therefore preferred. A clip that a file leaves out is named, never dropped or filled in
unnoticed: a predictor that skips the hard clips would look better than it is.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from base_models.clips.columns import SPLITS
from base_models.clips.labels import SCALE
from base_models.clips.names import comparable_ids
from base_models.clips.text_table import TextTable
from base_models.errors import UsageError, one_of, raise_machine_fault, some
from base_models.optional_libraries import LazyLibrary
from base_models.predictions import PredictionTable
from base_models.scales import Scale
from ensemble.prediction_files.file_tables import (
    order_of_scores,
    read_file_table,
)
from ensemble.prediction_files.prediction_word import PredictionFile
from ensemble.prediction_files.table_columns import (
    NoPredictionColumn,
    chosen_columns,
    clip_ids,
    file_layout,
    refuse_rows_without_score,
    score_column,
    scores_of_tool,
)
from meta.splits.label_copies import copied_labels

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq
else:
    pa = LazyLibrary("pyarrow")
    pq = LazyLibrary("pyarrow.parquet")


def read_predictions(
    path: PredictionFile | str | os.PathLike, aspects: Iterable[str]
) -> pd.DataFrame:
    """Read predicted scores, whichever tool wrote them.

    Parameters
    ----------
    path : one of

        - a table, see `read_table`, with a column of clip ids
          (`ID_COLUMNS`) or else of paths whose stem is the id (`PATH_COLUMNS`), and per
          aspect a column ``pred_<aspect>``, ``<aspect>_pred``, ``predicted_<aspect>``
          or ``<aspect>``, in this order, in any case. For a single aspect also one of
          `PREDICTION_COLUMNS` (before ``<aspect>``) or `SCORE_COLUMNS` (after it), or
          the only column left. A `PredictionFile` can name the columns, one per aspect
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
        from, ``attrs["file_columns"]`` all columns of the file, ``attrs["notes"]`` what
        was guessed in reading it, and ``attrs["own_scale"]`` the scale of decoded
        distributions

    Raises
    ------
    UsageError
        when there is nothing to read, no column or more than one fits, an id is empty
        or repeats, a row has no score, or one that is not a finite number (naming file
        and line).
    """
    file = path if isinstance(path, PredictionFile) else PredictionFile(Path(path))
    aspects = [aspects] if isinstance(aspects, str) else list(aspects)

    distributions = read_distributions(file.path)
    if distributions is not None:
        return _decode(distributions, aspects)

    table = read_file_table(file, aspects)
    column_of = None
    if file.columns:
        chosen = chosen_columns(table, file)
        if len(chosen) != len(aspects):
            raise NoPredictionColumn(
                f"{file.path}: {some(chosen)} are named for {', '.join(aspects)}; name "
                "one column for each of these."
            )
        column_of = dict(zip(aspects, chosen, strict=True))
    else:
        # Of a tool that rates one quality the layout says which of its columns it is.
        layout = file_layout(table, aspects)
        if layout is not None and len(layout.taken) == 1:
            column_of = {aspects[0]: layout.taken[0]}
    tool = read_tool(table, aspects, file.path, column_of=column_of)
    frame = tool.frame
    frame.attrs["columns"] = tool.columns
    frame.attrs["file_columns"] = list(table.columns)
    frame.attrs["notes"] = list(table.notes)
    return frame


@dataclass(frozen=True)
class ToolTable:
    """The scores of one tool.

    Parameters
    ----------
    frame : of n rows, ``clip_id`` and a column of scores per aspect
    columns : aspect to the column of the file
    """

    frame: pd.DataFrame
    columns: dict[str, str]


def read_tool(
    table: TextTable,
    aspects: Sequence[str],
    path: Path,
    column_of: Mapping[str, str] | None = None,
) -> ToolTable:
    """The scores of one tool from a table, see `read_predictions`.

    Parameters
    ----------
    table, path : what was read
    aspects : names
    column_of : aspect to its column; None finds them by their names

    Raises
    ------
    NoPredictionColumn
        when no column is known to be of an aspect.
    UsageError
        as in `read_predictions`.
    """
    columns = dict(column_of or {})
    # Without a header the place of a score says of which aspect it is.
    if not columns and not table.has_header:
        order = order_of_scores(aspects, n_scores=len(table.columns) - 1)
        places = {name: 2 + place for place, name in enumerate(order)}
        columns = {aspect: f"field {places[aspect.lower()]}" for aspect in aspects}
    if not columns:
        is_only = len(aspects) == 1
        columns = {
            aspect: score_column(table, aspect, is_only=is_only, path=path)
            for aspect in aspects
        }
    scores = {aspect: scores_of_tool(table, name) for aspect, name in columns.items()}
    refuse_rows_without_score(table, scores)
    frame = pd.DataFrame({"clip_id": clip_ids(table, path), **scores})
    return ToolTable(frame, columns)


def read_distributions(path: str | os.PathLike) -> PredictionTable | None:
    """The distributions that a base model wrote, or None for any other file."""
    path = Path(path)
    if path.suffix.lower() != ".parquet" or not path.is_file():
        return None
    try:
        metadata = pq.read_schema(path).metadata or {}
    except (pa.ArrowException, OSError) as error:
        raise_machine_fault(error, path)
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
