"""Finished base models of a workspace: found by their data, chosen by name, removed.

Runs of one clip table can share a stack, whatever call of ``fit_base`` trained them.
"""

from __future__ import annotations

import fnmatch
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from base_models.errors import MISFITS, DamagedArtifact, UsageError, one_of, some
from base_models.files import MANIFEST, Artifact, is_sealed, locked
from base_models.pooled_config import FAMILY
from base_models.predictions import PredictionTable
from ensemble.training.base_model_run import FOLD_ROLE, PREDICTIONS, ROLE, RUN
from ensemble.workspace import BASE_MODELS, Workspace

_NAME = re.compile(r"-s(\d+)$")
"""The seed at the end of a run's name."""
_CONFIG = "config.json"
_FOLDS = "-oof"
"""Folders of out-of-fold predictions: the run's name, this, and the number of folds."""


@dataclass(frozen=True)
class StoredRun:
    """A finished base model.

    Parameters
    ----------
    folder : Path
    """

    folder: Path

    @cached_property
    def artifact(self) -> Artifact:
        """Its files.

        Raises
        ------
        DamagedArtifact
            When the folder holds another run than its name says.
        """
        return Artifact(self.folder, ROLE, self.folder.name)

    @cached_property
    def facts(self) -> dict[str, Any]:
        """How it was trained; older runs know less of it."""
        facts = self.artifact.json(RUN)
        is_named = isinstance(facts, dict) and isinstance(facts.get("name"), str)
        if not is_named or not isinstance(facts.get("seed", 0), int):
            raise self._says_not(RUN, "what was trained")
        known: dict[str, Any] = facts
        return known

    @cached_property
    def config(self) -> dict[str, Any]:
        """Parameters, config and encoders of the model."""
        config = self.artifact.json(_CONFIG)
        if not isinstance(config, dict):
            raise self._says_not(_CONFIG, "what the model is")
        known: dict[str, Any] = config
        return known

    def _says_not(self, file: str, what: str) -> DamagedArtifact:
        return DamagedArtifact(
            f"{self.folder / file} does not say {what}; remove that folder, and train "
            "the model again."
        )

    @property
    def name(self) -> str:
        """Its short name, such as ``"dora-s0"``, which several runs may share."""
        return str(self.facts["name"])

    @property
    def table(self) -> str:
        """Fingerprint of the clips that it was trained on; "" of an older run."""
        return str(self.facts.get("table", ""))

    @property
    def is_trial(self) -> bool:
        """Whether it was trained only to show that everything works."""
        return bool(self.facts.get("trial", False))

    @property
    def preset(self) -> str:
        """The preset that it was trained from."""
        # Older runs say it in their names alone.
        return str(self.facts.get("preset", _NAME.sub("", self.name)))

    @property
    def seed(self) -> int:
        """The seed that it was trained with."""
        if "seed" in self.facts:
            return int(self.facts["seed"])
        in_name = _NAME.search(self.name)
        return int(in_name[1]) if in_name else 0

    @property
    def is_pooled(self) -> bool:
        """Whether it regresses on pooled embeddings."""
        return self.config.get("family") == FAMILY

    @property
    def encoders(self) -> tuple[str, ...]:
        """Names of its encoders: audio, and text where an aspect needs it."""
        try:
            of_kind = self.config["encoders"]
            return tuple(
                str(of_kind[kind]["name"])
                for kind in ("audio", "text")
                if kind in of_kind
            )
        except MISFITS as error:
            raise self._says_not(_CONFIG, "which encoders the model is on") from error

    @property
    def model_files(self) -> tuple[str, ...]:
        """The files that a stack carries along: all that the model is loaded from."""
        return tuple(
            name
            for name in self.artifact.names
            if name != RUN and not name.startswith(PREDICTIONS)
        )

    def predictions(self, split: str) -> PredictionTable | None:
        """Its predictions for a split, or None where there was no such clip."""
        file = f"{PREDICTIONS}{split}.parquet"
        if file not in self.artifact.names:
            return None
        return PredictionTable.parse(self.artifact.read(file), str(self.folder / file))

    def fold_folder(self, folds: int) -> Path:
        """Where its out-of-fold predictions are, if they were made."""
        return self.folder.with_name(f"{self.folder.name}{_FOLDS}{folds}")

    def out_of_fold(self, folds: int) -> PredictionTable | None:
        """Its predictions of the training split, by models that did not see the rows.

        None where they were not made.
        """
        folder = self.fold_folder(folds)
        if not is_sealed(folder):
            return None
        artifact = Artifact(folder, FOLD_ROLE, folder.name)
        parts = []
        for number in range(folds):
            file = f"oof-{number}.parquet"
            parts.append(PredictionTable.parse(artifact.read(file), str(folder / file)))
        return PredictionTable.join(parts)

    @property
    def most_folds(self) -> int:
        """The largest number of folds that it was predicted in; 0 where in none."""
        counts = [
            int(folder.name.rpartition(_FOLDS)[2])
            for folder in self.folders[1:]
            if is_sealed(folder)
        ]
        return max(counts, default=0)

    @property
    def folders(self) -> list[Path]:
        """Its own folder, and those of its out-of-fold predictions."""
        pattern = f"{self.folder.name}{_FOLDS}*"
        return [self.folder, *sorted(self.folder.parent.glob(pattern))]

    @property
    def size(self) -> int:
        """Bytes on disk, out-of-fold predictions included."""
        files = [
            path
            for folder in self.folders
            for path in folder.rglob("*")
            if path.is_file()
        ]
        return sum(path.stat().st_size for path in files)


