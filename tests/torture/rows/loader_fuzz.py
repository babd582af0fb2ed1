"""Structure-aware mutants of what loaders read, in memory."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import resource
import tempfile
import zipfile
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors.numpy
from torture.foreign.artifacts import write_all
from torture.foreign.in_memory import MemoryArtifact
from torture.foreign.mutants import (
    mutant_arrays,
    mutant_bytes,
    mutant_json,
    mutant_tensors,
)
from torture.foreign.watch import fault_of, time_limit
from torture.harness import Outcome, Row

from base_models.clips.read_clips import read_clips
from base_models.errors import StackedMOSError
from base_models.files import Artifact, from_json, parse_tensors, to_json
from base_models.frame_range import FrameRange
from base_models.pooled.pooled_mos import PooledMOS
from base_models.predictions import PredictionTable
from base_models.sklearn_files.audit import SCHEMA
from base_models.sklearn_files.estimator_files import read_estimator
from base_models.training.neural_mos import NeuralMOS
from ensemble.estimator.save_and_load import meta_level, scales_of
from ensemble.hub.stack_contents import ContainedFile, contents_of
from meta.regressor import MetaRegressor
from meta.regressor_state import restore_cross_fits

_MEMORY = 2**30
"""Bytes of address space that mutants may take, beyond what is taken before."""
_TABLE = (
    "clip_id,audio,prompt,system_id,split,mi,ta\n"
    + "".join(
        f'c{k},c{k}.wav,"a, {k}",s{k % 3},{"train" if k < 8 else "test"},'
        f"{1 + k / 4},{5 - k / 4}\n"
        for k in range(12)
    )
).encode()

Load = Callable[["Good", np.random.Generator, Path], object]


class Good(NamedTuple):
    """The good files that mutants are made of, by the kind of artifact."""

    files: dict[str, dict[str, bytes]]
    json: dict[str, dict[str, Any]]
    arrays: dict[str, dict[str, dict[str, np.ndarray]]]

    @classmethod
    def read(cls, root: Path) -> Good:
        """Read and parse what `write_all` wrote."""
        files: dict[str, dict[str, bytes]] = {}
        for path in root.rglob("*"):
            if path.is_file():
                kind, _, name = path.relative_to(root).as_posix().partition("/")
                files.setdefault(kind, {})[name] = path.read_bytes()
        parsed = {
            kind: {
                name: from_json(data, name)
                for name, data in own.items()
                if name.endswith(".json")
            }
            for kind, own in files.items()
        }
        arrays = {
            kind: {
                name: safetensors.numpy.load(data)
                for name, data in own.items()
                if name.endswith(".safetensors")
            }
            for kind, own in files.items()
        }
        return cls(files, parsed, arrays)

    def mutant(self, kind: str, rng: np.random.Generator) -> MemoryArtifact:
        """An artifact in which one file is a mutant, of bytes or of what they say."""
        names = sorted(self.files[kind])
        name = names[int(rng.integers(len(names)))]
        if name.endswith(".json") and rng.integers(4):
            values = {name: mutant_json(self.json[kind][name], rng)}
            return MemoryArtifact(self.files[kind], values)
        if name.endswith(".safetensors") and rng.integers(4):
            arrays = mutant_arrays(self.arrays[kind][name], rng)
            return MemoryArtifact(self.files[kind], {name: arrays})
        changed = mutant_bytes(self.files[kind][name], rng)
        return MemoryArtifact({**self.files[kind], name: changed})


def _manifest(good: Good, rng: np.random.Generator, folder: Path) -> object:
    data = good.files["stack"]["manifest.json"]
    if rng.integers(2):
        data = mutant_bytes(data, rng)
    else:
        value = mutant_json(good.json["stack"]["manifest.json"], rng)
        data = to_json(value)
    (folder / "manifest.json").write_bytes(data)
    return Artifact(folder, "stack").names


def _json_text(good: Good, rng: np.random.Generator, folder: Path) -> object:
    return from_json(mutant_bytes(good.files["stack"]["stack.json"], rng), "mutant")


def _tensor_bytes(good: Good, rng: np.random.Generator, folder: Path) -> object:
    data = good.files["pooled"]["pooling.safetensors"]
    changed = mutant_tensors(data, rng) if rng.integers(2) else mutant_bytes(data, rng)
    return parse_tensors(changed, "mutant")


def _range(good: Good, rng: np.random.Generator, folder: Path) -> object:
    arrays = mutant_arrays(good.arrays["network"]["range.safetensors"], rng)
    return FrameRange.from_arrays(arrays, 6, "mutant")


def _meta(good: Good, rng: np.random.Generator, folder: Path) -> object:
    facts = good.json["stack"]["stack.json"]
    arrays = good.arrays["stack"]["meta.safetensors"]
    if rng.integers(2):
        facts = {**facts, "meta": mutant_json(facts["meta"], rng)}
    else:
        facts = mutant_json(facts, rng) if rng.integers(4) == 0 else facts
        arrays = mutant_arrays(arrays, rng)
    stack = MemoryArtifact({}, {"stack.json": facts, "meta.safetensors": arrays})
    return _restored(stack)


def _restored(stack: MemoryArtifact) -> object:
    facts, regressor = meta_level(stack)
    return scales_of(facts, regressor)


def _folds(good: Good, rng: np.random.Generator, folder: Path) -> object:
    stack = good.json["stack"]
    known = good.arrays["stack"]
    regressor = MetaRegressor.from_state(
        copy.deepcopy(stack["stack.json"]["meta"]), known["meta.safetensors"]
    )
    facts = stack["folds.json"]
    arrays = known["folds.safetensors"]
    if rng.integers(2):
        facts = mutant_json(facts, rng)
    else:
        arrays = mutant_arrays(arrays, rng)
    restore_cross_fits(regressor, facts, arrays)
    return regressor


def _described(good: Good, rng: np.random.Generator, folder: Path) -> object:
    mutant = good.mutant("stack", rng)
    files = tuple(ContainedFile(name, size=1, sha256="") for name in mutant.names)
    return contents_of(mutant, files).to_json()


def _network(good: Good, rng: np.random.Generator, folder: Path) -> object:
    return NeuralMOS.from_artifact(good.mutant("network", rng))


def _pooled(good: Good, rng: np.random.Generator, folder: Path) -> object:
    return PooledMOS.from_artifact(good.mutant("pooled", rng))


def _stored_table(good: Good, rng: np.random.Generator, folder: Path) -> object:
    names = ("predictions.json", "predictions.safetensors")
    files = {name: good.files["stack"][f"base/table/{name}"] for name in names}
    values: dict[str, Any] = {}
    if rng.integers(2):
        values[names[0]] = mutant_json(
            good.json["stack"]["base/table/predictions.json"], rng
        )
    else:
        values[names[1]] = mutant_arrays(
            good.arrays["stack"]["base/table/predictions.safetensors"], rng
        )
    return PredictionTable.from_artifact(MemoryArtifact(files, values), "")


def _parquet(good: Good, rng: np.random.Generator, folder: Path) -> object:
    data = mutant_bytes(good.files["table"]["predictions.parquet"], rng)
    return PredictionTable.parse(data, "mutant")


def _estimator(good: Good, rng: np.random.Generator, folder: Path) -> object:
    data = good.files["estimator"]["estimator.skops"]
    if rng.integers(4) == 0:
        return read_estimator(mutant_bytes(data, rng), "mutant")
    estimator = read_estimator(_other_archive(data, rng), "mutant")
    # Of numbers that nobody fitted it may raise anything, and may not end the process.
    with contextlib.suppress(Exception):
        estimator.predict(np.ones((2, 3)))
    return estimator


def _other_archive(data: bytes, rng: np.random.Generator) -> bytes:
    """An archive with another tree of nodes, or another array, and right checksums."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    names = sorted(members)
    name = names[int(rng.integers(len(names)))] if rng.integers(2) else SCHEMA
    if name == SCHEMA:
        members[name] = to_json(mutant_json(json.loads(members[name]), rng))
    else:
        members[name] = mutant_bytes(members[name], rng)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for own, content in members.items():
            archive.writestr(own, content)
    return buffer.getvalue()


