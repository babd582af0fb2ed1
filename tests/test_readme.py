"""The Python examples of the README run, in order, in a folder with a small test."""

import re

import numpy as np
import pandas as pd
import pytest
import soundfile
from builders import ROOT
from commands import two_epochs

EXAMPLES = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the ratings of 24 short clips of four systems."""
    rng = np.random.default_rng(0)
    rows = []
    for k in range(24):
        audio = f"clip{k}.wav"
        soundfile.write(tmp_path / audio, rng.normal(0, 0.1, 12_000), 24_000)
        rows.append(
            {
                "clip_id": f"clip{k}",
                "system_id": f"system{k % 4}",
                "audio": audio,
                "prompt": f"slow piano, take {k}",
                "mi": round(rng.uniform(1.5, 4.5), 1),
                "ta": round(rng.uniform(1.5, 4.5), 1),
            }
        )
    pd.DataFrame(rows).to_csv(tmp_path / "ratings.csv", index=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_examples_of_the_readme_run(folder):
    names = {}
    with two_epochs():
        for example in EXAMPLES:
            exec(compile(example, "README.md", "exec"), names)
    assert len(EXAMPLES) == 4
    assert names["adapted"].predict(names["scores"]).shape == (60,)
    assert (folder / "my_report" / "report.html").is_file()
    assert (folder / "my_stack" / "manifest.json").is_file()
