"""How a file of scores came about: a record beside it, or within it.

The record of ``scores.csv`` is ``scores.csv.meta.json``. A csv has no place for it, and
the same scores are to be the same bytes on another day.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import Namespace

from base_models.files import sha256
from ensemble.cli.shared.output.output_files import STDOUT
from ensemble.prediction_files.prediction_word import PredictionFile

if TYPE_CHECKING:
    from ensemble.formats import Scores
    from ensemble.reporting.section import Provenance

RECORD_SUFFIX = ".meta.json"
_SETTINGS = ("level", "by_system", "cross_fit", "windows", "keep", "device", "engine")


def record_file(out: str | None, form: str | None) -> str | None:
    """The file for the record of a file of scores; None where it has none."""
    # A parquet file holds its record itself.
    if not out or out == STDOUT or form == "parquet":
        return None
    return f"{out}{RECORD_SUFFIX}"


def scored_file(options: Namespace) -> str | None:
    """The one file or folder whose clips are scored; None where there are several.

    Parameters
    ----------
    options : of ``predict_mos``
    """
    paths = _prediction_paths(options)
    if options.clips is None and len(paths) == 1:
        return paths[0]
    clips: str | None = options.clips
    return clips


def score_record(
    options: Namespace, scores: Scores, provenance: Provenance
) -> dict[str, Any]:
    """How the scores of this run came about.

    Parameters
    ----------
    options : of ``predict_mos``
    scores : what it wrote
    provenance : of these scores

    Returns
    -------
    record : the fields of `ensemble.reporting.section.Provenance`; SHA-256 of each
        file of predictions; settings, and how many rows had which status
    """
    from meta.score_columns import STATUS

    predictions = {
        path: sha256(Path(path).read_bytes())
        for path in _prediction_paths(options)
        if Path(path).is_file()
    }
    return {
        **asdict(provenance),
        "predictions": predictions,
        "settings": {name: options[name] for name in _SETTINGS},
        "aspects": list(scores.aspects),
        "statuses": scores.frame[STATUS].value_counts().to_dict(),
        "set_aside": [clip.to_json() for clip in scores.set_aside],
    }


def _prediction_paths(options: Namespace) -> list[str]:
    files = PredictionFile.parse_all(options.predictions or ())
    return [str(path) for file in files for path in file.paths]
