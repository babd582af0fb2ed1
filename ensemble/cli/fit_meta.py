"""``fit_meta``: stack the base models of the last ``fit_base``, and write a report.

Exit code 0 when all is well, 3 when clips without a prompt lack an aspect, 2 when an
option or the data cannot be used.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import Namespace

from base_models.errors import UsageError
from base_models.files import Artifact
from ensemble.cli.shared.clip_tables.rating_options import (
    add_rating_options,
    rating_options,
)
from ensemble.cli.shared.exit_codes import (
    Screen,
    run_command,
    say,
    say_notes,
    say_result,
    say_without_prompt,
)
from ensemble.cli.shared.options import (
    PREDICTION_WORDS,
    Options,
    add_artifacts_option,
    add_aspects_option,
    add_config_option,
    add_predictor_scales_option,
    add_scale_option,
    parse_settings,
    seed,
)
from ensemble.cli.shared.output.output_files import (
    add_json_option,
    check_folder,
    check_outputs,
    put_json,
)
from ensemble.cli.shared.output.provenance import provenance_of
from ensemble.cli.shared.saved_stacks.adaptation import (
    adapt_to_rated_clips,
    add_adaptation_options,
    check_adaptation_options,
)
from ensemble.screen.streams import is_verbose, put_line
from ensemble.workspace import STACK_ROLE, Workspace
from meta.splits.meta_split import VALIDATION_SHARE

if TYPE_CHECKING:
    from ensemble.prediction_files.read_model import Origin
    from ensemble.stacking.fit_stack import Settings
    from ensemble.stacking.stack_data import StackData

_EXAMPLES = {
    "fit_meta": "stack what the last fit_base trained",
    "fit_meta --predictions utmos.csv my=tool.csv:0-100 --labels mos.csv": (
        "stack anybody's predictions; my is on a scale of 0 to 100"
    ),
    "fit_meta --adapt artifacts/meta/STACK --data rated.csv --curve": (
        "let a stack learn from a few clips of another listening test"
    ),
}


def _parser() -> Options:
    parser = Options(
        "fit_meta",
        "Stack the base models of the last fit_base, or other tools' predictions; "
        "measure the stack, and write its report.",
        examples=_EXAMPLES,
    )
    add_config_option(parser)
    _add_stacking_options(parser)
    _add_prediction_options(parser)
    add_adaptation_options(parser)
    output = parser.group("output")
    add_artifacts_option(output, "what fit_base wrote; the stack goes there, too")
    add_json_option(output, "where the stack is, its verdict and all its numbers")
    return parser


def _add_stacking_options(parser: Options) -> None:
    """Add the options that say what is stacked, and how."""
    add = parser.add("stacking")
    add(
        "--learner",
        type=str,
        help="what combines the base models. stack: a mixture of ridges, weights by "
        "skill and the mean; ridge, lightgbm: a regression; skill, simplex, greedy: "
        "weights; mean, log_pool: all alike; best: one model; crps, log_score: weights "
        "for distributions; auto: the best of several by cross-validation; "
        "paper_ridge, paper_lightgbm: as published. Default: stack, with --set ridge",
    )
    add(
        "--set",
        nargs="+",
        metavar="KEY=VALUE",
        help="parameters of the learner, e.g. features=bins alpha=1.0; of lightgbm and "
        "paper_lightgbm also LightGBM's own, e.g. num_leaves=31 reg_lambda=1.0",
    )
    add(
        "--validation",
        type=float,
        default=VALIDATION_SHARE,
        help="share of the dev clips that measure the stack",
    )
    add(
        "--seed",
        type=seed,
        default=0,
        help="starts the random numbers of the split and the learner",
    )
    add(
        "--models",
        nargs="+",
        metavar="NAME",
        help="stack only these base models, e.g. dora-s0 'whisq-*'; default: all "
        "finished ones of the last fit_base's clips (see list_runs)",
    )
    add(
        "--cv",
        type=str,
        default="auto",
        help="fit on the dev split, or on out-of-fold predictions of train: dev, oof; "
        "auto: on the latter where the last fit_base made them (--folds)",
    )


def _add_prediction_options(parser: Options) -> None:
    """Add the options that say which predictions and clips are used."""
    group = parser.group("predictions and labels")
    add = group.add_argument
    add(
        "--predictions",
        nargs="+",
        metavar="FILE",
        help="instead: stack anybody's predictions, tables or what a tool wrote. "
        f"{PREDICTION_WORDS}",
    )
    add_predictor_scales_option(group)
    add(
        "--with-runs",
        action="store_true",
        help="stack --predictions together with the base models of fit_base, whose "
        "clips they must predict",
    )
    add(
        "--labels",
        type=str,
        metavar="TABLE",
        help="ratings of the clips in --predictions; default: the first of those files",
    )
    add_aspects_option(group)
    add_scale_option(group)
    add_rating_options(group)
    add(
        "--groups",
        type=str,
        metavar="COLUMN",
        help="column of the labels whose clips stay together in every split, e.g. "
        "system",
    )
    add(
        "--missing",
        type=str,
        default="refuse",
        help="clips that a base model left out. refuse: stop and name them; pool: put "
        "the pool of the other models in its place",
    )
    add(
        "--allow-leak",
        action="store_true",
        help="stack on clips that a base model has seen, and mark every number",
    )
    add(
        "--rivals",
        nargs="*",
        metavar="LEARNER",
        help="learners that the report puts beside it; default: most",
    )


def _main(argv: Sequence[str] | None = None) -> int:
    parser = _parser()
    options = parser.parse_args(argv)
    check_adaptation_options(options, parser)
    check_outputs(
        {"--json": options.json, "--problems": options.problems},
        inputs=(*(options.predictions or ()), options.labels, options.data),
    )
    if options.adapt:
        return adapt_to_rated_clips(options)
    check_folder(f"--artifacts {options.artifacts}", options.artifacts)
    from ensemble.stacking.fit_stack import fit_stack

    settings = _settings(options)
    workspace = Workspace(Path(options.artifacts))
    if options.with_runs:
        data = _data_of_both(options, workspace)
        scores_what = f"FILE... --predictions {_new_files(options)}"
    elif options.predictions:
        data = _data_of_predictions(options, workspace)
        scores_what = f"--predictions {_new_files(options)}"
    else:
        data = _data_of_base_models(options, workspace)
        scores_what = "FILE..."
    # Runs accumulate: what is stacked may be more than the last fit_base trained.
    if options.with_runs or not options.predictions:
        names = [table.model for table in data.fit.tables]
        say(f"stacks {len(names)} base models: {', '.join(names)}")
    folder = fit_stack(workspace, data, settings, provenance_of("fit_meta"))

    code = say_without_prompt(data.without_prompt)
    verdict = _show_report(folder)
    # What is said last is what is read: what can be said of the stack, and what cannot.
    say(f"report: {folder / 'report.html'}")
    say(f"next: predict_mos {scores_what} --artifacts {workspace.root}")
    for line in verdict:
        say_result(line)
    put_line(str(folder))
    if options.json:
        put_json(_to_json(folder, verdict), options.json, "fit_meta")
    return code


def _new_files(options: Namespace) -> str:
    """How predictions of new clips are named, after the models of the fit."""
    from ensemble.prediction_files.prediction_word import PredictionFile

    files = PredictionFile.parse_all(options.predictions)
    if not all(file.name for file in files):
        return "FILE..."
    return " ".join(f"{file.name}=FILE" for file in files)


def _to_json(folder: Path, verdict: Sequence[str]) -> dict[str, Any]:
    """Where a stack is, what can be said of it, and the values of its report."""
    from ensemble.stacking.fit_stack import stack_facts

    return {
        "folder": str(folder),
        "page": str(folder / "report.html"),
        "verdict": list(verdict),
        "report": stack_facts(Artifact(folder, STACK_ROLE)),
    }


def _settings(options: Namespace) -> Settings:
    from ensemble.stacking.fit_stack import Settings

    # Without --rivals the default applies; --rivals without a name means none.
    rivals = {} if options.rivals is None else {"rivals": tuple(options.rivals)}
    return Settings(
        learner=options.learner,
        validation=options.validation,
        seed=options.seed,
        missing=options.missing,
        allow_leak=options.allow_leak,
        params=parse_settings(options.set),
        **rivals,
    )


def _data_of_base_models(options: Namespace, workspace: Workspace) -> StackData:
    """The predictions of the last ``fit_base``."""
    from ensemble.stacking.stack_data import StackData

    # They would be ignored without a word.
    if options.labels or options.aspects or options.scale:
        raise UsageError(
            "--labels, --aspects and --scale belong to --predictions alone; base "
            "models of fit_base bring their labels, aspects and scales."
        )
    if options.predictor_scales and not options.with_runs:
        raise UsageError(
            "--predictor-scales belongs to --predictions; base models of fit_base know "
            "their scale."
        )
    return StackData.from_runs(
        workspace, options.models, options.cv, group=options.groups
    )


def _data_of_both(options: Namespace, workspace: Workspace) -> StackData:
    """The base models of ``fit_base``, and anybody's predictions for their clips."""
    from ensemble.prediction_files.predictor_scales import DeclaredScales
    from ensemble.prediction_files.stack_inputs import join_predictions_to
    from ensemble.training.rated_clips import RatedClips
    from ensemble.training.stored_runs import RunsOfData

    if not options.predictions:
        raise UsageError(
            "--with-runs stacks base models together with --predictions FILE...; name "
            "such files, or leave it out."
        )
    runs = _data_of_base_models(options, workspace)
    rated = RatedClips.load(RunsOfData.of_last(workspace).data)
    clips = rated.frame.copy()
    clips.attrs["aspects"] = list(runs.aspects)
    joined = join_predictions_to(
        options.predictions,
        clips,
        bins=runs.fit.tables[0].bins,
        own_scales=rated.scales,
        declared=DeclaredScales.read(options.predictor_scales),
    )
    _say_origins(joined.origins)
    say_notes(joined.notes)
    return runs.with_predictions(joined)


