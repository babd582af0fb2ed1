"""Sealed folders: a manifest, written last, lists the SHA-256 of every file.

Notes
-----
A hash detects accidents, not an attacker who can also rewrite the manifest. That is why
nothing here is ever unpickled.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from base_models.errors import DamagedArtifact, UsageError
from base_models.files.arrays import parse_tensors
from base_models.files.json_values import (
    from_guarded_json,
    from_json,
    guarded_json,
    sha256,
    to_json,
)
from base_models.files.reading import MAX_BYTES, MAX_JSON_BYTES, read_bytes
from base_models.files.temporaries import put_back
from base_models.files.writing import atomic_write

if TYPE_CHECKING:
    import numpy as np

MANIFEST = "manifest.json"
MAX_MANIFEST_BYTES = 2**25
"""Size of the largest manifest that is read, in bytes."""
MAX_FILES = 100_000
"""The most files that a manifest may list."""
_KEYS = ("format", "role", "identity", "files")
_NO_NAME = re.compile("[\x00\ud800-\udfff]")


def seal(
    folder: Path | str,
    role: str,
    names: Iterable[str] | None = None,
    identity: str = "",
) -> None:
    """Make `folder` an artifact by writing its manifest.

    Parameters
    ----------
    folder : path of a folder whose files are complete
    role : str, what the artifact is, e.g. ``"base model"``
    names : files to list with their hashes, relative to the folder; None lists all
    identity : str
        What the contents are, where a folder of other contents could be mistaken for
        this one.
    """
    folder = Path(folder)
    if names is None:
        names = sorted(_finished_files(folder))

    # The manifest is written last: a folder without one was never finished.
    hashes = {name: sha256(read_bytes(folder / name)) for name in names}
    atomic_write(folder / MANIFEST, manifest_of(role, hashes, identity))


def manifest_of(role: str, hashes: Mapping[str, str], identity: str = "") -> bytes:
    """The contents of ``manifest.json``, see `seal`.

    Parameters
    ----------
    role, identity : as in `seal`
    hashes : file name to the SHA-256 of its contents
    """
    return guarded_json(
        {"format": 1, "role": role, "identity": identity, "files": dict(hashes)}
    )


def _finished_files(folder: Path) -> Iterator[str]:
    """Relative names of all files, without the manifest and interrupted writes."""
    for path in folder.rglob("*"):
        interrupted = path.name.endswith(".tmp")
        if path.is_file() and path != folder / MANIFEST and not interrupted:
            yield path.relative_to(folder).as_posix()


def is_sealed(folder: Path | str) -> bool:
    """Whether `folder` holds a finished artifact; `Artifact` checks its contents."""
    folder = Path(folder)
    # It is not there while another takes its place, and its writer may have been killed
    # in that moment.
    is_there = folder.exists() or put_back(folder)
    return is_there and (folder / MANIFEST).is_file()


def is_inside(name: str) -> bool:
    """Whether a name in a manifest is that of a file below its folder.

    >>> [is_inside(name) for name in ("base/a.json", "../a.json", "/etc/passwd", "a/")]
    [True, False, False, False]
    """
    parts = name.split("/")
    is_below = all(part not in ("", ".", "..") for part in parts)
    return is_below and _NO_NAME.search(name) is None


def read_manifest(folder: Path) -> dict[str, Any]:
    """The facts of the manifest of a folder.

    Raises
    ------
    UsageError
        when it is of another format than this version reads.
    DamagedArtifact
        when it is missing, was changed, or lists what is no file below its folder.
    """
    path = folder / MANIFEST
    data = read_bytes(path, MAX_MANIFEST_BYTES, within=folder)
    facts = from_json(data, str(path))
    if not isinstance(facts, dict) or not isinstance(facts.get("files"), dict):
        raise DamagedArtifact(f"{path} is not a manifest.")
    if len(facts["files"]) > MAX_FILES:
        raise DamagedArtifact(
            f"{path} lists {len(facts['files']):,} files; at most {MAX_FILES:,} are "
            "read."
        )
    outside = [name for name in facts["files"] if not is_inside(name)]
    if outside:
        raise DamagedArtifact(
            f"{path} lists {ascii(outside[0])[:100]}, which is no file below its "
            "folder; nothing was read."
        )

    # A later format may be guarded in another way.
    form = facts.get("format")
    if form != 1:
        raise UsageError(
            f"{folder} has manifest format {ascii(form)[:20]}; this version reads 1."
        )
    facts = from_guarded_json(data, str(path), known=_KEYS)
    if not isinstance(facts.get("role"), str):
        raise DamagedArtifact(f"{path} is not a manifest.")
    return facts


class Artifact:
    """A sealed folder, opened for reading: every file read must match the manifest.

    Parameters
    ----------
    folder : path of a folder that `seal` closed
    role : what it must be, e.g. ``"base model"``
    identity : which one it must be, as given to `seal`; "" accepts any

    Raises
    ------
    UsageError
        when there is no such folder, or it is an artifact of another role.
    DamagedArtifact
        when the manifest cannot be parsed, a file is missing, or its bytes changed.
    """

    def __init__(
        self,
        folder: Path | str,
        role: str,
        identity: str = "",
    ) -> None:
        self.folder = Path(folder)
        if not is_sealed(self.folder):
            if self.folder.is_dir():
                state = "has no manifest.json: it was never finished"
            else:
                state = "does not exist"
            raise UsageError(
                f"{self.folder} {state}; expected the folder of a finished {role}."
            )

        self.facts = read_manifest(self.folder)
        if self.facts["role"] != role:
            raise UsageError(
                f"{self.folder} is a {self.facts['role']!r}, not a {role!r}."
            )

        # Artifacts without an identity, and callers that ask for none, match any.
        stored = self.facts.get("identity")
        if identity and stored not in ("", None, identity):
            raise DamagedArtifact(
                f"{self.folder} holds '{stored}': it was copied or renamed."
            )

    @property
    def names(self) -> list[str]:
        """Names of the files, relative to the folder."""
        return list(self.facts["files"])

    @property
    def root_hash(self) -> str:
        """One SHA-256 for all files, by their names and the hashes that they must have.

        Whoever knows it from elsewhere need not trust who could write the manifest.
        """
        return sha256(to_json(self.facts["files"]))

    def check_root_hash(self, expected: str) -> None:
        """Refuse any other artifact than the one whose `root_hash` is known.

        Parameters
        ----------
        expected : 64 hexadecimal digits

        Raises
        ------
        UsageError
            when these are not 64 hexadecimal digits.
        DamagedArtifact
            when the artifact has another one.
        """
        known = expected.strip().lower()
        if not re.fullmatch("[0-9a-f]{64}", known):
            raise UsageError(
                f"A SHA-256 is 64 hexadecimal digits; got {ascii(expected)[:80]}. "
                "inspect_stack prints that of a stack."
            )
        if known != self.root_hash:
            raise DamagedArtifact(
                f"{self.folder} is not what is expected: its SHA-256 is "
                f"{self.root_hash}, and {known} was asked for. Nothing was loaded."
            )

    def read(self, name: str, max_bytes: int = MAX_BYTES) -> bytes:
        """Read one file and check its bytes against the manifest.

        Parameters
        ----------
        name : as the manifest lists it
        max_bytes : see `base_models.files.read_bytes`
        """
        if name not in self.facts["files"]:
            raise DamagedArtifact(f"{self.folder} has no file {name} in its manifest.")
        data = read_bytes(self.folder / name, max_bytes, within=self.folder)
        if sha256(data) != self.facts["files"][name]:
            raise DamagedArtifact(
                f"{self.folder / name} was changed after it was written "
                "(SHA-256 differs)."
            )
        return data

    def json(self, name: str) -> Any:
        """Read one file as strict JSON."""
        data = self.read(name, MAX_JSON_BYTES)
        return from_json(data, str(self.folder / name))

    def tensors(self, name: str) -> dict[str, np.ndarray]:
        """Read the arrays of one safetensors file."""
        return parse_tensors(self.read(name), str(self.folder / name))

    def verify(self) -> None:
        """Read and check every file."""
        for name in self.names:
            self.read(name)
