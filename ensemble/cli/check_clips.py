"""``check_clips PATH``: look at clips and labels before anything is trained on them.

Exit code 0 when all is well, 3 when there are findings, 2 when the table cannot be read.
"""

from __future__ import annotations

from dataclasses import asdict

from rich.console import Console
from rich.progress import track
from rich.table import Table
from rich.text import Text

from base_models.clips.check import Finding, inspect_clips, probe_clips, summarise_clips
from base_models.clips.demo_corpus import is_demo
from base_models.clips.read_clips import read_clips
from base_models.files import write_json
from ensemble.cli.shared.exit_codes import Screen, run, say
from ensemble.cli.shared.options import Options


def _main(argv: list[str] | None = None) -> int:
    parser = Options(
        "check_clips", "Check clips and labels before anything is trained on them."
    )
    parser.add_argument(
        "path",
        type=str,
        help="MusicEval folder, label list, or .csv/.tsv/.jsonl/.parquet table",
    )
    parser.add_argument(
        "--aspects",
        nargs="+",
        help="rated columns (default: found by name, then by range)",
    )
    parser.add_argument(
        "--json", type=str, help="also write facts and findings to this file"
    )
    args = parser.parse_args(argv)
    console, notes = Screen(), Screen(stderr=True)
    clips = read_clips(args.path, aspects=args.aspects)

    def watched(items):
        quiet = not notes.is_terminal or (clips["audio"] == "").all()
        return track(
            items,
            description="Reading audio",
            console=notes,
            transient=True,
            disable=quiet,
        )

    if is_demo(args.path):
        say("demo corpus: synthetic music and simulated raters")
    sounds = probe_clips(clips, watched)
    facts, findings = summarise_clips(clips, sounds), inspect_clips(clips, sounds)
    for table in _tables(facts):
        console.print(table)
    _print_findings(console, findings)
    if args.json:
        write_json(
            args.json,
            {"facts": facts, "findings": [asdict(finding) for finding in findings]},
        )
        console.print(Text(f"Written to {args.json}"))
    return 3 if findings else 0


def _tables(facts: dict) -> list[Table]:
    splits = list(facts["clips_per_split"])
    systems = _table(
        f"{facts['clips']} clips, {facts['systems']} systems, {facts['prompts']} prompts",
        "system",
        *splits,
    )
    for system, counts in facts["clips_per_system"].items():
        systems.add_row(
            Text(system or "(none)"), *[str(counts.get(split, 0)) for split in splits]
        )
    systems.add_section()
    systems.add_row("all", *[str(facts["clips_per_split"][split]) for split in splits])
    scores = _table("Labels", "aspect", "labelled", "min", "max", "mean", "step")
    for aspect, about in facts["scores"].items():
        cells = [about.get(key) for key in ("min", "max", "mean", "step")]
        scores.add_row(
            Text(aspect),
            str(about["labelled"]),
            *["" if c is None else f"{c:.4g}" for c in cells],
        )
    sound = _table("Audio", "", "")
    if facts["audio_read"]:
        about = facts["seconds"]
        sound.add_row("read", f"{facts['audio_read']} clips, {facts['hours']:.2f} h")
        sound.add_row(
            "seconds",
            f"{about['min']:.1f} to {about['max']:.1f}, median {about['median']:.1f}",
        )
        sound.add_row(
            "Hz: clips",
            ", ".join(f"{rate}: {n}" for rate, n in facts["sample_rates"].items()),
        )
        sound.add_row(
            "channels: clips",
            ", ".join(f"{count}: {n}" for count, n in facts["channels"].items()),
        )
    return [
        systems,
        *([scores] if facts["scores"] else []),
        *([sound] if facts["audio_read"] else []),
    ]


def _table(title: str, first: str, *others: str) -> Table:
    table = Table(title=title, title_justify="left", show_header=bool(first))
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="right" if first else "left")
    return table


def _print_findings(console: Console, findings: list[Finding]) -> None:
    if not findings:
        console.print("No findings.")
        return
    table = _table("Findings", "what", "clips")
    table.add_column("")
    for finding in findings:
        table.add_row(finding.kind, str(finding.count), Text(finding.message))
    console.print(table)


def main(argv: list[str] | None = None) -> None:
    """Run the command and exit with its code."""
    raise SystemExit(run(_main, argv))