def _data_of_predictions(options: Namespace, workspace: Workspace) -> StackData:
    """Anybody's predictions, from files."""
    from base_models.clips.same_audio.recordings import Recordings
    from base_models.scales import LabelScales
    from ensemble.prediction_files.prediction_word import PredictionFile
    from ensemble.prediction_files.predictor_scales import DeclaredScales
    from ensemble.prediction_files.stack_inputs import read_stack_inputs
    from ensemble.stacking.stack_data import AUTO, StackData

    if options.cv != AUTO:
        raise UsageError(
            "--cv belongs to the base models of fit_base; --predictions are taken as "
            "they are."
        )
    external = read_stack_inputs(
        options.predictions,
        options.labels,
        options.aspects,
        scales=LabelScales.parse(options.scale),
        declared=DeclaredScales.read(options.predictor_scales),
        options=rating_options(options),
    )
    _say_origins(external.origins)
    say_notes(external.notes)
    # Where the table of labels names audio files, clips are compared by these, too.
    clips = external.clips
    audio = dict(zip(clips["clip_id"], clips.get("audio", ()), strict=False))
    recordings = Recordings.of_audio(audio, workspace.fingerprints)
    return StackData.from_predictions(
        external,
        options.labels
        or str(PredictionFile.parse_all(options.predictions[:1])[0].path),
        options.models,
        group=options.groups or "",
        contents=recordings.contents,
    )


