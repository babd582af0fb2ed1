"""``list_models [PRESET …]``: presets, their encoders, and what they cost.

Exit code 0; 2 when a name is unknown. Loads no weights and asks no network.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import JustifyMethod

from base_models.errors import one_of
from base_models.model_presets import ALL_MODELS
from base_models.optional_libraries import (
    EXTRA_OF_LIBRARY,
    install_command_of,
    is_installed,
)
from ensemble.cli.shared.exit_codes import ALL_WELL, Screen, run_command
from ensemble.cli.shared.options import Options
from ensemble.cli.shared.output.list_table import list_table
from ensemble.cli.shared.output.output_files import (
    add_result_options,
    check_results,
    put_json,
    put_table,
)
from ensemble.papers.preset_facts import PresetFacts, preset_facts
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
    check_results(options, inputs=())
    entries, notes = _listed(options.presets or ALL_MODELS)
    screen = Screen()
    screen.print(_table(entries))
    for note in notes:
        screen.paragraph(f"\n{note}")

    models = [entry.to_json() for entry in entries]
    if options.out:
        import pandas as pd

        put_table(pd.json_normalize(models, sep="_"), options.out)
    if options.json:
        put_json({"models": models, "notes": notes}, options.json, "list_models")
    return ALL_WELL


def _listed(presets: Sequence[str]) -> tuple[Sequence[PresetFacts], list[str]]:
    """The presets, with their costs where these can be counted, and notes on them."""
    if not is_installed("torch"):
        note = (
            "Parameters and multiply-accumulates (-) are counted with torch, which is "
            f"not installed; run: {install_command_of(EXTRA_OF_LIBRARY['torch'])}"
        )
        return preset_facts(presets), [note]

    # Imported late, because a wrong name is refused and --help shown without torch.
    from ensemble.papers.model_costs import (
        READING,
        model_costs,
        pooled_note,
        whisq_note,
    )

    costs = model_costs(presets)
    notes = [note for note in (READING, pooled_note(costs), whisq_note(costs)) if note]
    return costs, notes


def _table(entries: Sequence[PresetFacts]) -> LiteralTable:
    table = list_table(f"{len(entries)} presets", _COLUMNS, _IMPORTANCE)
    for entry in entries:
        encoders = filter(None, (entry.audio_encoder, entry.text_encoder))
        table.add_row(
            entry.preset,
            entry.architecture,
            " + ".join(encoders),
            entry.criterion,
            *_costs(entry),
        )
    return table


def _costs(entry: PresetFacts | ModelCost) -> list[str]:
    """Cells of what a preset costs; "-" for what is not known or not there."""
    network = getattr(entry, "network", None)
    total = getattr(entry, "total", None)
    return [
        f"{network.parameters:,}" if network else "-",
        f"{total.parameters / 1e6:.2f}" if total else "-",
        f"{total.macs / 1e9:.2f}" if total else "-",
        f"{network.macs / 1e9:.2f}" if network else "-",
    ]


def main() -> None:
    """Run the command and exit with its code."""
    raise SystemExit(run_command(_main))
