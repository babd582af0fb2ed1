"""Damage to every kind of artifact, pointer and manifest is found, named, or healed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torture.harness import Outcome, Row
from torture.small_workspace import (
    MODELS,
    PROMPTS,
    LetterEncoder,
    base_run,
    clip_table,
    write_unsealed,
    write_workspace,
)

from base_models.clips.same_audio.fingerprint_store import FingerprintStore
from base_models.encoders.store import EmbeddingStore
from base_models.errors import DamagedArtifact, UsageError
from ensemble.estimator.save_and_load import read_stack
from ensemble.training.base_model_run import FAILURE, PROGRESS, failure_of
from ensemble.training.progress import _read_progress
from ensemble.training.rated_clips import RatedClips
from ensemble.training.stored_runs import RunsOfData, StoredRun
from ensemble.workspace import Workspace

FAULTS = 10
"""How many faults of its kind a case tries, one after the other."""
FOLDERS = "a swap of folders"
CHECKPOINTS = ("a.checkpoint.safetensors", "b.checkpoint.safetensors")

Read = Callable[[Workspace], Any]
"""Reads an artifact as the commands do; returns what it stands for."""


@dataclass(frozen=True)
class Target:
    """Files that are read in one way.

    Parameters
    ----------
    name : what they are
    pattern : where they lie below the artifacts folder
    read : how they are read
    heals : whether reading makes them anew, so that nothing is to be said
    """

    name: str
    pattern: str
    read: Read
    heals: bool = False


class Torture(Row):
    """A case is one file, or one pair of files, and one way to damage it."""

    what = "flips, cuts, swaps, appends, zeroing over every kind of artifact"
    passes_when = "0 silent"
    at_least = 4000
    n_cases = 520
    n_share = 20
    seconds = 60.0

    def prepare(self) -> None:
        """Write the artifacts, of which every case damages a copy."""
        workspace = write_workspace(self.shared / "artifacts")
        training = workspace.root / "base" / "c-s0-0123456789"
        training.mkdir()
        write_unsealed(training)
        # Written by the cases that damage one: others do without torch.
        (training / CHECKPOINTS[0]).touch()

    def run(self, case: int, folder: Path, rng: np.random.Generator) -> Outcome:
        """Damage one file in one way, several times, and read it each time."""
        root = folder / "artifacts"
        shutil.copytree(self.shared / "artifacts", root)
        workspace = Workspace(root)
        # Every file has its turn with every kind of damage that it can have.
        turns = [
            (kind, target, path)
            for target, path in _files(workspace)
            for kind in _DAMAGES
            if kind != FOLDERS or path.parent.parent.name in ("base", "data", "meta")
        ]
        kind, target, path = turns[case % len(turns)]
        what = f"{kind} of {target.name}"
        if path.name == CHECKPOINTS[0]:
            _write_checkpoints(path.parent)

        wanted = target.read(workspace)
        tried = 0
        for _ in range(FAULTS):
            undo = _DAMAGES[kind](path, rng)
            if undo is None:
                continue
            tried += 1
            failure = _failure(target, path, workspace, wanted)
            if failure:
                return Outcome(what, failure, tried)
            undo()
            if not _same(target.read(workspace), wanted):
                return Outcome(what, f"{path.name} is not read once restored", tried)
        return Outcome(what, tried=tried)


def _failure(target: Target, path: Path, workspace: Workspace, wanted: Any) -> str:
    """What is wrong with how a damaged file was read; "" for nothing."""
    # Of folders that were swapped, the artifact is what is to be named.
    names = path.relative_to(workspace.root).parts[1:] or (path.name,)
    try:
        found = target.read(workspace)
    except (DamagedArtifact, UsageError) as error:
        is_named = any(name in str(error) for name in names)
        return "" if is_named else f"{path.name} is not named: {error}"
    if _same(found, wanted):
        return ""
    if target.heals:
        return f"{path.name} was damaged, and read as something else"
    return f"{path.name} was damaged, and nothing was said"


def _same(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, bytes) or wanted is None:
        return type(found) is type(wanted) and found == wanted
    return bool(repr(found) == repr(wanted))


# ---- how files are read


def _clip_table(workspace: Workspace) -> Any:
    rated = RatedClips.load(workspace.data("d"))
    return rated.frame.to_csv().encode()


def _healed_clip_table(workspace: Workspace) -> Any:
    # As fit_base does, whether the table is there or not.
    place = workspace.root.parent
    clip_table(place, seed=0).save(workspace.data("d"))
    return _clip_table(workspace)


def _base_model(workspace: Workspace) -> Any:
    run = base_run(workspace, MODELS[0])
    if not run.is_finished():
        raise UsageError(f"{run.folder} and {run.fold_folder} are not finished.")
    run.verify()
    stored = StoredRun(run.folder)
    tables = [stored.predictions("dev"), stored.out_of_fold(run.folds)]
    values = [table.distributions.tobytes() for table in tables if table is not None]
    return [stored.name, values]


def _stack(workspace: Workspace) -> Any:
    folder = workspace.last_stack("fit_meta")
    artifact, facts, _ = read_stack(folder)
    return [folder.name, facts, {name: artifact.read(name) for name in artifact.names}]


def _runs(workspace: Workspace) -> Any:
    found = RunsOfData.of_last(workspace)
    return [found.data.name, found.folds, sorted(found.runs)]


def _last_stack(workspace: Workspace) -> Any:
    return workspace.latest("stack", "fit_meta")


def _embeddings(workspace: Workspace) -> Any:
    store = EmbeddingStore(workspace.embeddings)
    encoder = LetterEncoder()
    keys, _ = store.fill(encoder, PROMPTS)
    return b"".join(store.get(encoder, key).tobytes() for key in keys.values())


def _fingerprints(workspace: Workspace) -> Any:
    audio = workspace.root / "audio"
    paths = {name: str(audio / f"{name}.wav") for name in MODELS}
    found = FingerprintStore(workspace.fingerprints).read(paths)
    return b"".join(found[name].signal.tobytes() for name in MODELS)


def _write_checkpoints(folder: Path) -> None:
    import torch

    from base_models.training.checkpoints import save_checkpoint

    for k, name in enumerate(CHECKPOINTS):
        tensors = {"w": torch.arange(20.0) + k}
        save_checkpoint(folder / name, tensors, {"identity": name[0], "history": []})


def _checkpoint(workspace: Workspace) -> Any:
    from base_models.training.checkpoints import load_checkpoint

    path = workspace.root / "base" / "c-s0-0123456789" / CHECKPOINTS[0]
    found = load_checkpoint(path, "a")
    # Without one, training begins anew and comes to the same end.
    if found is None:
        raise DamagedArtifact(f"{path} is dropped.")
    tensors, state = found
    return [{name: tensor.tolist() for name, tensor in tensors.items()}, state]


def _training(workspace: Workspace) -> Any:
    run = base_run(workspace, "c")
    shown = _read_progress(run)
    reason = failure_of(run.folder)
    # What is shown is left out where it is damaged.
    if shown is None or not reason:
        raise DamagedArtifact(f"{PROGRESS} or {FAILURE} is not shown.")
    return [shown, reason]


_TARGETS = (
    Target("a clip table", "data/d/*", _clip_table),
    Target("a clip table that is written again", "data/d/*", _healed_clip_table, True),
    Target("a base model", "base/a-s0-0123456789/*", _base_model),
    Target("out-of-fold predictions", "base/a-s0-0123456789-oof3/*", _base_model),
    Target("a stack", "meta/ridge-*/**/*", _stack),
    Target("the pointer to base models", "level0.json", _runs),
    Target("the pointer to a stack", "stack.json", _last_stack),
    Target("an embedding", "embeddings/**/*", _embeddings, True),
    Target("a fingerprint", "fingerprints/**/*", _fingerprints, True),
    Target("a checkpoint", f"base/c-*/{CHECKPOINTS[0]}", _checkpoint),
    Target("what training shows", "base/c-*/*.json", _training),
)


def _files(workspace: Workspace) -> Iterator[tuple[Target, Path]]:
    """Every file of every target; files that people may change are left out."""
    for target in _TARGETS:
        for path in sorted(workspace.root.glob(target.pattern)):
            if path.is_file() and path.suffix != ".jsonl":
                yield target, path


# ---- how files are damaged; each returns how to undo it, or None where it cannot be

_Undo = Callable[[], object]


def _written(path: Path, data: bytes) -> _Undo | None:
    good = path.read_bytes()
    if data == good:
        return None
    path.write_bytes(data)
    return lambda: path.write_bytes(good)


def _flip(path: Path, rng: np.random.Generator) -> _Undo | None:
    data = bytearray(path.read_bytes())
    if not data:
        return None
    data[rng.integers(len(data))] ^= 1 << rng.integers(8)
    return _written(path, bytes(data))


def _cut(path: Path, rng: np.random.Generator) -> _Undo | None:
    data = path.read_bytes()
    return _written(path, data[: rng.integers(max(len(data), 1))])


def _append(path: Path, rng: np.random.Generator) -> _Undo | None:
    more = (b"\n", b" ", b"\x00", b"{}", rng.bytes(20), path.read_bytes())
    return _written(path, path.read_bytes() + more[rng.integers(len(more))])


def _zero(path: Path, rng: np.random.Generator) -> _Undo | None:
    data = path.read_bytes()
    if not data:
        return None
    start = int(rng.integers(len(data)))
    n_bytes = min(int(rng.integers(1, 600)), len(data) - start)
    return _written(path, data[:start] + bytes(n_bytes) + data[start + n_bytes :])


def _swap_files(path: Path, rng: np.random.Generator) -> _Undo | None:
    """Two files change their names: one of the same folder or of a like one."""
    likes = {*path.parent.glob("*"), *path.parents[1].glob(f"*/{path.name}")}
    likes |= {*path.parents[1].glob(f"*/*{path.suffix}")}
    others = sorted(
        like for like in likes if like.is_file() and like.suffix != ".jsonl"
    )
    return _swapped(path, others, rng)


def _swap_folders(path: Path, rng: np.random.Generator) -> _Undo | None:
    """Two folders of a kind change their names."""
    folder = path.parent
    others = sorted(other for other in folder.parent.iterdir() if other.is_dir())
    return _swapped(folder, others, rng)


def _swapped(path: Path, others: list[Path], rng: np.random.Generator) -> _Undo | None:
    other = others[rng.integers(len(others))] if others else path
    if other == path or (path.is_file() and other.read_bytes() == path.read_bytes()):
        return None

    def swap() -> None:
        aside = path.with_name("aside")
        os.rename(path, aside)
        os.rename(other, path)
        os.rename(aside, other)

    swap()
    return swap


_DAMAGES: dict[str, Callable[[Path, np.random.Generator], _Undo | None]] = {
    "a flipped bit": _flip,
    "a cut": _cut,
    "bytes appended": _append,
    "zeroed bytes": _zero,
    "a swap of files": _swap_files,
    FOLDERS: _swap_folders,
}
