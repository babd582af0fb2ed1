"""Rows of a run on a device, and the page that they are written to."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from typing import NamedTuple

import torch

HEAD = """# What a run on a device gave

Written by `make gpu` (`tests/gpu/README.md`). All figures are of one run on one
machine.
"""
LIBRARIES = ("torch", "transformers", "numpy", "muq")


class Row(NamedTuple):
    """One thing that was looked at.

    Parameters
    ----------
    part : str
    what : str
    value : str
        What was found.
    aim : str
        What it should be; "" where there is no aim.
    passes : bool or None
        Whether it is; None where there is no aim.
    """

    part: str
    what: str
    value: str
    aim: str = ""
    passes: bool | None = None


def at_most(part: str, what: str, value: float, limit: float) -> Row:
    """A row of a figure that should not be above a limit."""
    return Row(part, what, f"{value:.2g}", f"≤ {limit:g}", passes=value <= limit)


def at_least(part: str, what: str, value: float, limit: float) -> Row:
    """A row of a figure that should not be below a limit."""
    return Row(part, what, f"{value:,.3g}", f"≥ {limit:,g}", passes=value >= limit)


def holds(part: str, what: str, passes: bool) -> Row:
    """A row of what should be so."""
    return Row(part, what, "yes" if passes else "no", "yes", passes=passes)


def page(rows: Sequence[Row], device: torch.device, seconds: float) -> str:
    """The rows as a page in markdown."""
    verdicts = {True: "met", False: "**not met**", None: ""}
    cells = [
        (row.part, row.what, row.value, row.aim, verdicts[row.passes]) for row in rows
    ]
    lines = [" | ".join(row).replace("\n", " ") for row in cells]
    table = "\n".join(f"| {line} |" for line in lines)
    return (
        f"{HEAD}\n{_machine(device)}; {seconds:.0f} s in all.\n\n"
        f"| part | what | value | aim | |\n|---|---|---|---|---|\n{table}\n"
    )


def _machine(device: torch.device) -> str:
    name = platform.processor() or platform.machine()
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    versions = ", ".join(f"{library} {version(library)}" for library in LIBRARIES)
    return f"{name}, {os.cpu_count()} cores, {versions}"
