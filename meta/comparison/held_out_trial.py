"""HeldOutTrial: a stack fitted on some rows, compared on these and on others."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import pandas as pd

from base_models.errors import UsageError
from base_models.predictions import PredictionTable
from meta.comparison.compared_rows import ComparedRows
from meta.comparison.verdict import Verdict

if TYPE_CHECKING:
    from meta.regressor import MetaRegressor

TRAINING = "meta-training"
VALIDATION = "meta-validation"
"""Names of the rows that fitted a trial and of those that measure it."""


@dataclass(frozen=True, eq=False)
class HeldOutTrial:
    """Both sides of a trial: the gap between them exposes over-fitting.

    Parameters
    ----------
    regressor : the trial stack, which `calibrated` calibrates
    training : the rows that the trial stack was fitted on
    validation : the rows that it was not
    tables : the predictions that the trial was made from, one table per base model,
        over the rows of both sides
    """

    regressor: MetaRegressor
    training: ComparedRows
    validation: ComparedRows
    tables: tuple[PredictionTable, ...]

    @property
    def sides(self) -> dict[str, ComparedRows]:
        """Both sides by name, the one that measures first."""
        return {VALIDATION: self.validation, TRAINING: self.training}

    @cached_property
    def calibrated(self) -> MetaRegressor | None:
        """The trial stack, calibrated on the rows that fitted it; None if too few."""
        rows = self.training.rows
        try:
            self.regressor.check_rows(rows)
            return self.regressor.calibrate(self.tables, rows)
        except UsageError:
            return None

    @cached_property
    def board(self) -> pd.DataFrame:
        """Leaderboard of the rows that measure, see `ComparedRows.board`."""
        return self.validation.board()

    @cached_property
    def verdict(self) -> Verdict:
        """Whether the stack beats the best base model and the mean.

        The best base model is chosen on the meta-training rows.
        """
        return self.validation.verdict(chosen_on=self.training)
