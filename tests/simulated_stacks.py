"""Simulated tables of models' scores: good ones, and ways in which they go wrong."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CLIPS_PER_SYSTEM = 4
KINDS = (
    "equal",
    "good",
    "biased",
    "narrow",
    "wide",
    "one good",
    "two models",
    "one model",
    "many models",
    "broken",
    "opposed",
    "duplicates",
    "noise",
    "shared noise",
    "weak",
    "off the scale",
    "difference",
    "curved",
    "one rating",
    "one rating, many models",
)
"""What is the matter with a table, see `simulated`."""


@dataclass(frozen=True, eq=False)
class ScoreTable:
    """Scores of models, ratings, and systems.

    Parameters
    ----------
    scores : array of shape (n, models)
    y : array of shape (n,), the ratings
    systems : int array of shape (n,)
    """

    scores: np.ndarray
    y: np.ndarray
    systems: np.ndarray


def simulated(kind, n, *, seed=0, n_new=400):
    """A table to fit on, and one of new systems whose ratings are less noisy.

    Parameters
    ----------
    kind : one of `KINDS`
    n, n_new : clips of the two tables

    Returns
    -------
    fit, new : ScoreTable
    """
    rng = np.random.default_rng([seed, n, KINDS.index(kind)])
    total = n + n_new
    systems = np.arange(total) // CLIPS_PER_SYSTEM
    n_systems = systems[-1] + 1
    quality = 3 + 0.6 * rng.normal(size=n_systems)[systems]
    quality = np.clip(quality + 0.5 * rng.normal(size=total), 1, 5)

    # What all models get wrong together, of a system and of a clip.
    shared = 0.25 * rng.normal(size=n_systems)[systems]
    shared = shared + 0.15 * rng.normal(size=total)
    n_models = {"two models": 2, "one model": 1}.get(kind, 8)
    if "many models" in kind:
        n_models = 51
    bias = 0.0 if kind == "equal" else rng.normal(0, 0.1, n_models)
    gain = np.ones(n_models)
    noise = (
        np.full(n_models, 0.4) if kind == "equal" else rng.uniform(0.3, 0.5, n_models)
    )
    if kind == "biased":
        bias = rng.normal(0.3, 0.3, n_models)
    if kind == "narrow":
        gain = rng.uniform(0.3, 0.5, n_models)
    if kind == "wide":
        gain = rng.uniform(1.5, 2, n_models)
    if kind == "one good":
        noise = np.append(0.2, np.full(n_models - 1, 1.5))

    scores = 3 + bias + gain * (quality[:, None] - 3) + shared[:, None]
    scores = scores + noise * rng.normal(size=(total, n_models))
    scores = np.clip(_spoilt(kind, scores, quality, rng), 1, 5)

    is_one_rating = kind.startswith("one rating")
    ratings = quality + (1.0 if is_one_rating else 0.35) * rng.normal(size=total)
    steps = 1 if is_one_rating else 8
    ratings = np.clip(np.round(steps * ratings) / steps, 1, 5)
    if is_one_rating:
        ratings[n:] = quality[n:]
    return (
        ScoreTable(scores[:n], ratings[:n], systems[:n]),
        ScoreTable(scores[n:], ratings[n:], systems[n:]),
    )


def _spoilt(kind, scores, quality, rng):
    """Scores with what is the matter with them."""
    n, n_models = scores.shape
    scores = scores.copy()
    if kind == "broken":
        scores[:, 4] = 3
        scores[:, 5:] = rng.uniform(1, 5, (n, n_models - 5))
    if kind == "opposed":
        scores[:, 6:] = 6 - scores[:, 6:]
    if kind == "duplicates":
        scores[:, 4:] = scores[:, :1]
    if kind == "noise":
        scores = 3 + 0.5 * rng.normal(size=scores.shape)
    if kind == "shared noise":
        alone = 0.2 * rng.normal(size=scores.shape)
        scores = 3 + 0.5 * rng.normal(size=(n, 1)) + alone
    if kind == "weak":
        of_quality = 3 + 0.25 * (quality[:, None] - 3)
        together = 0.4 * rng.normal(size=(n, 1))
        scores = of_quality + together + 0.3 * rng.normal(size=scores.shape)
    if kind == "off the scale":
        scores = 2.2 + 0.5 * scores
    if kind == "difference":
        # The second model knows the error of the first, and nothing else.
        error = rng.normal(size=n)
        scores[:, 0] = quality + error
        scores[:, 1] = 3 + error + 0.2 * rng.normal(size=n)
    if kind == "curved":
        scores = 1 + 4 / (1 + np.exp(-2.5 * (scores - 3.3)))
    return scores
