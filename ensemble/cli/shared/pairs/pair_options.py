"""``predict_mos --pairs`` and ``--best-of``: their options, and what goes with them."""

from __future__ import annotations

from jsonargparse import Namespace

from base_models.errors import UsageError
from ensemble.cli.shared.options import Options

PATHS = "paths"
"""The format of the best clips that a loop of a shell reads."""

_NOT_WITH_PAIRS = (
    "prompt",
    "clips",
    "by_system",
    "cross_fit",
    "systems",
    "distributions",
    "members",
    "explain",
    "over_time",
    "missing_code",
    "problems",
    "best_of",
)


def add_pair_options(parser: Options) -> None:
    """Add the options of pairs and of the best of each group."""
    add = parser.add("pairs, and the best of many")
    add(
        "--pairs",
        type=str,
        metavar="TABLE",
        help="instead of clips: a table of pairs (prompt, audio_a, audio_b and near "
        "names; with --predictions ids of clips) of which to say which clip has "
        "the higher mean rating, and how surely; --level is how sure a preference "
        "has to be to be called shown; "
        "--format also knows mirex and rewardbench",
    )
    add(
        "--mirex-fields",
        nargs="+",
        metavar="NAME",
        help="with --format mirex: names of the id, of the preferred side and, where "
        "wanted, of P(A > B); default: sample_id preferred_candidate preference_score",
    )
    add(
        "--best-of",
        type=int,
        metavar="N",
        help="keep only the N best clips of each group, with rank and the probability "
        "to be the best of it; --format paths: only their files, one a line",
    )
    add(
        "--group",
        type=str,
        metavar="COLUMN",
        help="with --best-of: the column of --clips that has the group; of files "
        "'folder' is that of each, 'prompt' all of them; default: prompt",
    )
    add(
        "--aspect-weights",
        nargs="+",
        metavar="ASPECT=WEIGHT",
        help="with --pairs or --best-of: what each aspect counts overall, e.g. mi=1 "
        "ta=0.5, others 0; default: all the same",
    )


def check_pair_options(options: Namespace) -> None:
    """Refuse options that do not go together.

    Raises
    ------
    UsageError
    """
    parse_weights(options)
    if options.pairs is None and options.best_of is None:
        for name in ("mirex_fields", "group", "aspect_weights"):
            if options[name] is not None:
                raise UsageError(
                    f"--{name.replace('_', '-')} is about --pairs or --best-of; name "
                    "one of them."
                )
    if options.mirex_fields is not None and options.format != "mirex":
        raise UsageError("--mirex-fields names fields of --format mirex.")
    if options.pairs is None:
        _check_best_of(options)
        return

    if options.audio:
        raise UsageError("--pairs TABLE names the clips; leave the audio files out.")
    for name in _NOT_WITH_PAIRS:
        if options[name] not in (None, False):
            raise UsageError(
                f"--{name.replace('_', '-')} does not go with --pairs, of which every "
                "row comes back with its preference; leave one of them out."
            )
    if options.group is not None:
        raise UsageError("--group is about --best-of; leave it out with --pairs.")


def _check_best_of(options: Namespace) -> None:
    if options.best_of is None:
        if options.format == PATHS:
            raise UsageError("--format paths lists the files of --best-of.")
        return
    if options.best_of < 1:
        raise UsageError(f"--best-of takes 1 or more; got {options.best_of}.")
    if not (options.audio or options.clips):
        raise UsageError(
            "--best-of chooses among audio files, or the clips of --clips TABLE."
        )
    for name in ("explain", "over_time"):
        if options[name] is not None:
            raise UsageError(
                f"--{name.replace('_', '-')} is about every clip that is scored; call "
                "predict_mos once more on the best of them."
            )
    if options.format == "answer":
        raise UsageError(
            "The answer format holds all clips; leave --best-of or --format out."
        )


def parse_weights(options: Namespace) -> dict[str, float] | None:
    """What each aspect counts, as the options say.

    Raises
    ------
    UsageError
        when a word is not of the form ``ASPECT=WEIGHT``.
    """
    if options.aspect_weights is None:
        return None
    weights: dict[str, float] = {}
    for word in options.aspect_weights:
        aspect, _, number = word.rpartition("=")
        try:
            weight = float(number)
        except ValueError:
            weight = float("nan")
        if not aspect or weight != weight:
            raise UsageError(
                f"--aspect-weights takes ASPECT=WEIGHT, e.g. mi=1 ta=0.5; got '{word}'."
            )
        if aspect in weights:
            raise UsageError(f"--aspect-weights names '{aspect}' twice.")
        weights[aspect] = weight
    return weights
