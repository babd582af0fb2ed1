"""reproduce: one table of a paper, its numbers beside ours with intervals; trains what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from base_models.errors import UsageError
from ensemble.cli.shared.engines import add_engine_option, locate
from ensemble.cli.shared.exit_codes import Screen, run, say, say_set_aside
from ensemble.cli.shared.options import Options, parse_settings
from ensemble.papers.paper_tables import TABLES, PaperTable
from ensemble.workspace import Workspace

LISTED = ("name", "of", "what", "split", "encoders", "5 seeds", "--quick")
COST = "tables share them. Each: at most 100 epochs (WhisQ 148, linear heads 1000) over stored embeddings; --quick: 4"


def _parser() -> Options:
    parser = Options("reproduce", __doc__)
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
        help="MusicEval folder, or a clip table with splits; default with --quick: demo corpus",
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
        help="single settings for all rows, e.g. max_epochs=20",
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
    screen = Screen(width=None if Screen().is_terminal else 240)
    if options.list:
        screen.print(_list())
        return 0
    if not options.table:
        raise UsageError(
            f"Name a table: {', '.join(TABLES)}; --list says what each is."
        )
    table = PaperTable.of(options.table)
    if not (options.data or options.quick):
        raise UsageError(
            "Name the clips with --data, or try the command on the demo corpus with --quick."
        )
    from ensemble.papers.reproduce import reproduce
    from ensemble.papers.request import Request
    from ensemble.papers.table_files import render_files
    from ensemble.papers.table_text import blocks, heading, remarks, summary
    from ensemble.training.progress import encoding, watch
    from ensemble.training.rated_clips import RatedClips

    locate(options)
    workspace, data = Workspace(Path(options.artifacts)), options.data
    if data is None:
        from base_models.clips.demo_corpus import write_demo

        data = write_demo(workspace.demo)
    words = [*(options.audio_encoder or ()), *(options.text_encoder or ())]
    request = Request.of(
        table, RatedClips.read(data, table.aspects), options.seeds, options.quick, words, options.device, options.jobs,
        parse_settings(options.set),
    )  # fmt: skip
    with encoding() as on_embed:
        made = reproduce(request, workspace, watch, on_embed, options.engine)
    for line in heading(made):
        screen.print(line, soft_wrap=True, highlight=False, markup=False)
    for title, head, rows in blocks(made):
        screen.print(_table(title, head, rows))
    for name, remark in remarks(made):
        say(f"{name}: {remark}")
    screen.print(summary(made))
    print(made.write(workspace, render_files(made)))
    return say_set_aside(made.set_aside) or (3 if made.failed else 0)


def _list() -> Table:
    listed = _table(f"Tables, and how many base models they train; {COST}", LISTED, [])
    for table in map(PaperTable.of, TABLES):
        of = f"{table.paper}, Table {table.number}"
        counts = [f"{table.count(5)}", f"{table.count(2, quick=True)}"]
        listed.add_row(
            table.name, of, table.title, table.split, ", ".join(table.encoders), *counts
        )
    return listed


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(title=title, title_justify="left")
    for name in head:
        table.add_column(
            name, justify="right" if name.endswith(("paper", "ours")) else "left"
        )
    for row in rows:
        table.add_row(*row)
    return table


def main() -> None:
    """Console entry point."""
    raise SystemExit(run(_main))
