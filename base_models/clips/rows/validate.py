"""Whether a frame is a clip table, wherever it came from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from base_models.bins import ScoreBins
from base_models.clips.columns import CLIP_COLUMNS, SPLITS
from base_models.clips.labels import SCALE, label_scales
from base_models.errors import UsageError, some


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
        kinds = set(map(type, frame[name].tolist()))
        if not all(issubclass(kind, str) for kind in kinds):
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
