"""``predict_mos --windows``: which part of a longer clip is scored, and over time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import Namespace

from base_models.errors import UsageError, one_of
from base_models.files import atomic_write
from ensemble.cli.shared.exit_codes import say
from ensemble.cli.shared.options import OptionGroup

if TYPE_CHECKING:
    import pandas as pd

    from base_models.encoders.filling.fill_store import Progress
    from ensemble.estimator.stacked_mos import StackedMOS
    from ensemble.formats import Scores
    from ensemble.scoring.score_windows import WindowedScores

FIRST = "first"
ALL = "all"


def add_windows_option(group: OptionGroup) -> None:
    """Add ``--windows``."""
    group.add_argument(
        "--windows",
        type=str,
        default=FIRST,
        metavar=f"{FIRST}|{ALL}",
        # The numbers are `USED_SECONDS` and `HOP_SECONDS`, whose modules load SciPy.
        help=f"what is scored of a clip longer than 30 s: {FIRST}, its first 30 s; "
        f"{ALL}, windows of 30 s that start every 15 s, pooled into one score",
    )


def add_over_time_option(group: OptionGroup) -> None:
    """Add ``--over-time``."""
    group.add_argument(
        "--over-time",
        type=str,
        metavar="FILE",
        help=f"with --windows {ALL}: also write to this file (.csv .jsonl .parquet) "
        "the score of each window",
    )


def check_windows(options: Namespace) -> None:
    """Refuse what does not go with these options, before anything is read.

    Raises
    ------
    UsageError
    """
    one_of(options.windows, (FIRST, ALL), "--windows")
    if options.over_time is not None:
        if options.windows != ALL:
            raise UsageError(
                "--over-time writes the scores of windows; it needs --windows all."
            )
        _format_of(options.over_time)
    if options.windows != ALL:
        return
    if not (options.audio or options.clips or options.get("pairs")):
        raise UsageError(
            "--windows all needs audio to divide; --predictions alone are of whole "
            "clips. Name audio files, or a table with --clips, to a stack that has "
            "base models."
        )
    if options.predictions:
        raise UsageError(
            "--windows all scores parts of clips, and --predictions are of whole "
            "clips; leave one of them out, or predict segments (columns start_time "
            "and end_time of a table) with all models."
        )
    if options.cross_fit:
        raise UsageError(
            "--cross-fit finds the learner of a clip by its id, and windows have none; "
            "leave --windows all or --cross-fit out."
        )


def _format_of(path: str) -> str:
    from ensemble.formats import FORMATS

    for name, output_format in FORMATS.items():
        is_table = output_format.encode_distributions is not None
        if is_table and Path(path).suffix.lower() == output_format.suffix:
            return name
    raise UsageError(f"--over-time {path}: name a .csv, .jsonl or .parquet file.")


def score_with(
    options: Namespace,
    stack: StackedMOS,
    clips: pd.DataFrame,
    *,
    score: Callable[[pd.DataFrame], Scores],
    on_progress: Progress,
) -> tuple[Scores, WindowedScores | None]:
    """Scores of the clips, and of their windows where these are asked for.

    Parameters
    ----------
    options : of the command
    stack : fitted
    clips : clip table
    score : scores such a table
    on_progress : see `ensemble.scoring.score_windows.score_windows`
    """
    from ensemble.scoring.score_windows import score_windows

    if options.windows != ALL:
        return score(clips), None
    windowed = score_windows(stack, clips, score, on_progress=on_progress)
    return windowed.scores, windowed


def say_windows(windowed: WindowedScores) -> None:
    """Say how the scores were made of those of windows."""
    for note in windowed.notes:
        say(f"note: {note}")


def put_over_time(windowed: WindowedScores, out: str) -> None:
    """Write the scores of windows to the file `out`, and say so."""
    from ensemble.formats import FORMATS

    encode = FORMATS[_format_of(out)].encode
    atomic_write(out, encode(windowed.over_time, windowed.scores.aspects))
    say(f"scores over time: {out}, {len(windowed.over_time)} rows")
