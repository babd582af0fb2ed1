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
_SPACES = re.compile(r"\s+")
_DIGITS = re.compile(r"(\d+\.\d\d)\d+")
_USUAL = re.compile(r"font-size: 9px;? ?|font-family: [^;]*;? ?|fill: var\(--text\)")
_REFERENCE = re.compile(r"#([\w-]+)")
_TURNED_NOWHERE = re.compile(r"rotate\(-?0 [^)]*\)")
# What XML cannot hold, not even as a reference; matplotlib writes it as it comes.
_NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_ROUNDED = ("d", "x", "y", "points", "transform", "width", "height")


def page_svg(document: str, id_: str, title: str, words: str) -> str:
    """The element alone, in the colours and letters of the page.

    Parameters
    ----------
    document : an SVG file as matplotlib writes it
    id_ : no other element of the page has an id that begins with it
    title, words : name and description of the picture for screen readers
    """
    root = ET.fromstring(_NOT_IN_XML.sub("\N{REPLACEMENT CHARACTER}", document))
    _remove(root, "metadata")
    _remove(root, "style")

    # Only what is referred to needs an id, one of this page.
    values = [value for element in root.iter() for value in element.attrib.values()]
    used = {name for value in values for name in _REFERENCE.findall(value)}
    for element in root.iter():
        _adapt(element, id_, used)
    _flatten(root)

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
            element.set("style", _style(element.tag, value))
        elif "url(#" in value:
            element.set(name, value.replace("url(#", f"url(#{id_}-"))
        elif name == "transform" and _TURNED_NOWHERE.fullmatch(value):
            del element.attrib[name]
        elif name in _ROUNDED:
            element.set(name, _SPACES.sub(" ", _DIGITS.sub(r"\1", value)).strip())


def _style(tag: str, value: str) -> str:
    colours = _COLOUR.sub(lambda found: f"var(--{_TOKENS[found.group()]})", value)
    # What is usual for letters stands in the style of the page.
    style = _USUAL.sub("", colours) if tag == "text" else colours
    return style.replace(": ", ":").replace("; ", ";").strip(";")


def _flatten(element: ET.Element) -> None:
    """Put what is in groups that say nothing where the groups are.

    matplotlib makes some three groups for every tick.
    """
    for child in list(element):
        _flatten(child)
        if child.tag == "g" and not child.attrib:
            place = list(element).index(child)
            element[place : place + 1] = list(child)
        elif (child.tag == "defs" and not len(child)) or child.attrib.get(
            "style"
        ) == "fill:none":
            element.remove(child)


def _remove(root: ET.Element, tag: str) -> None:
    for parent in list(root.iter()):
        for child in parent.findall(f"{{{_SVG}}}{tag}"):
            parent.remove(child)


def _describe(root: ET.Element, tag: str, id_: str, text: str) -> None:
    element = ET.Element(tag, {"id": id_})
    element.text = text
    root.insert(0, element)
