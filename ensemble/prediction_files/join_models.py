"""Models as their files have them, put onto one scale and joined to clips by id."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from base_models.bins import ScoreBins
from base_models.clips.labels import SCALE
from base_models.clips.names import comparable_ids
from base_models.errors import UsageError, some
from base_models.predictions import PredictionTable
from base_models.scales import Scale
from ensemble.prediction_files.known_tools import known_tool
from ensemble.prediction_files.prediction_word import PredictionFile
from ensemble.prediction_files.predictor_scales import (
    CURE_OF_ONE_FILE,
    DECLARED,
    FEWEST_OFF,
    OF_BINS,
    OF_LABELS,
    DeclaredScales,
    PredictorScale,
    check_on_scale,
    range_remark,
)
from ensemble.prediction_files.read_model import ReadModel
from ensemble.prediction_files.stack_scales import StackScales


@dataclass(frozen=True)
class Target:
    """What predictions are joined to.

    Parameters
    ----------
    ids : of the clips
    aspects : names
    bins : of the stack
    scales : of the labels, and of predictors that a stack has seen before
    declared : scales from a table
    others : what notes call predictions of clips that are not in `ids`
    """

    ids: list[str]
    aspects: list[str]
    bins: ScoreBins
    scales: StackScales
    declared: DeclaredScales = field(default_factory=DeclaredScales)
    others: str = "predicted clips without a label, left aside"


def join_models(
    models: Sequence[ReadModel], target: Target
) -> tuple[tuple[PredictionTable, ...], StackScales, list[str]]:
    """The table of each model over the clips it predicts, its scales, and notes.

    Raises
    ------
    UsageError
        when a model predicts a clip twice or none of the clips, or its scores are on
        another scale than its own.
    """
    tables = []
    predictors: dict[str, Mapping[str, PredictorScale]] = {}
    counts_by_note: dict[str, list[str]] = {}
    remarks: list[str] = []
    for model in models:
        scales = _scales_of(model, target)
        kept, counts = _rows_of(model, target)
        table, n_off_scale, seen = _to_table(kept, scales, target)
        if n_off_scale:
            counts[_moved_note(model.name, scales)] = n_off_scale
        for note, count in counts.items():
            if count:
                counts_by_note.setdefault(note, []).append(f"{count} of {model.name}")
        for k, known in enumerate(scales.values()):
            if model.bins is None:
                remarks.append(range_remark(model.name, kept.values[:, k], known))
        remarks += _remarks_on_rows(model, kept, target)
        tables.append(table)
        predictors[model.name] = seen

    found = replace(target.scales, predictors=predictors)
    notes = [f"{note}: {some(names, 10)}" for note, names in counts_by_note.items()]
    notes += [remark for remark in remarks if remark]
    notes += found.predictor_notes()
    unknown = target.declared.unknown([model.name for model in models])
    if unknown:
        notes.append(
            f"{target.declared.source} names the scale of {some(unknown)}, which no "
            "file predicts"
        )
    return tuple(tables), found, notes


# ---- scales


def _scales_of(model: ReadModel, target: Target) -> dict[str, PredictorScale]:
    """The scale of a model's scores of each aspect, with the column they are from."""
    scales = {}
    for k, aspect in enumerate(target.aspects):
        column = model.read_from[k] if model.read_from else ""
        scales[aspect] = replace(_scale_of(model, k, target), column=column)
    return scales


def _scale_of(model: ReadModel, k: int, target: Target) -> PredictorScale:
    """The scale of a model's scores of the aspect number `k`."""
    aspect = target.aspects[k]
    remembered = target.scales.predictors.get(model.name, {}).get(aspect)
    in_table = target.declared.of(model.name, aspect)
    if model.declared and in_table and model.declared != in_table:
        raise UsageError(
            f"The scale of '{model.name}' is {model.declared} beside its file and "
            f"{in_table} in {target.declared.source}; leave one of them out."
        )
    declared = model.declared or in_table
    if declared is not None:
        if model.own_scale is not None and model.own_scale != declared:
            raise UsageError(
                f"The scale of '{model.name}' is declared as {declared}, but its file "
                f"says {model.own_scale}; leave the declaration out."
            )
        # What was seen on another scale says nothing about these scores.
        is_same = remembered is not None and remembered.scale == declared
        seen = remembered.seen if remembered is not None and is_same else None
        return PredictorScale(declared, DECLARED, seen)

    if model.own_scale is not None:
        return PredictorScale(model.own_scale, OF_BINS)
    if remembered is not None:
        return remembered
    tool = known_tool(model.columns[k], model.file_columns) if model.columns else None
    if tool is not None:
        return PredictorScale(tool.scale, tool.name)
    return PredictorScale(target.scales.of_labels(aspect), OF_LABELS)


