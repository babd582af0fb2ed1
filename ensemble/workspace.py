"""Where everything that a run makes lies, below one folder (``artifacts/`` unless told otherwise).

    embeddings/<signature>.<dtype>/…  frozen encoders' outputs, one file per content
    data/<fingerprint>/               the clip table that models were trained on: ids, splits, labels (no audio)
    base/<preset>-s<seed>-<signature>/   one base model: config, weights, history, prediction tables
    base/…-oof<K>/                    its predictions of the training split, out of fold
    meta/<learner>-<signature>/       one stack: learner, copies of its base models, report, answer.txt
    tables/<table>-<signature>/       a table of a paper beside our numbers: table.md, table.csv, table.json
    level0.json, stack.json           which base models and which stack were made last

The trap: the two pointers are only a convenience for the next command; everything else goes by a hash of what decides
it, which its manifest repeats, so that one run cannot pass for another.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from base_models.errors import DamagedArtifact, UsageError
from base_models.files import read_json, write_json

POINTERS = {"level0": {"data", "runs"}, "stack": {"folder", "demo"}}
"""What each pointer file says."""


@dataclass(frozen=True)
class Workspace:
    """The layout of an artifacts folder.

    >>> Workspace(Path("artifacts")).base_run("dora", 0, "0123456789").as_posix()
    'artifacts/base/dora-s0-0123456789'
    """

    root: Path

    @property
    def embeddings(self) -> Path:
        """Stored embeddings."""
        return self.root / "embeddings"

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

    def point(self, name: str, value: Any) -> None:
        """Remember what was made last."""
        write_json(self.root / f"{name}.json", value)

    def latest(self, name: str, command: str) -> Any:
        """What was made last; `command` is the one to run when nothing was.

        Raises
        ------
        UsageError
            when there is no such pointer.
        DamagedArtifact
            when it holds something else.
        """
        if not (self.root / f"{name}.json").is_file():
            raise UsageError(
                f"{self.root} holds no {name}.json: run `{command}` first, or name another --artifacts folder."
            )
        pointer = read_json(self.root / f"{name}.json")
        if not isinstance(pointer, dict) or not POINTERS[name] <= set(pointer):
            raise DamagedArtifact(
                f"{self.root / name}.json does not say what was made last; run `{command}` again."
            )
        return pointer
