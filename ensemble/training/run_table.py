"""The finished base models of a workspace as a table, with metrics on dev clips.

Data without dev clips has out-of-fold predictions of the training split instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from base_models.errors import MachineFault, StackedMOSError
from base_models.metrics.evaluate import mse, srcc
from base_models.predictions import PredictionTable
from ensemble.training.base_model_run import failure_of
from ensemble.training.rated_clips import RatedClips
from ensemble.training.stored_runs import RunList, RunsOfData
from ensemble.workspace import BASE_MODELS, Workspace

MIN_CLIPS = 2
"""A correlation needs as many labelled clips."""


@dataclass(frozen=True)
class RunTable:
    """What `list_runs` shows.

    Parameters
    ----------
    rows : list of dict
        One per run, see `run_table`.
    damaged : dict of str to str
        Folders of runs that cannot be read, and why.
    unfinished : list of str
        Folders of runs that were begun and not finished.
    failed : dict of str to str
        Folders of runs that could not be trained, and why.
    """

    rows: list[dict[str, Any]]
    damaged: dict[str, str]
    unfinished: list[str]
    failed: dict[str, str]


def run_table(workspace: Workspace) -> RunTable:
    """Every finished base model of a workspace.

    Returns
    -------
    table : RunTable
        Rows with ``name``, ``preset``, ``seed``, ``encoders``, ``settings``,
        ``changed`` (single settings), ``data`` (fingerprint of the clips),
        ``is_stacked`` (whether ``fit_meta`` would take it), ``folds`` (whether there
        are out-of-fold predictions), ``bytes``, ``folder``, and ``dev``: per aspect the
        number of clips, MSE and utterance SRCC on the labelled dev clips. Where there
        are none, ``out_of_fold`` has the same of the training split, predicted by
        models that did not see the rows.
    """
    stacked: dict[str, str] = {}
    if workspace.has(BASE_MODELS):
        of_last = RunsOfData.of_last(workspace)
        stacked = {run.folder.name: name for name, run in of_last.runs.items()}

    runs = RunList.of(workspace)
    damaged = {
        str(folder.relative_to(workspace.root)): reason
        for folder, reason in runs.damaged.items()
    }
    # Many runs share one clip table, which is read once.
    tables: dict[str, RatedClips | None] = {}
    rows = []
    for run in runs.runs:
        data = str(run.facts.get("data", ""))
        if data not in tables:
            tables[data] = _clips_of(workspace, data)
        try:
            encoders = list(run.encoders)
            dev = _metrics(run.predictions("dev"), tables[data], "dev")
            out_of_fold = {}
            if not dev and run.most_folds:
                predictions = run.out_of_fold(run.most_folds)
                out_of_fold = _metrics(predictions, tables[data], "train")
        except MachineFault:
            raise
        except StackedMOSError as error:
            damaged[str(run.folder.relative_to(workspace.root))] = str(error)
            continue
        rows.append(
            {
                "name": stacked.get(run.folder.name, run.folder.name),
                "preset": run.preset,
                "seed": run.seed,
                "encoders": encoders,
                "settings": run.facts.get("settings")
                or ("-" if run.is_pooled else "paper"),
                "changed": run.facts.get("overrides", {}),
                "data": run.table,
                "is_stacked": run.folder.name in stacked,
                "is_trial": run.is_trial,
                "folds": len(run.folders) > 1,
                "dev": dev,
                "out_of_fold": out_of_fold,
                "bytes": run.size,
                "folder": str(run.folder.relative_to(workspace.root)),
            }
        )
    unfinished = []
    failed = {}
    for folder in runs.unfinished:
        place = str(folder.relative_to(workspace.root))
        reason = failure_of(folder)
        if reason:
            failed[place] = reason
        else:
            unfinished.append(place)
    return RunTable(rows, damaged, unfinished, failed)


def _clips_of(workspace: Workspace, data: str) -> RatedClips | None:
    """The clip table of a run, or None where it is unknown or damaged."""
    try:
        return RatedClips.load(workspace.data(data)) if data else None
    except MachineFault:
        raise
    except StackedMOSError:
        return None


def _metrics(
    predictions: PredictionTable | None, rated: RatedClips | None, split: str
) -> dict[str, dict[str, Any]]:
    """Number of clips, MSE and utterance SRCC per aspect; empty where unknown."""
    if rated is None or predictions is None:
        return {}

    rows = rated.rows(split).set_index("clip_id")
    labels = rows.loc[list(predictions.clip_ids), list(predictions.aspects)]
    metrics = {}
    for aspect in predictions.aspects:
        truth = labels[aspect].to_numpy(dtype=float)
        scores = predictions.bins.decode(predictions.of(aspect), predictions.sigma)
        is_labelled = np.isfinite(truth)
        if is_labelled.sum() >= MIN_CLIPS:
            metrics[aspect] = {
                "n": int(is_labelled.sum()),
                "mse": mse(truth[is_labelled], scores[is_labelled]),
                "srcc": srcc(truth[is_labelled], scores[is_labelled]),
            }
    return metrics
