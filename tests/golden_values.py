"""Golden values: how they are stored, compared, and read from what commands write.

The trap: a comparison that knows the code's own classes follows the code wherever it
goes. So nothing is imported from the project here. Commands are found by name in
``pyproject.toml``, and what they write is read as any user would.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import math
import os
import platform
import re
import signal
import sys
import tomllib
from html.parser import HTMLParser
from pathlib import Path

import lightgbm
import numpy as np
import pandas as pd
import pytest
import scipy
import sklearn
import threadpoolctl
import torch

ROOT = Path(__file__).parents[1]
FOLDER = Path(__file__).parent / "golden"
EXACT = 1e-9
"""Tolerance on the platform that stored values are from."""

# Tolerances on other platforms, as measured with other kernels on one processor.
# Training carries other last digits on: AdamW divides a gradient by its size, so where
# that is nearly zero its first steps turn rounding into as much as 1e-3 of a
# distribution. What is solved in closed form or to a tight tolerance stays closer.
# Stacks of networks trained for some epochs choose and split elsewhere, which no
# tolerance covers (None).
TRAINED = 1e-4
TRAINED_LONGER = 1e-2
SOLVED = 1e-6

NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?(?!\w)")
NUMBERS = ("value", "ceiling", "reliability", "low", "high", "n")
"""Columns of a leaderboard or of a noise ceiling."""

PROSE = "sentence"
"""Texts under this key may be worded anew; only the numbers in them are compared."""


# ---- the commands


def call(command, *argv, expected=0):
    """Run a command in this process, by its installed name; its standard output."""
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    module, function = scripts[command].split(":")
    main = getattr(importlib.import_module(module), function)
    words = [command, *(str(word) for word in argv)]

    out = io.TextIOWrapper(io.BytesIO(), "utf-8")
    err = io.StringIO()
    before = signal.getsignal(signal.SIGTERM)
    argv_before = sys.argv
    sys.argv = words
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
        code = 0
    except SystemExit as ended:
        code = ended.code or 0
    finally:
        sys.argv = argv_before
        signal.signal(signal.SIGTERM, before)

    out.flush()
    said = out.buffer.getvalue().decode()
    assert code == expected, f"{' '.join(words)} ended with {code}:\n{err.getvalue()}"
    return said


def last_line(said):
    """The path that a command prints last."""
    return Path(said.splitlines()[-1])


# ---- what commands write, as plain values


def board(rows):
    """A leaderboard by aspect and model.

    Each is a list of value, bounds and count for every level and metric, in order of
    their names.
    """
    frame = pd.DataFrame(rows)
    if frame.empty:
        return {}
    order = frame.sort_values(["level", "metric"], kind="stable")
    own = ["aspect", "model"] if "model" in frame else ["aspect"]
    numbers = [name for name in NUMBERS if name in frame]
    parts = {}
    for key, part in order.groupby(own, sort=True):
        parts[" ".join(key)] = part[numbers].to_numpy(dtype=float).ravel()
    return parts


def boards(by_rows):
    """Leaderboards by the name of their rows."""
    return {rows: board(records) for rows, records in by_rows.items()}


def report(folder):
    """Every number of a stack's report: the JSON, and the page's tables in order."""
    found = json.loads((folder / "report.json").read_text())
    page = Page()
    page.feed((folder / "report.html").read_text())
    contributions = pd.DataFrame(*found["contributions"].values())
    comparisons = pd.DataFrame(found["verdict"]["comparisons"]).drop(columns="said")
    return {
        "boards": boards(found["leaderboards"]),
        "order": found["order"],
        "learners": boards(found["learners"]),
        "contributions": contributions.to_dict("list"),
        "calibration": found["calibration"],
        "coverage": found["interval_coverage"],
        "ceiling": boards(found["noise_ceiling"]),
        "comparisons": comparisons.to_dict("list"),
        PROSE: found["verdict"][PROSE],
        "facts": found["learner_facts"],
        "warnings": [{PROSE: warning} for warning in found["warnings"]],
        "audit": found["audit"]["counts"],
        "page tables": page.tables,
        "page pictures": page.pictures,
    }


class Page(HTMLParser):
    """The numbers in the cells of each table of a page, and its count of pictures.

    Titles and paragraphs are left out, for they may be worded anew; so are columns of
    seconds, which no two runs share. Pictures are only counted: what they draw stands
    in the JSON.
    """

    def __init__(self):
        super().__init__()
        self.tables = []
        self.pictures = 0
        self.seconds = 0
        self.row = []
        self.cell = None

    def handle_starttag(self, tag, attrs):
        if tag == "svg":
            self.pictures += 1
        elif tag == "table":
            self.tables.append([])
            self.seconds = 0
        elif tag == "tr":
            self.row = []
        elif tag in ("td", "th"):
            self.cell = ""

    def handle_data(self, data):
        if self.cell is not None:
            self.cell += data

    def handle_endtag(self, tag):
        if tag == "th":
            self.seconds += self.cell.endswith(", s")
            self.cell = None
        elif tag == "td":
            self.row.append(numbers_of(self.cell))
            self.cell = None
        elif tag == "tr" and self.row:
            kept = self.row[: len(self.row) - self.seconds]
            self.tables[-1] += [number for numbers in kept for number in numbers]


def numbers_of(text):
    """The numbers in a text, but for digits that are part of a name."""
    return [float(number) for number in NUMBER.findall(text)]


def scores(path, count):
    """The columns of numbers in a file of scores: its first rows by clip id."""
    frame = pd.read_parquet(path).sort_values("clip_id").head(count)
    return frame.select_dtypes("number").to_dict("list")


# ---- stored values


def check(name, found, loose):
    """Compare values with those stored under `name`; ``GOLDEN_WRITE=1`` stores them.

    Parameters
    ----------
    found : dict of anything made of dicts, lists, arrays, numbers and texts
    loose : tolerance on another platform than the stored values are from. There, other
        kernels round other last digits, and training and iterative solvers carry these
        on. None skips there. On the same platform the tolerance is `EXACT`
    """
    path = FOLDER / f"{name}.json"
    found = plain(found)
    here = platform_facts()
    if os.environ.get("GOLDEN_WRITE") == "1":
        write(path, {"platform": here} | found)
        return

    stored = json.loads(path.read_text())
    same = stored.pop("platform") == here
    if not same and loose is None:
        pytest.skip("stored on another platform, whose kernels give another stack")

    tolerance = EXACT if same else loose
    wrong = list(differences(stored, found, tolerance, ""))
    where = "this platform" if same else "another platform"
    head = f"{len(wrong)} values are not those of {path.name}"
    shown = "\n".join(wrong[:20])
    assert not wrong, f"{head} (stored on {where}, to {tolerance:g}):\n{shown}"


def platform_facts():
    """What decides the last digits: the processor, the kernels for it, and versions."""
    pools = threadpoolctl.threadpool_info()
    blas = set()
    for pool in pools:
        if pool["user_api"] == "blas":
            kernels = pool.get("architecture")
            blas.add(f"{pool['internal_api']} {pool['version']} {kernels}")

    simd = np.show_config(mode="dicts")["SIMD Extensions"]
    return {
        "processor": processor(),
        "mkl": os.environ.get("MKL_CBWR", ""),
        "torch kernels": torch.backends.cpu.get_cpu_capability(),
        "numpy kernels": simd.get("found", []),
        "blas": sorted(blas),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "pandas": pd.__version__,
        "scikit-learn": sklearn.__version__,
        "torch": torch.__version__,
        "lightgbm": lightgbm.__version__,
    }


def processor():
    """Its make and model, by which MKL, inside torch, chooses kernels unasked."""
    facts = {"architecture": platform.machine()}
    file = Path("/proc/cpuinfo")
    if file.is_file():
        first = file.read_text().split("\n\n")[0]
        for line in first.splitlines():
            name, _, value = line.partition(":")
            if name.strip() in ("vendor_id", "cpu family", "model"):
                facts[name.strip()] = value.strip()
    return facts


def write(path, values):
    """One line per key, so that a change shows where it is.

    Floats are written by ``repr``, so they read back the same.
    """
    lines = [f"{json.dumps(key)}:{_compact(values[key])}" for key in sorted(values)]
    path.parent.mkdir(exist_ok=True)
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def _compact(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def plain(value):
    """The same as JSON values; what is not finite becomes null."""
    if isinstance(value, dict):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def differences(stored, found, tolerance, place):
    """Where two values differ, in words; `tolerance` is relative and absolute."""
    if isinstance(stored, dict) and isinstance(found, dict):
        for key in sorted(stored.keys() | found.keys()):
            inside = f"{place}/{key}"
            if key not in stored:
                yield f"{inside}: not stored"
            elif key not in found:
                yield f"{inside}: stored, but not here"
            elif key == PROSE:
                numbers = [numbers_of(text) for text in (stored[key], found[key])]
                yield from differences(*numbers, tolerance, inside)
            else:
                yield from differences(stored[key], found[key], tolerance, inside)
    elif isinstance(stored, list) and isinstance(found, list):
        if len(stored) != len(found):
            yield f"{place}: {len(stored)} stored, {len(found)} here"
            return
        for k, pair in enumerate(zip(stored, found, strict=True)):
            yield from differences(*pair, tolerance, f"{place}/{k}")
    elif _is_number(stored) and _is_number(found):
        if not math.isclose(stored, found, rel_tol=tolerance, abs_tol=tolerance):
            yield f"{place}: {stored!r} stored, {found!r} here"
    elif stored != found:
        yield f"{place}: {stored!r} stored, {found!r} here"


def _is_number(value):
    return isinstance(value, int | float) and not isinstance(value, bool)
