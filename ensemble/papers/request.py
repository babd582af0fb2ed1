"""What to reproduce: a table of a paper, on which clips, with how many repetitions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from base_models.errors import UsageError, one_of
from base_models.precision import AUTO
from ensemble.papers.corpus import Corpus
from ensemble.papers.paper_tables import PaperTable, Row
from ensemble.prediction_files.read_system_truth import SystemTruth, check_systems
from ensemble.training.rated_clips import RatedClips

SEEDS = 5

# A quick run is a trial: it shows that everything works, and no number of the paper.
QUICK_ENCODERS = ("logmel", "hashed_text")
QUICK_SEEDS = 2
QUICK_SETTINGS = {"max_epochs": 4}


@dataclass(frozen=True)
class RowSetup:
    """What the base models of a row are trained with.

    Parameters
    ----------
    audio, text : encoders, as names or ``"name=folder"``
    settings : training settings laid over every preset, or None for the paper's
    """

    audio: str
    text: str
    settings: str | None


@dataclass(frozen=True)
class Request:
    """What to reproduce, and on what.

    Parameters
    ----------
    table : of a paper
    rated : clips and labels
    seeds : repetitions of every row
    quick : embedded encoders and settings instead of the published ones
    encoders : where the weights of an encoder are, name to ``"name=folder"``
    device, precision, jobs : as `fit_base` takes them
    overrides : single settings of `BaseConfig`, laid over every row
    system_truth : true scores of systems; None takes the means of the clips

    Raises
    ------
    UsageError
        when a number is not legal, the table has no such encoder, or the clips have no
        labels that the table needs.
    """

    table: PaperTable
    rated: RatedClips
    seeds: int = SEEDS
    quick: bool = False
    encoders: Mapping[str, str] = field(default_factory=dict)
    device: str = "auto"
    precision: str = AUTO
    jobs: int = 0
    overrides: Mapping[str, Any] = field(default_factory=dict)
    system_truth: SystemTruth | None = None

    @classmethod
    def of(
        cls,
        table: PaperTable,
        rated: RatedClips,
        seeds: int | None = None,
        quick: bool = False,
        words: Sequence[str] = (),
        device: str = "auto",
        precision: str = AUTO,
        jobs: int = 0,
        overrides: Mapping[str, Any] | None = None,
    ) -> Request:
        """Make a request from what a user gives on the command line.

        Parameters
        ----------
        seeds : None takes the usual number, which is smaller when `quick`
        quick : also shortens the training, unless `overrides` says otherwise
        words : encoders as ``NAME=FOLDER``
        """
        settings: dict[str, Any] = dict(QUICK_SETTINGS) if quick else {}
        settings.update(overrides or {})
        usual_seeds = QUICK_SEEDS if quick else SEEDS

        return cls(
            table=table,
            rated=rated,
            seeds=usual_seeds if seeds is None else seeds,
            quick=quick,
            encoders={word.partition("=")[0]: word for word in words},
            device=device,
            precision=precision,
            jobs=jobs,
            overrides=settings,
        )

    # Checked here and not on reproducing, so that a wrong option is refused at once.
    def __post_init__(self) -> None:
        if self.seeds < 1 or self.jobs < 0:
            raise UsageError(
                "--seeds must be at least 1 and --jobs 0 or more; got "
                f"{self.seeds} and {self.jobs}."
            )
        for name in self.encoders:
            one_of(name, self.table.encoders, f"encoder of {self.table.name}")
        self._check_labels()
        if self.system_truth is not None:
            check_systems(self.system_truth, self.clips["system_id"].tolist())

    def _check_labels(self) -> None:
        """Refuse clips on which a column of the table could not be measured."""
        source = self.rated.source
        for aspect in self.table.aspects:
            if aspect not in self.rated.aspects:
                raise UsageError(
                    f"{source} has no ratings of '{aspect}', which {self.table.name} "
                    "needs."
                )

        # Each aspect needs some labels, though not of every clip.
        measured = self.clips[list(self.table.aspects)]
        is_labelled = np.isfinite(measured.to_numpy(dtype=float))
        if not is_labelled.any(axis=0).all():
            raise UsageError(
                f"{source} has no labelled clips in the split '{self.table.split}', on "
                f"which {self.table.name} is measured; --split names another."
            )

    @property
    def clips(self) -> pd.DataFrame:
        """The clips that are measured, with a RangeIndex."""
        if not self.table.folds:
            return self.rated.rows(self.table.split)
        frame = self.rated.frame
        is_labelled = frame[list(self.table.aspects)].notna().any(axis=1)
        return frame[is_labelled].reset_index(drop=True)

    def setup(self, row: Row) -> RowSetup:
        """Encoders and training settings of a row."""
        if self.quick:
            audio, text = QUICK_ENCODERS
            return RowSetup(audio, text, settings=row.quick)
        return RowSetup(
            audio=self.encoders.get(row.audio, row.audio),
            text=self.encoders.get(row.text, row.text),
            settings=None,
        )

    def models(self, row: Row) -> list[list[tuple[str, int]]]:
        """Presets and seeds that each repetition of a row needs.

        With `quick`, rows that coincide on the embedded encoders share theirs.
        """
        used_row = self.table.twin(row) if self.quick else row
        return [used_row.models(repetition) for repetition in range(self.seeds)]

    @cached_property
    def corpus(self) -> Corpus:
        """Whether the clips are those of MusicEval."""
        return Corpus.of(self.rated.frame, self.table.split)

    @property
    def is_trial(self) -> bool:
        """Whether this is a quick run, or one on synthetic music."""
        return self.quick or self.rated.demo

    @property
    def compared(self) -> bool:
        """Whether our numbers are set against the paper's.

        Those of a trial, of another corpus or of another split are not.
        """
        same_split = self.table.split == self.table.paper_split
        return not self.is_trial and self.corpus.is_musiceval and same_split
