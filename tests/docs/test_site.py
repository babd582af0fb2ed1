"""The site of ``make docs``: built strictly, and asking nobody for anything."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest
import yaml
from builders import ROOT
from page_blocks import DOCS

pytest.importorskip("mkdocs", reason="needs the dependency group docs")

# What a browser fetches by itself; a link that is followed on a click is none of it.
FETCHED = {
    "audio": "src",
    "iframe": "src",
    "img": "src",
    "link": "href",
    "script": "src",
    "source": "src",
    "video": "src",
}


class Fetches(HTMLParser):
    """Collects the addresses that a browser fetches to show a page."""

    def __init__(self):
        super().__init__()
        self.addresses = []

    def handle_starttag(self, tag, attributes):
        address = dict(attributes).get(FETCHED.get(tag))
        if address:
            self.addresses.append(address)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "--site-dir",
        folder,
    ]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_no_page_fetches_anything_from_elsewhere(site):
    pages = list(site.glob("**/*.html"))
    assert len(pages) > 20
    for page in pages:
        parser = Fetches()
        parser.feed(page.read_text())
        assert parser.addresses
        outside = [a for a in parser.addresses if re.match(r"(\w+:)?//", a)]
        assert outside == [], page


def test_no_style_fetches_anything_from_elsewhere(site):
    for sheet in site.glob("**/*.css"):
        fetched = re.findall(r"url\(([^)]*)\)|@import ([^;]*)", sheet.read_text())
        addresses = ["".join(pair).strip("\"'") for pair in fetched]
        assert [a for a in addresses if re.match(r"(https?:)?//", a)] == [], sheet


def test_the_search_finds_pages(site):
    index = (site / "search" / "search_index.json").read_text()
    for words in ("noise ceiling", "predict_interval", "five minutes"):
        assert words in index.lower(), words


def test_every_page_is_in_the_navigation():
    named = re.findall(r"[\w/-]+\.md", (ROOT / "mkdocs.yml").read_text())
    there = {str(page.relative_to(DOCS)) for page in DOCS.glob("**/*.md")}
    assert sorted(named) == sorted(there)


def test_descriptions_in_words_are_no_types():
    path = DOCS / "scripts" / "griffe_descriptions.py"
    spec = importlib.util.spec_from_file_location("griffe_descriptions", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    words = "Count.\n\nParameters\n----------\nids : names of clips,\n    in order"
    assert "ids\n    names of clips,\n    in order" in module.with_descriptions(words)
    plain = "Count.\n\nParameters\n----------\nseed : int\n    Seed of everything."
    assert module.with_descriptions(plain) == plain


def test_the_configuration_asks_nobody_for_fonts():
    text = (ROOT / "mkdocs.yml").read_text()
    assert yaml.safe_load(text)["theme"]["font"] is False
