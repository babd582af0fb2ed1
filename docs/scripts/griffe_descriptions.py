"""How docstrings become pages: what stands behind ``name :`` is a description.

Docstrings of this package say what a parameter is in words (``ids : names of clips``),
where numpydoc has a type and a description on the next line. Read as numpydoc, the
first line would be taken for a type and the rest of the sentence for its description.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

_SECTION = re.compile(
    r"^(Parameters|Attributes|Returns|Yields)\n-+\n(.*?)(?=^\S[^\n]*\n-{3,}\n|\Z)",
    re.MULTILINE | re.DOTALL,
)
_ENTRY = re.compile(r"^(\S[^\n]*?) : ([^\n]*)((?:\n(?:[ \t][^\n]*)?)*)", re.MULTILINE)


class Descriptions(griffe.Extension):
    """Moves descriptions in words to where numpydoc has them."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            text = with_descriptions(obj.docstring.value)
            obj.docstring.value = with_fenced_examples(text)


def with_descriptions(docstring: str) -> str:
    """The docstring with each description on lines of its own.

    >>> text = "Count.\\n\\nParameters\\n----------\\nids : of clips, in\\n    order\\n"
    >>> print(with_descriptions(text))
    Count.
    <BLANKLINE>
    Parameters
    ----------
    ids
        of clips, in
        order
    <BLANKLINE>
    """

    def rewrite(section: re.Match[str]) -> str:
        head = section[0][: section.start(2) - section.start()]
        return head + _ENTRY.sub(_described, section[2])

    return _SECTION.sub(rewrite, docstring)


def _described(entry: re.Match[str]) -> str:
    name, first, rest = entry.groups()
    following = rest.strip()
    # A type, and a description that begins with a capital: numpydoc as it is.
    if following and following[0].isupper():
        return entry[0]
    return f"{name}\n    {first}{rest}"


def with_fenced_examples(docstring: str) -> str:
    """The docstring with examples outside of its section Examples marked as code.

    Griffe knows examples in that section alone; elsewhere ``[True, False]`` would be
    read as a link.
    """
    text, heading, examples = docstring.partition("Examples\n--------")
    paragraphs = [
        f"```pycon\n{part}\n```" if part.startswith(">>>") else part
        for part in text.split("\n\n")
    ]
    return "\n\n".join(paragraphs) + heading + examples
