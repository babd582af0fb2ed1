"""Base models of a stack as files, and back.

Neural models, prediction tables, and scikit-learn estimators of trusted types.
"""

from __future__ import annotations

from typing import Any

from base_models.files import Artifact
from base_models.predictions import PredictionTable
from ensemble.estimator.sklearn_files.estimator_files import (
    estimator_bytes,
    read_estimator,
)

TABLE = "predictions.parquet"
"""File of a base model that is a stored prediction table."""
ESTIMATOR = "estimator.skops"
"""File of a base model that is a scikit-learn estimator."""


def files_of(name: str, model: Any) -> dict[str, bytes]:
    """Files of one base model.

    Raises
    ------
    UsageError
        when it is an estimator of a type that cannot be read back safely.
    """
    if isinstance(model, PredictionTable):
        return {TABLE: model.to_bytes()}
    if hasattr(model, "to_files"):
        return model.to_files()
    data = estimator_bytes(
        model,
        f"Base model '{name}'",
        "Save its predictions as a PredictionTable instead, or leave it out.",
    )
    return {ESTIMATOR: data}


def base_model_from(artifact: Artifact, name: str, **overrides: Any) -> Any:
    """A base model from the files that `files_of` gave.

    Parameters
    ----------
    artifact : a stack, with the files below ``base/<name>/``
    name : of the base model
    overrides : parameters of a neural model to change; others have none of them

    Raises
    ------
    UsageError
        when a stored estimator names a type that is not trusted.
    DamagedArtifact
        when a file is damaged.
    """
    table = f"base/{name}/{TABLE}"
    if table in artifact.names:
        return PredictionTable.parse(artifact.read(table), f"{artifact.folder}/{table}")
    estimator = f"base/{name}/{ESTIMATOR}"
    if estimator in artifact.names:
        return read_estimator(
            artifact.read(estimator), f"{artifact.folder}/{estimator}"
        )
    # Imported here: a stack of tables alone needs no torch.
    from base_models.training.neural_mos import NeuralMOS

    return NeuralMOS.from_artifact(artifact, f"base/{name}/", **overrides)
