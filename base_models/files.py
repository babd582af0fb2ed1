"""Files that are either whole or absent, and that are checked when read.

A writer that is killed, or a disk that fills up, leaves the previous file in place: bytes go to a temporary sibling,
are flushed to disk, then renamed over the target. A folder becomes an artifact when its ``manifest.json``, written
last, lists the SHA-256 of every file; it is verified on read. The trap: a hash stops accidents, not an attacker who
can also rewrite the manifest; that is why nothing here is ever unpickled.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from base_models.errors import DamagedArtifact, OutOfSpace, UsageError

MANIFEST = "manifest.json"


def sha256(data: bytes) -> str:
    """Hex SHA-256 of `data`."""
    return hashlib.sha256(data).hexdigest()


def to_json(value: Any) -> bytes:
    """Canonical JSON (sorted keys, no NaN), so that equal values have equal bytes and equal hashes."""
    return json.dumps(
        value, sort_keys=True, indent=1, allow_nan=False, ensure_ascii=False
    ).encode()


def from_json(data: bytes, name: str) -> Any:
    """Parse strict JSON: no duplicate keys, no NaN or infinity, no text that is not UTF-8.

    Raises
    ------
    DamagedArtifact
        naming `name`, when `data` is not strict JSON.
    """

    def unique(pairs):
        keys = [key for key, _ in pairs]
        if len(set(keys)) != len(keys):
            raise ValueError("a key stands twice in one object")
        return dict(pairs)

    def finite(text):
        if not math.isfinite(float(text)):
            raise ValueError(f"{text} is not a finite number")
        return float(text)

    try:
        return json.loads(
            data.decode(),
            object_pairs_hook=unique,
            parse_constant=finite,
            parse_float=finite,
        )
    except (ValueError, RecursionError) as error:
        raise DamagedArtifact(f"{name} is not valid JSON ({error}).") from error


def atomic_write(path: Path | str, data: bytes) -> None:
    """Write `data` to `path` so that any reader, at any moment, sees the old bytes or the new ones.

    Raises
    ------
    OutOfSpace
        when the disk or quota is full; the old file is intact.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name[:100]}.{uuid.uuid4().hex}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
        _sync_folder(path.parent)
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise _out_of_space(path, len(data)) from error
        raise
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(
            OSError
        ):  # some network file systems refuse to sync a folder
            os.fsync(handle)
    finally:
        os.close(handle)


def _out_of_space(path: Path, needed: int) -> OutOfSpace:
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    free = shutil.disk_usage(folder).free
    return OutOfSpace(
        f"No space left to write {path}: {needed:,} bytes needed, {free:,} free. Finished work is kept; "
        "free some space and run the same command again."
    )


def write_json(path: Path | str, value: Any) -> None:
    """`to_json`, written atomically."""
    atomic_write(path, to_json(value))


def read_json(path: Path | str) -> Any:
    """Strict JSON from a file.

    Raises
    ------
    DamagedArtifact
        when the file cannot be read or parsed.
    """
    return from_json(read_bytes(path), str(path))