def _clip_list(good: Good, rng: np.random.Generator, folder: Path) -> object:
    path = folder / "clips.csv"
    path.write_bytes(mutant_bytes(_TABLE, rng))
    return read_clips(path)


LOADS: tuple[tuple[Load, int], ...] = (
    (_manifest, 22),
    (_json_text, 22),
    (_tensor_bytes, 50),
    (_range, 30),
    (_meta, 20),
    (_folds, 6),
    (_described, 10),
    (_stored_table, 20),
    (_parquet, 10),
    (_network, 2),
    (_pooled, 2),
    (_estimator, 4),
    (_clip_list, 4),
)
"""Loaders, with how many cases each has: those that take long have few."""
_PER_CASE = 500
_TURNS = tuple(load for load, n_cases in LOADS for _ in range(n_cases))


class Torture(Row):
    """A case is some hundred mutants through one loader."""

    what = "structure-aware mutants of manifests, arrays, tables, lists and weights"
    passes_when = "0 signals, 0 hangs, documented exceptions only, < 1 GiB"
    at_least = 100_000
    n_cases = len(_TURNS)
    n_share = 7
    seconds = 120.0

    def prepare(self) -> None:
        """Write one artifact of every kind."""
        write_all(self.shared)

    @cached_property
    def good(self) -> Good:
        """The good files, with a limit on memory from now on."""
        good = Good.read(self.shared)
        # Whatever is imported late is imported now, without a limit.
        rng = np.random.default_rng(0)
        for kind, model in (("network", NeuralMOS), ("pooled", PooledMOS)):
            model.from_artifact(MemoryArtifact(good.files[kind]))
        scratch = Path(tempfile.mkdtemp())
        for load in (_clip_list, _parquet, _described):
            with contextlib.suppress(StackedMOSError):
                load(good, rng, scratch)
        with open("/proc/self/statm", encoding="ascii") as file:
            n_pages = int(file.read().split()[0])
        taken = n_pages * resource.getpagesize()
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        resource.setrlimit(resource.RLIMIT_AS, (taken + _MEMORY, hard))
        return good

    def run(self, case: int, folder: Path, rng: np.random.Generator) -> Outcome:
        """Load mutants; the first that is not refused as documented ends the case."""
        load = _TURNS[case]
        good = self.good
        kind = load.__name__.strip("_").replace("_", " ")
        for number in range(_PER_CASE):
            try:
                with time_limit():
                    load(good, rng, folder)
            # Panics of libraries are not Exceptions.
            except BaseException as error:
                failure = fault_of(error)
                if failure:
                    return Outcome(kind, f"mutant {number}: {failure}", number + 1)
        return Outcome(kind, tried=_PER_CASE)
