"""fit_meta: stack the base models of the last fit_base, measure the stack, and write its report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from base_models.errors import UsageError
from base_models.files import Artifact
from ensemble.cli.shared.exit_codes import Screen, run, say
from ensemble.cli.shared.options import Options, parse_settings
from ensemble.workspace import Workspace


def _parser() -> Options:
    parser = Options("fit_meta", __doc__)
    add = parser.add_argument
    add("--config", action="config", help="read any of these options from a YAML file")
    add(
        "--learner",
        type=str,
        default="ridge",
        help="ridge, lightgbm, mean, auto … (README)",
    )
    add(
        "--set",
        nargs="+",
        metavar="KEY=VALUE",
        help="parameters of the learner, e.g. features=bins alpha=1.0",
    )
    add(
        "--validation",
        type=float,
        default=0.4,
        help="share of the dev clips that measure the stack",
    )
    add("--seed", type=int, default=0, help="of the split and the learner")
    add(
        "--models",
        nargs="+",
        metavar="NAME",
        help="stack only these base models, e.g. dora-s0 dora_coral-s1",
    )
    add(
        "--cv",
        type=str,
        default="dev",
        help="fit on the dev split, or on out-of-fold predictions of train: dev, oof",
    )
    add(
        "--predictions",
        nargs="+",
        metavar="FILE",
        help="instead: stack anybody's predictions (csv, jsonl, parquet, txt)",
    )
    add(
        "--labels",
        type=str,
        help="ratings of the clips in --predictions; default: the first of those files",
    )
    add(
        "--aspects",
        nargs="+",
        metavar="NAME",
        help="rated columns of the labels; default: those with a known name",
    )
    add(
        "--groups",
        type=str,
        help="column of the labels whose clips stay together in every split, e.g. system",
    )
    add(
        "--missing",
        type=str,
        default="refuse",
        help="clips that a base model left out: refuse, or pool of the others",
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
    add("--artifacts", type=str, default="artifacts", help="where fit_base wrote")
    return parser


def _main(argv: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    from ensemble.estimator.save_and_load import ROLE
    from ensemble.reporting.section import ReportContent
    from ensemble.reporting.sections import sections_of
    from ensemble.reporting.terminal import (
        closing_lines,
        opening_lines,
        screen_tables,
    )
    from ensemble.stacking.fit_stack import Settings, fit_stack, stack_facts

    given = {
        name: getattr(options, name)
        for name in ("learner", "validation", "seed", "missing", "allow_leak")
    }
    given["params"] = parse_settings(options.set)
    settings = Settings(
        **given, **({} if options.rivals is None else {"rivals": tuple(options.rivals)})
    )
    workspace = Workspace(Path(options.artifacts))
    folder = fit_stack(workspace, _data(options, workspace), settings)
    sections = sections_of(ReportContent(stack_facts(Artifact(folder, ROLE))))
    for line in opening_lines(sections):
        say(line)
    console = Screen(width=None if Screen().is_terminal else 200)
    for table in screen_tables(sections):
        console.print(table)
    # The verdict is the last of the closing lines, and of all that is said.
    *remarks, verdict = closing_lines(sections)
    for line in remarks:
        say(line)
    say(f"report: {folder / 'report.html'}")
    say(
        f"next: predict_mos {'--predictions ' * bool(options.predictions)}FILE... --artifacts {workspace.root}"
    )
    say(verdict)
    print(folder)
    return 0


def _data(options, workspace: Workspace):
    from ensemble.prediction_files.stack_inputs import read_external
    from ensemble.stacking.stack_data import StackData

    if options.predictions and options.cv != "dev":
        raise UsageError(
            "--cv belongs to the base models of fit_base; --predictions are taken as they are."
        )
    if not options.predictions:
        if options.labels or options.aspects:
            raise UsageError(
                "--labels and --aspects belong to --predictions; fit_base has the others already."
            )
        return StackData.from_runs(
            workspace, options.models, options.cv, group=options.groups
        )
    else:
        external = read_external(options.predictions, options.labels, options.aspects)
        for note in external.notes:
            say(f"note: {note}")
        return StackData.from_predictions(
            external,
            options.labels or options.predictions[0],
            options.models,
            group=options.groups or "",
        )


def main() -> None:
    """Console entry point."""
    raise SystemExit(run(_main))
