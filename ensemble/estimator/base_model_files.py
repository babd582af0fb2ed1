"""Base models of a stack as files, and back.

Models over encoders, prediction tables, and scikit-learn estimators of trusted types.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from base_models.encoders import parse_encoder
from base_models.errors import DamagedArtifact, UsageError, in_short
from base_models.file_checks.stored_config import PARAMETERS, checked_params
from base_models.files import Artifact
from base_models.pooled_config import FAMILY
from base_models.predictions import PredictionTable
from base_models.sklearn_files.estimator_files import (
    estimator_bytes,
    read_estimator,
)

ENCODERS = ("audio_encoder", "text_encoder")
"""Parameters of a base model over encoders that name its encoders."""
_OLDER_TABLE = "predictions.parquet"
"""File of a base model that is a prediction table, in stacks of earlier versions."""
ESTIMATOR = "estimator.skops"
"""File of a base model that is a scikit-learn estimator."""


def files_of(name: str, model: Any) -> dict[str, bytes]:
    """Files of one base model.

    Raises
    ------
    UsageError
        when it is an estimator of a type that cannot be read back safely.
    """
    if hasattr(model, "to_files"):
        return model.to_files()
    data = estimator_bytes(
        model,
        f"Base model '{name}'",
        "Save its predictions as a PredictionTable instead, or leave it out.",
    )
    return {ESTIMATOR: data}


def base_models_from(
    artifact: Artifact, names: Sequence[str], overrides: Mapping[str, Any]
) -> list[tuple[str, Any]]:
    """Base models from the files that `files_of` gave, as (name, model) pairs.

    Parameters
    ----------
    artifact : a stack, with the files below ``base/<name>/``
    names : of the base models
    overrides : parameters of the models over encoders to change. ``audio_encoder`` and
        ``text_encoder`` are a word ``"name=folder"`` or several, each for the models
        with that encoder

    Raises
    ------
    UsageError
        when a word is about an encoder that no base model uses.
        when a stored estimator names a type that is not trusted.
    DamagedArtifact
        when a file is damaged.
    """
    own = _own_overrides(artifact, names, overrides)
    return [(name, _base_model_from(artifact, name, own[name])) for name in names]


def stored_table(artifact: Artifact, name: str) -> PredictionTable | None:
    """The predictions that are stored as a base model, or None for any other one.

    Raises
    ------
    DamagedArtifact
        when a file is damaged.
    """
    prefix = f"base/{name}/"
    if PredictionTable.is_in(artifact, prefix):
        return PredictionTable.from_artifact(artifact, prefix)
    older = f"{prefix}{_OLDER_TABLE}"
    if older in artifact.names:
        return PredictionTable.parse(artifact.read(older), f"{artifact.folder}/{older}")
    return None


def _base_model_from(artifact: Artifact, name: str, overrides: dict[str, Any]) -> Any:
    table = stored_table(artifact, name)
    if table is not None:
        return table
    estimator = f"base/{name}/{ESTIMATOR}"
    if estimator in artifact.names:
        return read_estimator(
            artifact.read(estimator), f"{artifact.folder}/{estimator}"
        )
    prefix = f"base/{name}/"
    facts = artifact.json(f"{prefix}config.json")
    # Networks name no family; what is no mapping at all is refused as one of these.
    family = facts.get("family") if isinstance(facts, dict) else None
    if family not in (None, FAMILY):
        raise DamagedArtifact(
            f"{artifact.folder}/{prefix}config.json: 'family' is {family!r}, and this "
            f"version knows '{FAMILY}' alone; the file of a network has no such key."
        )
    # Imported here: a stack of tables alone needs no torch.
    if family == FAMILY:
        from base_models.pooled.pooled_mos import PooledMOS

        return PooledMOS.from_artifact(artifact, prefix, **overrides)
    from base_models.training.neural_mos import NeuralMOS

    return NeuralMOS.from_artifact(artifact, prefix, **overrides)


def _own_overrides(
    artifact: Artifact, names: Sequence[str], overrides: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """The overrides of each base model, with the words about its own encoders."""
    for_all = {key: value for key, value in overrides.items() if key not in ENCODERS}
    own = {name: dict(for_all) for name in names}
    for kind in ENCODERS:
        given = overrides.get(kind) or ()
        words = {}
        for word in (given,) if isinstance(given, str) else given:
            words[parse_encoder(word)[0]] = word
        if not words:
            continue

        used = set()
        for name in names:
            config = f"base/{name}/config.json"
            # Base models of other kinds have no encoders.
            if config not in artifact.names:
                continue
            encoder, _ = parse_encoder(_encoder_word(artifact, config, kind))
            used.add(encoder)
            if encoder in words:
                own[name][kind] = words[encoder]
        unused = sorted(set(words) - used)
        if unused:
            raise UsageError(
                f"No base model of {artifact.folder} uses the encoder "
                f"'{unused[0]}'; they use {', '.join(sorted(used)) or 'none'}. Scores "
                "are only valid with the encoders of the training."
            )
    return own


def _encoder_word(artifact: Artifact, config: str, kind: str) -> str:
    """The encoder that a base model names in its file `config`."""
    facts = artifact.json(config)
    try:
        return str(checked_params(facts["params"], PARAMETERS)[kind])
    except (KeyError, TypeError) as error:
        raise DamagedArtifact(
            f"{artifact.folder}/{config}: not a base model of this version "
            f"({in_short(error)})."
        ) from error
