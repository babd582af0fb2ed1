"""An artifact is read whole, also while another process puts a new one in its place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from base_models.errors import DamagedArtifact
from base_models.files.artifact import Artifact, read_manifest

Value = TypeVar("Value")


def read_artifact(
    folder: Path | str,
    role: str,
    read: Callable[[Artifact], Value],
    identity: str = "",
) -> Value:
    """What `read` makes of an artifact; it reads again where that was replaced.

    Parameters
    ----------
    folder, role, identity : see `Artifact`
    read : reads its files, and keeps nothing of a call that raises

    Raises
    ------
    DamagedArtifact
        when a file is not what the manifest says, and the manifest is still the same.
    """
    while True:
        artifact = Artifact(folder, role, identity)
        try:
            return read(artifact)
        except DamagedArtifact:
            # A file of the new one does not fit the manifest of the older.
            if read_manifest(Path(folder)) == artifact.facts:
                raise
