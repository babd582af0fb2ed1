"""Anybody's predictions as base models: files of scores or distributions, joined to the labels by clip id.

A file is one model (a score column such as other tools write, a prediction table of ours, the published system's
records with their distributions) or many: a table whose other numeric columns are one model each. The trap: a clip that
a model leaves out must stay left out, named and counted; nothing is filled in here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from base_models.bins import SOFTEN_SIGMA, TARGET_SIGMA, ScoreBins
from base_models.clips import ALIASES, read_clips
from base_models.errors import UsageError, some
from base_models.files import from_json, read_bytes
from base_models.predictions import PredictionTable
from ensemble.prediction_files import common_form, read_predictions

SCALE = ScoreBins()
PUBLISHED = {"mi": ("overall_dist", "overall_score"), "ta": ("textual_dist", "textual_score")}
"""Fields of a clip's record in the published system's prediction files, by aspect."""
_ABOUT = re.compile(r"(.*_)?(std|sd|stdev|var|variance|ci|sem|low|high|count|fold|index|seed)|(n|num|no)_.*|n")
_STANDARD = {name for names in ALIASES.values() for name in names.split()} | set(ALIASES)


@dataclass(frozen=True)
class External:
    """Labelled clips, and what each base model says of them.

    Parameters
    ----------
    clips : clip table of the labelled clips; ``attrs["aspects"]`` names the rated columns
    tables : one prediction table per base model; a model that leaves clips out has no rows for them
    notes : what did not join, what was left out or moved, for people
    """

    clips: pd.DataFrame
    tables: tuple[PredictionTable, ...]
    notes: tuple[str, ...]


def read_external(
    files: Sequence[Path | str], labels: Path | str | None = None, aspects: Sequence[str] | None = None
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
        raise UsageError(f"{labels or files[0]} rates no clip; name the file of ratings with --labels.")
    clips = clips[clips[names].notna().any(axis=1)].reset_index(drop=True)
    clips.attrs["aspects"] = names
    found = [model for file in files for model in _models(Path(file), clips, names)]
    twice = sorted({model.name for model in found if sum(model.name == other.name for other in found) > 1})
    if twice:
        raise UsageError(f"Model {some(twice)} is given more than once; rename the file or the column.")
    counts: dict[str, dict[str, int]] = {}
    tables = tuple(_join(model, clips, names, counts) for model in found)
    notes = (f"{what}: {some([f'{n} of {model}' for model, n in of.items()], 10)}" for what, of in counts.items())
    return External(clips, tables, tuple(notes))


@dataclass(frozen=True)
class _Model:
    """One model's predictions as read: ids, and scores (n, aspects) or distributions (n, aspects, bins)."""

    name: str
    ids: list[str]
    values: np.ndarray
    sigma: float | None = None
    seen: tuple[frozenset[str], frozenset[str]] = (frozenset(), frozenset())


def _models(path: Path, clips: pd.DataFrame, aspects: list[str]) -> Iterator[_Model]:
    suffix = path.suffix.lower()
    if suffix == ".json":
        yield _published(path, aspects)
    elif suffix == ".parquet" and path.is_file() and b"stackedmos" in (pq.read_schema(path).metadata or {}):
        table = PredictionTable.read(path)
        if table.bins != SCALE:
            raise UsageError(f"{path} predicts on {table.bins}; a stack here has {SCALE}.")
        values = np.stack([table.of(aspect) for aspect in aspects], axis=1)
        yield _Model(table.model, list(table.clip_ids), values, table.sigma, (table.trained_on, table.selected_on))
    elif suffix in {".pt", ".pth", ".pkl"}:
        raise UsageError(f"{path} may run code when it is loaded; write its records as JSON first.")
    else:
        yield from _scores(path, clips, aspects)


def _published(path: Path, aspects: list[str]) -> _Model:
    """The published system's records, as scores: its distributions stand on 20 points from 1 to 5, not on our bins."""
    records = from_json(read_bytes(path), str(path))
    absent = [aspect for aspect in aspects if aspect.lower() not in PUBLISHED]
    if absent or not isinstance(records, dict) or not all(isinstance(record, dict) for record in records.values()):
        raise UsageError(f"{path}: expected records of clips with {some(sum(PUBLISHED.values(), ()))}; aspects mi, ta.")
    points = ScoreBins(grid="endpoints")
    scores = np.full((len(records), len(aspects)), np.nan)
    for row, (clip, record) in enumerate(records.items()):
        for k, (of_bins, of_score) in enumerate(PUBLISHED[aspect.lower()] for aspect in aspects):
            if record.get(of_bins) is not None:
                what = f"{path}, clip '{clip}', {of_bins}"
                scores[row, k] = points.decode(points.check(np.atleast_2d(record[of_bins]), what), TARGET_SIGMA)[0]
            elif record.get(of_score) is not None:
                scores[row, k] = float(record[of_score])
    return _Model(path.stem, list(records), scores)


