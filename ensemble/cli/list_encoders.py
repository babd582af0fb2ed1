"""``list_encoders [ENCODER …]``: encoders, their licences, and how to get the weights.

Exit code 0; 2 when a name is unknown. Loads neither torch nor any weights, and asks no
network.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from base_models.encoders import known_encoders, parse_encoder
from base_models.encoders.weights import fetch_command, missing_files
from base_models.files import write_json
from ensemble.cli.shared.exit_codes import ALL_WELL, run_command
from ensemble.cli.shared.list_table import list_table
from ensemble.cli.shared.options import Options

_SPEC_FIELDS = (
    "name",
    "kind",
    "sample_rate",
    "frame_rate",
    "dim",
    "licence",
    "commercial",
    "megabytes",
    "pickled",
    "caution",
    "repository",
    "revision",
    "embedded",
)

# Columns of the printed table, and how their cells are aligned.
_COLUMNS: dict[str, JustifyMethod] = {
    "name": "left",
    "kind": "left",
    "Hz": "right",
    "frames/s": "right",
    "dim": "right",
    "licence": "left",
    "commercial": "left",
    "MB": "right",
    "weights": "left",
}


def _parser() -> Options:
    parser = Options(
        "list_encoders",
        "The encoders, their licences, and how to get the weights that are not here.",
    )
    add = parser.add_argument
    add(
        "encoders",
        nargs="*",
        help="names, or NAME=FOLDER to look in that folder (default: all)",
    )
    add(
        "--commercial-ok",
        action="store_true",
        help="only those whose licence allows commercial use",
    )
    add("--json", type=str, help="also write the list to this file")
    return parser


def _main(argv: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    known = known_encoders()
    entries = [_describe(word) for word in options.encoders or known.specs]
    if options.commercial_ok:
        entries = [entry for entry in entries if entry["commercial"]]

    console = Console()
    console.print(_table(entries))
    for entry in entries:
        _print_notes(console, entry)
    if not options.encoders:
        for name, reason in known.refused.items():
            _print_paragraph(console, f"{name} cannot be used: {reason}")

    if options.json:
        write_json(options.json, {"encoders": entries, "refused": known.refused})
        console.print(Text(f"Written to {options.json}"))
    return ALL_WELL


def _describe(word: str) -> dict[str, Any]:
    """Facts about an encoder, named as a user writes it."""
    name, folder = parse_encoder(word)
    spec = known_encoders().specs[name]
    facts = {field: getattr(spec, field) for field in _SPEC_FIELDS}
    facts["missing"] = missing_files(spec, folder)
    facts["fetch"] = fetch_command(spec) if facts["missing"] else ""
    return facts


def _print_notes(console: Console, entry: dict[str, Any]) -> None:
    name = entry["name"]
    if entry["caution"]:
        _print_paragraph(console, f"{name}: {entry['caution']}")
    if entry["missing"]:
        missing = ", ".join(entry["missing"])
        _print_paragraph(
            console,
            f"{name} lacks {missing}; where there is a network:\n  {entry['fetch']}",
        )


def _print_paragraph(console: Console, text: str) -> None:
    # Not wrapped, so that commands can be copied; Text has no markup to interpret.
    console.print(Text(f"\n{text}"), soft_wrap=True)


def _table(entries: Sequence[dict[str, Any]]) -> Table:
    table = list_table(f"{len(entries)} encoders", _COLUMNS)
    for entry in entries:
        table.add_row(*_cells(entry))
    return table


def _cells(entry: dict[str, Any]) -> list[str | Text]:
    if entry["embedded"]:
        weights = "-"
    else:
        weights = "missing" if entry["missing"] else "here"
    return [
        Text(entry["name"]),
        entry["kind"],
        str(entry["sample_rate"] or ""),
        f"{entry['frame_rate']:.3g}" if entry["frame_rate"] else "",
        str(entry["dim"]),
        Text(entry["licence"]),
        "yes" if entry["commercial"] else "no",
        str(entry["megabytes"] or ""),
        weights,
    ]


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command and exit with its code."""
    raise SystemExit(run_command(_main, argv))
