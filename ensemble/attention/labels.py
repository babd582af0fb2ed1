"""Texts of any content as labels of a picture, in fonts that have their letters."""

from __future__ import annotations

import functools
import unicodedata

from anyascii import anyascii

_FIRST_FONT = "DejaVu Sans"
"""matplotlib brings it, and takes it first."""
_RIGHT_TO_LEFT = {"R", "AL"}


def short(text: str, longest: int = 30) -> str:
    """Text that can be drawn: cut to a length, in letters that some font here has.

    What no installed font has is transliterated, and so is writing from right to left,
    whose letters would stand in the wrong order.
    """
    text = "".join(char if char.isprintable() else " " for char in text)
    if not is_drawable(text):
        text = anyascii(text).strip() or ascii(text)
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def is_drawable(text: str) -> bool:
    """Whether a text is drawn in its own letters."""
    if text.isascii():
        return True
    if any(unicodedata.bidirectional(char) in _RIGHT_TO_LEFT for char in text):
        return False
    return _fonts_for(frozenset(text)) is not None


def font_families(texts: list[str]) -> list[str]:
    """Families of fonts for a picture with these texts, the usual one first."""
    families = {_FIRST_FONT: None}
    for text in texts:
        families |= dict.fromkeys(_fonts_for(frozenset(text)) or ())
    return list(families)


@functools.lru_cache(maxsize=1024)
def _fonts_for(chars: frozenset[str]) -> tuple[str, ...] | None:
    """Families that together have these characters; None where some are in none.

    The usual font alone wherever that is enough, since others need to be opened.
    """
    needed = {char for char in chars if not char.isspace()}
    chosen = []
    for family, path in _installed_fonts():
        found = needed & _with_glyph(path, frozenset(needed))
        if found:
            chosen.append(family)
            needed -= found
        if not needed:
            return tuple(chosen)
    return None


@functools.lru_cache(maxsize=1)
def _installed_fonts() -> tuple[tuple[str, str], ...]:
    """Family and file of each upright font of usual weight, the usual one first."""
    from matplotlib.font_manager import FontProperties, findfont, fontManager

    usual = findfont(FontProperties(family=_FIRST_FONT))
    others = {
        font.name: font.fname
        for font in fontManager.ttflist
        if font.style == "normal" and font.weight in (400, "normal", "regular")
    }
    others.pop(_FIRST_FONT, None)
    # The last resort of matplotlib has boxes for everything.
    others = {name: file for name, file in others.items() if "Last Resort" not in name}
    return ((_FIRST_FONT, usual), *others.items())


@functools.lru_cache(maxsize=4096)
def _with_glyph(path: str, chars: frozenset[str]) -> frozenset[str]:
    """Those of some characters that a font has."""
    from matplotlib.ft2font import FT2Font

    try:
        font = FT2Font(path)
    except (OSError, RuntimeError):
        # A font that cannot be read has nothing.
        return frozenset()
    return frozenset(char for char in chars if font.get_char_index(ord(char)))
