"""The css that all pages share, and the script of their tables."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from ensemble.reporting.style.tokens import DARK, LIGHT

_FOLDER = "ensemble.reporting.style"


@cache
def page_style() -> str:
    """The css of a page: tokens of both modes, elements, phone and print.

    It styles plain elements (``body``, ``table``, ``button``), so it is for pages of
    their own and not for parts of another page, such as a notebook.
    """
    light = _declared(LIGHT)
    dark = _declared(DARK)
    # Paper is white, whatever the screen is.
    tokens = (
        f":root {{ color-scheme: light dark; {light} }}\n"
        f"@media screen and (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}\n"
    )
    return tokens + _text("page.css") + _text("print.css")


@cache
def sort_script() -> str:
    """The script that makes tables sortable; without it, they are as they are."""
    return _text("sort_tables.js")


def _declared(tokens: Mapping[str, str]) -> str:
    return " ".join(f"--{name}: {value};" for name, value in tokens.items())


def _text(name: str) -> str:
    return files(_FOLDER).joinpath(name).read_text(encoding="utf-8")
