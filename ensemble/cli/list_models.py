"""``list_models [PRESET …]``: presets, their encoders, and what they cost.

Exit code 0; 2 when a name is unknown. Loads no weights and asks no network.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from base_models.errors import one_of
from base_models.files import write_json
from base_models.model_presets import ALL_MODELS
from ensemble.cli.shared.exit_codes import ALL_WELL, Screen, run_command
from ensemble.cli.shared.list_table import list_table
from ensemble.cli.shared.options import Options

if TYPE_CHECKING:
    from ensemble.papers.model_costs import ModelCost

# The table is wide; what is piped into a file should not be folded.
_WIDTH_WITHOUT_TERMINAL = 160

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


def _parser() -> Options:
    parser = Options(
        "list_models",
        "list_models: the presets, their encoders, parameters and multiply-accumulates "
        "for a clip of 30 s.",
    )
    add = parser.add_argument
    add("presets", nargs="*", help="names (default: all)")
    add("--json", type=str, help="also write the list to this file")
    return parser


def _main(argv: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    for preset in options.presets:
        one_of(preset, ALL_MODELS, "preset")
    # Imported late, because a wrong name is refused and --help shown without torch.
    from ensemble.papers.model_costs import (
        READING,
        model_costs,
        pooled_note,
        whisq_note,
    )

    costs = model_costs(options.presets or ALL_MODELS)
    screen = Screen(width=None if Screen().is_terminal else _WIDTH_WITHOUT_TERMINAL)
    screen.print(_table(costs))
    notes = [note for note in (READING, pooled_note(costs), whisq_note(costs)) if note]
    for note in notes:
        _print_paragraph(screen, note)

    if options.json:
        facts = {"models": [cost.to_json() for cost in costs], "notes": notes}
        write_json(options.json, facts)
        screen.print(Text(f"Written to {options.json}"))
    return ALL_WELL


def _table(costs: Sequence[ModelCost]) -> Table:
    table = list_table(f"{len(costs)} presets", _COLUMNS)
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


def _print_paragraph(screen: Console, text: str) -> None:
    screen.print(Text(f"\n{text}"))


def main() -> None:
    """Run the command and exit with its code."""
    raise SystemExit(run_command(_main))
