"""``list_models [PRESET …]``: presets, their encoders, and what they cost.

Exit code 0; 2 when a name is unknown. Loads no weights and asks no network.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import JustifyMethod

from base_models.errors import one_of
from base_models.model_presets import ALL_MODELS
from ensemble.cli.shared.exit_codes import ALL_WELL, Screen, run_command
from ensemble.cli.shared.list_table import list_table
from ensemble.cli.shared.options import Options
from ensemble.cli.shared.output_files import (
    add_result_options,
    check_outputs,
    put_json,
    put_table,
    table_format,
)
from ensemble.screen.tables import LiteralTable

if TYPE_CHECKING:
    from ensemble.papers.model_costs import ModelCost

# Columns of the printed table, and how their cells are aligned.
_COLUMNS: dict[str, JustifyMethod] = {
    "preset": "left",
    "architecture": "left",
    "encoders": "left",
    "criterion": "left",
    "trainable": "right",
    "total (M)": "right",
    "GMACs": "right",
    "network's": "right",
}
_IMPORTANCE = ("encoders", "trainable", "GMACs", "total (M)", "architecture")
_EXAMPLES = {
    "list_models": "all presets, for --models of fit_base",
    "list_models dora whisq": "two of them, with the figures of WhisQ's paper",
    "list_models -o presets.csv": "all columns as a table",
}


def _parser() -> Options:
    parser = Options(
        "list_models",
        "The presets of base models, their encoders, parameters and "
        "multiply-accumulates for a clip of 30 s.",
        examples=_EXAMPLES,
    )
    add = parser.add("what is listed")
    add("presets", nargs="*", metavar="PRESET", help="their names; default: all")
    add_result_options(parser.group("output"), "the list", "the list and its notes")
    return parser


def _main(argv: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    for preset in options.presets:
        one_of(preset, ALL_MODELS, "preset")
    check_outputs({"--out": options.out, "--json": options.json}, inputs=())
    if options.out:
        table_format(options.out)
    # Imported late, because a wrong name is refused and --help shown without torch.
    import pandas as pd

    from ensemble.papers.model_costs import (
        READING,
        model_costs,
        pooled_note,
        whisq_note,
    )

    costs = model_costs(options.presets or ALL_MODELS)
    screen = Screen()
    screen.print(_table(costs))
    notes = [note for note in (READING, pooled_note(costs), whisq_note(costs)) if note]
    for note in notes:
        screen.paragraph(f"\n{note}")

    models = [cost.to_json() for cost in costs]
    if options.out:
        put_table(pd.json_normalize(models, sep="_"), options.out)
    if options.json:
        put_json({"models": models, "notes": notes}, options.json, "list_models")
    return ALL_WELL


def _table(costs: Sequence[ModelCost]) -> LiteralTable:
    table = list_table(f"{len(costs)} presets", _COLUMNS, _IMPORTANCE)
    for cost in costs:
        table.add_row(*_cells(cost))
    return table


def _cells(cost: ModelCost) -> list[str]:
    trainable = "-"
    macs = "-"
    if cost.network is not None:
        trainable = f"{cost.network.parameters:,}"
        macs = f"{cost.network.macs / 1e9:.2f}"
    return [
        cost.preset,
        cost.architecture,
        " + ".join(filter(None, (cost.audio_encoder, cost.text_encoder))),
        cost.criterion,
        trainable,
        f"{cost.total.parameters / 1e6:.2f}",
        f"{cost.total.macs / 1e9:.2f}",
        macs,
    ]


def main() -> None:
    """Run the command and exit with its code."""
    raise SystemExit(run_command(_main))
