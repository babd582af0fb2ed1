"""Anybody's predictions as base models: files of scores or distributions, joined to the labels by clip id.

A file is one model (a score column such as other tools write, a prediction table of ours, the published system's
records with their distributions) or many: a table whose other numeric columns are one model each. The trap: a clip that
a model leaves out must stay left out, named and counted; nothing is filled in here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from base_models.bins import TARGET_SIGMA, ScoreBins
from base_models.clips.columns import STANDARD_NAMES
from base_models.clips.read_clips import read_clips
from base_models.errors import DamagedArtifact, UsageError, some
from base_models.files import from_json, read_bytes
from base_models.predictions import PredictionTable
from ensemble.prediction_files.one_tool import (
    common_form,
    read_distributions,
    read_predictions,
)

SCALE = ScoreBins()
PUBLISHED = {
    "mi": ("overall_dist", "overall_score"),
    "ta": ("textual_dist", "textual_score"),
}
"""Fields of a clip's record in the published system's prediction files, by aspect."""
_SPREAD = (
    "std",
    "sd",
    "stdev",
    "var",
    "variance",
    "sem",
    "ci",
    "low",
    "high",
    "count",
    "n",
)
_ABOUT = {
    *_SPREAD,
    "fold",
    "index",
    "seed",
    *(f"{n}_{what}" for n in ("n", "num") for what in ("ratings", "raters")),
}
"""Columns that are no model's, beside ``<aspect>_std`` and the like; those left out are named in the notes."""


@dataclass(frozen=True)
class External:
    """Clips, and what each base model says of them.

    Parameters
    ----------
    clips : clip table of the labelled clips, ``attrs["aspects"]`` naming the rated columns; of new ones their ids
    tables : one prediction table per base model; a model that leaves clips out has no rows for them
    notes : what did not join, what was left out or moved, for people
    """

    clips: pd.DataFrame
    tables: tuple[PredictionTable, ...]
    notes: tuple[str, ...]


def read_external(
    files: Sequence[Path | str],
    labels: Path | str | None = None,
    aspects: Sequence[str] | None = None,
) -> External:
    """Read predictions of any number of models, and the labels that they are stacked on.

    Parameters
    ----------
    files : tables (csv, tsv, jsonl, parquet), answer files (txt), prediction tables of ours (parquet), or the
        published system's records as JSON, ``{clip: {"overall_dist": [20 numbers], "overall_score": x, …}}``. A table
        with one model's score is named by its file; in any other, each numeric column that is neither a label nor
        bookkeeping is a model (with several aspects: ``<aspect>__<model>``)
    labels : clip table with the ratings; None takes the first file, which then holds both
    aspects : the rated columns; None takes those with a known name

    Raises
    ------
    UsageError
        when a file holds no predictions, none of a model's clips is labelled, or two models share a name.
    """
    if not files:
        raise UsageError("Name at least one file of predictions.")
    clips = read_clips(labels or files[0], aspects=aspects)
    names = list(clips.attrs["aspects"])
    if not names:
        raise UsageError(
            f"{labels or files[0]} rates no clip; name the file of ratings with --labels."
        )
    clips = clips[clips[names].notna().any(axis=1)].reset_index(drop=True)
    clips.attrs["aspects"] = names
    own = [(Path(file), Path(file) == Path(labels or files[0])) for file in files]
    found = _each_once(
        [
            model
            for file, labelled in own
            for model in _models(file, clips, names, labelled)
        ]
    )
    tables, notes = _joined(found, clips["clip_id"].tolist(), names, SCALE)
    left = [
        name
        for name in clips.columns
        if _is_bookkeeping(name, names) and _numbers(clips[name]) is not None
    ]
    return External(
        clips,
        tables,
        (*([f"columns that are no model: {some(left)}"] if left else []), *notes),
    )


def read_new(
    files: Sequence[Path | str],
    models: Sequence[str],
    aspects: Sequence[str],
    bins: ScoreBins = SCALE,
) -> External:
    """Read what the base models of a fitted stack predict of new clips, with or without labels beside it.

    Parameters
    ----------
    files : as `read_external` takes them
    models : names of the base models; what else the files hold is not read, so labels are never taken for predictions
    aspects : what is predicted
    bins : the scale

    Returns
    -------
    external : its clips are all that any model predicts, as ``clip_id`` in the order of the files

    Raises
    ------
    UsageError
        when a file predicts nothing of these models, or one of them stands in two files.
    """
    found = _each_once(
        [
            model
            for file in files
            for model in _known(Path(file), models, list(aspects), bins)
        ]
    )
    ids: list[str] = []
    for model in found:
        wanted, given = common_form(ids, model.ids)
        known = set(wanted)
        ids += [
            own for own, form in zip(model.ids, given, strict=True) if form not in known
        ]
    return External(
        pd.DataFrame({"clip_id": ids}), *_joined(found, ids, list(aspects), bins)
    )


