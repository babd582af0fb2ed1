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
# Control characters, lone surrogates, and separators of lines and paragraphs.
_HIDDEN_CATEGORIES = {"Cc", "Cs", "Zl", "Zp"}
# They turn the direction of what follows, also beyond the name itself.
_TURNING = frozenset(
    "\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)


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
    if text.isprintable():
        return text
    return "".join(_visible(char) for char in text)


def _visible(char: str) -> str:
    if char in _NAMED:
        return _NAMED[char]
    if unicodedata.category(char) in _HIDDEN_CATEGORIES or char in _TURNING:
        code = ord(char)
        return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
    return char


def in_the_middle(text: str, longest: int) -> str:
    """A text cut to a length in its middle, since names differ at their ends.

    >>> in_the_middle("system_of_the_first_laboratory_v2", longest=16)
    'system_o…tory_v2'
    """
    if len(text) <= longest:
        return text
    n_after = (longest - 1) // 2
    n_before = longest - 1 - n_after
    return f"{text[:n_before]}…{text[len(text) - n_after :]}"


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
