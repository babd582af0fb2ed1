"""``python -m ensemble COMMAND …``: the commands, where none is on the path."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from base_models.errors import one_of
from ensemble.cli import COMMANDS
from ensemble.cli.shared.exit_codes import ALL_WELL, run_command
from ensemble.screen.streams import put_line
from ensemble.version import __version__


def _main(argv: Sequence[str] | None = None) -> int:
    """List the commands, or say that there is none of that name."""
    word = (argv or ["--help"])[0]
    if word == "--version":
        put_line(f"stackedmos {__version__}")
        return ALL_WELL
    if word not in ("-h", "--help"):
        one_of(word, COMMANDS, "command")

    put_line("usage: python -m ensemble COMMAND [options], or COMMAND alone")
    put_line("")
    width = max(map(len, COMMANDS))
    for name, about in COMMANDS.items():
        put_line(f"  {name:<{width}}  {about}")
    put_line("")
    put_line("COMMAND --help has its options and examples; --version, that of all")
    return ALL_WELL


def main() -> None:
    """Run the command that is named, as its own name on the path would."""
    words = sys.argv[1:]
    if words and words[0] in COMMANDS:
        # What it reads and says is as if it had been called by its name.
        sys.argv = words
        importlib.import_module(f"ensemble.cli.{words[0]}").main()
    raise SystemExit(run_command(_main, words))


if __name__ == "__main__":
    main()
