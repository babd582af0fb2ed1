"""Prediction tables side by side: where base models become columns of features.

This is the one place where predictions are joined. A base model predicts the clips
whose labels it has seen better than it will predict any other clip, so a learner fitted
on those trusts the model too much: `meta.splits.leak_audit.refuse_leaks` refuses them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from base_models.bins import ScoreBins
from base_models.errors import DamagedArtifact, UsageError, some
from base_models.predictions import PredictionTable

_ROWS_AT_A_TIME = 2048


@dataclass(frozen=True)
class Layout:
    """The columns of a feature array: a block of `bins.count` probabilities per model.

    Parameters
    ----------
    models : names of the base models, in column order
    sigmas : kernel width with which each model's distributions are decoded, in score
        points; 0 for none
    bins : the rating scale that all models share
    """

    models: tuple[str, ...]
    sigmas: tuple[float, ...]
    bins: ScoreBins

    @property
    def n_features(self) -> int:
        """Number of columns: models × bins."""
        return len(self.models) * self.bins.count

    def blocks(self, X: ArrayLike) -> np.ndarray:
        """Features as distributions: (n, models·bins) to (n, models, bins)."""
        X = np.asarray(X)
        n_models = len(self.models)
        return X.reshape(len(X), n_models, self.bins.count)

    def scores(self, X: ArrayLike) -> np.ndarray:
        """Decoded score of each model: (n, models·bins) to (n, models)."""
        blocks = self.blocks(X)
        sigmas = np.array(self.sigmas)
        scores = np.empty(blocks.shape[:2])

        # Each call of `decode` softens a whole grid of scores first, however few
        # distributions it decodes: all models of one kernel width share a call.
        for sigma in np.unique(sigmas):
            of_sigma = sigmas == sigma
            # Some rows at a time, as decoding copies them twice.
            for first in range(0, len(blocks), _ROWS_AT_A_TIME):
                rows = slice(first, first + _ROWS_AT_A_TIME)
                decoded = self.bins.decode(blocks[rows][:, of_sigma], sigma)
                scores[rows, of_sigma] = decoded
        return scores

    def align(
        self,
        tables: Sequence[PredictionTable],
        gaps: bool = False,
    ) -> list[PredictionTable]:
        """Return the tables of this layout's models, in its order.

        Parameters
        ----------
        tables : predictions; tables of other models are left out
        gaps : whether a model without a table gets a table of no clips; otherwise it
            is an error

        Raises
        ------
        UsageError
            when a model is missing (without `gaps`), or its scale or kernel width is
            not that of this layout.
        """
        tables = _check_tables(tables)
        by_model = {table.model: table for table in tables}
        missing = [model for model in self.models if model not in by_model]

        if missing and not gaps:
            verb = "is" if len(missing) == 1 else "are"
            raise UsageError(
                f"The stack was fitted with {some(missing)}, which {verb} missing here "
                f"(given: {some(by_model)}). Predict with the missing model too, or "
                "refit the stack without it."
            )
        if missing:
            for empty_table in self.empty(tables[0].aspects):
                by_model.setdefault(empty_table.model, empty_table)

        # A model that was trained anew may have kept its name.
        aligned = [by_model[model] for model in self.models]
        for table, sigma in zip(aligned, self.sigmas, strict=True):
            same_scale = table.bins == self.bins
            same_sigma = table.sigma == sigma
            if not (same_scale and same_sigma):
                raise UsageError(
                    f"'{table.model}' now predicts on {table.bins} with sigma "
                    f"{table.sigma}; the stack was fitted on {self.bins} with sigma "
                    f"{sigma}. Use the model that the stack was fitted with, or refit."
                )
        return aligned

    def empty(self, aspects: Sequence[str]) -> list[PredictionTable]:
        """Return a table of no clips for each model."""
        # Three dimensions even without clips, as checked by the table.
        no_clips = np.zeros((0, len(aspects), self.bins.count))
        return [
            PredictionTable(
                model,
                clip_ids=(),
                aspects=tuple(aspects),
                distributions=no_clips,
                bins=self.bins,
                sigma=sigma,
            )
            for model, sigma in zip(self.models, self.sigmas, strict=True)
        ]

    def to_json(self) -> dict[str, Any]:
        """Return JSON values that `from_json` reads back."""
        return {
            "models": list(self.models),
            "sigmas": list(self.sigmas),
            "bins": asdict(self.bins),
        }

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> Layout:
        """Build a layout from what `to_json` returned.

        Raises
        ------
        DamagedArtifact
            when a value is missing, or the values do not fit together.
        """
        try:
            models = tuple(facts["models"])
            sigmas = tuple(float(sigma) for sigma in facts["sigmas"])
            layout = cls(models, sigmas, ScoreBins(**facts["bins"]))

            # The JSON is well-formed, but may have been edited by hand.
            named = all(isinstance(name, str) for name in models)
            unique = len(set(models)) == len(models)
            finite = all(0 <= sigma < np.inf for sigma in sigmas)
            one_sigma_each = len(sigmas) == len(models) > 0
            if not (named and unique and finite and one_sigma_each):
                raise ValueError("models and sigmas disagree")
        except (KeyError, TypeError, ValueError) as error:
            raise DamagedArtifact(
                f"The stack's list of base models is damaged ({error})."
            ) from error
        return layout


def layout_of(tables: Sequence[PredictionTable]) -> Layout:
    """Return the layout of some tables, checked as in `feature_table`."""
    tables = _check_tables(tables)
    return Layout(
        models=tuple(table.model for table in tables),
        sigmas=tuple(float(table.sigma) for table in tables),
        bins=tables[0].bins,
    )


def _check_tables(tables: Sequence[PredictionTable]) -> list[PredictionTable]:
    """Return the tables as a list; refuse none, repeated names and several scales."""
    tables = list(tables)
    if not tables:
        raise UsageError(
            "A stack needs predictions of at least one base model; got none."
        )

    names = [table.model for table in tables]
    repeated = {name for name in names if names.count(name) > 1}
    if repeated:
        raise UsageError(
            f"Model {some(sorted(repeated))} is given more than once; each base model "
            "needs its own name."
        )

    # Bins of different scales have different centres: they cannot share a learner.
    first = tables[0]
    for table in tables[1:]:
        if table.bins != first.bins:
            raise UsageError(
                f"'{table.model}' predicts on {table.bins}, '{first.model}' on "
                f"{first.bins}; a stack needs one scale. Predict again with the same "
                "bins."
            )
    return tables


def feature_array(
    tables: Sequence[PredictionTable],
    aspect: str,
    clip_ids: Sequence[str] | None = None,
    gaps: bool = False,
) -> np.ndarray:
    """`feature_table` without names: float64 array of shape (n, models·bins).

    With `gaps`, a clip that a model has no prediction for is a block of NaN there
    instead of an error.
    """
    tables = _check_tables(tables)
    clip_ids = _row_order(tables, clip_ids)
    n_bins = tables[0].bins.count
    features = np.empty((len(clip_ids), len(tables) * n_bins))
    rows = None
    for number, table in enumerate(tables):
        # Tables mostly hold the same clips in the same order: looked up once.
        if rows is None or table.clip_ids != tables[number - 1].clip_ids:
            rows = table.place_of(clip_ids) if gaps else table.rows_of(clip_ids)
        block = features[:, number * n_bins : (number + 1) * n_bins]
        block[:] = _block(table, aspect, rows)
    return features


def _row_order(
    tables: Sequence[PredictionTable],
    clip_ids: Sequence[str] | None,
) -> list[str]:
    if clip_ids is None:
        return list(tables[0].clip_ids)
    return list(clip_ids)


def _block(table: PredictionTable, aspect: str, rows: np.ndarray) -> np.ndarray:
    """One model's distributions (n, bins) of some rows, NaN for row -1."""
    distributions = table.of(aspect)
    predicted = rows >= 0
    if predicted.all():
        return distributions[rows]

    block = np.full((len(rows), table.bins.count), np.nan)
    block[predicted] = distributions[rows[predicted]]
    return block


