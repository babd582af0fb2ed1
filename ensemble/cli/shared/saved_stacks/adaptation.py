"""``fit_meta --adapt STACK``: a stack that also learns from a few rated clips."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import Namespace

from base_models.errors import UsageError
from base_models.scales import LabelScales
from ensemble.cli.shared.clip_tables.rating_options import rating_options
from ensemble.cli.shared.exit_codes import (
    Screen,
    say,
    say_notes,
    say_set_aside,
    say_without_prompt,
)
from ensemble.cli.shared.options import (
    Options,
    add_device_option,
    add_precision_option,
    add_weights_options,
)
from ensemble.cli.shared.output.output_files import put_json
from ensemble.cli.shared.output.provenance import provenance_of
from ensemble.screen.streams import put_line
from ensemble.workspace import STACK_ROLE, Workspace

if TYPE_CHECKING:
    from ensemble.scoring.base_predictions import BasePredictions
    from ensemble.stacking.adapt_stack import RatedPredictions

_OWN = ("data", "curve", "audio_encoder", "text_encoder", "device", "precision")
"""Options that mean nothing without ``--adapt``."""
_SHARED = (
    *("adapt", "config", "artifacts", "predictions", "labels", "groups", "seed"),
    *("scale", "predictor_scales", "json", "format", "anchors", "screen"),
    *("columns", "missing_code", "audio_root", "problems"),
)
"""Options of ``fit_meta`` that an adaptation takes too."""


def add_adaptation_options(parser: Options) -> None:
    """Add the options that adapt a stack instead of fitting one."""
    group = parser.group("adaptation")
    add = group.add_argument
    add(
        "--adapt",
        type=str,
        metavar="STACK",
        help="instead: adapt this stack's folder to rated clips of another listening "
        "test, from --data, or from --labels and --predictions",
    )
    add(
        "--data",
        type=str,
        metavar="TABLE",
        help="with --adapt: rated clips, scored by the stack's base models",
    )
    add(
        "--curve",
        action="store_true",
        help="with --adapt: what 0, 3, 10, 30, 100 rated clips would give",
    )
    add_weights_options(group, when="with --adapt --data: ")
    add_device_option(group, when="with --adapt --data: ")
    add_precision_option(group, default="as in training", when="with --adapt --data: ")


def check_adaptation_options(options: Namespace, parser: Options) -> None:
    """Refuse options that would be ignored.

    Raises
    ------
    UsageError
    """
    defaults = parser.get_defaults().items()
    given = [name for name, default in defaults if options[name] != default]
    if not options.adapt:
        alone = [name for name in given if name in _OWN]
        if alone:
            raise UsageError(
                f"{_words(alone)} belongs to --adapt STACK, which adapts a stack to "
                "rated clips; to stack base models of fit_base, leave it out."
            )
        return

    foreign = [name for name in given if name not in (*_OWN, *_SHARED)]
    if foreign:
        raise UsageError(
            f"{_words(foreign)} cannot be given with --adapt: the stack stays what it "
            "was fitted as, and only learns from the rated clips."
        )
    if bool(options.data) == bool(options.predictions):
        raise UsageError(
            "--adapt takes its rated clips from --data TABLE, or from --labels TABLE "
            "and --predictions FILE...; give one of the two."
        )
    if options.data and options.labels:
        raise UsageError("--data brings its own ratings; leave --labels out.")


def _words(names: list[str]) -> str:
    return ", ".join(f"--{name.replace('_', '-')}" for name in names)


def adapt_to_rated_clips(options: Namespace) -> int:
    """Adapt the stack, write it, and say what was kept; the exit code."""
    from base_models.files import Artifact
    from ensemble.stacking.adapt_stack import SUMMARY, AdaptSettings, adapt_stack

    if options.data:
        given, scored = _scored_clips(options)
        left_out = (scored.without_prompt, scored.set_aside)
        scores_what = "FILE..."
    else:
        given = _given_predictions(options)
        left_out = ({}, ())
        scores_what = "--predictions FILE..."
    say_notes(given.notes)

    workspace = Workspace(Path(options.artifacts))
    settings = AdaptSettings(curve=options.curve, seed=options.seed)
    folder = adapt_stack(
        workspace,
        options.adapt,
        given,
        settings=settings,
        provenance=provenance_of(
            "fit_meta", options.data or options.labels, options.adapt
        ),
    )

    lines = _show(folder)
    without_prompt, set_aside = left_out
    code = max(say_without_prompt(without_prompt), say_set_aside(set_aside))
    say(f"report: {folder / 'adaptation.html'}")
    say(f"next: predict_mos {scores_what} --stack {folder}")
    # What was kept is the last that is said, since that is read.
    for line in lines:
        say(line)
    put_line(str(folder))
    if options.json:
        values = Artifact(folder, STACK_ROLE).json(SUMMARY)
        facts = {"folder": str(folder), "verdict": lines, "report": values}
        put_json(facts, options.json, "fit_meta")
    return code


def _given_predictions(options: Namespace) -> RatedPredictions:
    """Rated clips with anybody's predictions of the stack's base models."""
    from ensemble.estimator.save_and_load import read_stack, scales_of
    from ensemble.prediction_files.prediction_word import PredictionFile
    from ensemble.prediction_files.predictor_scales import DeclaredScales
    from ensemble.stacking.adapt_stack import (
        join_rated_predictions,
        read_rated_clips,
    )

    # Only its numbers are needed: a stack without base models can be adapted too.
    _, facts, regressor = read_stack(options.adapt)
    aspects = regressor.aspects_
    scales = scales_of(facts, regressor)
    files = PredictionFile.parse_all(options.predictions[:1])
    source = options.labels or str(files[0].path)
    clips = read_rated_clips(
        source,
        aspects,
        scales.with_labels(LabelScales.parse(options.scale), aspects),
        options=rating_options(options),
    )
    return join_rated_predictions(
        options.predictions,
        clips,
        source=source,
        aspects=aspects,
        layout=regressor.layout_,
        scales=scales,
        declared=DeclaredScales.read(options.predictor_scales),
        group=options.groups or "",
    )


def _scored_clips(options: Namespace) -> tuple[RatedPredictions, BasePredictions]:
    """Rated clips that the stack's own base models score."""
    from base_models.encoders.store import EmbeddingStore
    from ensemble.estimator.predict_base_models import stored_dtype
    from ensemble.estimator.stacked_mos import StackedMOS
    from ensemble.scoring.base_predictions import predict_bases
    from ensemble.stacking.adapt_stack import RatedPredictions, read_rated_clips
    from ensemble.stacking.stack_data import rows_of_clips
    from ensemble.training.progress import encoding
    from meta.predicted_rows import PredictedRows

    names = ("audio_encoder", "text_encoder", "device", "precision")
    overrides = {name: options[name] for name in names if options[name]}
    stack = StackedMOS.load(options.adapt, **overrides)
    declared = LabelScales.parse(options.scale)
    # Ratings may be on another scale than those that the stack was fitted on.
    scales = stack.scales_.with_labels(declared, stack.aspects_)
    clips = read_rated_clips(
        options.data, stack.aspects_, scales, options=rating_options(options)
    )

    store = EmbeddingStore(
        Workspace(Path(options.artifacts)).embeddings,
        dtype=stored_dtype(model for _, model in stack.estimators_),
    )
    with encoding() as on_embed:
        scored = predict_bases(stack, clips, store, on_progress=on_embed)
    rows = rows_of_clips(scored.clips, stack.aspects_, options.groups or "")
    rated = PredictedRows(rows, scored.tables)
    return RatedPredictions(rated, str(options.data)), scored


def _show(folder: Path) -> list[str]:
    """Print the tables of an adaptation; the lines to say below them."""
    from base_models.files import Artifact
    from ensemble.reporting.adaptation_page import adaptation_sections
    from ensemble.reporting.terminal import closing_lines, screen_tables
    from ensemble.stacking.adapt_stack import SUMMARY

    values = Artifact(folder, STACK_ROLE).json(SUMMARY)
    sections = list(adaptation_sections(values))
    screen = Screen()
    for table in screen_tables(sections):
        screen.print(table)
    return list(closing_lines(sections))
