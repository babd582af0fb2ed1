"""``list_runs``: the base models of a workspace; ``--remove`` deletes those one names.

Exit code 0; 2 when a name is unknown; 4 when a run is damaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from base_models.errors import DamagedArtifact
from base_models.files import nan_to_none
from ensemble.cli.shared.exit_codes import (
    ALL_WELL,
    Screen,
    run_command,
    say,
    say_problem,
)
from ensemble.cli.shared.options import Options, add_artifacts_option
from ensemble.cli.shared.output.output_files import (
    add_result_options,
    check_results,
    put_json,
    put_table,
)
from ensemble.screen.tables import LiteralTable
from ensemble.workspace import Workspace

if TYPE_CHECKING:
    from ensemble.training.run_table import RunTable

_MEBIBYTE = 2**20
# Kinds of metrics, and how the head of a column calls them.
_MEASURED = {"dev": "dev", "out_of_fold": "out-of-fold"}
_EXAMPLES = {
    "list_runs": "what is trained, and what fit_meta would stack",
    "list_runs --remove dora-s3 'whisq-*'": "delete some; stacks keep their copies",
    "list_runs --artifacts /work/artifacts -o runs.csv": "of another folder, as table",
}


def _parser() -> Options:
    parser = Options(
        "list_runs",
        "The finished base models, their encoders, data, metrics on the dev clips (of "
        "data without any: of out-of-fold predictions) and size.",
        examples=_EXAMPLES,
    )
    runs = parser.group("base models")
    add = runs.add_argument
    add(
        "--remove",
        nargs="+",
        metavar="NAME",
        help="delete these base models of the last fit_base's clips, e.g. dora-s0 "
        "'whisq-*', or any by the name of its folder; stacks keep their copies",
    )
    add_artifacts_option(runs, "what fit_base wrote")
    add_result_options(
        parser.group("output"), "the list", "the list, and what is not finished"
    )
    return parser


def _main(argv: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    check_results(options, inputs=())
    from ensemble.training.run_table import run_table

    workspace = Workspace(Path(options.artifacts))
    if options.remove:
        _remove(workspace, options.remove)

    table = run_table(workspace)
    _show(table, workspace)
    runs = [nan_to_none(row) for row in table.rows]
    if options.out:
        import pandas as pd

        put_table(pd.json_normalize(runs), options.out)
    if options.json:
        facts = {
            "runs": runs,
            "damaged": table.damaged,
            "unfinished": table.unfinished,
            "failed": table.failed,
        }
        put_json(facts, options.json, "list_runs")
    if table.unfinished:
        say(
            "not finished (the same fit_base goes on with them): "
            f"{', '.join(table.unfinished)}"
        )
    for folder, reason in table.failed.items():
        say_problem(f"could not be trained: {folder}: {reason}")
    for folder, reason in table.damaged.items():
        say_problem(f"damaged: {folder}: {reason}")
    return DamagedArtifact.exit_code if table.damaged else ALL_WELL


def _remove(workspace: Workspace, patterns: Sequence[str]) -> None:
    """Delete the runs that are meant, and say which."""
    from ensemble.training.stored_runs import remove_runs, runs_to_remove

    chosen = runs_to_remove(workspace, patterns)
    freed = remove_runs(workspace, list(chosen.values()))
    say(
        f"removed {', '.join(folder.name for folder in chosen.values())}: "
        f"{freed / _MEBIBYTE:.1f} MB; embeddings and stacks stay"
    )


def _show(table: RunTable, workspace: Workspace) -> None:
    if not table.rows:
        say(f"{workspace.root} holds no finished base model; fit_base trains them")
        return
    Screen().print(_screen_table(table.rows))
    n_stacked = sum(row["is_stacked"] for row in table.rows)
    say(
        f"* {n_stacked} of {len(table.rows)} are of the last fit_base's clips: "
        "fit_meta stacks them, or those of them that --models names"
    )


def _screen_table(rows: Sequence[dict[str, Any]]) -> LiteralTable:
    # A run has metrics of one kind; what no run has gets no column.
    measured = dict.fromkeys(
        (kind, aspect) for kind in _MEASURED for row in rows for aspect in row[kind]
    )
    table = LiteralTable(
        names=2,
        box=None,
        padding=(0, 1, 0, 0),
        importance=[
            *(_measure_header(kind, aspect) for kind, aspect in measured),
            "encoders",
            "MB",
        ],
        elsewhere="-o FILE has them",
    )
    table.add_column("")
    for name in ("base model", "encoders", "settings", "data"):
        table.add_column(name, overflow="fold")
    for kind, aspect in measured:
        table.add_column(_measure_header(kind, aspect), justify="right", no_wrap=True)
    table.add_column("MB", justify="right", no_wrap=True)

    for row in rows:
        changed = [f"{key}={value}" for key, value in row["changed"].items()]
        cells = [
            "*" if row["is_stacked"] else "",
            row["name"],
            " + ".join(row["encoders"]),
            " ".join([row["settings"], *changed, *(["trial"] * row["is_trial"])]),
            row["data"],
            *(_metric_cell(row[kind].get(aspect)) for kind, aspect in measured),
            f"{row['bytes'] / _MEBIBYTE:.1f}",
        ]
        table.add_row(*cells)
    return table


def _measure_header(kind: str, aspect: str) -> str:
    return f"{_MEASURED[kind]} {aspect}\nSRCC, MSE"


def _metric_cell(metrics: dict[str, Any] | None) -> str:
    return f"{metrics['srcc']:.3f}, {metrics['mse']:.3f}" if metrics else ""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command and exit with its code."""
    raise SystemExit(run_command(_main, argv))
