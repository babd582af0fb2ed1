"""The table of a whole run, written to ``RESULTS.md`` beside this file."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Sequence
from pathlib import Path

from torture.harness import Result

RESULTS = Path(__file__).parent / "RESULTS.md"
_MOST_KINDS = 20
"""Kinds of a row that are listed."""
_COST = "## What safety costs"
"""Heading of what ``bench_safety.py`` writes; a run of the torture keeps it."""


def table(results: Sequence[Result], seed: int, before: str = "") -> str:
    """The rows as a table in markdown, with the kinds that were tried below.

    Parameters
    ----------
    results : of whole rows
    seed : of the run
    before : an older table, whose other rows stay
    """
    lines = _lines_of(before, r"\| `(\w+)` \|.*")
    kinds = _lines_of(before, r"- \*\*(\w+)\*\*.*")
    for result in results:
        row = result.row
        name = result.name.rpartition(".")[2]
        cells = (
            f"`{name}`",
            row.what,
            f"{sum(result.tried.values()):,}",
            f"{row.at_least:,}",
            str(len(result.failures)),
            row.passes_when,
            f"{result.seconds:.0f}",
        )
        lines[name] = f"| {' | '.join(cells)} |"
        counts = [f"{kind} {n:,}" for kind, n in sorted(result.tried.items())]
        if len(counts) > _MOST_KINDS:
            counts = [*counts[:_MOST_KINDS], f"and {len(counts) - _MOST_KINDS} more"]
        kinds[name] = f"- **{name}**: {'; '.join(counts)}"

    seconds = sum(int(line.rstrip(" |").rpartition("| ")[2]) for line in lines.values())
    return "\n".join(
        [
            "# Torture",
            "",
            "Faults of every kind, from `make torture`. A case that failed is printed",
            "as the command that repeats it; a row run alone replaces its line.",
            f"Seed {seed}, {os.cpu_count()} cores, Python {platform.python_version()}, "
            f"{seconds / 60:.0f} minutes in all.",
            "",
            "| row | what | tried | asked | failed | passes when | s |",
            "|---|---|---|---|---|---|---|",
            *(lines[name] for name in sorted(lines)),
            "",
            "## Kinds",
            "",
            *(kinds[name] for name in sorted(kinds)),
            "",
        ]
    )


def _lines_of(text: str, pattern: str) -> dict[str, str]:
    """Lines of a table that match a pattern, by the name of their row."""
    return {match[1]: match[0] for match in re.finditer(pattern, text)}


def write_results(results: Sequence[Result], seed: int) -> None:
    """Write the table; other rows, and what the benchmark of safety wrote, stay."""
    older = RESULTS.read_text() if RESULTS.exists() else ""
    before, heading, rest = older.partition(_COST)
    kept = f"\n{heading}{rest}" if heading else ""
    RESULTS.write_text(table(results, seed, before) + kept)
