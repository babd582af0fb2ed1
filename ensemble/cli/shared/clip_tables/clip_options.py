"""Options of every command that reads a table of clips: what its columns are."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from jsonargparse import Namespace

from base_models.errors import UsageError
from ensemble.cli.shared.clip_tables.problem_list import list_problems_in
from ensemble.cli.shared.options import OptionGroup

if TYPE_CHECKING:
    from base_models.clips.listening_tests.rating_options import RatingOptions
    from base_models.clips.rows.reading import Reading


def add_table_options(group: OptionGroup, table: str = "the table") -> None:
    """Add ``--columns``, ``--missing-code``, ``--audio-root`` and ``--problems``.

    Parameters
    ----------
    group : of the options
    table : what is read, in words
    """
    add = group.add_argument
    add(
        "--columns",
        nargs="+",
        metavar="WHAT=COLUMN",
        help=f"which column of {table} is what, where names do not say it: "
        "audio='File name' id=song system=model prompt=text split=set, and aspects, as "
        "mi='Rating (1-5)'; split= for none",
    )
    add(
        "--missing-code",
        nargs="+",
        metavar="CODE",
        help="cells of ratings and prompts that stand for a missing value, e.g. -1 NA; "
        "default: empty cells alone",
    )
    add(
        "--audio-root",
        type=str,
        metavar="FOLDER",
        help="folder that audio paths are relative to; default: that of the table, and "
        "wav in it",
    )
    add(
        "--problems",
        type=str,
        metavar="FILE",
        help="write all rows that cannot be used to this file (jsonl): place, value, "
        "what is wrong, cure; the screen has the first 20",
    )


def reading_of(options: Namespace) -> Reading:
    """How the table is to be read; problems will be listed as the options say.

    Raises
    ------
    UsageError
        when a word of an option is not of its form.
    """
    # Imported late, as --help needs none of it.
    from base_models.clips.rows.reading import Reading

    list_problems_in(options.problems)
    return Reading.parse(
        options.columns,
        missing_codes=options.missing_code,
        audio_root=options.audio_root,
    )


def clip_reading(options: Namespace) -> RatingOptions:
    """How a table is read whose ratings are of no interest, see `reading_of`."""
    from base_models.clips.listening_tests.rating_options import AS_THEY_ARE

    return replace(AS_THEY_ARE, reading=reading_of(options))


def refuse_table_options(options: Namespace, is_table_given: bool) -> None:
    """Refuse options of tables where there is none, as they would be ignored.

    Raises
    ------
    UsageError
    """
    for name in ("columns", "missing_code", "audio_root", "problems"):
        if options[name] is not None and not is_table_given:
            raise UsageError(
                f"--{name.replace('_', '-')} is about a table of clips; name one, or "
                "leave it out."
            )
