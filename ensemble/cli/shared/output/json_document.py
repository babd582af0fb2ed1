"""The JSON that a command writes, of its results or of an error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from base_models.files import to_json
from ensemble.version import __version__


def json_document(values: Mapping[str, Any], command: str) -> bytes:
    """Facts as JSON, with the command and the version that they come from."""
    return to_json({"command": command, "version": __version__, **values})
