"""The colours of pages and charts, in the light and in the dark.

Css and matplotlib both take them from here, by name. The colours of charts are those of
Okabe and Ito ("Color Universal Design", 2008), which colour-blind readers tell apart,
darkened for white paper and lightened for a dark screen until they have the contrast of
3:1 that WCAG 2.2 asks of graphics; letters have 4.5:1.
"""

from __future__ import annotations

LIGHT = {
    "page": "#ffffff",
    "panel": "#f3f5f8",
    "text": "#1d2430",
    "quiet": "#566070",
    "line": "#c9cfd8",
    "edge": "#79838f",
    "link": "#0b5aa5",
    "focus": "#0b5aa5",
    "stack": "#e6f0fa",
    "notice": "#fdf3d7",
    "notice-edge": "#9a6b00",
    "danger": "#fde7e1",
    "danger-edge": "#b93a14",
    "blue": "#0072b2",
    "orange": "#b86e00",
    "green": "#008060",
    "red": "#c24e00",
    "purple": "#b0568f",
    "grey": "#79838f",
}
"""On white, and on paper."""

DARK = {
    "page": "#14181f",
    "panel": "#1e242e",
    "text": "#e4e8ee",
    "quiet": "#a6b0be",
    "line": "#3a4352",
    "edge": "#7d8796",
    "link": "#7cb8f2",
    "focus": "#9fcbf7",
    "stack": "#1b3147",
    "notice": "#372c0d",
    "notice-edge": "#e3b341",
    "danger": "#43211a",
    "danger-edge": "#f0825f",
    "blue": "#56b4e9",
    "orange": "#e69f00",
    "green": "#2fc097",
    "red": "#f0825f",
    "purple": "#d890bb",
    "grey": "#7d8796",
}
"""The same names on a dark screen."""

LETTERS_ON = {
    "text": ("page", "panel", "stack", "notice", "danger"),
    "quiet": ("page", "panel"),
    "link": ("page", "panel"),
    "danger-edge": ("page",),
}
"""Colours of letters, and what they stand on: contrast of 4.5:1 (WCAG 2.2, AA)."""
GRAPHICS_ON = {
    "edge": ("page", "panel"),
    "focus": ("page", "panel", "stack"),
    "notice-edge": ("notice", "page"),
    "danger-edge": ("danger", "page"),
    "blue": ("page", "panel", "stack"),
    "orange": ("page",),
    "green": ("page",),
    "red": ("page",),
    "purple": ("page",),
    "grey": ("page",),
}
"""Colours of marks and edges that say something: contrast of 3:1."""
