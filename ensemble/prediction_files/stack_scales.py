"""The scales of a stack: of its own bins, of its labels, and of its predictors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from base_models.errors import some
from base_models.scales import LabelScales, Scale
from ensemble.prediction_files.predictor_scales import (
    DECLARED,
    OF_BINS,
    OF_LABELS,
    PredictorScale,
)


@dataclass(frozen=True)
class StackScales:
    """The scales of what goes into a stack and of what comes out of it.

    Inside, a stack has one scale, that of its bins. Labels are mapped onto it where
    they are read, and scores back where they are written.

    Parameters
    ----------
    inner : the stack's own scale
    labels : aspect to the scale of its labels, where that is another
    predictors : model to aspect to the scale of its scores, where they are known
    """

    inner: Scale
    labels: Mapping[str, Scale] = field(default_factory=dict)
    predictors: Mapping[str, Mapping[str, PredictorScale]] = field(default_factory=dict)

    def of_labels(self, aspect: str) -> Scale:
        """The scale of an aspect's labels and of the scores that are written."""
        return self.labels.get(aspect, self.inner)

    def of_scores(self, aspects: Sequence[str]) -> dict[str, Scale]:
        """The scale on which the scores of each aspect are written."""
        return {aspect: self.of_labels(aspect) for aspect in aspects}

    def with_labels(self, declared: LabelScales, aspects: Sequence[str]) -> StackScales:
        """The same stack, for labels on the scales that are declared for them.

        Raises
        ------
        UsageError
            when a scale is declared for an aspect that the stack does not predict.
        """
        declared.check_aspects(aspects)
        own = {
            aspect: declared.of(aspect) or self.of_labels(aspect) for aspect in aspects
        }
        return replace(self, labels=own)

    def for_models(self, models: Sequence[str], aspects: Sequence[str]) -> StackScales:
        """The same, where a model whose scale is not known has that of the labels.

        What a stack was fitted on stays so for new clips, whatever their columns are
        called.
        """
        predictors = {
            model: {
                aspect: PredictorScale(self.of_labels(aspect)) for aspect in aspects
            }
            for model in models
        }
        # What is known of a model stays.
        return replace(self, predictors={**predictors, **self.predictors})

    def columns_of_fit(self, aspects: Sequence[str]) -> dict[str, list[str]]:
        """Model to the column of each aspect that the fit read, where it is known."""
        columns_of = {
            model: [of_model[aspect].column for aspect in aspects if aspect in of_model]
            for model, of_model in self.predictors.items()
        }
        # A model that lacks the column of one aspect cannot be read again by columns.
        return {
            model: columns
            for model, columns in columns_of.items()
            if len(columns) == len(aspects) and all(columns)
        }

    def to_labels(self, scores: np.ndarray, aspect: str) -> np.ndarray:
        """Scores of the stack's own scale as scores on that of the labels."""
        return self.inner.map(scores, self.of_labels(aspect))

    def points(self, aspect: str) -> float:
        """What a point of the stack's own scale is on that of the labels."""
        return self.of_labels(aspect).width / self.inner.width

    def scores_to_labels(
        self, scores: np.ndarray, aspects: Sequence[str]
    ) -> np.ndarray:
        """The stack's scores, shape (n, aspects), on the scales of the labels."""
        columns = [
            self.to_labels(scores[:, k], aspect) for k, aspect in enumerate(aspects)
        ]
        return np.column_stack(columns) if columns else scores

    def from_labels(self, labels: pd.DataFrame) -> pd.DataFrame:
        """Labels, one column per aspect, on the stack's own scale."""
        mapped = labels.copy()
        for aspect in labels.columns:
            if aspect in self.labels:
                values = labels[aspect].to_numpy(np.float64)
                mapped[aspect] = self.labels[aspect].map(values, self.inner)
        return mapped

    def scored_table(
        self, scored: pd.DataFrame, aspects: Sequence[str]
    ) -> pd.DataFrame:
        """A table of scores, their intervals and deviations on the labels' scales.

        Parameters
        ----------
        scored : DataFrame with columns of `meta.score_columns.score_columns`, and
            perhaps ``<aspect>_true``, the labels
        aspects : names of the scored aspects
        """
        mapped = scored.copy()
        for aspect in self.labels:
            if aspect not in aspects:
                continue
            for suffix in ("", "_low", "_high", "_true"):
                name = f"{aspect}{suffix}"
                if name in scored:
                    mapped[name] = self.to_labels(scored[name].to_numpy(float), aspect)
            if f"{aspect}_sd" in scored:
                # A deviation is a length, and has no place on the scale.
                mapped[f"{aspect}_sd"] = scored[f"{aspect}_sd"] * self.points(aspect)
        return mapped

    @property
    def decides(self) -> bool:
        """Whether anything is mapped, so that the scales decide what is written."""
        mapped = [
            known.scale != self.of_labels(aspect)
            for of_model in self.predictors.values()
            for aspect, known in of_model.items()
        ]
        return bool(self.labels) or any(mapped)

    def note(self, aspects: Sequence[str]) -> str:
        """What people must know about the scales of the labels; "" if nothing."""
        known = {aspect: self.of_labels(aspect) for aspect in aspects}
        if set(known.values()) <= {Scale(1, 5)}:
            return ""
        listed = ", ".join(f"{aspect} {scale}" for aspect, scale in known.items())
        return f"labels, and the scores that are written, are on: {listed}"

    def predictor_notes(self) -> list[str]:
        """Which scales were taken for which base models, where there was a choice."""
        named: dict[str, list[str]] = {}
        for model, of_model in self.predictors.items():
            for aspect, known in of_model.items():
                onto = self.of_labels(aspect)
                name = model if len(of_model) == 1 else f"{model} ({aspect})"
                # What is on the scale of the labels needs no word, unless that is a
                # guess that somebody with labels on 0..100 should check.
                if known.scale != onto:
                    why = known.why
                    if why not in (DECLARED, OF_BINS, OF_LABELS):
                        why = f"known from its columns as {why}"
                    note = f"scores on {known.scale} ({why}), mapped onto {onto}"
                elif known.why == OF_LABELS and onto != Scale(1, 5):
                    note = f"scores taken to be on the scale of the labels, {onto}"
                else:
                    continue
                named.setdefault(note, []).append(name)
        return [f"{note}: {some(names, 10)}" for note, names in named.items()]

    def sentences(self, aspects: Sequence[str]) -> list[str]:
        """All that a report says of the scales."""
        found = self.predictor_notes()
        note = self.note(aspects)
        if note:
            found.insert(0, note)
        # Tables of a report hold errors and differences, not scores alone.
        if self.labels:
            found.append(
                f"numbers of this report are in points of {self.inner}, onto which "
                f"{', '.join(self.labels)} is mapped"
            )
        return found

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return {
            "inner": self.inner.to_json(),
            "labels": {name: scale.to_json() for name, scale in self.labels.items()},
            "predictors": {
                model: {aspect: known.to_json() for aspect, known in scales.items()}
                for model, scales in self.predictors.items()
            },
        }

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> StackScales:
        """What `to_json` wrote.

        Raises
        ------
        KeyError, TypeError, ValueError
            when `facts` are not of this form.
        """
        return cls(
            Scale(*facts["inner"]),
            {name: Scale(*ends) for name, ends in facts["labels"].items()},
            {
                model: {
                    aspect: PredictorScale.from_json(known)
                    for aspect, known in scales.items()
                }
                for model, scales in facts["predictors"].items()
            },
        )
