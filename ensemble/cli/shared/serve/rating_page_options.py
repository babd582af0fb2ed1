"""Options of the rating page of ``serve_mos``, and of what becomes of its ratings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from jsonargparse import Namespace

from base_models.errors import UsageError
from ensemble.cli.shared.clip_tables.clip_options import (
    add_table_options,
    clip_reading,
    refuse_table_options,
)
from ensemble.cli.shared.exit_codes import ALL_WELL, say, say_set_aside
from ensemble.cli.shared.options import OptionGroup, Options, seed
from ensemble.cli.shared.output.output_files import (
    STDOUT,
    check_results,
    put_json,
    put_table,
)

if TYPE_CHECKING:
    import pandas as pd

    # The page needs an optional library, which a command's --help does not.
    from ensemble.server.rating.design import RatingDesign
    from ensemble.server.rating.settings import RatingSettings

_DEFAULT_FILE = "ratings.sqlite"
_LONGEST_INSTRUCTIONS = 20_000
_OF_THE_TEST = {
    "ratings_db": "--ratings-db",
    "aspects": "--aspects",
    "question": "--question",
    "scale": "--scale",
    "scale_step": "--scale-step",
    "scale_labels": "--scale-labels",
    "listen": "--listen",
    "raters": "--raters",
    "clips_per_rater": "--clips-per-rater",
    "instructions": "--instructions",
    "seed": "--seed",
}
"""Options that say something about a listening test."""


def add_rating_page_options(parser: Options) -> None:
    """Add the options that say what is rated, in a group of their own."""
    test = parser.group("listening test")
    test.add_argument(
        "--rate",
        type=str,
        metavar="TABLE",
        help="serve the page /rate, a listening test of these clips: a plan of "
        "rate_less, any clip table, or a folder of audio",
    )
    test.add_argument(
        "--ratings-db",
        type=str,
        metavar="FILE",
        help="where ratings are kept, each at once; a test goes on where its file is "
        f"there; default: {_DEFAULT_FILE}",
    )
    _add_question_options(test)
    _add_rater_options(test)
    add_table_options(test, "the table of --rate")
    export = parser.group("ratings of a listening test")
    export.add_argument(
        "--export-ratings",
        type=str,
        metavar="FILE",
        help="serve nothing: write the ratings in this file as a table that --ratings, "
        "rate_less and fit_meta --adapt read; also while a server keeps them",
    )
    export.add_argument(
        "--history",
        action="store_true",
        help="with --export-ratings: all answers, those corrected later included",
    )
    export.add_argument(
        "-o",
        "--out",
        type=str,
        metavar="FILE",
        help="with --export-ratings: the table (.csv .jsonl .parquet); -: standard "
        "output, as csv, which is the default",
    )


def _add_question_options(test: OptionGroup) -> None:
    """Add the options that say what is asked."""
    add = test.add_argument
    add(
        "--aspects",
        nargs="+",
        metavar="NAME",
        help="what is rated; default: mi, and ta where clips have prompts",
    )
    add(
        "--question",
        nargs="+",
        metavar="ASPECT=TEXT",
        help="what raters are asked, as mi='How good is it?'",
    )
    add(
        "--scale",
        type=str,
        metavar="LOW-HIGH",
        help="of the ratings; up to 11 are buttons, more a slider; default: 1-5",
    )
    add("--scale-step", type=float, help="distance of two ratings; default: 1")
    add(
        "--scale-labels",
        nargs="+",
        metavar="WORD",
        help="from the worst to the best rating; default: Bad Poor Fair Good Excellent "
        "on 1-5 (ITU-T P.800) and on sliders, else those of the ends",
    )
    add(
        "--listen",
        type=str,
        metavar="all|SECONDS",
        help="how much of a clip must be heard before it is rated; default: all",
    )


def _add_rater_options(test: OptionGroup) -> None:
    """Add the options that are about those who rate."""
    add = test.add_argument
    add(
        "--raters",
        nargs="+",
        metavar="CODE",
        help="the codes of those who may rate, or one file with a code per line; "
        "default: anybody who opens the page",
    )
    add(
        "--clips-per-rater",
        type=int,
        metavar="N",
        help="each rates N clips, those that the fewest others have; default: all",
    )
    add(
        "--instructions",
        type=str,
        metavar="FILE",
        help="text that raters read first, paragraphs between empty lines",
    )
    add(
        "--seed",
        type=seed,
        help="of the order of clips, which each rater has; default: 0",
    )


def rating_settings(options: Namespace) -> RatingSettings | None:
    """What the options say is rated, or None where no rating page is asked for.

    Clips that cannot be rated are said; the file of ratings is held until the settings
    are closed.

    Raises
    ------
    UsageError
        When an option is of another form or is not for this, no clip can be rated, or
        the file of ratings is of another test or another server's.
    """
    if options.out or options.history:
        raise UsageError(
            "-o and --history are of --export-ratings FILE; name the file of ratings."
        )
    if not options.rate:
        given = [
            word for name, word in _OF_THE_TEST.items() if options[name] is not None
        ]
        if given:
            raise UsageError(f"{', '.join(given)}: only with --rate.")
        refuse_table_options(options, is_table_given=False)
        return None
    from ensemble.server.rating.clip_audio import rated_clips
    from ensemble.server.rating.rating_store import RatingStore
    from ensemble.server.rating.settings import RatingSettings

    table = _clip_table(options)
    design = _design(options, has_prompts=bool((table["prompt"] != "").any()))
    clips, set_aside = rated_clips(table)
    say_set_aside(set_aside)
    raters = _codes(options.raters)
    store = RatingStore(options.ratings_db or _DEFAULT_FILE, design, clips)
    return RatingSettings(store, raters)


def _clip_table(options: Namespace) -> pd.DataFrame:
    from base_models.clips.read_clips import read_clips

    if not Path(options.rate).exists():
        raise UsageError(
            f"There is no '{options.rate}' to rate; name a plan of rate_less, a clip "
            "table, or a folder of audio."
        )
    return read_clips(options.rate, labels=False, options=clip_reading(options))


def _design(options: Namespace, has_prompts: bool) -> RatingDesign:
    """The questions and the scale."""
    from base_models.scales import Scale
    from ensemble.server.rating.design import AnswerScale, RatedAspect, RatingDesign

    names = options.aspects or (["mi", "ta"] if has_prompts else ["mi"])
    questions = _questions(options.question, names)
    scale = AnswerScale.of(
        Scale.parse(options.scale or "1-5"),
        1.0 if options.scale_step is None else options.scale_step,
        labels=options.scale_labels,
    )
    aspects = tuple(RatedAspect.of(name, questions) for name in names)
    asked_in_vain = [each.name for each in aspects if each.by_text and not has_prompts]
    if asked_in_vain:
        raise UsageError(
            f"'{asked_in_vain[0]}' is judged against the prompt, and no clip has one; "
            "leave it out (--aspects mi), or name the column (--columns prompt=TEXT)."
        )
    return RatingDesign(
        aspects,
        scale,
        listen_seconds=_listening(options.listen),
        clips_per_rater=options.clips_per_rater,
        seed=options.seed or 0,
        instructions=_instructions(options.instructions),
    )


def _questions(words: Sequence[str] | None, names: Sequence[str]) -> dict[str, str]:
    """The questions by aspect."""
    questions = {}
    for word in words or ():
        name, _, text = word.partition("=")
        if name not in names or not text.strip():
            raise UsageError(
                f"--question '{word}' is not of the form ASPECT=TEXT, with one of the "
                f"aspects {', '.join(names)}."
            )
        questions[name] = text.strip()
    return questions


def _listening(word: str | None) -> float:
    if word in (None, "all"):
        return math.inf
    try:
        seconds = float(str(word))
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise UsageError(f"--listen is a number of seconds, or all; got '{word}'.")
    return seconds


def _text(path: str, what: str) -> str:
    """The text of a file that an option names."""
    try:
        data = Path(path).read_bytes()
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise UsageError(
            f"{what} '{path}' cannot be read ({error.strerror})."
        ) from error
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{what} '{path}' is not UTF-8 text; save it as such."
        ) from error
    if len(text) > _LONGEST_INSTRUCTIONS:
        raise UsageError(
            f"{what} '{path}' has {len(text)} characters; at most "
            f"{_LONGEST_INSTRUCTIONS} are shown."
        )
    return text.replace("\r\n", "\n")


def _instructions(path: str | None) -> str:
    return _text(path, "The instructions") if path else ""


def _codes(words: Sequence[str] | None) -> tuple[str, ...]:
    """Codes of raters, as they are or out of a file."""
    from ensemble.server.rating.answers import rater_code

    if not words:
        return ()
    if len(words) == 1 and Path(words[0]).is_file():
        lines = _text(words[0], "The list of raters").splitlines()
        words = [line for line in lines if line.strip()]
    return tuple(rater_code(word) for word in words)


def say_rating(rating: RatingSettings, address: str, token: str) -> None:
    """Say where raters go, and where the experimenter looks.

    Parameters
    ----------
    rating : RatingSettings
    address : str
        Of the server, with a slash at the end or without.
    token : str
        What the server asks for, or "".
    """
    root = address.rstrip("/")
    entry = {"token": token} if token else {}
    n_clips = len(rating.store.clips)
    n_done = rating.store.n_answered()
    kept = f"; {n_done} answers are there already" if n_done else ""
    say(f"a listening test of {n_clips} clips, kept in {rating.store.path}{kept}")
    for_experimenter = _query({**entry, "key": rating.store.key})
    say(f"for raters: {root}/rate{_query(entry)}")
    say(f"for you alone: {root}/rate/progress{for_experimenter}")


def _query(values: Mapping[str, str]) -> str:
    return f"?{urlencode(values)}" if values else ""


def export_ratings(options: Namespace) -> int:
    """Write the ratings in a file of ratings as a table.

    Returns
    -------
    code : int
        Exit code.
    """
    from ensemble.server.rating.rating_table import read_history, read_rating_file

    if options.rate:
        raise UsageError("--export-ratings serves nothing: leave out --rate.")
    check_results(options, inputs=(options.export_ratings,))
    read = read_history if options.history else read_rating_file
    table = read(options.export_ratings)
    if len(table) == 0:
        raise UsageError(f"'{options.export_ratings}' holds no ratings yet.")
    put_table(table, options.out or STDOUT)
    counts = {
        "answers": len(table),
        "raters": int(table["rater_id"].nunique()),
        "clips": int(table["clip_id"].nunique()),
    }
    say("{answers} answers of {raters} raters to {clips} clips".format(**counts))
    if options.json:
        put_json(
            {"ratings": options.export_ratings, **counts}, options.json, "serve_mos"
        )
    return ALL_WELL
