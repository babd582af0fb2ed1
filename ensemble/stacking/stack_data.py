"""StackData: the rows that a stack is fitted on and those that judge it, with what every base model says of them.

From the base models of the last ``fit_base``, their out-of-fold predictions, or anybody's files. The trap: the
rows that fit and the rows that judge must be strangers to the base models in the same way, or the stack learns to trust
the model that knew the answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from base_models.clips.labels import judged_by_text
from base_models.errors import UsageError, one_of, some
from base_models.files import Artifact, is_sealed, sha256
from base_models.predictions import PredictionTable
from ensemble.prediction_files.stack_inputs import External
from ensemble.training.base_model_run import FOLD_ROLE
from ensemble.training.base_model_run import ROLE as BASE_ROLE
from ensemble.training.rated_clips import CONTENT, RatedClips
from ensemble.workspace import Workspace

MODEL_FILES = ("config.json", "weights.safetensors", "history.json")


_SHARED = "; out of fold, base models of meta-training rows have seen labels of meta-validation rows: judge by dev and test"


@dataclass(frozen=True)
class Rows:
    """Some clips of a table, labelled or not.

    Parameters
    ----------
    frame : n rows of a clip table
    tables : one prediction table per base model, over these clips
    """

    frame: pd.DataFrame
    tables: tuple[PredictionTable, ...]

    @property
    def ids(self) -> list[str]:
        """The n clip ids."""
        return self.frame["clip_id"].tolist()

    @property
    def systems(self) -> list[str]:
        """The n system names."""
        return self.frame["system_id"].tolist()

    def labels(self, aspects: Sequence[str]) -> np.ndarray:
        """Labels of shape (n, aspects), NaN where unlabelled."""
        return self.frame[list(aspects)].to_numpy(dtype=np.float64)

    def groups(self, column: str) -> list[str] | None:
        """The n groups that a column names; None without a column."""
        if not column:
            return None
        column = (
            "system_id" if column == "system" and "system" not in self.frame else column
        )
        return (
            self.frame[one_of(column, self.frame.columns, "column for --groups")]
            .astype(str)
            .tolist()
        )


@dataclass(frozen=True)
class StackData:
    """All that one stack is made from.

    Parameters
    ----------
    fit : the rows of the meta level, split into meta-training and meta-validation later
    judges : rows that no fit has seen, by name: ``"test"``, ``"dev"``
    aspects, needs_text : names, and whether each is judged against the prompt
    source, note, demo : of the clip table, for people
    group : column whose clips stay on one side of every split, or ""
    bases : files of each base model, which the stack carries along; empty where only predictions are known
    identity : what decides all this, for the stack's name
    contents : clip id to what its audio hashes to, also of clips that only a base model has seen; empty when unknown
    ratings : single ratings, see `base_models.clips.ratings.read_ratings`, or None
    """

    fit: Rows
    judges: Mapping[str, Rows]
    aspects: tuple[str, ...]
    needs_text: tuple[bool, ...]
    source: str
    note: str
    demo: bool = False
    group: str = ""
    bases: Mapping[str, Mapping[str, bytes]] = field(default_factory=dict)
    identity: tuple[str, ...] = ()
    contents: Mapping[str, str] = field(default_factory=dict)
    ratings: pd.DataFrame | None = None

    @classmethod
    def from_level0(
        cls, workspace: Workspace, only: Sequence[str] | None = None, cv: str = "dev"
    ) -> StackData:
        """The base models of the last ``fit_base``, or those of them that are named.

        Parameters
        ----------
        cv : ``"dev"`` fits the meta level on the dev split (DORA-MOS, section III.D); ``"oof"`` on the out-of-fold
            predictions of the training split, and then the dev split judges too

        Raises
        ------
        UsageError
            when there are none, one is unfinished or has no out-of-fold predictions, or a name is unknown.
        """
        one_of(cv, ("dev", "oof"), "--cv")
        pointer = workspace.latest("level0", "fit_base")
        folders = {
            run["name"]: workspace.root / run["folder"] for run in pointer["runs"]
        }
        for name in only or ():
            one_of(name, folders, "base model")
        folders = {
            name: folder for name, folder in folders.items() if not only or name in only
        }
        artifacts = {
            name: _sealed(name, folder, BASE_ROLE) for name, folder in folders.items()
        }
        rated = RatedClips.load(workspace.root / pointer["data"])
        splits = {
            name: rated.rows(name) for name in ("dev", "test") if len(rated.rows(name))
        }
        judges = {
            name: Rows(frame, _tables(artifacts, f"predictions-{name}"))
            for name, frame in splits.items()
        }
        if cv == "oof":
            fit = Rows(
                rated.rows("train"), _out_of_fold(folders, pointer.get("folds", 0))
            )
        else:
            fit = judges.pop("dev")
        return cls(
            fit,
            dict(sorted(judges.items(), reverse=True)),
            rated.aspects,
            rated.needs_text,
            rated.source,
            rated.note + (_SHARED if cv == "oof" else ""),
            rated.demo,
            rated.group,
            {
                name: {file: base.read(file) for file in MODEL_FILES}
                for name, base in artifacts.items()
            },
            (
                cv,
                str(pointer.get("folds", 0) if cv == "oof" else 0),
                pointer["data"],
                *(f.name for f in folders.values()),
            ),
            dict(
                zip(rated.frame["clip_id"], rated.frame.get(CONTENT, ()), strict=False)
            ),
            rated.ratings,
        )

    def forgetful(self) -> StackData:
        """The same, with tables that do not say what their models have seen: for a stack that may leak."""
        rows = {
            name: replace(rows, tables=tuple(map(_forgetful, rows.tables)))
            for name, rows in self.judges.items()
        }
        return replace(
            self,
            fit=replace(self.fit, tables=tuple(map(_forgetful, self.fit.tables))),
            judges=rows,
        )

    @classmethod
    def from_external(
        cls, external: External, source: str, only: Sequence[str] | None = None
    ) -> StackData:
        """Predictions from files, or those of the models that are named.

        Rows that the labels call ``test`` judge; those called ``dev`` fit, or all others where none is called so.

        Raises
        ------
        UsageError
            when a name is unknown, or a model predicts none of the rows that fit or judge.
        """
        clips, known = external.clips, {table.model: table for table in external.tables}
        tables = [
            known[one_of(name, known, "model")] for name in dict.fromkeys(only or known)
        ]
        test = (clips["split"] == "test").to_numpy()
        fit = (
            ~test & (clips["split"] != "train").to_numpy()
            if (clips["split"] == "dev").any()
            else ~test
        )
        parts = {"fit": fit} | ({"test": test} if test.any() else {})
        rows = {
            name: Rows(
                clips[part].reset_index(drop=True),
                tuple(_within(table, clips[part]) for table in tables),
            )
            for name, part in parts.items()
        }
        aspects = tuple(clips.attrs["aspects"])
        data = clips.to_csv().encode() + b"".join(table.to_bytes() for table in tables)
        models = f"{len(tables)} base model{'s' * (len(tables) != 1)}"
        note = f"{models}, {len(rows['fit'].frame)} clips to fit and validate on"
        if (rows["fit"].frame["split"] == "train").any():
            note += "; there is no dev split, so train rows are among them, which the models may have been trained on"
        return cls(
            rows.pop("fit"),
            rows,
            aspects,
            judged_by_text(aspects, None),
            source,
            note,
            identity=(sha256(data),),
        )


def _forgetful(table: PredictionTable) -> PredictionTable:
    return replace(table, trained_on=frozenset(), selected_on=frozenset())


def _sealed(name: str, folder: Path, role: str) -> Artifact:
    if not is_sealed(folder):
        raise UsageError(
            f"Base model '{name}' is not finished; run the same fit_base again first."
        )
    return Artifact(folder, role, folder.name)


def _tables(
    artifacts: Mapping[str, Artifact], name: str
) -> tuple[PredictionTable, ...]:
    file = f"{name}.parquet"
    return tuple(
        PredictionTable.parse(base.read(file), str(base.folder / file))
        for base in artifacts.values()
    )


def _out_of_fold(
    folders: Mapping[str, Path], folds: int
) -> tuple[PredictionTable, ...]:
    """One table per model over the training split, each row by a model that did not see it."""
    if not folds:
        raise UsageError(
            "The last fit_base made no out-of-fold predictions; run it again with --folds 5."
        )
    tables = []
    for name, folder in folders.items():
        of_folds = _sealed(
            name, folder.with_name(f"{folder.name}-oof{folds}"), FOLD_ROLE
        )
        parts = [_tables({name: of_folds}, f"oof-{k}")[0] for k in range(folds)]
        tables.append(PredictionTable.join(parts))
    return tuple(tables)


def _within(table: PredictionTable, clips: pd.DataFrame) -> PredictionTable:
    known = set(table.clip_ids)
    kept = [clip for clip in clips["clip_id"] if clip in known]
    if not kept:
        raise UsageError(
            f"'{table.model}' predicts none of {some(clips['clip_id'])}; leave that model out."
        )
    return table.take(kept)
