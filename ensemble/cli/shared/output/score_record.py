"""How a file of scores came about: a record beside it, or within it.

The record of ``scores.csv`` is ``scores.csv.meta.json``. A csv has no place for it, and
the same scores are to be the same bytes on another day.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from jsonargparse import Namespace

from base_models.files import sha256
from ensemble.cli.shared.output.output_files import STDOUT
from ensemble.cli.shared.output.report_options import provenance_of
from ensemble.cli.shared.saved_stacks.stacks import chosen_folder

if TYPE_CHECKING:
    import pandas as pd

    from ensemble.formats import Scores

RECORD_SUFFIX = ".meta.json"
_SETTINGS = ("level", "by_system", "cross_fit", "windows", "keep", "device", "engine")


def record_file(out: str | None, form: str | None) -> str | None:
    """The file for the record of a file of scores; None where it has none."""
    # A parquet file holds its record itself.
    if not out or out == STDOUT or form == "parquet":
        return None
    return f"{out}{RECORD_SUFFIX}"


def score_record(
    options: Namespace, given: pd.DataFrame, scores: Scores
) -> dict[str, Any]:
    """How the scores of this run came about.

    Parameters
    ----------
    options : of ``predict_mos``
    given : the rows that were to be scored
    scores : of these rows

    Returns
    -------
    record : command, version, date, names and SHA-256 of the data and of the stack
        (`ensemble.reporting.section.Provenance`); SHA-256 of the rows as they were
        read and of each file of predictions; settings, and how many rows had which
        status
    """
    from ensemble.formats import csv_table
    from ensemble.prediction_files.prediction_word import PredictionFile
    from meta.score_columns import STATUS

    data = options.clips or (options.predictions or [""])[0]
    provenance = provenance_of("predict_mos", data, stack=chosen_folder(options))
    files = PredictionFile.parse_all(options.predictions or ())
    paths = [path for file in files for path in file.paths]
    predictions = {
        str(path): sha256(path.read_bytes()) for path in paths if path.is_file()
    }
    return {
        **asdict(provenance),
        "rows_hash": sha256(csv_table(given)),
        "predictions": predictions,
        "settings": {name: options[name] for name in _SETTINGS},
        "aspects": list(scores.aspects),
        "statuses": scores.frame[STATUS].value_counts().to_dict(),
    }
