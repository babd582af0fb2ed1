"""``reproduce TABLE``: one table of a paper, its numbers beside ours with intervals.

Exit code 0 when all is well, 3 when clips were set aside or a row failed, 2 when an
option cannot be used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import Namespace

from base_models.errors import UsageError
from base_models.optional_libraries import require
from ensemble.cli.shared.engines import add_engine_option, locate
from ensemble.cli.shared.exit_codes import (
    ALL_WELL,
    CLIPS_SET_ASIDE,
    Screen,
    run_command,
    say,
    say_set_aside,
)
from ensemble.cli.shared.options import (
    USUAL_PRECISION,
    Options,
    add_artifacts_option,
    add_device_option,
    add_precision_option,
    add_system_truth_option,
    add_weights_options,
    check_device,
    choose_data,
    parse_settings,
)
from ensemble.cli.shared.output.output_files import (
    add_result_options,
    check_folder,
    check_results,
    put_json,
    put_table,
)
from ensemble.papers.paper_tables import SPLITS, TABLES, PaperTable
from ensemble.screen.streams import put_line
from ensemble.screen.tables import LiteralTable
from ensemble.workspace import Workspace

if TYPE_CHECKING:
    from ensemble.papers.reproduce import Reproduction
    from ensemble.papers.request import Request

_LIST_TITLE = (
    "Tables, and how many base models they train; tables share them. Each: at most 100 "
    "epochs (WhisQ 148, linear heads 1000) over stored embeddings; --quick: 4"
)
_LIST_COLUMNS = ("name", "of", "what", "split", "encoders", "5 seeds", "--quick")


_EXAMPLES = {
    "reproduce --list": "what tables there are, and what each would train",
    "reproduce table1 --quick": "try the command on the demo corpus, in minutes",
    "reproduce table1 --data MusicEval -o table.csv": (
        "with the paper's data and encoders"
    ),
}


def _parser() -> Options:
    parser = Options(
        "reproduce",
        "One table of a paper, its numbers beside ours with intervals; trains what is "
        "missing.",
        examples=_EXAMPLES,
    )
    _add_table_options(parser)
    _add_training_options(parser)
    add_result_options(
        parser.group("output"),
        "the cells, one a row,",
        "the table, its cells and remarks",
    )
    return parser


def _add_table_options(parser: Options) -> None:
    """Add the options that say which table, and on which clips."""
    tables = parser.group("table and clips")
    add = tables.add_argument
    add(
        "table",
        nargs="?",
        type=str,
        metavar="TABLE",
        help=f"{', '.join(TABLES[:-1])} or {TABLES[-1]}",
    )
    add(
        "--list",
        action="store_true",
        help="say what each table is, and how many base models it trains",
    )
    add(
        "--data",
        type=str,
        metavar="PATH",
        help="MusicEval folder, or a clip table with splits; default with --quick: "
        "demo corpus",
    )
    add(
        "--split",
        type=str,
        help=f"measure on {' or '.join(SPLITS)}; default: the paper's",
    )
    add_system_truth_option(tables)


def _add_training_options(parser: Options) -> None:
    """Add the options that say how missing base models are trained."""
    training = parser.group("training")
    add = training.add_argument
    add(
        "--quick",
        action="store_true",
        help="a trial in minutes: embedded encoders, 2 seeds, few epochs",
    )
    add(
        "--seeds",
        type=int,
        help="how often every row is trained; default: 5, with --quick 2",
    )
    add_weights_options(training)
    add(
        "--set",
        nargs="+",
        metavar="KEY=VALUE",
        help="single settings for all rows, e.g. max_epochs=20 bins.grid=endpoints",
    )
    add_device_option(training, deals_runs=True)
    add_precision_option(training, default=USUAL_PRECISION)
    add("--jobs", type=int, default=0, help="worker processes; 0 shares out the cores")
    add_engine_option(training)
    add_artifacts_option(training, "everything that is written")


def _main(argv: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    check_results(options, inputs=(options.data, options.system_truth))
    if options.list:
        return _list_tables(options)
    table = _choose_table(options)
    require("torch")
    check_device(options)
    # Imported late, because --help and --list must not import torch.
    from ensemble.papers.reproduce import reproduce
    from ensemble.papers.table_files import cell_table, json_values, render_files
    from ensemble.training.progress import encoding, watch

    locate(options)
    check_folder(f"--artifacts {options.artifacts}", options.artifacts)
    workspace = Workspace(Path(options.artifacts))
    request = _request(options, table, workspace)
    with encoding() as on_embed:
        made = reproduce(
            request, workspace, watch, on_embed=on_embed, engine=options.engine
        )

    _show(made)
    if options.out:
        put_table(cell_table(made), options.out)
    if options.json:
        put_json(json_values(made), options.json, "reproduce")
    put_line(str(made.write(workspace, render_files(made))))
    # Failed rows stand in the table with their reasons.
    code = say_set_aside(made.set_aside)
    return CLIPS_SET_ASIDE if made.failed else code


def _choose_table(options: Namespace) -> PaperTable:
    if not options.table:
        raise UsageError(
            f"Name a table: {', '.join(TABLES)}; --list says what each is."
        )
    table = PaperTable.of(options.table)
    if not (options.data or options.quick):
        raise UsageError(
            "Name the clips with --data, or try the command on the demo corpus with "
            "--quick."
        )
    return table.measured_on(options.split) if options.split else table


def _request(options: Namespace, table: PaperTable, workspace: Workspace) -> Request:
    from ensemble.papers.request import Request
    from ensemble.prediction_files.read_system_truth import read_system_truth
    from ensemble.training.rated_clips import RatedClips

    data = choose_data(options.data, workspace)
    request = Request.of(
        table,
        RatedClips.read(data, table.aspects),
        seeds=options.seeds,
        quick=options.quick,
        words=[*(options.audio_encoder or ()), *(options.text_encoder or ())],
        device=options.device,
        precision=options.precision,
        jobs=options.jobs,
        overrides=parse_settings(options.set),
    )
    if options.system_truth is None:
        return request
    # A cross-validation is over all splits.
    split = None if table.folds else table.split
    truth = read_system_truth(
        options.system_truth, str(data), table.aspects, split=split
    )
    return replace(request, system_truth=truth)


def _show(made: Reproduction) -> None:
    """Print the table and what is said of it."""
    from ensemble.papers.claims import claim_lines
    from ensemble.papers.table_text import blocks, heading, remarks, summary

    screen = Screen()
    for sentence in heading(made):
        screen.paragraph(sentence)
    for block in blocks(made):
        screen.print(_rich_table(block.title, block.head, block.rows))
    for name, remark in remarks(made):
        say(f"{name}: {remark}")
    screen.paragraph(summary(made))
    for line in claim_lines(made):
        screen.paragraph(line)


def _list_tables(options: Namespace) -> int:
    """Print what each table is, and how many base models it trains."""
    rows = []
    for name in TABLES:
        table = PaperTable.of(name)
        row = [
            table.name,
            table.label,
            table.title,
            table.split,
            ", ".join(table.encoders),
            str(table.count(5)),
            str(table.count(2, quick=True)),
        ]
        rows.append(row)

    shown = LiteralTable(
        title=_LIST_TITLE,
        importance=("what", "5 seeds", "--quick", "of"),
        elsewhere="-o FILE has them",
    )
    for name in _LIST_COLUMNS:
        shown.add_column(name)
    for row in rows:
        shown.add_row(*row)
    Screen().print(shown)

    if options.out or options.json:
        import pandas as pd

        frame = pd.DataFrame(rows, columns=list(_LIST_COLUMNS))
        if options.out:
            put_table(frame, options.out)
        if options.json:
            put_json({"tables": frame.to_dict("records")}, options.json, "reproduce")
    return ALL_WELL


def _rich_table(
    title: str, head: Sequence[str], rows: Sequence[Sequence[str]]
) -> LiteralTable:
    # The paper's number and ours stay or go as one.
    table = LiteralTable(
        title=title, together=2, elsewhere="the table that is written has them"
    )
    for name in head:
        is_number = name.endswith(("paper", "ours"))
        table.add_column(
            name, justify="right" if is_number else "left", no_wrap=is_number
        )
    for row in rows:
        table.add_row(*row)
    return table


def main() -> None:
    """Run the command and exit with its code."""
    raise SystemExit(run_command(_main))
