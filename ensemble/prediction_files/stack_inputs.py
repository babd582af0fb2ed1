"""Predictions of any tools as the base models of a stack, joined to labels by clip id.

A file is one model (a score column such as other tools write, a prediction table of a
base model, the published system's records with their distributions) or many: a table
whose other numeric columns are one model each. A clip that a model leaves out stays
left out and is counted in the notes; nothing is filled in here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd

from base_models.bins import ScoreBins
from base_models.clips.columns import (
    STANDARD_NAMES,
    fold_name,
    is_bookkeeping_of_models,
)
from base_models.clips.labels import SCALE, label_scales, labels_onto
from base_models.clips.listening_tests.rating_options import RatingOptions
from base_models.clips.read_clips import read_clips
from base_models.clips.rows.standard_columns import without_columns_note
from base_models.errors import UsageError, some
from base_models.predictions import PredictionTable
from base_models.scales import Ends, LabelScales, Scale
from ensemble.prediction_files.join_models import ReadModel, Target, join_models
from ensemble.prediction_files.predictor_scales import (
    DeclaredScales,
    PredictionFile,
)
from ensemble.prediction_files.published_records import read_published
from ensemble.prediction_files.read_predictions import (
    NoPredictionColumn,
    comparable_ids,
    read_distributions,
    read_predictions,
)
from ensemble.prediction_files.stack_scales import StackScales

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
    scales : of the labels, and of each base model's scores
    """

    clips: pd.DataFrame
    tables: tuple[PredictionTable, ...]
    notes: tuple[str, ...]
    scales: StackScales = field(default_factory=lambda: StackScales(Scale.of(SCALE)))


FileWord: TypeAlias = PredictionFile | Path | str
"""A file of predictions, which may be named with its model and its scale."""


def read_stack_inputs(
    files: Sequence[FileWord],
    labels: Path | str | None = None,
    aspects: Sequence[str] | None = None,
    scales: LabelScales | Ends | Mapping[str, Ends] | None = None,
    declared: DeclaredScales | None = None,
    options: RatingOptions | None = None,
) -> StackInputs:
    """Read predictions of any number of models, and the labels they are stacked on.

    Parameters
    ----------
    files : tables (csv, tsv, jsonl, parquet), answer files (txt), prediction tables of
        base models (parquet), or the published system's records as JSON, ``{clip:
        {"overall_dist": [20 numbers], "overall_score": x, …}}``. A table with one
        model's score is named by its file, or as in ``NAME=FILE``; in any other, each
        numeric column that is neither a label nor bookkeeping is a model (with several
        aspects: ``<aspect>__<model>``). ``FILE:0-100`` names the scale of its scores,
        see `PredictionFile`
    labels : clip table with the ratings; None takes the first file, which then holds
        both
    aspects : the rated columns as `read_clips` takes them; None takes those with a
        known name
    scales : of the labels, as `read_clips` takes them. The bins of the stack span the
        scale that all aspects share; aspects on several scales are mapped onto 1..5
    declared : scales of single models
    options : how labels are read that are an export of a listening test

    Raises
    ------
    UsageError
        when a file holds no predictions, none of a model's clips is labelled, two
        models share a name, or most scores of a model are off its scale.
    """
    if not files:
        raise UsageError("Name at least one file of predictions.")
    source = labels or PredictionFile.parse(files[0]).path
    clips = read_clips(source, aspects=aspects, scales=scales, options=options)
    names = list(clips.attrs["aspects"])
    choices = clips.attrs.get("notes", [])
    if labels is None or Path(source) == Path(PredictionFile.parse(files[0]).path):
        choices = without_columns_note(choices)
    is_labelled = clips[names].notna().any(axis=1)
    labelled = clips[is_labelled].reset_index(drop=True)
    labelled.attrs = dict(clips.attrs)
    if labelled.empty:
        raise UsageError(
            f"{source} has no rated clips; name the file of ratings with --labels."
        )

    own_scales = label_scales(labelled)
    bins = bins_of_labels(own_scales)
    inputs = join_predictions_to(
        files,
        labels_onto(labelled, bins),
        source=source,
        bins=bins,
        own_scales=own_scales,
        declared=declared,
    )
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
    scale_note = inputs.scales.note(names)
    if scale_note:
        notes.insert(0, scale_note)
    return replace(inputs, notes=(*choices, *notes))


