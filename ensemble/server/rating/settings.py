"""What is rated on the rating page."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RatingSettings:
    """What is rated, and where ratings are kept."""
