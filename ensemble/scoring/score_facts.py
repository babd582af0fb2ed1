"""Scores and all that is known of them, as JSON has them."""

from __future__ import annotations

from typing import Any

from base_models.files import nan_to_none
from base_models.scales import Scale
from ensemble.formats import Scores


def score_facts(scores: Scores, level: float) -> dict[str, Any]:
    """Facts of scores, for ``--json`` of a command and for the server alike.

    Parameters
    ----------
    scores : Scores
    level : float
        Coverage of their intervals.
    """
    own = Scale(1, 5)
    scales = {name: scores.scales.get(name, own).to_json() for name in scores.aspects}
    return {
        "aspects": list(scores.aspects),
        "scales": scales,
        "level": level,
        "scores": nan_to_none(scores.frame),
        "left_out": list(scores.left_out),
        "without_prompt": {k: list(v) for k, v in scores.without_prompt.items()},
        "set_aside": {clip.clip_id: clip.reason for clip in scores.set_aside},
    }