def feature_table(
    tables: Sequence[PredictionTable],
    aspect: str,
    clip_ids: Sequence[str] | None = None,
    gaps: bool = False,
) -> pd.DataFrame:
    """Distributions of all models side by side (DORA-MOS, section III.D).

    Parameters
    ----------
    tables : predictions, one table per base model
    aspect : the rated quality
    clip_ids : n ids, the row order; None takes that of the first table
    gaps : whether a clip that a model has no prediction for is NaN there; otherwise it
        is an error

    Returns
    -------
    features : float64 DataFrame of shape (n, models·bins), index ``clip_id``, columns
        such as ``mi__dora_s0__b07``

    Raises
    ------
    UsageError
        when no table is given, a model is given twice or two share a column name,
        scales differ, or a model has no prediction for a clip or the aspect.
    """
    tables = _check_tables(tables)
    clip_ids = _row_order(tables, clip_ids)

    # Different names may become the same identifier.
    prefixes = [_column_prefix(aspect, table.model) for table in tables]
    clashing = [
        table.model
        for table, prefix in zip(tables, prefixes, strict=True)
        if prefixes.count(prefix) > 1
    ]
    if clashing:
        raise UsageError(
            f"Models {some(clashing)} would share column names; rename one (only "
            "letters and digits count)."
        )

    # In the order of `Layout`: all bins of one model, then those of the next.
    bin_numbers = range(tables[0].bins.count)
    columns = [
        f"{prefix}__b{number:02d}" for prefix in prefixes for number in bin_numbers
    ]
    features = feature_array(tables, aspect, clip_ids, gaps=gaps)
    return pd.DataFrame(
        features,
        index=pd.Index(clip_ids, name="clip_id", dtype=object),
        columns=columns,
    )


def _column_prefix(aspect: str, model: str) -> str:
    """The names as a plain identifier: everything but letters and digits is ``_``."""
    name = f"{aspect}__{model}"
    return re.sub(r"\W", "_", name, flags=re.ASCII)
