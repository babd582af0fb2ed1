"""A stack on disk: the meta level as JSON and arrays, each base model's files beside it, sealed by one manifest.

Self-contained, so the folder can be moved or sent. The trap: one changed file would change scores without a word, so
every file is checked against the manifest before anything is predicted.
"""

from __future__ import annotations

import re
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.numpy

from base_models.errors import DamagedArtifact, UsageError, some
from base_models.files import (
    Artifact,
    atomic_write,
    is_sealed,
    put_in_place,
    seal,
    to_json,
)
from meta.regressor import MetaRegressor

ROLE = "stack"


def write_stack(
    folder: Path | str,
    regressor: MetaRegressor,
    bases: Mapping[str, Mapping[str, bytes]],
    facts: Mapping[str, Any],
    extra: Mapping[str, bytes] | None = None,
) -> None:
    """Write a fitted stack to `folder` and seal it.

    Parameters
    ----------
    regressor : the fitted meta level
    bases : name of each base model to its files, as `NeuralMOS.to_files` gives them
    facts : anything JSON that a reader of the stack needs
    extra : further files, such as a report

    Raises
    ------
    UsageError
        when the name of a base model cannot name its folder.
    """
    folder = Path(folder)
    bad = [
        name
        for name in bases
        if not re.fullmatch(r"[^./\\\x00-\x1f][^/\\\x00-\x1f]*", name)
    ]
    if bad:
        raise UsageError(
            f"Base models {some(bad)} cannot be saved under these names; use letters, digits, - and _."
        )
    state, arrays = regressor.state()
    files = {
        "stack.json": to_json({"bases": list(bases), "meta": state, **facts}),
        "meta.safetensors": safetensors.numpy.save(arrays),
        **{
            f"base/{name}/{file}": data
            for name, contents in bases.items()
            for file, data in contents.items()
        },
        **(extra or {}),
    }
    if folder.exists() and not is_sealed(folder) and any(folder.iterdir()):
        raise UsageError(
            f"{folder} holds other files; name a new folder, or that of an older stack."
        )
    made = folder.absolute().with_name(
        f".{folder.absolute().name}.{uuid.uuid4().hex}.tmp"
    )
    try:
        for name, data in files.items():
            atomic_write(made / name, data)
        seal(made, ROLE, files)
        put_in_place(
            made, folder.absolute()
        )  # whole: an older stack of this name stays until the new one is complete
    finally:
        shutil.rmtree(made, ignore_errors=True)


def read_stack(folder: Path | str) -> tuple[Artifact, dict[str, Any], MetaRegressor]:
    """The verified artifact, its facts and its meta level.

    Raises
    ------
    UsageError
        when `folder` is not a stack.
    DamagedArtifact
        when any file changed.
    """
    artifact = Artifact(folder, ROLE)
    artifact.verify()
    facts = artifact.json("stack.json")
    if not isinstance(facts, dict) or not {"bases", "meta"} <= set(facts):
        raise DamagedArtifact(
            f"{artifact.folder}/stack.json is not a stack of this version."
        )
    return (
        artifact,
        facts,
        MetaRegressor.from_state(facts["meta"], artifact.tensors("meta.safetensors")),
    )
