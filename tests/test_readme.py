"""README.md and the pages of docs/ are true: examples run, links and options exist."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from builders import ROOT
from commands import call, two_epochs

from ensemble.cli import COMMANDS

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/*.md"))]
WITH_EXAMPLES = [ROOT / "README.md", ROOT / "docs" / "python.md"]
LONGEST_LINE = 120


def _python_of(page: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page.read_text(), re.S)


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


def test_the_examples_of_the_readme_and_of_the_page_on_python_run(folder):
    names = {}
    examples = [example for page in WITH_EXAMPLES for example in _python_of(page)]
    with two_epochs():
        for example in examples:
            exec(compile(example, "README.md", "exec"), names)
    assert len(examples) == 5
    assert names["predicted"].shape == (24, 2)
    assert names["adapted"].predict(names["scores"]).shape == (60,)
    assert (folder / "my_report" / "report.html").is_file()
    assert (folder / "my_stack" / "manifest.json").is_file()


def _anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.M)
    kept = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in kept}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        aim = page.parent / path if path else page
        assert aim.exists(), target
        assert not anchor or anchor in _anchors(aim), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_lines_of_prose_are_not_long(page):
    without_code = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
    lines = [line for line in without_code.splitlines() if not line.startswith("|")]
    assert [line for line in lines if len(line) > LONGEST_LINE] == []


@pytest.fixture(scope="module")
def helps():
    """The help of every command."""
    return {name: call(name, "--help")[1] for name in COMMANDS}


def _options(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", text))


def test_commands_as_shown_have_the_options_that_are_shown(helps):
    shown = 0
    for page in PAGES:
        blocks = re.findall(r"```\n(.*?)```", page.read_text(), re.S)
        for line in "\n".join(blocks).splitlines():
            words = line.partition(" #")[0].split()
            if not words or words[0] not in helps:
                continue
            shown += 1
            text = re.sub(r'"[^"]*"', "", line.partition(" #")[0])
            assert _options(text) <= _options(helps[words[0]]), (page.name, line)
    assert shown > 50


def test_options_that_pages_speak_of_exist(helps):
    known = set().union(*(_options(text) for text in helps.values()))
    # Options of pip.
    known |= {"--no-compile", "--require-hashes", "--no-deps"}
    for page in PAGES:
        for words in re.findall(r"`(-[^`]*)`", page.read_text()):
            assert _options(words.split()[0]) <= known, (page.name, words)
