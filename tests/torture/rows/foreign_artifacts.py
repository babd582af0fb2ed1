"""Foreign and hostile artifacts, through every loader, under an audit hook."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from functools import cached_property
from pathlib import Path

import numpy as np
from torture.foreign.artifacts import LOADERS, Loader, write_all
from torture.foreign.attacks import (
    ATTACKS,
    MARKER,
    SECRET,
    hostile_manifest,
    seal_anew,
)
from torture.foreign.watch import Watch, fault_of, time_limit
from torture.harness import Outcome, Row

from base_models.files import guarded_json

_PER_LOADER = 200
_PER_CASE = 10
_CASES_OF_LOADER = _PER_LOADER // _PER_CASE
_MANIFEST = "manifest.json"


class Torture(Row):
    """A case is some attacks on one loader, each on a fresh copy of its artifact."""

    what = "foreign and hostile artifacts, 200 through every loader"
    passes_when = "0 executions, connections, writes, reads outside, hangs"
    at_least = _PER_LOADER * len(LOADERS)
    n_cases = len(LOADERS) * _CASES_OF_LOADER
    n_share = 8
    seconds = 60.0

    def prepare(self) -> None:
        """Write one artifact of every kind."""
        write_all(self.shared)

    @cached_property
    def watch(self) -> Watch:
        """The one hook of this process, made when every loader has been imported."""
        for loader in LOADERS:
            loader.load(self.shared / loader.kind)
        return Watch()

    def run(self, case: int, folder: Path, rng: np.random.Generator) -> Outcome:
        """Try some attacks on the loader that the number stands for."""
        loader = LOADERS[case // _CASES_OF_LOADER]
        kind = f"{loader.kind} by {loader.load.__name__.strip('_')}"
        for number in range(_PER_CASE):
            copy = folder / str(number) / loader.kind
            shutil.copytree(self.shared / loader.kind, copy)
            (copy.parent / SECRET).write_text("secret")
            turn = case % _CASES_OF_LOADER * _PER_CASE + number
            attack = _attack(copy, loader, turn, rng)
            failure = self._loaded(loader, copy)
            shutil.rmtree(copy.parent)
            if failure:
                return Outcome(kind, f"{attack}: {failure}", number + 1)
        return Outcome(kind, tried=_PER_CASE)

    def _loaded(self, loader: Loader, folder: Path) -> str:
        """Load the artifact; what a loader may not do and did."""
        watch = self.watch
        before = _entries(folder.parent)
        # A single file, and weights in the cache of a hub, may be links: who names them
        # means what they lead to. A sealed folder is whole by itself.
        watch.begin(folder, follows_links=not loader.role)
        failure = ""
        try:
            with time_limit():
                loader.load(folder)
        # Panics of libraries are not Exceptions.
        except BaseException as error:
            failure = fault_of(error)
        finally:
            watch.end()
        if watch.found:
            failure = watch.found[0]
        if (folder.parent / MARKER).exists():
            failure = "a payload was run"
        if _entries(folder.parent) != before:
            failure = "files were written or removed"
        return failure


def _attack(folder: Path, loader: Loader, turn: int, rng: np.random.Generator) -> str:
    """Change the folder by the attack whose turn it is; returns its name."""
    names = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and path.name != _MANIFEST
    )
    n_attacks = len(ATTACKS) + bool(loader.role)
    which = turn % n_attacks
    if which == len(ATTACKS):
        manifest = json.loads((folder / _MANIFEST).read_bytes())
        manifest.pop("sha256", None)
        hostile = hostile_manifest(manifest, rng)
        # Of an older version, which had no hash of itself, or with one that is right.
        data = json.dumps(hostile).encode()
        if isinstance(hostile, dict) and data.isascii() and rng.integers(2):
            with contextlib.suppress(UnicodeEncodeError):
                data = guarded_json(hostile)
        (folder / _MANIFEST).write_bytes(data)
        return "hostile_manifest"

    manifest = {}
    if loader.role:
        manifest = json.loads((folder / _MANIFEST).read_bytes())
    ATTACKS[which](folder, names, rng)
    if manifest:
        seal_anew(folder, manifest)
    return ATTACKS[which].__name__


def _entries(folder: Path) -> set[tuple[str, int]]:
    """Names below a folder, with their sizes."""
    found = set()
    for root, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = os.path.join(root, name)
            found.add((path, os.lstat(path).st_size))
    return found
