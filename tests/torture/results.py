"""The table of a whole run, written to ``RESULTS.md`` beside this file."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from pathlib import Path

from torture.harness import Result

RESULTS = Path(__file__).parent / "RESULTS.md"
_COST = "## What safety costs"
"""Heading of what ``bench_safety.py`` writes; a run of the torture keeps it."""


def table(results: Sequence[Result], seed: int) -> str:
    """The rows as a table in markdown, with the kinds that were tried below."""
    minutes = sum(result.seconds for result in results) / 60
    lines = [
        "# Torture",
        "",
        "Faults of every kind, from `make torture`; a case that failed is printed as",
        "the command that repeats it. "
        f"Seed {seed}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"{minutes:.0f} minutes.",
        "",
        "| what | tried | asked | failed | passes when | s |",
        "|---|---|---|---|---|---|",
    ]
    for result in results:
        row = result.row
        cells = (
            row.what,
            f"{sum(result.tried.values()):,}",
            f"{row.at_least:,}",
            str(len(result.failures)),
            row.passes_when,
            f"{result.seconds:.0f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "## Kinds", ""]
    for result in results:
        kinds = [f"{kind} {n:,}" for kind, n in sorted(result.tried.items())]
        lines.append(f"- **{result.name}**: {'; '.join(kinds)}")
    return "\n".join(lines) + "\n"


def write_results(results: Sequence[Result], seed: int) -> None:
    """Write the table; what the benchmark of safety wrote below it stays."""
    kept = ""
    if RESULTS.exists():
        _, heading, rest = RESULTS.read_text().partition(_COST)
        kept = f"\n{heading}{rest}" if heading else ""
    RESULTS.write_text(table(results, seed) + kept)
