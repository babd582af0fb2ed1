"""``--report`` and ``--audio``: a page for people, and what of the clips is in it."""

from __future__ import annotations

import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import Namespace

from base_models.errors import UsageError, one_of
from base_models.files import MANIFEST, atomic_write, sha256
from ensemble.cli.shared.exit_codes import say
from ensemble.cli.shared.options import OptionGroup
from ensemble.cli.shared.output.output_files import STDOUT
from ensemble.version import __version__

if TYPE_CHECKING:
    from ensemble.reporting.answers.answer_content import AnswerContent
    from ensemble.reporting.section import Provenance

AUDIO_HELP = (
    "with --report: what its players play. embed: the sound, as small mp3 in the page; "
    "link: the files where they are; none: no players. Default: embed"
)


def add_report_options(group: OptionGroup) -> None:
    """Add ``--report`` and ``--audio``."""
    group.add_argument(
        "--report",
        type=str,
        metavar="FILE",
        help="also write a page for people to this file (.html): summary, ranking of "
        "systems, best and worst clips to listen to, and what must not be concluded",
    )
    # Files of audio are called so already, where they are named one by one.
    group.add_argument(
        "--audio", dest="players", type=str, metavar="HOW", help=AUDIO_HELP
    )


def check_report_options(options: Namespace) -> None:
    """Refuse a page that no browser would open, and sound without a page.

    Raises
    ------
    UsageError
        when one of the two options is not legal.
    """
    from ensemble.reporting.page_audio import AUDIO_MODES

    if options.players is not None:
        one_of(options.players, AUDIO_MODES, "--audio")
        if options.report is None:
            raise UsageError("--audio is about the players of --report FILE.html.")
    if options.report is None:
        return
    suffix = Path(options.report).suffix.lower()
    if options.report == STDOUT or suffix not in (".html", ".htm"):
        raise UsageError(
            f"--report takes a file that a browser opens, such as report.html; got "
            f"{options.report!r}."
        )


def put_report(
    options: Namespace, content: AnswerContent, provenance: Provenance
) -> None:
    """Write the page of ``--report`` and say where it is.

    Parameters
    ----------
    options : of a command that has `add_report_options`, with a file for the page
    content : the scored clips, and perhaps their systems
    provenance : how the scores came about
    """
    from ensemble.reporting.answers.answer_report import answer_page
    from ensemble.reporting.page_audio import EMBED, PageAudio

    file = Path(options.report)
    audio = PageAudio(options.players or EMBED, file.resolve().parent)
    data = answer_page(content, provenance, audio)
    atomic_write(file, data)
    say(f"report: {file}")


def provenance_of(
    command: str,
    data: str | None = None,
    stack: Path | str | None = None,
) -> Provenance:
    """How the numbers of this run come about.

    Parameters
    ----------
    command : name of the command; what was typed after it is added
    data : the file or folder that was measured or scored; None for no single one
    stack : folder of the stack, or None
    """
    from ensemble.reporting.section import Provenance

    data_hash = ""
    if data is not None and Path(data).is_file():
        data_hash = sha256(Path(data).read_bytes())
    stack_hash = ""
    if stack is not None and (Path(stack) / MANIFEST).is_file():
        stack_hash = sha256((Path(stack) / MANIFEST).read_bytes())
    return Provenance(
        command=shlex.join([command, *sys.argv[1:]]),
        version=__version__,
        date=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        data=data or "",
        data_hash=data_hash,
        stack=Path(stack).name if stack is not None else "",
        stack_hash=stack_hash,
    )
