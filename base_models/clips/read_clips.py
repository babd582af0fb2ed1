"""The clip table: one row per clip, read from a MusicEval tree or a table.

Everything is read as text, then checked, then converted. A reader that guesses types,
skips odd rows or accepts ``3,5`` would change labels unnoticed; here each such cell is
an error that names file, line, value and what is legal.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from base_models.bins import ScoreBins
from base_models.clips import musiceval
from base_models.clips.columns import (
    ALIASES,
    CLIP_COLUMNS,
    RATING_NAMES,
    SPLIT_ALIASES,
    SPLITS,
    STANDARD_NAMES,
    aspect_columns,
    fold_name,
    is_bookkeeping_of_ratings,
)
from base_models.clips.labels import FEWEST_LABELLED, SCALE, label_scales, read_scores
from base_models.clips.parquet.embedded_audio import reference
from base_models.clips.parquet.published_tables import as_published, find_shards, joined
from base_models.clips.rating_tables import (
    holds_ratings,
    one_row_per_clip,
    system_in_name,
)
from base_models.clips.ratings import (
    check_has_columns,
    find_ratings,
    mean_ratings,
    rated_columns,
    read_ratings,
)
from base_models.clips.tables.read_table import TABLE_SUFFIXES, is_table, read_table
from base_models.clips.text_table import TextTable, check_name, parse_number
from base_models.errors import UsageError, some
from base_models.scales import Ends, LabelScales, Scale

_SPLIT_OF_WORD = {
    word: split for split, words in SPLIT_ALIASES.items() for word in words
}
_NUL_OR_SURROGATE = re.compile(r"[\x00\ud800-\udfff]")


@dataclass(frozen=True)
class SetAside:
    """A clip that cannot be used, and why."""

    clip_id: str
    reason: str


def read_clips(
    path: str | os.PathLike,
    aspects: Iterable[str] | None = None,
    bins: ScoreBins = SCALE,
    labels: bool = True,
    ratings: str | os.PathLike | None = None,
    rating_scale: Sequence[float] | None = None,
    scales: LabelScales | Ends | Mapping[str, Ends] | None = None,
) -> pd.DataFrame:
    """Read a clip table.

    Parameters
    ----------
    path : a MusicEval / AudioMOS 2025 track 1 folder, its eval-phase package or one of
        its label lists (.txt); a folder of Parquet files named after splits, or its
        ``data`` (see `base_models.clips.parquet.published_tables`); or a table (.csv,
        .tsv, .jsonl, .parquet) with columns ``clip_id, audio, prompt, system_id,
        split`` (or their usual other names, see `base_models.clips.columns.ALIASES`)
        and one column per rated aspect. ``audio`` is relative to the table's folder; a
        Parquet table may hold the audio files themselves. A table of single ratings,
        with a column of raters and a row per rating, is read as the means of its clips.
    aspects : the rated columns, or ``aspect=column``, as in ``mi=naturalness``. By
        default those with a known name of a rating; if there is none, all numeric
        columns that lie on the scale and do not look like counts or bookkeeping; if
        there is none, the table is unlabelled.
    bins : the scale on which labels must lie, where `scales` does not name another
    labels : False for a table that is to be scored: no column is read as a rating, and
        none is required
    ratings : single ratings, see `base_models.clips.ratings.read_ratings`, whose means
        are the labels where `path` has none; None takes those of a MusicEval tree
    rating_scale : lowest and highest of the single ratings, where they are not those of
        the labels
    scales : lowest and highest label, as ``(0, 100)``, or those of single aspects, as
        ``{"pq": (1, 10)}``. Labels are returned as they stand in the table

    Returns
    -------
    clips : DataFrame with text columns ``clip_id, system_id, prompt, audio, split`` (""
        where the data has none), one float64 column per aspect (NaN where unlabelled),
        and the other columns as text; ``attrs["aspects"]`` lists the aspects, and
        ``attrs["notes"]``, if it is there, says what was chosen where the table left a
        choice; ``attrs["columns"]`` which column an aspect of another name is read
        from; ``attrs["scales"]`` the ends of each scale that `scales` names (see
        `base_models.clips.labels.labels_onto`); and ``attrs["means_of"]`` of which
        single ratings the labels are the means, with ``<aspect>_n``, ``<aspect>_low``
        and ``<aspect>_high`` beside them (see
        `base_models.clips.ratings.mean_ratings`). Audio files need not exist: see
        `base_models.clips.check`.

    Raises
    ------
    UsageError
        when there is nothing to read, a row cannot be used (naming file and line), ids
        repeat, a clip is in two splits, or a clip of train or dev has no label.
    """
    path = Path(path)
    words = None if aspects is None else _as_list(aspects)
    table, own_ratings = _read_table(path)
    if table.n_rows == 0:
        raise UsageError(f"{path} holds no clips.")
    _check_names(table)

    source = None
    rated: dict[str, str] = {}
    scores: Mapping[str, np.ndarray] = {}
    declared = LabelScales.of_any(scales)
    if labels:
        source, rated, scores = _labels(
            table,
            words,
            scales=declared.or_else(Scale.of(bins)),
            path=path,
            ratings=own_ratings or ratings,
            rating_scale=rating_scale,
        )
        declared.check_aspects(list(rated))

    columns: dict[str, list[str] | np.ndarray] = {}
    for name in CLIP_COLUMNS:
        columns[name] = table.columns[name]
    columns["split"] = _read_splits(table)
    columns |= scores
    for name, cells in table.columns.items():
        if name not in rated.values():
            columns.setdefault(name, cells)

    # The table is checked as one that was made by hand: ids, splits and scale.
    frame = pd.DataFrame(columns)
    frame.attrs["aspects"] = list(rated)
    if table.notes:
        frame.attrs["notes"] = list(table.notes)
    if any(aspect != column for aspect, column in rated.items()):
        frame.attrs["columns"] = rated
    if source is not None:
        frame.attrs["means_of"] = str(source)
    # As lists, since attributes are written with a table as JSON.
    known = {aspect: declared.of(aspect) for aspect in rated}
    ends = {aspect: scale.to_json() for aspect, scale in known.items() if scale}
    if ends:
        frame.attrs["scales"] = ends
        _note_narrow_labels(frame)
    validate_clips(frame, bins, labels)
    return frame


def _note_narrow_labels(frame: pd.DataFrame) -> None:
    """Note labels that use so little of their declared scale that it may be another."""
    for aspect, scale in label_scales(frame).items():
        low = frame[aspect].min()
        high = frame[aspect].max()
        if len(frame) >= FEWEST_LABELLED and high - low < scale.width / 10:
            notes = frame.attrs.setdefault("notes", [])
            notes.append(
                f"all labels of '{aspect}' lie in {low:g}..{high:g}, which is little "
                f"of the declared scale {scale}: is it theirs?"
            )


def _as_list(aspects: str | Iterable[str]) -> list[str]:
    return [aspects] if isinstance(aspects, str) else list(aspects)


def _read_table(path: Path) -> tuple[TextTable, Path | None]:
    """The cells of a tree or table, under the standard names of columns.

    The second is the table itself where it is one of single ratings; its cells are then
    those that describe the clips.
    """
    if path.is_dir() and musiceval.find_tree(path) is None:
        shards = find_shards(path)
        if shards:
            tables = [
                _with_standard_columns(read_table(shard), shard) for shard in shards
            ]
            return as_published(joined(tables, shards), shards), None
    if path.is_dir() or musiceval.is_list(path):
        return musiceval.read_tree(path), None
    if is_table(path):
        cells = read_table(path)
        if holds_ratings(cells):
            return _with_standard_columns(one_row_per_clip(cells), path), path
        table = _with_standard_columns(cells, path)
        return (as_published(table, [path]) if table.embedded else table), None
    if path.exists():
        raise UsageError(
            f"{path}: clips are read from a MusicEval folder, or "
            f"{', '.join(TABLE_SUFFIXES)}."
        )
    raise UsageError(f"There is no file or folder {path}.")


# ---- checks of a clip table


def validate_clips(
    frame: pd.DataFrame,
    bins: ScoreBins = SCALE,
    labels: bool = True,
) -> None:
    """Check that `frame` is a clip table, wherever it came from.

    Parameters
    ----------
    frame : the table
    bins : the scale on which labels must lie, where ``attrs["scales"]`` names no other
    labels : False where clips of train and dev may be without a label

    Raises
    ------
    UsageError
        when a column or ``attrs["aspects"]`` is missing, an id is empty or repeats, a
        clip is in two splits, a split has an unknown name, a label is not on the scale,
        or a clip of train or dev has no label.
    """
    _check_columns(frame)
    if (frame["clip_id"] == "").any():
        row = int((frame["clip_id"] == "").argmax())
        raise UsageError(f"Row {row} has an empty clip_id.")
    _check_ids_are_unique(frame)
    _check_splits(frame)

    aspects = frame.attrs["aspects"]
    scores = _score_matrix(frame, aspects)
    # Comparisons with NaN are false, so that a missing label is on the scale.
    for k, (aspect, scale) in enumerate(label_scales(frame, bins).items()):
        is_off_scale = scale.is_off(scores[:, k]) | np.isinf(scores[:, k])
        if is_off_scale.any():
            raise UsageError(
                f"Labels '{aspect}' of {some(frame['clip_id'][is_off_scale])} are off "
                f"the scale {scale}; name theirs with scales=(LOW, HIGH)."
            )

    # A table that is to be scored may have clips of any split without a label.
    if labels:
        _check_training_clips_are_labelled(frame, scores)


def _check_columns(frame: pd.DataFrame) -> None:
    missing = [name for name in CLIP_COLUMNS if name not in frame.columns]
    if missing:
        raise UsageError(
            f"Not a clip table: it lacks columns {some(missing)}. "
            "Make it with read_clips."
        )

    aspects = frame.attrs.get("aspects")
    if aspects is None or any(aspect not in frame.columns for aspect in aspects):
        raise UsageError(
            "Not a clip table: it lacks attrs['aspects'], the list of its rated "
            "columns. Make it with read_clips."
        )

    for name in CLIP_COLUMNS:
        if not all(isinstance(cell, str) for cell in frame[name]):
            raise UsageError(
                f"Not a clip table: {', '.join(CLIP_COLUMNS)} must be text ('' where "
                "there is none)."
            )


def _check_ids_are_unique(frame: pd.DataFrame) -> None:
    repeated = frame[frame["clip_id"].duplicated(keep=False)]
    if repeated.empty:
        return
    # A clip in two splits is the graver mistake (a leak), so it is named first.
    n_splits = repeated.groupby("clip_id")["split"].nunique()
    in_several_splits = n_splits.index[n_splits > 1]
    if len(in_several_splits):
        raise UsageError(
            f"Clips {some(in_several_splits)} are in more than one split; a clip used "
            "for training cannot be used for testing."
        )
    raise UsageError(
        f"Duplicate clip ids: {some(n_splits.index)}. Each clip must have one row."
    )


def _check_splits(frame: pd.DataFrame) -> None:
    unknown = sorted(set(frame["split"]) - {*SPLITS, ""})
    if unknown:
        raise UsageError(
            f"Unknown split {some(unknown)}; legal are train, dev and test."
        )
    has_no_split = frame["split"] == ""
    if has_no_split.any() and not has_no_split.all():
        clips = frame["clip_id"][has_no_split]
        raise UsageError(
            f"{some(clips)} have no split while other clips have; fill in all or none."
        )


def _check_training_clips_are_labelled(frame: pd.DataFrame, scores: np.ndarray) -> None:
    is_trained_on = frame["split"].isin(["train", "dev"]).to_numpy()
    unlabelled = is_trained_on & np.isnan(scores).all(axis=1)
    if not unlabelled.any():
        return
    clips = frame["clip_id"][unlabelled]
    message = f"Clips {some(clips)} are in train or dev and have no label."
    if not frame.attrs["aspects"]:
        message += " No rated column was found; name it with aspects."
    raise UsageError(message)


def _score_matrix(frame: pd.DataFrame, aspects: Sequence[str]) -> np.ndarray:
    """Labels, shape (n, aspects)."""
    not_numeric = [
        aspect for aspect in aspects if frame[aspect].dtype.kind not in "fiu"
    ]
    if not_numeric:
        raise UsageError(
            f"Not a clip table: the rated columns {some(not_numeric)} are not numbers."
        )
    rows = np.array([frame[aspect].to_numpy(np.float64) for aspect in aspects])
    # Without any aspect the array has no second axis yet.
    return rows.reshape(len(aspects), len(frame)).T


# ---- from cells to values


def _read_splits(table: TextTable) -> list[str]:
    """The split of each clip, under its standard name; "" where it has none."""
    splits = []
    for row, cell in enumerate(table.columns["split"]):
        if cell and cell.lower() not in _SPLIT_OF_WORD:
            raise UsageError(
                f"{table.location(row)}: unknown split {cell!r}; legal: "
                f"{', '.join(_SPLIT_OF_WORD)}."
            )
        splits.append(_SPLIT_OF_WORD[cell.lower()] if cell else "")
    return splits


def _check_names(table: TextTable) -> None:
    """Refuse ids, systems and paths that are no names, and prompts that are no text."""
    for row, clip_id in enumerate(table.columns["clip_id"]):
        check_name(clip_id, table.location(row), "clip id")
        if not clip_id:
            raise UsageError(f"{table.location(row)}: the clip id is empty.")
    for row, system in enumerate(table.columns["system_id"]):
        check_name(system, table.location(row), "system")
    for row, audio in enumerate(table.columns["audio"]):
        check_name(audio, table.location(row), "audio file")
    for row, prompt in enumerate(table.columns["prompt"]):
        if _NUL_OR_SURROGATE.search(prompt):
            raise UsageError(
                f"{table.location(row)}: the prompt holds a NUL or half a surrogate "
                "pair: it is not text."
            )


# ---- labels: ratings that are in the table, or means of single ones


def _labels(
    table: TextTable,
    words: Sequence[str] | None,
    *,
    scales: LabelScales,
    path: Path,
    ratings: str | os.PathLike | None,
    rating_scale: Sequence[float] | None,
) -> tuple[str | os.PathLike | None, dict[str, str], dict[str, np.ndarray]]:
    """Where labels come from, the column of each aspect, and their arrays.

    The first is None where they stand in the table; else it is the single ratings whose
    means they are, and each aspect has the arrays of `MEAN_STATISTICS` too.
    """
    rated: dict[str, str] = {}
    is_long = ratings is not None and Path(ratings) == path
    if not is_long and not _are_all_absent(words, table, ratings):
        rated = _choose_aspects(table, words, scales=scales, path=path)
    # Before a label is refused for being off a scale that was meant for it.
    if rated:
        scales.check_aspects(list(rated))
    scores = {
        aspect: read_scores(table, column, _scale_of(aspect, scales))
        for aspect, column in rated.items()
    }
    has_labels = any(np.isfinite(values).any() for values in scores.values())
    source = ratings
    if source is None and (musiceval.is_list(path) or not is_table(path)):
        source = find_ratings(path)
    if has_labels or source is None:
        return None, rated, scores

    if words is not None:
        rated = aspect_columns(words)
    elif not rated:
        rated = rated_columns(source)
    check_has_columns(source, rated)
    bins = {aspect: _scale_of(aspect, scales) for aspect in rated}
    single = read_ratings(source, rated, rating_scale, bins=bins, columns=rated)
    means = mean_ratings(single, list(rated), bins).reindex(table.columns["clip_id"])
    arrays = {name: means[name].to_numpy(np.float64) for name in means}
    for aspect in rated:
        # A clip that nobody rated has no ratings, and not an unknown number of them.
        arrays[f"{aspect}_n"] = np.nan_to_num(arrays[f"{aspect}_n"])
    return source, rated, arrays


def _scale_of(aspect: str, scales: LabelScales) -> Scale:
    """The scale of an aspect, of scales that have a default."""
    scale = scales.of(aspect)
    assert scale is not None
    return scale


def _are_all_absent(
    words: Sequence[str] | None,
    table: TextTable,
    ratings: str | os.PathLike | None,
) -> bool:
    """Whether the named aspects are in the single ratings and not in the table."""
    if words is None or ratings is None:
        return False
    return not set(aspect_columns(words, table.columns).values()) & set(table.columns)


def _choose_aspects(
    table: TextTable,
    requested: Sequence[str] | None,
    *,
    scales: LabelScales,
    path: Path,
) -> dict[str, str]:
    """The column of each aspect: those requested, else those that are recognised."""
    not_rated = {*CLIP_COLUMNS, "prompt_id"}
    candidates = [name for name in table.columns if name not in not_rated]
    if requested is not None:
        return _check_requested(requested, candidates, path)

    # A known name wins over the values of a column: where a table has "mos", another
    # numeric column on the scale is some other measure.
    known = [name for name in candidates if fold_name(name) in RATING_NAMES]
    if known:
        return {name: name for name in known}
    return {
        name: name
        for name in candidates
        if not is_bookkeeping_of_ratings(name)
        and _is_on_scale(table.columns[name], _scale_of(name, scales))
    }


def _check_requested(
    requested: Sequence[str],
    candidates: Sequence[str],
    path: Path,
) -> dict[str, str]:
    column_of = aspect_columns(requested, candidates)
    absent = [name for name in column_of.values() if name not in candidates]
    if absent:
        raise UsageError(
            f"{path} has no rated columns {some(absent)}; it has "
            f"{some(candidates, 20)}."
        )
    return column_of


def _is_on_scale(cells: Iterable[str], scale: Scale) -> bool:
    """Whether a column has numbers, all of them on the scale."""
    has_numbers = False
    for text in cells:
        cell = text.strip()
        if not cell:
            continue
        number = parse_number(cell)
        if number is None or scale.is_off(number):
            return False
        has_numbers = True
    return has_numbers


def _with_standard_columns(table: TextTable, path: Path) -> TextTable:
    """The same table with every column of a clip table under its standard name.

    An absent column is filled with "", and absent clip ids with the names of the audio
    files.
    """
    # The columns of a clip table come first, in their order.
    columns: dict[str, list[str]] = {name: [] for name in CLIP_COLUMNS}
    original_names: dict[str, str] = {}
    prompt_names = _prompt_columns(table)
    for name, cells in table.columns.items():
        standard = STANDARD_NAMES.get(fold_name(name), name)
        # Of several texts the first is the prompt; the others stay what they are.
        if name in prompt_names[1:]:
            standard = name
        if standard in original_names:
            raise UsageError(
                f"{path}: columns '{original_names[standard]}' and '{name}' both mean "
                f"{standard}; drop or rename one."
            )
        original_names[standard] = name

        # Spaces around a prompt may be part of it; around an id or path they are not.
        if standard in CLIP_COLUMNS and standard != "prompt":
            cells = [cell.strip() for cell in cells]
        columns[standard] = cells

    if "clip_id" not in original_names and "audio" not in original_names:
        raise UsageError(
            f"{path} has neither a clip_id nor an audio column (also: "
            f"{', '.join(STANDARD_NAMES)})."
        )
    for name in CLIP_COLUMNS:
        if name not in original_names:
            columns[name] = [""] * table.n_rows
    rows = [number for _, number in table.locations]
    if table.embedded:
        # A file in a table may be without a name; its row then names the clip.
        names = zip(columns["audio"], rows, strict=True)
        columns["audio"] = [name or f"{path.stem}-{row}" for name, row in names]
    if "clip_id" not in original_names:
        columns["clip_id"] = _ids_from_audio(columns["audio"], path)
    if table.embedded:
        columns["audio"] = [reference(path.name, row) for row in rows]
    if "system_id" not in original_names:
        columns["system_id"] = [system_in_name(name) for name in columns["clip_id"]]
    # Paths are relative to the table, so that a data set can be moved as a whole.
    columns["audio"] = [
        str(path.parent / audio) if audio else "" for audio in columns["audio"]
    ]
    notes = table.notes
    if len(prompt_names) > 1:
        others = some(prompt_names[1:])
        notes += (f"prompts are read from '{prompt_names[0]}', not from {others}",)
    return replace(table, columns=columns, notes=notes)


def _prompt_columns(table: TextTable) -> list[str]:
    """Columns that may hold the prompts, in order of precedence.

    Two spellings of one name have none between them, and are left for an error.
    """
    found: list[str] = []
    for legal in ALIASES["prompt"]:
        spellings = [name for name in table.columns if fold_name(name) == legal]
        if len(spellings) > 1 and not found:
            return []
        found += spellings
    return found


def _ids_from_audio(audio: Sequence[str], path: Path) -> list[str]:
    clip_ids = [Path(file).stem for file in audio]
    series = pd.Series(clip_ids, dtype=object)
    # x/a.wav and y/a.wav would become one clip.
    repeated = series[series.duplicated()].unique()
    if len(repeated):
        raise UsageError(
            f"{path}: audio files share the names {some(repeated)}; "
            "add a clip_id column."
        )
    return clip_ids
