"""A stack on disk: its meta level as JSON and arrays, its base models' files beside it.

A folder is self-contained, so it can be moved or sent, and sealed by a manifest against
which every file is checked before anything is predicted: one changed file would
otherwise change scores unnoticed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.numpy
from sklearn.base import BaseEstimator

from base_models.errors import (
    MISFITS,
    DamagedArtifact,
    UsageError,
    in_short,
    some,
)
from base_models.files import (
    LOG,
    Artifact,
    is_sealed,
    read_artifact,
    read_json,
    to_json,
    write_artifact,
)
from base_models.scales import Scale
from base_models.sklearn_files.estimator_files import (
    estimator_bytes,
    read_estimator,
)
from ensemble.estimator.input_rows import restore_features
from ensemble.formats import csv_table
from ensemble.prediction_files.stack_scales import StackScales
from ensemble.version import __version__
from ensemble.workspace import STACK_ROLE
from meta.regressor import MetaRegressor
from meta.regressor_state import cross_fits_of, restore_cross_fits

OUT_OF_FOLD = "out_of_fold.csv"
"""Scores of the clips that a stack was fitted on by learners without their systems, as
``predict_mos --cross-fit`` writes them; for people, since they are stored with the
learners too."""
_FOLDS_FACTS = "folds.json"
_FOLDS_ARRAYS = "folds.safetensors"
_KINDS: Mapping[str, type] = {
    "aspects": list,
    "needs_text": list,
    "source": str,
    "demo": bool,
    "flat": bool,
    "disagreement": list,
}
"""Kinds of further values of stack.json."""
_FOLDER_NAME = re.compile(r"[^./\\\x00-\x1f][^/\\\x00-\x1f]*")
"""Names that can name a folder inside another one, and only there."""


def write_stack(
    folder: Path | str,
    regressor: MetaRegressor,
    bases: Mapping[str, Mapping[str, bytes]],
    facts: Mapping[str, Any],
    extra: Mapping[str, bytes] | None = None,
    log: bytes = b"",
    identity: str = "",
) -> None:
    """Write a fitted stack to `folder` and seal it.

    Parameters
    ----------
    folder : see `base_models.files.write_artifact`
    regressor : the fitted meta level
    bases : name of each base model to its files, see
        `ensemble.estimator.base_model_files.files_of`
    facts : JSON values that a reader of the stack needs
    extra : further files, such as a report
    log : what the log beside the sealed files says of it; empty for none
    identity : of a stack whose folder is named by what decides it, see
        `base_models.files.seal`

    Raises
    ------
    UsageError
        when the name of a base model cannot name its folder, `folder` holds other
        files, or the learner is a scikit-learn regressor of a type that cannot be read
        back safely.
    """
    # The name of a base model becomes a folder, and must not lead out of this one.
    bad = [name for name in bases if not _FOLDER_NAME.fullmatch(name)]
    if bad:
        raise UsageError(
            f"Base models {some(bad)} cannot be saved under these names; use letters, "
            "digits, - and _."
        )

    state, arrays = regressor.state()
    scales = scales_of(facts, regressor)
    own_facts = {
        "bases": list(bases),
        "meta": state,
        "stackedmos": __version__,
        **facts,
        # As `restore_stack` reads them: a stack that is stored anew stays equal.
        "scales": scales.to_json(),
    }
    files = {
        "stack.json": to_json(own_facts),
        "meta.safetensors": safetensors.numpy.save(arrays),
    }
    for k, estimator in enumerate(regressor.sklearn_estimators):
        files[_learner_file(k)] = estimator_bytes(
            estimator,
            "The final estimator",
            "Use one of the learners that have a name.",
        )
    for name, contents in bases.items():
        for file, data in contents.items():
            files[f"base/{name}/{file}"] = data
    files |= _cross_fit_files(regressor, scales)
    files |= extra or {}

    beside = {LOG: log} if log else {}
    write_artifact(folder, STACK_ROLE, files, beside, identity)


def _refuse_workspace(folder: Path) -> None:
    """Name the stack inside of a folder of artifacts, which is none by itself."""
    pointer = folder / "stack.json"
    if is_sealed(folder) or not pointer.is_file():
        return
    last = read_json(pointer)
    if isinstance(last, dict) and isinstance(last.get("folder"), str):
        raise UsageError(
            f"{folder} is a folder of artifacts, in which stacks lie; the last one is "
            f"{folder / last['folder']}."
        )


def read_stack(
    folder: Path | str, expect_sha256: str | None = None
) -> tuple[Artifact, dict[str, Any], MetaRegressor]:
    """The verified artefact, its facts and its meta level.

    Parameters
    ----------
    folder : of a stack
    expect_sha256 : the hash that it must have, see `Artifact.root_hash`; None takes any

    Raises
    ------
    UsageError
        when `folder` is not a stack.
    DamagedArtifact
        when any file changed, or it is another stack than the expected one.
    """
    _refuse_workspace(Path(folder))

    def read(artifact: Artifact) -> tuple[Artifact, dict[str, Any], MetaRegressor]:
        if expect_sha256 is not None:
            artifact.check_root_hash(expect_sha256)
        artifact.verify()
        facts, regressor = meta_level(artifact)
        return artifact, facts, regressor

    # fit_meta may replace it at this moment.
    return read_artifact(folder, STACK_ROLE, read)


def meta_level(artifact: Artifact) -> tuple[dict[str, Any], MetaRegressor]:
    """The facts of a stack and its meta level, out of files that may be a stranger's.

    Raises
    ------
    DamagedArtifact
        when a file is not of the form that this version writes.
    """
    facts = artifact.json("stack.json")
    problem = _problem_of(facts)
    if problem:
        raise DamagedArtifact(
            f"{artifact.folder}/stack.json is not a stack of this version ({problem}); "
            "fit it again."
        )
    arrays = artifact.tensors("meta.safetensors")
    estimators: list[Any] = []
    while _learner_file(len(estimators)) in artifact.names:
        file = _learner_file(len(estimators))
        estimators.append(
            read_estimator(artifact.read(file), f"{artifact.folder}/{file}")
        )
    regressor = MetaRegressor.from_state(facts["meta"], arrays, estimators)
    if _FOLDS_FACTS in artifact.names:
        restore_cross_fits(
            regressor, artifact.json(_FOLDS_FACTS), artifact.tensors(_FOLDS_ARRAYS)
        )
    return facts, regressor


def _problem_of(facts: Any) -> str:
    """What is wrong with the values of stack.json; "" where nothing is."""
    if not isinstance(facts, dict) or not {"bases", "meta"} <= set(facts):
        return "it has no base models or no meta level"
    bases = facts["bases"]
    if not isinstance(bases, list) or not all(isinstance(name, str) for name in bases):
        return "'bases' is no list of names"
    # The names become folders, and keys of files.
    if len(set(bases)) != len(bases) or not all(map(_FOLDER_NAME.fullmatch, bases)):
        return "'bases' holds a name twice, or one that names no folder"
    if not isinstance(facts["meta"], dict):
        return "'meta' is no mapping"
    for key, kind in _KINDS.items():
        if not isinstance(facts.get(key, kind()), kind):
            return f"'{key}' is a {type(facts[key]).__name__}"
    return ""


def _cross_fit_files(regressor: MetaRegressor, scales: StackScales) -> dict[str, bytes]:
    """The learners of the folds, and for people the scores of the rows left out."""
    # Without a calibration there are none; and one aspect may have too few systems.
    if not any(regressor.cross_fits_):
        return {}
    facts, arrays = cross_fits_of(regressor)
    unseen = scales.scored_table(regressor.out_of_fold_, regressor.aspects_)
    return {
        _FOLDS_FACTS: to_json(facts),
        _FOLDS_ARRAYS: safetensors.numpy.save(arrays),
        OUT_OF_FOLD: csv_table(unseen.reset_index(), decimals=6),
    }


def scales_of(facts: Mapping[str, Any], regressor: MetaRegressor) -> StackScales:
    """The scales that a stack remembers; of an older one that of its bins.

    Raises
    ------
    DamagedArtifact
        when they cannot be read.
    """
    scales = StackScales(Scale.of(regressor.layout_.bins))
    if "scales" in facts:
        try:
            scales = StackScales.from_json(facts["scales"])
        except MISFITS as error:
            raise DamagedArtifact(
                f"The stack's scales are not of this version ({in_short(error)}); fit "
                "it again."
            ) from error
    return scales.for_models(regressor.layout_.models, regressor.aspects_)


def _learner_file(k: int) -> str:
    """Where the scikit-learn regressor of aspect `k` is stored, if it is one."""
    return f"learner/{k}.skops"


def restore_stack(
    stack: BaseEstimator,
    facts: Mapping[str, Any],
    regressor: MetaRegressor,
    bases: list[tuple[str, Any]],
) -> None:
    """Give a stack what it learnt, as after `fit` but for the rows: they are not saved.

    Parameters
    ----------
    stack : StackedMOS, not fitted
    facts, regressor : as `read_stack` returned them
    bases : (name, fitted base model) pairs
    """
    stack.estimators_ = bases
    stack.final_estimator_ = regressor
    stack.bins_ = regressor.layout_.bins
    stack.scales_ = scales_of(facts, regressor)
    stack.aspects_ = regressor.aspects_
    stack.trial_ = None
    stack.demo_ = bool(facts.get("demo", False))
    stack.disagreement_notes_ = tuple(facts.get("disagreement", ()))
    stack._flat = bool(facts.get("flat", False))
    restore_features(stack, facts)
