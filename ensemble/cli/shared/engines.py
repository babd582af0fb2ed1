"""--engine, for every command that has it: the option, and paths that mean the same where the workers stand."""

from __future__ import annotations

import os

from ensemble.cli.shared.options import Options
from ensemble.engine import LOCAL, check_engine


def add_engine_option(parser: Options) -> None:
    """The option that says where to compute."""
    about = (
        "local, or dask://HOST:PORT of a scheduler whose workers see the same folders"
    )
    parser.add_argument("--engine", type=str, default=LOCAL, help=about)


def locate(options) -> bool:
    """Whether workers elsewhere are to compute; then the paths among the options are made absolute.

    Raises
    ------
    UsageError
        when there is no such engine.
    """
    if check_engine(options.engine) == LOCAL:
        return False
    for name in ("data", "artifacts", "stack"):
        if getattr(options, name, None):
            options[name] = os.path.abspath(options[name])
    for name in ("audio_encoder", "text_encoder"):
        given = getattr(options, name, None)
        options[name] = (
            _located(given)
            if given is None or isinstance(given, str)
            else [*map(_located, given)]
        )
    return True


def _located(word: str | None) -> str | None:
    name, equals, folder = (word or "").partition("=")
    return f"{name}={os.path.abspath(folder)}" if equals and folder else word
