"""Packages that offer encoders, installed for a test alone."""

from __future__ import annotations

import contextlib
import subprocess
import sys

import pytest
from builders import ROOT
from page_blocks import blocks_of

from base_models import encoders

PAGE = ROOT / "docs" / "how-to" / "encoders.md"
GROUP = "stackedmos.encoders"
AFFINE = """
from dataclasses import replace

import numpy as np

from base_models.encoders.specs import SPECS

RNG = np.random.default_rng(0)
BUILT_IN = {spec.name: spec for spec in SPECS}
SIGNS = RNG.choice([-1, 1], 128)
MAPS = {
    "plain": (np.ones(128), np.zeros(128)),
    "tiny": (np.full(128, 1e-6), np.zeros(128)),
    "loud": (np.full(128, 0.03), np.full(128, 0.1)),
    "large": (np.full(128, 1e4), np.full(128, -1e4)),
    "mixed": (10 ** RNG.uniform(-6, 4, 128), RNG.normal(0, 10, 128)),
    "declared": (np.full(128, 1e-6), np.zeros(128)),
}
# An offset that leaves float32 its digits.
MAPS["mixed"] = (MAPS["mixed"][0], MAPS["mixed"][0] * MAPS["mixed"][1])


def spec(name, original="logmel"):
    normalised = name == "declared"
    return replace(
        BUILT_IN[original], name=name, normalised=normalised, builder="affine"
    )


PLAIN, TINY, LOUD, LARGE, MIXED, DECLARED = map(spec, MAPS)
WORDS = spec("words", "hashed_text")


def build(spec, files, device):
    import torch
    from torch import nn

    from base_models.encoders import load_encoder
    from base_models.encoders.base import Encoder

    original = load_encoder("hashed_text" if spec.kind == "text" else "logmel")
    factor, offset = MAPS.get(spec.name, MAPS["mixed"])

    class Affine(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = original.module
            self.register_buffer("factor", torch.tensor(factor).float())
            self.register_buffer("offset", torch.tensor(offset).float())

        def forward(self, samples):
            return self.inner(samples) * self.factor + self.offset

    return Encoder.from_spec(
        spec, module=Affine(), prepare=original.prepare, device=device
    )
"""
"""Encoders that give factor * x + offset of what a built-in one gives."""
AFFINE_NAMES = ("plain", "tiny", "loud", "large", "mixed", "declared", "words")


def page_files():
    """The files of the example package, as the page on encoders has them, by name."""
    files = [block for block in blocks_of(PAGE) if block.file]
    return {block.file.removeprefix("band-levels/"): block.text for block in files}


def page_check():
    """How the page calls the conformance checks."""
    blocks = [block.text for block in blocks_of(PAGE)]
    (check,) = [text for text in blocks if "report = check_encoder(" in text]
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


def write_affine(folder):
    """Install the encoders of `AFFINE` in a folder."""
    (folder / "affine.py").write_text(AFFINE)
    write_metadata(folder, "affine", **{name: name.upper() for name in AFFINE_NAMES})


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
