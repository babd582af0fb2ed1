"""What is read of a model, and which columns of which file it came from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from base_models.bins import ScoreBins
from base_models.errors import some
from base_models.predictions import MEAN_LABEL
from base_models.scales import Scale


@dataclass(frozen=True)
class ReadModel:
    """The predictions of one model, as read.

    Parameters
    ----------
    name : the model's name
    ids : n clip ids, as its file writes them
    values : scores of shape (n, aspects), or distributions of shape (n, aspects, bins)
    declared : the scale that the command line names for its file, or None
    own_scale : the scale that the file itself names, such as that of its bins, or None
    columns : of the file, the column of each aspect's scores, without the aspect
    file_columns : all columns of the file, likewise
    read_from : the column of each aspect's scores as the file writes it
    bins : of the distributions; None where `values` are scores
    sigma : kernel width of the distributions
    trained_on, selected_on : ids of clips whose labels the model has seen
    predicts : what the distributions are of, see `PredictionTable`
    """

    name: str
    ids: list[str]
    values: np.ndarray
    declared: Scale | None = None
    own_scale: Scale | None = None
    columns: tuple[str, ...] = ()
    file_columns: tuple[str, ...] = ()
    read_from: tuple[str, ...] = ()
    bins: ScoreBins | None = None
    sigma: float = 0.0
    trained_on: frozenset[str] = frozenset()
    selected_on: frozenset[str] = frozenset()
    predicts: str = MEAN_LABEL


@dataclass(frozen=True)
class Origin:
    """Which columns of a file became which models, and which became none.

    Parameters
    ----------
    path : the file
    models : pairs of a model and the columns of its scores, one per aspect
    tool : whose layout the file has, "" where it is not known
    left : columns of numbers that are models where they are named
    never : columns of numbers that are no scores
    ids : the list of clips that its rows are for, or None
    notes : what was guessed in reading the file, see `TextTable`
    """

    path: Path
    models: tuple[tuple[str, tuple[str, ...]], ...]
    tool: str = ""
    left: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    ids: Path | None = None
    notes: tuple[str, ...] = ()

    @property
    def is_table(self) -> bool:
        """Whether models were read from columns, and not from a file that is one."""
        return any(columns for _, columns in self.models)

    @property
    def is_choice(self) -> bool:
        """Whether the columns say something that their names do not."""
        if not self.is_table:
            return False
        own = all(columns == (model,) for model, columns in self.models)
        return not own or bool(self.left)

    @property
    def text(self) -> str:
        """All of it in a line."""
        said = [_from_columns(*model) for model in self.models[:10]]
        if len(self.models) > len(said):
            said.append(f"and {len(self.models) - len(said)} more")
        whose = f" ({self.tool})" if self.tool else ""
        listed = f" in the order of {self.ids.name}" if self.ids is not None else ""
        text = f"{self.path.name}{whose}{listed}: {', '.join(said)}"
        if self.left:
            example = f"{self.path.name}:{','.join(self.left[:2])}"
            text += f"; not taken: {some(self.left, 8)} (named, they are: {example})"
        if self.never:
            text += f"; no scores: {some(self.never, 8)}"
        return text


def _from_columns(model: str, columns: Sequence[str]) -> str:
    if not columns:
        return model
    # The name of one of several models ends with its column.
    if len(set(columns)) == 1 and model.endswith(columns[0]):
        return f"'{model}'"
    quoted = [f"'{column}'" for column in columns]
    return f"{model} from {', '.join(quoted)}"


@dataclass(frozen=True)
class FileModels:
    """The models of one file.

    Parameters
    ----------
    models : as read, under the names that they have from now on
    origin : where they came from
    """

    models: tuple[ReadModel, ...]
    origin: Origin
