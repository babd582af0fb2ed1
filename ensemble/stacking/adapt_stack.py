"""fit_meta --adapt as a function: a stored stack adapted to rated clips, and written.

The clips are of another listening test. What is kept of the adaptation is decided on
the clips themselves, see `meta.adaptation`; how many clips are worth rating, by draws
of them, see `meta.adaptation_curve`. The adapted stack carries the base models of the
stack that it was made from, and is the workspace's last one from then on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from base_models.clips.labels import labels_onto
from base_models.clips.listening_tests.rating_options import (
    AS_THEY_ARE,
    RatingOptions,
)
from base_models.clips.names import plain_id
from base_models.clips.read_clips import read_clips
from base_models.errors import UsageError, some
from base_models.files import (
    MANIFEST,
    Artifact,
    is_sealed,
    log_line,
    nan_to_none,
    read_bytes,
    sha256,
    to_json,
)
from base_models.scales import Scale
from ensemble.estimator.save_and_load import read_stack, write_stack
from ensemble.prediction_files.predictor_scales import (
    DeclaredScales,
)
from ensemble.prediction_files.stack_inputs import read_new_stack_inputs
from ensemble.prediction_files.stack_scales import StackScales
from ensemble.reporting.adaptation_page import adaptation_page
from ensemble.reporting.section import Provenance
from ensemble.stacking.stack_data import rows_of_clips
from ensemble.workspace import STACK_ROLE, Workspace
from meta.adaptation import AspectAdaptation, adapt
from meta.adaptation_curve import DRAWS, adaptation_curve, draw_adaptations
from meta.columns.feature_table import Layout
from meta.predicted_rows import PredictedRows

ADAPT_VERSION = 2
"""Raised whenever the same stack and clips would give another adapted stack."""
SUMMARY = "adaptation.json"
"""File of an adapted stack that says what was kept, and why."""


@dataclass(frozen=True)
class AdaptSettings:
    """How a stored stack is adapted.

    Parameters
    ----------
    curve : whether to draw clips for the curve of errors over numbers of clips
    draws : how often clips are drawn for it
    seed : of the draws
    """

    curve: bool = False
    draws: int = DRAWS
    seed: int = 0


@dataclass(frozen=True, eq=False)
class RatedPredictions:
    """Rated clips of a new corpus, with what the base models predict for them.

    Parameters
    ----------
    rated : the rows, and a table per base model
    source : where the ratings came from, for people
    notes : what did not join, for people
    """

    rated: PredictedRows
    source: str
    notes: tuple[str, ...] = ()


def read_rated_clips(
    path: Path | str,
    aspects: Sequence[str],
    scales: StackScales,
    options: RatingOptions | None = None,
) -> pd.DataFrame:
    """Clips of a table that are rated for an aspect of a stack.

    Parameters
    ----------
    path : the table
    aspects : of the stack
    scales : of the stack, with those of the labels in this table
    options : what is said of the columns and cells of the table; None says nothing

    Returns
    -------
    clips : as `read_clips` gives them, with labels on the stack's own scale and a
        column for every aspect, NaN where the table has none

    Raises
    ------
    UsageError
        when the table rates no aspect of the stack, or a rating is off its scale.
    """
    options = options or RatingOptions()
    own = {aspect: scales.of_labels(aspect) for aspect in aspects}
    column_of = options.reading.aspects
    foreign = [aspect for aspect in column_of if aspect not in aspects]
    if foreign:
        raise UsageError(
            f"--columns names ratings of {some(foreign)}; the stack predicts "
            f"{some(aspects)}."
        )
    as_they_are = replace(AS_THEY_ARE, format=options.format, reading=options.reading)
    named = read_clips(path, labels=False, options=as_they_are)
    found = [aspect for aspect in aspects if aspect in {*named.columns, *column_of}]
    # Aspects may stand under other usual names, which only a rated table tells.
    if not found:
        lows = [scale.low for scale in own.values()]
        highs = [scale.high for scale in own.values()]
        widest = Scale(min(lows), max(highs))
        known = read_clips(path, scales=widest, options=options).attrs["aspects"]
        found = [aspect for aspect in aspects if aspect in known]
        if not found:
            rated = some(known) if known else "nothing"
            raise UsageError(
                f"{path} rates {rated}; the stack predicts {some(aspects)}. Name its "
                "columns of ratings after those."
            )
    own_of_found = {aspect: own[aspect] for aspect in found}
    # Those of other columns are named by the options.
    words = [aspect for aspect in found if aspect not in column_of]
    clips = read_clips(path, words, scales=own_of_found, options=options)
    clips = labels_onto(clips, scales.inner)
    for aspect in aspects:
        if aspect not in found:
            clips[aspect] = np.nan
    is_rated = clips[list(aspects)].notna().any(axis=1)
    if not is_rated.any():
        raise UsageError(f"{path} has no rated clip; fill in some of {some(found)}.")
    return clips[is_rated].reset_index(drop=True)


def join_rated_predictions(
    predictions: Sequence[Path | str],
    clips: pd.DataFrame,
    *,
    source: Path | str,
    aspects: Sequence[str],
    layout: Layout,
    scales: StackScales,
    declared: DeclaredScales | None = None,
    group: str = "",
) -> RatedPredictions:
    """Rated clips of a new corpus, with files of what the base models predict for it.

    Parameters
    ----------
    predictions : files, see `read_new_stack_inputs`
    clips : see `read_rated_clips`
    source : where their ratings are from, for people
    aspects, layout : of the stack
    scales : of the stack
    declared : scales of base models, where the stack remembers others
    group : column of the labels whose clips are left out together, or ""

    Raises
    ------
    UsageError
        when no rated clip is predicted, or as `read_new_stack_inputs`.
    """
    joined = read_new_stack_inputs(
        predictions,
        layout.models,
        aspects,
        bins=layout.bins,
        clip_ids=clips["clip_id"].tolist(),
        scales=scales,
        declared=declared,
    )
    # A rated clip that no file knows is left out and named; one that some models lack
    # is an error, unless the stack fills gaps.
    predicted = {clip for table in joined.tables for clip in table.clip_ids}
    is_predicted = clips["clip_id"].isin(predicted)
    rows = rows_of_clips(clips[is_predicted].reset_index(drop=True), aspects, group)
    return RatedPredictions(
        PredictedRows(rows, joined.tables), str(source), joined.notes
    )


def adapt_stack(
    workspace: Workspace,
    stack: Path | str,
    given: RatedPredictions,
    settings: AdaptSettings | None = None,
    provenance: Provenance | None = None,
) -> Path:
    """Adapt a stored stack to rated clips and write the result.

    A stack that was adapted to the same clips before stays as it is.

    Parameters
    ----------
    workspace : where the adapted stack goes, and where it is remembered as the last one
    stack : folder of the stack, which stays as it is
    given : the rated clips
    settings : None takes the defaults
    provenance : how it came about, for the page

    Returns
    -------
    folder : of the adapted stack, with adaptation.json, adaptation.html and, for a
        curve, curve.csv

    Raises
    ------
    UsageError
        as in `meta.adaptation.adapt`, or when too few clips are rated to try an
        adaptation of any aspect.
    """
    settings = settings or AdaptSettings()
    decided_by = [
        ADAPT_VERSION,
        sha256(read_bytes(Path(stack) / MANIFEST)),
        [settings.curve, settings.draws, settings.seed],
        *_identity(given.rated),
    ]
    artifact, facts, regressor = read_stack(stack)
    _refuse_known_clips(given.rated.rows.ids.tolist(), regressor.fitted_on_)
    learner = str(facts["meta"]["learner"])
    signature = sha256(to_json(decided_by))[:10]
    folder = workspace.meta_run(f"{learner}-adapted", signature)
    workspace.sweep()
    if is_sealed(folder):
        Artifact(folder, STACK_ROLE, folder.name).verify()
    else:
        rated = given.rated
        adapted = adapt(regressor, rated.tables, rated.rows)
        _refuse_untried(adapted.adaptation_)
        curve = pd.DataFrame()
        forecasts = []
        if settings.curve:
            drawn = draw_adaptations(
                regressor,
                rated.tables,
                rated.rows,
                draws=settings.draws,
                seed=settings.seed,
            )
            curve = adaptation_curve(drawn)
            forecasts = [
                {"aspect": of_aspect.aspect} | forecast.to_json()
                for of_aspect in drawn
                for forecast in of_aspect.forecasts()
            ]

        values = {
            "learner": learner,
            "source": given.source,
            "stack": str(Path(stack)),
            "notes": list(given.notes),
            "adaptation": [found.to_json() for found in adapted.adaptation_],
            "curve": nan_to_none(curve),
            "next_ratings": nan_to_none(forecasts),
        }
        # Equal adaptations are equal files, whenever they are made.
        made = provenance or Provenance()
        timeless = replace(made, command="", date="")
        extra = {
            SUMMARY: to_json(values),
            "adaptation.html": adaptation_page(values, timeless).encode(),
        }
        if len(curve):
            extra["curve.csv"] = curve.to_csv(index=False).encode()
        own = {name: value for name, value in facts.items() if name != "meta"}
        del own["bases"]
        write_stack(
            folder,
            adapted,
            _base_files(artifact, facts),
            facts=own,
            extra=extra,
            log=log_line({"command": made.command, "version": made.version}),
            identity=folder.name,
        )

    relative = str(folder.relative_to(workspace.root))
    demo = bool(facts.get("demo", False))
    workspace.point("stack", {"folder": relative, "demo": demo})
    return folder


def _refuse_known_clips(clip_ids: Sequence[str], fitted_on: Sequence[str]) -> None:
    """Refuse clips that the stack has learnt from: its error on them is too small."""
    # A clip that is spelled another way is the same clip.
    fitted = {plain_id(clip) for clip in fitted_on}
    known = {clip for clip in clip_ids if plain_id(clip) in fitted}
    if known:
        raise UsageError(
            f"The stack was fitted on {len(known)} of the {len(clip_ids)} rated clips "
            f"({some(sorted(known))}), so that they cannot tell whether an adaptation "
            "helps; give clips that it has not learnt from."
        )


def _refuse_untried(found: Sequence[AspectAdaptation]) -> None:
    """Refuse clips on which the adaptation of no aspect could be tried."""
    if all(one.error_none is None for one in found):
        reasons = "; ".join(f"{one.aspect}: {one.reason}" for one in found)
        raise UsageError(
            f"Not adapted, since no aspect can be tried ({reasons}). Rate more clips, "
            "of more than one system."
        )


def _identity(rated: PredictedRows) -> list[str]:
    """What decides an adaptation: the clips, their labels, groups and predictions."""
    rows = rated.rows.in_id_order()
    together = rows.together
    labels = [
        rows.ids.tolist(),
        nan_to_none(rows.labels.tolist()),
        None if together is None else together.tolist(),
    ]
    tables = [sha256(table.to_bytes()) for table in rated.tables]
    return [sha256(to_json(labels)), *tables]


def _base_files(
    artifact: Artifact, facts: Mapping[str, Any]
) -> dict[str, dict[str, bytes]]:
    """The files of every base model that a stack carries along."""
    bases = {}
    for name in facts["bases"]:
        prefix = f"base/{name}/"
        bases[name] = {
            file.removeprefix(prefix): artifact.read(file)
            for file in artifact.names
            if file.startswith(prefix)
        }
    return bases