@dataclass(frozen=True)
class RunsOfData:
    """The base models that can share a stack.

    Parameters
    ----------
    data : Path
        Folder of their clip table.
    folds : int
        How many folds the last ``fit_base`` predicted out of fold; 0 for none.
    runs : mapping of str to StoredRun
        Finished ones by name, ordered by preset and seed. A name that several runs
        share belongs to the one planned last, finished or not; the others bear that of
        their folders.
    unfinished : tuple of str
        Names of those that the last ``fit_base`` planned and did not finish.
    failed : mapping of str to str
        Names of those that it planned and could not train, and why.
    damaged : mapping of Path to str
        Folders of runs that cannot be read, and why.
    planned : frozenset of Path
        Folders that the last ``fit_base`` planned, and did not report as failed.
    others : frozenset of str
        Names of the folders of finished runs of other clips.
    """

    data: Path
    folds: int
    runs: Mapping[str, StoredRun] = field(default_factory=dict)
    unfinished: tuple[str, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)
    damaged: Mapping[Path, str] = field(default_factory=dict)
    planned: frozenset[Path] = frozenset()
    others: frozenset[str] = frozenset()

    @classmethod
    def of_last(cls, workspace: Workspace) -> RunsOfData:
        """All runs on the clips of the last ``fit_base``, by whatever call.

        Raises
        ------
        UsageError
            When there was no ``fit_base``.
        """
        pointer = workspace.latest(BASE_MODELS, "fit_base")
        kept = RunList.of(workspace)
        planned = {
            workspace.root / entry["folder"]: entry["name"] for entry in pointer["runs"]
        }
        reasons = {
            workspace.root / entry["folder"]: entry["failed"]
            for entry in pointer["runs"]
            if "failed" in entry
        }
        # A run that failed may be finished for all that: without its folds.
        finished = {run.folder for run in kept.runs}
        failed = {
            planned[folder]: reason
            for folder, reason in reasons.items()
            if folder not in finished
        }
        unfinished = tuple(
            name
            for folder, name in planned.items()
            if not is_sealed(folder) and name not in failed
        )
        # Older pointers do not name the table; then only planned runs are known.
        table = pointer.get("table")
        runs = [
            run
            for run in kept.runs
            if run.folder in planned
            or (table and run.table == table and not run.is_trial)
        ]
        return cls(
            data=workspace.root / pointer["data"],
            folds=pointer.get("folds", 0),
            runs=_by_name(runs, planned),
            unfinished=unfinished,
            failed=failed,
            damaged=kept.damaged,
            # Whoever was told that a run is damaged stacks the others.
            planned=frozenset(planned) - frozenset(reasons),
            others=frozenset(run.folder.name for run in kept.runs if run not in runs),
        )

    def choose(self, patterns: Sequence[str] | None) -> dict[str, StoredRun]:
        """The runs that some names or patterns mean, such as ``dora-*``; None is all.

        Raises
        ------
        UsageError
            When a name or pattern means no run, or a run that is meant is not finished,
            or none could be trained.
            Runs that could not be trained are left out, unless nothing else is meant.
        DamagedArtifact
            When a run that was planned cannot be read.
        """
        # Of any other damaged run it is not known which clips it is of.
        for folder, reason in self.damaged.items():
            if folder in self.planned:
                raise DamagedArtifact(reason)
        if patterns is None:
            if self.unfinished:
                finished = some(self.runs) if self.runs else "none"
                raise UsageError(
                    f"Base models {some(self.unfinished)} are not finished; run the "
                    "same fit_base again first, or name finished ones with --models: "
                    f"{finished}."
                )
            if self.failed and not self.runs:
                name, reason = next(iter(self.failed.items()))
                raise UsageError(
                    f"None of the base models could be trained. {name}: {reason} Run "
                    "the same fit_base again after the cure."
                )
            return dict(self.runs)

        chosen: set[str] = set()
        for pattern in patterns:
            if pattern in self.others:
                raise UsageError(
                    f"'{pattern}' was trained on other clips than those of the last "
                    "fit_base; run the fit_base of its clips again, which trains "
                    "nothing anew, and then this."
                )
            unfinished = fnmatch.filter(self.unfinished, pattern)
            if unfinished:
                raise UsageError(
                    f"Base model '{unfinished[0]}' is not finished; run the same "
                    "fit_base again first."
                )
            failed = fnmatch.filter(self.failed, pattern)
            if failed and not fnmatch.filter(self.runs, pattern):
                reason = self.failed[failed[0]].rstrip(".")
                raise UsageError(
                    f"Base model '{failed[0]}' could not be trained: {reason}. Run the "
                    "same fit_base again after the cure, or name others with --models: "
                    f"{some(self.runs)}."
                )
            chosen.update(matching(pattern, self.runs))
        return {name: run for name, run in self.runs.items() if name in chosen}


