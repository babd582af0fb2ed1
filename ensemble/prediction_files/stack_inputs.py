"""Predictions of any tools as the base models of a stack, joined to labels by clip id.

A file is one model (a score column such as other tools write, a prediction table of a
base model, the published system's records with their distributions) or many: a table
whose other numeric columns are one model each. A clip that a model leaves out stays
left out and is counted in the notes; nothing is filled in here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from base_models.bins import ScoreBins
from base_models.clips.columns import STANDARD_NAMES, is_bookkeeping_of_models
from base_models.clips.labels import SCALE
from base_models.clips.read_clips import read_clips
from base_models.errors import UsageError, some
from base_models.predictions import MEAN_LABEL, PredictionTable
from ensemble.prediction_files.published_records import read_published
from ensemble.prediction_files.read_predictions import (
    NoPredictionColumn,
    comparable_ids,
    read_distributions,
    read_predictions,
)

_COLUMNS_OF_ONE_ASPECT = "a table of several models has one numeric column for each."
_COLUMNS_OF_SEVERAL_ASPECTS = (
    "a table of several models has one numeric column for each aspect and model, named "
    "as mi__name."
)


@dataclass(frozen=True)
class StackInputs:
    """Clips, and the predictions of each base model for them.

    Parameters
    ----------
    clips : clip table of the labelled clips, ``attrs["aspects"]`` naming the rated
        columns; of new clips their ids
    tables : one prediction table per base model; a model that leaves clips out has no
        rows for them
    notes : messages on what did not join, what was not used and what was moved
    """

    clips: pd.DataFrame
    tables: tuple[PredictionTable, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Model:
    """The predictions of one model, as read.

    Parameters
    ----------
    name : the model's name
    ids : n clip ids, as its file writes them
    values : scores of shape (n, aspects), or distributions of shape (n, aspects, bins)
    sigma : kernel width of the distributions; None where `values` are scores
    trained_on, selected_on : ids of clips whose labels the model has seen
    predicts : what the distributions are of, see `PredictionTable`
    """

    name: str
    ids: list[str]
    values: np.ndarray
    sigma: float | None = None
    trained_on: frozenset[str] = frozenset()
    selected_on: frozenset[str] = frozenset()
    predicts: str = MEAN_LABEL


def read_stack_inputs(
    files: Sequence[Path | str],
    labels: Path | str | None = None,
    aspects: Sequence[str] | None = None,
) -> StackInputs:
    """Read predictions of any number of models, and the labels they are stacked on.

    Parameters
    ----------
    files : tables (csv, tsv, jsonl, parquet), answer files (txt), prediction tables of
        base models (parquet), or the published system's records as JSON, ``{clip:
        {"overall_dist": [20 numbers], "overall_score": x, …}}``. A table with one
        model's score is named by its file; in any other, each numeric column that is
        neither a label nor bookkeeping is a model (with several aspects:
        ``<aspect>__<model>``)
    labels : clip table with the ratings; None takes the first file, which then holds
        both
    aspects : the rated columns as `read_clips` takes them; None takes those with a
        known name

    Raises
    ------
    UsageError
        when a file holds no predictions, none of a model's clips is labelled, or two
        models share a name.
    """
    if not files:
        raise UsageError("Name at least one file of predictions.")
    source = labels or files[0]
    clips = read_clips(source, aspects=aspects)
    names = list(clips.attrs["aspects"])
    choices = clips.attrs.get("notes", [])
    label_columns = clips.attrs.get("columns", {})
    is_labelled = clips[names].notna().any(axis=1)
    clips = clips[is_labelled].reset_index(drop=True)
    clips.attrs |= {"aspects": names, "columns": label_columns}
    if clips.empty:
        raise UsageError(
            f"{source} has no rated clips; name the file of ratings with --labels."
        )

    inputs = join_predictions_to(files, clips, source=source)
    notes = list(inputs.notes)

    # Numeric columns that might have been meant as models are named to the user.
    bookkeeping = [
        name
        for name in clips.columns
        if name not in names
        and is_bookkeeping_of_models(name, names)
        # What stands beside the mean of single ratings is no column of the file.
        and clips[name].dtype.kind not in "fi"
        and _numbers(clips[name]) is not None
    ]
    if bookkeeping:
        notes.insert(0, f"columns that are not models: {some(bookkeeping)}")
    return replace(inputs, notes=(*choices, *notes))


def join_predictions_to(
    files: Sequence[Path | str],
    clips: pd.DataFrame,
    source: Path | str = "",
    bins: ScoreBins = SCALE,
) -> StackInputs:
    """Read predictions of any number of models for clips that are known already.

    Parameters
    ----------
    files : see `read_stack_inputs`
    clips : clip table, ``attrs["aspects"]`` naming the rated columns, and
        ``attrs["columns"]`` those that they were read from under other names
    source : the file that the clips were read from, if it may be one of `files`
    bins : the scale

    Raises
    ------
    UsageError
        As in `read_stack_inputs`.
    """
    aspects = list(clips.attrs["aspects"])
    label_columns = clips.attrs.get("columns", {}).values()
    models: list[_Model] = []
    for file in files:
        is_source = bool(source) and Path(file) == Path(source)
        labels_here = label_columns if is_source else None
        models += _read_models(Path(file), clips, aspects, labels_here, bins=bins)
    _check_names_are_unique(models)
    tables, notes = _join(models, clips["clip_id"].tolist(), aspects, bins=bins)
    return StackInputs(clips=clips, tables=tables, notes=tuple(notes))


def read_new_stack_inputs(
    files: Sequence[Path | str],
    models: Sequence[str],
    aspects: Sequence[str],
    bins: ScoreBins = SCALE,
    clip_ids: Sequence[str] | None = None,
) -> StackInputs:
    """Read predictions of new clips by the base models of a fitted stack.

    Parameters
    ----------
    files : see `read_stack_inputs`; labels may stand beside the predictions
    models : names of the base models; nothing else in the files is read, so labels are
        never taken for predictions
    aspects : the predicted qualities
    bins : the scale
    clip_ids : the clips, where they are known; None takes all that any model predicts

    Returns
    -------
    external : its clips are those wanted, or all that any model predicts, as
        ``clip_id`` in the order of the files

    Raises
    ------
    UsageError
        when a file has no predictions of these models, or two files have the same one.
    """
    aspects = list(aspects)
    found: list[_Model] = []
    for file in files:
        found += _read_known_models(Path(file), models, aspects, bins=bins)
    _check_names_are_unique(found)

    # The clips are those that any model predicts; another spelling of an id that is
    # there already is not a new clip.
    ids: list[str] = list(clip_ids or ())
    for model in found if clip_ids is None else ():
        known_forms, model_forms = comparable_ids(ids, model.ids)
        known = set(known_forms)
        for clip, form in zip(model.ids, model_forms, strict=True):
            if form not in known:
                ids.append(clip)

    tables, notes = _join(
        found,
        ids,
        aspects,
        bins=bins,
        others="predictions of other clips, left aside",
    )
    clips = pd.DataFrame({"clip_id": ids})
    return StackInputs(clips=clips, tables=tables, notes=tuple(notes))


def _check_names_are_unique(models: Sequence[_Model]) -> None:
    counts = Counter(model.name for model in models)
    repeated = sorted(name for name, count in counts.items() if count > 1)
    if repeated:
        raise UsageError(
            f"Model {some(repeated)} is given more than once; rename the file or the "
            "column."
        )


# ---- the models of one file


def _read_models(
    path: Path,
    clips: pd.DataFrame,
    aspects: list[str],
    label_columns: Collection[str] | None,
    *,
    bins: ScoreBins,
) -> list[_Model]:
    """All models of a file: a table of distributions, one score column, or many.

    `label_columns` are those that hold labels under another name than the aspect's;
    None for a file without labels.
    """
    record = _read_record(path, aspects, bins)
    if record is not None:
        return [record]

    frame = _read_one_tool(path, aspects, holds_labels=label_columns is not None)
    # A column that is named like the aspect may hold the labels; the models are then
    # the other columns.
    if frame is not None and not _are_labels(frame, clips, aspects):
        return [_model_of_frame(path, frame, aspects)]

    columns = read_clips(path, labels=False)
    # Under its own name, a column of labels and its statistics would be models.
    own_names = list(label_columns or ())
    about_labels = [
        name
        for name in columns
        if name in own_names or is_bookkeeping_of_models(name, own_names)
    ]
    columns = columns.drop(columns=about_labels)
    models = _models_of_columns(path, columns, aspects)
    if not models:
        if frame is None:
            _refuse_missing_aspects(path, columns, aspects)
        expected = (
            _COLUMNS_OF_SEVERAL_ASPECTS if len(aspects) > 1 else _COLUMNS_OF_ONE_ASPECT
        )
        raise UsageError(f"{path}: no column of predictions was found; {expected}")
    return models


def _refuse_missing_aspects(
    path: Path, columns: pd.DataFrame, aspects: list[str]
) -> None:
    """Name the aspects that a file of one tool lacks, where it has others."""
    absent = [aspect for aspect in aspects if aspect not in columns]
    if absent and len(absent) < len(aspects):
        raise UsageError(
            f"{path} has no predictions of {some(absent)}; a stack needs every aspect "
            "of every model. Add such a column, or leave the file out."
        )


def _read_one_tool(
    path: Path, aspects: list[str], *, holds_labels: bool
) -> pd.DataFrame | None:
    """The scores of a file in which a column says that it is the score, else None."""
    try:
        return read_predictions(path, aspects)
    except NoPredictionColumn:
        return None
    except UsageError:
        # In a file of labels, a score that cannot be read may be a missing label.
        if holds_labels:
            return None
        raise


def _read_known_models(
    path: Path, models: Sequence[str], aspects: list[str], *, bins: ScoreBins
) -> list[_Model]:
    """Known models of a file: the columns with their names, or the file as a whole."""
    record = _read_record(path, aspects, bins)
    if record is not None:
        found = [record] if record.name in models else []
    else:
        found = _read_known_columns(path, models, aspects)
        is_named_by_file = path.stem in models
        if is_named_by_file and path.stem not in {model.name for model in found}:
            frame = read_predictions(path, aspects)
            found = [_model_of_frame(path, frame, aspects)]

    if not found:
        raise UsageError(
            f"{path} has no predictions of the stack's base models {some(models, 5)}: "
            "name its columns after them, or the file after the one model in it."
        )
    return found


def _read_known_columns(
    path: Path, models: Sequence[str], aspects: list[str]
) -> list[_Model]:
    try:
        frame = read_clips(path, labels=False)
    except UsageError:
        # A file of one model need not be a clip table: it may have no header.
        if path.stem in models:
            return []
        raise
    return _models_of_columns(path, frame, aspects, only=models)


def _model_of_frame(path: Path, frame: pd.DataFrame, aspects: list[str]) -> _Model:
    """The one model of a file, named by the file."""
    ids = frame["clip_id"].tolist()
    return _Model(path.stem, ids, values=frame[aspects].to_numpy())


# ---- distributions and records


def _read_record(path: Path, aspects: list[str], bins: ScoreBins) -> _Model | None:
    """The one model of a file that is not a table of scores; None when it is one."""
    suffix = path.suffix.lower()
    if suffix == ".json":
        return _Model(path.stem, *read_published(path, aspects))
    if suffix in {".pt", ".pth", ".pkl"}:
        raise UsageError(
            f"{path} may run code when it is loaded; write its records as JSON first."
        )

    table = read_distributions(path)
    if table is None:
        return None
    if table.bins != bins:
        raise UsageError(
            f"{path} predicts on {table.bins}; the bins of the stack are {bins}."
        )
    return _Model(
        name=table.model,
        ids=list(table.clip_ids),
        values=np.stack([table.of(aspect) for aspect in aspects], axis=1),
        sigma=table.sigma,
        trained_on=table.trained_on,
        selected_on=table.selected_on,
        predicts=table.predicts,
    )


# ---- columns


def _models_of_columns(
    path: Path,
    frame: pd.DataFrame,
    aspects: list[str],
    only: Sequence[str] | None = None,
) -> list[_Model]:
    """One model per numeric column of a table.

    For several aspects the columns are named ``<aspect>__<model>``.

    Parameters
    ----------
    path : the file, for messages
    frame : its columns as text
    aspects : names
    only : names of models; None takes every column that is not bookkeeping. A column
        that is asked for by name is taken even if it looks like bookkeeping.
    """
    values_of: dict[str, dict[str, np.ndarray]] = {}
    for name in frame.columns:
        if name in aspects or name.strip().lower() in STANDARD_NAMES:
            continue
        if only is None and is_bookkeeping_of_models(name, aspects):
            continue
        aspect, model = _split_column_name(name, aspects)
        # With several aspects a column without "__" belongs to no model.
        if aspect not in aspects or not model:
            continue
        if only is not None and model not in only:
            continue
        values = _numbers(frame[name])
        if values is not None:
            values_of.setdefault(model, {})[aspect] = values

    n_aspects = len(aspects)
    partial = [model for model, known in values_of.items() if len(known) < n_aspects]
    if partial:
        raise UsageError(
            f"{path}: models {some(partial)} lack an aspect; "
            f"{_COLUMNS_OF_SEVERAL_ASPECTS}"
        )

    ids = frame["clip_id"].tolist()
    models = []
    for model, known in values_of.items():
        scores = np.column_stack([known[aspect] for aspect in aspects])
        models.append(_Model(model, ids, scores))
    return models


def _split_column_name(name: str, aspects: list[str]) -> tuple[str, str]:
    """The aspect and the model that a column is of."""
    if len(aspects) == 1:
        return aspects[0], name
    aspect, _, model = name.partition("__")
    return aspect, model


def _are_labels(frame: pd.DataFrame, clips: pd.DataFrame, aspects: list[str]) -> bool:
    """Whether scores that were read are the labels, in a file that holds both."""
    both = clips.merge(frame, on="clip_id", suffixes=("", " predicted"))
    if both.empty:
        return False
    labels = both[aspects].to_numpy()
    scores = both[[f"{aspect} predicted" for aspect in aspects]].to_numpy()
    # A missing label says nothing about the column.
    is_equal = np.isnan(labels) | (labels == scores)
    return bool(is_equal.all())


def _numbers(cells: pd.Series) -> np.ndarray | None:
    """A column as float64, NaN where a cell is empty or not finite.

    None when the column holds words or no finite number at all.
    """
    numbers = pd.to_numeric(cells, errors="coerce")
    values = numbers.to_numpy(dtype=np.float64)

    # Words become NaN as missing values do; only the text tells them apart.
    text = cells.str.strip().str.lower()
    is_missing = text.isin(["", "nan", "na", "null", "none"]).to_numpy()
    has_words = (np.isnan(values) & ~is_missing).any()
    if has_words or not np.isfinite(values).any():
        return None
    return np.where(np.isfinite(values), values, np.nan)


# ---- joining models to clips


def _join(
    models: Sequence[_Model],
    ids: list[str],
    aspects: list[str],
    *,
    bins: ScoreBins,
    others: str = "predicted clips without a label, left aside",
) -> tuple[tuple[PredictionTable, ...], list[str]]:
    """The table of each model over the clips it predicts, and notes on the rest.

    `others` is what the notes call predictions of clips that are not in `ids`.
    """
    tables = []
    counts_by_note: dict[str, list[str]] = {}
    for model in models:
        table, counts = _join_one(model, ids, aspects, bins=bins, others=others)
        tables.append(table)
        for note, count in counts.items():
            if count:
                models_of_note = counts_by_note.setdefault(note, [])
                models_of_note.append(f"{count} of {model.name}")
    notes = [f"{note}: {some(names, 10)}" for note, names in counts_by_note.items()]
    return tuple(tables), notes


def _join_one(
    model: _Model, ids: list[str], aspects: list[str], *, bins: ScoreBins, others: str
) -> tuple[PredictionTable, dict[str, int]]:
    """One model's table, in the order of `ids` and under them, and counts for notes."""
    wanted_forms, model_forms = comparable_ids(ids, model.ids)
    row_of = {form: row for row, form in enumerate(model_forms)}
    # Ids that differ as written may have one form, so this is checked here.
    if len(row_of) < len(model_forms):
        repeated = [form for form in row_of if model_forms.count(form) > 1]
        raise UsageError(f"'{model.name}' predicts a clip twice ({some(repeated)}).")

    # A clip without a score for every aspect counts as one that the model leaves out.
    n_given = len(model_forms)
    value_axes = tuple(range(1, model.values.ndim))
    is_complete = np.isfinite(model.values).all(axis=value_axes)
    clip_ids = []
    rows = []
    n_matched = 0
    for clip, form in zip(ids, wanted_forms, strict=True):
        if form not in row_of:
            continue
        n_matched += 1
        row = row_of[form]
        if is_complete[row]:
            clip_ids.append(clip)
            rows.append(row)
    if not rows:
        first_wanted = ids[0] if ids else ""
        first_own = model.ids[0] if model.ids else ""
        raise UsageError(
            f"'{model.name}' predicts none of the {len(ids)} clips (the first is "
            f"'{first_wanted}', its own '{first_own}'). Give both the same ids, and "
            "finite scores."
        )

    kept = replace(model, ids=clip_ids, values=model.values[rows])
    table, n_off_scale = _to_table(kept, aspects, bins)
    # A few scores beyond the ends are a tool's way; most of them are another scale.
    if n_off_scale > len(rows) / 2:
        raise UsageError(
            f"'{model.name}' predicts {n_off_scale} of {len(rows)} clips off the scale "
            f"{bins.low:g}..{bins.high:g} (from {np.nanmin(kept.values):g} to "
            f"{np.nanmax(kept.values):g}); rescale its scores first."
        )
    counts = {
        "clips not predicted": len(ids) - len(rows),
        others: n_given - n_matched,
        f"scores moved to the nearer end of {bins.low:g}..{bins.high:g}": n_off_scale,
    }
    return table, counts


def _to_table(
    model: _Model, aspects: list[str], bins: ScoreBins
) -> tuple[PredictionTable, int]:
    """The prediction table of a model, and its number of clips scored off the scale."""
    if model.sigma is None:
        is_off_scale = (model.values < bins.low) | (model.values > bins.high)
        # Softening moves a score that is off the scale to its nearer end.
        table = PredictionTable.from_scores(
            model.name, model.ids, aspects, scores=model.values, bins=bins
        )
        return table, int(is_off_scale.any(axis=1).sum())

    table = PredictionTable(
        model=model.name,
        clip_ids=tuple(model.ids),
        aspects=tuple(aspects),
        distributions=model.values,
        bins=bins,
        sigma=model.sigma,
        trained_on=model.trained_on,
        selected_on=model.selected_on,
        predicts=model.predicts,
    )
    return table, 0
