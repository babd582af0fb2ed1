"""Which clips a stored stack has learnt from, its base models included."""

from __future__ import annotations

from pathlib import Path

from base_models.files import Artifact
from ensemble.estimator.base_model_files import stored_table
from ensemble.estimator.save_and_load import read_stack, scales_of
from ensemble.rate_less import SeenClips


def seen_clips(folder: Path | str) -> SeenClips:
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
    by_bases: set[str] = set()
    for name in facts["bases"]:
        by_bases |= _seen_by_base(artifact, name)
    # Where a base model has seen a clip too, no learner is without it.
    unseen = regressor.out_of_fold_
    unseen = unseen[~unseen.index.isin(by_bases)]
    return SeenClips(
        clips=frozenset(regressor.fitted_on_) | by_bases,
        out_of_fold=scales_of(facts, regressor).scored_table(
            unseen, regressor.aspects_
        ),
    )


def _seen_by_base(artifact: Artifact, name: str) -> frozenset[str]:
    table = stored_table(artifact, name)
    if table is not None:
        return table.trained_on | table.selected_on
    config = f"base/{name}/config.json"
    # Estimators of other libraries do not say what they were fitted on.
    if config not in artifact.names:
        return frozenset()
    facts = artifact.json(config)
    return frozenset((*facts.get("trained_on", ()), *facts.get("selected_on", ())))