def _say_origins(origins: Sequence[Origin]) -> None:
    """Say which columns of which file became which models."""
    for origin in origins:
        if origin.is_table:
            say(f"reads {origin.text}")


def _show_report(folder: Path) -> Sequence[str]:
    """Print the leaderboards of a stack and notes on them; returns the verdict."""
    from ensemble.reporting.section import ReportContent
    from ensemble.reporting.sections import sections_of
    from ensemble.reporting.sections.sentences import verdict_lines
    from ensemble.reporting.terminal import (
        closing_lines,
        opening_lines,
        screen_tables,
    )
    from ensemble.stacking.fit_stack import stack_facts

    # The sections of the page, as far as they have something for a terminal.
    content = ReportContent(stack_facts(Artifact(folder, STACK_ROLE)))
    # The last table is read as the result, which that of fitted rows is not.
    sections = sections_of(content, with_fitted=is_verbose())
    for line in opening_lines(sections):
        say(line)
    screen = Screen()
    # The first table is that of the verdict; a screen of many is read by nobody.
    tables = list(screen_tables(sections))
    for table in tables if is_verbose() else tables[:1]:
        screen.print(table)
    hidden = ["other tables"] if len(tables) > 1 else []
    if content.values.get("fitted_rows"):
        hidden.append("the board of the rows that the stack was fitted on")
    if hidden and not is_verbose():
        say(f"{', '.join(hidden)}: in the report, or -v")

    # The last of the closing lines are those of the verdict.
    lines = list(closing_lines(sections))
    verdict = [line for line in lines if line in verdict_lines(content)]
    for line in lines:
        if line not in verdict:
            say(line)
    return verdict


def main() -> None:
    """Run the command and exit with its code."""
    raise SystemExit(run_command(_main))
