"""Labelled rows, and what a stack, each of its base models and their plain mean say of them: the material of a verdict.

The trap: the published stack was chosen over its bases on the rows it was built from, and lost to the best one on the
test set. Here the rows that chose and the rows that judge are two objects.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from base_models.errors import UsageError, some
from base_models.metrics.evaluate import evaluate
from base_models.predictions import PredictionTable
from meta.columns.feature_table import feature_array, layout_of
from meta.columns.missing_predictions import fill_missing, present_models
from meta.comparison.verdict import Verdict, best_bases, verdict
from meta.rows import id_order

STACK, MEAN = "stack", "mean"
PRESENT = 0.9
"""Share of the compared clips that a base model predicts itself, from which on it may be the best one: below, the pool
that stands in for it would be judged under its name."""


@dataclass(frozen=True, eq=False)
class Judged:
    """n rows, scored by m base models.

    Parameters
    ----------
    aspects, models : names
    clip_ids, system_ids : n names
    prompt_ids : n names, or None
    y : array of shape (n, aspects), NaN where unlabelled
    bases : array of shape (n, aspects, m), decoded scores; what a model left out is the mean of the others
    present : bool array of shape (n, aspects, m), where the model has a prediction of its own
    stack : array of shape (n, aspects), or None
    """

    aspects: tuple[str, ...]
    models: tuple[str, ...]
    clip_ids: tuple[str, ...]
    system_ids: tuple[str, ...]
    prompt_ids: tuple[str, ...] | None
    y: np.ndarray
    bases: np.ndarray
    present: np.ndarray
    stack: np.ndarray | None = None

    @classmethod
    def of(
        cls,
        tables: Sequence[PredictionTable],
        y,
        clip_ids: Sequence[str],
        system_ids: Sequence[str] | None,
        aspects: Sequence[str],
        stack=None,
        prompt_ids: Sequence[str] | None = None,
    ) -> Judged:
        """Decode what every table says of the rows; a clip that a table leaves out is filled from the others.

        Raises
        ------
        UsageError
            when a base model is itself called ``"stack"`` or ``"mean"``, or no model predicts a clip.
        """
        layout = layout_of(tables)
        taken = sorted({STACK, MEAN} & set(layout.models))
        if taken:
            raise UsageError(
                f"A base model is called {some(taken)}, which names a row of its own; rename the model."
            )
        arrays = [
            feature_array(tables, aspect, clip_ids, gaps=True) for aspect in aspects
        ]
        return cls(
            tuple(aspects),
            layout.models,
            tuple(clip_ids),
            tuple([""] * len(clip_ids) if system_ids is None else map(str, system_ids)),
            None if prompt_ids is None else tuple(map(str, prompt_ids)),
            np.asarray(y, dtype=np.float64).reshape(len(clip_ids), len(aspects)),
            np.stack(
                [layout.scores(fill_missing(layout, X, "pool")) for X in arrays], axis=1
            ),
            np.stack([present_models(layout, X) for X in arrays], axis=1),
            None if stack is None else np.asarray(stack, dtype=np.float64),
        )

    @property
    def mean(self) -> np.ndarray:
        """Plain mean of the base models that are there, shape (n, aspects): what a stack has to beat."""
        return np.average(self.bases, axis=2, weights=self.present)

    def board(self, n_bootstrap: int = 1000, seed: int = 0) -> pd.DataFrame:
        """Leaderboard: ``"stack"`` first, then ``"mean"``, then the base models, each on the clips that it predicts.

        Returns
        -------
        leaderboard : DataFrame with columns model, aspect, level, metric, value, low, high, n; one seed resamples the
            same systems for every model. It does not depend on the order of the rows
        """
        rows = self.in_order()
        shown = ({} if rows.stack is None else {STACK: (rows.stack, rows.y)}) | {
            MEAN: (rows.mean, rows.y)
        }
        for k, model in enumerate(rows.models):
            shown[model] = (
                rows.bases[:, :, k],
                np.where(rows.present[:, :, k], rows.y, np.nan),
            )
        return leaderboard(
            shown, rows.system_ids, rows.aspects, rows.prompt_ids, n_bootstrap, seed
        )

    def verdict(self, chosen_on: Judged) -> Verdict:
        """Whether the stack beats the best base model, chosen on other rows, and the mean; see `meta.comparison.verdict`.

        The best base model of an aspect is one of those that predict at least `PRESENT` of its labelled clips both here
        and on the rows that choose; of all of them, when none does.
        """
        rows, before = self.in_order(), chosen_on.in_order()
        best, scores = {}, before._named()
        for k, aspect in enumerate(rows.aspects):
            here, there = rows._present_share(k), before._present_share(k)
            able = [
                model for model in scores if min(here[model], there[model]) >= PRESENT
            ] or list(scores)
            rivals = {model: scores[model][:, [k]] for model in able}
            best |= best_bases(rivals, before.y[:, [k]], before.system_ids, [aspect])
        return verdict(
            rows.y,
            rows.stack,
            rows._named(),
            best,
            rows.system_ids,
            rows.aspects,
            rows.prompt_ids,
        )

    def in_order(self) -> Judged:
        """The same rows, in the order of their clip ids: resamples and blocks of clips go by row number."""
        order = id_order(self.clip_ids)
        names, arrays = (
            ("clip_ids", "system_ids", "prompt_ids"),
            ("y", "bases", "present", "stack"),
        )
        there = {
            name: part
            for name in (*names, *arrays)
            if (part := getattr(self, name)) is not None
        }
        turned = {name: there[name][order] for name in arrays if name in there}
        turned |= {
            name: tuple(there[name][row] for row in order)
            for name in names
            if name in there
        }
        return replace(self, **turned)

    def _present_share(self, k: int) -> dict[str, float]:
        """Share of the labelled clips of one aspect that each model predicts itself."""
        present = self.present[~np.isnan(self.y[:, k]), k]
        return dict(
            zip(self.models, present.sum(axis=0) / max(len(present), 1), strict=True)
        )

    def _named(self) -> dict[str, np.ndarray]:
        return {model: self.bases[:, :, k] for k, model in enumerate(self.models)}


def leaderboard(
    shown: Mapping[str, tuple[np.ndarray, np.ndarray]],
    system_ids,
    aspects: Sequence[str],
    prompt_ids=None,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """`evaluate` for several models of the same rows, with the name of each in a first column ``model``.

    Parameters
    ----------
    shown : name to scores and labels, both of shape (n, aspects)
    """
    parts = []
    for model, (scores, y) in shown.items():
        part = evaluate(
            y, scores, system_ids, aspects, n_bootstrap, seed, prompt_ids=prompt_ids
        )
        part.insert(0, "model", model)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)
