"""Files that are either whole or absent, and that are checked when read.

A write that is interrupted leaves the previous file in place: bytes go to a temporary
sibling, are flushed to disk, then renamed over the target. A folder becomes an artifact
when its ``manifest.json``, written last, lists the SHA-256 of every file; the hashes
are verified on read.

Notes
-----
A hash detects accidents, not an attacker who can also rewrite the manifest. That is why
nothing here is ever unpickled.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import math
import os
import re
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import safetensors.numpy

from base_models.errors import (
    DamagedArtifact,
    UsageError,
    machine_fault,
    raise_machine_fault,
)
from base_models.file_checks.tensor_header import check_header_size
from base_models.optional_libraries import LazyLibrary

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq
else:
    pa = LazyLibrary("pyarrow")
    pq = LazyLibrary("pyarrow.parquet")

MANIFEST = "manifest.json"
WILDCARD = re.compile(r"[*?\[]")
"""What makes a path a pattern, see `matching_paths`."""
_NO_NAME = re.compile("[\x00\ud800-\udfff]")


def sha256(data: bytes) -> str:
    """Hex SHA-256 of `data`."""
    return hashlib.sha256(data).hexdigest()


def to_json(value: Any) -> bytes:
    """Canonical JSON (sorted keys, no NaN): equal values have equal bytes and hashes.

    See `nan_to_none` for values that may hold NaN.
    """
    text = json.dumps(
        value,
        sort_keys=True,
        indent=1,
        allow_nan=False,
        ensure_ascii=False,
    )
    return text.encode()


def nan_to_none(values: Any) -> Any:
    """Values for `to_json`: None in place of NaN and infinity, which JSON cannot hold.

    Parameters
    ----------
    values : DataFrame, mapping, list, tuple, or a single value

    Returns
    -------
    known : list of one dict per row for a DataFrame, dict for a mapping, list for a
        list or tuple; any other value as it is, unless it is a missing one

    Examples
    --------
    >>> nan_to_none({"value": 0.5, "low": float("nan"), "n": [1, float("inf")]})
    {'value': 0.5, 'low': None, 'n': [1, None]}
    >>> nan_to_none(pd.DataFrame({"model": ["a", "b"], "mse": [0.5, np.nan]}))
    [{'model': 'a', 'mse': 0.5}, {'model': 'b', 'mse': None}]
    """
    if isinstance(values, pd.DataFrame):
        return nan_to_none(values.to_dict("records"))
    if isinstance(values, Mapping):
        return {key: nan_to_none(value) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return [nan_to_none(value) for value in values]

    # numpy's float64 is a float; integers, strings and booleans stay as they are.
    if values is pd.NA or values is pd.NaT:
        return None
    if isinstance(values, float) and not math.isfinite(values):
        return None
    return values


def from_json(data: bytes, name: str) -> Any:
    """Parse strict JSON: UTF-8, no duplicate keys, no NaN or infinity.

    Raises
    ------
    DamagedArtifact
        naming `name`, when `data` is not strict JSON.
    """
    try:
        return json.loads(
            data.decode(),
            object_pairs_hook=_unique_keys,
            parse_constant=_finite_number,
            parse_float=_finite_number,
        )
    except RecursionError as error:
        raise DamagedArtifact(
            f"{name} is not valid JSON (nested too deeply)."
        ) from error
    except ValueError as error:
        reason = str(error)
        # Python's own words are about a setting of the interpreter.
        if "int_max_str_digits" in reason:
            reason = "a number has too many digits"
        raise DamagedArtifact(f"{name} is not valid JSON ({reason}).") from error


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # json itself keeps the last of two equal keys silently.
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return values


def _finite_number(text: str) -> float:
    # json itself accepts NaN, and reads 1e999 as infinity.
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not a finite number")
    return number


def atomic_write(path: Path | str, data: bytes) -> None:
    """Write `data` so that any reader, at any moment, sees the old bytes or the new.

    Raises
    ------
    MachineFault
        when the disk or quota is full, it cannot be written to, or the like; the old
        file is intact.
    """
    path = Path(path)

    # A name of its own keeps two writers apart; it is cut because a file name may have
    # at most 255 bytes.
    partial = path.with_name(f".{path.name[:100]}.{uuid.uuid4().hex}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("xb") as file:
            file.write(data)

            # Without this a power cut may leave the new name on missing data.
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise_machine_fault(error, path, n_bytes=len(data))
        # Of what is flushed the system names no file, and of the rest the hidden one.
        if error.filename in (None, str(partial)):
            error.filename = str(path)
        raise
    finally:
        # After the rename there is nothing left to remove.
        with contextlib.suppress(OSError):
            partial.unlink()


def _sync_folder(folder: Path) -> None:
    """Flush the folder's entries: without it a power cut may undo the rename."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some network file systems refuse to sync a folder; a disk that fails does not.
        if machine_fault(error) is not None:
            raise
    finally:
        os.close(handle)


