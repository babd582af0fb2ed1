"""Texts of any content as labels of a picture."""

from __future__ import annotations


def short(text: str, longest: int = 30) -> str:
    """Text cut to a length, without characters that cannot be drawn."""
    text = "".join(char if char.isprintable() else " " for char in text)
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
