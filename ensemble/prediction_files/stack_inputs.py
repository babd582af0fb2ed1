"""Predictions of any tools as the base models of a stack, joined to labels by clip id.

A file is one model (a score column such as other tools write, a prediction table of a
base model, the published system's records with their distributions) or many: a table
whose other numeric columns are one model each. A clip that a model leaves out stays
left out and is counted in the notes; nothing is filled in here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from base_models.bins import ScoreBins
from base_models.clips.bookkeeping import is_bookkeeping_of_models
from base_models.clips.columns import RATING_NAMES, fold_name
from base_models.clips.labels import SCALE, label_scales, labels_onto
from base_models.clips.listening_tests.rating_options import RatingOptions
from base_models.clips.names import comparable_ids
from base_models.clips.problems import TableProblems
from base_models.clips.read_clips import read_clips
from base_models.clips.rows.standard_columns import without_columns_note
from base_models.errors import UsageError, nearest_name, some
from base_models.predictions import PredictionTable
from base_models.scales import Ends, LabelScales, Scale
from ensemble.prediction_files.file_tables import read_file_table
from ensemble.prediction_files.join_models import Target, join_models
from ensemble.prediction_files.known_tools import known_layout
from ensemble.prediction_files.prediction_word import FileWord, PredictionFile
from ensemble.prediction_files.predictor_scales import DeclaredScales
from ensemble.prediction_files.read_model import FileModels, Origin, ReadModel
from ensemble.prediction_files.stack_scales import StackScales
from ensemble.prediction_files.table_columns import numeric_columns
from ensemble.prediction_files.table_models import (
    KnownLabels,
    read_all_models,
    read_known_models,
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
    origins : which columns of each file became which models
    """

    clips: pd.DataFrame
    tables: tuple[PredictionTable, ...]
    notes: tuple[str, ...]
    scales: StackScales = field(default_factory=lambda: StackScales(Scale.of(SCALE)))
    origins: tuple[Origin, ...] = ()


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
    files : tables (csv, xlsx, json, parquet …), answer files (txt), prediction
        tables of base models (parquet), or the published system's records as JSON,
        ``{clip: {"overall_dist": [20 numbers], "overall_score": x, …}}``. A table with
        one model's score is named by its file, or as in ``NAME=FILE``; of a known tool
        the columns are taken that `known_tools` names; in any other table, each numeric
        column that is neither a label nor bookkeeping is a model (with several aspects:
        ``<aspect>__<model>``). Columns and the scale of scores can be named, see
        `ensemble.prediction_files.prediction_word`
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
    parsed = PredictionFile.parse_all(files)
    source = labels or parsed[0].path
    # A tool writes what it predicts; that no column is a rating is no fault of names.
    has_labels = labels is not None or aspects is not None
    tool = "" if has_labels else _tool_without_ratings(parsed[0], len(parsed) == 1)
    if tool:
        raise UsageError(
            f"{source} is what {tool} writes and holds no ratings: name them with "
            "--labels TABLE."
        )
    clips = read_clips(source, aspects=aspects, scales=scales, options=options)
    names = list(clips.attrs["aspects"])
    choices = list(clips.attrs.get("notes", []))
    # In a file that holds both, what is no label is a model, and not ignored.
    if any(file.path == Path(source) for file in parsed):
        choices = without_columns_note(choices)
    # Clips without labels cannot be fitted on; who predicts them does not matter.
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
        parsed,
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


def _tool_without_ratings(file: PredictionFile, is_alone: bool) -> str:
    """The known tool whose output a file is, as it is; "" where ratings may be in it.

    Parameters
    ----------
    file : of which the ratings would be read, too
    is_alone : whether no other file has predictions. Ratings can be of the very axes
        that a tool predicts, but then are not its predictions as well
    """
    try:
        table = read_file_table(file, [])
    # Whoever reads it for its ratings says better what is wrong.
    except UsageError:
        return ""
    layout = known_layout(list(table.columns), numeric_columns(table, []))
    if layout is None:
        return ""
    of_tool = {*layout.taken, *layout.others}
    for name in table.columns:
        is_predicted = is_alone and name in of_tool
        if fold_name(name) in RATING_NAMES and not is_predicted:
            return ""
    return layout.tool


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
    models, origins = read_models(files, clips, aspects, source=source, scales=scales)
    target = Target(
        ids=clips["clip_id"].tolist(),
        aspects=aspects,
        bins=bins,
        scales=scales,
        declared=declared or DeclaredScales(),
    )
    tables, found, notes = join_models(models, target)
    return StackInputs(
        clips=clips,
        tables=tables,
        notes=(*notes_of(origins), *notes),
        scales=found,
        origins=tuple(origins),
    )


