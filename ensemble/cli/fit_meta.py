"""fit_meta: stack the base models of the last fit_base, measure the stack, and write its report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.table import Table

from base_models.errors import UsageError
from base_models.files import Artifact
from ensemble.artifacts import Workspace
from ensemble.cli.common import Screen, run, say
from ensemble.cli.options import Options


def _parser() -> Options:
    parser = Options("fit_meta", __doc__)
    add = parser.add_argument
    add("--config", action="config", help="read any of these options from a YAML file")
    add("--learner", type=str, default="ridge", help="ridge, lightgbm, mean, auto … (README)")
    add("--validation", type=float, default=0.4, help="share of the dev clips that measure the stack")
    add("--seed", type=int, default=0, help="of the split and the learner")
    add("--models", nargs="+", metavar="NAME", help="stack only these base models, e.g. dora-s0 dora_coral-s1")
    add("--cv", type=str, default="dev", help="fit on the dev split, or on out-of-fold predictions of train: dev, oof")
    add(
        "--predictions",
        nargs="+",
        metavar="FILE",
        help="instead: stack anybody's predictions (csv, jsonl, parquet, txt)",
    )
    add("--labels", type=str, help="ratings of the clips in --predictions; default: the first of those files")
    add("--aspects", nargs="+", metavar="NAME", help="rated columns of the labels; default: those with a known name")
    add("--groups", type=str, help="column of the labels whose clips stay together in every split, e.g. system")
    add("--missing", type=str, default="refuse", help="clips that a base model left out: refuse, or pool of the others")
    add("--allow-leak", action="store_true", help="stack on clips that a base model has seen, and mark every number")
    add("--rivals", nargs="*", metavar="LEARNER", help="learners that the report puts beside it; default: most")
    add("--artifacts", type=str, default="artifacts", help="where fit_base wrote")
    return parser


def _main(argv: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    from ensemble.level1 import Settings, fit_level1, stack_facts
    from ensemble.stack_folder import ROLE

    given = {name: getattr(options, name) for name in ("learner", "validation", "seed", "missing", "allow_leak")}
    settings = Settings(**given, **({} if options.rivals is None else {"rivals": tuple(options.rivals)}))
    workspace = Workspace(Path(options.artifacts))
    folder = fit_level1(workspace, _data(options, workspace), settings)
    facts = stack_facts(Artifact(folder, ROLE))
    if facts["demo"]:
        say("demo corpus: synthetic music and simulated raters; these numbers say nothing about real music")
    console = Screen(width=None if Screen().is_terminal else 200)
    say(f"{facts['source']}: {facts['note']}")
    for name, board in facts["leaderboards"].items():
        console.print(_table(name, board))
    for warning in facts["warnings"]:
        say(f"warning: {warning}")
    interval = facts["interval_coverage"]
    if interval["shares"]:
        held = ", ".join(f"{share:.0%} ({aspect})" for aspect, share in interval["shares"].items())
        say(f"predicted {interval['nominal']:.0%} intervals hold the rating of {held} of the {interval['rows']} clips")
    say(f"report: {folder / 'report.html'}")
    say(f"next: predict_mos {'--predictions ' * bool(options.predictions)}FILE... --artifacts {workspace.root}")
    say(facts["verdict"]["sentence"])
    print(folder)
    return 0


def _data(options, workspace: Workspace):
    from ensemble.external import read_external
    from ensemble.stack_data import StackData

    if not options.predictions:
        if options.labels or options.aspects:
            raise UsageError("--labels and --aspects belong to --predictions; fit_base has the others already.")
        data = StackData.from_level0(workspace, options.models, options.cv)
    else:
        external = read_external(options.predictions, options.labels, options.aspects)
        for note in external.notes:
            say(f"note: {note}")
        data = StackData.from_external(external, options.labels or options.predictions[0])
    return replace(data, group=options.groups) if options.groups else data


def _table(name: str, board) -> Table:
    from ensemble.report import LEVELS, METRICS, board_rows, counts

    title = f"{name}: {counts(board)}; 95 % intervals over systems beside SRCC"
    table = Table(title=title, title_justify="left")
    for column in ("aspect", "model"):
        table.add_column(column, no_wrap=True)
    for level in LEVELS:
        for metric in METRICS:
            table.add_column(f"{level[:3]} {metric.upper()}", justify="right", overflow="fold")
    before = None
    for aspect, model, cells in board_rows(board):
        if before not in (None, aspect):
            table.add_section()
        before = aspect
        # errors without their interval keep the table within a screen; the report has them all
        short = [cell if k % 4 == 2 else cell.split(" ")[0] for k, cell in enumerate(cells)]
        table.add_row(aspect, model, *short, style="bold" if model == "stack" else None)
    return table


def main() -> None:
    """Console entry point."""
    raise SystemExit(run(_main))