def _moved_note(name: str, scales: Mapping[str, PredictorScale]) -> str:
    ends = dict.fromkeys(str(known.scale) for known in scales.values())
    return f"scores moved to the nearer end of {' and '.join(ends)}"


# ---- rows and tables


def _rows_of(model: ReadModel, target: Target) -> tuple[ReadModel, dict[str, int]]:
    """The model's rows of the wanted clips, in their order and under their ids.

    The second are counts for notes.
    """
    ids = target.ids
    wanted_forms, model_forms = comparable_ids(ids, model.ids)
    row_of = {form: row for row, form in enumerate(model_forms)}
    # Ids that differ as written may have one form, so this is checked here.
    if len(row_of) < len(model_forms):
        repeated = [form for form in row_of if model_forms.count(form) > 1]
        raise UsageError(f"'{model.name}' predicts a clip twice ({some(repeated)}).")

    # A clip without a score for every aspect counts as one that the model leaves out.
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
        cure = "Give both the same ids, and finite scores."
        # A model is called after its column.
        if model.name in ids:
            cure = "The file is transposed, a column per clip; write a row for each."
        raise UsageError(
            f"'{model.name}' predicts none of the {len(ids)} clips (the first is "
            f"'{first_wanted}', its own '{first_own}'). {cure}"
        )
    counts = {
        "clips not predicted": len(ids) - len(rows),
        target.others: len(model_forms) - n_matched,
    }
    return replace(model, ids=clip_ids, values=model.values[rows]), counts


def _remarks_on_rows(
    model: ReadModel, kept: ReadModel, target: Target
) -> Iterator[str]:
    """Rows of a file that have no score, and scores that are all the same."""
    bare = []
    if len(kept.ids) < len(target.ids):
        known = set(kept.ids)
        wanted, given = comparable_ids(target.ids, model.ids)
        in_file = set(given)
        bare = [
            clip
            for clip, form in zip(target.ids, wanted, strict=True)
            if form in in_file and clip not in known
        ]
    if bare:
        yield f"rows of {model.name} without a score: {some(bare)}"
    if model.bins is not None or len(kept.values) < FEWEST_OFF:
        return
    for k, aspect in enumerate(target.aspects):
        first = kept.values[0, k]
        if (kept.values[:, k] == first).all():
            of_aspect = f" of {aspect}" if len(target.aspects) > 1 else ""
            yield (
                f"'{model.name}' predicts {first:g}{of_aspect} for all "
                f"{len(kept.values)} clips: a constant tells none of them apart"
            )


def _to_table(
    model: ReadModel, scales: Mapping[str, PredictorScale], target: Target
) -> tuple[PredictionTable, int, dict[str, PredictorScale]]:
    """The prediction table of a model on the stack's scale.

    The second is its number of clips that are scored off their scale; the third are the
    scales with the range of the scores.
    """
    if model.bins is not None:
        table = _table_of_distributions(model, target)
        return table, 0, dict(scales)

    mapped = np.empty_like(model.values, dtype=np.float64)
    is_off_scale = np.zeros(len(model.values), dtype=bool)
    seen = {}
    for k, (aspect, known) in enumerate(scales.items()):
        values = model.values[:, k]
        check_on_scale(model.name, values, known)
        is_off_scale |= known.scale.is_off(values)
        mapped[:, k] = known.scale.map(values, target.bins)
        ends = (float(values.min()), float(values.max()))
        seen[aspect] = replace(known, seen=ends)
    # Softening moves a score that is off the scale to its nearer end.
    table = PredictionTable.from_scores(
        model.name, model.ids, target.aspects, scores=mapped, bins=target.bins
    )
    return table, int(is_off_scale.sum()), seen


def _table_of_distributions(model: ReadModel, target: Target) -> PredictionTable:
    """Distributions on the stack's bins, which may be those of another scale."""
    own = model.bins
    assert own is not None
    bins = target.bins
    # An affine map of the scale maps bins onto bins: probabilities stay as they are.
    if replace(own, low=bins.low, high=bins.high) != bins:
        raise UsageError(
            f"'{model.name}' predicts on {own}; the bins of the stack are {bins}, and "
            "distributions are mapped onto another scale only with as many bins on the "
            "same grid."
        )
    ratio = (bins.high - bins.low) / (own.high - own.low)
    return PredictionTable(
        model=model.name,
        clip_ids=tuple(model.ids),
        aspects=tuple(target.aspects),
        distributions=model.values,
        bins=bins,
        sigma=model.sigma * ratio,
        trained_on=model.trained_on,
        selected_on=model.selected_on,
        predicts=model.predicts,
    )


