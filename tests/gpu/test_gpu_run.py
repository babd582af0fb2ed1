"""The run on a device runs: here in small, on the pretend device."""

import re

import pytest
import torch
from gpu import __main__ as run
from gpu.pretend import pretend_gpu
from gpu.report import Row, at_least, at_most, holds, page

CPU = torch.device("cpu")


def test_every_part_runs_and_meets_its_aims_of_parity(tmp_path, decoded_here):
    path = tmp_path / "RESULTS.md"
    # Their aims are those of an H100.
    rates = {"muq", "filling", "training"}
    with pretend_gpu():
        run.main(["--small", "--output", str(path)])
    text = path.read_text()
    rows = re.findall(r"^\| (.+?) \| (.+?) \| (.*?) \| .* \|$", text, re.MULTILINE)
    assert not [row for row in rows if row[1] == "fails"]
    assert {part for part, _, _ in rows} >= {
        "ceilings",
        "MuQ alone",
        "filling",
        "training",
        "encoders",
        "presets",
    }
    missed = [line for line in text.splitlines() if "**not met**" in line]
    assert all(line.split(" | ")[0].strip("| ") in rates for line in missed), missed
    assert "| filling | waits of the host | 0 |" in text


def test_a_part_that_fails_is_a_row_and_stops_no_other(tmp_path, monkeypatch):
    def failing(device, sizes):
        yield Row("one", "begun", "yes")
        raise RuntimeError("CUDA error: an illegal\nmemory access")

    parts = {"one": failing, "two": lambda device, sizes: [holds("two", "runs", True)]}
    monkeypatch.setattr(run, "PARTS", parts)
    path = tmp_path / "r.md"
    words = ["--device", "cpu", "--small", "--output", str(path)]
    assert run.main([*words, "--parts", "one", "two"]) == 1
    text = path.read_text()
    assert "| one | begun | yes |" in text
    assert "| one | fails | RuntimeError: CUDA error: an illegal memory access |" in (
        text
    )
    assert "| two | runs | yes | yes | met |" in text


def test_no_part_is_begun_when_there_is_no_time_left(tmp_path):
    path = tmp_path / "r.md"
    words = ["--device", "cpu", "--small", "--output", str(path), "--seconds", "-1"]
    assert run.main([*words, "--parts", "ceilings"]) == 1
    assert run.main([*words, "--parts", "ceilings", "muq"]) == 1


@pytest.mark.parametrize(
    ("row", "verdict"),
    [
        (at_most("p", "w", 2.0, 1.0), "**not met**"),
        (at_most("p", "w", 1.0, 1.0), "met"),
        (at_least("p", "w", 2.0, 1.0), "met"),
        (at_least("p", "w", 0.5, 1.0), "**not met**"),
        (holds("p", "w", False), "**not met**"),
        (Row("p", "w", "5"), ""),
    ],
)
def test_a_row_says_whether_its_aim_is_met(row, verdict):
    assert page([row], CPU, seconds=1.0).splitlines()[-1].endswith(f"| {verdict} |")
