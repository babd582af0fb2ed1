"""Packages that offer encoders, installed for a test alone."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys

import pytest
from builders import ROOT

from base_models import encoders

PAGE = ROOT / "docs" / "encoders.md"
GROUP = "stackedmos.encoders"


def page_files():
    """The files of the example package, as the page on encoders has them, by name."""
    blocks = re.findall(r"\n`([\w./]+)`\n\n```\w+\n(.*?)```", PAGE.read_text(), re.S)
    return dict(blocks)


def page_check():
    """How the page calls the conformance checks."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)
    (check,) = [block for block in blocks if "check_encoder(" in block]
    return check


def write_sources(folder, files):
    """Write the files of a package by name."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder


def pip_install(source, target):
    """Install a package with pip, offline, into a folder."""
    words = ["--no-index", "--no-deps", "--no-build-isolation", "--no-compile"]
    command = [sys.executable, "-m", "pip", "install", *words, "--upgrade"]
    quiet = ["--quiet", "--disable-pip-version-check"]
    subprocess.run([*command, *quiet, "--target", target, source], check=True)


def write_metadata(folder, package, record=None, **points):
    """Make modules in a folder a package that offers encoders, as an installer does.

    Parameters
    ----------
    record : sequence of str or None
        Names of the files that were installed; None writes no record.
    points : dict from str to str
        Name of an entry point → what it names in `package`.
    """
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n"
    )
    lines = [f"{name} = {package}:{value}" for name, value in points.items()]
    (info / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *lines, ""]))
    if record is not None:
        names = [*record, f"{info.name}/METADATA", f"{info.name}/RECORD"]
        (info / "RECORD").write_text("".join(f"{name},,\n" for name in names))


@contextlib.contextmanager
def importable(folder, *packages):
    """Packages in `folder` are found in this process; afterwards they are forgotten."""

    def forget():
        encoders.known_encoders.cache_clear()
        for name in list(sys.modules):
            if name.partition(".")[0] in packages:
                del sys.modules[name]

    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        patch.setattr(encoders, "_loaded", {})
        forget()
        yield
    forget()
