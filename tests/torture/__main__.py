"""Try faults of every kind, print each that is not survived, and write the table.

``python -m torture`` runs all rows, ``python -m torture ROW`` one of them, and with
``--case N`` one case of it; ``make torture`` is the first. It ends with 1 when a case
failed.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from files_in_memory import write_in_memory
from torture.harness import (
    ROWS,
    Result,
    repeating,
    row_class,
    run_case,
    run_row,
    share_of,
)
from torture.results import RESULTS, write_results


def main() -> int:
    """Run what the command line asks for; 1 when a case failed."""
    arguments = _parser().parse_args()
    write_in_memory()
    if arguments.case is not None:
        return _one_case(arguments.row, arguments.seed, arguments.case)

    results = []
    for name in [arguments.row] if arguments.row else ROWS:
        row = row_class(name)
        cases = share_of(row) if arguments.share else list(range(row.n_cases))
        result = run_row(name, arguments.seed, cases, arguments.workers)
        _say(result, arguments.seed)
        results.append(result)
    if not arguments.share:
        write_results(results, arguments.seed)
        print(f"written: {RESULTS}")
    return int(any(result.failures for result in results))


def _one_case(name: str, seed: int, case: int) -> int:
    with tempfile.TemporaryDirectory(prefix="torture-shared-") as shared:
        row = row_class(name)(Path(shared), seed)
        row.prepare()
        outcome = run_case(row, name, case)
    print(f"{name} {case}: {outcome.kind}: {outcome.failure or 'held'}")
    return int(bool(outcome.failure))


def _say(result: Result, seed: int) -> None:
    n_tried = sum(result.tried.values())
    n_failed = len(result.failures)
    print(
        f"{result.name}: {n_tried:,} tried, {n_failed} failed, {result.seconds:.0f} s"
    )
    for case, failure in result.failures:
        print(f"  {failure}\n    {repeating(result.name, seed, case)}")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="torture", description=__doc__)
    parser.add_argument("row", nargs="?", help=f"one row alone: {', '.join(ROWS)}")
    parser.add_argument("--seed", type=int, default=0, help="what the cases hang on")
    parser.add_argument("--case", type=int, help="one case of the row, to repeat it")
    parser.add_argument("--share", action="store_true", help="what the tests run")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes")
    return parser


if __name__ == "__main__":
    sys.exit(main())
