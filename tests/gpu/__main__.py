"""One run on a device: does it agree with the CPU, and how fast is it.

``PYTHONPATH=tests python -m gpu``, which is ``make gpu``; see README.md beside this
file.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from gpu.checks import check_encoders, check_presets
from gpu.rates import (
    measure_ceilings,
    measure_filling,
    measure_muq,
    measure_training,
)
from gpu.report import Row, page
from gpu.sizes import SMALL, Sizes

from base_models.devices import resolve_device

RESULTS = Path(__file__).with_name("RESULTS.md")
SECONDS = 440.0
"""After which no further part is begun, so that all of it takes less than 8 min."""

Part = Callable[[torch.device, Sizes], Iterator[Row]]

PARTS: dict[str, Part] = {
    "ceilings": measure_ceilings,
    "muq": measure_muq,
    "filling": measure_filling,
    "training": measure_training,
    "encoders": check_encoders,
    "presets": check_presets,
}
"""In the order of what a run is for, as the last may find no time."""


def main(words: Sequence[str] | None = None) -> int:
    """Run the parts and write the page; 1 where one failed or misses its aim."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda", help="default: cuda")
    parser.add_argument("--small", action="store_true", help="sizes to test the run")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("-o", "--output", type=Path, default=RESULTS)
    options = parser.parse_args(words)

    device = resolve_device(options.device)
    sizes = SMALL if options.small else Sizes()
    began = time.monotonic()
    rows: list[Row] = []
    for name in options.parts:
        if time.monotonic() - began > options.seconds:
            rows.append(Row(name, "all of it", "no time left", "run", passes=False))
            continue
        for row in _run(name, device, sizes):
            rows.append(row)
            sys.stdout.write(f"{' | '.join(row[:4])}\n")
            sys.stdout.flush()
        # Whatever happens in a later part, this one was not for nothing.
        text = page(rows, device, seconds=time.monotonic() - began)
        options.output.write_text(text, encoding="utf-8")
    return int(any(row.passes is False for row in rows))


def _run(name: str, device: torch.device, sizes: Sizes) -> Iterator[Row]:
    """The rows of a part; a fault in it is a row, too, and stops no other part."""
    try:
        yield from PARTS[name](device, sizes)
    except Exception as error:
        traceback.print_exc()
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        yield Row(name, "fails", reason, "none", passes=False)
    if device.type == "cuda":
        torch.cuda.empty_cache()


if __name__ == "__main__":
    sys.exit(main())