def matching(pattern: str, names: Iterable[str]) -> list[str]:
    """The names that a name or pattern means, at least one.

    Raises
    ------
    UsageError
        When it means none.

    Examples
    --------
    >>> matching("dora-*", ["dora-s0", "dora-s1", "whisq-s0"])
    ['dora-s0', 'dora-s1']
    """
    known = list(names)
    if pattern in known:
        return [pattern]
    found = [name for name in known if fnmatch.fnmatchcase(name, pattern)]
    if found:
        return found
    if any(character in pattern for character in "*?["):
        there = f"there are {some(known, 20)}" if known else "there is none"
        raise UsageError(
            f"'{pattern}' matches no base model of the last fit_base's clips; {there}."
        )
    return [one_of(pattern, known, "base model")]


@dataclass(frozen=True)
class RunList:
    """Every finished base model of a workspace.

    Parameters
    ----------
    runs : tuple of StoredRun
        By preset, seed and folder.
    damaged : mapping of Path to str
        Folders whose facts cannot be read, and why.
    unfinished : tuple of Path
        Folders of runs that were begun and have no manifest.
    """

    runs: tuple[StoredRun, ...]
    damaged: Mapping[Path, str] = field(default_factory=dict)
    unfinished: tuple[Path, ...] = ()

    @classmethod
    def of(cls, workspace: Workspace) -> RunList:
        """What is there now."""
        runs = []
        damaged = {}
        unfinished = []
        for folder in sorted((workspace.root / "base").glob("*-s*-*")):
            if _FOLDS in folder.name or not folder.is_dir():
                continue
            if not is_sealed(folder):
                unfinished.append(folder)
                continue
            run = StoredRun(folder)
            try:
                order = (run.preset, run.seed, run.folder.name)
                runs.append((order, run))
            except (DamagedArtifact, UsageError, ValueError) as error:
                damaged[run.folder] = str(error)
        runs.sort(key=lambda pair: pair[0])
        return cls(tuple(run for _, run in runs), damaged, tuple(unfinished))


