"""``--report`` and ``--audio``: a page for people, and what of the clips is in it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import Namespace

from base_models.errors import UsageError, one_of
from base_models.files import atomic_write
from ensemble.cli.shared.exit_codes import say
from ensemble.cli.shared.options import OptionGroup
from ensemble.cli.shared.output.output_files import STDOUT

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
    if options.players is not None:
        # It loads what pages are made with, which others do without.
        from ensemble.reporting.page_audio import AUDIO_MODES

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
