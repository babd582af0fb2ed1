"""True scores of systems, published in a file beside the labels of clips.

The official script of AudioMOS 2025 track 1 takes a system's true score from
``system_mos/system_mos_….csv`` (lines ``sysID,MI,TA``), and not from the clips that are
measured: of these only the predictions are averaged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from base_models.clips import musiceval
from base_models.clips.columns import STANDARD_NAMES, fold_name
from base_models.clips.labels import SCALE, read_scores
from base_models.clips.tables.read_table import TABLE_SUFFIXES, is_table, read_table
from base_models.clips.text_table import TextTable, check_name
from base_models.errors import UsageError, some
from base_models.scales import Scale

TREE = "tree"
"""What a user writes for the file that lies in the MusicEval tree of the labels."""
FOLDER = "system_mos"
MEANS = "system truth: means of the clips"
"""What is said of a board whose systems are measured against their own clips."""


@dataclass(frozen=True, eq=False)
class SystemTruth:
    """True scores of systems.

    Parameters
    ----------
    scores : DataFrame indexed by system, a float64 column per aspect; NaN if unknown
    source : the file that they are from
    """

    scores: pd.DataFrame
    source: str

    @property
    def title(self) -> str:
        """What a board says of its truth."""
        return f"system truth: {self.source}"

    def remarks(self, system_ids: Sequence[str]) -> list[str]:
        """The systems that are on one side only, in words.

        Parameters
        ----------
        system_ids : of the clips that are measured
        """
        sentences = []
        unknown = self.unknown(system_ids)
        if unknown:
            sentences.append(
                f"Systems without a true score in {self.source}, left out at system "
                f"level: {len(unknown)} ({some(unknown)})."
            )
        measured = {*system_ids}
        without_clips = [name for name in self.scores.index if name not in measured]
        if without_clips:
            sentences.append(
                f"Systems of {self.source} without clips here: {len(without_clips)} "
                f"({some(without_clips)})."
            )
        return sentences

    def unknown(self, system_ids: Sequence[str]) -> list[str]:
        """The systems of clips whose true score is not known for every aspect."""
        known = self.scores.dropna()
        return sorted({*system_ids} - {*known.index})


def read_system_truth(
    source: str,
    data: str,
    aspects: Sequence[str],
    split: str | None = None,
    scales: Mapping[str, Scale] | None = None,
) -> SystemTruth:
    """Read the true scores of systems.

    Parameters
    ----------
    source : a table, see `read_table`, with a column of systems and one per
        aspect, in any case; a .csv without a header holds the system, MI and TA, as in
        MusicEval. ``"tree"`` takes the file in ``system_mos`` of the MusicEval tree
        that `data` names
    data : where the labels of clips were read from
    aspects : whose scores are needed
    split : of the clips that are measured, or None. It decides between several files of
        a tree, where the name of one holds it
    scales : aspect to the scale of its labels; 1..5 where it is not named

    Raises
    ------
    UsageError
        when there is no such file or more than one, a column is missing, a score is not
        on the scale, or a system is named twice or not at all.
    """
    path = _find_in_tree(Path(data), split) if source == TREE else Path(source)
    table = _read_table(path)
    system_column, column_of = _columns(table, aspects, path)

    names: list[str] = []
    for row, cell in enumerate(table.columns[system_column]):
        # Some lists write the prefix of clip ids before the system.
        name = cell.strip().removeprefix(musiceval.PREFIX)
        check_name(name, table.location(row), "system")
        if not name or name in names:
            problem = f"'{name}' is there twice" if name else "the system is empty"
            raise UsageError(f"{table.location(row)}: {problem}; give each one row.")
        names.append(name)
    if not names:
        raise UsageError(f"{path} holds no systems.")

    cure = "A true score of a system is a mean opinion score, as the labels are."
    known = scales or {}
    scores = {
        aspect: read_scores(table, column, known.get(aspect, SCALE), cure=cure)
        for aspect, column in column_of.items()
    }
    return SystemTruth(pd.DataFrame(scores, index=names), source=str(path))


def truth_of_clips(
    source: str | None,
    labels: str,
    *,
    scales: Mapping[str, Scale],
    systems: Sequence[str],
    split: str | None = None,
) -> SystemTruth | None:
    """The true scores of the systems of some clips; None where no file has them.

    Parameters
    ----------
    source, split : see `read_system_truth`
    labels : what the clips were read from
    scales : aspect to the scale of its labels
    systems : of the clips

    Raises
    ------
    UsageError
        as `read_system_truth` and `check_systems`.
    """
    if source is None:
        return None
    truth = read_system_truth(source, labels, list(scales), split=split, scales=scales)
    check_systems(truth, systems)
    return truth


def check_systems(truth: SystemTruth, system_ids: Sequence[str]) -> None:
    """Refuse clips of which no system has a true score.

    Raises
    ------
    UsageError
        when the clips name no systems, or none of them is in the file.
    """
    if not any(system_ids):
        raise UsageError(
            "The labels name no systems, so true scores of systems cannot be used; "
            "leave --system-truth out."
        )
    known = truth.scores.index.isin(list(system_ids))
    if not np.isfinite(truth.scores[known].to_numpy()).any():
        raise UsageError(
            f"{truth.source} has no score of a system here: it names "
            f"{some(truth.scores.index, 3)}, the labels "
            f"{some(sorted({*system_ids}), 3)}."
        )


def _find_in_tree(data: Path, split: str | None) -> Path:
    """The file of the tree that `data` is, or that a label list lies in."""
    if data.is_dir():
        roots = [musiceval.find_tree(data) or data]
    else:
        roots = [data.parent, data.parent.parent]
    files: list[Path] = []
    for root in roots:
        files += sorted((root / FOLDER).glob("*.csv"))
    # Files of several splits differ by their name.
    if len(files) > 1 and split:
        files = [file for file in files if split in file.stem.split("_")] or files

    if len(files) != 1:
        found = f"several: {some(file.name for file in files)}" if files else "none"
        raise UsageError(
            f"--system-truth {TREE} needs one file {FOLDER}/*.csv in the MusicEval "
            f"tree of {data}; found {found}. Name the file with --system-truth FILE."
        )
    return files[0]


def _read_table(path: Path) -> TextTable:
    if not is_table(path) and path.exists():
        raise UsageError(
            f"{path}: scores of systems are read from {', '.join(TABLE_SUFFIXES)}."
        )
    table = read_table(path)
    if table.has_header:
        return table

    names = ("system_id", *musiceval.ASPECTS)
    if len(table.columns) != len(names):
        cells = [column[0] for column in table.columns.values()]
        raise UsageError(
            f"{table.location(0)}: without a header a line is sysID,MI,TA; got "
            f"{','.join(cells)[:80]!r}."
        )
    columns = dict(zip(names, table.columns.values(), strict=True))
    return replace(table, columns=columns)


def _columns(
    table: TextTable, aspects: Sequence[str], path: Path
) -> tuple[str, dict[str, str]]:
    """The column of systems, and that of each aspect."""
    systems = [
        name
        for name in table.columns
        if STANDARD_NAMES.get(fold_name(name)) == "system_id"
    ]
    if len(systems) != 1:
        raise UsageError(
            f"{path} needs one column of systems, such as sysID; it has "
            f"{some(table.columns, 20)}."
        )

    column_of = {}
    for aspect in aspects:
        wanted = fold_name(aspect)
        matches = [name for name in table.columns if fold_name(name) == wanted]
        if len(matches) != 1:
            raise UsageError(
                f"{path} needs one column '{aspect}' of true scores; it has "
                f"{some(table.columns, 20)}. Name the aspects that it does have "
                "(--aspects)."
            )
        column_of[aspect] = matches[0]
    return systems[0], column_of