def write_json(path: Path | str, value: Any) -> None:
    """Write `to_json` of `value`, atomically."""
    atomic_write(path, to_json(value))


def read_json(path: Path | str) -> Any:
    """Read strict JSON from a file.

    Raises
    ------
    DamagedArtifact
        when the file cannot be read or parsed.
    """
    return from_json(read_bytes(path), str(path))


def read_bytes(path: Path | str) -> bytes:
    """Read all bytes of a regular file.

    Raises
    ------
    DamagedArtifact
        naming the file, when it is missing or cannot be read.
    """
    path = Path(path)
    try:
        # A pipe or a device, which a stranger's folder may link to, never ends.
        if path.exists() and not path.is_file():
            raise DamagedArtifact(f"{path} is not a regular file.")
        return path.read_bytes()
    except OSError as error:
        raise machine_fault(error, path) or DamagedArtifact(
            f"{path} cannot be read: {error.strerror}."
        ) from error


def matching_paths(pattern: str, word: str = "") -> list[str]:
    """The files and folders that a pattern matches, sorted.

    A path of exactly that name is itself, and so is one without wildcards, whether it
    is there or not.

    Parameters
    ----------
    pattern : as for a shell, which may have left it as it is; ``**`` goes through
        folders
    word : what was typed, for the message, where the pattern is a part of it

    Raises
    ------
    UsageError
        when it matches nothing.
    """
    if not WILDCARD.search(pattern) or Path(pattern).exists():
        return [pattern]
    found = sorted(glob.glob(pattern, recursive=True))
    if not found:
        raise UsageError(
            f"'{word or pattern}' matches no file. Patterns are looked for in "
            f"{Path.cwd()}; ** goes through folders, [*] stands for a * in a name."
        )
    return found


def write_tensors(path: Path | str, arrays: Mapping[str, np.ndarray]) -> None:
    """Write named arrays as safetensors, atomically."""
    # safetensors expects row-major arrays.
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    atomic_write(path, safetensors.numpy.save(contiguous))


def parse_parquet(data: bytes) -> pa.Table:
    """Read a parquet table from bytes, with its page checksums, in this thread alone.

    A thread of the library that still held the bytes when Python ends would end the
    process with an abort, as after ``pyarrow.parquet.read_table`` of bytes.

    Raises
    ------
    ArrowException, OSError or ValueError
        when the bytes are damaged.
    """
    with pq.ParquetFile(
        pa.BufferReader(data), page_checksum_verification=True, pre_buffer=False
    ) as file:
        return file.read(use_threads=False)


