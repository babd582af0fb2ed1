"""Options of the commands that read exports of listening tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jsonargparse import Namespace

from ensemble.cli.shared.clip_tables.clip_options import add_table_options, reading_of
from ensemble.cli.shared.options import OptionGroup

if TYPE_CHECKING:
    from base_models.clips.listening_tests.rating_options import RatingOptions


def add_rating_options(
    group: OptionGroup, anchors: str = "drop", table: str = "the table"
) -> None:
    """Add ``--format``, ``--anchors`` and ``--screen``, and those of any table.

    Parameters
    ----------
    group : the options of a command that are on its ratings
    anchors : the default of ``--anchors``, in words
    table : what is read, in words
    """
    add_table_options(group, table)
    add = group.add_argument
    add(
        "--format",
        type=str,
        metavar="NAME",
        help="layout of the ratings: webmushra, beaqlejs, long, raters-in-columns, "
        "raters-in-rows, lists, annotations, voicemos, votes, or clips (a mean rating "
        "per clip); default: recognised by content",
    )
    add(
        "--anchors",
        type=str,
        metavar="drop|keep",
        help="what is done with ratings of reference and anchor conditions, known by "
        "names such as reference or anchor35: left out, or taken like systems; "
        f"default: {anchors}",
    )
    add(
        "--screen",
        type=str,
        default="none",
        metavar="none|bs1534|p808",
        help="raters that are left out: by the post-screening of BS.1534-3 (hidden "
        "reference, mid-range anchor), or as in crowdsourced tests (control questions, "
        "constant or too fast ratings, outliers)",
    )


def rating_options(options: Namespace, anchors: str = "drop") -> RatingOptions:
    """What the options of `add_rating_options` ask for.

    Parameters
    ----------
    options : of a command
    anchors : what is done with reference and anchor conditions, where nobody says so

    Raises
    ------
    UsageError
        when a word is none of those that are legal.
    """
    # Imported late, as --help needs none of it.
    from base_models.clips.listening_tests.rating_options import RatingOptions

    return RatingOptions(
        format=options.format,
        anchors=options.anchors or anchors,
        screen=options.screen,
        reading=reading_of(options),
    )