def _scores(path: Path, clips: pd.DataFrame, aspects: list[str]) -> Iterator[_Model]:
    """One model where a column says that it is the score; else one model per numeric column."""
    try:
        frame = read_predictions(path, aspects)
    except UsageError as error:
        if "has no predictions of" not in str(error):
            raise
    else:
        if not _are_labels(frame, clips, aspects):
            yield _Model(path.stem, frame["clip_id"].tolist(), frame[aspects].to_numpy())
            return
    frame = read_clips(path, labels=False)
    ids = frame["clip_id"].tolist()
    numbers = {name: _numbers(frame[name]) for name in frame.columns if _may_predict(name, aspects)}
    numbers = {name: values for name, values in numbers.items() if values is not None}
    if len(aspects) == 1:
        chosen = {name: {aspects[0]: values} for name, values in numbers.items()}
    else:
        parts = [(name.partition("__"), values) for name, values in numbers.items()]
        chosen = {model: {} for (aspect, _, model), _ in parts if aspect in aspects and model}
        for (aspect, _, model), values in parts:
            if model in chosen:
                chosen[model][aspect] = values
    partial = [model for model, of in chosen.items() if len(of) < len(aspects)]
    if partial or not chosen:
        what = f"models {some(partial)} lack an aspect" if partial else "no column of predictions was found"
        raise UsageError(
            f"{path}: {what}; a table of several models has one numeric column for each"
            + (" aspect and model, named as mi__name." if len(aspects) > 1 else ".")
        )
    for model, of in chosen.items():
        yield _Model(model, ids, np.column_stack([of[aspect] for aspect in aspects]))


def _are_labels(frame: pd.DataFrame, clips: pd.DataFrame, aspects: list[str]) -> bool:
    """Whether what looks like predictions is the column of labels, in a file that holds both."""
    both = clips.merge(frame, on="clip_id", suffixes=("", " predicted"))
    truth, score = (both[[f"{aspect}{end}" for aspect in aspects]].to_numpy() for end in ("", " predicted"))
    return len(both) > 0 and bool((np.isnan(truth) | (truth == score)).all())


def _may_predict(name: str, aspects: Sequence[str]) -> bool:
    plain = name.strip().lower()
    return name not in aspects and plain not in _STANDARD and _ABOUT.fullmatch(plain) is None


def _numbers(cells: pd.Series) -> np.ndarray | None:
    """A column as float64, NaN where empty or not finite; None when it holds words or nothing."""
    values = pd.to_numeric(cells.replace("", "nan"), errors="coerce").to_numpy(dtype=np.float64)
    words = np.isnan(values) & ~cells.str.strip().str.lower().isin(["", "nan", "na", "null", "none"]).to_numpy()
    return None if words.any() or not np.isfinite(values).any() else np.where(np.isfinite(values), values, np.nan)


def _join(model: _Model, clips: pd.DataFrame, aspects: list[str], counts: dict[str, dict[str, int]]) -> PredictionTable:
    """The model's table over the labelled clips that it predicts, in their order and under their ids."""
    wanted, given = common_form(clips["clip_id"].tolist(), model.ids)
    row_of = {clip: row for row, clip in enumerate(given)}
    if len(row_of) < len(given):
        raise UsageError(f"'{model.name}' predicts a clip twice ({some([c for c in row_of if given.count(c) > 1])}).")
    whole = np.isfinite(model.values.reshape(len(given), -1)).all(axis=1)
    pairs = [(own, row_of[clip]) for own, clip in zip(clips["clip_id"], wanted, strict=True) if clip in row_of]
    pairs = [(own, row) for own, row in pairs if whole[row]]
    if not pairs:
        raise UsageError(
            f"'{model.name}' predicts none of the {len(clips)} labelled clips (a label is for '{clips['clip_id'][0]}', "
            f"a prediction for '{model.ids[0] if model.ids else ''}'). Give both the same ids."
        )
    off_scale = ((model.values < SCALE.low) | (model.values > SCALE.high)).reshape(len(given), -1).any(axis=1)
    found = {
        "labelled clips not predicted": len(clips) - len(pairs),
        "predicted clips without a label, left aside": len(given) - sum(clip in row_of for clip in wanted),
        f"scores moved to the nearer end of {SCALE.low:g}..{SCALE.high:g}": int(
            off_scale[[row for _, row in pairs]].sum()
        ),
    }
    for what, n in found.items():
        if n:
            counts.setdefault(what, {})[model.name] = n
    ids, values = [own for own, _ in pairs], model.values[[row for _, row in pairs]]
    if model.sigma is not None:
        return PredictionTable(model.name, ids, aspects, values, SCALE, model.sigma, *model.seen)
    return PredictionTable.from_scores(model.name, ids, aspects, values, sigma=SOFTEN_SIGMA)