@dataclass(frozen=True)
class _Model:
    """One model's predictions as read: ids, and scores (n, aspects) or distributions (n, aspects, bins)."""

    name: str
    ids: list[str]
    values: np.ndarray
    sigma: float | None = None
    seen: tuple[frozenset[str], frozenset[str]] = (frozenset(), frozenset())


def _each_once(found: list[_Model]) -> list[_Model]:
    twice = sorted(
        {
            model.name
            for model in found
            if sum(model.name == other.name for other in found) > 1
        }
    )
    if twice:
        raise UsageError(
            f"Model {some(twice)} is given more than once; rename the file or the column."
        )
    return found


def _models(
    path: Path, clips: pd.DataFrame, aspects: list[str], labelled: bool
) -> Iterator[_Model]:
    records = _records(path, aspects, SCALE)
    yield from _scores(path, clips, aspects, labelled) if records is None else [records]


def _known(
    path: Path, models: Sequence[str], aspects: list[str], bins: ScoreBins
) -> list[_Model]:
    """What a file says of some known models: as columns of these names, or as the file of this name."""
    records = _records(path, aspects, bins)
    found = [model for model in (records,) if model and model.name in models]
    if records is None:
        try:
            frame = read_clips(path, labels=False)
        except UsageError:
            if path.stem not in models:
                raise
        else:
            found = _wide(path, frame, aspects, models)
        if path.stem in models and path.stem not in {model.name for model in found}:
            frame = read_predictions(path, aspects)
            found = [
                _Model(path.stem, frame["clip_id"].tolist(), frame[aspects].to_numpy())
            ]
    if not found:
        raise UsageError(
            f"{path} predicts nothing of the stack's base models {some(models, 5)}: name its columns after them, or "
            "the file after the one that it is of."
        )
    return found


def _records(path: Path, aspects: list[str], bins: ScoreBins) -> _Model | None:
    """The one model of a file that is no table of scores; None when it is."""
    suffix = path.suffix.lower()
    if suffix == ".json":
        return _published(path, aspects)
    if suffix in {".pt", ".pth", ".pkl"}:
        raise UsageError(
            f"{path} may run code when it is loaded; write its records as JSON first."
        )
    table = read_distributions(path)
    if table is None:
        return None
    if table.bins != bins:
        raise UsageError(f"{path} predicts on {table.bins}; a stack here has {bins}.")
    values = np.stack([table.of(aspect) for aspect in aspects], axis=1)
    return _Model(
        table.model,
        list(table.clip_ids),
        values,
        table.sigma,
        (table.trained_on, table.selected_on),
    )


def _published(path: Path, aspects: list[str]) -> _Model:
    """The published system's records, as scores: its distributions stand on 20 points from 1 to 5, not on our bins."""
    try:
        records = from_json(read_bytes(path), str(path))
    except DamagedArtifact as error:  # somebody else's file: nothing of ours to restore
        raise UsageError(f"{error} Write its records as JSON again.") from error
    absent = [aspect for aspect in aspects if aspect.lower() not in PUBLISHED]
    if (
        absent
        or not isinstance(records, dict)
        or not all(isinstance(record, dict) for record in records.values())
    ):
        raise UsageError(
            f"{path}: expected records of clips with {some(sum(PUBLISHED.values(), ()))}; aspects mi, ta."
        )
    points = ScoreBins(grid="endpoints")
    scores = np.full((len(records), len(aspects)), np.nan)
    for row, (clip, record) in enumerate(records.items()):
        for k, (of_bins, of_score) in enumerate(
            PUBLISHED[aspect.lower()] for aspect in aspects
        ):
            if record.get(of_bins) is not None:
                what = f"{path}, clip '{clip}', {of_bins}"
                scores[row, k] = points.decode(
                    points.check(np.atleast_2d(record[of_bins]), what), TARGET_SIGMA
                )[0]
            elif record.get(of_score) is not None:
                scores[row, k] = float(record[of_score])
    return _Model(path.stem, list(records), scores)


def _scores(
    path: Path, clips: pd.DataFrame, aspects: list[str], labelled: bool
) -> Iterator[_Model]:
    """One model where a column says that it is the score; else one model per numeric column.

    In a file that is `labelled` too, a score that cannot be read may be a label that is not known.
    """
    try:
        frame = read_predictions(path, aspects)
    except UsageError as error:
        if not labelled and "has no predictions of" not in str(error):
            raise
    else:
        if not _are_labels(frame, clips, aspects):
            yield _Model(
                path.stem, frame["clip_id"].tolist(), frame[aspects].to_numpy()
            )
            return
    found = _wide(path, read_clips(path, labels=False), aspects)
    if not found:
        raise UsageError(
            f"{path}: no column of predictions was found; {_LEGAL[len(aspects) > 1]}"
        )
    yield from found


_LEGAL = (
    "a table of several models has one numeric column for each.",
    "a table of several models has one numeric column for each aspect and model, named as mi__name.",
)
"""How a table says what it predicts, for one aspect and for several."""


