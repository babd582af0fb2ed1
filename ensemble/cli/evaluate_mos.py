"""``evaluate_mos PREDICTIONS… LABELS``: predictions of any tool against labels.

Several predictors are put on one board, and compared in pairs.

Exit code 0 when all is well, 3 when some labelled clips were not predicted (or lack the
score of an aspect) or a system of theirs has no true score, 2 when a file or an option
cannot be used. With ``--deletion`` it is another command, see `shared.deletion`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import Namespace
from rich.text import Text

from base_models.errors import UsageError
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
)
from ensemble.cli.shared.options import (
    PREDICTION_WORDS,
    Options,
    add_aspects_option,
    add_rating_scale_option,
    add_scale_option,
    add_system_truth_option,
    seed,
)
from ensemble.cli.shared.output.eval_list import add_eval_list_option, check_answer
from ensemble.cli.shared.output.output_files import (
    add_result_options,
    check_results,
    put_json,
    put_table,
)
from ensemble.cli.shared.saved_stacks.deletion import (
    add_deletion_options,
    refuse_deletion_options,
    run_deletion,
)
from ensemble.screen.tables import LiteralTable

if TYPE_CHECKING:
    import pandas as pd

    from ensemble.evaluate_predictions import Evaluation, FileScales, Resampling

_MISSING_LABELS = (
    "Name files of predictions and then the labels; or --deletion and a table with "
    "--clips."
)


_EXAMPLES = {
    "evaluate_mos scores.csv labels.csv": "eight metrics an aspect, with intervals",
    "evaluate_mos tool.csv:0-100 labels.csv --ratings ratings.csv -o metrics.csv": (
        "scores on 0..100; the noise ceiling beside every metric; numbers kept"
    ),
    "evaluate_mos utmos=u.csv nisqa=n.csv:mos_pred labels.csv": (
        "which of the two is better, and is that shown?"
    ),
    "evaluate_mos --deletion --clips clips.csv --split test": (
        "does the last stack depend on what it attends to?"
    ),
}


def _parser() -> Options:
    parser = Options(
        "evaluate_mos",
        "Anybody's predictions against the labels, every number with its interval over "
        "systems. With --deletion --clips TABLE: whether the scores of a stack's base "
        "models depend on what they attend to.",
        examples=_EXAMPLES,
    )
    _add_file_options(parser)
    _add_interval_options(parser)
    _add_output_options(parser)
    add_deletion_options(parser)
    return parser


def _add_file_options(parser: Options) -> None:
    """Add the options that say what is read, and which clips and aspects of it."""
    files = parser.group("predictions and labels")
    add = files.add_argument
    add(
        "predictions",
        nargs="*",
        metavar="PREDICTIONS",
        help="tables with ids and scores, answer.txt, or what a tool wrote; of several "
        f"predictors the differences are tested, too. {PREDICTION_WORDS}. The last "
        "word is LABELS, unless --labels names them",
    )
    add(
        "--labels",
        type=str,
        metavar="LABELS",
        help="MusicEval folder, label list, or table of ratings, also of single ones; "
        "default: the last word before the options",
    )
    add(
        "--against",
        type=str,
        metavar="NAME",
        help="of several predictors: compare all others with this one; default: all "
        "pairs, of more than six predictors all with the first",
    )
    add(
        "--ratings",
        type=str,
        metavar="FILE",
        help="single ratings: also the noise ceiling, and their probability under "
        "distributions",
    )
    add_rating_scale_option(files)
    add_rating_options(files)
    add_scale_option(files)
    add_system_truth_option(files)
    add_aspects_option(
        files, also="; also the order of scores in a file without a header"
    )
    add(
        "--split",
        type=str,
        help="only clips of train, dev or test; default: all labelled clips",
    )
    add_eval_list_option(
        files,
        "instead of labels: check that PREDICTIONS, an answer.zip or answer.txt, is "
        "what the challenge takes for the clips of this list",
    )


def _add_interval_options(parser: Options) -> None:
    """Add the options that say how intervals are made."""
    add = parser.add("intervals")
    add("--level", type=float, default=0.95, help="coverage, between 0 and 1")
    # Without a default of its own, so that --deletion can refuse it.
    add(
        "--bootstrap",
        type=int,
        help="how often systems are resampled; 0: no intervals; default: 1000",
    )
    add(
        "--seed",
        type=seed,
        default=0,
        help="starts the random numbers: of the resamples, or of the random removals",
    )


def _add_output_options(parser: Options) -> None:
    """Add the options that name files to write."""
    add_result_options(
        parser.group("output"),
        "the metrics, one number with its interval a row,",
        "metrics, settings and unmatched ids",
        old_name="--csv",
    )


def _main(argv: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    if options.deletion:
        return run_deletion(options)
    # Without --deletion its options would be ignored without a word.
    refuse_deletion_options(options)
    if options.eval_list is not None:
        return check_answer(options)
    _take_labels(options)
    check_results(
        options,
        inputs=(
            *options.predictions,
            options.labels,
            options.ratings,
            options.system_truth,
        ),
        others={
            "--problems": options.problems,
        },
    )
    # Imported late, as --help needs none of it.
    from ensemble.prediction_files.table_columns import NoPredictionColumn

    if _may_be_one(options):
        try:
            return _evaluate_one(options)
        except NoPredictionColumn:
            # No column says that it is the prediction, so there may be several.
            return _compare_several(options)
    return _compare_several(options)


def _may_be_one(options: Namespace) -> bool:
    """Whether a single file is named, and not that of the labels."""
    from ensemble.prediction_files.prediction_word import PredictionFile

    files = PredictionFile.parse_all(options.predictions)
    return len(files) == 1 and files[0].path != Path(options.labels)


def _take_labels(options: Namespace) -> None:
    """The labels are the last word, where no option names them.

    Raises
    ------
    UsageError
        when there are no labels, or nothing else.
    """
    words = list(options.predictions or ())
    if not options.labels and len(words) > 1:
        options.labels = words.pop()
    options.predictions = words
    if not (options.labels and words):
        raise UsageError(_MISSING_LABELS)


def _evaluate_one(options: Namespace) -> int:
    """Measure a single predictor."""
    from ensemble.evaluate_predictions import describe_clips, evaluate_file

    (word,) = options.predictions
    resampling = _resampling(options)
    evaluation = evaluate_file(
        word,
        options.labels,
        aspects=options.aspects,
        split=options.split,
        ratings=options.ratings,
        scales=_scales(options),
        resampling=resampling,
        system_truth=options.system_truth,
    )

    if options.against:
        raise UsageError(
            "--against compares several predictors; only one is read. Name a second "
            "file, or leave --against out."
        )
    columns = evaluation.columns.items()
    origins = ", ".join(f"{aspect} from '{column}'" for aspect, column in columns)
    say(f"{describe_clips(evaluation.joined, options.split)}; {origins}")
    say_notes(evaluation.notes)
    Screen().print(_table(evaluation, options.level))

    if options.out:
        put_table(evaluation.metrics, options.out)
    if options.json:
        facts = {"predictions": word, **_settings(options, resampling)}
        put_json({**facts, **evaluation.to_json()}, options.json, "evaluate_mos")
    code = _say_unscored(evaluation.without_score)
    unmatched = _say_unmatched(evaluation.not_predicted, evaluation.not_labelled)
    code = max(code, unmatched)
    return CLIPS_SET_ASIDE if evaluation.without_truth else code


def _compare_several(options: Namespace) -> int:
    """Put several predictors on one board, and compare them in pairs."""
    from ensemble.compare_predictions import Asked, compare_files
    from ensemble.evaluate_predictions import describe_clips
    from ensemble.reporting.board_table import board_table
    from ensemble.reporting.terminal import literal_table

    resampling = _resampling(options)
    asked = Asked(
        aspects=options.aspects,
        split=options.split,
        ratings=options.ratings,
        scales=_scales(options),
        resampling=resampling,
        system_truth=options.system_truth,
        against=options.against,
    )
    compared = compare_files(options.predictions, options.labels, asked)

    for origin in compared.origins:
        say(f"reads {origin.text}")
    say_notes(compared.notes)
    say(
        f"{describe_clips(compared.clips, options.split)}, those that all "
        f"{len(compared.predictors)} predictors predict"
    )
    board = board_table(
        compared.board.to_dict("records"),
        compared.ceiling.to_dict("records"),
        model_title="predictor",
    )
    title = f"{options.level * 100:g} % intervals\n{compared.system_truth}"
    Screen().print(literal_table(replace(board, title=title), "-o FILE has them"))
    for line in compared.differences.lines:
        say(line)

    if options.out:
        put_table(compared.board, options.out)
    if options.json:
        facts = {
            "predictions": options.predictions,
            **_settings(options, resampling),
            **compared.to_json(),
        }
        put_json(facts, options.json, "evaluate_mos")
    # Files of one set of clips lack the same ones.
    lacking: dict[tuple[str, ...], list[str]] = {}
    for name, clips in compared.not_predicted.items():
        lacking.setdefault(tuple(clips), []).append(name)
    for missing, names in lacking.items():
        say(
            f"labelled but NOT PREDICTED by {', '.join(names)}, the metrics of all "
            f"leave them out: {len(missing)} ({listed(missing)})"
        )
    return CLIPS_SET_ASIDE if compared.not_predicted else ALL_WELL


def _resampling(options: Namespace) -> Resampling:
    from ensemble.evaluate_predictions import Resampling

    if options.bootstrap is None:
        return Resampling(seed=options.seed, level=options.level)
    return Resampling(options.bootstrap, seed=options.seed, level=options.level)


def _scales(options: Namespace) -> FileScales:
    """How labels and ratings are read."""
    from base_models.scales import LabelScales
    from ensemble.evaluate_predictions import FileScales

    return FileScales(
        LabelScales.parse(options.scale),
        options.rating_scale,
        options=rating_options(options),
    )


def _settings(options: Namespace, resampling: Resampling) -> dict[str, Any]:
    """What the numbers depend on, beside the predictions."""
    return {
        "labels": options.labels,
        "split": options.split,
        "bootstrap": resampling.n_bootstrap,
        "seed": resampling.seed,
        "interval": resampling.level,
    }


def _table(evaluation: Evaluation, level: float) -> LiteralTable:
    """The metrics of every aspect, then its noise ceilings and likelihood."""
    # With one system, or none that is named, clips are resampled.
    metrics = evaluation.metrics
    n_systems = metrics.loc[metrics["level"] == "system", "n"].max()
    units = "systems" if n_systems > 1 else "clips"
    intervals = f"{level * 100:g} % intervals over {units}"
    if not evaluation.metrics["low"].notna().any():
        intervals = "without intervals"
    title = f"{intervals}\n{evaluation.system_truth}"
    table = LiteralTable(title=Text(title), names=2, elsewhere="-o FILE has them")
    table.add_column("aspect", overflow="fold", min_width=6)
    table.add_column("metric", no_wrap=True)
    table.add_column("utterance", no_wrap=True, justify="right")
    table.add_column("system", no_wrap=True, justify="right")

    for aspect in evaluation.aspects:
        metrics = _of_aspect(evaluation.metrics, aspect)
        _add_counts(table, aspect, metrics)
        _add_metrics(table, metrics, column="value")
        # Both are empty without single ratings.
        if len(evaluation.ceiling):
            ceilings = _of_aspect(evaluation.ceiling, aspect)
            _add_metrics(table, ceilings, column="ceiling", prefix="ceiling ")
        if len(evaluation.likely):
            _add_likelihood(table, _of_aspect(evaluation.likely, aspect))
        table.add_section()
    return table


def _of_aspect(numbers: pd.DataFrame, aspect: str) -> list[dict[str, Any]]:
    return numbers[numbers["aspect"] == aspect].to_dict("records")


def _add_counts(
    table: LiteralTable, aspect: str, metrics: list[dict[str, Any]]
) -> None:
    """Add a row with the numbers of clips and systems."""
    # Every metric of a level has the same number of clips or systems.
    count = {row["level"]: row["n"] for row in metrics}
    plural = "" if count["system"] == 1 else "s"
    table.add_row(
        aspect,
        "n",
        f"{count['utterance']} clips",
        f"{count['system']} system{plural}",
    )


def _add_metrics(
    table: LiteralTable, rows: list[dict[str, Any]], column: str, prefix: str = ""
) -> None:
    """Add a row per metric, with the number in a column at both levels."""
    from base_models.metrics.evaluate import LEVELS, METRICS

    row_of = {(row["level"], row["metric"]): row for row in rows}
    for metric in METRICS:
        numbers = [_number(row_of[level, metric], column) for level in LEVELS]
        table.add_row("", f"{prefix}{metric.upper()}", *numbers)


def _add_likelihood(table: LiteralTable, rows: list[dict[str, Any]]) -> None:
    for row in rows:
        table.add_row("", f"log p, {row['ratings']} ratings", _number(row, "value"), "")


def _number(row: dict[str, Any], column: str) -> str:
    """The number in a column, with its interval."""
    from ensemble.reporting.number_text import number_text

    return number_text(row[column], row["low"], row["high"], note=row["note"])


def _say_unscored(without_score: Mapping[str, Sequence[str]]) -> int:
    """Name the clips that lack the score of an aspect; the exit code that follows."""
    for aspect, clips in without_score.items():
        say_problem(
            f"labelled but WITHOUT A SCORE of {aspect}, its metrics leave them out: "
            f"{len(clips)} ({listed(clips)})"
        )
    return CLIPS_SET_ASIDE if without_score else ALL_WELL


def _say_unmatched(not_predicted: Sequence[str], not_labelled: Sequence[str]) -> int:
    """Name the clips that are on one side only; the exit code that follows."""
    if not_labelled:
        say(
            "predicted but not labelled here, left aside: "
            f"{len(not_labelled)} ({listed(not_labelled)})"
        )
    if not_predicted:
        say_problem(
            "labelled but NOT PREDICTED, the metrics leave them out: "
            f"{len(not_predicted)} ({listed(not_predicted)})"
        )
    return CLIPS_SET_ASIDE if not_predicted else ALL_WELL


def main() -> None:
    """Run the command and exit with its code."""
    raise SystemExit(run_command(_main))
