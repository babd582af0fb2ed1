"""Prediction files of the published DORA-MOS code, as JSON: records of clips by id."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from base_models.bins import TARGET_SIGMA, ScoreBins
from base_models.errors import DamagedArtifact, UsageError, some
from base_models.files import from_json, read_bytes

PUBLISHED = {
    "mi": ("overall_dist", "overall_score"),
    "ta": ("textual_dist", "textual_score"),
}
"""Fields of a clip's record in the published system's prediction files, by aspect."""


def read_published(path: Path, aspects: list[str]) -> tuple[list[str], np.ndarray]:
    """The published system's records, as scores.

    Its distributions stand on 20 points from 1 to 5 (`ScoreBins` with
    ``grid="endpoints"``), not on the bins used here, so they are decoded to scores.

    Returns
    -------
    ids : list of n str
    scores : float64 array of shape (n, aspects), NaN where a record has none

    Raises
    ------
    UsageError
        when the file is no such JSON, or the aspects are others.
    """
    try:
        records = from_json(read_bytes(path), str(path))
    except DamagedArtifact as error:
        # The file is another project's, so the cure is not to restore an artefact.
        raise UsageError(f"{error} Write its records as JSON again.") from error

    has_aspects = all(aspect.lower() in PUBLISHED for aspect in aspects)
    if not has_aspects or not _are_records(records):
        fields = [field for pair in PUBLISHED.values() for field in pair]
        raise UsageError(
            f"{path}: expected records of clips with {some(fields)}; aspects mi, ta."
        )

    scores = np.full((len(records), len(aspects)), np.nan)
    for row, (clip, record) in enumerate(records.items()):
        for column, aspect in enumerate(aspects):
            what = f"{path}, clip '{clip}'"
            scores[row, column] = _published_score(record, aspect, what)
    return list(records), scores


def are_published(path: Path) -> bool:
    """Whether a JSON file has records of the published system.

    A file that cannot be read has none: the reader of other JSON says what is wrong.
    """
    try:
        records = from_json(read_bytes(path), str(path))
    except (DamagedArtifact, UsageError):
        return False
    fields = {field for pair in PUBLISHED.values() for field in pair}
    return _are_records(records) and any(
        not fields.isdisjoint(record) for record in records.values()
    )


def _are_records(records: object) -> bool:
    if not isinstance(records, dict):
        return False
    return all(isinstance(record, dict) for record in records.values())


def _published_score(record: dict[str, Any], aspect: str, what: str) -> float:
    """The score of one aspect, from its distribution if there is one; NaN if absent."""
    distribution_field, score_field = PUBLISHED[aspect.lower()]
    distribution = record.get(distribution_field)
    if distribution is not None:
        points = ScoreBins(grid="endpoints")
        row = np.atleast_2d(distribution)
        checked = points.check(row, f"{what}, {distribution_field}")
        score = points.decode(checked, TARGET_SIGMA)
        return float(score[0])
    if record.get(score_field) is not None:
        return float(record[score_field])
    return np.nan
