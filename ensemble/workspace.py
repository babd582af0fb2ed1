"""Where everything that a run makes lies, below one folder, by default ``artifacts/``.

::

    embeddings/<signature>.<dtype>/...
        outputs of frozen encoders, one file per content
    fingerprints/v1/...
        what clips sound like, one file per content, to recognise copies
    data/<fingerprint>/
        the clip table that models were trained on: ids, splits, labels (no audio)
    base/<preset>-s<seed>-<signature>/
        one base model: config, weights, history, prediction tables
    base/...-oof<K>/
        its predictions of the training split, out of fold
    meta/<learner>-<signature>/
        one stack: learner, copies of its base models, report, answer.txt
    tables/<table>-<signature>/
        a table of a paper beside our numbers: table.md, table.csv, table.json
    level0.json, stack.json
        which base models and which stack were made last

The two pointers serve the next command alone. Everything else goes by a hash of what
decides it, which its manifest repeats, so that one run cannot pass for another.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from base_models.errors import DamagedArtifact, UsageError
from base_models.files import (
    Artifact,
    atomic_write,
    from_guarded_json,
    guarded_json,
    is_inside,
    is_sealed,
    read_bytes,
    remove_stale_lock,
    sweep,
)

BASE_MODELS = "level0"
"""Pointer to the base models that were planned last; older workspaces have a file of
this name."""
STACK = "stack"
"""Pointer to the stack that was fitted last."""
STACK_ROLE = "stack"
"""What the manifest of a stack's folder calls it."""
POINTERS = {BASE_MODELS: {"data", "runs"}, STACK: {"folder", "demo"}}
"""Keys that each pointer must have."""
_LATER_KEYS = {BASE_MODELS: {"table", "folds"}, STACK: set()}
"""Keys that older pointers do not have."""
_LOCKED_PARTS = ("base", "tables")
_PARTS = (*_LOCKED_PARTS, "data", "meta", "embeddings", "fingerprints")
"""Folders in which something is written."""


@dataclass(frozen=True)
class Workspace:
    """The layout of an artifacts folder.

    Examples
    --------
    >>> Workspace(Path("artifacts")).base_run("dora", 0, "0123456789").as_posix()
    'artifacts/base/dora-s0-0123456789'
    """

    root: Path

    @property
    def embeddings(self) -> Path:
        """Stored embeddings."""
        return self.root / "embeddings"

    @property
    def fingerprints(self) -> Path:
        """Stored fingerprints, by which copies of a recording are recognised."""
        return self.root / "fingerprints"

    @property
    def demo(self) -> Path:
        """The demo corpus."""
        return self.root / "demo"

    def data(self, fingerprint: str) -> Path:
        """A clip table."""
        return self.root / "data" / fingerprint

    def base_run(self, preset: str, seed: int, signature: str) -> Path:
        """One base model."""
        return self.root / "base" / f"{preset}-s{seed}-{signature}"

    def meta_run(self, learner: str, signature: str) -> Path:
        """One stack."""
        return self.root / "meta" / f"{learner}-{signature}"

    def table(self, name: str, signature: str) -> Path:
        """One table of a paper, measured anew."""
        return self.root / "tables" / f"{name}-{signature}"

    def point(self, name: str, value: dict[str, Any]) -> None:
        """Note what was made last, under the name of a pointer."""
        atomic_write(self._pointer(name), guarded_json(value))

    def has(self, name: str) -> bool:
        """Whether a pointer of that name was ever written."""
        return self._pointer(name).is_file()

    def latest(self, name: str, command: str) -> dict[str, Any]:
        """What was made last.

        Parameters
        ----------
        name : str
            Of the pointer.
        command : str
            The command to run where nothing was made, for the message.

        Raises
        ------
        UsageError
            When there is no such pointer.
        DamagedArtifact
            When it holds something else.
        """
        path = self._pointer(name)
        if not self.has(name):
            # Without base models, the command would only ask for yet another first.
            is_bare = name == STACK and not self.has(BASE_MODELS)
            cure = f"run `{command}` first"
            if is_bare:
                cure = (
                    "no trained stack ships; fit one from rated clips (fit_base --help)"
                )
            raise UsageError(
                f"{self.root} holds no {path.name}: {cure}, or name another "
                "--artifacts folder."
            )
        known = POINTERS[name] | _LATER_KEYS[name]
        pointer = from_guarded_json(read_bytes(path), str(path), known)
        if not POINTERS[name] <= set(pointer) or not _is_of_kind(name, pointer):
            raise DamagedArtifact(
                f"{path} does not say what was made last; run `{command}` again."
            )
        return pointer

    def last_stack(self, command: str) -> Path:
        """The folder of the stack that was made last.

        Parameters
        ----------
        command : str
            As in `latest`.

        Raises
        ------
        UsageError, DamagedArtifact
            As in `latest`; the latter also when the folder holds another stack.
        """
        folder = self.root / self.latest(STACK, command)["folder"]
        if is_sealed(folder):
            Artifact(folder, STACK_ROLE, folder.name)
        return folder

    def sweep(self) -> None:
        """Remove what killed writers left behind; what living ones write stays."""
        sweep(self.root)
        for part in _PARTS:
            sweep(self.root / part, deep=True)
        for part in _LOCKED_PARTS:
            for folder in (self.root / part).glob("*"):
                remove_stale_lock(folder)

    def _pointer(self, name: str) -> Path:
        return self.root / f"{name}.json"


def _is_of_kind(name: str, pointer: dict[str, Any]) -> bool:
    """Whether the values of a pointer are such that they can be followed."""
    if name == STACK:
        return _is_folder(pointer["folder"])
    entries = pointer["runs"]
    return _is_folder(pointer["data"]) and (
        isinstance(entries, list)
        and all(
            isinstance(entry, dict)
            and isinstance(entry.get("name"), str)
            and _is_folder(entry.get("folder"))
            for entry in entries
        )
    )


def _is_folder(value: Any) -> bool:
    """Whether a value names a folder below that of the artifacts."""
    # Of Windows, names have backslashes.
    return isinstance(value, str) and is_inside(value.replace(os.sep, "/"))
