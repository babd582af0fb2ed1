"""Options that every command has: how much is said, the version, completion."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from base_models.errors import UsageError
from ensemble.cli.shared.exit_codes import fail
from ensemble.screen.streams import Volume, put_bytes, set_volume

SHELLS = ("bash", "zsh", "fish")
_FILE_WORDS = ("FILE", "TABLE", "STACK", "FOLDER", "AUDIO", "PATH")
"""Metavars, or parts of them, of what lies on the disk."""


def add_general_options(parser: argparse.ArgumentParser) -> None:
    """Add them to the options without a heading, beside ``--help``."""
    add = parser.add_argument
    add(
        "-q",
        "--quiet",
        action=_SetVolume,
        const=Volume.QUIET,
        help="print only results and errors: no notes, no progress",
    )
    add(
        "-v",
        "--verbose",
        action=_SetVolume,
        const=Volume.VERBOSE,
        help="print more: a line per file, all names where else the first few stand",
    )
    add(
        "--print-completion",
        action=_PrintCompletion,
        metavar="SHELL",
        help="print a script for bash, zsh or fish that completes this command, and "
        "exit",
    )


class _SetVolume(argparse.Action):
    """An option that is done when it is read, and leaves nothing among the values."""

    def __init__(self, option_strings: Sequence[str], **options: Any) -> None:
        options |= {"dest": argparse.SUPPRESS, "default": argparse.SUPPRESS}
        super().__init__(option_strings, nargs=0, **options)

    def __call__(self, *_: object) -> None:
        assert isinstance(self.const, Volume)
        set_volume(self.const)


class _PrintCompletion(argparse.Action):
    """Print the script of a shell and leave."""

    def __init__(self, option_strings: Sequence[str], **options: Any) -> None:
        options |= {"dest": argparse.SUPPRESS, "default": argparse.SUPPRESS}
        super().__init__(option_strings, **options)

    def __call__(
        self, parser: argparse.ArgumentParser, _: object, shell: Any, *__: object
    ) -> None:
        if shell not in SHELLS:
            parser.error(
                f"--print-completion takes {', '.join(SHELLS[:-1])} or {SHELLS[-1]}; "
                f"got '{shell}'"
            )
        try:
            script = completion(parser, shell)
        except UsageError as error:
            sys.exit(fail(str(error), error.exit_code))
        put_bytes(script.encode())
        parser.exit()


def completion(parser: argparse.ArgumentParser, shell: str) -> str:
    """The script with which a shell completes the options and files of a command.

    Raises
    ------
    UsageError
        when the library that writes it is not installed.
    """
    try:
        import shtab
    except ModuleNotFoundError as error:
        raise UsageError(
            "Completion is written by the library shtab, which is not here; run: pip "
            "install shtab."
        ) from error

    for action in parser._actions:
        # What an option takes is said by its metavar; a positional is a file or name.
        metavar = action.metavar
        words = [metavar] if isinstance(metavar, str) else list(metavar or ())
        is_file = any(word in str(name) for name in words for word in _FILE_WORDS)
        if is_file and not action.choices:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
    script: str = shtab.complete(parser, shell)
    return script
