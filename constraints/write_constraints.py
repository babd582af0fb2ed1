"""Write exact versions and hashes of what each kind of installation brings.

Run from the project's root as ``make lock``, after a change of the bounds in
``pyproject.toml``. pip resolves these bounds here, as it would for an installation, and
says which files it would take; nothing is installed. No address of an index is kept, so
that the files are looked for wherever pip looks.
"""

from __future__ import annotations

import json
import platform
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

KINDS = {
    "base": (".",),
    "train": (".[train]",),
    "all": (".[all]", "--group", "dev"),
}
"""Name of each file of constraints to what pip is asked to install."""
_HEADER = """\
# What `pip install {words}` brought on {date}, for {where}.
# Written by `make lock`; the bounds are in pyproject.toml.
# pip install --require-hashes -r constraints/{kind}.txt && pip install --no-deps .
"""
_FOLDER = Path(__file__).parent


def resolved(words: Sequence[str]) -> list[dict[str, Any]]:
    """What pip would install for these words, as its report says."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        options = ["--quiet", "--dry-run", "--ignore-installed"]
        options += ["--report", str(report)]
        subprocess.run(
            [sys.executable, "-m", "pip", "install", *options, *words], check=True
        )
        found: list[dict[str, Any]] = json.loads(report.read_text())["install"]
        return found


def pinned(items: Sequence[dict[str, Any]]) -> list[str]:
    """One line per package, in the order of their normalised names."""
    lines = []
    for item in items:
        archive = item["download_info"].get("archive_info")
        # This project itself is a folder, and no release.
        if archive is None:
            continue
        name = re.sub(r"[-_.]+", "-", item["metadata"]["name"]).lower()
        version = item["metadata"]["version"]
        lines.append(f"{name}=={version} --hash=sha256:{archive['hashes']['sha256']}\n")
    return sorted(lines)


def write(kind: str) -> None:
    """Write the file of constraints of one kind of installation."""
    words = shlex.join(KINDS[kind])
    where = (
        f"{platform.python_implementation()} "
        f"{sys.version_info.major}.{sys.version_info.minor} on {platform.system()} "
        f"{platform.machine()}"
    )
    header = _HEADER.format(words=words, kind=kind, where=where, date=date.today())
    path = _FOLDER / f"{kind}.txt"
    path.write_text(header + "".join(pinned(resolved(KINDS[kind]))))


if __name__ == "__main__":
    for name in KINDS:
        write(name)
