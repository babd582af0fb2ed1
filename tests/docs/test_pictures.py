"""The pictures of the documents are those that their script draws."""

from __future__ import annotations

import importlib.util

import pytest
from page_blocks import DOCS

SCRIPT = DOCS / "scripts" / "draw_pictures.py"
LARGEST = 150_000
"""Bytes of a picture: a page is to be there at once."""


def _drawing():
    spec = importlib.util.spec_from_file_location("draw_pictures", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


DRAWING = _drawing()


@pytest.mark.parametrize("name", DRAWING.PICTURES)
def test_the_stored_picture_is_what_its_script_draws(name):
    stored = (DOCS / "images" / f"{name}.svg").read_text()
    assert DRAWING.picture(name) == stored, f"draw it anew: python {SCRIPT}"


def test_every_picture_is_small_and_shown():
    pages = "".join(page.read_text() for page in DOCS.glob("**/*.md"))
    pages += (DOCS.parent / "README.md").read_text()
    for picture in (DOCS / "images").iterdir():
        assert picture.stat().st_size <= LARGEST, picture
        assert f"images/{picture.name}" in pages, picture