def read_models(
    files: Sequence[FileWord],
    clips: pd.DataFrame,
    aspects: Sequence[str],
    source: Path | str = "",
    *,
    scales: StackScales,
) -> tuple[list[ReadModel], list[Origin]]:
    """The models of any number of files, as read, and where they come from.

    Parameters
    ----------
    files, clips, source : see `join_predictions_to`
    aspects : names
    scales : of the labels

    Raises
    ------
    UsageError
        when a file holds no predictions, or two models share a name.
    """
    label_columns = clips.attrs.get("columns", {}).values()

    of_source = KnownLabels(clips, scales, label_columns)
    of_others = KnownLabels(clips, scales)

    def read(file: PredictionFile) -> FileModels:
        is_source = bool(source) and file.path == Path(source)
        return read_all_models(file, aspects, of_source if is_source else of_others)

    return _of_all_files(files, read)


def _of_all_files(
    files: Sequence[FileWord], read: Callable[[PredictionFile], FileModels]
) -> tuple[list[ReadModel], list[Origin]]:
    """What is read of each file; the wrong cells of all files are told together.

    Raises
    ------
    TableProblems
        with the problems of all files.
    UsageError
        as `read`, or when two models share a name.
    """
    models: list[ReadModel] = []
    origins = []
    wrong: list[TableProblems] = []
    for file in PredictionFile.parse_all(files):
        try:
            found = read(file)
        except TableProblems as problems:
            wrong.append(problems)
            continue
        models += found.models
        origins.append(found.origin)
        # At once, as thousands of files may follow, of which a name stands for all.
        if not wrong:
            _check_names_are_unique(models)
    if wrong:
        together = [problem for of_file in wrong for problem in of_file.problems]
        raise TableProblems(together, sum(of_file.n_rows for of_file in wrong))
    return models, origins


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
    of_fit = scales or StackScales(Scale.of(bins))
    remembered = of_fit.columns_of_fit(aspects)

    def read(file: PredictionFile) -> FileModels:
        of_file = read_known_models(file, models, aspects, remembered=remembered)
        if not of_file.models:
            raise UsageError(_no_known_model(file, models))
        return of_file

    found, origins = _of_all_files(files, read)

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
        scales=of_fit,
        declared=declared or DeclaredScales(),
        others="predictions of other clips, left aside",
    )
    tables, known_scales, notes = join_models(found, target)
    scale_note = known_scales.note(aspects)
    if scale_note:
        notes.insert(0, scale_note)
    notes += _other_columns(found, remembered)
    return StackInputs(
        clips=pd.DataFrame({"clip_id": ids}),
        tables=tables,
        notes=(*notes_of(origins), *notes),
        scales=known_scales,
        origins=tuple(origins),
    )


def notes_of(origins: Sequence[Origin]) -> list[str]:
    """What was guessed in reading the files."""
    return [note for origin in origins for note in origin.notes]


def _no_known_model(file: PredictionFile, models: Sequence[str]) -> str:
    """What is said of a file that holds no model of a stack, and the likely cure."""
    # Of a tool with several columns the part before the dot names the file.
    own = file.called.casefold()
    name_of = {name.partition(".")[0].casefold(): name for name in reversed(models)}
    within = [name for name in name_of if name in own or own in name]
    close = within[0] if within else nearest_name(own, name_of)
    # Of a stack of one model, no other can be meant.
    if not close and len(name_of) == 1:
        (close,) = name_of
    name = name_of[close].partition(".")[0] if close else ""
    hint = f" Did you mean {name}={file.path}?" if name else ""
    return (
        f"{file.path} has no predictions of the stack's base models {some(models, 5)}: "
        f"name the file after the one in it (NAME=FILE), or its columns.{hint}"
    )


def _other_columns(
    models: Sequence[ReadModel], remembered: Mapping[str, Sequence[str]]
) -> list[str]:
    """Models that were read from columns of another name than in the fit."""
    notes = []
    for model in models:
        before = remembered.get(model.name, ())
        if before and model.read_from and tuple(before) != model.read_from:
            notes.append(
                f"{model.name} is read from {some(model.read_from)}; in the fit it was "
                f"from {some(before)}"
            )
    return notes


def _check_names_are_unique(models: Sequence[ReadModel]) -> None:
    counts = Counter(model.name for model in models)
    repeated = sorted(name for name, count in counts.items() if count > 1)
    if repeated:
        raise UsageError(
            f"Model {some(repeated)} is given more than once; name each file, as "
            "NAME=FILE, or rename the column."
        )


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
