"""README.md and the pages of docs/ are true: links and options exist, prose is kept."""

import re
from pathlib import Path

import pytest
from builders import ROOT
from commands import call
from page_blocks import PAGES as RUN_PAGES
from page_blocks import blocks_of, command_lines
from torture.harness import ROWS

from ensemble.cli import COMMANDS

PAGES = [*RUN_PAGES, ROOT / "CONTRIBUTING.md"]
LONGEST_LINE = 120


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def _anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.M)
    kept = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in kept}


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        aim = page.parent / path if path else page
        assert aim.exists(), target
        assert not anchor or anchor in _anchors(aim), target


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_lines_of_prose_are_not_long(page):
    without_code = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
    lines = [line for line in without_code.splitlines() if not line.startswith("|")]
    assert [line for line in lines if len(line) > LONGEST_LINE] == []


def test_the_map_names_files_that_there_are():
    folders = ("base_models", "meta", "ensemble", "docs", "tests")
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*")]
    # With a slash ahead, so that a name is the end of a path and no part of a word.
    there = ["/" + path.relative_to(ROOT).as_posix() for path in paths]
    there += [f"/{path.name}" for path in ROOT.iterdir()]

    source = (ROOT / "CONTRIBUTING.md").read_text()
    rows = [line for line in source.splitlines() if line.startswith("| ")]
    named = r"`([\w./]+(?:/|\.(?:py|md|toml|sql|js|css|j2)))`"
    words = re.findall(named, "".join(rows))
    assert len(words) > 150
    ends = {word.removeprefix("..").strip("/") for word in words}
    assert [end for end in ends if not any(t.endswith(f"/{end}") for t in there)] == []


@pytest.fixture(scope="module")
def helps():
    """The help of every command."""
    return {name: call(name, "--help")[1] for name in COMMANDS}


def _options(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", text))


def test_commands_as_shown_have_the_options_that_are_shown(helps):
    """Also in the blocks that are not run."""
    shown = 0
    blocks = [block for page in PAGES for block in blocks_of(page)]
    for block in blocks:
        lines = command_lines(block.text) if block.language == "sh" else ()
        for line in lines:
            words = line.partition(" #")[0].split()
            if words[0] not in helps:
                continue
            shown += 1
            text = re.sub(r'"[^"]*"', "", line.partition(" #")[0])
            assert _options(text) <= _options(helps[words[0]]), (block.place, line)
    assert shown > 50


def test_options_that_pages_speak_of_exist(helps):
    known = set().union(*(_options(text) for text in helps.values()))
    # Options of pip.
    known |= {"--no-compile", "--require-hashes", "--no-deps", "--nthreads"}
    for page in PAGES:
        for words in re.findall(r"`(-[^`]*)`", page.read_text()):
            assert _options(words.split()[0]) <= known, (page.name, words)


def test_every_promise_names_tests_and_rows_that_there_are():
    source = (ROOT / "docs" / "reliability.md").read_text()
    _, _, table = source.partition("| promise | held by |")
    promises = [line for line in table.splitlines() if line.startswith("| **")]
    assert len(promises) >= 13
    named = set()
    for promise in promises:
        held_by = re.findall(r"`([^`]+)`", promise.rsplit(" | ", 1)[1])
        assert held_by, promise
        for name in held_by:
            assert name in ROWS or (ROOT / name).is_file(), name
            named.add(name)
    # No row of the torture is about something that nobody was promised.
    assert set(ROWS) <= named
