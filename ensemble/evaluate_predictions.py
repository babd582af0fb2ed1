"""Anybody's predictions against the labels: metrics with intervals, and where single ratings are known, the ceiling of
every metric and how probable the ratings were.

The trap: labels are means of a few raters, so that no predictor reaches 1; a correlation says little without the one
that the truth itself would have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from base_models.clips.ratings import check_against_labels, read_ratings
from base_models.clips.read_clips import read_clips
from base_models.errors import UsageError
from base_models.metrics.bootstrap import crossed, prompt_codes
from base_models.metrics.evaluate import evaluate
from base_models.metrics.likelihood import likelihood
from base_models.metrics.noise_ceiling import noise_ceiling
from ensemble.prediction_files.one_tool import (
    join_predictions,
    of_split,
    read_distributions,
    read_predictions,
    remarks,
)


@dataclass(frozen=True)
class Evaluation:
    """What came out.

    Parameters
    ----------
    aspects : names
    columns : aspect to the column of the file that predicts it
    joined : labelled and predicted clips, see `join_predictions`
    metrics : see `base_models.metrics.evaluate.evaluate`
    ceiling : see `base_models.metrics.noise_ceiling.noise_ceiling`; empty without single ratings
    likely : see `base_models.metrics.likelihood.likelihood`; empty without single ratings or distributions
    not_predicted, not_labelled : ids that stand on one side only
    notes : what a reader of the metrics must know
    """

    aspects: tuple[str, ...]
    columns: dict[str, str]
    joined: pd.DataFrame
    metrics: pd.DataFrame
    ceiling: pd.DataFrame
    likely: pd.DataFrame
    not_predicted: list[str]
    not_labelled: list[str]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON values; NaN becomes null."""
        tables = {
            "metrics": self.metrics,
            "noise_ceiling": self.ceiling,
            "likelihood": self.likely,
        }
        known = {
            name: table.astype(object).where(table.notna(), None)
            for name, table in tables.items()
        }
        facts = {
            "aspects": list(self.aspects),
            "columns": self.columns,
            "clips": len(self.joined),
        }
        facts |= {
            "notes": list(self.notes),
            "not_predicted": self.not_predicted,
            "not_labelled": self.not_labelled,
        }
        return facts | {name: table.to_dict("records") for name, table in known.items()}


def evaluate_file(
    predictions: str,
    labels: str,
    aspects: Sequence[str] | None = None,
    split: str | None = None,
    ratings: str | None = None,
    rating_scale: Sequence[float] | None = None,
    n_bootstrap: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Evaluation:
    """Measure a file of predictions.

    Parameters
    ----------
    predictions : as `read_predictions` takes it
    labels : as `read_clips` takes it
    aspects : rated columns, and the order of scores in a file without a header
    split : only clips of train, dev or test
    ratings, rating_scale : single ratings, as `read_ratings` takes them
    n_bootstrap, seed, level : of the intervals, which resample systems, and prompts too where systems share them

    Raises
    ------
    UsageError
        when a file cannot be read, nothing joins, or there are no ratings of the joined clips.
    """
    clips = of_split(read_clips(labels, aspects=aspects), split)
    names, given = (
        clips.attrs["aspects"],
        read_predictions(predictions, clips.attrs["aspects"]),
    )
    joined, not_predicted, not_labelled = join_predictions(given, clips)
    truth, scores = joined[names], joined[[f"pred_{aspect}" for aspect in names]]
    systems, drawn = joined["system_id"].tolist(), (n_bootstrap, seed, level)
    metrics = evaluate(
        truth, scores, systems, names, *drawn, prompt_ids=joined["prompt"]
    )
    notes, ceiling, likely = remarks(joined, names), pd.DataFrame(), pd.DataFrame()
    if crossed(
        pd.factorize(joined["system_id"])[0],
        prompt_codes(joined["prompt"], len(joined)),
    ):
        notes.append("Systems share prompts: intervals resample both.")
    if ratings:
        single, table = (
            read_ratings(ratings, names, rating_scale),
            read_distributions(predictions),
        )
        own = single[single["clip_id"].isin(joined["clip_id"])]
        if own.empty:
            raise UsageError(
                f"{ratings} rates none of the {len(joined)} clips; give both the same ids."
            )
        check_against_labels(own, joined, names)
        named = (
            dict(zip(joined["clip_id"], systems, strict=True)) if all(systems) else None
        )
        ceiling = noise_ceiling(
            own, names, named, n_bootstrap=n_bootstrap, seed=seed, level=level
        )
        if table is None:
            notes.append(
                "The file holds scores: the probability of a rating needs distributions."
            )
        else:
            likely = likelihood(
                table.take(joined["clip_id"].tolist()),
                single,
                systems if named else None,
                *drawn,
            )
    sides = not_predicted, not_labelled, tuple(notes)
    return Evaluation(
        tuple(names), given.attrs["columns"], joined, metrics, ceiling, likely, *sides
    )


def described(rows: pd.DataFrame, split: str | None) -> str:
    """Which clips were measured, in words."""
    splits = ", ".join(
        f"{n} {name}" for name, n in rows["split"].value_counts().items() if name
    )
    which = (
        f"the split {split}"
        if split
        else f"all splits ({splits})"
        if splits
        else "the whole table"
    )
    return f"{len(rows)} labelled clips of {which}"
