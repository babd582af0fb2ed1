"""The parser of every command: jsonargparse with shorter help and error messages."""

from __future__ import annotations

import argparse
import difflib
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from jsonargparse import ArgumentParser, DefaultHelpFormatter

from base_models.errors import UsageError
from ensemble.cli.shared.exit_codes import USAGE, fail, say
from ensemble.workspace import Workspace

_EXIT_CODES = (
    "exit codes: 0 all well, 1 unexpected failure, 2 usage, 3 some clips set aside (or "
    "findings), 4 damaged artifact, 5 disk full, 130 interrupted"
)
_NUMBER_KINDS = {"int": "a whole number", "float": "a number"}

# Messages of jsonargparse that are said more plainly here.
_WRONG_TYPE = re.compile(
    r'Parser key "(\w+)": Expected an? <class \'(\w+)\'>\. Got value: ?(.*)'
)
_UNKNOWN_OPTION = re.compile(r"unrecognized arguments: (--[\w-]+)")


class _Help(DefaultHelpFormatter):
    """Help that states each default once, and no types."""

    def _get_help_string(self, action: argparse.Action) -> str:
        # The words of an option without a default say what happens without it.
        if action.default is None or not action.option_strings:
            return action.help or ""
        text: str = super()._get_help_string(action)
        return text.replace("type: %(type)s, ", "")


class Options(ArgumentParser):
    """Options of one command.

    Parameters
    ----------
    command : its name
    about : what it does, for the help
    others : parameters of `jsonargparse.ArgumentParser`
    """

    def __init__(self, command: str = "", about: str = "", **others: Any) -> None:
        defaults = {
            "prog": command,
            "description": about,
            "epilog": _EXIT_CODES,
            "formatter_class": _Help,
            # Abbreviated, ``--seed 3`` would mean ``--seeds 3`` and train three models.
            "allow_abbrev": False,
        }
        super().__init__(**{**defaults, **others})

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Say what is wrong with the command line and leave with exit code 2."""
        text = " ".join(message.split())
        if wrong_type := _WRONG_TYPE.match(text):
            option, kind, value = wrong_type.groups()
            takes = _NUMBER_KINDS.get(kind, kind)
            text = f"--{option.replace('_', '-')} takes {takes}; got '{value}'"
        elif unknown := _UNKNOWN_OPTION.match(text):
            text += self._suggestion(unknown[1])

        # Not argparse's own message, which prints the whole usage before it.
        fail(text, USAGE)
        say(f"usage: {self.prog} --help lists the options")
        raise SystemExit(USAGE)

    def _suggestion(self, option: str) -> str:
        known = list(self._option_string_actions)
        close = difflib.get_close_matches(option, known, n=1, cutoff=0.5)
        return f". Did you mean {close[0]}?" if close else ""


def add_aspects_option(parser: Options, also: str = "") -> None:
    """Add ``--aspects``; `also` says what else the names are for."""
    parser.add_argument(
        "--aspects",
        nargs="+",
        metavar="NAME[=COLUMN]",
        help="rated columns; mi=naturalness reads the aspect mi from the column "
        f"naturalness; default: those with a known name{also}",
    )


def choose_encoders(audio: str | None, text: str | None, demo: bool) -> tuple[str, str]:
    """The encoders that are named, or the usual ones.

    Real data never falls back on the embedded encoders: they are used only for the
    demo, or when named.

    Raises
    ------
    UsageError
        when a name is unknown, or an encoder is not of its kind.
    """
    from base_models.encoders import check_kind

    chosen_audio = audio or ("logmel" if demo else "muq")
    chosen_text = text or ("hashed_text" if demo else "roberta")
    check_kind(chosen_audio, "audio")
    check_kind(chosen_text, "text")
    return chosen_audio, chosen_text


def choose_data(path: str | None, workspace: Workspace) -> Path | str:
    """The clips that are named, or the demo corpus, written to the workspace."""
    if path is not None:
        return path
    from base_models.clips.demo_corpus import write_demo

    return write_demo(workspace.demo)


def parse_settings(words: Sequence[str] | None) -> dict[str, Any]:
    """Settings from ``KEY=VALUE`` words; a value is as in TOML, a bare word is text.

    Raises
    ------
    UsageError
        when a word is not of this form.

    Examples
    --------
    >>> parse_settings(["max_epochs=20", "learning_rate=1e-4", "select_on=srcc"])
    {'max_epochs': 20, 'learning_rate': 0.0001, 'select_on': 'srcc'}
    """
    settings: dict[str, Any] = {}
    for word in words or ():
        key, equals, value = word.partition("=")
        if not (key and equals and value):
            raise UsageError(
                f"--set takes KEY=VALUE, e.g. max_epochs=20; got '{word}'."
            )
        try:
            settings[key] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            # A bare word, which TOML would want in quotes.
            settings[key] = value
    return settings
