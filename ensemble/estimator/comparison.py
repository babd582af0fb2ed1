"""`StackedMOS.compare`: which system is better, by the scores of its clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from base_models.errors import UsageError, some
from ensemble.compare_systems import (
    Outlook,
    Pairing,
    StackKnowledge,
    compare_data,
    data_of_frame,
)
from ensemble.estimator.input_rows import Input
from ensemble.estimator.predicting.prediction_mixin import PredictionMixin
from ensemble.estimator.prediction_inputs import Predictions
from ensemble.estimator.rows_to_predict import tables_and_ids
from ensemble.system_folders import SystemFolders, read_system_folders
from meta.comparison.systems.system_comparison import SystemComparison
from meta.score_columns import bin_columns, score_columns


class ComparisonMixin(PredictionMixin):
    """What a fitted stack says of systems."""

    def compare(
        self,
        X: Input | Predictions | Mapping[str, Path | str],
        by: str | Sequence[str] = "system_id",
        ratings: pd.DataFrame | None = None,
        level: float = 0.95,
    ) -> SystemComparison:
        """Compare systems by the scores of their clips, each with each.

        Clips of one prompt (column ``prompt``) are compared in pairs. Intervals count
        clips and prompts, and the stack's own error on systems that it was not fitted
        on, see `meta.comparison.systems.compare_systems`.

        Parameters
        ----------
        X : as in `predict`; or a frame of scores as ``predict_mos`` writes them, with
            ``<aspect>``, ``<aspect>_low`` and ``<aspect>_high`` (of 90 % intervals); or
            a dict of the names of two systems to the folders of their clips, where
            files of the same name answer the same prompt
        by : column of `X` that names the system of each row, or n names
        ratings : single ratings of some of the clips, drawn at random and not fitted
            on: ``clip_id``, perhaps ``rater_id``, and a column per aspect. Means of
            rated systems are those of the ratings, powered by the scores
        level : coverage of the intervals

        Returns
        -------
        comparison : SystemComparison
            ``comparison.differences["said"]`` has it in words.

        Raises
        ------
        UsageError
            when all rows are by one system, or some name none, or folders are not two.
        """
        pairs = None
        if isinstance(X, Mapping):
            folders = _two_folders(X)
            X = folders.clips
            pairs = folders.pairs
            by = "system_id"
        systems = _systems_of(X, by)
        frame, outlook = _scores_of(self, X)
        ids = frame["clip_id"].tolist()
        pairing = Pairing(
            systems=dict(zip(ids, systems, strict=True)),
            prompts=dict(zip(ids, pairs or _prompts_of(X, len(ids)), strict=True)),
        )
        aspects = [name for name in self.final_estimator_.aspects_ if name in frame]
        scales = self.scales_.of_scores(aspects)
        data = data_of_frame(frame, aspects, scales, pairing)
        if ratings is not None:
            known = ratings["clip_id"].isin(data.clips["clip_id"])
            if not known.any():
                raise UsageError(
                    "No rated clip is among those to compare: a rating is for "
                    f"{some(ratings['clip_id'].tolist(), 1)}. Give both the same ids."
                )
            data = replace(data, ratings=ratings[known].reset_index(drop=True))
        knowledge = StackKnowledge.of(self.final_estimator_)
        return compare_data(data, outlook, knowledge, level=level)


def _two_folders(X: Mapping[str, Path | str]) -> SystemFolders:
    """The clips in the folders of two systems."""
    if len(X) != 2:
        raise UsageError(
            f"A dict names the folders of two systems; got {len(X)}. More are compared "
            "as a clip table with the columns clip_id, audio and system_id."
        )
    return read_system_folders([str(folder) for folder in X.values()], names=list(X))


def _has(X: object, column: str) -> bool:
    return isinstance(X, pd.DataFrame) and column in X


def _systems_of(X: Input | Predictions, by: str | Sequence[str]) -> list[str]:
    """The name of the system of each row."""
    if not isinstance(by, str):
        names = [str(name) for name in by]
    elif isinstance(X, pd.DataFrame) and by in X:
        names = X[by].fillna("").astype(str).tolist()
    else:
        raise UsageError(
            f"There is no column '{by}' to tell systems apart; name one of X (by=), or "
            "give a name per row."
        )
    unnamed = [row for row, name in enumerate(names) if not name]
    if unnamed:
        raise UsageError(
            f"{len(unnamed)} rows name no system (row {unnamed[0]}); name that of all, "
            "or leave them out."
        )
    return names


def _prompts_of(X: Input | Predictions, n_rows: int) -> list[str]:
    """The prompt of each row, "" where there is none."""
    if not isinstance(X, pd.DataFrame) or "prompt" not in X:
        return [""] * n_rows
    return X["prompt"].fillna("").astype(str).tolist()


def _scores_of(
    stack: ComparisonMixin, X: Input | Predictions
) -> tuple[pd.DataFrame, Outlook]:
    """A frame of scores with intervals, and distributions around them."""
    aspects = list(stack.final_estimator_.aspects_)
    scored = [name for name in aspects if _has(X, name) and _has(X, f"{name}_low")]
    if scored:
        assert isinstance(X, pd.DataFrame)
        return X.assign(clip_id=X["clip_id"].astype(str)), Outlook()

    ids = tables_and_ids(stack, X)[1]
    columns = {"clip_id": ids}
    scores = np.asarray(stack.predict(X)).reshape(len(ids), -1)
    low, high = stack.predict_interval(X)
    values = np.stack([scores, low, high], axis=2).reshape(len(ids), -1)
    columns |= dict(zip(score_columns(aspects), values.T, strict=True))
    bins = stack.final_estimator_.layout_.bins
    distributions = stack.predict_distribution(X)
    outlook = Outlook(
        {
            aspect: pd.DataFrame(
                distributions[:, k], index=ids, columns=bin_columns(aspect, bins.count)
            )
            for k, aspect in enumerate(aspects)
        },
        stack_bins=bins,
    )
    return pd.DataFrame(columns), outlook
