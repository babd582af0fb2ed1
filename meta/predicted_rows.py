"""PredictedRows: clips together with what every base model predicts for them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from base_models.predictions import PredictionTable
from meta.rows import Rows


@dataclass(frozen=True, eq=False)
class PredictedRows:
    """Some clips, labelled or not, and one prediction table per base model.

    Parameters
    ----------
    rows : n clips
    tables : one table per base model over these clips; a table may lack some of them
    gaps : bool array of shape (n, aspects), where no score of the stack is to be
        listed: an aspect is judged against a prompt that the clip lacks. None for no
        gaps
    """

    rows: Rows
    tables: tuple[PredictionTable, ...]
    gaps: np.ndarray | None = None

    def without_provenance(self) -> PredictedRows:
        """The same, with tables that do not say which clips their models have seen.

        For a stack that is allowed to leak: nothing would accept the tables otherwise.
        """
        anonymous = tuple(
            replace(table, trained_on=frozenset(), selected_on=frozenset())
            for table in self.tables
        )
        return replace(self, tables=anonymous)
