"""The model card of a stack: what it is for, how well it did, and what it must not do.

Everything on it comes from the files of the stack. What was not measured is said to be
unmeasured; a stack of the demo corpus is said to be one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import PurePath
from typing import Any

import yaml

from ensemble.hub.stack_contents import StackContents
from ensemble.reporting.answers.terms import aspect_terms
from ensemble.reporting.number_text import cell_text

_TAGS = ["audio", "music", "mean-opinion-score", "quality-assessment", "stacking"]
_SHOWN = {
    "stack": "this stack",
    "mean": "mean of its base models",
    "constant": "constant: the mean rating",
}
_TAG = re.compile("<(?=[A-Za-z/!?])")
_MEASURES = (("utterance", "srcc"), ("utterance", "mse"), ("system", "srcc"))


def model_card(contents: StackContents, name: str, licence: str = "") -> str:
    """A model card in Markdown, with the facts that hubs read in front.

    Parameters
    ----------
    contents : StackContents
    name : str
        Of the stack, as ``user/name`` or that of its folder.
    licence : str
        Of the stack as hubs spell it; "" states none.
    """
    # Imported here: fits and predictions need no templates.
    import jinja2

    template = files("ensemble.hub").joinpath("model_card.md.j2")
    environment = jinja2.Environment(
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"cell": _cell, "prose": _prose, "code": _code}
    rendered = environment.from_string(template.read_text(encoding="utf-8"))
    return rendered.render(
        front_matter=_front_matter(name, licence),
        name=name,
        contents=contents,
        licence=licence,
        measured=list(_measured_rows(contents)),
        rows=_measured_on(contents),
        source=PurePath(contents.source).name,
        limits=contents.report.get("verdict", {}).get("limits") or "",
        leaks=contents.report.get("leaks") or [],
        coverage=contents.report.get("interval_coverage") or {},
        meanings={term.word: term.meaning for term in aspect_terms(contents.aspects)},
    )


def _front_matter(name: str, licence: str) -> str:
    facts: dict[str, Any] = {
        "library_name": "stackedmos",
        # What hubs call a licence that is none of theirs, or that nobody named.
        "license": " ".join(licence.split()) or "other",
        "tags": _TAGS,
        "model_name": " ".join(name.rpartition("/")[2].split()),
    }
    # In one line each: a line of dashes would end the facts.
    return yaml.safe_dump(facts, sort_keys=False, allow_unicode=True, width=math.inf)


def _measured_on(contents: StackContents) -> str:
    """Name of the rows that the numbers of the card are of, "" where there are none."""
    return str(contents.report.get("verdict", {}).get("rows", ""))


def _measured_rows(contents: StackContents) -> Iterator[tuple[str, str, list[str]]]:
    """Per aspect and model its metrics, with intervals: the stack's, then others'."""
    board = contents.report.get("leaderboards", {}).get(_measured_on(contents), [])
    for aspect in contents.aspects:
        for model, words in _SHOWN.items():
            cells = [
                _metric(board, model, aspect, level, metric)
                for level, metric in _MEASURES
            ]
            if any(cells):
                yield aspect, words, cells


def _metric(
    board: list[Mapping[str, Any]], model: str, aspect: str, level: str, metric: str
) -> str:
    wanted = {"model": model, "aspect": aspect, "level": level, "metric": metric}
    for record in board:
        if all(record[key] == value for key, value in wanted.items()):
            return cell_text(record, "value", "low", high="high")
    return ""


def _prose(text: object) -> str:
    """Text for one line of Markdown, in which nothing is HTML, a link or code."""
    escaped = _TAG.sub("&lt;", str(text).replace("&", "&amp;"))
    # Intervals stand in brackets as well, with no address behind them.
    escaped = escaped.replace("](", "] (").replace("`", "\\`")
    return " ".join(escaped.split())


def _cell(text: object) -> str:
    """Text for a cell of a table in Markdown."""
    return _prose(text).replace("|", "\\|")


def _code(text: object) -> str:
    """Text between backticks, or in one line of a block of code."""
    return " ".join(str(text).replace("`", "'").split())