def bins_of_labels(scales: Mapping[str, Scale]) -> ScoreBins:
    """The bins of a stack: on the scale that all aspects share, else on 1..5.

    Examples
    --------
    >>> bins_of_labels({"mi": Scale(0, 100), "ta": Scale(0, 100)}).high
    100.0
    >>> bins_of_labels({"mos": Scale(1, 5), "pq": Scale(1, 10)}).high
    5.0
    """
    shared = set(scales.values())
    if len(shared) != 1:
        return SCALE
    (scale,) = shared
    return SCALE if scale == Scale.of(SCALE) else ScoreBins(scale.low, scale.high)


def join_predictions_to(
    files: Sequence[FileWord],
    clips: pd.DataFrame,
    source: Path | str = "",
    bins: ScoreBins = SCALE,
    own_scales: Mapping[str, Scale] | None = None,
    declared: DeclaredScales | None = None,
) -> StackInputs:
    """Read predictions of any number of models for clips that are known already.

    Parameters
    ----------
    files : see `read_stack_inputs`
    clips : clip table with labels on `bins`, ``attrs["aspects"]`` naming the rated
        columns, and ``attrs["columns"]`` those that they were read from under other
        names
    source : the file that the clips were read from, if it may be one of `files`
    bins : the scale
    own_scales : aspect to the scale that its labels were on, where it is another
    declared : scales of single models

    Raises
    ------
    UsageError
        As in `read_stack_inputs`.
    """
    aspects = list(clips.attrs["aspects"])
    own_labels = {
        aspect: scale
        for aspect, scale in (own_scales or {}).items()
        if scale != Scale.of(bins)
    }
    scales = StackScales(Scale.of(bins), own_labels)
    label_columns = clips.attrs.get("columns", {}).values()
    models: list[ReadModel] = []
    for word in files:
        file = PredictionFile.parse(word)
        is_source = bool(source) and file.path == Path(source)
        of_file = _read_models(
            file.path,
            clips,
            aspects,
            label_columns if is_source else None,
            scales=scales,
        )
        models += _as_named(file, of_file)
    _check_names_are_unique(models)
    target = Target(
        ids=clips["clip_id"].tolist(),
        aspects=aspects,
        bins=bins,
        scales=scales,
        declared=declared or DeclaredScales(),
    )
    tables, found, notes = join_models(models, target)
    return StackInputs(clips=clips, tables=tables, notes=tuple(notes), scales=found)


