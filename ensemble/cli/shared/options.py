"""The parser of every command: jsonargparse, with help that states each default once and mistakes told in two lines.

The trap is abbreviation: argparse would take ``--seed 3`` for ``--seeds 3`` and train three models.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Sequence
from typing import Any, NoReturn

from jsonargparse import ArgumentParser, DefaultHelpFormatter

from base_models.errors import UsageError
from ensemble.cli.shared.exit_codes import fail, say

EXIT_CODES = (
    "exit codes: 0 all well, 1 unexpected failure, 2 usage, 3 some clips set aside (or findings), 4 damaged artifact, "
    "5 disk full, 130 interrupted"
)


class _Help(DefaultHelpFormatter):
    def _get_help_string(self, action) -> str:
        text = super()._get_help_string(action)
        if action.default is None or not action.option_strings:
            return action.help or ""  # the words say what happens without it
        return text.replace("type: %(type)s, ", "")


class Options(ArgumentParser):
    """Options of one command.

    Parameters
    ----------
    command : its name
    about : what it does, for the help
    """

    def __init__(self, command: str = "", about: str = "", **others):
        given = {
            "prog": command,
            "description": about,
            "epilog": EXIT_CODES,
            "formatter_class": _Help,
        }
        super().__init__(**(given | {"allow_abbrev": False} | others))

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Say what is wrong with the command line and leave with exit code 2."""
        words = " ".join(message.split())
        wrong = re.match(
            r'Parser key "(\w+)": Expected an? <class \'(\w+)\'>\. Got value: ?(.*)',
            words,
        )
        if wrong:
            option, kind, value = wrong.groups()
            kind = {"int": "a whole number", "float": "a number"}.get(kind, kind)
            words = f"--{option.replace('_', '-')} takes {kind}; got '{value}'"
        unknown = re.match(r"unrecognized arguments: (--[\w-]+)", words)
        if unknown:
            close = difflib.get_close_matches(
                unknown[1], self._option_string_actions, n=1, cutoff=0.5
            )
            words += f". Did you mean {close[0]}?" if close else ""
        fail(words, 2)
        say(f"usage: {self.prog} --help lists the options")
        raise SystemExit(2)


def choose_encoders(audio: str | None, text: str | None, demo: bool) -> tuple[str, str]:
    """The encoders named, or the usual ones; each must be of its kind.

    Real data never falls back on the embedded encoders: they are used only for the demo, or when named.
    """
    from base_models.encoders import check_kind

    chosen = (
        (audio or "logmel", text or "hashed_text")
        if demo
        else (audio or "muq", text or "roberta")
    )
    for word, kind in zip(chosen, ("audio", "text"), strict=True):
        check_kind(word, kind)
    return chosen


def parse_settings(words: Sequence[str] | None) -> dict[str, Any]:
    """Settings from ``KEY=VALUE`` words; a value is written as in TOML, a bare word is text.

    >>> parse_settings(["max_epochs=20", "learning_rate=1e-4", "select_on=srcc"])
    {'max_epochs': 20, 'learning_rate': 0.0001, 'select_on': 'srcc'}
    """
    settings = {}
    for word in words or ():
        key, equals, value = word.partition("=")
        if not (key and equals and value):
            raise UsageError(
                f"--set takes KEY=VALUE, e.g. max_epochs=20; got '{word}'."
            )
        try:
            settings[key] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            settings[key] = value
    return settings