# ---- predictions beside labels


@dataclass(frozen=True)
class ScoresBesideLabels:
    """Scores of several models for the same labelled clips.

    Parameters
    ----------
    scores : model to float64 array of shape (n, aspects) on the scales of the labels,
        NaN where the model has none; nothing is moved to an end of a scale
    not_labelled : model to the number of its predictions of other clips
    notes : which scales were taken, and what is odd about the scores
    """

    scores: dict[str, np.ndarray]
    not_labelled: dict[str, int]
    notes: tuple[str, ...]


def scores_beside_labels(
    models: Sequence[ReadModel], target: Target
) -> ScoresBesideLabels:
    """The scores of each model for the clips of a target, in their order.

    Raises
    ------
    UsageError
        as in `join_models`.
    """
    place_of = {clip: place for place, clip in enumerate(target.ids)}
    scores = {}
    others = {}
    remarks: list[str] = []
    predictors: dict[str, Mapping[str, PredictorScale]] = {}
    for model in models:
        scales = _scales_of(model, target)
        kept, counts = _rows_of(model, target)
        places = [place_of[clip] for clip in kept.ids]
        values = kept.values
        if model.bins is not None:
            values = np.stack(
                [
                    model.bins.decode(values[:, k], model.sigma)
                    for k in range(len(target.aspects))
                ],
                axis=1,
            )
        of_model = np.full((len(target.ids), len(target.aspects)), np.nan)
        for k, (aspect, known) in enumerate(scales.items()):
            if model.bins is None:
                check_on_scale(model.name, values[:, k], known, cure=CURE_OF_ONE_FILE)
                remarks.append(range_remark(model.name, values[:, k], known))
            onto = target.scales.of_labels(aspect)
            of_model[places, k] = known.scale.map(values[:, k], onto)
        remarks += _remarks_on_rows(model, kept, target)
        scores[model.name] = of_model
        others[model.name] = counts[target.others]
        predictors[model.name] = scales

    found = replace(target.scales, predictors=predictors)
    notes = [remark for remark in remarks if remark]
    return ScoresBesideLabels(scores, others, (*notes, *found.predictor_notes()))


def scales_of_file(
    predicted: pd.DataFrame, file: PredictionFile, labels: Mapping[str, Scale]
) -> StackScales:
    """The scale of a file's scores of each aspect, beside those of the labels.

    Parameters
    ----------
    predicted : as `read_predictions` gives them
    file : what was read
    labels : aspect to the scale of its labels, or ratings

    Returns
    -------
    scales : of the labels, and of one predictor, which is called as the file is

    Raises
    ------
    UsageError
        when a scale is declared for a file that names another.
    """
    aspects = list(labels)
    model = ReadModel(
        name=file.called,
        ids=[],
        values=np.empty((0, len(aspects))),
        declared=file.scale,
        own_scale=predicted.attrs.get("own_scale"),
        columns=tuple(predicted.attrs["columns"][aspect] for aspect in aspects),
        file_columns=tuple(predicted.attrs["file_columns"]),
    )
    target = Target(
        ids=[],
        aspects=aspects,
        bins=SCALE,
        scales=StackScales(Scale.of(SCALE), labels),
    )
    known = _scales_of(model, target)
    return replace(target.scales, predictors={model.name: known})


def onto_labels(
    joined: pd.DataFrame,
    predicted: pd.DataFrame,
    file: PredictionFile,
    labels: Mapping[str, Scale],
) -> tuple[pd.DataFrame, list[str]]:
    """Predictions that stand beside labels, mapped onto the scale of these.

    Parameters
    ----------
    joined : see `ensemble.prediction_files.read_predictions.join_predictions`
    predicted : as `read_predictions` gives them
    file : what was read
    labels : aspect to the scale of its labels

    Returns
    -------
    mapped : the same table; nothing is moved to an end of the scale
    notes : which scales were taken, where there was a choice

    Raises
    ------
    UsageError
        when most predictions of an aspect are off their scale.
    """
    found = scales_of_file(predicted, file, labels)
    mapped = joined.copy()
    remarks = []
    for aspect, known in found.predictors[file.called].items():
        scores = joined[f"pred_{aspect}"].to_numpy(np.float64)
        is_measured = np.isfinite(scores) & joined[aspect].notna().to_numpy()
        values = scores[is_measured]
        if len(values):
            check_on_scale(file.called, values, known, cure=CURE_OF_ONE_FILE)
            remarks.append(range_remark(file.called, values, known))
        mapped[f"pred_{aspect}"] = known.scale.map(scores, labels[aspect])
    notes = [remark for remark in remarks if remark]
    return mapped, notes + found.predictor_notes()
