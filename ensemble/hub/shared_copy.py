"""The files of a stack that are worth sharing, and their copy with a model card.

What decides predictions is shared, with the values of the report. Pages and tables of
the report stay behind: they name every clip of the test split with its scores, and
whoever gets the stack needs none of them.
"""

from __future__ import annotations

from pathlib import Path

from base_models.errors import UsageError, some
from base_models.files import Artifact, is_inside, write_artifact
from ensemble.hub.stack_contents import REPORT, decides_predictions
from ensemble.workspace import STACK_ROLE

CARD = "README.md"
"""Name of a model card. The manifest does not list it, so that it can be edited."""
SUFFIXES = frozenset({".json", ".safetensors", ".parquet", ".skops"})
"""Of the files that a shared stack may consist of; none of them can hold a program."""


def shared_files(artifact: Artifact) -> dict[str, bytes]:
    """The files of a stack that are shared, each as its manifest states it.

    Raises
    ------
    DamagedArtifact
        When one of them changed.
    """
    names = [
        name for name in artifact.names if decides_predictions(name) or name == REPORT
    ]
    return {name: artifact.read(name) for name in names}


def check_shared_names(names: list[str], place: str) -> None:
    """Refuse a list of files, such as a stranger's, that is not that of a stack.

    Raises
    ------
    UsageError
        When a name leads out of the folder, or is of a kind that no stack consists of.
    """
    bad = [name for name in names if not _is_safe(name)]
    if bad:
        raise UsageError(
            f"{place} lists {some(bad, limit=3)}; a shared stack consists of "
            f"{', '.join(sorted(SUFFIXES))} files below its own folder. Nothing was "
            "read."
        )


def _is_safe(name: str) -> bool:
    plain = "\\" not in name and ":" not in name and name.isprintable()
    return is_inside(name) and plain and Path(name).suffix in SUFFIXES


def write_shared_copy(folder: Path | str, files: dict[str, bytes], card: str) -> None:
    """Write the shared files of a stack as a folder, sealed, with its card beside.

    Raises
    ------
    UsageError
        When `folder` holds other files.
    """
    write_artifact(folder, STACK_ROLE, files, beside={CARD: card.encode()})
