"""Scored chunks in a folder beside the output, until the output is written.

A chunk goes by a hash of all that decides its scores: the stack, the encoders, the
options, and of each clip its name, prompt, system and file. So a chunk of other clips,
or of a file that was changed since, is never taken for one of this run.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from base_models.errors import DamagedArtifact, UsageError
from base_models.files import (
    atomic_write,
    from_json,
    guarded_json,
    read_bytes,
    sha256,
    sweep,
)
from ensemble.scoring.chunks.scored_chunk import ScoredChunk

SUFFIX = ".pieces"
"""End of the name of the folder, after that of the output."""
_NAME_DIGITS = 32

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class KeptChunks:
    """The folder of the scored chunks of a run.

    Parameters
    ----------
    folder : Path
        It need not be there.
    run : mapping
        What decides scores beside the clips and the stack's models, as JSON values.
    """

    folder: Path
    run: Mapping[str, Any]

    @classmethod
    def beside(cls, out: str, run: Mapping[str, Any]) -> KeptChunks:
        """The folder that belongs to a file of scores.

        Raises
        ------
        UsageError
            When something else has its name.
        """
        folder = Path(out + SUFFIX)
        if folder.exists() and not folder.is_dir():
            raise UsageError(
                f"{folder} is to be the folder of the scores that are there already, "
                "and is a file; remove it, or name another file with -o."
            )
        sweep(folder)
        return cls(folder, run)

    def identity(self, facts: Mapping[str, Any]) -> str:
        """The name of a chunk, or of a run, by all that decides it."""
        decided = json.dumps({"run": dict(self.run), **facts}, sort_keys=True)
        return sha256(decided.encode())

    def has(self, identity: str) -> bool:
        """Whether a chunk seems to be there; `load` says whether it is whole."""
        return self._path(identity).is_file()

    def load(self, identity: str) -> ScoredChunk | None:
        """A chunk, if it is there as it was written."""
        path = self._path(identity)
        if not path.is_file():
            return None
        try:
            values = _unpacked(read_bytes(path), str(path))
        except DamagedArtifact as error:
            log.warning("%s Its clips are scored again.", error)
            return None
        # The name of a file has half of the hash, and may be that of a copy.
        return ScoredChunk.of_json(values) if values["identity"] == identity else None

    def save(self, identity: str, scored: ScoredChunk) -> None:
        """Keep a chunk."""
        data = _packed({"identity": identity, **scored.to_json()})
        self._write(self._path(identity), data)

    def save_record(self, name: str, values: Mapping[str, Any]) -> None:
        """Keep what is known of a shard, in a small file."""
        self._write(self.folder / name, guarded_json(values))

    def _write(self, path: Path, data: bytes) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        atomic_write(path, data)

    def remove(self) -> None:
        """Remove the folder, whose chunks are in the output now; other files stay."""
        for path in self._own():
            path.unlink(missing_ok=True)
        # Something else may lie in it, or it was never made.
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def _path(self, identity: str) -> Path:
        return self.folder / f"chunk-{identity[:_NAME_DIGITS]}.json"

    def _own(self) -> Iterator[Path]:
        yield from self.folder.glob("chunk-*.json")
        yield from self.folder.glob("shard-*.json")


def _packed(values: Mapping[str, Any]) -> bytes:
    """Values as JSON in one line, below their hash.

    Lines and sorted keys, as `base_models.files.to_json` has them, would take ten times
    as long.
    """
    data = json.dumps(values, ensure_ascii=False, allow_nan=False).encode()
    return f"{sha256(data)}\n".encode() + data


def _unpacked(data: bytes, name: str) -> dict[str, Any]:
    """What `_packed` made, byte for byte."""
    digest, _, packed = data.partition(b"\n")
    if digest.decode(errors="replace") != sha256(packed):
        raise DamagedArtifact(
            f"{name} was changed after it was written (SHA-256 differs)."
        )
    values: dict[str, Any] = from_json(packed, name)
    return values
