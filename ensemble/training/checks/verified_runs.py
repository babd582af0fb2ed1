"""What a manifest claims, proved: every file is as it was, and can be made again.

A run that is made again starts from the audio of its clip table, in a folder of its
own; on the same machine it has the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from base_models.errors import (
    DamagedArtifact,
    MachineFault,
    StackedMOSError,
    UsageError,
)
from base_models.files import Artifact, is_sealed, sha256
from base_models.files.artifact import read_manifest
from base_models.precision import IN_FLOAT32
from ensemble.training.base_model_run import ROLE, BaseRun
from ensemble.training.encoder_choice import EncoderChoice
from ensemble.training.rated_clips import RatedClips
from ensemble.training.stored_runs import StoredRun
from ensemble.training.train_base_models import plan_training
from ensemble.training.training_setup import AS_PUBLISHED, Compute, TrainingSetup
from ensemble.workspace import BASE_MODELS, STACK, Workspace

_DTYPES = ("float16", "float32")


@dataclass(frozen=True)
class Verified:
    """What became of the claims of one artifact.

    Parameters
    ----------
    folder : Path
    role : str
        What it is, "" where its manifest cannot be read.
    n_files : int
        How many files its manifest lists.
    problem : str
        What is wrong with them; "" where all are as they were written.
    """

    folder: Path
    role: str
    n_files: int
    problem: str = ""


def artifacts_in(folder: Path) -> list[Path]:
    """Folders of artifacts at or below a folder.

    Raises
    ------
    UsageError
        When there is none.
    """
    if is_sealed(folder):
        return [folder]
    if not folder.is_dir():
        raise UsageError(
            f"{folder} is no folder; name that of a finished run, or an artifacts "
            "folder."
        )
    found = sorted(_sealed_below(folder))
    if not found:
        raise UsageError(
            f"{folder} holds nothing that is finished: no folder in it has a "
            "manifest.json."
        )
    return found


def _sealed_below(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        # Hidden folders are being written, and links lead elsewhere.
        if not path.is_dir() or path.is_symlink() or path.name.startswith("."):
            continue
        if is_sealed(path):
            yield path
        else:
            yield from _sealed_below(path)


def verified(folder: Path) -> Verified:
    """Read every file that the manifest of a folder lists, and compare its hash."""
    role = ""
    n_files = 0
    try:
        facts = read_manifest(folder)
        role = facts["role"]
        n_files = len(facts["files"])
        # What bears the name of its contents must be in the folder of that name.
        identity = folder.name if facts.get("identity") else ""
        Artifact(folder, role, identity).verify()
    except MachineFault:
        raise
    except StackedMOSError as error:
        return Verified(folder, role, n_files, str(error))
    return Verified(folder, role, n_files)


def damaged_pointers(root: Path) -> list[str]:
    """What is wrong with the pointers of an artifacts folder, where it has any."""
    workspace = Workspace(root)
    problems = []
    for name, command in ((BASE_MODELS, "fit_base"), (STACK, "fit_meta")):
        try:
            if workspace.has(name):
                workspace.latest(name, command)
        except DamagedArtifact as error:
            problems.append(str(error))
    return problems


def differing_files(
    folder: Path,
    scratch: Path,
    audio_encoders: Sequence[str] = (),
    text_encoders: Sequence[str] = (),
) -> list[str]:
    """Train a base model again, from its audio; names of the files that differ.

    Parameters
    ----------
    folder : Path
        Of the base model, in an artifacts folder that has its clip table.
    scratch : Path
        An empty folder to work in.
    audio_encoders, text_encoders : sequence of str
        ``NAME=FOLDER`` of encoders whose weights lie in a folder.

    Returns
    -------
    differing : list of str
        Relative to the folder above `folder`, out-of-fold predictions included; empty
        where all bytes are equal.

    Raises
    ------
    UsageError
        When it is no base model, or its clips, encoders or settings are not those that
        its name stands for.
    DamagedArtifact
        When its clip table was changed.
    """
    run = StoredRun(folder)
    rated = RatedClips.load(folder.parent.parent / "data" / str(run.facts["data"]))
    choice = EncoderChoice.parse(
        _words(run, "audio", audio_encoders), _words(run, "text", text_encoders)
    )
    again = _laid_out_again(run, rated, choice, scratch)
    again.train()

    differing = []
    for stored in [folder, *run.folders[1:]]:
        if not is_sealed(stored):
            continue
        made = again.folder.with_name(stored.name)
        hashes = read_manifest(stored)["files"]
        differing += [
            f"{stored.name}/{name}"
            for name, expected in hashes.items()
            if not _has_hash(made / name, expected)
        ]
    return differing


def _laid_out_again(
    run: StoredRun, rated: RatedClips, choice: EncoderChoice, scratch: Path
) -> BaseRun:
    """This run laid out again, whose name proves that it is of the same things."""
    facts = run.facts
    word = run.name.removesuffix(f"-s{run.seed}")
    compute = Compute(
        device=facts.get("device", "auto"),
        precision={**IN_FLOAT32, **facts.get("precisions", {})},
        jobs=1,
        threads=facts.get("threads", 1),
    )
    settings = facts.get("settings") or AS_PUBLISHED
    # Single settings of a plan may be of other models than this one.
    overrides = facts.get("overrides", {})
    known = TrainingSetup(settings=settings, overrides=overrides).model(word).config
    own = {k: v for k, v in overrides.items() if k in known.setting_names()}
    name = ""
    for dtype in _DTYPES:
        setup = TrainingSetup(
            encoders=choice,
            settings=settings,
            overrides=own,
            folds=run.most_folds,
            dtype=dtype,
            trial=run.is_trial,
        )
        plan = plan_training(
            rated, [(word, run.seed)], Workspace(scratch), setup, compute
        )
        (again,) = plan.runs
        name = again.folder.name
        # The type of the stored embeddings is in the name alone.
        if name == run.folder.name:
            return replace(again, overrides=overrides)
    raise UsageError(
        f"{run.folder.name} is not what its clips, encoders and settings give now "
        f"({name}): the audio, the weights of an encoder, or this version of the code "
        "is another one."
    )


def _words(run: StoredRun, kind: str, given: Sequence[str]) -> list[str]:
    """How the encoder of a kind is named to a plan, and its folder, if any."""
    encoders: dict[str, Any] = run.config["encoders"]
    if kind not in encoders:
        return []
    name = encoders[kind]["name"]
    with_folder = [word for word in given if word.partition("=")[0] == name]
    # Where the model's own name has the encoder, no other word may.
    is_in_name = kind == "audio" and "@" in run.name
    return with_folder or ([] if is_in_name else [name])


def _has_hash(path: Path, expected: str) -> bool:
    return path.is_file() and sha256(path.read_bytes()) == expected


def is_base_model(found: Verified) -> bool:
    """Whether an artifact can be made again by `differing_files`."""
    return found.role == ROLE
