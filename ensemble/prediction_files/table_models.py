"""The models of one file of predictions: distributions, one column of scores, or many.

A file whose one model has a ``NAME=`` or no other name is called by that, or by the
stem of the file. Of several models each is called as its column, after ``NAME.`` where
there is one. What a stack was fitted on is found again by these names, in a file of any
name, and in the columns that it remembers.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from base_models.clips.labels import SCALE
from base_models.clips.text_table import TextTable
from base_models.errors import UsageError, some
from base_models.scales import Scale
from ensemble.prediction_files.file_tables import read_file_table
from ensemble.prediction_files.known_tools import Layout
from ensemble.prediction_files.prediction_word import PredictionFile
from ensemble.prediction_files.published_records import are_published, read_published
from ensemble.prediction_files.read_model import FileModels, Origin, ReadModel
from ensemble.prediction_files.read_predictions import (
    ToolTable,
    read_distributions,
    read_tool,
)
from ensemble.prediction_files.stack_scales import StackScales
from ensemble.prediction_files.table_columns import (
    NoPredictionColumn,
    chosen_columns,
    clip_ids,
    file_layout,
    may_be_models,
    numbers_of_models,
    numeric_columns,
)

_COLUMNS_OF_ONE_ASPECT = "a table of several models has one numeric column for each."
_COLUMNS_OF_SEVERAL_ASPECTS = (
    "a table of several models has one numeric column for each aspect and model, named "
    "as mi__name."
)


@dataclass(frozen=True)
class KnownLabels:
    """The labels that predictions are read for, which a file may hold as well.

    Parameters
    ----------
    clips : clip table, with labels on the scale of a stack
    scales : of the labels
    columns : of the file, those of labels under another name than the aspect's; None
        where the labels came from another file
    """

    clips: pd.DataFrame
    scales: StackScales
    columns: Collection[str] | None = None

    @cached_property
    def index(self) -> pd.Index:
        """Ids of the clips, made once for all files."""
        return pd.Index(self.clips["clip_id"])


def read_all_models(
    file: PredictionFile, aspects: Sequence[str], labels: KnownLabels
) -> FileModels:
    """All models of a file.

    Parameters
    ----------
    file : what is read
    aspects : names
    labels : which a column that is named like an aspect may hold

    Raises
    ------
    UsageError
        when the file holds no predictions, or a cell of them is no number.
    """
    found = _read_all(file, aspects, labels)
    return replace(found, origin=replace(found.origin, ids=file.ids))


def _read_all(
    file: PredictionFile, aspects: Sequence[str], labels: KnownLabels
) -> FileModels:
    """See `read_all_models`."""
    record = _read_record(file, aspects)
    if record is not None:
        return _of_record(file, record)

    table = read_file_table(file, aspects)
    found = _of_table(file, table, aspects, labels=labels)
    return replace(found, origin=replace(found.origin, notes=table.notes))


def _of_table(
    file: PredictionFile,
    table: TextTable,
    aspects: Sequence[str],
    labels: KnownLabels,
) -> FileModels:
    """The models in the columns of a table, see `read_all_models`."""
    if file.columns:
        return _named_columns(file, table, aspects)

    label_columns = labels.columns or ()
    layout = file_layout(table, aspects, label_columns)
    if layout is not None and len(layout.taken) > 1:
        return _columns_of_models(
            file, table, aspects, columns=layout.taken, layout=layout
        )

    tool = _read_tool(file, table, aspects, layout=layout, labels=labels)
    if tool is not None:
        numbers = numeric_columns(table, aspects, label_columns)
        return _of_tool(file, table, tool, layout=layout, numbers=numbers)

    # Every column of numbers that no list knows as something else is a model.
    columns = _model_columns(table, aspects, label_columns)
    if columns:
        found = _columns_of_models(file, table, aspects, columns=columns, named=False)
        if found.models:
            return found
    _refuse_missing_aspects(file.path, table, aspects)
    expected = (
        _COLUMNS_OF_SEVERAL_ASPECTS if len(aspects) > 1 else _COLUMNS_OF_ONE_ASPECT
    )
    raise UsageError(f"{file.path}: no column of predictions was found; {expected}")


def read_known_models(
    file: PredictionFile,
    wanted: Sequence[str],
    aspects: Sequence[str],
    remembered: Mapping[str, Sequence[str]],
) -> FileModels:
    """The models of a file that a stack was fitted on.

    Parameters
    ----------
    file : what is read
    wanted : names of the base models of the stack
    aspects : names
    remembered : model to the column of each aspect that the fit read; models of a
        stack that does not remember them are left out

    Returns
    -------
    found : perhaps no model

    Raises
    ------
    UsageError
        when a cell of these models is no number, or it is not clear which column one
        of them is.
    """
    record = _read_record(file, aspects)
    if record is not None:
        found = _of_record(file, record)
        kept = tuple(model for model in found.models if model.name in wanted)
        return replace(found, models=kept)

    table = read_file_table(file, aspects)
    if file.columns:
        found = _named_columns(file, table, aspects)
        kept = tuple(model for model in found.models if model.name in wanted)
        origin = replace(found.origin, notes=table.notes)
        return FileModels(kept, origin)

    models: list[ReadModel] = []
    if not file.name and table.has_header:
        columns = _columns_called(table, wanted, aspects)
        if columns:
            models += _columns_of_models(file, table, aspects, columns=columns).models
    prefix = f"{file.called}."
    for name in wanted:
        if name in {model.name for model in models}:
            continue
        if name == file.called:
            models.append(
                _model_again(file, table, aspects, remembered=remembered.get(name, ()))
            )
        elif file.name and name.startswith(prefix):
            own = remembered.get(name) or [name.removeprefix(prefix)] * len(aspects)
            if all(column in table.columns for column in own):
                models.append(_model_of_columns(name, file, table, columns=list(own)))
    pairs = tuple((model.name, model.read_from) for model in models)
    return FileModels(tuple(models), Origin(file.path, pairs, notes=table.notes))


# ---- one model


def _read_tool(
    file: PredictionFile,
    table: TextTable,
    aspects: Sequence[str],
    layout: Layout | None,
    labels: KnownLabels,
) -> ToolTable | None:
    """The scores of a file in which a column says that it is the score, else None."""
    column_of = None
    if layout is not None and layout.taken:
        column_of = {aspects[0]: layout.taken[0]}
    try:
        tool = read_tool(table, aspects, file.path, column_of=column_of)
    except NoPredictionColumn:
        return None
    except UsageError:
        # In a file of labels, a score that cannot be read may be a missing label.
        if labels.columns is not None:
            return None
        raise
    # A column that is named like the aspect may hold the labels; the models are then
    # the other columns.
    return None if _are_labels(tool.frame, aspects, labels) else tool


def _of_tool(
    file: PredictionFile,
    table: TextTable,
    tool: ToolTable,
    layout: Layout | None,
    numbers: Sequence[str],
) -> FileModels:
    """The one model of a file, named by its word or by the file."""
    model = _model_of_tool(file.called, tool, table)
    left = [name for name in numbers if name not in model.read_from]
    never: tuple[str, ...] = ()
    whose = ""
    if layout is not None:
        whose = layout.tool
        left = list(layout.others)
        never = layout.never
    origin = Origin(
        file.path, ((model.name, model.read_from),), whose, left=tuple(left)
    )
    return FileModels(
        (replace(model, declared=file.scale),), replace(origin, never=never)
    )


def _model_of_tool(name: str, tool: ToolTable, table: TextTable) -> ReadModel:
    columns = tuple(tool.columns.values())
    return ReadModel(
        name,
        tool.frame["clip_id"].tolist(),
        values=tool.frame[list(tool.columns)].to_numpy(),
        columns=columns,
        file_columns=tuple(table.columns),
        read_from=columns,
    )


def _model_again(
    file: PredictionFile,
    table: TextTable,
    aspects: Sequence[str],
    remembered: Sequence[str],
) -> ReadModel:
    """The model that a file is called after, from the column of the fit if it is there.

    Raises
    ------
    UsageError
        when the file has several models, and none in that column.
    """
    if len(remembered) == len(aspects) and all(
        column in table.columns for column in remembered
    ):
        column_of = dict(zip(aspects, remembered, strict=True))
        tool = read_tool(table, aspects, file.path, column_of=column_of)
    else:
        layout = file_layout(table, aspects, ())
        if layout is not None and len(layout.taken) > 1:
            raise UsageError(
                f"{file.path} ({layout.tool}) holds {len(layout.taken)} models, but "
                f"'{file.called}' is one of the stack; name its column, as "
                f"{file.called}={file.path}:{layout.taken[0]}."
            )
        taken = None
        if layout is not None and layout.taken:
            taken = {aspects[0]: layout.taken[0]}
        tool = read_tool(table, aspects, file.path, column_of=taken)
    model = _model_of_tool(file.called, tool, table)
    return replace(model, declared=file.scale)


def _are_labels(
    frame: pd.DataFrame, aspects: Sequence[str], labels: KnownLabels
) -> bool:
    """Whether scores that were read are the labels, in a file that holds both."""
    place = labels.index.get_indexer(frame["clip_id"])
    known = place >= 0
    if not known.any():
        return False
    for aspect in aspects:
        own = labels.clips[aspect].to_numpy()[place[known]]
        scores = frame[aspect].to_numpy(dtype=np.float64)[known]
        # As the labels were mapped, bit for bit.
        mapped = labels.scales.of_labels(aspect).map(scores, labels.scales.inner)
        # A missing label says nothing about the column.
        if not (np.isnan(own) | (own == mapped)).all():
            return False
    return True


# ---- columns of several models


def _model_columns(
    table: TextTable, aspects: Sequence[str], label_columns: Collection[str]
) -> list[str]:
    """Columns that may be models; of several aspects, those named as aspect__model."""
    return [
        name
        for name in may_be_models(table, aspects, label_columns)
        if _split_column_name(name, aspects)[0] in aspects
    ]


def _columns_called(
    table: TextTable, models: Sequence[str], aspects: Sequence[str]
) -> list[str]:
    """Columns that are called as models of a stack.

    One that is asked for by name is taken even if it looks like bookkeeping.
    """
    found = []
    for name in table.columns:
        aspect, model = _split_column_name(name, aspects)
        if name not in aspects and aspect in aspects and model in models:
            found.append(name)
    return found


def _split_column_name(name: str, aspects: Sequence[str]) -> tuple[str, str]:
    """The aspect and the model that a column is of."""
    if len(aspects) == 1:
        return aspects[0], name
    aspect, _, model = name.partition("__")
    # With several aspects a column without "__" belongs to no model.
    return (aspect, model) if model else ("", "")


def _columns_of_models(
    file: PredictionFile,
    table: TextTable,
    aspects: Sequence[str],
    columns: Sequence[str],
    layout: Layout | None = None,
    *,
    named: bool = True,
) -> FileModels:
    """One model per column, or per column of each aspect.

    Parameters
    ----------
    file, table : what is read
    aspects : names
    columns : of the models; `named` says whether somebody named them, a stack or the
        layout of a tool
    layout : of the file, if it is known
    """
    values, _ = numbers_of_models(table, columns, named=named)
    columns_of: dict[str, dict[str, str]] = {}
    for name in values:
        aspect, model = _split_column_name(name, aspects)
        columns_of.setdefault(model, {})[aspect] = name

    n_aspects = len(aspects)
    partial = [model for model, known in columns_of.items() if len(known) < n_aspects]
    if partial:
        raise UsageError(
            f"{file.path}: models {some(partial)} lack an aspect; "
            f"{_COLUMNS_OF_SEVERAL_ASPECTS}"
        )

    ids = clip_ids(table, file.path)
    # By these a known tool is recognised: the columns without their aspect.
    plain = tuple(_split_column_name(name, aspects)[1] for name in table.columns)
    # A file that holds one model after all is called as its word says.
    prefix = f"{file.name}." if file.name else ""
    is_one = bool(prefix) and len(columns_of) == 1 and not named
    models = []
    for model, known in columns_of.items():
        own = tuple(known[aspect] for aspect in aspects)
        read = ReadModel(
            file.name if is_one else f"{prefix}{model}",
            ids,
            values=np.column_stack([values[name] for name in own]),
            declared=file.scale,
            columns=(model,) * n_aspects,
            file_columns=plain,
            read_from=own,
        )
        models.append(read)
    pairs = tuple((model.name, model.read_from) for model in models)
    origin = Origin(file.path, pairs)
    if layout is not None:
        origin = Origin(
            file.path, pairs, layout.tool, left=layout.others, never=layout.never
        )
    return FileModels(tuple(models), origin)


# ---- columns that a word names


def _named_columns(
    file: PredictionFile, table: TextTable, aspects: Sequence[str]
) -> FileModels:
    """The models of the columns that a word names.

    Of one aspect every column is a model; of several there is one model, with a column
    for each.

    Raises
    ------
    UsageError
        when there are not as many columns as aspects, where there are several.
    """
    columns = chosen_columns(table, file)
    n_aspects = len(aspects)
    if n_aspects > 1 and len(columns) != n_aspects:
        raise UsageError(
            f"{file.path}: {some(columns)} are named, but a model has a column for "
            f"each of {', '.join(aspects)}; name as many, in this order."
        )
    if n_aspects == 1 and len(columns) > 1:
        return _columns_of_models(file, table, aspects, columns=columns)

    model = _model_of_columns(file.called, file, table, columns=columns)
    origin = Origin(file.path, ((model.name, model.read_from),))
    return FileModels((model,), origin)


def _model_of_columns(
    name: str, file: PredictionFile, table: TextTable, columns: list[str]
) -> ReadModel:
    """One model, with a column of scores per aspect."""
    values, _ = numbers_of_models(table, list(dict.fromkeys(columns)), named=True)
    return ReadModel(
        name,
        clip_ids(table, file.path),
        values=np.column_stack([values[column] for column in columns]),
        declared=file.scale,
        columns=tuple(columns),
        file_columns=tuple(table.columns),
        read_from=tuple(columns),
    )


def _refuse_missing_aspects(
    path: Path, table: TextTable, aspects: Sequence[str]
) -> None:
    """Name the aspects that a file of one tool lacks, where it has others."""
    absent = [aspect for aspect in aspects if aspect not in table.columns]
    if absent and len(absent) < len(aspects):
        raise UsageError(
            f"{path} has no predictions of {some(absent)}; a stack needs every aspect "
            "of every model. Add such a column, or leave the file out."
        )


# ---- distributions and records


def _read_record(file: PredictionFile, aspects: Sequence[str]) -> ReadModel | None:
    """The one model of a file that is not a table of scores; None when it is one."""
    path = file.path
    suffix = path.suffix.lower()
    if suffix in {".pt", ".pth", ".pkl"}:
        raise UsageError(
            f"{path} may run code when it is loaded; write its records as JSON first."
        )
    if suffix == ".json" and are_published(path):
        # Records of the published system are on its own bins, from 1 to 5.
        ids, values = read_published(path, list(aspects))
        return ReadModel(path.stem, ids, values, own_scale=Scale.of(SCALE))

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


def _of_record(file: PredictionFile, record: ReadModel) -> FileModels:
    if file.columns:
        raise UsageError(
            f"{file.path} holds one model and no columns; leave "
            f"':{','.join(file.columns)}' out."
        )
    model = replace(record, name=file.name or record.name, declared=file.scale)
    return FileModels((model,), Origin(file.path, ((model.name, ()),)))
