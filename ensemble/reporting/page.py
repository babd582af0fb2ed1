"""A report as one HTML page that stands alone."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

from ensemble.reporting.figures import svg
from ensemble.reporting.section import ReportContent, Section


def page(content: ReportContent, sections: Sequence[Section]) -> str:
    """The page of a report; names from the data are escaped.

    Parameters
    ----------
    content : names the page
    sections : what it shows, in order
    """
    # Imported here: fits and predictions need no templates.
    import jinja2

    folder = files("ensemble.reporting")
    source = folder.joinpath("report.html.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(source)
    return template.render(
        learner=content.values["learner"],
        source=content.values["source"],
        sections=sections,
        svg=svg,
    )
