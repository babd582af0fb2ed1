"""An artifact in memory: what a stranger writes has a manifest that is right of it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from base_models.errors import DamagedArtifact
from base_models.files import Artifact, from_json, parse_tensors


class MemoryArtifact(Artifact):
    """Files by name, some of which are parsed values already.

    Parameters
    ----------
    files : name to bytes
    values : name to what `json` or `tensors` returns in place of what the bytes hold
    """

    def __init__(
        self, files: Mapping[str, bytes], values: Mapping[str, Any] | None = None
    ) -> None:
        self.folder = Path("memory")
        self.facts = {"files": dict.fromkeys(files, "")}
        self._files = files
        self._values = values or {}

    def read(self, name: str) -> bytes:
        """The bytes of a file."""
        if name not in self._files:
            raise DamagedArtifact(f"there is no {name}.")
        return self._files[name]

    def json(self, name: str) -> Any:
        """The value of a file, a fresh one each time."""
        if name in self._values:
            return copy.deepcopy(self._values[name])
        return from_json(self.read(name), name)

    def tensors(self, name: str) -> dict[str, np.ndarray]:
        """The arrays of a file."""
        if name in self._values:
            return dict(self._values[name])
        return parse_tensors(self.read(name), name)
