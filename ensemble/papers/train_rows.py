"""The base models behind the rows of a table: found, or trained where they are missing.

Runs are those of `fit_base`, identified by the same signatures. So tables share them,
and a table that was stopped continues where it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd

from base_models.clips.labels import mean_label
from base_models.clips.read_clips import SetAside
from base_models.clips.splits import folds as split_folds
from base_models.errors import MachineFault, StackedMOSError, in_one_line
from base_models.files import Artifact
from base_models.predictions import PredictionTable
from ensemble.engine import LOCAL
from ensemble.papers.request import Request, RowSetup
from ensemble.training.base_model_run import ROLE, BaseRun, Watch, train_runs
from ensemble.training.encoder_choice import EncoderChoice
from ensemble.training.rated_clips import RatedClips
from ensemble.training.train_base_models import (
    OnEmbed,
    TrainingPlan,
    plan_training,
)
from ensemble.training.training_setup import AS_PUBLISHED, Compute, TrainingSetup
from ensemble.workspace import Workspace
from meta.rows import Rows

# What a single row may fail with, while the others go on: our own errors, and torch's,
# such as a GPU out of memory. A fault of the machine stops everything.
ROW_ERRORS = (StackedMOSError, RuntimeError)

# A base model by preset and seed.
Model: TypeAlias = tuple[str, int]


@dataclass(frozen=True)
class Training:
    """Where base models are trained, and who is notified of it.

    Parameters
    ----------
    workspace : where runs are written
    engine : see `ensemble.engine.check_engine`
    watch : shows the progress of runs, or None
    on_embed : called with encoder name, contents done, contents in all; or None
    """

    workspace: Workspace
    engine: str = LOCAL
    watch: Watch | None = None
    on_embed: OnEmbed | None = None


@dataclass(frozen=True)
class TrainedModel:
    """One base model, and why it could not be trained, or ""."""

    run: BaseRun
    failure: str


@dataclass(frozen=True)
class TrainedModels:
    """The base models that share encoders and settings.

    Parameters
    ----------
    rated : the clips that can be used
    set_aside : the clips that cannot
    models : each base model by preset and seed
    failure : why none of them could be trained, such as missing weights; or ""
    """

    rated: RatedClips
    set_aside: tuple[SetAside, ...] = ()
    models: Mapping[Model, TrainedModel] = field(default_factory=dict)
    failure: str = ""

    def failure_of(self, models: Iterable[Model]) -> str:
        """Why one of these models could not be trained, or ""."""
        if self.failure:
            return self.failure
        for model in models:
            trained = self.models[model]
            if trained.failure:
                return f"{trained.run.name}: {trained.failure}"
        return ""

    def clips(self, split: str) -> pd.DataFrame:
        """The usable clips of one split."""
        return self.rated.rows(split)

    def tables(self, models: Iterable[Model], split: str) -> list[PredictionTable]:
        """The predictions of some models for one split."""
        return [
            _read_predictions(self.models[model].run.folder, split) for model in models
        ]

    @property
    def fingerprints(self) -> list[str]:
        """Everything that decides what these models predict."""
        words = [
            f"{model.run.folder.name} {model.failure}" for model in self.models.values()
        ]
        return [*words, self.failure] if self.failure else words


@dataclass(frozen=True)
class FoldModels:
    """The base models of a cross-validation.

    Parameters
    ----------
    parts : those of each fold, whose clips are its dev split and which are trained on
        all others
    """

    parts: tuple[TrainedModels, ...]

    def failure_of(self, models: Iterable[Model]) -> str:
        """Why one of these models could not be trained on some folds, or ""."""
        wanted = list(models)
        for number, part in enumerate(self.parts, start=1):
            failure = part.failure_of(wanted)
            if failure:
                return f"fold {number}: {failure}"
        return ""

    def clips(self, split: str) -> pd.DataFrame:
        """The usable clips of all folds; `split` is ``"all"``."""
        return pd.concat([part.clips(_FOLD) for part in self.parts], ignore_index=True)

    def tables(self, models: Iterable[Model], split: str) -> list[PredictionTable]:
        """Predictions of every clip by the models that have not seen it."""
        return [
            PredictionTable.join(
                [part.tables([model], _FOLD)[0] for part in self.parts]
            )
            for model in models
        ]

    @property
    def set_aside(self) -> tuple[SetAside, ...]:
        """The clips that cannot be used."""
        return tuple(clip for part in self.parts for clip in part.set_aside)

    @property
    def fingerprints(self) -> list[str]:
        """Everything that decides what these models predict."""
        return [word for part in self.parts for word in part.fingerprints]


_FOLD = "dev"
"""Split that the clips of a fold are in; nothing is learnt from it."""


def cross_validate(
    request: Request, setup: RowSetup, models: Sequence[Model], training: Training
) -> FoldModels:
    """Train base models on all clips but those of one fold, for every fold.

    Folds hold systems and score bands in proportion, and are the same for every seed.

    Raises
    ------
    MachineFault
        when the machine fails. What else goes wrong is reported in the result.
    UsageError
        when there are fewer clips than folds.
    """
    clips = request.clips
    rows = Rows.from_clips(clips, request.table.aspects, request.rated.group)
    fold_of_clip = split_folds(
        rows.systems,
        mean_label(rows.labels),
        request.table.folds,
        seed=0,
        groups=rows.groups,
    )

    parts = []
    for fold in range(request.table.folds):
        splits = np.where(fold_of_clip == fold, _FOLD, "train")
        rated = replace(request.rated, frame=clips.assign(split=splits))
        part = replace(request, rated=rated)
        parts.append(train_models(part, setup, models, training))
    return FoldModels(tuple(parts))


def train_models(
    request: Request, setup: RowSetup, models: Sequence[Model], training: Training
) -> TrainedModels:
    """Train the base models that share encoders and settings, where they are missing.

    Raises
    ------
    MachineFault
        when the machine fails. What else goes wrong is reported in the result.
    """
    try:
        plan = _plan(request, setup, models, training)
    except MachineFault:
        raise
    except ROW_ERRORS as error:
        return TrainedModels(request.rated, failure=in_one_line(error))

    # Runs are in the order of the models; only unfinished ones can fail.
    failures = _train(plan, training)
    trained = {
        model: TrainedModel(run, failures.get(run.name, ""))
        for model, run in zip(models, plan.runs, strict=True)
    }
    return TrainedModels(plan.rated, plan.set_aside, models=trained)


def _plan(
    request: Request, setup: RowSetup, models: Sequence[Model], training: Training
) -> TrainingPlan:
    """Embed the clips and lay out one run per model, as `fit_base` does."""
    training_setup = TrainingSetup(
        encoders=EncoderChoice.parse([setup.audio], [setup.text]),
        settings=setup.settings or AS_PUBLISHED,
        overrides=request.overrides,
        trial=request.quick,
    )
    compute = Compute(
        device=request.device,
        precision=request.precision,
        jobs=request.jobs,
        engine=training.engine,
    )
    return plan_training(
        request.rated,
        models,
        training.workspace,
        setup=training_setup,
        compute=compute,
        on_embed=training.on_embed,
    )


def _train(plan: TrainingPlan, training: Training) -> dict[str, str]:
    """Train what is not finished; name of each run that failed to why it did."""
    found = train_runs(
        plan.unfinished,
        jobs=plan.jobs,
        watch=training.watch,
        engine=training.engine,
        shared=training.workspace.root,
    )
    failed = {**plan.failed, **found}
    return {name: str(error) for name, error in failed.items()}


def _read_predictions(folder: Path, split: str) -> PredictionTable:
    name = f"predictions-{split}.parquet"
    content = Artifact(folder, ROLE, folder.name).read(name)
    return PredictionTable.parse(content, str(folder / name))
