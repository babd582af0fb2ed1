"""Options of the rating page of ``serve_mos``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jsonargparse import Namespace

from ensemble.cli.shared.options import Options

if TYPE_CHECKING:
    # The page needs an optional library, which a command's --help does not.
    from ensemble.server.rating.settings import RatingSettings


def add_rating_page_options(parser: Options) -> None:
    """Add the options that say what is rated, in a group of their own."""


def rating_settings(options: Namespace) -> RatingSettings | None:
    """What the options say is rated, or None where no rating page is asked for."""
    return None