def parse_tensors(data: bytes, name: str) -> dict[str, np.ndarray]:
    """Parse named arrays from safetensors bytes; every float must be finite.

    Raises
    ------
    DamagedArtifact
        naming `name`, when the bytes are not safetensors or hold NaN or infinity.
    """
    check_header_size(data, name)
    try:
        arrays = safetensors.numpy.load(data)
    except (KeyboardInterrupt, SystemExit):
        raise
    # The Rust reader may panic, and a panic is not an Exception.
    except BaseException as error:
        raise machine_fault(error, name) or DamagedArtifact(
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
    hashes = {name: sha256((folder / name).read_bytes()) for name in names}
    atomic_write(folder / MANIFEST, manifest_of(role, hashes, identity))


def manifest_of(role: str, hashes: Mapping[str, str], identity: str = "") -> bytes:
    """The contents of ``manifest.json``, see `seal`.

    Parameters
    ----------
    role, identity : as in `seal`
    hashes : file name to the SHA-256 of its contents
    """
    return to_json(
        {"format": 1, "role": role, "identity": identity, "files": dict(hashes)}
    )


def _finished_files(folder: Path) -> Iterator[str]:
    """Relative names of all files, without the manifest and interrupted writes."""
    for path in folder.rglob("*"):
        interrupted = path.name.endswith(".tmp")
        if path.is_file() and path != folder / MANIFEST and not interrupted:
            yield path.relative_to(folder).as_posix()


@contextlib.contextmanager
def locked(folder: Path | str) -> Iterator[None]:
    """Wait until no other process works in `folder`, then hold it inside the block.

    Notes
    -----
    The lock only saves work: on a file system without locks the work is done twice,
    with the same result. The operating system releases the lock of a process that is
    killed.
    """
    path = Path(folder) / ".lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        # fcntl is missing on Windows, and some network file systems refuse locks.
        with contextlib.suppress(ImportError, OSError):
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def replace_folder(made: Path, folder: Path) -> None:
    """Move the finished folder `made` to the name `folder`, replacing what is there.

    Notes
    -----
    A process that is killed between the two renames leaves the older folder beside its
    name, whole.
    """
    # A rename cannot replace a folder that is not empty.
    old = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.tmp")
    if folder.exists():
        os.rename(folder, old)
    os.rename(made, folder)
    shutil.rmtree(old, ignore_errors=True)


def write_artifact(
    folder: Path | str,
    role: str,
    files: Mapping[str, bytes],
    beside: Mapping[str, bytes] | None = None,
) -> None:
    """Write a whole artifact; an older one there stays until this one is complete.

    Parameters
    ----------
    folder : of the artifact
    role : what it is, see `seal`
    files : relative name to contents, all of which the manifest lists
    beside : further files, which the manifest does not list: people may change them

    Raises
    ------
    UsageError
        when `folder` holds files that are no artifact.
    OutOfSpace
        when the disk or quota is full.
    """
    folder = Path(folder).absolute()
    # Only an artifact is replaced, never somebody's other files.
    if folder.exists() and not is_sealed(folder) and any(folder.iterdir()):
        raise UsageError(
            f"{folder} holds other files; name a new folder, or that of an older "
            f"{role}."
        )

    # Written beside the folder and moved as a whole: there never is half an artifact.
    unfinished = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.tmp")
    try:
        for name, data in {**files, **(beside or {})}.items():
            atomic_write(unfinished / name, data)
        seal(unfinished, role, files)
        replace_folder(unfinished, folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def is_sealed(folder: Path | str) -> bool:
    """Whether `folder` holds a finished artifact; `Artifact` checks its contents."""
    return (Path(folder) / MANIFEST).is_file()


def is_inside(name: str) -> bool:
    """Whether a name in a manifest is that of a file below its folder.

    >>> [is_inside(name) for name in ("base/a.json", "../a.json", "/etc/passwd", "a/")]
    [True, False, False, False]
    """
    parts = name.split("/")
    is_below = all(part not in ("", ".", "..") for part in parts)
    return is_below and _NO_NAME.search(name) is None


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

        self.facts = read_json(self.folder / MANIFEST)
        self._check_manifest(role, identity)

    def _check_manifest(self, role: str, identity: str) -> None:
        facts = self.facts
        if not isinstance(facts, dict) or not isinstance(facts.get("files"), dict):
            raise DamagedArtifact(f"{self.folder / MANIFEST} is not a manifest.")
        outside = [name for name in facts["files"] if not is_inside(name)]
        if outside:
            raise DamagedArtifact(
                f"{self.folder / MANIFEST} lists {ascii(outside[0])[:100]}, which is "
                "no file below its folder; nothing was read."
            )
        if facts.get("format") != 1:
            raise UsageError(
                f"{self.folder} has manifest format {facts.get('format')!r}; "
                "this version reads 1."
            )
        if facts.get("role") != role:
            raise UsageError(
                f"{self.folder} is a {facts.get('role')!r}, not a {role!r}."
            )

        # Artifacts without an identity, and callers that ask for none, match any.
        stored = facts.get("identity")
        if identity and stored not in ("", None, identity):
            raise DamagedArtifact(
                f"{self.folder} holds '{stored}': it was copied or renamed."
            )

    @property
    def names(self) -> list[str]:
        """Names of the files, relative to the folder."""
        return list(self.facts["files"])

    def read(self, name: str) -> bytes:
        """Read one file and check its bytes against the manifest."""
        if name not in self.facts["files"]:
            raise DamagedArtifact(f"{self.folder} has no file {name} in its manifest.")
        data = read_bytes(self.folder / name)
        if sha256(data) != self.facts["files"][name]:
            raise DamagedArtifact(
                f"{self.folder / name} was changed after it was written "
                "(SHA-256 differs)."
            )
        return data

    def json(self, name: str) -> Any:
        """Read one file as strict JSON."""
        return from_json(self.read(name), str(self.folder / name))

    def tensors(self, name: str) -> dict[str, np.ndarray]:
        """Read the arrays of one safetensors file."""
        return parse_tensors(self.read(name), str(self.folder / name))

    def verify(self) -> None:
        """Read and check every file."""
        for name in self.names:
            self.read(name)
