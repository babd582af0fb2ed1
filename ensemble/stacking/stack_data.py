"""StackData: the rows that a stack is fitted on and those that judge it.

From the base models of the last ``fit_base``, their out-of-fold predictions, or
anybody's prediction files. The rows that fit and the rows that judge must be new to the
base models in the same way, or the stack learns to trust a model that knew the answers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pandas as pd

from base_models.clips.labels import SCALE, judged_by_text, text_gaps
from base_models.clips.splits import group_column
from base_models.errors import DamagedArtifact, UsageError, one_of, some
from base_models.files import MANIFEST, read_bytes, sha256, to_json
from base_models.predictions import PredictionTable
from base_models.scales import Scale
from ensemble.prediction_files.stack_inputs import StackInputs
from ensemble.prediction_files.stack_scales import StackScales
from ensemble.training.rated_clips import CONTENT, RatedClips
from ensemble.training.stored_runs import RunsOfData, StoredRun
from ensemble.workspace import Workspace
from meta.predicted_rows import PredictedRows
from meta.rows import Rows
from meta.splits.label_copies import refuse_label_copies

AUTO = "auto"
CV = (AUTO, "dev", "oof")
"""What a stack can be fitted on."""
_INSTEAD_OF_DEV_NOTE = (
    "; fitted on the out-of-fold predictions that fit_base made (--cv dev: on dev)"
)
_OUT_OF_FOLD_NOTE = (
    "; out of fold, base models of meta-training rows have seen labels of "
    "meta-validation rows: judge by dev and test, where there are such clips"
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
    encoders : base model to the name of its audio encoder, where that is known
    bases : files of each base model, which the stack carries along; empty where only
        predictions are known
    identity : what decides all this, for the stack's name
    contents : clip id to a name of its recording, also of clips that only a base model
        has seen; empty when unknown
    ratings : single ratings, see `base_models.clips.ratings.read_ratings`, or None
    without_prompt : per aspect that is left out for clips without a prompt: their ids
    scales : of the labels and of the base models' scores; None where all are the bins'
    audio : clip id to its audio, where it is known, for the players of the report
    data_hash : SHA-256 of the clips and their labels
    out_of_fold : base models whose predictions to fit on are known to be out of fold
    """

    fit: PredictedRows
    judges: Mapping[str, PredictedRows]
    aspects: tuple[str, ...]
    needs_text: tuple[bool, ...]
    source: str
    note: str
    demo: bool = False
    group: str = ""
    encoders: Mapping[str, str] = field(default_factory=dict)
    bases: Mapping[str, Mapping[str, bytes]] = field(default_factory=dict)
    identity: tuple[str, ...] = ()
    contents: Mapping[str, str] = field(default_factory=dict)
    ratings: pd.DataFrame | None = None
    without_prompt: Mapping[str, Sequence[str]] = field(default_factory=dict)
    scales: StackScales | None = None
    audio: Mapping[str, str] = field(default_factory=dict)
    data_hash: str = ""
    out_of_fold: tuple[str, ...] = ()

    @classmethod
    def from_runs(
        cls,
        workspace: Workspace,
        only: Sequence[str] | None = None,
        cv: str = AUTO,
        group: str | None = None,
    ) -> StackData:
        """All finished base models on the clips of the last ``fit_base``, or some.

        Parameters
        ----------
        workspace : where ``fit_base`` wrote
        only : names of base models, or patterns such as ``dora-*``; None takes all
        cv : ``"dev"`` fits the meta level on the dev split (DORA-MOS, section III.D);
            ``"oof"`` on the out-of-fold predictions of the training split, and then the
            dev split judges too; ``"auto"`` on the latter where the last ``fit_base``
            made them
        group : column whose clips stay together; None takes that of ``fit_base``

        Raises
        ------
        UsageError
            when there are none, one is unfinished or has no out-of-fold predictions, or
            a name is unknown.
        """
        one_of(cv, CV, "--cv")
        of_data = RunsOfData.of_last(workspace)
        is_usual = cv == AUTO
        if is_usual:
            cv = "oof" if of_data.folds else "dev"
        chosen = of_data.choose(only)
        rated = _rated_clips(of_data)
        group = group or rated.group

        note = rated.note + _left_out_note(of_data)
        folds = 0
        out_of_fold: list[PredictionTable] | None = None
        if cv == "oof":
            folds = of_data.folds
            out_of_fold, without = _out_of_fold_tables(chosen, folds)
            if is_usual and (rated.frame["split"] == "dev").any():
                note += _INSTEAD_OF_DEV_NOTE
            note += _OUT_OF_FOLD_NOTE
            if without:
                note += f"; without out-of-fold predictions, left out: {some(without)}"
            chosen = {table.model: chosen[table.model] for table in out_of_fold}
        if not chosen:
            raise UsageError(
                f"{workspace.root} holds no finished base model of the last fit_base's "
                "clips; run fit_base again."
            )

        judges = _judges(rated, chosen, group)
        # Out of fold, no model has seen the dev split, which then judges as well.
        if out_of_fold is not None:
            training = rows_of_clips(rated.rows("train"), rated.aspects, group)
            fit = PredictedRows(training, tuple(out_of_fold))
        elif "dev" in judges:
            fit = judges.pop("dev")
        else:
            raise UsageError(
                f"{rated.source} has no dev clips to fit a stack on; use its "
                "out-of-fold predictions (--cv oof)."
            )

        bases = {
            name: {file: run.artifact.read(file) for file in run.model_files}
            for name, run in chosen.items()
        }
        # Names of folders hold a hash of what decides a run, so they stand for it.
        identity = (
            cv,
            str(folds),
            str(of_data.data.relative_to(workspace.root)),
            *(run.folder.name for run in chosen.values()),
        )
        scales = StackScales(Scale.of(SCALE), dict(rated.scales))
        note = "; ".join([note, *scales.sentences(rated.aspects)])
        identity += _identity_of_scales(scales)
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
            note=note,
            demo=rated.demo,
            group=group,
            encoders={name: run.encoders[0] for name, run in chosen.items()},
            bases=bases,
            identity=identity,
            contents=contents,
            ratings=rated.ratings,
            without_prompt=rated.without_prompt,
            scales=scales,
            audio=_audio(rated.frame),
            # The manifest has the hashes of the clips and their labels.
            out_of_fold=tuple(chosen) if out_of_fold is not None else (),
            data_hash=sha256(read_bytes(of_data.data / MANIFEST)),
        )

    @classmethod
    def from_predictions(
        cls,
        joined: StackInputs,
        source: str,
        only: Sequence[str] | None = None,
        group: str = "",
        contents: Mapping[str, str] | None = None,
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
        contents : clip id to a name of its recording, where audio is at hand

        Raises
        ------
        UsageError
            when a name is unknown, a model predicts the labels themselves, or it
            predicts none of the rows that fit or judge.
        """
        clips = joined.clips
        aspects = tuple(clips.attrs["aspects"])
        known = {table.model: table for table in joined.tables}
        tables = [known[one_of(name, known, "model")] for name in only or known]
        # A model that is named twice counts once.
        tables = list({table.model: table for table in tables}.values())

        # Of all rows together, as means of systems may have been taken over all.
        refuse_label_copies(tables, rows_of_clips(clips, aspects, group))

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
        note = "; ".join([note, *joined.scales.sentences(aspects)])
        judges = {}
        fit = _predicted_rows(fit_clips, tables, aspects, group=group)
        if len(test_clips):
            judges["test"] = _predicted_rows(test_clips, tables, aspects, group=group)
        # Files have no signature of their own; their content stands for them.
        content = hashlib.sha256(clips.to_csv().encode())
        for table in tables:
            for file in table.to_files().values():
                content.update(file)
        copies = sorted(c for c in (contents or {}).items() if c[0] != c[1])
        if copies:
            content.update(to_json(copies))
        digest = content.hexdigest()
        return cls(
            fit=fit,
            judges=judges,
            aspects=aspects,
            needs_text=judged_by_text(aspects, None),
            source=source,
            note=note,
            group=group,
            identity=(digest, *_identity_of_scales(joined.scales)),
            contents=contents or {},
            scales=joined.scales,
            audio=_audio(clips),
            data_hash=digest,
        )

    def with_predictions(self, joined: StackInputs) -> StackData:
        """The same base models, and those of prediction files beside them.

        Parameters
        ----------
        joined : predictions joined to the clips of the runs, by clip id

        Raises
        ------
        UsageError
            when a model has the name of a run, or predicts no clip to fit on.
        """
        own_names = {table.model for table in self.fit.tables}
        repeated = [table.model for table in joined.tables if table.model in own_names]
        if repeated:
            raise UsageError(
                f"Model {some(repeated)} of --predictions is called like a base model "
                "of fit_base; rename its file or column."
            )

        fit = _with_tables(self.fit, joined.tables)
        note = self.note
        judges = {}
        for name, judge in self.judges.items():
            ids = set(judge.rows.ids)
            absent = [
                table.model for table in joined.tables if ids.isdisjoint(table.clip_ids)
            ]
            # Without any prediction of these clips the stack cannot be judged by them.
            if absent:
                note += f"; no {name} clip is predicted by {some(absent)}: not judged"
                continue
            judges[name] = _with_tables(judge, joined.tables)
        note = "; ".join([note, *joined.scales.predictor_notes()])
        content = b"".join(table.to_bytes() for table in joined.tables)
        return replace(
            self,
            fit=fit,
            judges=judges,
            note=note,
            identity=(
                *self.identity,
                sha256(content),
                *_identity_of_scales(joined.scales),
            ),
            scales=joined.scales,
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


def _identity_of_scales(scales: StackScales) -> tuple[str, ...]:
    """What the scales of a stack add to its name, where anything is mapped."""
    return (sha256(to_json(scales.to_json())),) if scales.decides else ()


def _rated_clips(of_data: RunsOfData) -> RatedClips:
    """The clip table of the last ``fit_base``."""
    if not of_data.data.is_dir():
        raise UsageError(
            f"{of_data.data}, the clip table of the last fit_base, is gone; run the "
            "same fit_base again, which writes it and trains nothing anew."
        )
    return RatedClips.load(of_data.data)


def _left_out_note(of_data: RunsOfData) -> str:
    """Which runs are left out, and why; "" where none is."""
    note = ""
    if of_data.damaged:
        names = [folder.name for folder in of_data.damaged]
        note += f"; damaged, left out: {some(names)} (list_runs says why)"
    if of_data.failed:
        names = [f"{name} ({why})" for name, why in of_data.failed.items()]
        note += f"; could not be trained, left out: {', '.join(names)}"
    return note


def _judges(
    rated: RatedClips, runs: Mapping[str, StoredRun], group: str
) -> dict[str, PredictedRows]:
    """The dev and test clips with the runs' predictions, by split.

    Test comes first: the verdict is about the first split with labels.
    """
    judges = {}
    for split in ("test", "dev"):
        clips = rated.rows(split)
        if len(clips):
            judges[split] = PredictedRows(
                rows_of_clips(clips, rated.aspects, group),
                _stored_tables(runs, split),
                gaps=text_gaps(clips, rated.needs_text),
            )
    return judges


def rows_of_clips(clips: pd.DataFrame, aspects: Sequence[str], group: str) -> Rows:
    """The rows of a clip table; UsageError when there is no such column of groups."""
    # Tables are read with their standard names; people ask for the one they wrote.
    if group == "system" and "system" not in clips:
        group = "system_id"
    if group:
        group = group_column(clips, group, option="--groups")
    return Rows.from_clips(clips, aspects, group)


def _predicted_rows(
    clips: pd.DataFrame,
    tables: Sequence[PredictionTable],
    aspects: Sequence[str],
    group: str,
) -> PredictedRows:
    """Clips with the part of each table that is about them."""
    own_tables = _tables_of(clips["clip_id"].tolist(), tables)
    return PredictedRows(rows_of_clips(clips, aspects, group), own_tables)


def _tables_of(
    clip_ids: Sequence[str], tables: Sequence[PredictionTable]
) -> tuple[PredictionTable, ...]:
    """The part of each table that is about some clips."""
    # A file may hold clips that are not labelled: a table is cut to the rows at hand.
    own_tables = []
    for table in tables:
        predicted = set(table.clip_ids)
        ids = [clip for clip in clip_ids if clip in predicted]
        if not ids:
            raise UsageError(
                f"'{table.model}' predicts none of {some(clip_ids)}; leave that model "
                "out."
            )
        own_tables.append(table.take(ids))
    return tuple(own_tables)


def _with_tables(
    predicted: PredictedRows, tables: Sequence[PredictionTable]
) -> PredictedRows:
    """The same rows, with the part of more tables that is about them."""
    own_tables = _tables_of(predicted.rows.ids.tolist(), tables)
    return replace(predicted, tables=(*predicted.tables, *own_tables))


def _stored_tables(
    runs: Mapping[str, StoredRun], split: str
) -> tuple[PredictionTable, ...]:
    """What each run predicts for a split, under the run's name."""
    tables = []
    for name, run in runs.items():
        table = run.predictions(split)
        if table is None:
            raise DamagedArtifact(
                f"{run.folder} has no predictions of the {split} clips; remove it with "
                "list_runs --remove, and run fit_base again."
            )
        tables.append(replace(table, model=name))
    return tuple(tables)


def _out_of_fold_tables(
    runs: Mapping[str, StoredRun], folds: int
) -> tuple[list[PredictionTable], list[str]]:
    """Predictions of the training split, each row by a model that did not see it.

    Returns
    -------
    tables : one per run that has them
    without : names of the other runs
    """
    tables = []
    without = []
    for name, run in runs.items():
        table = run.out_of_fold(folds) if folds else None
        if table is None:
            without.append(name)
        else:
            tables.append(replace(table, model=name))
    if not tables:
        raise UsageError(
            "The last fit_base made no out-of-fold predictions; run it again with "
            "--folds 5."
        )
    return tables, without


def _audio(clips: pd.DataFrame) -> dict[str, str]:
    """Clip id to its audio, of the clips that have some."""
    if "audio" not in clips:
        return {}
    paths = clips["audio"].fillna("").astype(str)
    named = zip(clips["clip_id"], paths, strict=True)
    return {clip: path for clip, path in named if path}
