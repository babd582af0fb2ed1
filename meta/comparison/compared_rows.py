"""ComparedRows: labelled rows with scores of a stack, its base models and their mean.

Leaderboards and verdicts are made from these. The rows on which the best base model is
chosen and those on which it is compared are two objects, so that no model is chosen on
the rows that judge it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from base_models.errors import UsageError, some
from base_models.metrics.evaluate import evaluate_models
from base_models.predictions import PredictionTable
from meta.columns.feature_table import feature_array, layout_of
from meta.columns.missing_predictions import fill_missing, present_models
from meta.comparison.constant_predictions import is_constant
from meta.comparison.verdict import Verdict, best_bases, verdict
from meta.rows import Rows, id_order

STACK = "stack"
MEAN = "mean"
CONSTANT = "constant"
"""Names of the rows of a leaderboard that are not base models. The constant is the mean
label of the rows of the fit, predicted for every clip."""
NOT_BASES = (STACK, MEAN, CONSTANT)
PRESENT_SHARE = 0.9
"""A base model can be the best one where it predicts at least this share of the clips
itself: below, the mean of the others, which stands in for it, would be judged under its
name."""


@dataclass(frozen=True, eq=False)
class ComparedRows:
    """n rows, scored by m base models and, possibly, by a stack.

    Parameters
    ----------
    rows : the labelled clips
    models : names of the base models
    base_scores : float64 array of shape (n, aspects, m), decoded scores; where a model
        has no prediction, the mean distribution of the others is decoded
    present : bool array of shape (n, aspects, m), whether the model itself predicts
    stack_scores : float64 array of shape (n, aspects), or None
    constant : float64 array of shape (aspects,), the mean label of the rows of the fit,
        or None
    """

    rows: Rows
    models: tuple[str, ...]
    base_scores: np.ndarray
    present: np.ndarray
    stack_scores: np.ndarray | None = None
    constant: np.ndarray | None = None

    @classmethod
    def of(
        cls,
        tables: Sequence[PredictionTable],
        rows: Rows,
        stack_scores: np.ndarray | None = None,
        constant: np.ndarray | None = None,
    ) -> ComparedRows:
        """Decode what every table predicts for the rows.

        Parameters
        ----------
        tables : predictions of the base models
        rows : the labelled clips
        stack_scores, constant : see `ComparedRows`

        Raises
        ------
        UsageError
            when a base model is itself called ``"stack"``, ``"mean"`` or
            ``"constant"``, or no model predicts a clip.
        """
        # These names are rows of every board, and would hide the model.
        layout = layout_of(tables)
        taken = sorted(set(NOT_BASES) & set(layout.models))
        if taken:
            raise UsageError(
                f"A base model is called {some(taken)}, which names a row of its own; "
                "rename the model."
            )

        # A model without a prediction is filled from the others, and noted as absent.
        base_scores = []
        present = []
        for aspect in rows.aspects:
            features = feature_array(tables, aspect, rows.ids.tolist(), gaps=True)
            present.append(present_models(layout, features))
            base_scores.append(layout.scores(fill_missing(layout, features, "pool")))

        if stack_scores is not None:
            stack_scores = np.asarray(stack_scores, dtype=np.float64)
        return cls(
            rows=rows,
            models=layout.models,
            base_scores=np.stack(base_scores, axis=1),
            present=np.stack(present, axis=1),
            stack_scores=stack_scores,
            constant=constant,
        )

    @property
    def mean_scores(self) -> np.ndarray:
        """Plain mean of the base models that predict a clip, shape (n, aspects)."""
        return np.average(self.base_scores, axis=2, weights=self.present)

    def board(self, n_bootstrap: int = 1000, seed: int = 0) -> pd.DataFrame:
        """Leaderboard of the stack, the mean, and each model on the clips it predicts.

        Parameters
        ----------
        n_bootstrap, seed : see `base_models.metrics.evaluate.evaluate`; one seed
            resamples the same systems for every model

        Returns
        -------
        leaderboard : DataFrame with the columns model, aspect, level, metric, value,
            low, high, n, in the order ``"stack"``, ``"mean"``, ``"constant"`` where it
            is known, base models. It does not depend on the order of the rows
        """
        ordered = self.in_id_order()
        labels = ordered.rows.labels

        # Each base model is measured on the clips that it predicts itself.
        compared = {}
        if ordered.stack_scores is not None:
            compared[STACK] = (ordered.stack_scores, labels)
        compared[MEAN] = (ordered.mean_scores, labels)
        if ordered.constant is not None:
            compared[CONSTANT] = _constant_scores(ordered.constant, labels)
        for k, model in enumerate(ordered.models):
            own_labels = np.where(ordered.present[:, :, k], labels, np.nan)
            compared[model] = (ordered.base_scores[:, :, k], own_labels)
        return leaderboard(compared, ordered.rows, n_bootstrap=n_bootstrap, seed=seed)

    def constant_models(self) -> dict[str, list[str]]:
        """Per aspect, the base models that predict nearly the same for every clip."""
        constant: dict[str, list[str]] = {}
        for k, aspect in enumerate(self.rows.aspects):
            for m, model in enumerate(self.models):
                own_labels = np.where(
                    self.present[:, k, m], self.rows.labels[:, k], np.nan
                )
                if is_constant(self.base_scores[:, k, m], own_labels):
                    constant.setdefault(aspect, []).append(model)
        return constant

    def verdict(self, chosen_on: ComparedRows) -> Verdict:
        """Whether the stack beats the best base model, the mean and the constant.

        Parameters
        ----------
        chosen_on : other rows, on which the best base model of each aspect is chosen.
            It is one of those that predict at least `PRESENT_SHARE` of the labelled
            clips both here and there; any model, where none does

        Raises
        ------
        UsageError
            when these rows have no scores of a stack.
        """
        here = self.in_id_order()
        if here.stack_scores is None:
            raise UsageError(
                "A verdict needs the scores of a stack; these rows have only those of "
                "base models."
            )
        there = chosen_on.in_id_order()
        scores_there = there._scores_by_model()

        # The best model may differ by aspect, level and metric.
        best: dict[tuple[str, ...], str] = {}
        for k, aspect in enumerate(here.rows.aspects):
            share_here = here._present_share(k)
            share_there = there._present_share(k)
            able = [
                model
                for model in scores_there
                if min(share_here[model], share_there[model]) >= PRESENT_SHARE
            ]
            rivals = {
                model: scores_there[model][:, [k]] for model in able or scores_there
            }
            aspect_rows = replace(
                there.rows, labels=there.rows.labels[:, [k]], aspects=(aspect,)
            )
            best |= best_bases(aspect_rows, rivals)

        return verdict(
            here.rows,
            here.stack_scores,
            here._scores_by_model(),
            best=best,
            constant=here.constant,
        )

    def in_id_order(self) -> ComparedRows:
        """The same rows in the order of their ids, see `Rows.in_id_order`."""
        order = id_order(self.rows.ids)
        stack_scores = self.stack_scores
        return replace(
            self,
            rows=self.rows.take(order),
            base_scores=self.base_scores[order],
            present=self.present[order],
            stack_scores=None if stack_scores is None else stack_scores[order],
        )

    def _present_share(self, aspect: int) -> dict[str, float]:
        """Share of the labelled clips of one aspect that each model predicts itself."""
        # Without a labelled clip every share is 0, not a division by zero.
        labelled = ~np.isnan(self.rows.labels[:, aspect])
        present = self.present[labelled, aspect]
        shares = present.sum(axis=0) / max(len(present), 1)
        return dict(zip(self.models, shares, strict=True))

    def _scores_by_model(self) -> dict[str, np.ndarray]:
        return {model: self.base_scores[:, :, k] for k, model in enumerate(self.models)}


def _constant_scores(
    constant: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Scores of a constant, and the labels of the aspects in which there is one."""
    known = np.isfinite(constant)
    scores = np.tile(np.where(known, constant, 0.0), (len(labels), 1))
    return scores, np.where(known, labels, np.nan)


def leaderboard(
    compared: Mapping[str, tuple[np.ndarray, np.ndarray]],
    rows: Rows,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """`evaluate` for several models of the same rows, named in a first column.

    Parameters
    ----------
    compared : name to scores and labels, both of shape (n, aspects)
    rows : the n rows; their labels are not looked at
    n_bootstrap, seed : see `base_models.metrics.evaluate.evaluate`

    Returns
    -------
    leaderboard : DataFrame, see `ComparedRows.board`
    """
    # Models with the same labels share their resamples and the ranks of the labels.
    models_of: dict[bytes, list[str]] = {}
    for model, (_, labels) in compared.items():
        models_of.setdefault(labels.tobytes(), []).append(model)

    tables: dict[str, pd.DataFrame] = {}
    for models in models_of.values():
        _, labels = compared[models[0]]
        found = evaluate_models(
            labels,
            [compared[model][0] for model in models],
            rows.systems,
            rows.aspects,
            n_bootstrap=n_bootstrap,
            seed=seed,
            prompt_ids=rows.prompts,
        )
        tables |= dict(zip(models, found, strict=True))

    parts = []
    for model in compared:
        part = tables[model]
        part.insert(0, "model", model)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)
