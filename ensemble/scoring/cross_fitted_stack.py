"""A stack that predicts each clip by learners that had no rating of its system."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from base_models.clips.names import comparable_ids
from base_models.errors import UsageError, some
from ensemble.estimator.stacked_mos import StackedMOS
from ensemble.prediction_files.prediction_word import PredictionFile
from ensemble.rated_systems import described_clips
from meta.cross_fitted_regressor import CrossFittedRegressor


def cross_fitted(
    stack: StackedMOS, clips: pd.DataFrame
) -> tuple[StackedMOS, tuple[str, ...]]:
    """A copy of a stack that predicts with the learners of its folds.

    Parameters
    ----------
    stack : StackedMOS
        Fitted and calibrated; it stays as it is.
    clips : DataFrame of n rows
        All that it will predict: ``clip_id`` and ``system_id``, "" where a clip names
        none.

    Returns
    -------
    crossed : StackedMOS
    notes : tuple of str
        Which clips are predicted by what, for people.

    Raises
    ------
    UsageError
        When the stack keeps no such learners, or was fitted on clips that name their
        systems and these do not.
    """
    regressor = stack.final_estimator_
    systems = dict(zip(clips["clip_id"], clips["system_id"], strict=True))
    crossed = copy.copy(stack)
    crossed.final_estimator_ = CrossFittedRegressor.of(regressor, systems)

    known = [one for one in regressor.cross_fits_ if one is not None]
    fitted_on = {clip for one in known for clip in one.ids}
    fitted_systems = {system for one in known for system in one.systems} - {""}
    unnamed = [
        clip for clip, name in systems.items() if name == "" and clip not in fitted_on
    ]
    if fitted_systems and unnamed:
        raise UsageError(
            f"{len(unnamed)} clips name no system ({some(unnamed)}), so that nothing "
            "tells which learners had no rating of it; name the system of every clip "
            "(column system_id of --clips, or of --systems TABLE)."
        )
    n_known = sum(clip in fitted_on for clip in systems)
    of_known_systems = [
        clip not in fitted_on and name in fitted_systems
        for clip, name in systems.items()
    ]
    n_near = int(np.sum(of_known_systems))
    note = (
        f"cross-fitting: {n_known} clips that the stack was fitted on and {n_near} "
        "others of their systems are predicted by learners without these systems; "
        f"{len(systems) - n_known - n_near} clips of other systems by the mean of all "
        "of these learners"
    )
    if not fitted_systems:
        # Folds were of single clips, or of groups, then.
        note = (
            f"cross-fitting: {n_known} clips that the stack was fitted on are predicted"
            f" by learners without them, {len(systems) - n_known} others by the mean "
            "of all of these learners; the stack's clips named no systems to leave out"
        )
    seen = {
        clip
        for _, model in stack.estimators_
        for clip in (*_ids(model, "trained_on"), *_ids(model, "selected_on"))
    }
    n_seen = sum(clip in seen for clip in systems)
    if n_seen:
        return crossed, (
            note,
            f"base models have seen ratings of {n_seen} of the clips, which no learner "
            "above them makes good: rate_less --stack leaves these out",
        )
    return crossed, (note,)


def _ids(model: Any, use: str) -> frozenset[str]:
    """Clips that a base model was trained on or selected on, as far as it says so."""
    found: frozenset[str] = getattr(model, f"{use}_", getattr(model, use, frozenset()))
    return found


def systems_of_predictions(
    clips: pd.DataFrame, files: Sequence[str], table: str | None = None
) -> pd.DataFrame:
    """Clips of prediction files, with their systems.

    Parameters
    ----------
    clips : DataFrame of n rows
        With ``clip_id``.
    files : sequence of str
        The prediction files, of which the first may name systems.
    table : str, optional
        A clip table that names them.

    Returns
    -------
    named : DataFrame of n rows
        ``clip_id`` and ``system_id``, "" where nothing names the system.
    """
    first = PredictionFile.parse_all(files[:1])[0]
    described, _ = described_clips(clips, first.path, table)
    known, given = comparable_ids(
        described["clip_id"].tolist(), clips["clip_id"].tolist()
    )
    system_of = dict(zip(known, described["system_id"], strict=True))
    systems = [system_of.get(form, "") for form in given]
    return clips[["clip_id"]].assign(system_id=systems)
