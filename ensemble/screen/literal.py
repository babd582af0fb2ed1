"""Texts of any content, shown as they are.

Ids of clips and systems are data. On a terminal, a control character in one could move
the cursor, change colours or turn the direction of writing; here it is seen instead.
"""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Sequence

_PARTS_OF_NAMES = "/\\_- "
"""What parts folders and words in names of files."""
_SHORTEST_START = 8
"""Characters that names share at their start before these are left out."""
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
# Control characters; marks without width, which tell ids apart unseen or turn the
# direction of what follows; lone surrogates; separators of lines and paragraphs.
_HIDDEN_CATEGORIES = {"Cc", "Cf", "Cs", "Zl", "Zp"}
# Letters to Unicode, and blank on a screen.
_BLANK_LETTERS = frozenset("\u115f\u1160\u3164\uffa0")


def literal(text: str) -> str:
    r"""A text in one line, in which every character that acts is written out.

    Examples
    --------
    >>> literal("take [final] :smile: été 曲")
    'take [final] :smile: été 曲'
    >>> print(literal("red \x1b[31m, two\nlines, \u202eturned"))
    red \x1b[31m, two\nlines, \u202eturned
    """
    # Most texts have nothing of the kind.
    if text.isprintable() and _BLANK_LETTERS.isdisjoint(text):
        return text
    return "".join(_visible(char) for char in text)


def _visible(char: str) -> str:
    if char in _NAMED:
        return _NAMED[char]
    if unicodedata.category(char) in _HIDDEN_CATEGORIES or char in _BLANK_LETTERS:
        code = ord(char)
        if code > 0xFFFF:
            return f"\\U{code:08x}"
        return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
    return char


def literal_lines(text: str) -> str:
    r"""The same for a text of several lines, of which each is shown as it is.

    >>> print(literal_lines("two lines,\nof which one is \x1b[31m red"))
    two lines,
    of which one is \x1b[31m red
    """
    return "\n".join(map(literal, text.split("\n")))


def without_common_start(names: Sequence[str]) -> dict[str, str]:
    """Names without the folders and words that all begin with, for narrow tables.

    >>> without_common_start(["take/of/song-a_1.wav", "take/of/song-b_1.wav"])
    {'take/of/song-a_1.wav': '…a_1.wav', 'take/of/song-b_1.wav': '…b_1.wav'}
    >>> without_common_start(["v1/a.wav", "v2/a.wav"])
    {'v1/a.wav': 'v1/a.wav', 'v2/a.wav': 'v2/a.wav'}
    """
    # An empty name stands for a clip that is not known.
    named = sorted({name for name in names if name})
    if len(named) < 2:
        return {name: name for name in names}
    # What the first and the last in order share, all share.
    ends = zip(named[0], named[-1], strict=False)
    n_shared = sum(
        1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], ends)
    )
    # Words stay whole.
    n_cut = 1 + max(named[0].rfind(mark, 0, n_shared) for mark in _PARTS_OF_NAMES)
    if n_cut < _SHORTEST_START:
        return {name: name for name in names}
    return {name: f"…{name[n_cut:]}" if name else "" for name in names}
