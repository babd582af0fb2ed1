"""Clips that come back under another name, told by what the base models predict.

Where no audio is at hand, a dev clip that is listed again as a test clip has the
predictions of the dev clip, by every base model and to the last digit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from scipy.stats import poisson

from base_models.clips.check import score_step
from base_models.predictions import PredictionTable

# Chance that as many rows would be equal by accident, above which nothing is said.
_ALPHA = 1e-3
# Scores that differ by less are equal: sums of another order move the last bits.
_ROUNDING = 1e-4


def equal_predictions(
    fitted: Sequence[PredictionTable],
    fitted_ids: Sequence[str],
    judging: Sequence[PredictionTable],
    judging_ids: Sequence[str],
) -> dict[str, str]:
    """Judging clips whose predictions are those of a fitted clip, by all base models.

    Coarse or few predictions are equal by accident. How many pairs would be is
    reckoned from how finely the predictions spread, as a Gaussian of their covariance,
    and from the equal pairs among the fitted or among the judging clips themselves.

    Parameters
    ----------
    fitted, judging : one table per base model; those of the same names are compared
    fitted_ids, judging_ids : clips that all of these tables predict; a clip that one of
        them lacks is passed over

    Returns
    -------
    equal : judging clip to the first such fitted clip; empty where so many may be equal
        by accident
    """
    by_name = {table.model: table for table in judging}
    pairs = [
        (table, by_name[table.model]) for table in fitted if table.model in by_name
    ]
    if not pairs:
        return {}
    ids_fitted, scores_fitted = _score_matrix([own for own, _ in pairs], fitted_ids)
    ids_judging, scores_judging = _score_matrix(
        [other for _, other in pairs], judging_ids
    )
    if not ids_fitted or not ids_judging:
        return {}

    both = np.concatenate([scores_fitted, scores_judging])
    steps = np.array([_step(column) for column in both.T])
    keys_fitted = _keys(scores_fitted, steps)
    keys_judging = _keys(scores_judging, steps)
    clip_of_key: dict[bytes, str] = {}
    for key, clip in zip(keys_fitted, ids_fitted, strict=True):
        clip_of_key.setdefault(key, clip)
    equal = {
        clip: clip_of_key[key]
        for key, clip in zip(keys_judging, ids_judging, strict=True)
        if key in clip_of_key and clip != clip_of_key[key]
    }
    share = max(_chance_of_equal(both / steps), _equal_share(keys_fitted, keys_judging))
    expected = share * len(ids_fitted) * len(ids_judging)
    # With as many by accident, none of them says anything.
    if not equal or poisson.sf(len(equal) - 1, expected) > _ALPHA:
        return {}
    return equal


def _score_matrix(
    tables: Sequence[PredictionTable], clip_ids: Sequence[str]
) -> tuple[list[str], np.ndarray]:
    """Ids that every table predicts, and their scores, shape (n, tables x aspects)."""
    held = set(clip_ids).intersection(*(table.clip_ids for table in tables))
    ids = [clip for clip in clip_ids if clip in held]
    if not ids:
        return [], np.zeros((0, 0))
    return ids, np.hstack([table.take(ids).scores for table in tables])


def _step(scores: np.ndarray) -> float:
    """Distance of the values that the scores take."""
    return max(score_step(scores) or 0.0, _ROUNDING)


def _keys(scores: np.ndarray, steps: np.ndarray) -> list[bytes]:
    """One value per row, equal for equal scores."""
    rounded = np.round(scores / steps).astype(np.int64)
    return [row.tobytes() for row in rounded]


def _chance_of_equal(scores: np.ndarray) -> float:
    """Chance that two clips have equal scores, given in steps, shape (n, columns).

    Two draws from a Gaussian fall into one cell of side 1 with the chance
    1 / (2 √π sd) per principal direction, where its standard deviation exceeds a cell.
    """
    centred = scores - scores.mean(axis=0)
    deviations = np.linalg.svd(centred, compute_uv=False) / np.sqrt(len(scores))
    per_direction = 1 / (2 * np.sqrt(np.pi) * np.maximum(deviations, 1e-9))
    return float(np.prod(np.minimum(per_direction, 1.0)))


def _equal_share(*groups: Sequence[bytes]) -> float:
    """Share of equal pairs among the pairs within each of some groups of rows."""
    n_equal = 0
    n_pairs = 0
    for keys in groups:
        n_pairs += len(keys) * (len(keys) - 1) // 2
        n_equal += sum(n * (n - 1) // 2 for n in Counter(keys).values())
    return n_equal / n_pairs if n_pairs else 0.0
