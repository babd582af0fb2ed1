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
from rich.table import Table

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
from ensemble.cli.shared.options import Options, choose_data, parse_settings
from ensemble.papers.paper_tables import SPLITS, TABLES, PaperTable
from ensemble.workspace import Workspace

if TYPE_CHECKING:
    from ensemble.papers.reproduce import Reproduction
    from ensemble.papers.request import Request

# The tables are wide; what is piped into a file should not be folded.
_WIDTH_WITHOUT_TERMINAL = 240

_LIST_TITLE = (
    "Tables, and how many base models they train; tables share them. Each: at most 100 "
    "epochs (WhisQ 148, linear heads 1000) over stored embeddings; --quick: 4"
)
_LIST_COLUMNS = ("name", "of", "what", "split", "encoders", "5 seeds", "--quick")


def _parser() -> Options:
    parser = Options(
        "reproduce",
        "reproduce: one table of a paper, its numbers beside ours with intervals; "
        "trains what is missing.",
    )
    add = parser.add_argument
    add("table", nargs="?", type=str, help=f"{', '.join(TABLES[:-1])} or {TABLES[-1]}")
    add(
        "--list",
        action="store_true",
        help="say what each table is, and how many base models it trains",
    )
    add(
        "--data",
        type=str,
        help="MusicEval folder, or a clip table with splits; default with --quick: "
        "demo corpus",
    )
    add(
        "--split",
        type=str,
        help=f"measure on {' or '.join(SPLITS)}; default: the paper's",
    )
    add(
        "--system-truth",
        type=str,
        metavar="FILE",
        help="true scores of systems (csv sysID,MI,TA), or 'tree': the file in "
        "system_mos of the MusicEval tree; default: means of the clips",
    )
    add(
        "--quick",
        action="store_true",
        help="a trial in minutes: embedded encoders, 2 seeds, few epochs",
    )
    add(
        "--seeds", type=int, help="repetitions of every row; default: 5, with --quick 2"
    )
    add(
        "--audio-encoder",
        nargs="+",
        metavar="NAME=FOLDER",
        help="where weights lie; a table may need several",
    )
    add("--text-encoder", nargs="+", metavar="NAME=FOLDER", help="likewise")
    add(
        "--set",
        nargs="+",
        metavar="KEY=VALUE",
        help="single settings for all rows, e.g. max_epochs=20 bins.grid=endpoints",
    )
    add("--device", type=str, default="auto", help="auto, cpu, cuda or mps")
    add("--jobs", type=int, default=0, help="worker processes; 0 shares out the cores")
    add_engine_option(parser)
    add(
        "--artifacts", type=str, default="artifacts", help="where everything is written"
    )
    return parser


def _main(argv: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    if options.list:
        _screen().print(_list_of_tables())
        return ALL_WELL
    table = _choose_table(options)
    require("torch")
    # Imported late, because --help and --list must not import torch.
    from ensemble.papers.reproduce import reproduce
    from ensemble.papers.table_files import render_files
    from ensemble.training.progress import encoding, watch

    locate(options)
    workspace = Workspace(Path(options.artifacts))
    request = _request(options, table, workspace)
    with encoding() as on_embed:
        made = reproduce(
            request, workspace, watch, on_embed=on_embed, engine=options.engine
        )

    _show(made)
    print(made.write(workspace, render_files(made)))
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
        jobs=options.jobs,
        overrides=parse_settings(options.set),
    )
    if options.system_truth is None:
        return request
    # A cross-validation is over all splits.
    split = None if table.folds else table.split
    truth = read_system_truth(options.system_truth, str(data), table.aspects, split)
    return replace(request, system_truth=truth)


def _show(made: Reproduction) -> None:
    """Print the table and what is said of it."""
    from ensemble.papers.claims import claim_lines
    from ensemble.papers.table_text import blocks, heading, remarks, summary

    screen = _screen()
    # One line per sentence, and no styles: paths and numbers are printed as they are.
    for sentence in heading(made):
        screen.print(sentence, soft_wrap=True, highlight=False, markup=False)
    for block in blocks(made):
        screen.print(_rich_table(block.title, block.head, block.rows))
    for name, remark in remarks(made):
        say(f"{name}: {remark}")
    screen.print(summary(made))
    for line in claim_lines(made):
        screen.print(line, soft_wrap=True, highlight=False, markup=False)


def _screen() -> Screen:
    return Screen(width=None if Screen().is_terminal else _WIDTH_WITHOUT_TERMINAL)


def _list_of_tables() -> Table:
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
    return _rich_table(_LIST_TITLE, _LIST_COLUMNS, rows)


def _rich_table(
    title: str, head: Sequence[str], rows: Sequence[Sequence[str]]
) -> Table:
    table = Table(title=title, title_justify="left")
    for name in head:
        is_number = name.endswith(("paper", "ours"))
        table.add_column(name, justify="right" if is_number else "left")
    for row in rows:
        table.add_row(*row)
    return table


def main() -> None:
    """Run the command and exit with its code."""
    raise SystemExit(run_command(_main))
