"""Which clips a stored stack has learnt from, its base models included."""

from __future__ import annotations

from pathlib import Path

from base_models.files import Artifact
from base_models.predictions import PredictionTable
from ensemble.estimator.base_model_files import TABLE
from ensemble.estimator.save_and_load import read_stack


def seen_clips(folder: Path | str) -> frozenset[str]:
    """Clips whose labels the learner or a base model of a stack has seen.

    Parameters
    ----------
    folder : of a stack

    Raises
    ------
    UsageError
        when it is not a stack.
    DamagedArtifact
        when any file changed.
    """
    artifact, facts, regressor = read_stack(folder)
    seen = set(regressor.fitted_on_)
    for name in facts["bases"]:
        seen |= _seen_by_base(artifact, f"base/{name}")
    return frozenset(seen)


def _seen_by_base(artifact: Artifact, prefix: str) -> frozenset[str]:
    table = f"{prefix}/{TABLE}"
    if table in artifact.names:
        stored = PredictionTable.parse(artifact.read(table), table)
        return stored.trained_on | stored.selected_on
    config = f"{prefix}/config.json"
    # Estimators of other libraries do not say what they were fitted on.
    if config not in artifact.names:
        return frozenset()
    facts = artifact.json(config)
    return frozenset((*facts.get("trained_on", ()), *facts.get("selected_on", ())))
