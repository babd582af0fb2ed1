"""The checked training data of a base model, and its split into training and selection.

Everything is checked before anything is embedded, which may take hours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.utils.validation import _check_sample_weight

from base_models.clips.labels import FEWEST_LABELLED, check_labels, mean_label
from base_models.clips.listening_tests.rating_histograms import histograms
from base_models.clips.ratings import check_ratings
from base_models.clips.splits import stratified_holdout
from base_models.config import BaseConfig
from base_models.errors import UsageError


@dataclass(frozen=True)
class TrainingData:
    """Labels, weights and the inner split of n clips.

    Parameters
    ----------
    ids : list of n str
    scores : float64 array of shape (n, aspects)
        NaN where a clip is unlabelled.
    weights : float64 array of shape (n,)
    train, validation : list of int
        Rows to train on, and rows to select the epoch on (none where nothing is
        selected).
    histograms : float64 array of shape (n, aspects, bins), or None
        Histograms of single ratings, for a criterion that reads them.
    """

    ids: list[str]
    scores: np.ndarray
    weights: np.ndarray
    train: list[int]
    validation: list[int]
    histograms: np.ndarray | None

    def ids_of(self, rows: Sequence[int]) -> frozenset[str]:
        """Return the ids of some rows."""
        return frozenset(self.ids[row] for row in rows)


def check_training_data(
    config: BaseConfig,
    ids: list[str],
    systems: Sequence[str],
    labels: pd.DataFrame,
    sample_weight: ArrayLike | None = None,
    groups: Sequence[object] | None = None,
    ratings: pd.DataFrame | None = None,
) -> TrainingData:
    """Check what a base model is fitted on, and split it.

    Parameters
    ----------
    config : BaseConfig
    ids, systems : sequence of n str
    labels : DataFrame of n rows
        One float column per aspect, as `base_models.clips.labels.as_labels` returns.
    sample_weight, groups, ratings
        As `NeuralMOS.fit` takes them.

    Raises
    ------
    UsageError
        when labels are off the scale or too few, when groups do not fit the clips, or
        when ratings are missing or given to a criterion that does not read them.
    ValueError
        when weights are negative, not finite or of another length.
    """
    check_labels(labels, config.bins)
    scores = labels.to_numpy()
    weights = _check_sample_weight(
        sample_weight, scores, dtype=np.float64, ensure_non_negative=True
    )

    train, validation = _inner_split(
        systems, labels, weights, fraction=config.inner_validation, groups=groups
    )

    # Validation clips are not learnt from, so their ratings do not count as enough.
    train_ids = [ids[row] for row in train]
    _check_ratings_fit(config, ratings, labels.columns, train_ids=train_ids)

    rating_histograms = None
    if ratings is not None:
        of_aspects = [
            histograms(ratings, ids, aspect, bins=config.bins)
            for aspect in labels.columns
        ]
        rating_histograms = np.stack(of_aspects, 1)

    return TrainingData(
        ids=ids,
        scores=scores,
        weights=weights,
        train=train,
        validation=validation,
        histograms=rating_histograms,
    )


def _inner_split(
    systems: Sequence[str],
    labels: pd.DataFrame,
    weights: np.ndarray,
    fraction: float,
    groups: Sequence[object] | None,
) -> tuple[list[int], list[int]]:
    """Split the rows that have a label and a weight into training and selection.

    With a fraction of 0 all of them are trained on.
    """
    # A clip of weight 0 could as well be absent.
    scores = labels.to_numpy()
    usable = np.isfinite(scores).any(1) & (weights > 0)
    rows = np.flatnonzero(usable)
    if len(rows) < FEWEST_LABELLED:
        raise UsageError(
            f"Training needs at least {FEWEST_LABELLED} labelled clips; got "
            f"{len(rows)}."
        )
    # Groups are given for all clips, and checked before they are looked up by row.
    if groups is not None and len(groups) != len(scores):
        raise UsageError(f"There are {len(scores)} clips but {len(groups)} groups.")

    held_out = np.zeros(len(rows), dtype=bool)
    if fraction > 0:
        group_names = None
        if groups is not None:
            all_groups = list(groups)
            group_names = [str(all_groups[row]) for row in rows]
        # The seed is fixed: models of other seeds are selected on the same clips.
        held_out = stratified_holdout(
            [systems[row] for row in rows.tolist()],
            mean_label(scores[rows]),
            fraction,
            seed=0,
            groups=group_names,
        )
        if held_out.all() or not held_out.any():
            raise UsageError(
                "All clips are of one group; the inner split needs at least 2."
            )

    # An aspect that only few clips are rated for may have lost them all.
    train = rows[~held_out]
    for aspect in labels:
        if not np.isfinite(labels[aspect].to_numpy()[train]).any():
            raise UsageError(
                f"Aspect '{aspect}' has too few labels: with {held_out.sum()} of "
                f"{len(rows)} clips held out to select on, none is left to train on. "
                "Label more clips, or leave the aspect out."
            )
    return train.tolist(), rows[held_out].tolist()


def _check_ratings_fit(
    config: BaseConfig,
    ratings: pd.DataFrame | None,
    aspects: Sequence[str],
    train_ids: Sequence[str],
) -> None:
    """Refuse single ratings that the criterion does not read, or their absence."""
    criterion = config.criterion
    if not config.reads_ratings:
        if ratings is not None:
            raise UsageError(
                f"The criterion '{criterion}' learns from means; it would not read the "
                "ratings."
            )
        return
    if ratings is None:
        raise UsageError(
            f"The criterion '{criterion}' learns from single ratings; pass them as "
            "ratings."
        )

    check_ratings(ratings, aspects, config.bins)
    of_training_clips = ratings["clip_id"].isin(train_ids)
    for aspect in aspects:
        if not ratings.loc[of_training_clips, aspect].notna().any():
            raise UsageError(
                f"No training clip has a single rating of '{aspect}', from which the "
                f"criterion '{criterion}' learns. Give such ratings, or use a "
                "criterion that learns from means."
            )
