"""StackData: the rows that a stack is fitted on and those that judge it.

From the base models of the last ``fit_base``, their out-of-fold predictions, or
anybody's prediction files. The rows that fit and the rows that judge must be new to the
base models in the same way, or the stack learns to trust a model that knew the answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from base_models.clips.labels import judged_by_text
from base_models.errors import UsageError, one_of, some
from base_models.files import Artifact, is_sealed, sha256
from base_models.predictions import PredictionTable
from ensemble.prediction_files.stack_inputs import StackInputs
from ensemble.training.base_model_run import FOLD_ROLE
from ensemble.training.base_model_run import ROLE as BASE_ROLE
from ensemble.training.rated_clips import CONTENT, RatedClips
from ensemble.workspace import BASE_MODELS, Workspace
from meta.predicted_rows import PredictedRows
from meta.rows import Rows

MODEL_FILES = ("config.json", "weights.safetensors", "history.json")
"""Files of a base model that a stack carries along."""
_OUT_OF_FOLD_NOTE = (
    "; out of fold, base models of meta-training rows have seen labels of "
    "meta-validation rows: judge by dev and test"
)


@dataclass(frozen=True, eq=False)
class StackData:
    """All that one stack is made from.

    Parameters
    ----------
    fit : the rows of the meta level, which are split into meta-training and
        meta-validation later
    judges : rows that no fit has seen, by name: ``"test"``, ``"dev"``
    aspects, needs_text : names, and whether each is judged against the prompt
    source, note, demo : of the clip table, for people
    group : column whose clips stay on one side of every split, or ""
    bases : files of each base model, which the stack carries along; empty where only
        predictions are known
    identity : what decides all this, for the stack's name
    contents : clip id to what its audio hashes to, also of clips that only a base model
        has seen; empty when unknown
    ratings : single ratings, see `base_models.clips.ratings.read_ratings`, or None
    """

    fit: PredictedRows
    judges: Mapping[str, PredictedRows]
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
    def from_runs(
        cls,
        workspace: Workspace,
        only: Sequence[str] | None = None,
        cv: str = "dev",
        group: str | None = None,
    ) -> StackData:
        """The base models of the last ``fit_base``, or those of them that are named.

        Parameters
        ----------
        workspace : where ``fit_base`` wrote
        only : names of base models
        cv : ``"dev"`` fits the meta level on the dev split (DORA-MOS, section III.D);
            ``"oof"`` on the out-of-fold predictions of the training split, and then the
            dev split judges too
        group : column whose clips stay together; None takes that of ``fit_base``

        Raises
        ------
        UsageError
            when there are none, one is unfinished or has no out-of-fold predictions, or
            a name is unknown.
        """
        one_of(cv, ("dev", "oof"), "--cv")
        pointer = workspace.latest(BASE_MODELS, "fit_base")
        folders = {
            run["name"]: workspace.root / run["folder"] for run in pointer["runs"]
        }
        # A misspelt name would otherwise leave its model out without a word.
        for name in only or ():
            one_of(name, folders, "base model")
        if only:
            folders = {name: path for name, path in folders.items() if name in only}
        artifacts = {
            name: _sealed(name, folder, BASE_ROLE) for name, folder in folders.items()
        }

        rated = RatedClips.load(workspace.root / pointer["data"])
        group = group or rated.group
        folds = pointer.get("folds", 0)

        # Of the judges, test comes first: the verdict is about the first with labels.
        judges = {}
        for split in ("test", "dev"):
            clips = rated.rows(split)
            if len(clips):
                judges[split] = PredictedRows(
                    rows_of_clips(clips, rated.aspects, group),
                    _stored_tables(artifacts, f"predictions-{split}"),
                )
        # Out of fold, no model has seen the dev split, which then judges as well.
        if cv == "oof":
            training_clips = rated.rows("train")
            fit = PredictedRows(
                rows_of_clips(training_clips, rated.aspects, group),
                _out_of_fold_tables(folders, folds),
            )
        else:
            fit = judges.pop("dev")

        bases = {
            name: {file: artifact.read(file) for file in MODEL_FILES}
            for name, artifact in artifacts.items()
        }
        # Names of folders hold a hash of what decides a run, so they stand for it.
        identity = (
            cv,
            str(folds if cv == "oof" else 0),
            pointer["data"],
            *(folder.name for folder in folders.values()),
        )
        # Tables of older runs have no column of audio contents: then none is known.
        contents = dict(
            zip(rated.frame["clip_id"], rated.frame.get(CONTENT, ()), strict=False)
        )
        return cls(
            fit=fit,
            judges=judges,
            aspects=rated.aspects,
            needs_text=rated.needs_text,
            source=rated.source,
            note=rated.note + (_OUT_OF_FOLD_NOTE if cv == "oof" else ""),
            demo=rated.demo,
            group=group,
            bases=bases,
            identity=identity,
            contents=contents,
            ratings=rated.ratings,
        )

    @classmethod
    def from_predictions(
        cls,
        joined: StackInputs,
        source: str,
        only: Sequence[str] | None = None,
        group: str = "",
    ) -> StackData:
        """Predictions from files, or those of the models that are named.

        Rows that the labels call ``test`` judge; those called ``dev`` fit, or all
        others where none is called so.

        Parameters
        ----------
        joined : labelled clips and their predictions
        source : where the labels came from, for people
        only : names of models
        group : column whose clips stay together, or ""

        Raises
        ------
        UsageError
            when a name is unknown, or a model predicts none of the rows that fit or
            judge.
        """
        clips = joined.clips
        aspects = tuple(clips.attrs["aspects"])
        known = {table.model: table for table in joined.tables}
        tables = [known[one_of(name, known, "model")] for name in only or known]
        # A model that is named twice counts once.
        tables = list({table.model: table for table in tables}.values())

        # Without a dev split, all rows but the test split fit the meta level.
        is_test = (clips["split"] == "test").to_numpy()
        fits = ~is_test
        if (clips["split"] == "dev").any():
            fits &= (clips["split"] != "train").to_numpy()
        fit_clips = clips[fits].reset_index(drop=True)
        test_clips = clips[is_test].reset_index(drop=True)

        note = (
            f"{len(tables)} base model{'s' * (len(tables) != 1)}, {len(fit_clips)} "
            "clips to fit and validate on"
        )
        if (fit_clips["split"] == "train").any():
            note += (
                "; there is no dev split, so train rows are among them, which the "
                "models may have been trained on"
            )
        judges = {}
        fit = _predicted_rows(fit_clips, tables, aspects, group)
        if len(test_clips):
            judges["test"] = _predicted_rows(test_clips, tables, aspects, group)
        # Files have no signature of their own; their content stands for them.
        data = clips.to_csv().encode() + b"".join(table.to_bytes() for table in tables)
        return cls(
            fit=fit,
            judges=judges,
            aspects=aspects,
            needs_text=judged_by_text(aspects, None),
            source=source,
            note=note,
            group=group,
            identity=(sha256(data),),
        )

    def without_provenance(self) -> StackData:
        """The same, for a stack that may leak: tables forget what models have seen."""
        return replace(
            self,
            fit=self.fit.without_provenance(),
            judges={
                name: judge.without_provenance() for name, judge in self.judges.items()
            },
        )


def rows_of_clips(clips: pd.DataFrame, aspects: Sequence[str], group: str) -> Rows:
    """The rows of a clip table; UsageError when there is no such column of groups."""
    # Tables are read with their standard names; people ask for the one they wrote.
    if group == "system" and "system" not in clips:
        group = "system_id"
    if group:
        one_of(group, clips.columns, "column for --groups")
    return Rows.from_clips(clips, aspects, group)


def _predicted_rows(
    clips: pd.DataFrame,
    tables: Sequence[PredictionTable],
    aspects: Sequence[str],
    group: str,
) -> PredictedRows:
    """Clips with the part of each table that is about them."""
    # A file may hold clips that are not labelled: a table is cut to the rows at hand.
    own_tables = []
    for table in tables:
        predicted = set(table.clip_ids)
        ids = [clip for clip in clips["clip_id"] if clip in predicted]
        if not ids:
            raise UsageError(
                f"'{table.model}' predicts none of {some(clips['clip_id'])}; leave "
                "that model out."
            )
        own_tables.append(table.take(ids))
    return PredictedRows(rows_of_clips(clips, aspects, group), tuple(own_tables))


def _sealed(name: str, folder: Path, role: str) -> Artifact:
    """The folder of a finished base model, or of its out-of-fold predictions."""
    if not is_sealed(folder):
        raise UsageError(
            f"Base model '{name}' is not finished; run the same fit_base again first."
        )
    return Artifact(folder, role, folder.name)


def _stored_tables(
    artifacts: Mapping[str, Artifact], name: str
) -> tuple[PredictionTable, ...]:
    """The prediction tables of that name, one per base model."""
    file = f"{name}.parquet"
    return tuple(
        PredictionTable.parse(artifact.read(file), str(artifact.folder / file))
        for artifact in artifacts.values()
    )


def _out_of_fold_tables(
    folders: Mapping[str, Path], folds: int
) -> tuple[PredictionTable, ...]:
    """Predictions of the training split, each row by a model that did not see it."""
    if not folds:
        raise UsageError(
            "The last fit_base made no out-of-fold predictions; run it again with "
            "--folds 5."
        )
    tables = []
    for name, folder in folders.items():
        fold_folder = folder.with_name(f"{folder.name}-oof{folds}")
        artifact = _sealed(name, fold_folder, FOLD_ROLE)
        parts: list[PredictionTable] = []
        for k in range(folds):
            parts += _stored_tables({name: artifact}, f"oof-{k}")
        tables.append(PredictionTable.join(parts))
    return tuple(tables)