def runs_to_remove(workspace: Workspace, patterns: Sequence[str]) -> dict[str, Path]:
    """The runs that names or patterns mean, as name to folder.

    Parameters
    ----------
    patterns : sequence of str
        Names and patterns as `RunsOfData.choose` takes them, or the name of any run's
        folder, finished or not, written out: a pattern never reaches the runs of other
        clips.

    Raises
    ------
    UsageError
        When one of them means no run, or is the short name of several.
    """
    kept = RunList.of(workspace)
    every = [*(run.folder for run in kept.runs), *kept.damaged, *kept.unfinished]
    folders = {folder.name: folder for folder in every}
    named = {}
    if workspace.has(BASE_MODELS):
        of_last = RunsOfData.of_last(workspace)
        named = {name: run.folder for name, run in of_last.runs.items()}

    chosen: dict[str, Path] = {}
    for pattern in patterns:
        if pattern in folders:
            chosen[pattern] = folders[pattern]
            continue
        # Whoever repeats the command must not delete the next run of that name.
        alike = [name for name in folders if _short_name(name) == pattern]
        if len(alike) > 1:
            raise UsageError(
                f"'{pattern}' is the name of {len(alike)} base models; name a folder: "
                f"{some(alike, 20)}."
            )
        for name in matching(pattern, named):
            chosen[name] = named[name]
    return chosen


def remove_runs(workspace: Workspace, folders: Sequence[Path]) -> int:
    """Delete base models with their out-of-fold predictions.

    Stacks keep copies of their base models, so that they stay whole. The next
    ``fit_meta`` does without the models, even if the last ``fit_base`` planned them.

    Returns
    -------
    freed : int
        Bytes that they took.
    """
    freed = 0
    for folder in folders:
        run = StoredRun(folder)
        freed += run.size
        for part in run.folders:
            # Whoever trains or reads it now is waited for. Without its manifest a
            # folder that could not be deleted whole is not a finished run any more.
            with locked(part):
                (part / MANIFEST).unlink(missing_ok=True)
                shutil.rmtree(part)

    if workspace.has(BASE_MODELS):
        pointer = workspace.latest(BASE_MODELS, "fit_base")
        gone = {str(folder.relative_to(workspace.root)) for folder in folders}
        kept = [entry for entry in pointer["runs"] if entry["folder"] not in gone]
        workspace.point(BASE_MODELS, pointer | {"runs": kept})
    return freed


def _by_name(
    runs: Sequence[StoredRun], planned: Mapping[Path, str]
) -> dict[str, StoredRun]:
    """Runs by names that are unique among them, and not those of others planned."""
    counts = Counter(run.name for run in runs)
    named = {}
    for run in runs:
        is_planned = run.folder in planned
        # Names of one plan are unique, so that a planned run owns its own.
        is_free = counts[run.name] == 1 and run.name not in planned.values()
        named[run.name if is_planned or is_free else run.folder.name] = run
    return named


def _short_name(folder: str) -> str:
    """The name of a run whose folder has this name."""
    return folder.rpartition("-")[0]
