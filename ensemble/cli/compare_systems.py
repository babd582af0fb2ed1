"""``compare_systems``: which of several systems is better, and how sure is that.

Exit code 0 when all is well, 3 when clips were set aside, lack a score, or are rated
and not scored, 2 when a file or an option cannot be used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import Namespace
from rich.text import Text

from base_models.errors import UsageError, some
from ensemble.cli.shared.clip_tables.clip_options import clip_reading
from ensemble.cli.shared.clip_tables.rating_options import (
    add_rating_options,
    rating_options,
)
from ensemble.cli.shared.exit_codes import (
    ALL_WELL,
    CLIPS_SET_ASIDE,
    Screen,
    listed,
    run_command,
    say,
    say_notes,
    say_problem,
    say_set_aside,
    say_without_prompt,
)
from ensemble.cli.shared.options import Options, add_aspects_option
from ensemble.cli.shared.output.output_files import (
    add_result_options,
    check_results,
    put_json,
    put_table,
    table_format,
)
from ensemble.cli.shared.output.provenance import provenance_of
from ensemble.cli.shared.output.report_options import (
    add_report_options,
    check_report_options,
    put_report,
)
from ensemble.cli.shared.saved_stacks.stacks import (
    add_stack_options,
    chosen_folder,
    load_stack,
)
from ensemble.scoring.demo_note import DEMO_NOTE
from ensemble.screen.tables import LiteralTable

if TYPE_CHECKING:
    import pandas as pd

    from ensemble.compare_systems import Outlook, Pairing, StackKnowledge
    from ensemble.estimator.stacked_mos import StackedMOS
    from ensemble.formats import Scores
    from ensemble.rate_less import RateLessData
    from ensemble.scoring.input_rows import InputRows
    from meta.comparison.systems.system_comparison import SystemComparison

_MOST_SHOWN = 10
"""Sentences on the terminal of differences that are shown."""
_MOST_UNSHOWN = 3
"""Sentences on the terminal of differences that are not."""
_MOST_SYSTEMS = 30
"""Rows of a table on the terminal."""

_EXAMPLES = {
    "compare_systems --a v1 --b v2": "two folders of clips, scored by the last stack",
    "compare_systems --a v1 --b v2 --report report.html": (
        "the same, with a page for people and the clips to listen to"
    ),
    "compare_systems --clips clips.csv --by system_id -o systems.csv": (
        "the systems of a table, scored first; means and ranks as a table"
    ),
    "compare_systems scores.csv --stack artifacts/stack --ratings ratings.csv": (
        "scores that there are, with human ratings of some clips"
    ),
}


@dataclass(frozen=True, eq=False)
class _Compared:
    """What is compared, and what is known of it.

    Parameters
    ----------
    data : the clips with their scores, systems and ratings
    outlook : how far ratings may lie from scores
    known : what the stack knows of its errors
    scores : of the stack, where clips were scored; None of a table of scores
    stack : folder of the stack, or None
    demo : whether it is one of the demo corpus
    """

    data: RateLessData
    outlook: Outlook
    known: StackKnowledge
    scores: Scores | None = None
    stack: Path | None = None
    demo: bool = False


def _parser() -> Options:
    parser = Options(
        "compare_systems",
        "Which of several systems is better, by the scores of their clips: means, "
        "ranks and the differences of all pairs, with intervals. Clips of the same "
        "prompts are compared in pairs. The error counts clips and prompts, and the "
        "stack's own error on systems that nobody has rated, as far as it is known; of "
        "systems with human ratings (--ratings) it is that of the ratings.",
        examples=_EXAMPLES,
    )
    _add_clip_options(parser)
    _add_rating_options(parser)
    _add_output_options(parser)
    stack = parser.group("stack and machine")
    add_stack_options(stack)
    return parser


def _add_clip_options(parser: Options) -> None:
    """Add the options that say what is compared."""
    add = parser.add("systems")
    add(
        "scores",
        nargs="?",
        metavar="SCORES",
        help="table (csv, xlsx, json, parquet …) with ids, scores and systems of "
        "clips, as predict_mos writes it; FILE:0-100 names the scale of the scores. "
        "With --stack FOLDER, the stack that made them, its own error counts too",
    )
    add(
        "--a",
        type=str,
        metavar="FOLDER",
        help="instead: the clips of one system; files of the same name in --b answer "
        "the same prompt",
    )
    add("--b", type=str, metavar="FOLDER", help="the clips of the other system")
    add(
        "--names",
        nargs=2,
        metavar=("A", "B"),
        help="what the systems of --a and --b are called; default: as the folders",
    )
    add(
        "--prompts",
        type=str,
        metavar="TABLE",
        help="with --a and --b: a table with the file name and the prompt of each "
        "clip, for aspects that are judged against it",
    )
    add(
        "--clips",
        type=str,
        metavar="TABLE",
        help="instead: a clip table, as predict_mos --clips reads, to be scored first; "
        "beside SCORES: a table that names systems and prompts",
    )
    add(
        "--by",
        type=str,
        metavar="COLUMN",
        help="column of the table that tells systems apart; default: system_id or "
        "another usual name",
    )

    add(
        "--pair-by",
        type=str,
        metavar="COLUMN",
        help="column of the table that tells which clips answer the same prompt, or "
        "say the same text, and are compared in pairs; default: the prompt",
    )


def _add_rating_options(parser: Options) -> None:
    """Add the options of human ratings, and of how tables are read."""
    group = parser.group("human ratings")
    group.add_argument(
        "--ratings",
        type=str,
        metavar="TABLE",
        help="single ratings, or a table with a mean rating a clip, of some clips, "
        "drawn at random: means of their systems are those of ratings, powered by the "
        "scores (rate_less)",
    )
    add_aspects_option(group)
    group.add_argument(
        "--rating-scale",
        "--scale",
        nargs="+",
        metavar=("LOW", "HIGH"),
        help="ends of the scale of the ratings, on which the means are; of single "
        "aspects ASPECT=LOW-HIGH; default: that of the scores",
    )
    add_rating_options(group, anchors="keep", table="the table")


def _add_output_options(parser: Options) -> None:
    """Add the options that name files to write, and how sure intervals are."""
    group = parser.group("output")
    add = group.add_argument
    add("--level", type=float, default=0.95, help="coverage of the intervals")
    add(
        "--interval-level",
        type=float,
        default=0.9,
        help="coverage of the intervals of single clips, as they stand beside SCORES",
    )
    add_result_options(group, "means and ranks of systems", "everything")
    add(
        "--differences",
        type=str,
        metavar="FILE",
        help="also write the difference of every pair of systems to this file (.csv "
        ".jsonl .parquet); -: as csv to standard output",
    )
    add_report_options(group)


def _main(argv: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    _check_options(options)
    # Imported late, as --help needs none of it.
    from ensemble.compare_systems import compare_data

    found = _read_scores(options) if options.scores else _score_clips(options)
    code = _say_left_out(found)
    comparison = compare_data(
        found.data, found.outlook, found.known, level=options.level
    )

    _show(comparison, found.data)
    if options.out:
        put_table(comparison.systems, options.out)
    if options.differences:
        put_table(comparison.differences, options.differences)
    if options.report:
        _put_report(options, found, comparison)
    if options.json:
        scales = {name: scale.to_json() for name, scale in found.data.scales.items()}
        facts = {"scales": scales, **comparison.to_json()}
        put_json(facts, options.json, "compare_systems")
    return code


def _check_options(options: Namespace) -> None:
    """Refuse options that contradict each other, or would be ignored."""
    folders = [name for name in ("a", "b") if options[name] is not None]
    if len(folders) == 1:
        raise UsageError(
            f"--{folders[0]} is one of two folders: --a FOLDER --b FOLDER."
        )
    if folders and (options.scores or options.clips or options.by):
        raise UsageError(
            "--a and --b are the clips of two systems by themselves; leave SCORES, "
            "--clips and --by out."
        )
    if not (folders or options.scores or options.clips):
        raise UsageError(
            "Name a table of scores, --clips TABLE with systems, or the folders of two "
            "systems: --a FOLDER --b FOLDER."
        )
    if folders and options.pair_by:
        raise UsageError(
            "--pair-by names a column, and --a and --b have none: files of one name "
            "are pairs already, or those of one prompt (--prompts TABLE)."
        )
    for name in ("names", "prompts"):
        if options[name] is not None and not folders:
            raise UsageError(f"--{name} is about the folders --a and --b.")
    if options.rating_scale and not (options.ratings or options.scores):
        raise UsageError("--rating-scale is about --ratings; name some.")
    for name in ("level", "interval_level"):
        if not 0 < options[name] < 1:
            raise UsageError(
                f"--{name.replace('_', '-')} lies between 0 and 1; got "
                f"{options[name]:g}."
            )
    _name_columns(options)
    check_report_options(options)
    inputs = (options.scores, options.clips, options.ratings, options.prompts)
    others = {
        "--differences": options.differences,
        "--report": options.report,
        "--problems": options.problems,
    }
    check_results(options, inputs=inputs, others=others)
    if options.differences:
        table_format(options.differences)


def _name_columns(options: Namespace) -> None:
    """Make words of ``--columns`` of the options that name a column by themselves."""
    named = {"--by": ("system", options.by)}
    # A prompt that is scored against must not be the name of a pair.
    if options.scores:
        named["--pair-by"] = ("prompt", options.pair_by)
    columns = list(options.columns or ())
    for option, (what, column) in named.items():
        if column is None:
            continue
        if any(word.partition("=")[0] == what for word in columns):
            raise UsageError(
                f"{option} and --columns {what}= both name a column; keep one."
            )
        columns.append(f"{what}={column}")
    options.columns = columns or None


# ---- what is read, or scored


def _read_scores(options: Namespace) -> _Compared:
    """Scores out of a table, and what the stack that made them knows of its errors."""
    from base_models.scales import LabelScales
    from ensemble.compare_systems import NOTHING_KNOWN, Outlook, StackKnowledge
    from ensemble.rate_less import NOTHING_SEEN, read_rate_less

    known = NOTHING_KNOWN
    seen = NOTHING_SEEN
    if options.stack:
        from ensemble.estimator.save_and_load import read_stack

        known = StackKnowledge.of(read_stack(chosen_folder(options))[2])
        # Where ratings count, those that the stack has learnt from must not twice.
        if options.ratings:
            from ensemble.scoring.seen_clips import seen_clips

            seen = seen_clips(chosen_folder(options))
    data = read_rate_less(
        options.scores,
        options.ratings,
        clips=options.clips,
        aspects=options.aspects,
        rating_scale=LabelScales.parse(options.rating_scale),
        seen=seen,
        options=rating_options(options, anchors="keep"),
    )
    origins = (f"{name} from '{column}'" for name, column in data.columns.items())
    say(f"{len(data.clips)} scored clips; {', '.join(origins)}")
    say_notes(data.notes)
    return _Compared(
        data,
        Outlook(interval_level=options.interval_level),
        known,
        stack=chosen_folder(options) if options.stack else None,
    )


def _score_clips(options: Namespace) -> _Compared:
    """Score the clips of a table or of two folders, and join the ratings."""
    from base_models.scales import LabelScales
    from ensemble.compare_systems import Outlook, StackKnowledge, scored_data
    from ensemble.rate_less import join_ratings
    from ensemble.scoring.seen_clips import seen_clips

    rows, pairing = _rows_to_score(options)
    scores, stack = _scores_of(options, rows.clips)
    scores, _ = rows.complete(scores)
    folder = chosen_folder(options)
    data = scored_data(scores, pairing)
    if options.ratings:
        data = join_ratings(
            data.clips,
            data.scales,
            options.ratings,
            aspects=options.aspects,
            rating_scale=LabelScales.parse(options.rating_scale),
            seen=seen_clips(folder),
            options=rating_options(options, anchors="keep"),
        )
        say_notes(data.notes)
    elif options.aspects:
        data = data.only_aspects(options.aspects)
    return _Compared(
        data,
        Outlook.of(scores.distributions),
        StackKnowledge.of(stack.final_estimator_),
        scores=scores,
        stack=folder,
        demo=stack.demo_,
    )


def _rows_to_score(options: Namespace) -> tuple[InputRows, Pairing]:
    """The clips of a table or of two folders, and which are compared with which."""
    from ensemble.compare_systems import Pairing
    from ensemble.scoring.input_rows import InputRows
    from ensemble.system_folders import read_system_folders

    if not options.clips:
        folders = read_system_folders(
            [options.a, options.b], options.names, options.prompts
        )
        say_notes(folders.notes)
        rows = InputRows.of_clips(folders.clips)
        return rows, Pairing.of(folders.paired_clips)

    rows = InputRows.read(options.clips, clip_reading(options))
    say_notes(rows.clips.attrs.get("notes", ()))
    pairing = Pairing.of(rows.clips)
    if options.pair_by is not None:
        taken = rows.clips.attrs.get("taken", {})
        standard_of = {name: standard for standard, name in taken.items()}
        column = standard_of.get(options.pair_by, options.pair_by)
        if column not in rows.given:
            raise UsageError(
                f"--pair-by: {options.clips} has no column '{options.pair_by}'; it has "
                f"{some(dict.fromkeys([*rows.given, *standard_of]), 20)}."
            )
        pairs = zip(rows.given["clip_id"], rows.given[column], strict=True)
        pairing = Pairing(pairing.systems, dict(pairs))
    return rows, pairing


def _scores_of(options: Namespace, clips: pd.DataFrame) -> tuple[Scores, StackedMOS]:
    """Scores of clips with distributions, and the stack that made them."""
    from ensemble.cli.shared.output.score_output import say_audio, say_range
    from ensemble.scoring.score_clips import IntervalSettings, score_clips
    from ensemble.training.progress import encoding

    stack, store = load_stack(options)
    if not stack.estimators_:
        raise UsageError(
            "This stack holds no base models: it reads no audio. Score the clips by "
            "predict_mos --predictions FILE... -o scores.csv, then compare_systems "
            "scores.csv."
        )
    with encoding() as on_embed:
        scores = score_clips(
            stack,
            clips,
            store,
            intervals=IntervalSettings(options.interval_level),
            on_progress=on_embed,
            distributions="stack",
        )
    if stack.demo_:
        say(DEMO_NOTE)
    if scores.left_out:
        say(
            f"no prompt: {some(scores.left_out)} left out; name prompts (--prompts "
            "TABLE, or a table with prompts)"
        )
    say_range(scores)
    say_audio(scores)
    return scores, stack


def _say_left_out(found: _Compared) -> int:
    """Name the clips that are not compared, and why; the exit code that follows."""
    data = found.data
    code = ALL_WELL
    if found.scores is not None:
        code = max(
            say_without_prompt(found.scores.without_prompt),
            say_set_aside(found.scores.set_aside),
        )
    left_out = {
        "rated but NOT SCORED, their ratings are left out": (
            data.rated_without_prediction
        ),
        "of the table but NOT SCORED, they are not compared": data.not_predicted,
        "LEARNT FROM by what scores them, they are not compared": data.learnt_from,
    }
    for what, clips in left_out.items():
        if clips:
            say_problem(f"{what}: {len(clips)} ({listed(clips)})")
            code = CLIPS_SET_ASIDE
    return code


# ---- what is shown


def _show(comparison: SystemComparison, data: RateLessData) -> None:
    """Print tables of systems, and what may be said of their differences."""
    screen = Screen()
    # Of two systems the sentence is the answer; of many, the ranking is.
    is_of_two = comparison.systems["system_id"].nunique() == 2
    if is_of_two:
        _show_differences(screen, comparison)
    for aspect, systems in comparison.systems.groupby("aspect", sort=False):
        title = (
            f"{aspect} on {data.scales[str(aspect)]}: means of systems, "
            f"{comparison.interval_level * 100:g} % intervals"
        )
        screen.print(_systems_table(title, systems.to_dict("records")))
    if not is_of_two:
        _show_differences(screen, comparison)
    say_notes(comparison.notes)


def _show_differences(screen: Screen, comparison: SystemComparison) -> None:
    """Print what may be said of the differences, the surest first."""
    differences = comparison.differences.sort_values(["p_holm", "p"], kind="stable")
    is_shown = differences["p_holm"] <= 1 - comparison.interval_level
    parts = [
        (differences[is_shown], "shown", _MOST_SHOWN),
        (differences[~is_shown], "not shown", _MOST_UNSHOWN),
    ]
    for part, what, most in parts:
        for sentence in part["said"].head(most):
            screen.paragraph(sentence)
        n_more = len(part) - most
        if n_more > 0:
            subject = "difference that is" if n_more == 1 else "differences that are"
            screen.paragraph(
                f"and {n_more} more {subject} {what}: --differences FILE has them"
            )


def _put_report(
    options: Namespace, found: _Compared, comparison: SystemComparison
) -> None:
    """Write the page of ``--report``."""
    from ensemble.answered_clips import answered_clips
    from ensemble.reporting.answers.answer_content import Background

    content = answered_clips(
        found.data,
        comparison,
        scores=found.scores,
        level=options.interval_level,
        background=Background(
            stack=found.stack.name if found.stack else "",
            learnt_from=len(found.known.fitted_on),
            demo=found.demo,
        ),
    )
    source = options.scores or options.clips
    put_report(options, content, provenance_of("compare_systems", source, found.stack))


def _systems_table(title: str, rows: Sequence[Mapping[str, Any]]) -> LiteralTable:
    """The systems of one aspect, the best first."""
    table = LiteralTable(
        title=Text(title),
        pad_edge=False,
        importance=("mean", "rank", "clips"),
        elsewhere="-o FILE has them",
    )
    table.add_column("system", overflow="fold")
    is_rated = any(row["n_rated"] for row in rows)
    for name in ("mean", "rank", "clips", *(["rated"] if is_rated else [])):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows[:_MOST_SYSTEMS]:
        cells = [
            _with_interval(row, ("mean", "low", "high"), digits=2),
            _with_interval(row, ("rank", "rank_low", "rank_high"), digits=0),
            str(row["n_clips"]),
        ]
        table.add_row(row["system_id"], *cells, *([str(row["n_rated"])] * is_rated))
    if len(rows) > _MOST_SYSTEMS:
        table.caption = Text(f"and {len(rows) - _MOST_SYSTEMS} more: -o FILE has them")
    return table


def _with_interval(
    row: Mapping[str, Any], names: tuple[str, str, str], digits: int
) -> str:
    value, low, high = (row[name] for name in names)
    if value != value:
        return "-"
    text = f"{value:.{digits}f}"
    return f"{text} [{low:.{digits}f}, {high:.{digits}f}]" if low == low else text


def main() -> None:
    """Run the command and exit with its code."""
    raise SystemExit(run_command(_main))