def _wide(
    path: Path,
    frame: pd.DataFrame,
    aspects: list[str],
    models: Sequence[str] | None = None,
) -> list[_Model]:
    """One model per numeric column (``<aspect>__<model>`` for several aspects), or those of them that are named."""
    legal = [
        name
        for name in frame.columns
        if name not in aspects and name.strip().lower() not in STANDARD_NAMES
    ]
    numbers = {
        name: _numbers(frame[name])
        for name in legal
        if models or not _is_bookkeeping(name, aspects)
    }
    chosen: dict[str, dict[str, np.ndarray]] = {}
    for name, values in numbers.items():
        aspect, _, model = (
            (aspects[0], "", name) if len(aspects) == 1 else name.partition("__")
        )
        if (
            values is not None
            and aspect in aspects
            and model
            and (models is None or model in models)
        ):
            chosen.setdefault(model, {})[aspect] = values
    partial = [model for model, of in chosen.items() if len(of) < len(aspects)]
    if partial:
        raise UsageError(f"{path}: models {some(partial)} lack an aspect; {_LEGAL[1]}")
    ids = frame["clip_id"].tolist()
    return [
        _Model(model, ids, np.column_stack([of[aspect] for aspect in aspects]))
        for model, of in chosen.items()
    ]


def _are_labels(frame: pd.DataFrame, clips: pd.DataFrame, aspects: list[str]) -> bool:
    """Whether what looks like predictions is the column of labels, in a file that holds both."""
    both = clips.merge(frame, on="clip_id", suffixes=("", " predicted"))
    truth, score = (
        both[[f"{aspect}{end}" for aspect in aspects]].to_numpy()
        for end in ("", " predicted")
    )
    return len(both) > 0 and bool((np.isnan(truth) | (truth == score)).all())


def _is_bookkeeping(name: str, aspects: Sequence[str]) -> bool:
    return name.strip().lower() in _ABOUT | {
        f"{aspect.lower()}_{what}" for aspect in aspects for what in _SPREAD
    }


def _numbers(cells: pd.Series) -> np.ndarray | None:
    """A column as float64, NaN where empty or not finite; None when it holds words or nothing."""
    values = pd.to_numeric(cells.replace("", "nan"), errors="coerce").to_numpy(
        dtype=np.float64
    )
    words = (
        np.isnan(values)
        & ~cells.str.strip()
        .str.lower()
        .isin(["", "nan", "na", "null", "none"])
        .to_numpy()
    )
    return (
        None
        if words.any() or not np.isfinite(values).any()
        else np.where(np.isfinite(values), values, np.nan)
    )


def _joined(
    found: Sequence[_Model], ids: list[str], aspects: list[str], bins: ScoreBins
) -> tuple[tuple[PredictionTable, ...], tuple[str, ...]]:
    """Every model's table over those of the clips that it predicts, in their order and under their ids, and notes."""
    counts: dict[str, dict[str, int]] = {}
    tables = tuple(_join(model, ids, aspects, bins, counts) for model in found)
    notes = (
        f"{what}: {some([f'{n} of {model}' for model, n in of.items()], 10)}"
        for what, of in counts.items()
    )
    return tables, tuple(notes)


def _join(
    model: _Model,
    ids: list[str],
    aspects: list[str],
    bins: ScoreBins,
    counts: dict[str, dict[str, int]],
) -> PredictionTable:
    wanted, given = common_form(ids, model.ids)
    row_of = {clip: row for row, clip in enumerate(given)}
    if len(row_of) < len(given):
        raise UsageError(
            f"'{model.name}' predicts a clip twice ({some([c for c in row_of if given.count(c) > 1])})."
        )
    whole = np.isfinite(model.values.reshape(len(given), -1)).all(axis=1)
    pairs = [
        (own, row_of[clip])
        for own, clip in zip(ids, wanted, strict=True)
        if clip in row_of
    ]
    pairs = [(own, row) for own, row in pairs if whole[row]]
    if not pairs:
        raise UsageError(
            f"'{model.name}' predicts none of the {len(ids)} clips (the first is '{ids[0]}', its own "
            f"'{model.ids[0] if model.ids else ''}'). Give both the same ids, and finite scores."
        )
    scores = (
        model.values if model.sigma is None else np.full((len(given), 1), bins.low)
    )  # distributions are on it
    off_scale = ((scores < bins.low) | (scores > bins.high)).any(axis=1)
    found = {
        "clips not predicted": len(ids) - len(pairs),
        "predicted clips without a label, left aside": len(given)
        - sum(clip in row_of for clip in wanted),
        f"scores moved to the nearer end of {bins.low:g}..{bins.high:g}": int(
            off_scale[[row for _, row in pairs]].sum()
        ),
    }
    for what, n in found.items():
        if n:
            counts.setdefault(what, {})[model.name] = n
    ids, values = [own for own, _ in pairs], model.values[[row for _, row in pairs]]
    if model.sigma is not None:
        return PredictionTable(
            model.name, ids, aspects, values, bins, model.sigma, *model.seen
        )
    return PredictionTable.from_scores(model.name, ids, aspects, values, bins=bins)
