"""Writes what benches print to RESULTS.md, one section each; sections of benches that
did not run are kept.

The trap: figures of two runs may come from two machines, so each section names its own.
"""

from __future__ import annotations

import os
import platform
import re
from importlib.metadata import version
from pathlib import Path

PAGE = Path(__file__).with_name("RESULTS.md")
HEAD = """# Results of the benches

Written by `make bench`; `make bench BENCH=tests/benchmarks/bench_gram.py` runs one file
and renews its sections alone. Ratios are of two things measured in one run. Times of a
machine that others use as well are said to be of CPU.
"""
PACKAGES = ("numpy", "scipy", "scikit-learn", "torch", "pyarrow")


def pytest_runtest_logreport(report):
    """One more section, or a newer one, as soon as a bench has ended."""
    lines = [line.rstrip() for line in report.capstdout.strip().splitlines()]
    if report.when != "call" or report.skipped or not (lines or report.failed):
        return
    if report.failed:
        lines.append(f"FAILED: {report.longreprtext.strip().splitlines()[-1]}")
    found = sections(PAGE.read_text(encoding="utf-8")) if PAGE.exists() else {}
    name = report.nodeid.removeprefix("tests/benchmarks/")
    found[name] = "\n".join(["```text", *lines, "```", machine()])
    written = "\n\n".join(
        f"## {name}\n\n{body}" for name, body in sorted(found.items())
    )
    PAGE.write_text(f"{HEAD}\n{written}\n", encoding="utf-8")


def sections(page):
    """Body of each section of the page, by the name of its bench."""
    _, *parts = re.split(r"^## ", page, flags=re.MULTILINE)
    return {
        name: body.strip() for name, body in (part.split("\n", 1) for part in parts)
    }


def machine():
    """Cores, processor, and versions of what does the work."""
    cpuinfo = Path("/proc/cpuinfo")
    models = re.findall(
        r"^model name\s*: (.+)$",
        cpuinfo.read_text() if cpuinfo.exists() else "",
        re.MULTILINE,
    )
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    threads = os.environ.get("OMP_NUM_THREADS")
    return (
        f"{os.cpu_count()} cores, {models[0] if models else platform.processor()}, "
        f"OMP_NUM_THREADS={threads}; "
        f"Python {platform.python_version()}, {versions}"
    )
