"""Clips and systems of one aspect beside each other, with their resampled metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from base_models.metrics.bootstrap import (
    RESAMPLED_METRICS,
    bootstrap_counts,
    crossed,
    resample_crossed,
    resample_models,
    system_means,
)
from base_models.metrics.resampling.drawn_weights import ClusterWeights, EachOnce


@dataclass(frozen=True, eq=False)
class Level:
    """Metrics of the points of one level.

    Parameters
    ----------
    n : number of points
    values : metric to what is measured on them; NaN for fewer than 2
    resampled : metric to array of shape (resamples,); empty where nothing can be
        resampled
    units : number of systems, or of clips, that are resampled
    of_systems : whether these are systems
    """

    n: int
    values: dict[str, float]
    resampled: dict[str, np.ndarray]
    units: int
    of_systems: bool


@dataclass(frozen=True, eq=False)
class ComparedClips:
    """What is compared with a truth.

    Parameters
    ----------
    predictions : arrays of shape (n, aspects), one per model
    systems : (n,) codes
    prompts : (n,) codes
    """

    predictions: Sequence[np.ndarray]
    systems: np.ndarray
    prompts: np.ndarray

    def compare(
        self,
        truth: np.ndarray,
        column: int,
        n_bootstrap: int,
        seed: int,
    ) -> list[dict[str, Level]]:
        """Both levels of one aspect, for each model.

        Clips whose truth, of shape (n,), is NaN are left out.
        """
        # System means are over the clips with a truth alone.
        has_truth = ~np.isnan(truth)
        truth = truth[has_truth]
        predictions = [model[has_truth, column] for model in self.predictions]
        _, system = np.unique(self.systems[has_truth], return_inverse=True)
        truths = {"utterance": truth, "system": system_means(truth, system)}
        scores = [
            {"utterance": of_model, "system": system_means(of_model, system)}
            for of_model in predictions
        ]

        resampled = _resampled_levels(
            truths,
            scores,
            system,
            self.prompts[has_truth],
            n_bootstrap=n_bootstrap,
            seed=seed,
        )
        # With one system, or without any, clips are resampled.
        n_systems = len(truths["system"])
        of_systems = n_systems > 1
        values = {
            level: values_of_models(of_level, [of_model[level] for of_model in scores])
            for level, of_level in truths.items()
        }
        by_model = []
        for number, drawn in enumerate(resampled):
            levels = {
                level: Level(
                    n=len(of_level),
                    values=values[level][number],
                    resampled=drawn.get(level, {}),
                    units=n_systems if of_systems else len(truth),
                    of_systems=of_systems,
                )
                for level, of_level in truths.items()
            }
            by_model.append(levels)
        return by_model


def values_of_models(
    truth: np.ndarray, predictions: Sequence[np.ndarray]
) -> list[dict[str, float]]:
    """Every metric of each model, on the points as they are.

    Parameters
    ----------
    truth : finite array of shape (n,)
    predictions : finite arrays of shape (n,), one per model

    Returns
    -------
    values : for each model, name of the metric to its value; NaN where undefined
    """
    if len(truth) < 2:
        return [dict.fromkeys(RESAMPLED_METRICS, np.nan) for _ in predictions]
    # As a resample, for models then share the ranks of the truth.
    found = resample_models(truth, predictions, EachOnce(len(truth)))
    return [
        {metric: float(of_metric[0]) for metric, of_metric in of_model.items()}
        for of_model in found
    ]


def _resampled_levels(
    truths: Mapping[str, np.ndarray],
    scores: Sequence[Mapping[str, np.ndarray]],
    system: np.ndarray,
    prompt: np.ndarray,
    *,
    n_bootstrap: int,
    seed: int,
) -> list[dict[str, dict[str, np.ndarray]]]:
    """For each model, level to metric to resampled values.

    Levels of fewer than 2 points are left out.

    Parameters
    ----------
    truths : level to array of shape (points,)
    scores : the same for each model
    system, prompt : (n,) codes
    n_bootstrap, seed : see `evaluate`
    """
    truth = truths["utterance"]
    n_systems = len(truths["system"])
    # A single system cannot be resampled; its clips can.
    cluster = system if n_systems > 1 else np.arange(len(truth))
    # Without any labelled clip there are 0 clusters.
    n_clusters = int(cluster.max(initial=-1)) + 1
    weights = bootstrap_counts(n_clusters, n_bootstrap, seed)
    of_clips = [of_model["utterance"] for of_model in scores]
    if n_systems > 1 and crossed(system, prompt):
        return resample_crossed(
            truth,
            of_clips,
            system,
            prompt=prompt,
            weights=weights,
            seed=seed,
        )

    # A single point has no correlation, so nothing to resample.
    levels: list[dict[str, dict[str, np.ndarray]]] = [{} for _ in scores]
    if len(truth) > 1:
        drawn = ClusterWeights(weights, cluster)
        found = resample_models(truth, of_clips, drawn)
        for of_model, metrics in zip(levels, found, strict=True):
            of_model["utterance"] = metrics
    if n_systems > 1:
        drawn = ClusterWeights(weights, np.arange(n_systems))
        of_systems = [of_model["system"] for of_model in scores]
        found = resample_models(truths["system"], of_systems, drawn)
        for of_model, metrics in zip(levels, found, strict=True):
            of_model["system"] = metrics
    return levels