def read_bytes(path: Path | str) -> bytes:
    """All bytes of a regular file; a missing or unreadable one is a damaged artifact, by name."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise DamagedArtifact(f"{path} cannot be read: {error.strerror}.") from error


def write_tensors(path: Path | str, arrays: Mapping[str, np.ndarray]) -> None:
    """Named arrays as safetensors, atomically."""
    atomic_write(
        path,
        safetensors.numpy.save(
            {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        ),
    )


def parse_tensors(data: bytes, name: str) -> dict[str, np.ndarray]:
    """Named arrays from safetensors bytes; every float must be finite.

    Raises
    ------
    DamagedArtifact
        naming `name`, when the bytes are not safetensors or hold NaN or infinity.
    """
    try:
        arrays = safetensors.numpy.load(data)
    except (KeyboardInterrupt, SystemExit):
        raise
    except (
        BaseException
    ) as error:  # the Rust reader may panic, and a panic is not an Exception
        raise DamagedArtifact(
            f"{name} is not a readable safetensors file ({error})."
        ) from error
    for key, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise DamagedArtifact(f"{name}: tensor '{key}' holds NaN or infinity.")
    return arrays


def seal(
    folder: Path | str,
    role: str,
    names: Iterable[str] | None = None,
    identity: str = "",
) -> None:
    """Write the manifest that makes `folder` an artifact: its role, and the hash of files `names` (None: of all).

    Parameters
    ----------
    identity : what the contents are, where a folder of other contents could be taken for this one
    """
    folder = Path(folder)
    if names is None:
        inside = (
            path
            for path in folder.rglob("*")
            if path.is_file() and not path.name.endswith(".tmp")
        )
        names = sorted(
            path.relative_to(folder).as_posix()
            for path in inside
            if path != folder / MANIFEST
        )
    files = {name: sha256((folder / name).read_bytes()) for name in names}
    write_json(
        folder / MANIFEST,
        {"format": 1, "role": role, "identity": identity, "files": files},
    )


@contextlib.contextmanager
def locked(folder: Path | str) -> Iterator[None]:
    """Wait until no other process works in `folder`, then hold it.

    It only saves work: where the file system has no locks the work is done twice, with the same result. A process that
    is killed lets go.
    """
    path = Path(folder) / ".lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        with contextlib.suppress(ImportError, OSError):
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def put_in_place(made: Path, folder: Path) -> None:
    """Move a finished folder to its name; an older artifact of that name gives way.

    Between the two renames a kill leaves the older one beside its name, whole.
    """
    old = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.tmp")
    if folder.exists():
        os.rename(folder, old)
    os.rename(made, folder)
    shutil.rmtree(old, ignore_errors=True)


def is_sealed(folder: Path | str) -> bool:
    """Whether `folder` holds a finished artifact (its contents are checked on reading, by `Artifact`)."""
    return (Path(folder) / MANIFEST).is_file()


class Artifact:
    """A sealed folder, opened for reading: each file is read once and must match the manifest.

    Parameters
    ----------
    folder : path of a folder that `seal` closed
    role : what it must be, e.g. ``"base model"``
    identity : which one it must be, as given to `seal`; "" takes any

    Raises
    ------
    UsageError
        when there is no such folder, or it is an artifact of another role.
    DamagedArtifact
        when the manifest cannot be parsed, a file is missing, or its bytes changed.
    """

    def __init__(self, folder: Path | str, role: str, identity: str = ""):
        self.folder = Path(folder)
        if not is_sealed(self.folder):
            state = (
                "has no manifest.json: it was never finished"
                if self.folder.is_dir()
                else "does not exist"
            )
            raise UsageError(
                f"{self.folder} {state}; expected the folder of a finished {role}."
            )
        self.facts = read_json(self.folder / MANIFEST)
        if not isinstance(self.facts, dict) or not isinstance(
            self.facts.get("files"), dict
        ):
            raise DamagedArtifact(f"{self.folder / MANIFEST} is not a manifest.")
        if self.facts.get("format") != 1:
            raise UsageError(
                f"{self.folder} has manifest format {self.facts.get('format')!r}; this version reads 1."
            )
        if self.facts.get("role") != role:
            raise UsageError(
                f"{self.folder} is a {self.facts.get('role')!r}, not a {role!r}."
            )
        if self.facts.get("identity") not in (
            "",
            None,
            identity or self.facts.get("identity"),
        ):
            raise DamagedArtifact(
                f"{self.folder} holds '{self.facts['identity']}': it was copied or renamed."
            )

    @property
    def names(self) -> list[str]:
        """Names of the files, relative to the folder."""
        return list(self.facts["files"])

    def read(self, name: str) -> bytes:
        """Bytes of one file, checked against the manifest."""
        if name not in self.facts["files"]:
            raise DamagedArtifact(f"{self.folder} has no file {name} in its manifest.")
        data = read_bytes(self.folder / name)
        if sha256(data) != self.facts["files"][name]:
            raise DamagedArtifact(
                f"{self.folder / name} was changed after it was written (SHA-256 differs)."
            )
        return data

    def json(self, name: str) -> Any:
        """Strict JSON of one file."""
        return from_json(self.read(name), str(self.folder / name))

    def tensors(self, name: str) -> dict[str, np.ndarray]:
        """Arrays of one safetensors file."""
        return parse_tensors(self.read(name), str(self.folder / name))

    def verify(self) -> None:
        """Read and check every file."""
        for name in self.names:
            self.read(name)
