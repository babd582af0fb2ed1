"""Any list of sections as one HTML page that stands alone.

The page asks nothing of a network: its style, its script and its charts are in it, and
its Content-Security-Policy forbids everything else.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from markupsafe import Markup

from ensemble.reporting.figures import svg
from ensemble.reporting.page_audio import PageAudio
from ensemble.reporting.page_parts.strip_svg import strip_svg
from ensemble.reporting.page_parts.table_cells import (
    cell_text,
    columns_of,
    level_places,
    shown,
    sort_key,
    table_name,
)
from ensemble.reporting.page_parts.term_marks import TermMarks
from ensemble.reporting.section import READERS, Provenance, Section
from ensemble.reporting.style.page_style import page_style, sort_script
from ensemble.screen.literal import literal

if TYPE_CHECKING:
    from jinja2 import Template

_SEEN_AT_A_GLANCE = 3
"""Headings up to which a page needs no table of contents."""


@dataclass(frozen=True)
class Part:
    """A section at its place on the page.

    Parameters
    ----------
    id : of its heading
    section : what it shows
    """

    id: str
    section: Section


@dataclass(frozen=True)
class Group:
    """The sections for one kind of reader.

    Parameters
    ----------
    id, title : of its heading; both "" where the whole page is for one kind
    parts : its sections, in order
    """

    id: str
    title: str
    parts: tuple[Part, ...]


def page(
    title: str,
    sections: Sequence[Section],
    provenance: Provenance | None = None,
    audio: PageAudio | None = None,
) -> str:
    """The page; names from the data are escaped.

    Parameters
    ----------
    title : of the page
    sections : what it shows; those for one reader stand together, in this order
    provenance : how its numbers came about
    audio : what players play; None for nothing
    """
    script = sort_script()
    audio = audio or PageAudio()
    groups = list(_groups(sections))
    facts = _facts(provenance) if provenance else []
    return _template().render(
        title=title,
        made=_made(provenance) if provenance else "",
        groups=groups,
        contents=len(list(_titles(groups))) > _SEEN_AT_A_GLANCE,
        facts=facts,
        marks=TermMarks(sections),
        audio=audio,
        style=_own_text(page_style()),
        script=_own_text(script),
        policy=_policy(script, audio),
    )


def notebook_frame(page_text: str) -> str:
    """A page as a frame of a notebook, whose style and script stay inside it.

    Parameters
    ----------
    page_text : such as `page` makes it
    """
    return (
        '<iframe title="report" sandbox="allow-scripts" '
        'style="width: 100%; height: 40rem; border: 1px solid" '
        f'srcdoc="{html.escape(page_text)}"></iframe>'
    )


@cache
def _template() -> Template:
    # Imported here: fits and predictions need no templates.
    import jinja2

    folder = files("ensemble.reporting.page_parts")
    source = folder.joinpath("page.html.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(shown=shown, literal=literal, cell_text=cell_text)
    environment.globals.update(
        svg=svg,
        strip=strip_svg,
        columns_of=columns_of,
        level_places=level_places,
        sort_key=sort_key,
        table_name=table_name,
    )
    return environment.from_string(source)


def _groups(sections: Sequence[Section]) -> Iterator[Group]:
    """The sections by reader, in the order of `READERS`."""
    used = [name for name in READERS if any(s.reader == name for s in sections)]
    number = 0
    for name in used:
        parts = []
        for section in sections:
            if section.reader == name:
                number += 1
                parts.append(Part(f"part-{number}", section))
        if len(used) > 1:
            yield Group(name, READERS[name], tuple(parts))
        else:
            yield Group("", "", tuple(parts))


def _titles(groups: Sequence[Group]) -> Iterator[str]:
    """The headings of a page."""
    for group in groups:
        titles = (group.title, *(part.section.title for part in group.parts))
        yield from filter(None, titles)


def _made(provenance: Provenance) -> str:
    """The line below the title: what, when, by which version."""
    version = f"stackedmos {provenance.version}" if provenance.version else ""
    facts = (provenance.data, provenance.stack, provenance.date, version)
    return " · ".join(fact for fact in facts if fact)


def _facts(provenance: Provenance) -> list[tuple[str, str]]:
    """What the end of the page says of its making."""
    facts = {
        "Command": provenance.command,
        "Version": provenance.version,
        "Date": provenance.date,
        "Data": provenance.data,
        "SHA-256 of data": provenance.data_hash,
        "Stack": provenance.stack,
        "SHA-256 of stack": provenance.stack_hash,
    }
    return [(name, value) for name, value in facts.items() if value]


def _policy(script: str, audio: PageAudio) -> str:
    """A Content-Security-Policy under which nothing runs or loads but what is here."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    rules = (
        "default-src 'none'",
        f"script-src 'sha256-{digest}'",
        # Charts say their colours in attributes, which no hash can allow.
        "style-src 'unsafe-inline'",
        # Dots of very many clips are an image inside their chart.
        "img-src data:",
        f"media-src {audio.allowed}",
        "base-uri 'none'",
        "form-action 'none'",
    )
    return "; ".join(rules)


def _own_text(text: str) -> Markup:
    """Text of this package for ``<style>`` and ``<script>``, which escape nothing."""
    assert "</" not in text
    return Markup(text)
