"""How an export of a listening test is read: its layout, its anchors, its raters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from base_models.clips.rows.reading import Reading
from base_models.errors import one_of

LAYOUTS = {
    "webmushra": "a webMUSHRA export",
    "beaqlejs": "BeaqleJS results",
    "long": "a table with a row per rating",
    "raters-in-columns": "a table with a row per clip and a column per rater",
    "raters-in-rows": "a table with a row per rater and a column per clip",
    "lists": "a table with a list of ratings per clip",
    "annotations": "a table with a list of annotations per clip",
    "voicemos": "a VoiceMOS list with a row per listener",
    "votes": "votes on pairs",
    "clips": "a table with a row per clip",
}
"""Layouts that can be named (``--format``), and what each is called in a message."""

ANCHORS = ("drop", "keep")
"""What is done with reference and anchor conditions (``--anchors``)."""

SCREENS = ("none", "bs1534", "p808")
"""How raters are screened (``--screen``)."""


@dataclass(frozen=True)
class RatingOptions:
    """What is asked of the reading of a listening test.

    Parameters
    ----------
    format : one of `LAYOUTS`; None recognises it by content
    anchors : ``"drop"`` leaves ratings of reference and anchor conditions out, as they
        are no systems under test; ``"keep"`` takes them like any other
    screen : which raters are left out, see
        `base_models.clips.listening_tests.screening`
    reading : what the user says of the columns and cells of the table

    Raises
    ------
    UsageError
        when a word is none of those that are legal.
    """

    format: str | None = None
    anchors: str = "drop"
    screen: str = "none"
    reading: Reading = field(default_factory=Reading)

    def __post_init__(self) -> None:
        if self.format is not None:
            one_of(self.format, LAYOUTS, "format")
        one_of(self.anchors, ANCHORS, "choice for --anchors")
        one_of(self.screen, SCREENS, "screening of raters")

    @classmethod
    def of_attributes(cls, attributes: Mapping[str, Any]) -> RatingOptions:
        """Those that `read_clips` noted in the attributes of a clip table."""
        words = dict(attributes.get("rating_options", {}))
        reading = Reading.of_json(words.pop("reading", {}))
        return cls(**words, reading=reading)

    def to_json(self) -> dict[str, Any]:
        """The attributes that `of_attributes` reads."""
        own = {"format": self.format, "anchors": self.anchors, "screen": self.screen}
        return {**own, "reading": self.reading.to_json()}


AS_THEY_ARE = RatingOptions(anchors="keep")
"""All conditions and all raters, as a table of single ratings is read by itself."""
