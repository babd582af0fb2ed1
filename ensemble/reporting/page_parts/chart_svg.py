"""A chart of matplotlib as an ``<svg>`` element that belongs to its page.

matplotlib writes files that stand alone: with a style for everything, ids that two
charts share, colours in numbers. In a page those would leak into what is around them.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from ensemble.reporting.style.tokens import LIGHT

_SVG = "http://www.w3.org/2000/svg"
_HREF = "{http://www.w3.org/1999/xlink}href"
_NAMES = {"text", "quiet", "line", "edge", "page", "blue", "orange", "green", "red"}
_TOKENS = {LIGHT[name]: name for name in (*sorted(_NAMES), "purple", "grey")}
_COLOUR = re.compile("|".join(_TOKENS))
_DIGITS = re.compile(r"(\d+\.\d\d)\d+")
_FONT = re.compile(r"font: (?:[a-z]+ )*([\d.]+px)[^;]*")
_REFERENCE = re.compile(r"#([\w-]+)")
_ROUNDED = ("d", "x", "y", "points", "transform", "width", "height")


def page_svg(document: str, id_: str, title: str, words: str) -> str:
    """The element alone, in the colours and letters of the page.

    Parameters
    ----------
    document : an SVG file as matplotlib writes it
    id_ : no other element of the page has an id that begins with it
    title, words : name and description of the picture for screen readers
    """
    root = ET.fromstring(document)
    _remove(root, "metadata")
    _remove(root, "style")

    # Only what is referred to needs an id, one of this page.
    used = set()
    for element in root.iter():
        for value in element.attrib.values():
            used |= set(_REFERENCE.findall(value)) if "#" in value else set()
    for element in root.iter():
        _adapt(element, id_, used)

    # Its size is that of the place where it stands.
    root.attrib.pop("width")
    root.attrib.pop("height")
    root.attrib.pop("version", None)
    root.set("class", "chart")
    root.set("role", "img")
    root.set("aria-labelledby", f"{id_}-title {id_}-words" if words else f"{id_}-title")
    if words:
        _describe(root, "desc", f"{id_}-words", words)
    _describe(root, "title", f"{id_}-title", title)
    text = ET.tostring(root, encoding="unicode")
    return re.sub(r">\s+<", "><", text)


def _adapt(element: ET.Element, id_: str, used: set[str]) -> None:
    """Ids, colours, letters and numbers of one element."""
    element.tag = element.tag.removeprefix(f"{{{_SVG}}}")
    for name, value in list(element.attrib.items()):
        if name == "id":
            if value in used:
                element.set("id", f"{id_}-{value}")
            else:
                del element.attrib["id"]
        elif name == _HREF:
            del element.attrib[name]
            in_page = value.startswith("#")
            element.set("href", f"#{id_}-{value[1:]}" if in_page else value)
        elif name == "style":
            element.set("style", _style(value))
        elif "url(#" in value:
            element.set(name, value.replace("url(#", f"url(#{id_}-"))
        elif name in _ROUNDED:
            element.set(name, _DIGITS.sub(r"\1", value))


def _style(value: str) -> str:
    fonts = _FONT.sub(r"font-size: \1", value)
    return _COLOUR.sub(lambda found: f"var(--{_TOKENS[found.group()]})", fonts)


def _remove(root: ET.Element, tag: str) -> None:
    for parent in list(root.iter()):
        for child in parent.findall(f"{{{_SVG}}}{tag}"):
            parent.remove(child)


def _describe(root: ET.Element, tag: str, id_: str, text: str) -> None:
    element = ET.Element(tag, {"id": id_})
    element.text = text
    root.insert(0, element)