def read_new_stack_inputs(
    files: Sequence[FileWord],
    models: Sequence[str],
    aspects: Sequence[str],
    bins: ScoreBins = SCALE,
    clip_ids: Sequence[str] | None = None,
    scales: StackScales | None = None,
    declared: DeclaredScales | None = None,
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
    scales : what the stack remembers of the scales of its labels and base models
    declared : scales of single models, which come before those that are remembered

    Returns
    -------
    external : its clips are those wanted, or all that any model predicts, as
        ``clip_id`` in the order of the files

    Raises
    ------
    UsageError
        when a file has no predictions of these models, two files have the same one, or
        most scores of a model are off its scale.
    """
    aspects = list(aspects)
    found: list[ReadModel] = []
    for word in files:
        file = PredictionFile.parse(word)
        found += _read_known_models(file, models, aspects)
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

    target = Target(
        ids=ids,
        aspects=aspects,
        bins=bins,
        scales=scales or StackScales(Scale.of(bins)),
        declared=declared or DeclaredScales(),
        others="predictions of other clips, left aside",
    )
    tables, known_scales, notes = join_models(found, target)
    scale_note = known_scales.note(aspects)
    if scale_note:
        notes.insert(0, scale_note)
    return StackInputs(
        clips=pd.DataFrame({"clip_id": ids}),
        tables=tables,
        notes=tuple(notes),
        scales=known_scales,
    )


def _as_named(file: PredictionFile, models: Sequence[ReadModel]) -> list[ReadModel]:
    """The models of a file, under the name and on the scale that are given for it."""
    if file.name and len(models) != 1:
        names = some(model.name for model in models)
        raise UsageError(
            f"{file.path} holds {len(models)} models ({names}), which '{file.name}=' "
            "cannot name; leave that out. Scales of single columns go into a table "
            "(--predictor-scales)."
        )
    return [
        replace(model, name=file.name or model.name, declared=file.scale)
        for model in models
    ]


def _check_names_are_unique(models: Sequence[ReadModel]) -> None:
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
    scales: StackScales,
) -> list[ReadModel]:
    """All models of a file: a table of distributions, one score column, or many.

    `label_columns` are those that hold labels under another name than the aspect's;
    None for a file without labels.
    """
    record = _read_record(path, aspects)
    if record is not None:
        return [record]

    frame = _read_one_tool(path, aspects, holds_labels=label_columns is not None)
    # A column that is named like the aspect may hold the labels; the models are then
    # the other columns.
    if frame is not None and not _are_labels(frame, clips, aspects, scales):
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
    file: PredictionFile, models: Sequence[str], aspects: list[str]
) -> list[ReadModel]:
    """Known models of a file: the columns with their names, or the file as a whole."""
    path = file.path
    own_name = file.name or path.stem
    record = _read_record(path, aspects)
    if record is not None:
        record = replace(record, name=file.name or record.name)
        found = [record] if record.name in models else []
    else:
        found = [] if file.name else _read_known_columns(path, models, aspects)
        is_named_by_file = own_name in models
        if is_named_by_file and own_name not in {model.name for model in found}:
            frame = read_predictions(path, aspects)
            found = [replace(_model_of_frame(path, frame, aspects), name=own_name)]

    if not found:
        raise UsageError(
            f"{path} has no predictions of the stack's base models {some(models, 5)}: "
            "name its columns after them, or the file after the one model in it "
            "(NAME=FILE)."
        )
    return [replace(model, declared=file.scale) for model in found]


def _read_known_columns(
    path: Path, models: Sequence[str], aspects: list[str]
) -> list[ReadModel]:
    try:
        frame = read_clips(path, labels=False)
    except UsageError:
        # A file of one model need not be a clip table: it may have no header.
        if path.stem in models:
            return []
        raise
    return _models_of_columns(path, frame, aspects, only=models)


def _model_of_frame(path: Path, frame: pd.DataFrame, aspects: list[str]) -> ReadModel:
    """The one model of a file, named by the file."""
    return ReadModel(
        path.stem,
        frame["clip_id"].tolist(),
        values=frame[aspects].to_numpy(),
        columns=tuple(frame.attrs["columns"][aspect] for aspect in aspects),
        file_columns=tuple(frame.attrs["file_columns"]),
        own_scale=frame.attrs.get("own_scale"),
    )


# ---- distributions and records


def _read_record(path: Path, aspects: list[str]) -> ReadModel | None:
    """The one model of a file that is not a table of scores; None when it is one."""
    suffix = path.suffix.lower()
    if suffix == ".json":
        # Records of the published system are on its own bins, from 1 to 5.
        return ReadModel(
            path.stem, *read_published(path, aspects), own_scale=Scale.of(SCALE)
        )
    if suffix in {".pt", ".pth", ".pkl"}:
        raise UsageError(
            f"{path} may run code when it is loaded; write its records as JSON first."
        )

    table = read_distributions(path)
    if table is None:
        return None
    return ReadModel(
        name=table.model,
        ids=list(table.clip_ids),
        values=np.stack([table.of(aspect) for aspect in aspects], axis=1),
        own_scale=Scale.of(table.bins),
        bins=table.bins,
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
) -> list[ReadModel]:
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
    # By these a known tool is recognised: the column without its aspect.
    column_of: dict[str, dict[str, str]] = {}
    file_columns = tuple(_split_column_name(name, aspects)[1] for name in frame.columns)
    for name in frame.columns:
        if name in aspects or fold_name(name) in STANDARD_NAMES:
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
            column_of.setdefault(model, {})[aspect] = model

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
        columns = tuple(column_of[model][aspect] for aspect in aspects)
        read = ReadModel(model, ids, scores, columns=columns, file_columns=file_columns)
        models.append(read)
    return models


def _split_column_name(name: str, aspects: list[str]) -> tuple[str, str]:
    """The aspect and the model that a column is of."""
    if len(aspects) == 1:
        return aspects[0], name
    aspect, _, model = name.partition("__")
    return aspect, model


def _are_labels(
    frame: pd.DataFrame,
    clips: pd.DataFrame,
    aspects: list[str],
    scales: StackScales,
) -> bool:
    """Whether scores that were read are the labels, in a file that holds both."""
    both = clips.merge(frame, on="clip_id", suffixes=("", " predicted"))
    if both.empty:
        return False
    for aspect in aspects:
        labels = both[aspect].to_numpy()
        scores = both[f"{aspect} predicted"].to_numpy(dtype=np.float64)
        # As the labels were mapped, bit for bit.
        mapped = scales.of_labels(aspect).map(scores, scales.inner)
        # A missing label says nothing about the column.
        if not (np.isnan(labels) | (labels == mapped)).all():
            return False
    return True


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
