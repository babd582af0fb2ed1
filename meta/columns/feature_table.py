"""Prediction tables side by side: the one place where base models become the columns of a meta table.

The trap: a clip whose label a base model has seen looks better predicted there than it ever will be again, and a
learner fitted on it trusts that model too much. `refuse_leaks` is the gate. A missing prediction is an error, never a
row of zeros.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from base_models.bins import ScoreBins
from base_models.errors import DamagedArtifact, UsageError, some
from base_models.predictions import PredictionTable
from meta.splits.leak_audit import audit


@dataclass(frozen=True)
class Layout:
    """What the columns of a feature array are: one block of `bins.count` probabilities per model.

    Parameters
    ----------
    models : names of the base models, in column order
    sigmas : kernel width with which each model's distributions are decoded, in score points; 0 for none
    bins : the scale that all share
    """

    models: tuple[str, ...]
    sigmas: tuple[float, ...]
    bins: ScoreBins

    @property
    def n_features(self) -> int:
        """Number of columns: models × bins."""
        return len(self.models) * self.bins.count

    def blocks(self, X) -> np.ndarray:
        """Features as distributions: (n, models·bins) to (n, models, bins)."""
        return np.asarray(X).reshape(len(X), len(self.models), self.bins.count)

    def scores(self, X) -> np.ndarray:
        """Decoded score of each model: (n, models·bins) to (n, models)."""
        blocks, sigmas = self.blocks(X), np.array(self.sigmas)
        scores = np.empty(blocks.shape[:2])
        for sigma in np.unique(
            sigmas
        ):  # a decoding costs a grid of softened scores, whatever it decodes
            scores[:, sigmas == sigma] = self.bins.decode(
                blocks[:, sigmas == sigma], sigma
            )
        return scores

    def align(
        self, tables: Sequence[PredictionTable], gaps: bool = False
    ) -> list[PredictionTable]:
        """The tables of this layout's models, in its order; other tables are left out.

        With `gaps`, a model that is not there is a table of no clips.

        Raises
        ------
        UsageError
            when a model is missing (without `gaps`), or its scale or kernel width is not that of this layout.
        """
        found = {table.model: table for table in _checked(tables)}
        missing = [model for model in self.models if model not in found]
        if gaps and found:
            found = {
                table.model: table
                for table in self.empty(next(iter(found.values())).aspects)
            } | found
        elif missing:
            raise UsageError(
                f"The stack was fitted with {some(missing)}, which {'is' if len(missing) == 1 else 'are'} missing here "
                f"(given: {some(found)}). Predict with the missing model too, or refit the stack without it."
            )
        aligned = [found[model] for model in self.models]
        for table, sigma in zip(aligned, self.sigmas, strict=True):
            if table.bins != self.bins or table.sigma != sigma:
                raise UsageError(
                    f"'{table.model}' now predicts on {table.bins} with sigma {table.sigma}; the stack was fitted on "
                    f"{self.bins} with sigma {sigma}. Use the model that the stack was fitted with, or refit."
                )
        return aligned

    def empty(self, aspects: Sequence[str]) -> list[PredictionTable]:
        """A table of no clips for each model."""
        none = np.zeros((0, len(aspects), self.bins.count))
        pairs = zip(self.models, self.sigmas, strict=True)
        return [
            PredictionTable(model, (), tuple(aspects), none, self.bins, sigma)
            for model, sigma in pairs
        ]

    def to_json(self) -> dict[str, Any]:
        """Facts that `from_json` reads back."""
        return {
            "models": list(self.models),
            "sigmas": list(self.sigmas),
            "bins": asdict(self.bins),
        }

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> Layout:
        """A layout from its facts; DamagedArtifact when they do not fit together."""
        try:
            models, sigmas = (
                tuple(facts["models"]),
                tuple(float(sigma) for sigma in facts["sigmas"]),
            )
            layout = cls(models, sigmas, ScoreBins(**facts["bins"]))
            well = len(models) == len(sigmas) == len(set(models)) > 0 and all(
                isinstance(name, str) for name in models
            )
            if not well or not all(0 <= sigma < np.inf for sigma in sigmas):
                raise ValueError("models and sigmas disagree")
            return layout
        except (KeyError, TypeError, ValueError) as error:
            raise DamagedArtifact(
                f"The stack's list of base models is damaged ({error})."
            ) from error


def layout_of(tables: Sequence[PredictionTable]) -> Layout:
    """The layout of some tables, checked as in `feature_table`."""
    tables = _checked(tables)
    return Layout(
        tuple(t.model for t in tables),
        tuple(float(t.sigma) for t in tables),
        tables[0].bins,
    )


def _checked(tables: Sequence[PredictionTable]) -> list[PredictionTable]:
    tables = list(tables)
    if not tables:
        raise UsageError(
            "A stack needs predictions of at least one base model; got none."
        )
    names = [table.model for table in tables]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(
            f"Model {some(twice)} is given more than once; each base model needs its own name."
        )
    for table in tables[1:]:
        if table.bins != tables[0].bins:
            raise UsageError(
                f"'{table.model}' predicts on {table.bins}, '{names[0]}' on {tables[0].bins}; "
                "a stack needs one scale. Predict again with the same bins."
            )
    return tables


def feature_array(
    tables: Sequence[PredictionTable],
    aspect: str,
    clip_ids: Sequence[str] | None = None,
    gaps: bool = False,
) -> np.ndarray:
    """`feature_table` without names: float64 array of shape (n, models·bins).

    With `gaps`, a clip that a model has no prediction for is a block of NaN there instead of an error.
    """
    tables = _checked(tables)
    clip_ids = tables[0].clip_ids if clip_ids is None else list(clip_ids)
    if gaps:
        return np.concatenate(
            [_with_gaps(table, aspect, clip_ids) for table in tables], axis=1
        )
    return np.concatenate([table.take(clip_ids).of(aspect) for table in tables], axis=1)


def _with_gaps(
    table: PredictionTable, aspect: str, clip_ids: Sequence[str]
) -> np.ndarray:
    row = {clip: i for i, clip in enumerate(table.clip_ids)}
    rows = np.array([row.get(clip, -1) for clip in clip_ids], dtype=np.int64)
    block = np.full((len(rows), table.bins.count), np.nan)
    block[rows >= 0] = table.of(aspect)[rows[rows >= 0]]
    return block


def feature_table(
    tables: Sequence[PredictionTable],
    aspect: str,
    clip_ids: Sequence[str] | None = None,
    gaps: bool = False,
) -> pd.DataFrame:
    """Distributions of all models side by side (DORA-MOS, section III.D): one row per clip, named columns.

    Parameters
    ----------
    tables : predictions, one table per base model
    aspect : the rated quality
    clip_ids : n ids, the row order; None takes that of the first table
    gaps : whether a clip that a model has no prediction for is NaN there; otherwise it is an error

    Returns
    -------
    features : float64 DataFrame of shape (n, models·bins), index ``clip_id``, columns such as ``mi__dora_s0__b07``

    Raises
    ------
    UsageError
        when no table is given, a model is given twice or two share a column name, scales differ, or a model has no
        prediction for a clip or the aspect.
    """
    tables = _checked(tables)
    clip_ids = tables[0].clip_ids if clip_ids is None else list(clip_ids)
    prefixes = [_plain(f"{aspect}__{table.model}") for table in tables]
    if len(set(prefixes)) < len(prefixes):
        same = [
            t.model
            for t, prefix in zip(tables, prefixes, strict=True)
            if prefixes.count(prefix) > 1
        ]
        raise UsageError(
            f"Models {some(same)} would share column names; rename one (only letters and digits count)."
        )
    columns = [
        f"{prefix}__b{k:02d}"
        for prefix in prefixes
        for k in range(tables[0].bins.count)
    ]
    index = pd.Index(clip_ids, name="clip_id", dtype=object)
    return pd.DataFrame(
        feature_array(tables, aspect, clip_ids, gaps), index=index, columns=columns
    )


def _plain(name: str) -> str:
    return re.sub(r"\W", "_", name, flags=re.ASCII)


def refuse_leaks(tables: Iterable[PredictionTable], clip_ids: Iterable[str]) -> None:
    """Refuse clips whose labels a base model has seen.

    Out-of-fold predictions do not leak: such a table lists no clip that it predicts as trained on.

    Raises
    ------
    UsageError
        naming the clips and the model, for training and for selection.
    """
    audit(tables, {"meta-training": list(clip_ids)}).refuse()
