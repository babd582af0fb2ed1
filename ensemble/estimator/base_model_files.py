"""Base models of a stack as files, and back: neural models and prediction tables."""

from __future__ import annotations

from typing import Any

from base_models.errors import UsageError
from base_models.files import Artifact
from base_models.predictions import PredictionTable

TABLE = "predictions.parquet"
"""File of a base model that is a stored prediction table."""


def files_of(name: str, model: Any) -> dict[str, bytes]:
    """Files of one base model.

    Raises
    ------
    UsageError
        when it is a scikit-learn estimator, which only pickle could store.
    """
    if isinstance(model, PredictionTable):
        return {TABLE: model.to_bytes()}
    if not hasattr(model, "to_files"):
        raise UsageError(
            f"Base model '{name}' is a scikit-learn estimator, which could only be "
            "stored as a pickle; save its predictions as a PredictionTable instead."
        )
    return model.to_files()


def base_model_from(artifact: Artifact, name: str, **overrides: Any) -> Any:
    """A base model from the files that `files_of` gave.

    Parameters
    ----------
    artifact : a stack, with the files below ``base/<name>/``
    name : of the base model
    overrides : parameters of a neural model to change; a table has none
    """
    table = f"base/{name}/{TABLE}"
    if table in artifact.names:
        return PredictionTable.parse(artifact.read(table), f"{artifact.folder}/{table}")
    # Imported here: a stack of tables alone needs no torch.
    from base_models.training.neural_mos import NeuralMOS

    return NeuralMOS.from_artifact(artifact, f"base/{name}/", **overrides)
