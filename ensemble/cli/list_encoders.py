"""``list_encoders [ENCODER …]``: the encoders, their licences, and how to get the weights that are not here.

Exit code 0; 2 when a name is unknown. Loads neither torch nor any weights, and asks no network.
"""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from base_models.encoders import known_encoders, parse_encoder
from base_models.encoders.weights import fetch_command, missing_files
from base_models.files import write_json
from ensemble.cli.shared.exit_codes import run
from ensemble.cli.shared.options import Options


def _main(argv: list[str] | None = None) -> int:
    parser = Options(
        "list_encoders",
        "The encoders, their licences, and how to get the weights that are not here.",
    )
    parser.add_argument(
        "encoders",
        nargs="*",
        help="names, or NAME=FOLDER to look in that folder (default: all)",
    )
    parser.add_argument(
        "--commercial-ok",
        action="store_true",
        help="only those whose licence allows commercial use",
    )
    parser.add_argument("--json", type=str, help="also write the list to this file")
    args = parser.parse_args(argv)
    known, refused = known_encoders()
    rows = [_row(*parse_encoder(name)) for name in args.encoders or known]
    if args.commercial_ok:
        rows = [row for row in rows if row["commercial"]]
    console = Console()
    console.print(_table(rows))
    for row in rows:
        if row["caution"]:
            console.print(Text(f"\n{row['name']}: {row['caution']}"), soft_wrap=True)
        if row["missing"]:
            lacks = ", ".join(row["missing"])
            console.print(
                Text(
                    f"\n{row['name']} lacks {lacks}; where there is a network:\n  {row['fetch']}"
                ),
                soft_wrap=True,
            )
    for name, reason in {} if args.encoders else refused.items():
        console.print(Text(f"\n{name} cannot be used: {reason}"), soft_wrap=True)
    if args.json:
        write_json(args.json, {"encoders": rows, "refused": refused})
        console.print(Text(f"Written to {args.json}"))
    return 0


def _row(name: str, folder: str | None) -> dict:
    spec = known_encoders()[0][name]
    fields = (
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
    )
    missing = missing_files(spec, folder)
    fetch = fetch_command(spec) if missing else ""
    return {field: getattr(spec, field) for field in fields} | {
        "repository": spec.repository,
        "revision": spec.revision,
        "embedded": spec.embedded,
        "caution": spec.caution,
        "missing": missing,
        "fetch": fetch,
    }


def _table(rows: list[dict]) -> Table:
    table = Table(
        title=f"{len(rows)} encoders",
        title_justify="left",
        box=None,
        padding=(0, 1, 0, 0),
    )
    for name in (
        "name",
        "kind",
        "Hz",
        "frames/s",
        "dim",
        "licence",
        "commercial",
        "MB",
        "weights",
    ):
        table.add_column(
            name,
            justify="right" if name in ("Hz", "frames/s", "dim", "MB") else "left",
            no_wrap=True,
        )
    for row in rows:
        weights = "-" if row["embedded"] else ("missing" if row["missing"] else "here")
        table.add_row(
            Text(row["name"]),
            row["kind"],
            str(row["sample_rate"] or ""),
            f"{row['frame_rate']:.3g}" if row["frame_rate"] else "",
            str(row["dim"]),
            Text(row["licence"]),
            "yes" if row["commercial"] else "no",
            str(row["megabytes"] or ""),
            weights,
        )
    return table


def main(argv: list[str] | None = None) -> None:
    """Run the command and exit with its code."""
    raise SystemExit(run(_main, argv))
